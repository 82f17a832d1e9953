"""Curves of what is left of a score while more and more is hidden: srg, aopc, deletion, insertion, degradation."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.checks import Boolean, Count, Number, OneOf
from innspect.evaluation.hiding import Hiding, unhidable
from innspect.evaluation.maps import Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Score, Trial
from innspect.evaluation.units import Units, area, places, shortest, split, step_counts, units_of
from innspect.evaluation.versions import Seen, hidden_scores
from innspect.types import Array

HIDING: dict[str, Any] = {
    "hide": "mean",
    "background": None,
    "mask_id": None,
    "keep": None,
    "repeats": 10,
    "value_range": None,
}
UNITS: dict[str, Any] = {"region": None, "groups": None, "remainder": "cut", "rank": "sum"}
ORDER: dict[str, Any] = {"steps": 32, "share": 1.0, "channels": "together", "sign": "signed", "score": "logit"}
NOWHERE = np.iinfo("int32").max  # the place of a position that is never hidden
RANGES = {
    "steps": Count(or_none=True),
    "share": Number(high=1.0),
    "repeats": Count(),
    "order": OneOf("both", "morf", "lerf"),
    "rank": OneOf("sum", "density"),
    "remainder": OneOf("cut", "crop"),
    "recompute": Boolean(),
}


@dataclass
class Flipping:
    """What is hidden, in which order, and how it is scored.

    Attributes:
        units: The `Units`.
        places: The place of each position's unit in the order, the most relevant first; (samples, positions).
        counts: How many units are hidden after each step, for each sample an array.
    """

    trial: Trial
    units: Units
    places: Array
    counts: list[Array]
    hiding: Hiding
    score: Score
    apart: bool

    @property
    def steps(self) -> int:
        return max(len(c) for c in self.counts) - 1

    def run(self, wanted: list[tuple[str, int]]) -> Array:
        """Scores (samples, versions) of steps, each an order ("morf", "lerf" or "insertion") and a number."""
        return self.hiding.mean(lambda: self.seen(wanted).scores)

    def seen(self, wanted: list[tuple[str, int]]) -> Seen:
        """The same with the present fill."""
        kinds = np.array([("morf", "lerf", "insertion").index(kind) for kind, _ in wanted])
        numbers = np.array([k for _, k in wanted])
        hidden = np.array([c[np.minimum(numbers, len(c) - 1)] for c in self.counts])  # (samples, versions)
        self._check_solved(hidden, kinds == 2)

        def masks(rows: Array, versions: Array) -> list[Array]:
            place, count, kind = self.places[rows][None], hidden[rows][:, versions].T, kinds[versions][:, None]
            totals = np.array([self.units.count(int(r)) for r in rows])
            # The first ones are hidden, or all behind some: the last ones, or those that are not yet shown.
            bound = np.where(kind == 1, totals - count, count).astype("int32")[..., None]
            chosen = np.less(place, bound) != np.expand_dims(kind > 0, -1)
            return split(self.trial, chosen & (place != NOWHERE) if kind.any() else chosen, self.apart)

        return hidden_scores(self.trial, self.score, len(wanted), masks, self.hiding.fills, apart=self.apart)

    def _check_solved(self, hidden: Array, inserted: Array) -> None:
        """Where hidden positions follow from visible ones, some must be visible."""
        totals = np.array([self.units.count(i) for i in range(self.trial.samples)])[:, None]
        covered = np.all(self.units.of >= 0, axis=1, keepdims=True)
        everything = (np.where(inserted, totals - hidden, hidden) == totals) & covered
        if self.hiding.solves and everything.any():
            raise ValueError("hide='road' needs a `share` below 1: nothing follows from nothing. Received: all is hidden")

    def padded(self, scores: Array) -> Array:
        """Curves (samples, steps + 1), NaN beyond the last step of a sample that has fewer units."""
        for i, counts in enumerate(self.counts):
            scores[i, len(counts) :] = np.nan
        return scores

    def areas(self, curves: Array) -> Array:
        return np.array([area(curve[: len(c)], c) for curve, c in zip(curves, self.counts, strict=True)])


def prepared(
    trial: Trial,
    maps: Maps,
    *,
    steps: int | None,
    share: float,
    channels: str,
    sign: str,
    score: Score,
    region: int | None,
    groups: Any,
    remainder: str,
    rank: str,
    **told: Any,
) -> Flipping:
    """A `Flipping` from the arguments of METRICS 1; steps=None is one unit a step."""
    apart, keep = channels == "apart", told.pop("keep")
    r = maps.flat(channels, sign)
    units = units_of(trial, region=region, groups=groups, remainder=remainder, apart=apart)
    if not apart:
        units = units.without(unhidable(trial, keep))
    where, counts = np.full(r.shape, NOWHERE, "int32"), []
    for i in range(trial.samples):
        row, total = units.row(i), units.sums(i, r[i])
        total = total / units.sizes(i) if rank == "density" else total
        place = places(total, trial.generator("order", i).random(len(total)))
        where[i, row >= 0] = place[row[row >= 0]]
        counts.append(step_counts(len(total), steps or len(total), share))
    hiding = Hiding(trial, units=units, apart=apart, **told)
    return Flipping(trial, units, where, counts, hiding, score, apart)


def said(flip: Flipping) -> dict[str, Any]:
    """What was done, for the settings."""
    fewest = sorted({flip.units.count(i) for i in range(flip.trial.samples)})
    units = fewest[0] if len(fewest) == 1 else {"fewest": fewest[0], "most": fewest[-1]}
    return {"score": flip.trial.score(flip.score).said, "units": units, "steps": flip.steps} | flip.hiding.said


def _both(flip: Flipping, order: str) -> dict[str, Array]:
    """The curves of an order, or of both, whose first and last points are the same where all is hidden at the end."""
    K = flip.steps
    if order != "both":
        return {order: flip.padded(flip.run([(order, k) for k in range(K + 1)]))}
    same = all(len(c) == K + 1 and c[-1] == flip.units.count(i) for i, c in enumerate(flip.counts))
    own = range(1, K if same else K + 1)
    scores = flip.run([("morf", k) for k in range(K + 1)] + [("lerf", k) for k in own])
    morf, others = scores[:, : K + 1], scores[:, K + 1 :]
    lerf = np.concatenate([morf[:, :1], others, morf[:, K:] if same and K else morf[:, :0]], axis=1)
    return {"morf": flip.padded(morf), "lerf": flip.padded(lerf)}


@metric("flipping", "faithfulness", higher=None, takes=ORDER | UNITS | HIDING, ranges=RANGES)
def flipping(trial: Trial, maps: Maps, *, order: str = "both", **told: Any) -> Result:
    """What is left of the score while units are hidden in the order of their relevance: what all curves share.

    Args:
        order: "both": values are area(LeRF) - area(MoRF), as `srg`. "morf", the most relevant first, or "lerf": values are
            that curve's area.
        steps: Of equal shares; after the k-th of K the first floor(k M / K) of M units are hidden.
        share: Of the units that are hidden in the end.
        region: Side of windows that are hidden at once; None: single positions.
        groups: Integers from 0 of the positions' shape, for all samples or for each: what is hidden at once.
        remainder: "cut" windows at the far border, or "crop": these are never hidden.
        rank: Units stand in the order of the "sum" of their relevance, or of its "density".
        channels: "together", or "apart": every element is a position.
        sign: "signed", "positive" or "abs" relevance, after the sum over channels.
        hide: What stands where the input is hidden: "mean", "blur", "noise", "region_mean", "road", a number, one for each
            channel, an array of a sample's shape, or a callable (x, hidden) -> x; for several inputs a list.
        score: "logit", "probability", "output", or a callable of the model's output.
        repeats: How many noise images the curves are the mean of.
        value_range: (low, high) of the noise; None: each channel's own.
        background: Samples that columns of a table have their means over; None: `x`.
        mask_id: The id that hides a token.
        keep: Ids of tokens that are never hidden, or booleans over positions.

    Returns:
        A `Result` with the curves "morf" and "lerf", (samples, steps + 1), from nothing hidden on.
    """
    return _flipped(trial, maps, order, told)


def _flipped(trial: Trial, maps: Maps, order: str, told: dict[str, Any]) -> Result:
    flip = prepared(trial, maps, **told)
    curves = _both(flip, order)
    areas = {name: flip.areas(curve) for name, curve in curves.items()}
    return Result(areas["lerf"] - areas["morf"] if order == "both" else areas[order], curves, said(flip))


@metric("srg", "faithfulness", higher=True, takes=ORDER | UNITS | HIDING, ranges=RANGES)
def srg(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Symmetric relevance gain (Bluecher et al. 2024, arXiv 2401.06654): area under LeRF minus area under MoRF.

    A random order has 0 on average, a reversed map the negative. Arguments and curves as of `flipping`.
    """
    return _flipped(trial, maps, "both", told)


