"""Whether a map lies where the thing is, by masks or boxes (METRICS 3). Nothing is run beyond the maps.

`masks` are booleans (samples, *positions), a list of these for several inputs; `boxes` hold a list of inclusive boxes
(top, left, bottom, right) for each sample, whose filled union is the mask. Where both are given, masks count (for `loc`
boxes). A sample whose mask is empty is undefined. `sign` says what of the map is looked at, after channels are summed:
"signed", "positive" or "abs".
"""

from typing import Any

import numpy as np

from innspect.checks import AnyOf, Count, ListOf, Number, OneOf
from innspect.evaluation.maps import SIGNS, Maps
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.truth import region_of
from innspect.evaluation.units import Share, ceiled, places
from innspect.types import Array

_WHERE: dict[str, Any] = {"needs": ("masks or boxes",), "higher": True, "range": (0, 1)}
_RANGES = {
    "sign": OneOf(*SIGNS),
    "tolerance": AnyOf(OneOf(None), Number()),
    "k": Count(or_none=True),
    "threshold": Share(),
    "thresholds": ListOf(Share()),
}
_PIXELS, _SIDE = 15, 224  # how near is near enough, and the side of an image that this is said of


def level(values: Array) -> bool:
    """Whether all are the same but for rounding (METRICS 1.12)."""
    return bool(values.max() - values.min() <= 1e-6 * np.abs(values).max())


