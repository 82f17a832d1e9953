"""Patterns by the book, for the tests: every patch unfolded, float64 NumPy, one neuron after the other."""

import keras
import numpy as np
from keras import layers as L

# name -> (layer, input shape, axes of the kernel that number the neurons)
LAYERS = {
    "dense": (lambda: L.Dense(4), (6,), (1,)),
    "dense_sequence": (lambda: L.Dense(3), (5, 4), (1,)),
    "dense_no_bias": (lambda: L.Dense(4, use_bias=False), (6,), (1,)),
    "einsum": (lambda: L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"), (3, 4), (1, 2)),
    "einsum_ellipsis": (lambda: L.EinsumDense("...x,xy->...y", output_shape=3, bias_axes="y"), (3, 4), (1,)),
    "einsum_over_time": (lambda: L.EinsumDense("abc,bd->adc", output_shape=(3, None), bias_axes="d"), (4, 5), (1,)),
    "einsum_by_head": (lambda: L.EinsumDense("abc,bcd->abd", output_shape=(2, 3), bias_axes="bd"), (2, 4), (0, 2)),
    "conv1d": (lambda: L.Conv1D(3, 3, padding="same"), (7, 2), (2,)),
    "conv1d_causal": (lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), (7, 2), (2,)),
    "conv2d": (lambda: L.Conv2D(3, 3), (5, 6, 2), (3,)),
    "conv2d_strided": (lambda: L.Conv2D(3, 3, strides=2, padding="same"), (6, 5, 2), (3,)),
    "conv2d_dilated": (lambda: L.Conv2D(3, 2, dilation_rate=2, padding="same"), (6, 5, 2), (3,)),
    "conv2d_groups": (lambda: L.Conv2D(6, 2, groups=2, padding="same"), (4, 4, 4), (3,)),
    "conv3d": (lambda: L.Conv3D(2, 2, padding="same"), (3, 4, 3, 2), (4,)),
    "depthwise1d": (lambda: L.DepthwiseConv1D(3, depth_multiplier=2, padding="same"), (6, 3), (1, 2)),
    "depthwise2d": (lambda: L.DepthwiseConv2D(2, depth_multiplier=2), (5, 4, 3), (2, 3)),
    "transposed1d": (lambda: L.Conv1DTranspose(3, 3, strides=2), (4, 2), (1,)),
    "transposed2d": (lambda: L.Conv2DTranspose(3, 3, strides=2, padding="same"), (3, 4, 2), (2,)),
}


def kernel_of(layer):
    """The kernel variable of a layer that has one."""
    return layer.kernel


def patches(layer, kernel, x, neuron_axes):
    """What every neuron sees: (neurons, samples and positions, inputs), by running the layer with unit kernels.

    The layer must have no activation. Its weights are put back.
    """
    kept, columns = keras.ops.convert_to_numpy(kernel).copy(), {}
    bias = getattr(layer, "bias", None)
    if bias is not None:
        kept_bias = keras.ops.convert_to_numpy(bias).copy()
        bias.assign(np.zeros_like(kept_bias))
    for index in np.ndindex(*kept.shape):
        unit = np.zeros_like(kept)
        unit[index] = 1
        kernel.assign(unit)
        y = keras.ops.convert_to_numpy(layer(x))
        neuron = tuple(index[a] for a in neuron_axes)
        columns.setdefault(neuron, []).append(channel(y, neuron, kept, neuron_axes, layer))
    kernel.assign(kept)
    if bias is not None:
        bias.assign(kept_bias)
    return {neuron: np.stack(c, axis=1) for neuron, c in columns.items()}


def channel(y, neuron, kernel, neuron_axes, layer):
    """The output of one neuron over samples and positions, flat."""
    if isinstance(layer, L.EinsumDense):
        letters = layer.equation.split(",")[1].split("->")
        axes = [letters[1].index(letters[0][a]) - len(letters[1]) for a in neuron_axes]
        for axis, i in sorted(zip([a % y.ndim for a in axes], neuron, strict=True), reverse=True):
            y = np.take(y, i, axis)
        return y.ravel()
    number = np.ravel_multi_index(neuron, [kernel.shape[a] for a in neuron_axes])
    return y[..., number].ravel()


def pattern(x, y, kind, gate=None, y_mean="all"):
    """The pattern of one neuron from its patches x (samples, inputs) and outputs y; None where there is none."""
    gate = y > 0 if gate is None else gate
    inside = {"linear": np.ones(len(y), bool), "positive": gate, "negative": ~gate}[kind]
    if not inside.any():
        return None
    mean = y[inside].mean() if y_mean == "regime" else y.mean()
    return (x[inside] * y[inside, None]).mean(0) - x[inside].mean(0) * mean


def expected(layer, x, neuron_axes, kind, kernel=None, bias=0.0, gate="activation", y_mean="all"):
    """The pattern of a layer for inputs x, in the kernel's shape."""
    kernel = kernel_of(layer) if kernel is None else kernel
    values = keras.ops.convert_to_numpy(kernel).astype("float64")
    result = np.zeros_like(values)
    own = getattr(layer, "bias", None)
    own = None if own is None else keras.ops.convert_to_numpy(own)
    for neuron, columns in patches(layer, kernel, x, neuron_axes).items():
        place = [slice(None)] * values.ndim
        for axis, i in zip(neuron_axes, neuron, strict=True):
            place[axis] = i
        w = values[tuple(place)].ravel()
        z = columns @ w
        y = z if own is None else z + _bias_of(own, neuron, values, neuron_axes)
        numerator = pattern(columns, y, kind, z > 0 if gate == "bias_free" else y > 0, y_mean)
        if numerator is not None:
            result[tuple(place)] = (numerator / (w @ numerator)).reshape(result[tuple(place)].shape)
    return result


def _bias_of(bias, neuron, kernel, neuron_axes):
    if bias.ndim == len(neuron):
        return bias[neuron]
    if bias.ndim == 1:
        return bias[np.ravel_multi_index(neuron, [kernel.shape[a] for a in neuron_axes])]
    return bias.reshape(-1)[neuron[-1]]  # such as (d, 1)
