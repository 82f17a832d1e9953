"""Do maps depend on what the model has learned, and on the class? Weights or classes are replaced by random ones (METRICS 4).

A method that is blind to them, such as an edge detector, fails; noisy methods do well, so this is no measure of faithfulness
(Binder et al. 2023).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from innspect.checks import Count, Number, OneOf
from innspect.evaluation.correlation import constant
from innspect.evaluation.maps import Maps, flattened
from innspect.evaluation.neighbours import gaussian
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.similarity import SIMILARITIES, similar, similar_to
from innspect.evaluation.trial import Trial
from innspect.evaluation.versions import pieces
from innspect.evaluation.weights import HOW, Replacement
from innspect.inputs.batches import as_numbers
from innspect.types import Array

_BINS = 100
_RANGES: dict[str, Any] = {
    "order": OneOf("top_down", "bottom_up", "independent"),
    "how": OneOf(*HOW),
    "similarity": OneOf(*SIMILARITIES),
    "draws": Count(),
    "level": Number(),
}

Explained = Callable[[int], Array]  # from a step, 0 with the trained weights, to maps over all positions (samples, positions)


@metric("mprt", "randomisation", higher=False, range=(-1, 1), again=True, ranges=_RANGES)
def mprt(
    trial: Trial,
    maps: Maps,
    *,
    order: str = "top_down",
    how: str = "normal",
    similarity: str = "spearman",
    weights: Any = None,
) -> Result:
    """Model parameter randomisation test (Adebayo et al. 2018): how alike maps stay when weights are replaced, layer by layer.

    The value is the mean similarity to the map of the trained model over the steps; 1 is a map that does not depend on the
    weights, 0 one of which nothing is left. The model is never written to. It costs an explanation for each layer, and one.

    Args:
        order: "top_down", from the output on, or "bottom_up": layers replaced before stay so. "independent": one at a time.
        how: Each trainable weight tensor, also a frozen one, is drawn from the "normal" distribution of its own mean and
            deviation, or its entries are put in another order ("permute"). Moving statistics stay.
        similarity: "spearman" rank correlation of relevance over positions; "spearman_abs", of its magnitude; "ssim", of
            images; "cosine".
        weights: Dict from each variable's path to an array, in the place of what is drawn.

    Returns:
        A `Result` with the curve "similarity", (samples, layers + 1), from the trained model on; `settings["layers"]` are the
        layers in the order of the steps. Steps with a constant map are left out.
    """
    return _mprt(trial, maps, order, how, similarity, weights, lambda k: _again(trial, maps, k))


@metric("mprt.smooth", "randomisation", higher=False, range=(-1, 1), again=True, ranges=_RANGES)
def mprt_smooth(
    trial: Trial,
    maps: Maps,
    *,
    order: str = "top_down",
    how: str = "normal",
    similarity: str = "spearman",
    weights: Any = None,
    draws: int = 50,
    level: float = 0.1,
    noise: Any = None,
) -> Result:
    """Smooth MPRT (Hedstroem et al. 2024): as `mprt`, where each map is the mean over noisy inputs, the same at every step.

    Args:
        draws: How many noisy inputs there are.
        level: The noise's deviation as a share of the sample's range, its largest value minus its smallest.
        noise: What is added to the samples, (samples, draws, *sample), in the place of what is drawn; a list for several
            inputs.

    Other arguments as of `mprt`.
    """
    moved = gaussian(trial, draws, level, noise, "smooth")

    def explained(k: int) -> Array:
        total = np.zeros((trial.samples, sum(int(np.prod(size)) for size in trial.sizes)))
        for rows, _, arrays in pieces(trial, moved.count, moved.of):
            found = maps.again(arrays, rows, turn=k)
            np.add.at(total, rows, _finite_or_nan(trial, found))
        return total / moved.count

    return _mprt(trial, maps, order, how, similarity, weights, explained)


def _again(trial: Trial, maps: Maps, k: int) -> Array:
    full = maps.full if k == 0 else maps.again(trial.arrays, np.arange(trial.samples), turn=k)
    return _finite_or_nan(trial, full)


def _finite_or_nan(trial: Trial, full: list[Array]) -> Array:
    finite = np.all([np.isfinite(a.reshape(len(a), -1)).all(axis=1) for a in full], axis=0)
    return np.where(finite[:, None], flattened(trial, full), np.nan)


def _mprt(trial: Trial, maps: Maps, order: str, how: str, similarity: str, weights: Any, explained: Explained) -> Result:
    replacement = Replacement(trial, maps, how, weights)
    trained, names = explained(0), []
    alike = similar_to(trial, similarity, trained)
    curve = [alike(trained)]
    for k, (name, layers) in enumerate(replacement.orders(order), start=1):
        with replacement.of(layers):
            curve.append(alike(explained(k)))
        names.append(name)
        if order == "independent":
            replacement.forget()
    steps = np.stack(curve, axis=1)
    defined = ~np.isnan(steps[:, 1:])
    sums, counts = np.where(defined, steps[:, 1:], 0).sum(axis=1), defined.sum(axis=1)
    values = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Result(values, {"similarity": steps}, {"layers": names})


@metric("mprt.efficient", "randomisation", higher=True, range=(-1, np.inf), again=True, ranges=_RANGES)
def mprt_efficient(trial: Trial, maps: Maps, *, how: str = "normal", weights: Any = None) -> Result:
    """Efficient MPRT (Hedstroem et al. 2024): how much more disordered the map is when all weights are replaced at once.

    The value is (H' - H) / H: H the entropy, in nats, of the histogram of the trained model's map in 100 equal bins between
    its own smallest and largest value, H' that of the map with all weights replaced. It costs two explanations.

    Arguments as of `mprt`. Undefined where the trained model's map is constant.
    """
    replacement = Replacement(trial, maps, how, weights)
    trained = _again(trial, maps, 0)
    with replacement.of(replacement.layers):
        other = _again(trial, maps, 1)
    before, after = _entropies(trained), _entropies(other)
    flat = constant(np.where(np.isnan(trained), 0, trained)) | ~(before > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(flat, np.nan, (after - before) / before)
    return Result(
        values,
        settings={"layers": [layer.name for layer in replacement.layers]},
        beside={"entropy": before, "entropy_replaced": after},
    )


def _entropies(r: Array) -> Array:
    """Of the histogram of each row, (samples,); NaN where a number is not finite."""
    result = np.full(len(r), np.nan)
    for i, row in enumerate(r):
        if np.isfinite(row).all():
            low, high = row.min(), row.max()
            if not high > low:
                result[i] = 0.0
                continue
            counts, _ = np.histogram((row - low) / (high - low), _BINS, (0, 1))
            p = counts[counts > 0] / len(row)
            result[i] = -(p * np.log(p)).sum()
    return result


@metric(
    "random_logit",
    "randomisation",
    higher=False,
    range=(-1, 1),
    again=True,
    ranges={"similarity": OneOf(*SIMILARITIES)},
)
def random_logit(trial: Trial, maps: Maps, *, similarity: str = "spearman", classes: Any = None) -> Result:
    """How alike the maps of the explained class and of another one, drawn, are (Sixt et al. 2020). 1: blind to the class.

    Args:
        similarity: As of `mprt`.
        classes: The other class of each sample, (samples,), in the place of what is drawn.

    Undefined where the model has one class only. It costs two explanations.
    """
    count = int(trial.outputs.shape[-1]) if trial.outputs.ndim > 1 else 1
    if count < 2:
        return Result(np.full(trial.samples, np.nan), settings={"classes": None})
    others = _drawn(trial, count) if classes is None else _given(trial, count, classes)
    found = maps.again(trial.arrays, np.arange(trial.samples), others, turn=1)
    values = similar(trial, similarity, _again(trial, maps, 0), _finite_or_nan(trial, found))
    return Result(values, settings={"classes": others.tolist()})


def _drawn(trial: Trial, count: int) -> Array:
    drawn = np.array([trial.generator("class", i).integers(count - 1) for i in range(trial.samples)])
    return drawn + (drawn >= trial.classes)


def _given(trial: Trial, count: int, classes: Any) -> Array:
    given = as_numbers(classes, "classes")
    if given.shape != (trial.samples,) or given.dtype.kind not in "iu" or ((given < 0) | (given >= count)).any():
        raise ValueError(
            f"`classes` must hold an integer from 0 to {count - 1} for each of the {trial.samples} samples. "
            f"Received: {classes!r:.100}"
        )
    return given.astype("int64")
