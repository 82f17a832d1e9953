"""Remove and debias: what is left where hidden positions follow from their neighbours (Rong et al. 2022)."""

from collections.abc import Sequence

import numpy as np

from innspect.checks import Number, OneOf
from innspect.evaluation.curves import prepared, said
from innspect.evaluation.maps import Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.shares import Shares
from innspect.evaluation.trial import Score, Trial
from innspect.evaluation.units import floored
from innspect.evaluation.versions import Seen
from innspect.types import Array

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)


@metric(
    "road",
    "faithfulness",
    higher=True,
    range=(-1, 1),
    ranges={
        "shares": Shares(1.0, below=True),
        "noise": Number(),
        "order": OneOf("both", "morf", "lerf"),
        "of": OneOf("score", "hit"),
    },
)
def road(
    trial: Trial,
    maps: Maps,
    *,
    shares: Sequence[float] = SHARES,
    order: str = "both",
    of: str = "score",
    noise: float = 0.01,
    channels: str = "together",
    sign: str = "signed",
    score: Score = "probability",
) -> Result:
    """Mean over shares of p(without the least relevant) - p(without the most relevant) (Rong et al. 2022, arXiv 2202.00449).

    Hidden positions are weighted means of their neighbours, in which nothing can be read of the map's shape, and a little
    noise. For images, series and volumes. Undefined where nothing is known of an input, or a system does not converge.

    Args:
        shares: Of the positions, floor(share N) of which are hidden; below 1.
        order: "both", or what is left with one order: "morf", lower is better, or "lerf", higher is better.
        of: "score", or "hit": 1 where the largest output is still the target, the paper's accuracy.
        noise: Its deviation, in units of the sample's range.
        channels: "together", or "apart": every element is a position, and channels follow from their own neighbours.
        sign: "signed", "positive" or "abs" relevance, after the sum over channels.
        score: "logit", "probability", "output", or a callable of the model's output.

    Returns:
        A `Result` with the curves "morf" and "lerf", a point for each share.
    """
    if any(trial.ids):
        raise ValueError("`x` must hold numbers for 'road': ids have no mean. Received: ids of an embedding")
    flip = prepared(
        trial, maps, steps=None, share=1.0, channels=channels, sign=sign, score=score, region=None, groups=None,
        remainder="cut", rank="sum", hide="road", road_noise=noise, keep=None,
    )  # fmt: skip
    units = [flip.units.count(i) for i in range(trial.samples)]
    flip.counts = [np.array([0, *(floored(s * n) for s in shares)]) for n in units]
    orders = ["morf", "lerf"] if order == "both" else [order]
    wanted = [(name, k) for name in orders for k in range(1, len(shares) + 1)]
    found = flip.run(wanted) if of == "score" else _hits(trial, flip.seen(wanted))
    curves = dict(zip(orders, np.split(found, len(orders), axis=1), strict=True))
    means = {name: curve.mean(axis=1) for name, curve in curves.items()}
    values = means["lerf"] - means["morf"] if order == "both" else means[order]
    return Result(values, curves, said(flip) | {"of": of})


def _hits(trial: Trial, seen: Seen) -> Array:
    return np.where(np.isfinite(seen.scores), seen.classes == trial.classes[:, None], np.nan)
