"""Whether a model looks at a region more for some samples than for others (METRICS 7)."""

import itertools
from typing import Any

import numpy as np

from innspect.checks import OneOf
from innspect.evaluation.intervals import distributions, holm, interval
from innspect.evaluation.localisation import mass
from innspect.evaluation.maps import SIGNS, Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.truth import region_of
from innspect.types import Array


@metric(
    "region_mass",
    "localisation",
    higher=None,
    range=(0, 1),
    needs=("masks or boxes", "subgroups"),
    ranges={"sign": OneOf(*SIGNS)},
)
def region_mass(
    trial: Trial,
    maps: Maps,
    *,
    masks: Any = None,
    boxes: Any = None,
    subgroups: Any = None,
    sign: str = "positive",
) -> Result:
    """`relevance_mass` in a region, by subgroups of the samples: is the background, or a face, looked at more in one of them?

    Args:
        masks: The region, booleans (samples, *positions); or `boxes`.
        subgroups: The name of each sample's subgroup, (samples,).
        sign: What of the map counts.

    Returns:
        A value for each sample. `settings["subgroups"]` has for each name "mean", "low" and "high" (t interval, 95 %) and
        "count" of its defined samples, `settings["differences"]` for each pair the difference of means and p of Welch's t test,
        as it is and adjusted by Holm over the pairs; NaN for fewer than two samples, or where neither subgroup varies.
    """
    names = np.asarray(subgroups).reshape(-1)
    if names.shape != (trial.samples,) or names.dtype.kind not in "iubUSO":
        raise ValueError(
            f"`subgroups` must be a name or an integer for each of the {trial.samples} samples. "
            f"Received: shape {np.shape(subgroups)}, dtype {names.dtype}"
        )
    names = names.astype(str)
    values = np.where(maps.finite, mass(maps.flat(sign=sign), region_of(trial, masks, boxes)), np.nan)
    parts = {str(name): values[(names == name) & ~np.isnan(values)] for name in np.unique(names)}
    described = {}
    for name, part in parts.items():
        low, high = interval(part, range=(0, 1))
        described[name] = {"mean": float(part.mean()) if len(part) else np.nan, "low": low, "high": high, "count": len(part)}
    pairs = list(itertools.combinations(parts, 2))
    found = [welch(parts[a], parts[b]) for a, b in pairs]
    differences = [
        {
            "pair": list(pair),
            "difference": described[pair[0]]["mean"] - described[pair[1]]["mean"],
            "p": p,
            "adjusted": float(q),
        }
        for pair, p, q in zip(pairs, found, holm(found), strict=True)
    ]
    return Result(values, settings={"subgroups": described, "differences": differences})


def welch(a: Array, b: Array) -> float:
    """p of Welch's t test that the means are equal; NaN for fewer than two values, or where neither side varies."""
    if min(len(a), len(b)) < 2 or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return float("nan")
    return float(distributions().ttest_ind(a, b, equal_var=False).pvalue)
