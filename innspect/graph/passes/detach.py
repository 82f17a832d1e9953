"""A graph in which some factors are constants: what transformer LRP detaches (METHODS 15).

- The scale of a normalization (Ali et al. 2022, LN-rule; Achtibat et al. 2024, Prop. 3.4): y = (x - mean(x)) r gamma + beta
  with r = 1 / std kept as it is. Layers and operations are rewritten; hand-written ones (x * rsqrt(mean(x^2) + e)) are
  recognized by what a square root is taken of and what it is multiplied with; so is x / sum(|x|).
- Attention weights, for CP-LRP (AH-rule): every softmax that is not the model's head.

Values do not change. A frozen node is a constant behind a stop_gradient, and what only led to it is a constant too.
"""

from dataclasses import replace

import keras
from keras import layers as L
from keras import ops

from innspect import backend
from innspect.graph.activity import narrowed
from innspect.graph.heads import is_head
from innspect.graph.ir import Ref, live

_ROOTS = {"Rsqrt", "Sqrt", "Power", "Norm", "Std"}
_REDUCTIONS = {"Mean", "Sum", "Var", "Norm", "Std"}
_QUOTIENTS = {"Divide", "TrueDivide", "DivideNoNan"}


def freeze(graph, attention=False):
    """The graph with the scale of every normalization constant, and with `attention` every softmax but the head."""
    frozen = {n for n in graph.nodes if _is_scale(graph, n)}
    if attention:
        heads = {n for n in map(graph.producer, graph.outputs) if is_head(n)}
        frozen |= {n for n in graph.nodes if n.kind == "softmax" and n not in heads}
    nodes = [_stopped(n) if n in frozen else _with_frozen_scale(n) for n in graph.nodes]
    return narrowed(replace(graph, nodes=nodes), _settled)


def _stopped(node):
    function = node.function
    stopped = lambda *args, **kwargs: backend.stop_gradient(function(*args, **kwargs))  # noqa: E731
    return node.but(kind="constant", function=stopped)


def _settled(node):
    """With one operand left, a product of operands is a linear map."""
    active = node.active_inputs
    if len(active) != 1 or node.kind == "constant":
        return node
    divides = node.operation in _QUOTIENTS and isinstance(node.args[0], Ref) and active[0] == 0
    return node.but(kind="sum") if node.kind in ("product", "bilinear") or divides else node


# ---------------------------------------------------------------------- hand-written normalizations
def _is_scale(graph, node):
    """A root of an average of the input, or the sum of what it divides, that is only multiplied with or divided by."""
    if not any(t in graph.active for t in node.outputs):
        return False
    if node.operation in ("Sum", "Mean"):
        return _divides_what_it_adds(graph, node)
    if node.operation not in _ROOTS:
        return False
    if node.operation == "Power" and not any(abs(leaf) == 0.5 for leaf in node.args if isinstance(leaf, float)):
        return False
    return _of_an_average(graph, node) and _only_scales(graph, node)


def _divides_what_it_adds(graph, node):
    """Whether all that is done with a sum is to divide by it what was added, or that of which the sizes were."""
    added = node.inputs[0]
    maker = graph.producer(added)
    sized = maker is not None and maker.operation in ("Absolute", "Abs")
    parts = {added, *(maker.inputs if sized else ())}

    def divides(reader, tensor):
        if reader.operation in _QUOTIENTS and len(reader.active_inputs) == 2:
            return reader.args[1].tensor is tensor and reader.args[0].tensor in parts
        passes = reader.kind in ("reindex", "sum", "winner", "pass") and len(reader.active_inputs) == 1
        return passes and every(reader.outputs[0])

    def every(tensor):
        readers = graph.readers(tensor)
        return bool(readers) and all(divides(reader, tensor) for reader, _ in readers)

    return every(node.outputs[0])


def _of_an_average(graph, node):
    while node is not None:
        if node.operation in _REDUCTIONS:
            return True
        active = [t for t in node.inputs if t in graph.active]
        node = graph.producer(active[0]) if len(active) == 1 else None
    return False


def _only_scales(graph, node):
    readers = [(reader, t) for t in node.outputs for reader, _ in graph.readers(t)]
    return bool(readers) and all(_scales(graph, reader, tensor) for reader, tensor in readers)


