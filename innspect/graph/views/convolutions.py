"""The affine views of convolutions."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from innspect import backend
from innspect.graph.ir import live
from innspect.graph.views.affine import KernelVjp, LayerAffine
from innspect.types import BackendTensor


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

    @property
    def bias_axes(self) -> frozenset[int]:
        return frozenset([-1 if self.channels_last else 1 - self.input_rank])

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
