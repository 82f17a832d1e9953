"""Selectivity: the most relevant region is hidden, and the rest explained anew (Montavon et al. 2018, sec. 7.2)."""

from typing import Any

import numpy as np

from innspect.checks import OneOf
from innspect.evaluation.flipping import HIDING, NOWHERE, RANGES, UNITS, Flipping, prepared, said, split
from innspect.evaluation.maps import Maps, RandomMaps, flattened
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import shortest
from innspect.types import Array

_TAKES: dict[str, Any] = {"channels": "together", "sign": "signed", "score": "logit"} | UNITS | HIDING
_TAKES |= {"region": "auto", "steps": 20}


@metric(
    "selectivity", "faithfulness", higher=False, takes=_TAKES, ranges=RANGES | {"recompute": OneOf(None, True, False)}
)  # fmt: skip
def selectivity(trial: Trial, maps: Maps, *, recompute: bool | None = None, **told: Any) -> Result:
    """Area under the curve of hiding the most relevant region, explaining what is left, and so on.

    Args:
        recompute: Whether what is left is explained anew after each step, for the first target; else the clean map orders all
            regions, the only form for given maps. None: where `maps` is an analyzer.
        steps: At most how many regions are hidden, one a step; None: all.
        region: Side of the regions; "auto": a quarter of the shortest side, at most 4.

    Returns:
        A `Result` with the curve "morf", (samples, steps + 1).

    Other arguments as of `flipping`.
    """
    if told["region"] == "auto":
        whole = told["groups"] is not None or told["channels"] == "apart"
        told["region"] = None if whole else max(1, min(4, shortest(trial) // 4))
    steps = told.pop("steps")
    flip = prepared(trial, maps, steps=None, share=1.0, **told)
    flip.counts = [counts if steps is None else counts[: steps + 1] for counts in flip.counts]
    can = maps.analyzer is not None or isinstance(maps, RandomMaps)
    again = can if recompute is None else recompute
    wanted, finite = [("morf", k) for k in range(flip.steps + 1)], np.ones(trial.samples, bool)

    def look() -> Array:
        if again:
            finite[:] &= _explained_anew(flip, maps, told["channels"], told["sign"], told["rank"])
        return flip.seen(wanted).scores

    curve = flip.padded(flip.hiding.mean(look))
    values = np.where(finite, flip.areas(curve), np.nan)
    return Result(values, {"morf": curve}, said(flip) | {"recompute": again})


def _explained_anew(flip: Flipping, maps: Maps, channels: str, sign: str, rank: str) -> Array:
    """Put the regions in the order in which they are hidden; returns which samples had finite maps throughout."""
    trial, units, never = flip.trial, flip.units, NOWHERE
    finite, everyone = np.ones(trial.samples, bool), range(trial.samples)
    uniform = [trial.generator("order", i).random(units.count(i)) for i in everyone]
    order: list[list[int]] = [[] for _ in everyone]
    places = np.full(flip.places.shape, never, "int32")
    r = maps.flat(channels, sign)
    for step in range(flip.steps):
        if step:
            changed = _hidden(flip, places != never)
            full = maps.again(changed, np.arange(trial.samples))
            finite &= np.all([np.isfinite(m.reshape(len(m), -1)).all(axis=1) for m in full], axis=0)
            r = flattened(trial, full, channels, sign)
        for i in everyone:
            if step < units.count(i):
                total = units.sums(i, r[i])
                total = total / units.sizes(i) if rank == "density" else total
                total[order[i]] = -np.inf
                best = int(np.lexsort((uniform[i], -total))[0])
                order[i].append(best)
                places[i, units.row(i) == best] = step
    # What no step hides stands behind all that is counted.
    flip.places = np.where((places == never) & (flip.places != never), flip.steps, places)
    return finite


def _hidden(flip: Flipping, hidden: Array) -> list[Array]:
    """The samples with some positions hidden, booleans (samples, positions)."""
    trial, result = flip.trial, [np.array(a) for a in flip.trial.arrays]
    channels = [None if flip.apart else axes.channel for axes in trial.axes]
    for start in range(0, trial.samples, trial.batch_size):
        rows = np.arange(start, min(start + trial.batch_size, trial.samples))
        masks = split(trial, hidden[rows][None], flip.apart)
        fills = flip.hiding.fills(rows, np.zeros(1, "int64"), masks)
        for a, mask, fill, channel in zip(result, masks, fills, channels, strict=True):
            mask = mask if channel is None else np.expand_dims(mask, channel + 1)
            a[rows] = np.where(mask[0], fill[0], a[rows])
    return result
