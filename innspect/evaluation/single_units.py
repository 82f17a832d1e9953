"""What each unit alone loses where it is hidden: occlusion_correlation, non_sensitivity."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from innspect.checks import Boolean, Number, OneOf
from innspect.evaluation.additivity import CORRELATIONS, TAKES
from innspect.evaluation.curves import RANGES
from innspect.evaluation.maps import Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.subsets import Losses, Subsets
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import shortest
from innspect.types import Array


def _one_by_one(asked: Subsets) -> Losses:
    def stream(i: int) -> Iterator[Array]:
        units = asked.units.count(i)
        return (asked.positions(i, np.arange(units) == k) for k in range(units))

    return asked.losses(stream, int(asked.units.counts.max()))


@metric(
    "occlusion_correlation",
    "faithfulness",
    higher=True,
    range=(-1, 1),
    takes=TAKES | {"region": "auto"},
    ranges=RANGES | {"correlation": OneOf(*CORRELATIONS)},
)
def occlusion_correlation(trial: Trial, maps: Maps, *, correlation: str = "spearman", **told: Any) -> Result:
    """Rank correlation of what hiding each window loses with its mean relevance (Selvaraju et al. 2017, appendix).

    Undefined where either is constant.

    Args:
        correlation: "spearman", where equal values share their mean rank, or "pearson".
        region: Side of the windows; "auto": an eighth of the shortest side.

    Other arguments as of `flipping`.
    """
    if told["region"] == "auto":
        whole = told["groups"] is not None or told["channels"] == "apart"
        told["region"] = None if whole else max(1, shortest(trial) // 8)
    asked = Subsets(trial, maps, told)
    if not asked.units.counts.max():
        return Result(np.full(trial.samples, np.nan), settings=asked.settings)
    found = _one_by_one(asked)
    values = np.full(trial.samples, np.nan)
    for i in range(trial.samples):
        n = asked.units.count(i)
        mean = (asked.units.sums(i, asked.r[i]) / asked.units.sizes(i))[None]
        values[i] = CORRELATIONS[correlation](mean, found.drops[i : i + 1, :n], found.magnitude[i : i + 1])[0]
    return Result(values, settings=asked.settings | {"region": told["region"]})


@metric(
    "non_sensitivity",
    "axioms",
    higher=False,
    range=(0, np.inf),
    takes={name: default for name, default in TAKES.items() if name not in ("region", "groups", "remainder")},
    ranges=RANGES | {"eps": Number(), "relative": Boolean(), "count": Boolean()},
)
def non_sensitivity(
    trial: Trial, maps: Maps, *, eps: float = 1e-5, relative: bool = True, count: bool = False, **told: Any
) -> Result:
    """The share of positions that are without relevance but not without effect, or the reverse (Nguyen & Martinez 2020).

    A position is without relevance where |r| <= eps max |r|, and without effect where hiding it changes the score by at most
    eps |f(x)|. In [0, 1], or a number of positions. It runs the model once for each position.

    Args:
        eps: What counts as nothing.
        relative: Whether `eps` is measured by max |r| and |f(x)|; else it is absolute.
        count: Whether the value is the number of positions in place of their share.

    Other arguments as of `flipping`.
    """
    asked = Subsets(trial, maps, told | {"region": None, "groups": None, "remainder": "cut"})
    if not asked.units.counts.max():
        return Result(np.full(trial.samples, np.nan), settings=asked.settings)
    found, values = _one_by_one(asked), np.full(trial.samples, np.nan)
    for i in range(trial.samples):
        n = asked.units.count(i)
        r, drops = np.abs(asked.units.sums(i, asked.r[i])), np.abs(found.drops[i, :n])
        if n and np.isfinite(drops).all():
            least, unmoved = (eps * r.max(), eps * abs(found.clean[i])) if relative else (eps, eps)
            wrong = (r <= least) ^ (drops <= unmoved)
            values[i] = wrong.sum() if count else wrong.mean()
    return Result(values, settings=asked.settings)