def _ratio(part: Array, whole: Array) -> Array:
    """part / whole, NaN where that is undefined."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole != 0)


def _tolerances(trial: Trial, given: float | None) -> list[float]:
    """For each input how far a hit may be; a table's columns are not near each other."""
    if given is not None:
        return [float(given)] * len(trial.sizes)
    sides = [0 if trial.is_table(i) else min(size) for i, size in enumerate(trial.sizes)]
    return [float(min(_PIXELS, _PIXELS * side // _SIDE)) for side in sides]


@metric("pointing_game", "localisation", interval="wilson", ranges=_RANGES, **_WHERE)
def pointing_game(
    trial: Trial, maps: Maps, *, masks: Any = None, boxes: Any = None, tolerance: float | None = None, sign: str = "signed"
) -> Result:
    """Pointing game (Zhang et al. 2018): 1 where the map's largest value is on the thing, or near it.

    Args:
        masks: Where the thing is; or `boxes`.
        tolerance: At most how many positions away, Euclidean. None: 15, and on inputs whose shortest side is below 224
            as much less, floor(15 side / 224); 0 for columns of a table.
        sign: What of the map is looked at.

    Several largest values: one is drawn.
    """
    region, r = region_of(trial, masks, boxes), maps.flat(sign=sign)
    near = _tolerances(trial, tolerance)
    starts = np.cumsum([0, *(int(np.prod(size)) for size in trial.sizes)])
    values = np.full(trial.samples, np.nan)
    for i in np.flatnonzero(region.any(axis=1)):
        largest = np.flatnonzero(r[i] == r[i].max())
        point = largest[trial.generator("point", int(i)).integers(len(largest))]
        number = int(np.searchsorted(starts, point, side="right")) - 1
        size, start = trial.sizes[number], starts[number]
        inside = np.flatnonzero(region[i, start : starts[number + 1]])
        offsets = np.stack(np.unravel_index(inside, size)) - np.array(np.unravel_index(point - start, size))[:, None]
        values[i] = float((np.square(offsets).sum(axis=0) <= near[number] ** 2).any())
    return Result(values, settings={"tolerance": near[0] if len(set(near)) == 1 else near})


def mass(r: Array, region: Array) -> Array:
    """The share of some values (samples, positions) that is in a region; NaN for an empty region, or a sum of 0."""
    return np.where(region.any(axis=1), _ratio((r * region).sum(axis=1), r.sum(axis=1)), np.nan)


@metric("relevance_mass", "localisation", ranges=_RANGES, **_WHERE)
def relevance_mass(trial: Trial, maps: Maps, *, masks: Any = None, boxes: Any = None, sign: str = "positive") -> Result:
    """Relevance mass accuracy (Arras et al. 2022): the share of the positive relevance that is on the thing.

    Args:
        masks: Where the thing is; or `boxes`.
        sign: What of the map counts; the share of positions is what chance gives.

    Undefined where the sum is 0.
    """
    return Result(mass(maps.flat(sign=sign), region_of(trial, masks, boxes)))


def first(trial: Trial, r: Array) -> Array:
    """The place of each position where the largest value is first, (samples, positions); equal values stand as drawn."""
    return np.stack([places(row, trial.generator("order", i).random(len(row))) for i, row in enumerate(r)])


@metric("relevance_rank", "localisation", ranges=_RANGES, **_WHERE)
def relevance_rank(trial: Trial, maps: Maps, *, masks: Any = None, boxes: Any = None, sign: str = "signed") -> Result:
    """Relevance rank accuracy (Arras et al. 2022): of as many first positions as the thing has, the share that is on it.

    Args:
        masks: Where the thing is; or `boxes`.
        sign: What of the map is looked at.
    """
    region, order = region_of(trial, masks, boxes), first(trial, maps.flat(sign=sign))
    size = region.sum(axis=1)
    return Result(_ratio(((order < size[:, None]) & region).sum(axis=1).astype("float64"), size))


@metric("top_k", "localisation", ranges=_RANGES, **_WHERE)
def top_k(
    trial: Trial, maps: Maps, *, masks: Any = None, boxes: Any = None, k: int | None = None, sign: str = "signed"
) -> Result:
    """Top-k intersection (Theiner et al. 2022): the share of the first k positions that is on the thing.

    Args:
        masks: Where the thing is; or `boxes`.
        k: How many. None: a twentieth of all, rounded up. Divided by k, also where the thing is smaller.
        sign: What of the map is looked at.
    """
    region, order = region_of(trial, masks, boxes), first(trial, maps.flat(sign=sign))
    count = ceiled(0.05 * order.shape[1]) if k is None else int(k)
    if count > order.shape[1]:
        raise ValueError(f"`k` must be at most the number of positions, {order.shape[1]}. Received: {k}")
    found = ((order < count) & region).sum(axis=1) / count
    return Result(np.where(region.any(axis=1), found, np.nan), settings={"k": count})


def _overlap(above: Array, region: Array) -> Array:
    return (above & region).sum(axis=1) / np.maximum((above | region).sum(axis=1), 1)


@metric("iou", "localisation", ranges=_RANGES, **_WHERE)
def iou(
    trial: Trial,
    maps: Maps,
    *,
    masks: Any = None,
    boxes: Any = None,
    threshold: float = 0.5,
    sign: str = "signed",
) -> Result:
    """Intersection over union of the thing and of where the map is above a share of its largest value.

    Args:
        masks: Where the thing is; or `boxes`.
        threshold: The share of the largest value. `loc` is the kind that shifts maps to 0 before.
        sign: What of the map is looked at.

    Undefined where the largest value is not above 0.
    """
    region, r = region_of(trial, masks, boxes), maps.flat(sign=sign)
    largest = r.max(axis=1)
    values = _overlap(r > threshold * largest[:, None], region)
    return Result(np.where(region.any(axis=1) & (largest > 0), values, np.nan))


@metric("loc", "localisation", ranges=_RANGES, **_WHERE)
def loc(
    trial: Trial,
    maps: Maps,
    *,
    masks: Any = None,
    boxes: Any = None,
    thresholds: Any = (0.0, 0.25, 0.5),
    sign: str = "signed",
) -> Result:
    """Loc of Grad-CAM++ (Chattopadhay et al. 2018): IoU of boxes and of where the map, from 0 to 1, is above a threshold.

    The mean over thresholds of internal / (boxes + external) positions.

    Args:
        boxes: Boxes of the thing; or `masks`.
        thresholds: Of the map shifted and scaled to 0..1.
        sign: What of the map is looked at.

    Undefined where the map is constant.
    """
    region = region_of(trial, None if boxes is not None else masks, boxes)
    r = maps.flat(sign=sign)
    low, high = r.min(axis=1, keepdims=True), r.max(axis=1, keepdims=True)
    flat = np.array([level(row) for row in r])
    scaled = (r - low) / np.where(high > low, high - low, 1)
    curve = np.stack([_overlap(scaled > t, region) for t in thresholds], axis=1)
    curve[flat | ~region.any(axis=1)] = np.nan
    return Result(curve.mean(axis=1), {"thresholds": curve})


@metric("auc", "localisation", ranges=_RANGES, **_WHERE)
def auc(trial: Trial, maps: Maps, *, masks: Any = None, boxes: Any = None, sign: str = "signed") -> Result:
    """Area under the ROC curve of the map as a guess of the mask; equal values count half, so a constant map has 1/2.

    Args:
        masks: Where the thing is; or `boxes`.
        sign: What of the map is looked at.

    Undefined where the thing is everywhere.
    """
    region, r = region_of(trial, masks, boxes), maps.flat(sign=sign)
    values = np.full(trial.samples, np.nan)
    for i, (row, inside) in enumerate(zip(r, region, strict=True)):
        here, there = int(inside.sum()), int((~inside).sum())
        if here and there:
            outside = np.sort(row[~inside])
            below = np.searchsorted(outside, row[inside], "left") + np.searchsorted(outside, row[inside], "right")
            values[i] = below.sum() / 2 / (here * there)
    return Result(values)
