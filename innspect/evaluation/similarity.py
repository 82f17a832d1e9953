"""How alike two maps of a sample are: the words that metrics take for it."""

from collections.abc import Callable

import numpy as np

from innspect.checks import OneOf
from innspect.evaluation.agreement import ssim
from innspect.evaluation.correlation import spearman, spearman_to
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
    if any(len(size) < 2 for size in trial.sizes):
        raise ValueError(f"similarity='ssim' needs images. Received: positions {trial.sizes}")
    return ssim(a, b, trial.sizes)


def similar_to(trial: Trial, name: str, a: Array) -> Callable[[Array], Array]:
    """`similar` of one set of maps with others: a function of these, (samples, positions)."""
    if name == "spearman":
        return spearman_to(a)
    return lambda b: similar(trial, name, a, b)


def cosine(a: Array, b: Array) -> Array:
    """The cosine between two maps; NaN where one is zero."""
    largest = [np.abs(m).max(axis=1, initial=0) for m in (a, b)]
    defined = np.isfinite(largest[0]) & np.isfinite(largest[1]) & (largest[0] > 0) & (largest[1] > 0)
    result = np.full(len(a), np.nan)
    a, b = (m[defined] / size[defined][:, None] for m, size in zip((a, b), largest, strict=True))
    result[defined] = (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.clip(result, -1, 1)
