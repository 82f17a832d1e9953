"""What a function computes that Keras cannot run on symbolic tensors, such as one of a backend, told by trying it.

`tf.nn.softmax`, `jax.nn.relu`, `functools.partial(torch.softmax, dim=-1)` and a lambda around them are the functions that
Keras has, and are to be explained as these. Tried on drawn numbers, on both sides of zero, near it and far from it, a
function is known by its values, or at least shown to be elementwise: no element depends on another.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.backend.compiling import read_only
from innspect.types import Array, Shape

_LARGEST = 4  # of an axis that only numbers positions
_TOLERANCE = 1e-4


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def _erf(x: Array) -> Array:
    return ops.convert_to_numpy(ops.erf(ops.convert_to_tensor(x)))


_SELU = 1.0507009873554805, 1.6732632423543772

# The values of an elementwise function, and the operation of Keras.
_ELEMENTWISE: tuple[tuple[Callable[[Array], Array], Callable[..., Any]], ...] = (
    (lambda x: np.maximum(x, 0), ops.relu),
    (lambda x: np.clip(x, 0, 6), ops.relu6),
    (_sigmoid, ops.sigmoid),
    (np.tanh, ops.tanh),
    (lambda x: x * _sigmoid(x), ops.silu),
    (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), ops.elu),
    (lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(np.minimum(x, 0))), ops.selu),
    (lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2).astype(x.dtype))), lambda x: ops.gelu(x, approximate=False)),
    (lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), ops.gelu),
    (lambda x: np.logaddexp(0, x), ops.softplus),
    (lambda x: -np.logaddexp(0, -x), ops.log_sigmoid),
    (lambda x: x / (1 + np.abs(x)), ops.softsign),
    (lambda x: np.clip(x / 6 + 0.5, 0, 1), ops.hard_sigmoid),
    (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ops.hard_silu),
    (lambda x: np.clip(x, -1, 1), ops.hard_tanh),
    (np.exp, ops.exp),
    (np.square, ops.square),
    (np.abs, ops.absolute),
)


class Tried:
    """A function of one tensor, and what it gave.

    Args:
        function: The function, of a backend tensor.
        shape: Of what it will be given, with None for lengths that are not known.
        dtype: Of that.

    Attributes:
        known: The operation of Keras that gives the same, or None.
        smooth: Whether it is known to be a function without a kink that is no operation of Keras.
        elementwise: Whether no element of the result depends on another of the input.
    """

    def __init__(self, function: Callable[..., Any], shape: Shape, dtype: str):
        self._function, self._dtype = function, dtype
        self.known: Callable[..., Any] | None = None
        self.elementwise = self.smooth = False
        for size in [_short(shape), _whole(shape)] if _short(shape) != _whole(shape) else [_whole(shape)]:
            try:  # a function may know the shape that it will be given
                self._try(size)
                return
            except Exception:
                continue

    def _try(self, shape: tuple[int, ...]) -> None:
        random = np.random.default_rng(0)
        x, other = _drawn(random, shape, self._dtype), _drawn(random, shape, self._dtype)
        y = self._run(x)
        if y.shape != x.shape or not _same(self._run(x), y):
            return  # it is random, or makes something of another shape
        self.known, self.smooth = _known(x, y), _same(x * np.tanh(np.logaddexp(0, x)), y)  # mish
        masks = [random.random(shape) < 0.5 for _ in range(4)]
        self.elementwise = all(_same(self._run(np.where(m, other, x))[~m], y[~m]) for m in masks)

    def _run(self, x: Array) -> Array:
        with read_only():
            return keras.ops.convert_to_numpy(self._function(ops.convert_to_tensor(x)))


def _whole(shape: Shape) -> tuple[int, ...]:
    return (2, *(3 if d is None else d for d in shape[1:]))


def _short(shape: Shape) -> tuple[int, ...]:
    """The shape with few positions, all channels."""
    whole = _whole(shape)
    return (2, *(min(d, _LARGEST) for d in whole[1:-1]), *whole[1:][-1:])


def _drawn(random: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Numbers of several sizes: near zero, about one, where a softmax is far from flat, and beyond every bound."""
    scales = random.choice([0.1, 1.0, 3.0, 12.0], shape, p=[0.2, 0.4, 0.3, 0.1])
    return (scales * random.normal(size=shape)).astype(dtype)


def _same(a: Array, b: Array) -> bool:
    return np.allclose(a, b, rtol=_TOLERANCE, atol=1e-6, equal_nan=True)


def _known(x: Array, y: Array) -> Callable[..., Any] | None:
    """The function of Keras that makes y of x, or None."""
    with np.errstate(all="ignore"):
        for values, function in _ELEMENTWISE:
            if _same(values(x), y):
                return function
        for axis in range(-1, -x.ndim, -1):
            p = _softmax(x, axis)
            if x.shape[axis] > 1 and _same(p, y):
                return lambda x: ops.softmax(x, axis=axis)
            if x.shape[axis] > 1 and _same(np.log(p), y):
                return lambda x: ops.log_softmax(x, axis=axis)
        return _piecewise(x, y)


def _piecewise(x: Array, y: Array) -> Callable[..., Any] | None:
    """A ReLU with another slope below zero, or with a bound."""
    below, above = x < -0.5, x > 0.5
    if not below.any() or not above.any():
        return None
    slope, highest = float(np.median(y[below] / x[below])), float(y.max())
    if _same(np.where(x > 0, x, slope * x), y):
        return lambda x: ops.leaky_relu(x, negative_slope=slope)
    if highest > 0 and _same(np.clip(x, 0, highest), y):
        return lambda x: keras.activations.relu(x, max_value=highest)
    return None
