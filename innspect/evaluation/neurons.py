"""The quality of signal estimators (`innspect.patterns.quality`), with intervals over the neurons of a layer."""

from innspect.evaluation.intervals import interval
from innspect.patterns.quality import quality
from innspect.patterns.report import Quality

__all__ = ["quality", "quality_intervals"]


def quality_intervals(found: Quality, kind: str = "t") -> dict[str, dict[str, tuple[float, float]]]:
    """The 95 % intervals of mean rho over the neurons of each layer, without those where it is degenerate.

    Neurons of a layer share data, so an interval tells how much they differ, not what other data would give.

    Args:
        found: What `quality` returned.
        kind: As of `interval`.

    Returns:
        Dict from layer to a dict from estimator to (low, high), between 0 and 1; NaN below two neurons.
    """
    return {
        layer: {
            name: interval(rho[~found.degenerate[layer][name]], kind, range=(0.0, 1.0)) for name, rho in found[layer].items()
        }
        for layer in found
    }
