"""Whole networks by the book, for the tests: float64 NumPy, every patch unfolded, every gradient written by hand.

A network is a list of steps (layer, names of its inputs); the same list is built as a Keras model and interpreted here.
All convolutions are one gather: `taps[position, tap]` says which input position a tap of the kernel sees, -1 for none.
"""

from itertools import product

import keras
import numpy as np
from keras import layers as L
from versions import before_keras


def build(shape, steps):
    """The functional Keras model of a list of steps; the name of each step is its layer's."""
    made = {"x": keras.Input(shape, name="x")}
    for layer, *inputs in steps:
        tensors = [made[i] for i in inputs]
        made[layer.name] = layer(tensors if len(tensors) > 1 else tensors[0])
    return keras.Model(made["x"], made[steps[-1][0].name])


# ------------------------------------------------------------------ where a convolution looks
def _tuple(value, rank):
    return tuple(value) if isinstance(value, list | tuple) else (value,) * rank


# Before 3.15 Keras on torch has the larger border of a transposed convolution where others have the smaller one.
_TURNED = keras.backend.backend() == "torch" and before_keras("3.15")


def conv_taps(size, kernel, strides, dilation, padding, turned=False):
    """(taps, output size) of a convolution, by TensorFlow's rule for "same"; `turned`: the larger border comes first."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "valid":
        out, before = [(n - r) // s + 1 for n, r, s in zip(size, reach, strides, strict=True)], [0] * len(size)
    elif padding == "causal":
        out, before = [-(-n // s) for n, s in zip(size, strides, strict=True)], [r - 1 for r in reach]
    else:
        out = [-(-n // s) for n, s in zip(size, strides, strict=True)]
        all_ = zip(out, strides, reach, size, strict=True)
        before = [(max((o - 1) * s + r - n, 0) + turned) // 2 for o, s, r, n in all_]
    taps = np.full((int(np.prod(out)), int(np.prod(kernel))), -1)
    for i, position in enumerate(product(*map(range, out))):
        for j, tap in enumerate(product(*map(range, kernel))):
            at = [p * s - b + t * d for p, s, b, t, d in zip(position, strides, before, tap, dilation, strict=True)]
            if all(0 <= a < n for a, n in zip(at, size, strict=True)):
                taps[i, j] = np.ravel_multi_index(at, size)
    return taps, tuple(out)


def transposed_taps(size, kernel, strides, padding):
    """The same of a transposed convolution: what a convolution from its output to its input sees, turned around."""
    out = [n * s + (max(k - s, 0) if padding == "valid" else 0) for n, s, k in zip(size, strides, kernel, strict=True)]
    there, back = conv_taps(out, kernel, strides, (1,) * len(size), padding, _TURNED)
    assert back == tuple(size)
    taps = np.full((int(np.prod(out)), there.shape[1]), -1)
    for i, j in product(*map(range, there.shape)):
        if there[i, j] >= 0:
            taps[there[i, j], j] = i
    return taps, tuple(out)


# ------------------------------------------------------------------ affine layers
class Affine:
    """y[n, p, g, o] = sum over taps and channels of a group of x times kernel (g, inputs, o), plus bias (g, o)."""

    def __init__(self, path, taps, out, kernel, bias, restore):
        self.path, self.taps, self.out, self.kernel, self.bias = path, taps, out, kernel, bias
        self.restore = restore  # from (g, inputs, o) to the shape of the layer's kernel

    def forward(self, x):
        """x (samples, *positions, channels) -> pre-activations (samples, *positions, channels)."""
        self.shape, groups = x.shape, len(self.kernel)
        flat = x.reshape(len(x), -1, x.shape[-1])
        flat = np.concatenate([flat, np.zeros_like(flat[:, :1])], 1)[:, self.taps]  # the last position is the border's
        n, p, t, c = flat.shape
        self.patches = flat.reshape(n, p, t, groups, c // groups).transpose(0, 1, 3, 2, 4).reshape(n * p, groups, -1)
        self.z = np.einsum("pgi,gio->pgo", self.patches, self.kernel)
        self.y = self.z + self.bias
        return self.y.reshape(n, *self.out, -1)

    def backward(self, signal, kernel):
        n, groups, taps = self.shape[0], len(kernel), self.taps.shape[1]
        parts = np.einsum("pgo,gio->pgi", signal.reshape(*self.y.shape), kernel)
        parts = parts.reshape(n, -1, groups, taps, self.shape[-1] // groups).transpose(0, 1, 3, 2, 4)
        total = np.zeros((n, int(np.prod(self.shape[1:-1])) + 1, self.shape[-1]))
        for sample in range(n):
            np.add.at(total[sample], self.taps, parts[sample].reshape(*self.taps.shape, -1))
        return total[:, :-1].reshape(self.shape)

    def pattern(self, kind, opened):
        """(g, inputs, o), by eq. 8 one neuron after the other; `opened` are the gates, as z."""
        result = np.zeros_like(self.kernel)
        for g, _, o in np.ndindex(len(self.kernel), 1, self.kernel.shape[2]):
            x, y, gate = self.patches[:, g], self.y[:, g, o], opened.reshape(self.y.shape)[:, g, o]
            rows = {"linear": np.ones(len(y), bool), "positive": gate, "negative": ~gate}[kind]
            if not rows.any():
                continue
            numerator = (x[rows] * y[rows, None]).mean(0) - x[rows].mean(0) * y.mean()
            result[g, :, o] = numerator / (self.kernel[g, :, o] @ numerator)
        return result


def _array(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")


def affine_parts(layer, shape):
    """The affine maps, one or (of a separable convolution) two, of a layer for inputs (samples, *shape)."""
    *size, channels = shape
    bias = 0.0 if getattr(layer, "bias", None) is None else _array(layer.bias)
    if isinstance(layer, L.Dense | L.EinsumDense):  # the last axis is multiplied
        kernel = _array(layer.kernel)
        taps = np.arange(int(np.prod(size)))[:, None]
        matrix = kernel.reshape(channels, -1)
        bias = np.reshape(bias, -1) if np.size(bias) > 1 else bias
        out = (*size, *kernel.shape[1:-1])
        return [Affine(layer.name, taps, out, matrix[None], bias, lambda a: a[0].reshape(kernel.shape))]
    rank = len(size)
    strides, dilation = _tuple(layer.strides, rank), _tuple(layer.dilation_rate, rank)
    extent = tuple(layer.kernel_size)
    if isinstance(layer, L.Conv1DTranspose | L.Conv2DTranspose):
        kernel = _array(layer.kernel)  # (*extent, filters, channels)
        taps, out = transposed_taps(size, extent, strides, layer.padding)
        flat = kernel.reshape(-1, *kernel.shape[rank:]).transpose(0, 2, 1).reshape(1, -1, kernel.shape[rank])

        def back(a):
            return a[0].reshape(taps.shape[1], channels, -1).transpose(0, 2, 1).reshape(kernel.shape)

        return [Affine(layer.name, taps, out, flat, bias, back)]
    taps, out = conv_taps(size, extent, strides, dilation, layer.padding)
    if isinstance(layer, L.DepthwiseConv1D | L.DepthwiseConv2D):
        bias = np.reshape(bias, (channels, -1)) if np.size(bias) > 1 else bias
        return [_depthwise(layer.name, taps, out, _array(layer.kernel), bias)]
    if isinstance(layer, L.SeparableConv1D | L.SeparableConv2D):
        first = _depthwise(f"{layer.name}/depthwise", taps, out, _array(layer.depthwise_kernel), 0.0)
        kernel = _array(layer.pointwise_kernel)
        matrix = kernel.reshape(1, kernel.shape[-2], kernel.shape[-1])
        own = np.arange(len(taps))[:, None]
        return [first, Affine(f"{layer.name}/pointwise", own, out, matrix, bias, lambda a: a.reshape(kernel.shape))]
    kernel, groups = _array(layer.kernel), layer.groups
    by_group = kernel.reshape(-1, groups, kernel.shape[-1] // groups).transpose(1, 0, 2)
    bias = np.reshape(bias, (groups, -1)) if np.size(bias) > 1 else bias
    return [Affine(layer.name, taps, out, by_group, bias, lambda a: a.transpose(1, 0, 2).reshape(kernel.shape))]


def _depthwise(path, taps, out, kernel, bias):
    channels, multiplier = kernel.shape[-2:]
    flat = kernel.reshape(-1, channels, multiplier).transpose(1, 0, 2)
    return Affine(path, taps, out, flat, bias, lambda a: a.transpose(1, 0, 2).reshape(kernel.shape))


# ------------------------------------------------------------------ the other layers: outputs, and a function of the signal
def _norm(layer, x):
    scale = _array(layer.gamma) / np.sqrt(_array(layer.moving_variance) + layer.epsilon)
    return (x - _array(layer.moving_mean)) * scale + _array(layer.beta), scale


def _pool(layer, x):
    rank = x.ndim - 2
    taps, out = conv_taps(x.shape[1:-1], _tuple(layer.pool_size, rank), _tuple(layer.strides, rank), (1,) * rank, layer.padding)
    largest = isinstance(layer, L.MaxPooling1D | L.MaxPooling2D)
    flat = x.reshape(len(x), -1, x.shape[-1])
    border = np.full_like(flat[:, :1], -np.inf if largest else 0)
    seen = np.concatenate([flat, border], 1)[:, taps]
    if largest:
        shares = np.arange(taps.shape[1])[:, None] == seen.argmax(2)[:, :, None]
        y = seen.max(2)
    else:
        shares = (taps >= 0)[None, :, :, None] / (taps >= 0).sum(1)[None, :, None, None] * np.ones_like(seen)
        y = (seen * shares).sum(2)

    def back(signal):
        total = np.zeros((len(x), flat.shape[1] + 1, x.shape[-1]))
        parts = signal.reshape(len(x), len(taps), 1, -1) * shares
        for sample in range(len(x)):
            np.add.at(total[sample], taps, parts[sample])
        return [total[:, :-1].reshape(x.shape)]

    return y.reshape(len(x), *out, -1), back


def plain(layer, xs):
    """The output of a layer without a kernel, and its gradient."""
    x = xs[0]
    if isinstance(layer, L.ReLU) or (isinstance(layer, L.Activation) and layer.activation.__name__ == "relu"):
        return np.maximum(x, 0), lambda s: [s * (x > 0)]
    if isinstance(layer, L.Add):
        return sum(xs), lambda s: [s] * len(xs)
    if isinstance(layer, L.Concatenate):
        edges = np.cumsum([a.shape[-1] for a in xs])[:-1]
        return np.concatenate(xs, -1), lambda s: np.split(s, edges, -1)
    if isinstance(layer, L.Flatten | L.Reshape):
        return x.reshape(len(x), -1), lambda s: [s.reshape(x.shape)]
    if isinstance(layer, L.GlobalAveragePooling1D | L.GlobalAveragePooling2D):
        axes = tuple(range(1, x.ndim - 1))
        size = np.prod(x.shape[1:-1])
        return x.mean(axes), lambda s: [np.broadcast_to(s.reshape(len(x), *[1] * len(axes), -1), x.shape) / size]
    return _pool(layer, xs[0])


# ------------------------------------------------------------------ whole networks
class Network:
    """Interprets steps.

    Attributes:
        kernels: Path -> `Affine`.
        output: The output, before a softmax.
    """

    def __init__(self, steps, x):
        self.steps, self.kernels, self.tape, env = steps, {}, [], {"x": x.astype("float64")}
        for layer, *names in steps:
            xs, output = [env[n] for n in names], layer.name
            if isinstance(layer, L.BatchNormalization):
                env[output], scale = _norm(layer, xs[0])
                self.tape.append(("norm", names, output, scale))
            elif getattr(layer, "weights", ()):
                parts, inside = affine_parts(layer, xs[0].shape[1:]), xs[0]
                for part in parts:
                    source = names if part is parts[0] else [parts[0].path]
                    target = output if part is parts[-1] else part.path
                    inside = part.forward(inside)
                    self.kernels[part.path] = part
                    self.tape.append(("affine", source, target, part))
                activation = layer.activation.__name__ if hasattr(layer, "activation") else "linear"
                if activation == "relu":
                    gate = inside > 0
                    self.tape.append(("plain", [output], output, lambda s, gate=gate: [s * gate]))
                    inside = inside * gate
                env[output] = inside  # a softmax at the end is not explained
            else:
                env[output], back = plain(layer, xs)
                self.tape.append(("plain", names, output, back))
        self.output = env[steps[-1][0].name]

    def opened(self, path):
        """Where the neurons of a layer are active: behind the batch normalizations that follow it."""
        name, values = path.split("/")[0], self.kernels[path].y
        layer = next(s[0] for s in self.steps if s[0].name == name)
        if path.endswith("/depthwise") or layer.activation.__name__ != "linear":
            return values > 0
        followers = [s for s in self.steps if name in s[1:]]
        while len(followers) == 1 and isinstance(followers[0][0], L.BatchNormalization):
            values = _norm(followers[0][0], values.reshape(len(values), -1))[0]
            followers = [s for s in self.steps if followers[0][0].name in s[1:]]
        return values > 0

    def pattern(self, path, kind):
        """In the shape (groups, inputs, neurons of a group)."""
        return self.kernels[path].pattern(kind, self.opened(path))

    def explained(self, neuron, patterns, times_kernel):
        """The signal at the input, started at the value of one output neuron."""
        start = np.zeros_like(self.output)
        start[:, neuron] = self.output[:, neuron]
        signals = {self.steps[-1][0].name: start}
        for kind, sources, target, what in reversed(self.tape):
            signal = signals.pop(target)
            if kind == "affine":
                kernel = patterns[what.path] * (what.kernel if times_kernel else 1)
                found = [what.backward(signal, kernel)]
            elif kind == "norm":
                found = [signal if times_kernel else signal / what]
            else:
                found = what(signal)
            for source, part in zip(sources, found, strict=True):
                signals[source] = signals.get(source, 0) + part
        return signals["x"]
