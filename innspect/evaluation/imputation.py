"""Hidden positions that are linear in what stays visible around them (ROAD, Rong et al. 2022, arXiv 2202.00449).

The values z of hidden positions solve `(D - W) z = W x_known`: each is the weighted mean of its neighbours, hidden ones
included. W holds a weight for each neighbour inside the input, 1 / squared distance, and D their sum. All systems of a batch
are solved by conjugate gradients, in blocks that stay in the processor's cache; channels have the same matrix, and each its
own steps. What has converged leaves the block.
"""

import itertools

import numpy as np

from innspect.types import Array

ROUNDS, RESIDUAL = 1000, 1e-6
_BLOCK = 2**17  # elements that are solved at once


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


def _neighbours(dimensions: int) -> dict[float, list[tuple[slice, ...]]]:
    """For each weight, where the neighbours that have it lie in an array that is one wider on each side."""
    found: dict[float, list[tuple[slice, ...]]] = {}
    for offset in itertools.product((-1, 0, 1), repeat=dimensions):
        distance = sum(abs(o) for o in offset)
        if distance:
            window = tuple(slice(1 + o, o - 1 if o < 1 else None) for o in offset)
            found.setdefault(1 / distance, []).append((slice(None), *window))
    return found


class _Weights:
    """The product with W, of systems (n, *positions) that are kept one wider on each side, so that nothing lies outside."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.wide = np.zeros((shape[0], *(s + 2 for s in shape[1:])), dtype)
        self.inner = (slice(None), *(slice(1, -1) for _ in shape[1:]))
        self.kinds = sorted(_neighbours(len(shape) - 1).items(), reverse=True)
        self.part = np.empty(shape, dtype)

    def times(self, values: Array, out: Array) -> Array:
        """W values, for values (n, *positions)."""
        wide, part = self.wide[: len(values)], self.part[: len(values)]
        wide[self.inner] = values
        for weight, (first, second, *others) in self.kinds:
            target = out if weight == 1 else part  # direct neighbours come first
            np.add(wide[first], wide[second], out=target)
            for window in others:
                target += wide[window]
            if weight != 1:
                part *= weight
                out += part
        return out


def _solved(x: Array, hidden: Array) -> Array:
    """Systems (n, *positions) with their hidden positions replaced."""
    over = tuple(range(1, x.ndim))
    result = np.where(hidden, np.nan, x)
    known = (~hidden).sum(axis=over)
    rows = np.flatnonzero((known > 0) & hidden.any(axis=over))
    if not len(rows):
        return result
    x, inside = x[rows], hidden[rows].astype(x.dtype)
    column = (-1, *(1,) * len(over))
    mean = ((x * (1 - inside)).sum(axis=over, dtype="float64") / known[rows]).astype(x.dtype).reshape(column)
    weights = _Weights(x.shape, x.dtype)
    total = weights.times(np.ones_like(x[:1]), np.empty_like(x[:1]))
    # A constant solves its own system, so all is told from the mean of what is known, where the search starts.
    r = weights.times((x - mean) * (1 - inside), np.empty_like(x)) * inside
    z, p, q = np.zeros_like(x), r.copy(), np.empty_like(x)
    before = _dot(r, r)
    goal = RESIDUAL**2 * before
    for _ in range(ROUNDS + 1):
        done = before <= goal
        if done.any():
            result[rows[done]] = np.where(inside[done] > 0, z[done] + mean[done], x[done])
            rows, x, inside, mean, z, r, p, before, goal = (a[~done] for a in (rows, x, inside, mean, z, r, p, before, goal))
            q = q[: len(x)]
        if not len(rows):
            break
        weights.times(p, q)
        q *= -1
        q += total * p
        q *= inside
        step = (before / _dot(p, q)).astype(x.dtype).reshape(column)
        z += step * p
        r -= step * q
        after = _dot(r, r)
        p *= (after / before).astype(x.dtype).reshape(column)
        p += r
        before = after
    return result


def _dot(a: Array, b: Array) -> Array:
    """Inner products of systems, float64."""
    flat = a.reshape(len(a), 1, -1), b.reshape(len(b), -1, 1)
    return np.matmul(*flat).reshape(-1).astype("float64")
