"""Moving, scaling, turning and blurring within the gradient: linear in the image, alike on every backend."""

from keras import ops

from innspect import backend
from innspect.types import BackendTensor


def _reflected(places: BackendTensor, size: int) -> BackendTensor:
    """Places along an axis, mirrored at its ends into it."""
    if size == 1:
        return ops.zeros_like(places)
    period = 2.0 * (size - 1)
    within = ops.abs(places - period * ops.round(places / period))
    return ops.clip(within, 0.0, float(size - 1))


def along(x: BackendTensor, matrices: BackendTensor, axis: int) -> BackendTensor:
    """Each row of x (rows, ...) times its matrix (rows, size, size) along an axis."""
    moved = ops.moveaxis(x, axis, 1)
    flat = ops.reshape(moved, (*moved.shape[:2], -1))
    return ops.moveaxis(ops.reshape(backend.matmul(matrices, flat), moved.shape), 1, axis)


def resampled(x: BackendTensor, maps: BackendTensor, turns: bool) -> BackendTensor:
    """Images looked up, bilinearly, at other places.

    Args:
        x: (rows, *spatial axes, channels).
        maps: (rows, axes, axes + 1): place in x = maps[..., :-1] @ place in the result + maps[..., -1], in positions.
        turns: Whether a place along one axis depends on the other one; for two spatial axes.
    """
    if turns:
        return _turned(x, maps)
    for axis in range(maps.shape[1]):
        size = x.shape[1 + axis]
        steps = ops.arange(size, dtype=x.dtype)
        places = _reflected(maps[:, axis, axis, None] * steps + maps[:, axis, -1, None], size)
        weights = ops.relu(1.0 - ops.abs(places[:, :, None] - steps))
        x = along(x, weights, 1 + axis)
    return x


def _turned(x: BackendTensor, maps: BackendTensor) -> BackendTensor:
    rows, height, width, channels = x.shape
    y = ops.arange(height, dtype=x.dtype)[None, :, None]
    z = ops.arange(width, dtype=x.dtype)[None, None, :]
    places = [maps[:, a, 0, None, None] * y + maps[:, a, 1, None, None] * z + maps[:, a, 2, None, None] for a in (0, 1)]
    across, down = _reflected(places[1], width), _reflected(places[0], height)
    top, left = ops.floor(down), ops.floor(across)
    first = ops.cast(ops.arange(rows, dtype="int32")[:, None, None] * (height * width), "int32")
    flat, result = ops.reshape(x, (rows * height * width, channels)), 0.0
    for below in (0, 1):
        for beside in (0, 1):
            row, column = (
                ops.cast(ops.minimum(p + q, n - 1), "int32") for p, q, n in ((top, below, height), (left, beside, width))
            )
            near = (1.0 - ops.abs(down - top - below)) * (1.0 - ops.abs(across - left - beside))
            taken = ops.take(flat, ops.reshape(first + row * width + column, (-1,)), axis=0)
            result = result + ops.reshape(taken, x.shape) * near[..., None]
    return result


def blurred(x: BackendTensor, sigmas: BackendTensor, axes: int) -> BackendTensor:
    """Images under Gaussian blur; sigmas (rows, axes), in positions. Weights sum to 1, also at the borders."""
    for axis in range(axes):
        steps = ops.arange(x.shape[1 + axis], dtype=x.dtype)
        width = ops.maximum(sigmas[:, axis], 1e-2)[:, None, None]
        weights = ops.exp(-0.5 * ((steps[:, None] - steps[None]) / width) ** 2)
        x = along(x, weights / ops.sum(weights, axis=-1, keepdims=True), 1 + axis)
    return x
