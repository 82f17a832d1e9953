"""Which method is taken, from scores alone: no network is asked here (METRICS 8, "choose")."""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from innspect.evaluation.intervals import holm, interval, paired
from innspect.evaluation.registry import metrics
from innspect.evaluation.results import RANDOM, Difference, Result
from innspect.evaluation.scores import Scores
from innspect.types import Array

LEAST = 8  # values of a metric, for less it is not used
SURE = 0.05
ROUNDING = 1e-6  # of the largest value
PLANTED = ("relevance_mass", "relevance_rank")  # which must agree on the first


@dataclass
class Decision:
    """What scores say of which method to take.

    Attributes:
        method: The label of the one to take, or None.
        used: The metrics that decided.
        beside: Dict from a metric that did not to the reason.
        p: By metric used and method: of the paired t test against random maps, by Holm over the methods of the
            metric; NaN where there are fewer than 8 pairs.
        better: By metric used: the methods that are better than random maps, with p below 0.05.
        ranks: The mean rank over the metrics used of each method that is better than random maps by every one of them, the
            best first; 1 is the best. `method` is the first.
    """

    method: str | None = None
    used: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    p: dict[str, dict[str, float]] = field(default_factory=dict)
    better: dict[str, list[str]] = field(default_factory=dict)
    ranks: dict[str, float] = field(default_factory=dict)

    def not_better(self, method: str) -> list[str]:
        """The metrics used by which a method is not better than random maps."""
        return [metric for metric in self.used if method in self.p[metric] and method not in self.better[metric]]


def decide(scores: Scores, beside: Collection[str] = ()) -> Decision:
    """Decide which method to take.

    Candidates are better than random maps on every metric used: the paired t test against the row "random", its p adjusted by
    Holm over the methods of each metric, is below 0.05. Of these that one is taken whose mean rank over the metrics used is
    best, every metric counting once; of equal ones that which comes first.

    Args:
        scores: With the row "random"; methods in the order in which equal ones are preferred, such as the cheapest first.
        beside: Metrics that are not to be used. Those for which less is not better by itself, those of randomisation, and
            those with fewer than 8 values are not used either. Where relevance_mass and relevance_rank of planted truth do not
            agree on the first method, neither is used.

    Returns:
        A `Decision`.
    """
    found = Decision()
    for metric, of in scores.results.items():
        why = "it was not to decide" if metric in beside else _unused(of)
        if why:
            found.beside[metric] = why
        else:
            found.used.append(metric)
    _agree_on_truth(scores, found)
    for metric in found.used:
        of, methods = scores.results[metric], _methods(scores, metric)
        raw = [_p(of[m], of[RANDOM]) for m in methods]
        found.p[metric] = dict(zip(methods, map(float, holm(raw)), strict=True))
        found.better[metric] = [m for m in methods if found.p[metric][m] < SURE and _gain(of[m], of[RANDOM]).mean() > 0]
    candidates = [m for m in scores.methods if found.used and all(m in found.better[metric] for metric in found.used)]
    if candidates:
        mean = np.mean([_ranks([scores.results[metric][m] for m in candidates]) for metric in found.used], axis=0)
        order = sorted(range(len(candidates)), key=lambda i: (mean[i], i))
        found.ranks = {candidates[i]: float(mean[i]) for i in order}
        found.method = next(iter(found.ranks))
    return found


def lead(scores: Scores, metric: str, method: str, other: str) -> Difference | None:
    """By how much a method is better than another one, by a metric, where both have values: above 0 is better.

    `p` is that of this pair alone, since it was said before these samples were looked at.
    """
    of = scores.results.get(metric, {})
    if method not in of or other not in of:
        return None
    gain = _gain(of[method], of[other])
    p = paired(gain)
    mean = float(gain.mean()) if len(gain) else float("nan")
    return Difference(mean, interval(gain), p, p, len(gain))


def mean_ranks(scores: Scores, used: Collection[str]) -> dict[str, float]:
    """The mean rank of every method that has values by all of some metrics, whether it is better than random maps or not."""
    methods = [m for m in scores.methods if m != RANDOM and used and all(_known(scores, metric, m) for metric in used)]
    if not methods:
        return {}
    mean = np.mean([_ranks([scores.results[metric][m] for m in methods]) for metric in used], axis=0)
    return {methods[i]: float(mean[i]) for i in sorted(range(len(methods)), key=lambda i: (mean[i], i))}


def _known(scores: Scores, metric: str, method: str) -> bool:
    of = scores.results.get(metric, {})
    return method in of and not np.isnan(of[method].mean)


def _unused(of: dict[str, Result]) -> str:
    """Why a metric cannot decide, or ""."""
    if RANDOM not in of:
        return "there are no random maps to compare with"
    row = of[RANDOM]
    known = metrics().get(row.metric)
    if row.higher_is_better is None:
        return "neither high nor low is better by itself"
    if known is not None and known.family == "randomisation":
        return "maps that depend on the weights need not be true"
    count = int((~row.undefined).sum())
    if count < LEAST:
        return f"it has {count} value{'s' * (count != 1)}, and {LEAST} are needed"
    return ""


def _agree_on_truth(scores: Scores, found: Decision) -> None:
    """Leave out the two measures of planted truth where they do not agree on the first method."""
    planted = [metric for metric in found.used if scores.results[metric][RANDOM].metric in PLANTED]
    firsts = {}
    for metric in planted:
        means = {m: scores.results[metric][m].mean for m in _methods(scores, metric) if _known(scores, metric, m)}
        top = max(means.values(), default=np.nan)
        firsts[metric] = {m for m, mean in means.items() if mean == top}
    if len(planted) > 1 and not set.intersection(*firsts.values()):
        told = ", ".join(f"{' and '.join(sorted(first)) or 'none'} by {metric}" for metric, first in firsts.items())
        for metric in planted:
            found.used.remove(metric)
            found.beside[metric] = f"the measures of the planted truth do not agree on the first: {told}"


def _methods(scores: Scores, metric: str) -> list[str]:
    return [m for m in scores.methods if m != RANDOM and m in scores.results[metric]]


def _gain(of: Result, other: Result) -> Array:
    """How much better each sample is, where both are defined; 0 where all differ by rounding alone."""
    d = of.values - other.values if of.higher_is_better else other.values - of.values
    defined = ~np.isnan(d)
    d, largest = d[defined], max(np.abs(r.values[defined]).max(initial=0) for r in (of, other))
    return d if np.abs(d).max(initial=0) > ROUNDING * largest else np.zeros_like(d)


def _p(of: Result, random: Result) -> float:
    gain = _gain(of, random)
    return paired(gain) if len(gain) >= LEAST else float("nan")


def _ranks(results: list[Result]) -> Array:
    """1 for the best mean; equal ones share their ranks."""
    means = np.array([-r.mean if r.higher_is_better else r.mean for r in results])
    below = (means[None] < means[:, None]).sum(axis=1)
    equal = (means[None] == means[:, None]).sum(axis=1)
    return below + (equal + 1) / 2
