"""Means of draws: how far they may be from what more draws would give, and when there are enough of them.

What a draw gives is kept as moments, merged chunk by chunk on the device, so that memory does not grow with the draws.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.explanation import norm
from innspect.analyzers.base.request import Batch, Result
from innspect.checks import AnyOf, Number, OneOf
from innspect.types import Array, BackendTensor

Moments = dict[str, Any]
Rule = Callable[[Result], Array]

FIRST = 8  # draws after which is asked for the first time; then after twice as many, and so on
TOLERANCE = AnyOf(Number(), OneOf(None))


# ---------------------------------------------------------------------- moments
def moments(maps: BackendTensor, ws: BackendTensor) -> Moments:
    """The moments of the draws of each sample: count, mean, and the sum of squares around the mean.

    They are taken around the first draw, so that draws which are all equal have no spread at all.

    Args:
        maps: (batch, draws, ...).
        ws: Broadcasts over them; 1 for a draw that counts, 0 for padding. The first counts.
    """
    count, first = ops.sum(ws, axis=1), maps[:, 0]
    apart = maps - first[:, None]
    shift = ops.sum(apart * ws, axis=1) / count
    spread = ops.sum(ops.square(apart - shift[:, None]) * ws, axis=1)
    return {"count": count, "mean": first + shift, "spread": spread}


def higher_moments(found: Moments, maps: BackendTensor, ws: BackendTensor) -> Moments:
    """Moments with the sums of third and fourth powers around the mean."""
    away = maps - found["mean"][:, None]
    cubes = away * away * away
    return found | {"third": ops.sum(cubes * ws, axis=1), "fourth": ops.sum(cubes * away * ws, axis=1)}


def merged(a: Moments, b: Moments) -> Moments:
    """The moments of two sets of draws as one (Chan et al. 1979; Pebay 2008)."""
    count, step = a["count"] + b["count"], b["mean"] - a["mean"]
    found = {
        "count": count,
        "mean": a["mean"] + step * (b["count"] / count),
        "spread": a["spread"] + b["spread"] + step * step * (a["count"] * b["count"] / count),
    }
    found |= {"sum": a["sum"] + b["sum"]} if "sum" in a else {}
    if "fourth" not in a:
        return found
    p, q = a["count"] / count, b["count"] / count
    across = step * (p * b["spread"] - q * a["spread"])
    cubes = step * step * step * (p * b["count"])
    found["third"] = a["third"] + b["third"] + cubes * (p - q) + 3 * across
    found["fourth"] = a["fourth"] + b["fourth"] + cubes * step * (p * p - p * q + q * q)
    found["fourth"] += 6 * step * step * (p * p * b["spread"] + q * q * a["spread"])
    found["fourth"] += 4 * step * (p * b["third"] - q * a["third"])
    return found


def each(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply a function to the moments, and to the tensors, in nests of them."""
    first = trees[0]
    if isinstance(first, dict) and "spread" not in first:
        return {k: each(function, *[t[k] for t in trees]) for k in first}
    if isinstance(first, list | tuple):
        return [each(function, *branches) for branches in zip(*trees, strict=True)]
    return function(*trees)


def added(a: Any, b: Any) -> Any:
    """What was found in two chunks as one: moments are merged, sums added."""
    return each(lambda s, t: merged(s, t) if isinstance(s, dict) else s + t, a, b)


def of_mean(found: Moments) -> Array:
    """The standard error of a mean: s / sqrt(n), s with n - 1; of one draw NaN."""
    n, spread, _ = _on_host(found)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(spread / (n - 1) / n).astype(backend.to_numpy(found["spread"]).dtype)


def of_variance(found: Moments) -> Array:
    """The standard error of a variance, sqrt((m4 - s^4 (n - 3) / (n - 1)) / n); of one draw NaN."""
    n, spread, fourth = _on_host(found)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = spread / (n - 1)
        square = (fourth / n - variance * variance * (n - 3) / (n - 1)) / n
        return np.sqrt(np.maximum(square, 0)).astype(backend.to_numpy(found["spread"]).dtype)


def _on_host(found: Moments) -> list[Any]:
    return [backend.to_numpy(found[k]).astype("float64") if k in found else None for k in ("count", "spread", "fourth")]


# ---------------------------------------------------------------------- when there are enough
def counts(limit: int) -> Iterator[int]:
    """8, 16, 32, ..., and the limit itself last."""
    count = FIRST
    while count < limit:
        yield count
        count *= 2
    yield limit


def shuffled(count: int) -> Array:
    """The numbers of given draws in a random order, always the same: the first of them stand for all."""
    return np.random.default_rng(0).permutation(count)


