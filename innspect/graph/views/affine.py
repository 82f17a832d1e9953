"""The affine view of a layer: y = linear(x, kernel) + bias, with the kernel and bias in the open.

Rules are written against this view only, so one formula serves every layer kind. Kernel and bias are read from the
user's live layer each time they are asked for, in float32 at least.
"""

import copy
from collections.abc import Callable

import keras
from keras import ops

from innspect import backend
from innspect.graph.ir import live
from innspect.types import BackendTensor

KernelVjp = tuple[BackendTensor, Callable[[BackendTensor], BackendTensor]]


class Affine:
    """What a rule may ask of an affine layer.

    Attributes:
        family: "dense" or "convolution".
        input_axis, output_axis: Where the channels are in x and in y.
        input_rank: How many axes x has, that of the samples among them; for what folds its inputs.
        folds_outputs, folds_inputs: Whether a diagonal affine map after the layer, or before it, can be taken into kernel
            and bias. That needs `scale_outputs`, or `scale_inputs` and that adding a constant to every input channel adds
            a constant to every output channel.
    """

    family: str = "dense"
    input_axis: int = -1
    output_axis: int = -1
    input_rank: int
    folds_outputs: bool = False
    folds_inputs: bool = False

    def kernel(self) -> BackendTensor:
        raise NotImplementedError

    def bias(self) -> BackendTensor | None:
        """The bias in a shape that broadcasts over y, or None."""
        raise NotImplementedError

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        """The layer without its bias, run with another kernel."""
        raise NotImplementedError

    def kernel_vjp(self, x: BackendTensor, kernel: BackendTensor) -> KernelVjp:
        """linear(x, kernel), and a function from a signal at it to the kernel's."""
        (y,), pullback = backend.vjp(lambda k: [self.linear(x, k)], [kernel])
        return y, lambda signal: pullback([signal])[0]

    def __call__(self, x: BackendTensor) -> BackendTensor:
        return self.apply(x, self.kernel(), self.bias())

    def apply(self, x: BackendTensor, kernel: BackendTensor, bias: BackendTensor | None = None) -> BackendTensor:
        y = self.linear(x, kernel)
        return y if bias is None else y + bias

    # ------------------------------------------------- folding of a diagonal affine neighbour (METHODS 5.4)
    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        """The kernel whose outputs are `scale`, a vector over output channels, times as large."""
        raise NotImplementedError

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        """The kernel that gives for x what `kernel` gives for scale * x; `scale` is a vector over input channels."""
        raise NotImplementedError

    def shift_of_inputs(self, kernel: BackendTensor, shift: BackendTensor) -> BackendTensor:
        """What adding `shift`, a vector over input channels, to x adds to y."""
        shape = [1] * self.input_rank
        shape[self.input_axis] = shift.shape[0]
        for axis, size in self.kernel_extent():
            shape[axis] = size
        constant = ops.reshape(shift, self._channel_shape(self.input_rank, self.input_axis))
        return self.linear(ops.broadcast_to(constant, shape), kernel)

    def kernel_extent(self) -> list[tuple[int, int]]:
        """(axis, size) pairs: the smallest input that the layer gives a single position for."""
        return []

    @staticmethod
    def _channel_shape(rank: int, axis: int) -> list[int]:
        shape = [1] * rank
        shape[axis] = -1
        return shape


class LayerAffine(Affine):
    """The view of a Keras layer that has a `kernel` and perhaps a `bias`."""

    folds_outputs = folds_inputs = True

    def __init__(self, layer: keras.Layer, input_rank: int):
        self.layer, self.input_rank = layer, input_rank

    def kernel(self) -> BackendTensor:
        return live(self.layer.kernel)

    def bias(self) -> BackendTensor | None:
        return live(getattr(self.layer, "bias", None))

    @property
    def bias_axes(self) -> frozenset[int]:
        """The axes of y, negative, along which a bias may vary."""
        return frozenset([-1])

    def with_bias(self, shift: Callable[[], BackendTensor]) -> "LayerAffine":
        """The view with a shift of its outputs, in a shape that broadcasts over y, added to its bias."""
        view, before = copy.copy(self), self.bias

        def bias() -> BackendTensor:
            known = before()
            return shift() if known is None else known + shift()

        view.bias = bias  # type: ignore[method-assign]
        return view


class Dense(LayerAffine):
    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return backend.matmul(x, kernel)

    def kernel_vjp(self, x: BackendTensor, kernel: BackendTensor) -> KernelVjp:
        gradients = backend.kernel_gradients()
        return super().kernel_vjp(x, kernel) if gradients is None else (self.linear(x, kernel), gradients.dense(x))

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale[:, None]


class EinsumDense(LayerAffine):
    def __init__(self, layer: keras.Layer, input_rank: int):
        super().__init__(layer, input_rank)
        inputs, output = layer.equation.replace(" ", "").split("->")
        self._x, self._w = inputs.split(",")
        self._y = output
        # A scale per channel can enter the kernel where the channel's letter is the kernel's, of outputs the kernel's alone.
        # A shift of inputs can where no axis of the input is summed over that the kernel does not have.
        self.folds_outputs = output[-1] in self._w and output[-1] not in self._x
        self.folds_inputs = self._x[-1] in self._w and all(a in self._w + self._y for a in self._x)

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return ops.einsum(self.layer.equation, x, kernel)

    @property
    def bias_axes(self) -> frozenset[int]:
        behind = self._y.rpartition("...")[2]
        return frozenset(i - len(behind) for i, letter in enumerate(behind) if letter in self._w)

    def kernel_extent(self) -> list[tuple[int, int]]:
        sizes = dict(zip(self._w, self.layer.kernel.shape, strict=True))
        behind = self._x.rpartition("...")[2]  # all of them, where there is no ellipsis
        return [(i - len(behind), sizes[letter]) for i, letter in enumerate(behind) if letter in sizes]

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return self._scaled(kernel, scale, self._y[-1])

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return self._scaled(kernel, scale, self._x[-1])

    def _scaled(self, kernel: BackendTensor, scale: BackendTensor, letter: str) -> BackendTensor:
        shape = [1] * len(kernel.shape)
        shape[self._w.index(letter)] = -1
        return kernel * ops.reshape(scale, shape)
