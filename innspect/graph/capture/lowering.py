"""How Keras layers become nodes.

Only layers with weights, and layers whose `call` says less than the layer means, need an entry; all others open by
their own `call`. A lowering gets the trace, the layer and the call's arguments, and returns symbolic outputs.
"""

import keras
import numpy as np
from keras import layers as L
from keras import ops

from innspect import backend
from innspect.graph.capture import categorical, recurrent  # noqa: F401  (fill the table)
from innspect.graph.capture.registry import lowers
from innspect.graph.ir import is_float, live, widen, widened
from innspect.graph.keras_internals import set_mask
from innspect.graph.values import Value
from innspect.graph.views import affine, convolutions
from innspect.graph.views.diagonal import Arithmetic, BatchNorm
from innspect.graph.views.operations import is_dense


def _affine(trace, layer, x, view, spec, name=""):
    return trace.emit("affine", view, x, spec=spec, name=name, layer=layer, view=view, operation=type(layer).__name__)


def _spec(layer, x):
    shape = layer.compute_output_shape(x.shape)
    if isinstance(layer, L.EinsumDense) and None in shape[1:]:  # the layer forgets lengths that it was not told
        letters, output = layer.equation.replace(" ", "").split("->")
        known = dict(zip(letters.split(",")[0], x.shape, strict=False)) if "." not in letters else {}
        shape = [known.get(letter) if size is None else size for letter, size in zip(output, shape, strict=False)]
    return keras.KerasTensor(shape, dtype=layer.compute_dtype)


def _einsum_view(layer, rank):
    """That of a dense layer where it is one."""
    inputs, y = layer.equation.replace(" ", "").split("->")
    x, w = inputs.split(",")
    dense = is_dense(x, w, y) and w[0] == x[-1]
    return (affine.Dense if dense else affine.EinsumDense)(layer, rank)


def _lower_affine(view_class):
    def lower(trace, layer, x, **_):
        view = view_class(layer, len(x.shape))
        return trace.activate(layer.activation, _affine(trace, layer, x, view, _spec(layer, x)), layer)

    return lower


lowers(L.Dense)(_lower_affine(affine.Dense))
lowers(L.EinsumDense)(_lower_affine(_einsum_view))
lowers(L.Conv1D, L.Conv2D, L.Conv3D)(_lower_affine(convolutions.Conv))
lowers(L.DepthwiseConv1D, L.DepthwiseConv2D)(_lower_affine(convolutions.DepthwiseConv))
lowers(L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose)(_lower_affine(convolutions.ConvTranspose))


@lowers(L.SeparableConv1D, L.SeparableConv2D)
def _separable(trace, layer, x):
    """Two affine nodes: depthwise without bias, then pointwise with it."""
    rank = len(x.shape)
    depthwise = convolutions.DepthwiseConv(layer, rank, kernel_name="depthwise_kernel", has_bias=False)
    channel = depthwise.input_axis
    middle = list(layer.compute_output_shape(x.shape))
    middle[channel] = x.shape[channel] * layer.depth_multiplier
    h = _affine(trace, layer, x, depthwise, keras.KerasTensor(middle, dtype=layer.compute_dtype), "depthwise")
    z = _affine(trace, layer, h, convolutions.PointwiseConv(layer, rank), _spec(layer, x), "pointwise")
    return trace.activate(layer.activation, z, layer)


@lowers(L.Activation)
def _activation(trace, layer, x, **_):
    return trace.activate(layer.activation, x, layer)


@lowers(L.Masking)
def _masking(trace, layer, x, **_):
    """Before Keras 3.15 the layer's own `call` does not run on symbolic tensors."""
    given = ops.any(ops.not_equal(x, layer.mask_value), axis=-1, keepdims=True)
    y = ops.where(given, x, 0)
    set_mask(y, ops.squeeze(given, axis=-1))
    return y


@lowers(L.GlobalAveragePooling1D)
def _global_average_pooling(trace, layer, x, mask=None, **_):
    """Before Keras 3.15 the layer's own `call` does not run on symbolic masks, and on torch it writes to its input."""
    if mask is None:
        return layer.call(x)
    last = layer.data_format == "channels_last"
    steps, given = 1 if last else 2, ops.cast(ops.expand_dims(mask, 2 if last else 1), "bool")
    total = ops.sum(ops.where(given, x, 0), axis=steps, keepdims=layer.keepdims)
    return total / ops.sum(ops.cast(given, x.dtype), axis=steps, keepdims=layer.keepdims)


@lowers(L.BatchNormalization)
def _batch_normalization(trace, layer, x, **_):
    view = BatchNorm(layer, len(x.shape))
    return trace.emit("sum", view, x, layer=layer, view=view, operation="BatchNormalization")