def _scales(graph, reader, tensor):
    if reader.kind == "product":
        return True
    if reader.operation in _QUOTIENTS and len(reader.active_inputs) == 2:
        return isinstance(reader.args[1], Ref) and reader.args[1].tensor is tensor
    passes = reader.kind in ("pass", "reindex", "sum", "winner") and len(reader.active_inputs) == 1
    return passes and _only_scales(graph, reader)


# ---------------------------------------------------------------------- normalization layers and operations
def _with_frozen_scale(node):
    if node.kind != "normalization":
        return node
    make = _LAYERS.get(type(node.layer)) or _inherited(node.layer) or _OPERATIONS.get(node.operation)
    return node if make is None else node.but(kind="sum", function=make(node))


def _inherited(layer):
    return next((make for cls, make in _LAYERS.items() if isinstance(layer, cls)), None)


def _axes(axis):
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


def _over(x, axes):
    """The shape in which parameters along `axes` broadcast over x."""
    axes = {a % len(x.shape) for a in axes}
    return [d if i in axes else 1 for i, d in enumerate(x.shape)]


def _normalized(x, axes, epsilon, centred, variance=False):
    u = x - backend.mean(x, axis=axes, keepdims=True) if centred else x
    spread = x - backend.mean(x, axis=axes, keepdims=True) if variance else u
    scale = ops.rsqrt(backend.mean(ops.square(spread), axis=axes, keepdims=True) + epsilon)
    return u * backend.stop_gradient(scale)


def _affine(z, gamma, beta, shape):
    for parameter, apply in ((gamma, ops.multiply), (beta, ops.add)):
        if parameter is not None:
            z = apply(z, ops.reshape(live(parameter), shape))
    return z


def _layer_normalization(node):
    layer = node.layer

    def function(x, *_, **__):
        axes, rms = _axes(layer.axis), getattr(layer, "rms_scaling", False)
        z = _normalized(x, axes, layer.epsilon, centred=not rms, variance=rms)
        return _affine(z, layer.gamma, layer.beta, _over(x, axes))

    return function


def _rms_normalization(node):
    layer = node.layer

    def function(x, *_, **__):
        axes = _axes(layer.axis)
        return _affine(_normalized(x, axes, layer.epsilon, centred=False), layer.scale, None, _over(x, axes))

    return function


def _group_normalization(node):
    layer = node.layer

    def function(x, *_, **__):
        axis = layer.axis % len(x.shape)
        size = x.shape[axis]
        groups = size if layer.groups == -1 else layer.groups
        split = ops.reshape(x, (*x.shape[:axis], groups, size // groups, *x.shape[axis + 1 :]))
        axes = tuple(i for i in range(1, len(split.shape)) if i != axis)
        z = ops.reshape(_normalized(split, axes, layer.epsilon, centred=True), x.shape)
        return _affine(z, layer.gamma if layer.scale else None, layer.beta if layer.center else None, _over(x, (axis,)))

    return function


def _unit_normalization(node):
    return _unit(_axes(node.layer.axis), 2, 1e-12)


def _unit(axes, order, epsilon):
    def function(x, *_, **__):
        size = ops.sum(ops.absolute(x) ** order, axis=axes, keepdims=True) ** (1 / order)
        return x / backend.stop_gradient(backend.maximum(size, epsilon))

    return function


_LAYERS = {
    L.LayerNormalization: _layer_normalization,
    L.RMSNormalization: _rms_normalization,
    L.GroupNormalization: _group_normalization,
    L.UnitNormalization: _unit_normalization,
}


def _of_operation(node):
    return node.function.__self__


def _epsilon(operation):
    return keras.config.epsilon() if operation.epsilon is None else operation.epsilon


def _layer_norm(node):
    operation = _of_operation(node)
    axes = _axes(operation.axis)

    def function(x, gamma=None, beta=None):
        rms = getattr(operation, "rms_scaling", False)
        z = _normalized(x, axes, _epsilon(operation), centred=not rms, variance=rms)
        return _affine(z, gamma, beta, _over(x, axes))

    return function


def _rms_norm(node):
    operation = _of_operation(node)
    axes = _axes(operation.axis)

    def function(x, scale=None):
        return _affine(_normalized(x, axes, _epsilon(operation), centred=False), scale, None, _over(x, axes))

    return function


def _normalize(node):
    operation = _of_operation(node)
    return _unit(_axes(operation.axis), operation.order, _epsilon(operation))


_OPERATIONS = {"LayerNorm": _layer_norm, "RMSNorm": _rms_norm, "Normalize": _normalize}
