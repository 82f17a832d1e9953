"""Elementwise affine maps, y = scale x + shift, and affine layers that have taken one in (METHODS 5.4)."""

import operator
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from innspect.graph.ir import live
from innspect.graph.values import Value
from innspect.graph.views.affine import Affine
from innspect.types import BackendTensor


class Diagonal:
    """A map y = scale x + shift of each element by itself, with parameters that no input of the model changes.

    Attributes:
        axes: The axes, negative, along which the parameters vary; none for numbers.
        learned: Whether weights are among what they are made of. Where not, the map only prepares what it is given.
    """

    axes: frozenset[int]
    learned: bool

    def scale(self) -> BackendTensor:
        """The factor: a number, or an array that has the axes along which it varies, in order, and perhaps some of length 1."""
        raise NotImplementedError

    def shift(self) -> BackendTensor:
        """What is added, in such a shape."""
        raise NotImplementedError

    def along(self, axis: int, size: int) -> tuple[BackendTensor, BackendTensor]:
        """Scale and shift as vectors along the only axis on which they may vary."""
        scale, shift = (ops.reshape(t, (-1,)) for t in (self.scale(), self.shift()))
        return ops.broadcast_to(scale, (size,)), ops.broadcast_to(shift, (size,))

    def varies_along(self, axis: int) -> bool:
        """Whether the parameters vary along no other axis."""
        return self.axes <= {axis}


class Arithmetic(Diagonal):
    """A diagonal map that is written as operations with constants, or that a layer without training is.

    Args:
        scale, shift: A `Value` each; None for 1 and for 0.
        dtype: Of the tensor that is mapped.
        learned: See `Diagonal`; default whether the values are made of variables.
    """

    def __init__(self, scale: Value | None, shift: Value | None, dtype: str, learned: bool | None = None):
        self._scale, self._shift, self._dtype = scale, shift, dtype
        given = [v for v in (scale, shift) if v is not None]
        self.variables = tuple(v for value in given for v in value.variables)
        self.axes = frozenset(i - len(v.shape) for v in given for i, d in enumerate(v.shape) if d != 1)
        self.learned = bool(self.variables) if learned is None else learned

    def scale(self) -> BackendTensor:
        return ops.ones((), self._dtype) if self._scale is None else ops.cast(self._scale(), self._dtype)

    def shift(self) -> BackendTensor:
        return ops.zeros((), self._dtype) if self._shift is None else ops.cast(self._shift(), self._dtype)

    @property
    def only_shifts(self) -> Value | None:
        """What is added, where nothing is multiplied."""
        return self._shift if self._scale is None else None

    def then(self, after: "Arithmetic") -> "Arithmetic":
        """The map that is this one and then another."""
        scale = _both(self._scale, after._scale, operator.mul)
        moved = None if self._shift is None else _both(self._shift, after._scale, operator.mul)
        return Arithmetic(scale, _both(moved, after._shift, operator.add), self._dtype, self.learned or after.learned)


def _both(a: Value | None, b: Value | None, function: Callable[[BackendTensor, BackendTensor], BackendTensor]) -> Value | None:
    """What a function makes of two values; None for one that changes nothing."""
    return b if a is None else a if b is None else a.beside(b, function)


class BatchNorm(Diagonal):
    """The diagonal affine map of batch normalization in inference: y = scale x + shift along one axis.

    Args:
        layer: The layer, or what has its parameters.
        rank: Of its input.
    """

    learned = True

    def __init__(self, layer: keras.layers.BatchNormalization, rank: int):
        self.layer, self.rank = layer, rank
        self.axis = layer.axis if layer.axis < 0 else layer.axis - rank
        self.axes = frozenset([self.axis])

    @property
    def variables(self) -> tuple[keras.Variable, ...]:
        return tuple(self.layer.variables)

    def scale(self) -> BackendTensor:
        layer = self.layer
        deviation = ops.sqrt(live(layer.moving_variance) + layer.epsilon)
        return (live(layer.gamma) if layer.scale else 1.0) / deviation

    def shift(self) -> BackendTensor:
        shift = -live(self.layer.moving_mean) * self.scale()
        return shift + live(self.layer.beta) if self.layer.center else shift

    def __call__(self, x: BackendTensor) -> BackendTensor:
        layer = self.layer
        return ops.batch_normalization(
            x,
            mean=live(layer.moving_mean),
            variance=live(layer.moving_variance),
            axis=layer.axis,
            offset=live(layer.beta) if layer.center else None,
            scale=live(layer.gamma) if layer.scale else None,
            epsilon=layer.epsilon,
        )


class Folded(Affine):
    """An affine layer with the diagonal affine map before or after it taken in: exactly the same function.

    Args:
        base: The view of the layer.
        diagonal: The map, whose parameters vary along the layer's channels only.
        after: Whether it comes after the layer.
        size: How many channels there are.
    """

    def __init__(self, base: Affine, diagonal: Diagonal, after: bool, size: int):
        self.base, self.diagonal, self.after = base, diagonal, after
        self.family, self.input_rank = base.family, base.input_rank
        self.input_axis, self.output_axis = base.input_axis, base.output_axis
        self.folds_outputs, self.folds_inputs = base.folds_outputs, base.folds_inputs
        self.layer = getattr(base, "layer", None)
        self._parameters: Callable[[], Any] = lambda: diagonal.along(self.output_axis if after else self.input_axis, size)

    def kernel(self) -> BackendTensor:
        fold = self.base.scale_outputs if self.after else self.base.scale_inputs
        return fold(self.base.kernel(), self._parameters()[0])

    def bias(self) -> BackendTensor | None:
        bias, (scale, shift) = self.base.bias(), self._parameters()
        if self.after:
            shift = self._over_outputs(shift)
            return shift if bias is None else bias * self._over_outputs(scale) + shift
        moved = self.base.shift_of_inputs(self.base.kernel(), shift)
        return moved if bias is None else moved + bias

    def _over_outputs(self, vector: BackendTensor) -> BackendTensor:
        if self.output_axis == -1:
            return vector
        return ops.reshape(vector, (1, -1) + (1,) * (self.input_rank - 2))

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return self.base.linear(x, kernel)

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return self.base.scale_outputs(kernel, scale)

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return self.base.scale_inputs(kernel, scale)

    def shift_of_inputs(self, kernel: BackendTensor, shift: BackendTensor) -> BackendTensor:
        return self.base.shift_of_inputs(kernel, shift)

    def kernel_extent(self) -> list[tuple[int, int]]:
        return self.base.kernel_extent()
