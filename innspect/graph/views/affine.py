"""The affine view of a layer: y = linear(x, kernel) + bias, with the kernel and bias in the open.

Rules are written against this view only, so one formula serves every layer kind. Kernel and bias are read from the
user's live layer each time they are asked for, in float32 at least.
"""

from collections.abc import Callable
from typing import Any

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
        # A scale per output channel can enter the kernel where the channel's letter is the kernel's alone.
        letter = output[-1]
        self.folds_outputs = letter in self._w and letter not in self._x
        self.folds_inputs = False

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return ops.einsum(self.layer.equation, x, kernel)

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        shape = [1] * len(kernel.shape)
        shape[self._w.index(self._y[-1]) - len(self._w)] = -1
        return kernel * ops.reshape(scale, shape)


class _Spatial(LayerAffine):
    """Positions and channels, in either order."""

    family = "convolution"

    def __init__(self, layer: keras.Layer, input_rank: int):
        super().__init__(layer, input_rank)
        self.channels_last = layer.data_format == "channels_last"
        self.input_axis = self.output_axis = -1 if self.channels_last else 1

    def bias(self) -> BackendTensor | None:
        bias = super().bias()
        return bias if bias is None or self.channels_last else ops.reshape(bias, (1, -1) + (1,) * (self.input_rank - 2))

    def kernel_vjp(self, x: BackendTensor, kernel: BackendTensor) -> KernelVjp:
        gradients = backend.kernel_gradients()
        if gradients is None:
            return super().kernel_vjp(x, kernel)

        def pullback(signal: BackendTensor) -> BackendTensor:
            seen, at = (t if self.channels_last else ops.moveaxis(t, 1, -1) for t in (x, signal))
            return self._kernel_signal(gradients.convolution, seen, at, kernel.shape)

        return self.linear(x, kernel), pullback

    def _kernel_signal(
        self, gradient: Callable[..., BackendTensor], x: BackendTensor, signal: BackendTensor, shape: tuple[int, ...]
    ) -> BackendTensor:
        return gradient(x, signal, shape, **self._geometry(len(shape) - 2))

    def _geometry(self, axes: int) -> dict[str, Any]:
        """How the window moves over some axes."""
        layer = self.layer
        strides, dilation = ([n] * axes if isinstance(n, int) else n for n in (layer.strides, layer.dilation_rate))
        return {"strides": strides, "dilation": dilation, "padding": layer.padding}


class Conv(_Spatial):
    def __init__(self, layer: keras.Layer, input_rank: int):
        super().__init__(layer, input_rank)
        self.folds_inputs = layer.padding == "valid"

    def kernel_extent(self) -> list[tuple[int, int]]:
        first = 1 if self.channels_last else 2
        sizes, rates = self.layer.kernel_size, self.layer.dilation_rate
        return [(first + i, (k - 1) * d + 1) for i, (k, d) in enumerate(zip(sizes, rates, strict=True))]

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        layer = self.layer
        x, padding = self._padded(x)
        return backend.conv(
            x,
            kernel,
            strides=list(layer.strides),
            padding=padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )

    def _padded(self, x: BackendTensor) -> tuple[BackendTensor, str]:
        """The input and the padding left to do; causal padding, which operations do not know, is done here."""
        if self.layer.padding != "causal":
            return x, self.layer.padding
        (axis, extent), *_ = self.kernel_extent()
        pads = [[0, 0]] * 3
        pads[axis] = [extent - 1, 0]
        return ops.pad(x, pads), "valid"

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        *_, group_size, filters = kernel.shape
        groups = scale.shape[0] // group_size
        by_group = ops.repeat(ops.reshape(scale, (groups, group_size)), filters // groups, axis=0)
        return kernel * ops.transpose(by_group)


class DepthwiseConv(Conv):
    """One kernel per input channel. Strides may be one number or one per axis."""

    def __init__(self, layer: keras.Layer, input_rank: int, kernel_name: str = "kernel", has_bias: bool = True):
        super().__init__(layer, input_rank)
        self._kernel_name, self._has_bias = kernel_name, has_bias

    def kernel(self) -> BackendTensor:
        return live(getattr(self.layer, self._kernel_name))

    def bias(self) -> BackendTensor | None:
        return super().bias() if self._has_bias else None

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        layer = self.layer
        x, padding = self._padded(x)
        return ops.depthwise_conv(
            x,
            kernel,
            strides=layer.strides,
            padding=padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )

    def _kernel_signal(
        self, gradient: Callable[..., BackendTensor], x: BackendTensor, signal: BackendTensor, shape: tuple[int, ...]
    ) -> BackendTensor:
        *window, channels, multiplier = shape
        return ops.reshape(super()._kernel_signal(gradient, x, signal, (*window, 1, channels * multiplier)), shape)

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * ops.reshape(scale, kernel.shape[-2:])

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale[:, None]


class PointwiseConv(_Spatial):
    """The second half of a separable convolution: a 1x1 convolution with the layer's bias."""

    def kernel(self) -> BackendTensor:
        return live(self.layer.pointwise_kernel)

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        return backend.conv(x, kernel, strides=1, padding="valid", data_format=self.layer.data_format)

    def _geometry(self, axes: int) -> dict[str, Any]:
        return {"strides": [1] * axes, "dilation": [1] * axes, "padding": "valid"}

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale

    def scale_inputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale[:, None]


class ConvTranspose(Conv):
    def __init__(self, layer: keras.Layer, input_rank: int):
        super().__init__(layer, input_rank)
        self.folds_inputs = False  # border positions see fewer inputs

    def linear(self, x: BackendTensor, kernel: BackendTensor) -> BackendTensor:
        layer = self.layer
        return ops.conv_transpose(
            x,
            kernel,
            strides=list(layer.strides),
            padding=layer.padding,
            output_padding=layer.output_padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )

    def _kernel_signal(
        self, gradient: Callable[..., BackendTensor], x: BackendTensor, signal: BackendTensor, shape: tuple[int, ...]
    ) -> BackendTensor:
        return super()._kernel_signal(gradient, signal, x, shape)  # that of a convolution from the output to the input

    def scale_outputs(self, kernel: BackendTensor, scale: BackendTensor) -> BackendTensor:
        return kernel * scale[:, None]
