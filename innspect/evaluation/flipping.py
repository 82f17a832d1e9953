"""Hiding units in the order of their relevance: what all curves share."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.checks import Boolean, Count, Number, OneOf
from innspect.evaluation.hiding import Hiding, unhidable
from innspect.evaluation.maps import Maps
from innspect.evaluation.trial import Score, Trial
from innspect.evaluation.units import Units, area, places, split, step_counts, units_of
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


def both(flip: Flipping, order: str) -> dict[str, Array]:
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
