"""Does the map move with the input, and smoothly? Shifts and rotations of positions (METRICS 5)."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from innspect.checks import MOST, Boolean, Count, Integer, Number, OneOf
from innspect.evaluation.correlation import spearman
from innspect.evaluation.maps import Maps, as_they_are, flattened
from innspect.evaluation.neighbours import movable, uniform
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.versions import pieces
from innspect.types import Array

Transform = tuple[str, Any]  # ("shift", positions along each axis) or ("rotate", degrees)

_REACH, _STEP, _DEGREES = 5, 2, 10.0
_WHOLE = Integer(-MOST, MOST)
_EDGE = 1e-6  # positions by which a source may lie outside, for rounding


def _with_positions(trial: Trial) -> list[int]:
    """The numbers of the inputs whose positions are places."""
    found = [i for i in movable(trial) if not trial.is_table(i) and trial.sizes[i]]
    if not found:
        raise ValueError(
            "This metric moves the positions of inputs, so the model must have one with an order of places: a series, an image "
            f"or a volume; columns and ids have none. Received: {[a.shape for a in trial.arrays]}"
        )
    return found


# ---------------------------------------------------------------------- sources
def shifted(size: tuple[int, ...], by: Sequence[int]) -> Array:
    """Where each position comes from, (axes, *size), when all move by so many along each axis."""
    return np.stack([g - s for g, s in zip(np.indices(size).astype("float64"), by, strict=True)])


def rotated(size: tuple[int, ...], degrees: float) -> Array:
    """Where each position comes from when the last two axes turn about the centre."""
    grid = np.indices(size).astype("float64")
    rows, columns = (grid[a] - (size[a] - 1) / 2 for a in (-2, -1))
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    grid[-2] = cos * rows - sin * columns + (size[-2] - 1) / 2
    grid[-1] = sin * rows + cos * columns + (size[-1] - 1) / 2
    return grid


def inside(sources: Array) -> Array:
    """Which positions have their source inside, booleans of their shape."""
    limits = [n - 1 + _EDGE for n in sources.shape[1:]]
    return np.all([(s >= -_EDGE) & (s <= limit) for s, limit in zip(sources, limits, strict=True)], axis=0)


def sampled(values: Array, sources: Array, circular: bool = False) -> Array:
    """Values (*positions, ...) at other places, between positions linearly; 0 where these are outside."""
    size, extra = sources.shape[1:], (1,) * (values.ndim - sources.ndim + 1)
    if not circular:
        sources = np.clip(sources, 0, np.array(size).reshape(-1, *(1,) * len(size)) - 1.0)
    low = np.floor(sources).astype("int64")
    share, result = sources - low, np.zeros(values.shape)
    for corner in itertools.product((0, 1), repeat=len(size)):
        weight: Array = np.ones(size)
        for part, up in zip(share, corner, strict=True):
            weight = weight * (part if up else 1 - part)
        if weight.any():
            at = [place + up for place, up in zip(low, corner, strict=True)]
            at = [p % n if circular else np.minimum(p, n - 1) for p, n in zip(at, size, strict=True)]
            result += weight.reshape(*size, *extra) * values[tuple(at)]
    return result


def _carried(trial: Trial, i: int, x: Array, sources: Array, circular: bool) -> Array:
    """A sample of an input, its positions taken from other places, 0 where these are outside."""
    channel = trial.axes[i].channel
    last = x if channel is None else np.moveaxis(x, channel - 1, -1)
    found = sampled(last.astype("float64"), sources, circular)
    if not circular:
        found[~inside(sources)] = 0
    return (found if channel is None else np.moveaxis(found, -1, channel - 1)).astype(x.dtype)


# ---------------------------------------------------------------------- equivariance
@metric(
    "equivariance",
    "robustness",
    higher=True,
    range=(-1, 1),
    again=True,
    ranges={"circular": Boolean()},
)
def equivariance(trial: Trial, maps: Maps, *, transforms: Any = None, circular: bool = False) -> Result:
    """Whether the map of a moved input is the moved map: mean Spearman of T(r) and r of T(x) where the source lies inside.

    Args:
        transforms: A list of ("shift", positions, one number for each axis) and ("rotate", degrees), which turns the last two
            axes about the centre. None: shifts by 2 either way along each axis, and rotations by 10 degrees either way where
            there are two axes. Values between positions are linear, outside they are 0.
        circular: Shifts only, in which what leaves at one side comes in at the other; all positions then count.

    Transforms with a constant map are left out; all: undefined. It costs an explanation for each transform, and one.

    Raises:
        ValueError: A transform does not fit the inputs, or none of these has positions.
    """
    places = _with_positions(trial)
    chosen = _transforms(trial, places, transforms, circular)
    sources = [{i: _sources(trial.sizes[i], t) for i in places} for t in chosen]
    bounds = np.cumsum([0, *(int(np.prod(size)) for size in trial.sizes)])

    def moved(row: int) -> list[Array]:
        found = []
        for i, array in enumerate(trial.arrays):
            x = array[row]
            each = [_carried(trial, i, x, s[i], circular) if i in places else x for s in sources]
            found.append(np.stack(each))
        return found

    r, values = flattened(trial, maps.full), np.full((trial.samples, len(chosen)), np.nan)
    for rows, numbers, arrays in pieces(trial, len(chosen), moved):
        full = maps.again(arrays, rows)
        again, finite = flattened(trial, full), np.isfinite(as_they_are(full)).all(axis=1)
        for n, (row, k) in enumerate(zip(rows.tolist(), numbers.tolist(), strict=True)):
            pairs = []
            for i in places:
                part, s = slice(bounds[i], bounds[i + 1]), sources[k][i]
                valid = np.ones(trial.sizes[i], bool) if circular else inside(s)
                expected = sampled(r[row, part].reshape(trial.sizes[i]), s, circular)
                pairs.append(np.stack([expected[valid], again[n, part].reshape(trial.sizes[i])[valid]]))
            both = np.concatenate(pairs, axis=1)
            if finite[n] and both.shape[1] > 1:
                values[row, k] = spearman(both[:1], both[1:])[0]
    counts = (~np.isnan(values)).sum(axis=1)
    mean = np.where(counts > 0, np.nansum(values, axis=1) / np.maximum(counts, 1), np.nan)
    return Result(mean, {"transforms": values}, {"transforms": [list(t) for t in chosen]})


def _sources(size: tuple[int, ...], transform: Transform) -> Array:
    kind, by = transform
    return shifted(size, by) if kind == "shift" else rotated(size, by)


def _transforms(trial: Trial, places: list[int], given: Any, circular: bool) -> list[Transform]:
    axes = {len(trial.sizes[i]) for i in places}
    if len(axes) > 1:
        raise ValueError(f"Inputs must have equally many axes to be moved alike. Received: {sorted(axes)}")
    count = axes.pop()
    if given is None:
        each = np.eye(count, dtype=int) * _STEP
        shifts: list[Transform] = [("shift", tuple((sign * e).tolist())) for e in each for sign in (1, -1)]
        return shifts + ([("rotate", d) for d in (_DEGREES, -_DEGREES)] if count > 1 and not circular else [])
    listed = list(given) if isinstance(given, list | tuple) else []
    found = [_transform(t, count, circular) for t in listed]
    if not found:
        raise ValueError(f"`transforms` must be a list of ('shift', positions) and ('rotate', degrees). Received: {given!r}")
    return found


def _transform(given: Any, count: int, circular: bool) -> Transform:
    kind, by = given if isinstance(given, list | tuple) and len(given) == 2 else (None, None)
    if kind == "shift" and isinstance(by, list | tuple) and len(by) == count and all(map(_WHOLE.holds, by)):
        return "shift", tuple(map(int, by))
    if kind == "rotate" and not circular and count > 1 and isinstance(by, int | float) and np.isfinite(by):
        return "rotate", float(by)
    raise ValueError(
        f"A transform must be ('shift', {count} integers)"
        + ("" if circular or count < 2 else ", or ('rotate', degrees)")
        + f". Received: {given!r}"
    )


# ---------------------------------------------------------------------- continuity
@metric(
    "continuity",
    "robustness",
    higher=False,
    range=(0, np.inf),
    again=True,
    ranges={"path": OneOf("shift", "noise"), "reach": Count(), "draws": Count(), "radius": Number()},
)
def continuity(
    trial: Trial,
    maps: Maps,
    *,
    path: str = "shift",
    reach: int = _REACH,
    draws: int = 10,
    radius: float = 0.02,
    noise: Any = None,
) -> Result:
    """The steepest change of the map along a path of inputs, max ||R(x_t) - R(x_t+1)||_1 / ||x_t - x_t+1||_2.

    Montavon et al. 2018, sec. 7.1. It depends on the scale of maps and inputs: compare samples, or models, of one method.

    Args:
        path: "shift": the sample moved along its last axis from `reach` positions back to `reach` forward, zeros where it
            was. "noise": the sample and each of its neighbours, drawn as for `max_sensitivity`.
        reach: Positions.
        draws, radius, noise: As of `max_sensitivity`, for path="noise".

    Steps that change nothing are left out; all: undefined. It costs 2 reach + 1 explanations.
    """
    if path == "noise":
        near = uniform(trial, draws, radius, noise)
        moving, count = movable(trial), near.count + 1

        def made(row: int) -> list[Array]:
            own = [a[row][None] for a in trial.arrays]
            return [np.concatenate([x, other]) for x, other in zip(own, near.of(row), strict=True)]
    else:
        moving, count = _with_positions(trial), 2 * reach + 1

        def made(row: int) -> list[Array]:
            return [_path(trial, i, a[row], reach, i in moving) for i, a in enumerate(trial.arrays)]

    values = np.full(trial.samples, -1.0)
    last: tuple[Array, Array] | None = None
    for rows, numbers, arrays in pieces(trial, count, made):
        r, x = as_they_are(maps.again(arrays, rows)), as_they_are([arrays[i] for i in moving])
        for n, (row, k) in enumerate(zip(rows.tolist(), numbers.tolist(), strict=True)):
            if k and last is not None:
                moved = np.sqrt(((x[n] - last[1]) ** 2).sum())
                if moved > 0:
                    values[row] = np.maximum(values[row], np.abs(r[n] - last[0]).sum() / moved)
            if path == "shift" or not k:
                last = r[n], x[n]
    return Result(np.where(values == -1, np.nan, values))


def _path(trial: Trial, i: int, x: Array, reach: int, moves: bool) -> Array:
    if not moves:
        return np.broadcast_to(x, (2 * reach + 1, *x.shape))
    still = (0,) * (len(trial.sizes[i]) - 1)
    return np.stack([_carried(trial, i, x, shifted(trial.sizes[i], (*still, t)), False) for t in range(-reach, reach + 1)])
