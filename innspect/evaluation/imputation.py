"""Hidden positions that are linear in what stays visible around them (ROAD, Rong et al. 2022, arXiv 2202.00449).

The values z of hidden positions solve `(D - W) z = W x_known`: each is the weighted mean of its neighbours, hidden ones
included. W holds a weight for each neighbour inside the input, 1 / squared distance, and D their sum. All systems of a batch
are solved by conjugate gradients, in blocks that stay in the processor's cache; channels have the same matrix, and each its
own steps. What has converged leaves its block.
"""

import itertools

import numpy as np

from innspect.types import Array

ROUNDS, RESIDUAL = 1000, 1e-6
_BLOCK = 2**16  # elements that are solved at once


def imputed(x: Array, masks: Array, channel: int | None) -> Array:
    """Samples whose hidden positions follow from the others.

    Args:
        x: Samples (samples, ...).
        masks: What is hidden, booleans (versions, samples, *positions); with the channel axis where each channel has its own.
        channel: The channel axis of `x`, or None.

    Returns:
        (versions, samples, ...); of a sample with nothing known, or whose system did not converge, hidden positions are NaN.
    """
    dtype = x.dtype if x.dtype in ("float32", "float64") else np.dtype("float32")
    apart = masks.ndim == x.ndim + 1 and channel is not None
    values = (x[..., None] if channel is None else np.moveaxis(x, channel, -1)).astype(dtype)
    masks = masks[..., None] if not apart else np.moveaxis(masks, channel + 1, -1)  # type: ignore[operator]
    versions, channels = len(masks), values.shape[-1]
    values = np.moveaxis(values, -1, 1)  # (samples, channels, *positions)
    hidden = np.broadcast_to(np.moveaxis(masks, -1, 2), (versions, len(x), channels, *values.shape[2:]))
    result = np.broadcast_to(values, hidden.shape).copy()
    flat, flat_hidden = result.reshape(-1, *values.shape[2:]), hidden.reshape(-1, *values.shape[2:])
    size = max(1, _BLOCK // max(1, int(np.prod(values.shape[2:]))))
    for start in range(0, len(flat), size):
        block = slice(start, start + size)
        flat[block] = _solved(flat[block], flat_hidden[block])
    result = np.moveaxis(result, 2, -1)
    return result[..., 0] if channel is None else np.moveaxis(result, -1, channel + 1)


def _neighbours(strides: list[int]) -> list[tuple[float, list[int]]]:
    """For each weight, the steps to one half of the neighbours that have it, whose other half lies the other way."""
    found: dict[float, list[int]] = {}
    for offset in itertools.product((-1, 0, 1), repeat=len(strides)):
        if offset > (0,) * len(strides):
            step = sum(o * s for o, s in zip(offset, strides, strict=True))
            found.setdefault(1 / sum(map(abs, offset)), []).append(step)
    return sorted(found.items(), reverse=True)  # direct neighbours come first


class _Weights:
    """The product with W, of systems whose positions have a border of zeros and lie one after the other in memory.

    So a neighbour is always the same step away, and what lies outside is 0. Products at the border mean nothing.
    """

    def __init__(self, systems: Array):
        strides = [stride // systems.itemsize for stride in systems.strides[1:]]
        self.kinds, self.part = _neighbours(strides), np.empty_like(systems)
        self.reach = sum(strides)

    def times(self, values: Array, out: Array) -> Array:
        """W values, for values (n, *positions)."""
        flat, result, part = values.reshape(-1), out.reshape(-1), self.part[: len(values)].reshape(-1)
        inner = slice(self.reach, len(flat) - self.reach)
        result[: self.reach] = result[inner.stop :] = 0
        for weight, (first, *others) in self.kinds:
            target = (result if weight == 1 else part)[inner]
            np.add(self._moved(flat, first), self._moved(flat, -first), out=target)
            for step in others:
                target += self._moved(flat, step)
                target += self._moved(flat, -step)
            if weight != 1:
                target *= weight
                result[inner] += target
        return out

    def _moved(self, flat: Array, step: int) -> Array:
        return flat[self.reach + step : len(flat) - self.reach + step]


def _solved(x: Array, hidden: Array) -> Array:
    """Systems (n, *positions) with their hidden positions replaced."""
    over = tuple(range(1, x.ndim))
    result = np.where(hidden, np.nan, x)
    known = (~hidden).sum(axis=over)
    rows: Array = np.flatnonzero((known > 0) & hidden.any(axis=over))
    if not len(rows):
        return result
    border = [(0, 0), *((1, 1) for _ in over)]
    inner = (slice(None), *(slice(1, -1) for _ in over))
    inside = np.pad(hidden[rows], border).astype(x.dtype)
    visible = np.pad(~hidden[rows], border).astype(x.dtype)
    x = np.pad(x[rows], border)
    mean = (x * visible).sum(axis=over, keepdims=True, dtype="float64") / visible.sum(axis=over, keepdims=True)
    mean = mean.astype(x.dtype)
    weights = _Weights(x)
    total = weights.times(np.pad(np.ones_like(x[:1][inner]), border), np.empty_like(x[:1]))
    # A constant solves its own system, so all is told from the mean of what is known, where the search starts.
    r = weights.times((x - mean) * visible, np.empty_like(x)) * inside
    z, p, q = np.zeros_like(x), r.copy(), np.empty_like(x)
    before = _dot(r, r)
    goal = RESIDUAL**2 * before
    for _ in range(ROUNDS + 1):
        done = before <= goal
        if done.any():
            found = np.where(inside[done] > 0, z[done] + mean[done], x[done])
            result[rows[done]] = found[inner]
            rows, x, inside, mean, z, r, p, before, goal = (a[~done] for a in (rows, x, inside, mean, z, r, p, before, goal))
            q = q[: len(x)]
        if not len(rows):
            break
        weights.times(p, q)
        q *= inside
        np.subtract(total * p, q, out=q)
        step = _column(before / _dot(p, q), x)
        z += step * p
        r -= step * q
        after = _dot(r, r)
        p *= _column(after / before, x)
        p += r
        before = after
    return result


def _column(values: Array, like: Array) -> Array:
    return values.astype(like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def _dot(a: Array, b: Array) -> Array:
    """Inner products of systems, float64."""
    return np.matmul(a.reshape(len(a), 1, -1), b.reshape(len(b), -1, 1)).reshape(-1).astype("float64")