def uncertain(found: Result, tolerance: float, several: bool) -> Array:
    """Where the error is not yet within a share of the map, (samples,) or (neurons, samples): in Euclidean norms, over all
    inputs together. What has no error, or one that is not finite, is uncertain.
    """
    lead = 2 if several else 1
    error, map = (norm(arrays, lead) for arrays in (found["details"]["error"], found["attributions"]))
    return ~(error <= tolerance * map)


def refined(find: Callable[..., Result], batch: Batch, steps: Iterator[int], short: Rule, said: str, several: bool) -> Result:
    """What is found with more and more steps, for those samples that are short of something.

    A sample, and of several neurons each, keeps what it had when it was no longer short: it does not depend on the others.

    Args:
        find: A function of a batch, a number of steps, and the places that the samples of this batch had in the one before
            (None: all, or the first one), to what `explain_batch` returns.
        batch: The `Batch`.
        steps: Numbers of steps, rising.
        short: Tells of what is found where it is not enough, a boolean for each target.
        said: The name of the number of steps in "details".
        several: Whether there is a neuron axis.

    Returns:
        As `explain_batch`, NumPy arrays.
    """
    held, places, part = np.arange(len(batch)), None, batch
    result: Result = {}
    rows: Any = None
    lacks: Any = None
    for count in steps:
        found = keras.tree.map_structure(backend.to_numpy, find(part, count, places))
        found["details"] = found.get("details", {}) | {said: np.full(found["targets"].shape, count)}
        if rows is None:
            result = found
        else:
            put = functools.partial(_replaced, rows=rows, at=_places(held, rows), short=lacks[..., rows])
            kept = [k for k in result if k not in ("outputs", "targets")]
            result |= {k: keras.tree.map_structure(put, result[k], found[k]) for k in kept}
        lacks = short(result)
        rows = np.flatnonzero(lacks.any(axis=0) if several else lacks)
        if not len(rows):
            break
        places, size = None, 1 << (len(rows) - 1).bit_length()  # a compiled shape more seldom
        if size < len(held):
            now = rows[np.minimum(np.arange(size), len(rows) - 1)]
            places = _places(held, now)
            held, part = now, Batch.of(batch.request, batch.rows[now])
    return result


def _places(held: Array, rows: Array) -> Array:
    """Where some rows are among those that are held."""
    return np.array([np.flatnonzero(held == row)[0] for row in rows])


def _replaced(coarse: Array, fine: Array, rows: Array, at: Array, short: Array) -> Array:
    """The coarse values with the fine ones, of some rows, which are at `at` there, where they are short."""
    axis = short.ndim - 1
    here, fine = (slice(None),) * axis + (rows,), np.take(fine, at, axis)
    result = coarse.copy()
    result[here] = np.where(short.reshape(*short.shape, *[1] * (fine.ndim - short.ndim)), fine, coarse[here])
    return result


class Drawing:
    """Draws that go on from where they were, for `refined`.

    Args:
        draw: A function of a batch and the numbers of its first and its last draw, less one, to a state, a nest of tensors
            or arrays with an axis of samples (1 where it serves all), and of moments; and to "outputs" and "targets".
        conclude: A function of a state, of how many draws it holds, and of "outputs" and "targets", to the rest of what
            `explain_batch` returns.
        several: Whether states have a neuron axis before that of the samples.
    """

    def __init__(self, draw: Callable[..., tuple[Any, Result]], conclude: Callable[[Any, int, Result], Result], several: bool):
        self._draw, self._conclude, self._axis = draw, conclude, 1 if several else 0
        self._count, self._state = 0, None

    def __call__(self, batch: Batch, count: int, places: Array | None = None) -> Result:
        found, beside = self._draw(batch, self._count, count)
        if self._state is None:
            self._state = found
        else:
            before = self._state if places is None else keras.tree.map_structure(lambda a: self._taken(a, places), self._state)
            self._state = added(before, found)
        self._count = count
        return beside | self._conclude(self._state, count, beside)

    def _taken(self, values: Any, places: Array) -> Any:
        if values.shape[self._axis] == 1:
            return values
        return np.take(values, places, self._axis) if isinstance(values, np.ndarray) else ops.take(values, places, self._axis)


def drawn(drawing: Drawing, batch: Batch, limit: int, tolerance: float | None, several: bool) -> Result:
    """All draws, or as many as are needed for an error within the tolerance; with "draws" in the details."""
    if tolerance is not None:
        return refined(drawing, batch, counts(limit), lambda found: uncertain(found, tolerance, several), "draws", several)
    result = drawing(batch, limit)
    if "details" in result:
        result["details"]["draws"] = np.full(result["targets"].shape, limit)
    return result
