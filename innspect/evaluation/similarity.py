"""How alike two maps of a sample are: the words that metrics take for it."""

import numpy as np

from innspect.checks import OneOf
from innspect.evaluation.correlation import spearman
from innspect.evaluation.trial import Trial
from innspect.types import Array

SIMILARITIES = ("spearman", "spearman_abs", "ssim", "cosine")


def similar(trial: Trial, name: str, a: Array, b: Array) -> Array:
    """The similarity of maps, (samples,), -1 to 1; NaN where a map is constant, zero for "ssim" and "cosine", or not finite.

    Args:
        trial: The `Trial`.
        name: "spearman", rank correlation; "spearman_abs", of magnitudes; "ssim", of images; "cosine".
        a, b: Values over all positions, (samples, positions).
    """
    OneOf(*SIMILARITIES).check("similarity", name)
    if name == "spearman":
        return spearman(a, b)
    if name == "spearman_abs":
        return spearman(np.abs(a), np.abs(b))
    if name == "cosine":
        return cosine(a, b)
    if len(trial.sizes) != 1 or len(trial.sizes[0]) < 2:
        raise ValueError(f"similarity='ssim' needs images, of one input. Received: positions {trial.sizes}")
    from innspect.evaluation.agreement import ssim

    return ssim(*(m.reshape(len(m), *trial.sizes[0]) for m in (a, b)))


def cosine(a: Array, b: Array) -> Array:
    """The cosine between two maps; NaN where one is zero."""
    largest = [np.abs(m).max(axis=1, initial=0) for m in (a, b)]
    defined = np.isfinite(largest[0]) & np.isfinite(largest[1]) & (largest[0] > 0) & (largest[1] > 0)
    result = np.full(len(a), np.nan)
    a, b = (m[defined] / size[defined][:, None] for m, size in zip((a, b), largest, strict=True))
    result[defined] = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.clip(result, -1, 1)