@metric(
    "deletion",
    "faithfulness",
    higher=False,
    range=(0, 1),
    takes=ORDER | UNITS | HIDING | {"score": "probability"},
    ranges=RANGES,
)
def deletion(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Area under the curve of deleting the most relevant first (Petsiuk et al. 2018). Arguments as of `flipping`."""
    return _flipped(trial, maps, "morf", told)


@metric(
    "insertion",
    "faithfulness",
    higher=True,
    range=(0, 1),
    takes=ORDER | UNITS | HIDING | {"score": "probability", "hide": "blur"},
    ranges=RANGES,
)
def insertion(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Area under the curve of showing the most relevant first, from all hidden on (Petsiuk et al. 2018).

    Arguments as of `flipping`; the curve is "morf", its first point all hidden.
    """
    flip = prepared(trial, maps, **told)
    curve = flip.padded(flip.run([("insertion", k) for k in range(flip.steps + 1)]))
    return Result(flip.areas(curve), {"morf": curve}, said(flip))


_REGIONS = ORDER | UNITS | HIDING | {"region": "auto", "limit": 100}


def _by_region(trial: Trial, maps: Maps, default: int, told: dict[str, Any]) -> Flipping:
    """One region a step, at most `limit` of them; region="auto" takes the default, unless there are groups."""
    limit, steps = told.pop("limit"), told.pop("steps")
    if told["region"] == "auto":
        told["region"] = None if told["groups"] is not None else default
    flip = prepared(trial, maps, steps=steps, **told)
    if steps is None:
        flip.counts = [counts[: limit + 1] for counts in flip.counts]
    return flip


def _side(trial: Trial, most: int, parts: int) -> int:
    """The side of regions: a part of the shortest side."""
    return max(1, min(most, shortest(trial) // parts))


def _aopc(trial: Trial, maps: Maps, order: str, told: dict[str, Any]) -> tuple[Array, dict[str, Array], dict[str, Any]]:
    flip = _by_region(trial, maps, _side(trial, 9, 8), told)
    curves = _both(flip, order)
    values = {name: np.nanmean(curve[:, :1] - curve, axis=1) for name, curve in curves.items()}
    return values["morf"] - values["lerf"] if order == "both" else values[order], curves, said(flip)


_AOPC: dict[str, Any] = {"takes": _REGIONS | {"steps": None}, "ranges": RANGES}


@metric("aopc", "faithfulness", higher=True, **_AOPC)
def aopc(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Area over the perturbation curve (Samek et al. 2017): mean over k = 0..L of f(x) - f(x_k), most relevant first.

    Args:
        region: "auto": 9 positions at 224, 3 at 28, 1 at 8.
        limit: At most how many regions are hidden, one a step; with `steps` that many equal shares instead.

    The paper's run is hide="noise" with regions of 9. Other arguments as of `flipping`.
    """
    return Result(*_aopc(trial, maps, "morf", told))


@metric("aopc.lerf", "faithfulness", higher=False, **_AOPC)
def aopc_lerf(trial: Trial, maps: Maps, **told: Any) -> Result:
    """As `aopc`, the least relevant first."""
    return Result(*_aopc(trial, maps, "lerf", told))


@metric("aopc.abpc", "faithfulness", higher=True, **_AOPC)
def aopc_abpc(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Area between the perturbation curves: `aopc` minus `aopc.lerf`."""
    return Result(*_aopc(trial, maps, "both", told))


@metric(
    "degradation",
    "faithfulness",
    higher=False,
    range=(0, 1),
    takes=_REGIONS | {"steps": None, "region": 9, "hide": "region_mean", "score": "probability"},
    ranges=RANGES,
)
def degradation(trial: Trial, maps: Maps, **told: Any) -> Result:
    """Image degradation (Kindermans et al. 2018, sec. 5): patches replaced by their own means, the most relevant first.

    Arguments as of `aopc`; the value is the area under the curve.
    """
    flip = _by_region(trial, maps, 9, told)
    curve = _both(flip, "morf")["morf"]
    return Result(flip.areas(curve), {"morf": curve}, said(flip))