@lowers(L.Embedding)
def _embedding(trace, layer, ids):
    def look_up(ids):
        ids = ops.cast(ids, "int32") if is_float(ids.dtype) else ids
        return widened(ops.take(layer.embeddings, ids, axis=0))

    return trace.emit("embedding", look_up, ids, spec=_spec(layer, ids), layer=layer, operation="Embedding")


def _merge(kind, function):
    def lower(trace, layer, inputs):
        if len({len(x.shape) for x in inputs}) > 1:  # operands of different rank: the layer's own reshaping
            return layer.call(inputs)
        spec = keras.KerasTensor(layer.compute_output_shape([x.shape for x in inputs]), dtype=inputs[0].dtype)
        return trace.emit(kind, function, *inputs, spec=spec, layer=layer, operation=type(layer).__name__)

    return lower


def _total(*xs):
    result = xs[0]
    for x in xs[1:]:
        result = result + x
    return result


def _product(*xs):
    result = xs[0]
    for x in xs[1:]:
        result = result * x
    return result


def _largest(*xs):
    result = xs[0]
    for x in xs[1:]:
        result = backend.maximum(result, x)
    return result


def _smallest(*xs):
    result = xs[0]
    for x in xs[1:]:
        result = backend.minimum(result, x)
    return result


lowers(L.Add)(_merge("sum", _total))
lowers(L.Subtract)(_merge("sum", lambda a, b: a - b))
lowers(L.Average)(_merge("sum", lambda *xs: _total(*xs) / len(xs)))
lowers(L.Multiply)(_merge("product", _product))
lowers(L.Maximum)(_merge("winner", _largest))
lowers(L.Minimum)(_merge("winner", _smallest))


def _kept_whole(kind):
    """One node of the given kind that calls the layer."""

    def lower(trace, layer, *args, **kwargs):
        return trace.leaf(layer, *args, kind=kind, **kwargs)

    return lower


_RANDOM = [getattr(L, name) for name in dir(L) if name.startswith("Random")]
lowers(L.PReLU, *_RANDOM)(_kept_whole("pass"))
lowers(L.LayerNormalization, L.GroupNormalization, L.RMSNormalization, L.UnitNormalization)(_kept_whole("normalization"))


@lowers(L.Rescaling)
def _rescaling(trace, layer, x, **_):
    view = prepares(_number(layer.scale), _number(layer.offset), layer)
    if layer.compute_dtype != "float64":
        return trace.leaf(layer, x, kind="sum", view=view)

    def rescale(x):  # the layer itself has its constants in float32 on TensorFlow
        return ops.cast(x, "float64") * view.scale() + view.shift()

    spec = keras.KerasTensor(x.shape, dtype="float64")
    return trace.emit("sum", rescale, x, spec=spec, layer=layer, view=view, operation="Rescaling")


@lowers(L.Normalization)
def _normalization(trace, layer, x, **_):
    def deviation():
        return ops.maximum(ops.sqrt(live(layer.variance)), keras.config.epsilon())

    shape = tuple(layer.mean.shape)
    if layer.invert:
        scale, shift = Value(deviation, shape), Value(lambda: live(layer.mean), shape)
    else:
        scale, shift = Value(lambda: 1 / deviation(), shape), Value(lambda: -live(layer.mean) / deviation(), shape)
    return trace.leaf(layer, x, kind="sum", view=prepares(scale, shift, layer))


def _number(given):
    """A number, or one for each channel."""
    shape = np.shape(given)
    if shape and keras.config.image_data_format() == "channels_first":
        shape += (1,) * (3 - len(shape))
    return Value(lambda: np.reshape(given, shape), shape)


def prepares(scale, shift, layer):
    """The view of a layer that maps each element to scale x + shift, and that training leaves as it is."""
    return Arithmetic(scale, shift, widen(layer.compute_dtype), learned=False)


@lowers(L.Resizing)
def _resizing(trace, layer, x, **_):
    kind = "reindex" if layer.interpolation == "nearest" else "sum"
    return trace.leaf(layer, x, kind=kind)


@lowers(L.TimeDistributed)
def _time_distributed(trace, layer, x, mask=None, **_):
    """The inner layer on (batch * steps, ...): the same weights, and the same rule, at every step."""
    inner = tuple(x.shape[2:])
    steps = trace.emit(
        "reindex",
        lambda x: ops.reshape(x, (-1, *ops.shape(x)[2:])),
        x,
        spec=keras.KerasTensor((None, *inner), dtype=x.dtype),
        name="steps",
        operation="Reshape",
    )
    y = layer.layer(steps)
    return trace.emit(
        "reindex",
        lambda y, x: ops.reshape(y, (*ops.shape(x)[:2], *ops.shape(y)[1:])),
        y,
        trace.emit("constant", ops.stop_gradient, x, name="shape", operation="StopGradient"),
        spec=keras.KerasTensor((*x.shape[:2], *y.shape[1:]), dtype=y.dtype),
        name="sequence",
        operation="Reshape",
    )
