"""Diagonal affine maps, and affine layers that have taken one in (METHODS 5.4)."""

import keras
from keras import ops

from innspect.graph.ir import live
from innspect.graph.views.affine import Affine
from innspect.types import BackendTensor


class Folded(Affine):
    """An affine layer with the diagonal affine map before or after it taken in: exactly the same function."""

    def __init__(self, base: Affine, diagonal: "BatchNorm", after: bool):
        self.base, self.diagonal, self.after = base, diagonal, after
        self.family, self.input_rank = base.family, base.input_rank
        self.input_axis, self.output_axis = base.input_axis, base.output_axis
        self.folds_outputs, self.folds_inputs = base.folds_outputs, base.folds_inputs
        self.layer = getattr(base, "layer", None)

    def kernel(self) -> BackendTensor:
        scale = self.diagonal.scale()
        fold = self.base.scale_outputs if self.after else self.base.scale_inputs
        return fold(self.base.kernel(), scale)

    def bias(self) -> BackendTensor | None:
        bias, shift = self.base.bias(), self.diagonal.shift()
        if self.after:
            shift = self._over_outputs(shift)
            return shift if bias is None else bias * self._over_outputs(self.diagonal.scale()) + shift
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


class BatchNorm:
    """The diagonal affine map of batch normalization in inference: y = scale x + shift along one axis."""

    def __init__(self, layer: keras.layers.BatchNormalization, rank: int):
        self.layer, self.rank = layer, rank
        self.axis = layer.axis if layer.axis < 0 else layer.axis - rank

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
