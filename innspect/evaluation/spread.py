"""How spread out a map is, whatever the model: sparseness, complexity; and how little of it is enough: effective complexity.

Less is not better by itself: a map of one position is as sparse as can be, and need not be true.
"""

from typing import Any

import numpy as np

from innspect.checks import Boolean, Number, OneOf, Range
from innspect.evaluation.correlation import constant
from innspect.evaluation.flipping import HIDING, ORDER, UNITS, prepared, said
from innspect.evaluation.flipping import RANGES as CURVES
from innspect.evaluation.maps import CHANNELS, Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.types import Array

_RANGES: dict[str, Range] = {"channels": OneOf(*CHANNELS), "sign": OneOf("abs", "positive")}


def _shares(maps: Maps, channels: str, sign: str) -> Array:
    """Each position's share of the whole map, (samples, positions); NaN where all are 0."""
    r = maps.flat(channels, sign)
    r = r / np.maximum(r.max(axis=1, keepdims=True), np.finfo("float64").tiny)  # sums of what is very large or small
    total = r.sum(axis=1, keepdims=True)
    return r / np.where(total > 0, total, np.nan)


@metric("sparseness", "complexity", higher=None, range=(0, 1), ranges=_RANGES)
def sparseness(trial: Trial, maps: Maps, *, channels: str = "together", sign: str = "abs") -> Result:
    """Gini coefficient of |r| over positions (Chalasani et al. 2020): 0 all are equal, towards 1 a single one is not 0.

    `sum_i (2i - N - 1) a_(i) / (N sum a)`, a = |r| in ascending order. No model is run.

    Args:
        channels: "together" sums over channels with their signs first; "apart" takes every element.
        sign: "abs" or "positive" relevance, after the sum over channels.

    Returns:
        A `Result` with values in [0, 1 - 1/N]; undefined where the map is 0 everywhere.
    """
    a = np.sort(_shares(maps, channels, sign), axis=1)
    N = a.shape[1]
    return Result((a * (2 * np.arange(1, N + 1) - N - 1)).sum(axis=1) / N)


@metric("complexity", "complexity", higher=None, range=(0, np.inf), ranges=_RANGES)
def complexity(trial: Trial, maps: Maps, *, channels: str = "together", sign: str = "abs") -> Result:
    """Entropy of the shares of |r| (Bhatt et al. 2020), in nats: 0 for a single position, ln N where all are equal.

    `-sum p ln p`, p = |r| / sum |r|. No model is run. Arguments as of `sparseness`.

    Returns:
        A `Result` with values in [0, ln N]; undefined where the map is 0 everywhere.
    """
    p = _shares(maps, channels, sign)
    return Result(np.abs(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)))


_EFFECTIVE = {k: v for k, v in (ORDER | UNITS | HIDING).items() if k != "share"} | {"sign": "abs"}


@metric(
    "effective_complexity",
    "complexity",
    higher=None,
    range=(0, np.inf),
    takes=_EFFECTIVE,
    ranges=CURVES | {"by": OneOf("score", "threshold"), "eps": Number(), "relative": Boolean()},
)
def effective_complexity(
    trial: Trial, maps: Maps, *, by: str = "score", eps: float = 0.1, relative: bool = True, **told: Any
) -> Result:
    """How little of the input tells as much (Nguyen & Martinez 2020, with one fill in place of the expectation).

    The least counted share of positions, by |r|, that, shown alone, gives the score to within a tenth of what hiding all
    of them changes: `|f - f(x)| <= eps |f(x) - f(all hidden)|`.

    Args:
        by: "score", or "threshold": how many positions have |r| > eps max |r|, and no model is run.
        eps: Of the change of the score, or of the largest |r| of the sample.
        relative: False: `eps` is a number of the score, or of the map.

    Other arguments as of `flipping`; `steps` of equal shares are counted.

    Returns:
        A `Result` with shares between 0 and 1, or counts, and the curve "shown", the score from all hidden on. Undefined by
        the score where both ends of that curve are equal, and where no counted share is near enough.
    """
    if by == "threshold":
        r = maps.flat(told["channels"], told["sign"])
        least = eps * np.abs(r).max(axis=1, keepdims=True) if relative else eps
        return Result((r > least).sum(axis=1).astype("float64"))
    flip = prepared(trial, maps, share=1.0, **told)
    curve = flip.padded(flip.run([("insertion", k) for k in range(flip.steps + 1)]))
    values = np.full(trial.samples, np.nan)
    for i, counts in enumerate(flip.counts):
        scores, units = curve[i, : len(counts)], flip.units.count(i)
        ends = scores[[0, -1]]
        if not units or constant(ends[None])[0]:
            continue
        allowed = eps * abs(ends[1] - ends[0]) if relative else eps
        near = np.abs(scores - ends[1]) <= allowed * (1 + 1e-9)
        values[i] = counts[near.argmax()] / units if near.any() else np.nan
    return Result(values, {"shown": curve}, said(flip))
