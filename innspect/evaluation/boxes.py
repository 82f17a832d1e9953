"""Boxes from maps, and whether they find the thing (METRICS 3)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import OneOf
from innspect.evaluation.intervals import of_scipy
from innspect.evaluation.maps import SIGNS, Maps, flattened
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.truth import boxes_of, labels_of
from innspect.evaluation.units import Share
from innspect.inputs.batches import as_numbers
from innspect.types import Array


def box_of(map: ArrayLike, threshold: float = 0.2) -> tuple[int, ...] | None:
    """The box of the thing that a map shows: of the largest connected part that is above a share of its largest value.

    Args:
        map: One map over positions, (height, width), channels summed; a series or a volume has a box of its own axes.
        threshold: The share of the largest value: 0.2 for CAM (Zhou et al. 2016), 0.15 for Grad-CAM.

    Returns:
        Integers (top, left, bottom, right), all inside the box: its first corner, then its last. Parts touch also over
        corners; of equally large ones that with the larger sum is taken, then the first by rows. None where no value is
        above 0.

    Raises:
        ValueError: It is no map of finite numbers.
    """
    Share().check("threshold", threshold)
    r = as_numbers(map, "map")
    if not r.ndim or not r.size or r.dtype.kind not in "fiub" or not np.isfinite(r).all():
        raise ValueError(
            f"`map` must hold finite numbers over positions, such as (height, width). Received: shape {r.shape}, "
            f"dtype {r.dtype}" + (", not all finite" if r.dtype.kind == "f" and r.size else "")
        )
    r = r.astype("float64")
    if r.max() <= 0:
        return None
    above = r > threshold * r.max()
    if not above.any():  # threshold=1
        return None
    parts, count = of_scipy("ndimage", "Boxes of maps").label(above, np.ones((3,) * r.ndim))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(parts.ravel(), r.ravel(), minlength=count + 1)[1:]
    best = max(range(count), key=lambda n: (sizes[n], sums[n], -n))  # numbered by rows
    places = np.argwhere(parts == best + 1)
    return tuple(int(n) for corner in (places.min(axis=0), places.max(axis=0)) for n in corner)


def box_overlap(box: ArrayLike, others: ArrayLike) -> Array:
    """IoU of a box with each of some others, (boxes,), by the positions that they hold."""
    one, many = np.asarray(box, "int64"), np.asarray(others, "int64").reshape(-1, np.size(box))
    axes = len(one) // 2
    low, high = np.maximum(one[:axes], many[:, :axes]), np.minimum(one[axes:], many[:, axes:])
    shared = np.maximum(high - low + 1, 0).prod(axis=1)
    areas = (many[:, axes:] - many[:, :axes] + 1).prod(axis=1)
    return np.asarray(shared / ((one[axes:] - one[:axes] + 1).prod() + areas - shared))


@metric(
    "localisation_error",
    "localisation",
    higher=False,
    range=(0, 1),
    interval="wilson",
    needs=("labels", "boxes"),
    ranges={"top": OneOf(1, 5), "threshold": Share(), "overlap": Share(), "sign": OneOf(*SIGNS)},
)
def localisation_error(
    trial: Trial,
    maps: Maps,
    *,
    boxes: Any = None,
    labels: Any = None,
    top: int = 1,
    threshold: float = 0.2,
    overlap: float = 0.5,
    sign: str = "signed",
) -> Result:
    """Localisation error (CAM, Zhou et al. 2016): 0 where the class is right and the map's box is on a true box of it.

    Args:
        boxes: For each sample the true boxes of its class.
        labels: The true class of each sample.
        top: 1: the predicted class and its map. 5: any of the five most likely, each with its own map, which needs an
            analyzer.
        threshold: Of `box_of`: 0.2 for CAM, 0.15 for Grad-CAM.
        overlap: The least IoU that counts as found.
        sign: What of the map is looked at.

    A map without a box is an error of 1. Undefined where a sample has no box, and where given maps are those of another class
    than the predicted one, which is right.
    """
    true, classes = boxes_of(trial, boxes), labels_of(trial, labels)
    outputs = trial.outputs.reshape(trial.samples, -1)
    # The likeliest first; of equal ones the lower number, as where a target is settled.
    likeliest = np.argsort(-np.where(np.isfinite(outputs), outputs, -np.inf), axis=1, kind="stable")[:, :top]
    listed = likeliest == classes[:, None]
    with_boxes = np.array([len(row) > 0 for row in true])
    values, overlaps = np.where(with_boxes, 1.0, np.nan), np.full(trial.samples, np.nan)
    right = listed.any(axis=1) & with_boxes  # elsewhere no map can help; here only that of the right class
    values[right] = np.nan
    for i, r in _maps_of(trial, maps, classes, np.flatnonzero(right), top, sign):
        box = box_of(r.reshape(trial.sizes[0]), threshold)
        overlaps[i] = 0.0 if box is None else box_overlap(box, true[i]).max()
        values[i] = float(overlaps[i] < overlap)
    return Result(values, beside={"iou": overlaps})


def _maps_of(trial: Trial, maps: Maps, classes: Array, rows: Array, top: int, sign: str) -> Iterator[tuple[int, Array]]:
    """Samples and their maps over positions for a class, where there are such and they are finite."""
    targets = trial.classes if trial.selection.kind == "index" else np.full(trial.samples, -1)
    there = targets[rows] == classes[rows]
    given = maps.flat(sign=sign)
    yield from ((int(i), given[i]) for i in rows[there] if maps.finite[i])
    others = rows[~there]
    if maps.explains or (top > 1 and len(others)):
        for start in range(0, len(others), trial.batch_size):
            some = others[start : start + trial.batch_size]
            full = maps.again([a[some] for a in trial.arrays], some, classes[some])
            finite = np.all([np.isfinite(m.reshape(len(m), -1)).all(axis=1) for m in full], axis=0)
            yield from (
                (int(i), r) for i, r, known in zip(some, flattened(trial, full, sign=sign), finite, strict=True) if known
            )
