"""How much a method agrees with others: rank correlation, top-k overlap, SSIM of their maps.

Agreement is not truth, so no method is better for it. The functions of pairs are in `agreement`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from innspect.checks import Integer, OneOf, Range
from innspect.evaluation import agreement
from innspect.evaluation.maps import CHANNELS, SIGNS, Maps, others
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.types import Array

_RANGES: dict[str, Range] = {"channels": OneOf(*CHANNELS), "sign": OneOf(*SIGNS)}
_PAIRS: dict[str, Any] = {"higher": None, "takes": {"channels": "together", "sign": "signed"}, "ranges": _RANGES}


def _compared(
    trial: Trial, maps: Maps, pair: Callable[[Array, Array], Array], against: Any, channels: str, sign: str
) -> Result:
    """The mean over the defined others, and each by itself beside it."""
    if against is None:
        raise ValueError(
            "`against` must be given: maps of other methods, a dict or a list of what `maps` may be. Received: None"
        )
    listed = others(trial, against)
    names = list(map(str, against)) if isinstance(against, dict) else [f"other {i + 1}" for i in range(len(listed))]
    own = maps.flat(channels, sign)
    found = np.full((trial.samples, len(listed)), np.nan)
    for i, other in enumerate(listed):
        found[:, i] = np.where(other.finite, pair(own, other.flat(channels, sign)), np.nan)
    known = ~np.isnan(found)
    values = np.where(known, found, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return Result(values, beside={f"against {name}": found[:, i] for i, name in enumerate(names)})


@metric("rank_correlation", "agreement", range=(-1, 1), **_PAIRS)
def rank_correlation(trial: Trial, maps: Maps, *, against: Any = None, **told: str) -> Result:
    """Spearman's rank correlation with the maps of other methods: 1 the same order of positions, 0 none, -1 the opposite.

    Args:
        against: The other methods' maps: a dict or a list of what `maps` may be.
        channels: "together" sums over channels with their signs first; "apart" takes every element.
        sign: "signed", "positive" or "abs" relevance, after the sum over channels.

    Returns:
        A `Result` with means over the other methods, and each of these beside. Undefined where one of two maps is constant.
    """
    return _compared(trial, maps, agreement.rank_correlation, against, **told)


@metric("top_k_overlap", "agreement", range=(0, 1), **_PAIRS | {"ranges": _RANGES | {"k": Integer(1, or_none=True)}})
def top_k_overlap(trial: Trial, maps: Maps, *, against: Any = None, k: int | None = None, **told: str) -> Result:
    """The share of the first k positions that a map and those of other methods have in common.

    Args:
        k: How many; None: 5 % of the positions, rounded up. Equal values stand in one drawn order in both maps.

    Other arguments as of `rank_correlation`. By chance it is k / N. Nowhere undefined.
    """
    size = maps.flat(told["channels"]).shape[1]
    if k is not None:
        Integer(1, size).check("k", k)
    uniform = np.stack([trial.generator("order", i).random(size) for i in range(trial.samples)])
    return _compared(trial, maps, lambda a, b: agreement.top_k_overlap(a, b, k, uniform), against, **told)


@metric("ssim", "agreement", range=(-1, 1), **_PAIRS)
def ssim(trial: Trial, maps: Maps, *, against: Any = None, **told: str) -> Result:
    """Structural similarity (Wang et al. 2004) with the maps of other methods, each divided by its largest magnitude.

    Range 2, K1 0.01, K2 0.03, a Gaussian window of 11 positions, sigma 1.5, only where it fits whole; the largest odd one
    that fits where a side is shorter. Arguments as of `rank_correlation`. Undefined where one of two maps is 0 everywhere.

    Raises:
        ValueError: An input is a table, whose columns have no neighbours, or channels are taken apart.
    """
    tables = [i for i in range(len(trial.arrays)) if trial.is_table(i)]
    if tables or told["channels"] == "apart":
        received = f"columns of input {tables[0]}" if tables else "channels='apart'"
        raise ValueError(f"'ssim' needs positions that have neighbours: pixels, steps or tokens. Received: {received}")
    return _compared(trial, maps, lambda a, b: agreement.ssim(a, b, trial.sizes), against, **told)
