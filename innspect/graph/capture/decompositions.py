"""Keras operations written as simpler ones, which every method has rules for.

What copies by places or conditions copies by constants: no signal flows back through those, also where they are an input
of the model.
"""

import keras
from keras import ops

from innspect.graph.capture.operations import node_name
from innspect.graph.capture.registry import opens
from innspect.graph.keras_internals import call_symbolically


@opens("Glu")
def _gated_linear_unit(trace, operation, x):
    """x1 sigmoid(x2), of the two halves of x."""
    signal, gate = ops.split(x, 2, axis=operation.axis)
    return ops.multiply(signal, ops.sigmoid(gate))


@opens("SeparableConv")
def _separable_convolution(trace, operation, x, depthwise_kernel, pointwise_kernel):
    """Depthwise, then pointwise."""
    settings = {"data_format": operation.data_format}
    window = {"strides": operation.strides, "padding": operation.padding, "dilation_rate": operation.dilation_rate}
    h = ops.depthwise_conv(x, depthwise_kernel, **window, **settings)
    return ops.conv(h, pointwise_kernel, strides=1, padding="valid", **settings)


@opens("GetItem")
def _item(trace, operation, x, key):
    """By a key that Keras takes on tensors only, such as x[None] or x[1:]."""
    return None if isinstance(key, int | tuple | list) else x[(key,)]


def _still(trace, x, name):
    """`x` as a constant."""
    if not isinstance(x, keras.KerasTensor) or getattr(trace.producer(trace.tensor(x)), "kind", None) == "constant":
        return x
    return trace.emit("constant", ops.copy, x, name=name, operation="Copy")


@opens("Take")
@opens("TakeAlongAxis")
def _take(trace, operation, x, places):
    still = _still(trace, places, "places") if isinstance(x, keras.KerasTensor) else places
    return None if still is places else call_symbolically(operation, x, still)


@opens("Where")
def _where(trace, operation, condition, x1=None, x2=None):
    still = _still(trace, condition, "condition")
    return None if still is condition else call_symbolically(operation, still, x1, x2)


@opens("Select")
def _select(trace, operation, conditions, choices, default=0):
    still = [_still(trace, condition, "condition") for condition in conditions]
    same = all(a is b for a, b in zip(still, conditions, strict=True))
    return None if same else call_symbolically(operation, still, choices, default)


@opens("TopK")
def _top_k(trace, operation, x):
    """The places, which are constants, and copies of what is there."""
    places = _places(trace, operation, lambda x: ops.top_k(x, operation.k, operation.sorted)[1], x, -1, operation.k)
    return ops.take_along_axis(x, places, axis=-1), places


@opens("Sort")
def _sort(trace, operation, x):
    axis = operation.axis
    if axis is None:
        return None  # which flattens
    return ops.take_along_axis(x, _places(trace, operation, lambda x: ops.argsort(x, axis), x, axis, x.shape[axis]), axis=axis)


def _places(trace, operation, function, x, axis, size):
    shape = list(x.shape)
    shape[axis] = size
    spec = keras.KerasTensor(shape, dtype="int32")
    name = type(operation).__name__
    return trace.emit("constant", lambda x: ops.cast(function(x), "int32"), x, spec=spec, name=node_name(name), operation=name)
