"""Whether what a map names is needed, and enough: comprehensiveness and sufficiency (DeYoung et al. 2020)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from innspect.evaluation.curves import HIDING, RANGES, UNITS, Flipping, prepared, said
from innspect.evaluation.maps import Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.shares import Shares
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import ceiled

BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
TAKES: dict[str, Any] = {"channels": "together", "sign": "signed", "score": "probability"} | UNITS | HIDING | {"bins": BINS}
_RANGES = RANGES | {"bins": Shares(1.0)}


def _binned(trial: Trial, maps: Maps, bins: Sequence[float], told: dict[str, Any]) -> Flipping:
    flip = prepared(trial, maps, steps=None, share=1.0, **told)
    flip.counts = [np.array([0, *(ceiled(s * flip.units.count(i)) for s in bins)]) for i in range(trial.samples)]
    return flip


def _result(flip: Flipping, kind: str) -> Result:
    scores = flip.run([("morf", 0), *((kind, k) for k in range(1, flip.steps + 1))])
    values = (scores[:, :1] - scores[:, 1:]).mean(axis=1)
    nothing = np.array([flip.units.count(i) == 0 for i in range(len(values))])
    return Result(np.where(nothing, np.nan, values), {"morf": scores}, said(flip))


@metric("comprehensiveness", "faithfulness", higher=True, range=(-1, 1), takes=TAKES, ranges=_RANGES)
def comprehensiveness(trial: Trial, maps: Maps, *, bins: Sequence[float] = BINS, **told: Any) -> Result:
    """How much of the probability is lost without the most relevant positions: mean over bins of p(x) - p(without the top n).

    n = ceil(share of the units), at least one. The paper divides by bins + 1. Undefined where nothing can be hidden.

    Args:
        bins: Shares of the units.

    Returns:
        A `Result` whose curve "morf" has p(x), and p without the top of each bin.

    Other arguments as of `flipping`.
    """
    return _result(_binned(trial, maps, bins, told), "morf")


@metric("sufficiency", "faithfulness", higher=False, range=(-1, 1), takes=TAKES, ranges=_RANGES)
def sufficiency(trial: Trial, maps: Maps, *, bins: Sequence[float] = BINS, **told: Any) -> Result:
    """How much of the probability is lost with the most relevant positions alone: mean over bins of p(x) - p(only the top n).

    Arguments as of `comprehensiveness`; padding and what `keep` names stay.
    """
    return _result(_binned(trial, maps, bins, told), "insertion")
