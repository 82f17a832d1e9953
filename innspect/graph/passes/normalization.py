"""Normalization layers taken apart into steps that have exact rules of their own.

    u = x - mean(x)    s = u * u    q = mean(s)    r = 1 / sqrt(q + epsilon)    y = u r gamma + beta

for methods whose rules are exact for sums, products and elementwise functions, but know none for the whole.
"""

from dataclasses import replace

import keras
from keras import layers as L
from keras import ops

from innspect.graph.ir import Node, Ref, Rewritten, Tensor, live


def open_normalizations(graph):
    """The graph with layer, root-mean-square and group normalizations replaced by their steps."""
    nodes, active = [], set(graph.active)
    for node in graph.nodes:
        steps = _STEPS.get(type(node.layer)) if node.kind == "normalization" else None
        steps = _unit_normalization if node.operation == "Normalize" else steps
        made = (steps(node) if steps else None) or [node]
        active.update(t for step in made[:-1] for t in step.outputs)
        nodes += made
    return Rewritten(replace(graph, nodes=nodes, active=active))


class _Writer:
    """Writes down the steps that replace one node."""

    def __init__(self, node):
        self.node, self.nodes = node, []

    def emit(self, kind, operation, function, *tensors, shape=None, last=False):
        first = tensors[0]
        made = self.node.outputs if last else (Tensor(first.shape if shape is None else shape, first.dtype),)
        path = self.node.path if last else f"{self.node.path}/{operation.lower()}"
        args, every = tuple(Ref(t) for t in tensors), tuple(range(len(tensors)))
        step = Node(path, kind, function, args, {}, made, self.node.layer, None, operation, active_inputs=every)
        self.nodes.append(step)
        return made[0]

    def normalized(self, x, axes, epsilon, centred):
        """The steps from x to u r, over `axes`."""
        reduced = tuple(1 if i in [a % len(x.shape) for a in axes] else d for i, d in enumerate(x.shape))
        u = self.emit("sum", "Centre", lambda x: x - ops.mean(x, axis=axes, keepdims=True), x) if centred else x
        s = self.emit("pass", "Square", ops.square, u)
        q = self.emit("sum", "Mean", lambda s: ops.mean(s, axis=axes, keepdims=True), s, shape=reduced)
        r = self.emit("pass", "Rsqrt", lambda q: ops.rsqrt(q + epsilon), q)
        return self.emit("product", "Multiply", lambda u, r: u * r, u, r)


def _parameter(variable, shape):
    return ops.reshape(live(variable), shape)


def _scaled(z, scale, offset, shape):
    """The last step: z gamma + beta, with the parameters in a shape that broadcasts."""
    z = z if scale is None else z * _parameter(scale, shape)
    return z if offset is None else z + _parameter(offset, shape)


def _layer_normalization(node):
    layer, x, write = node.layer, node.inputs[0], _Writer(node)
    if getattr(layer, "rms_scaling", False):
        return None
    axes = tuple(layer.axis) if isinstance(layer.axis, list | tuple) else (layer.axis,)
    shape = [d if i in [a % len(x.shape) for a in axes] else 1 for i, d in enumerate(x.shape)]
    z = write.normalized(x, axes, layer.epsilon, centred=True)
    write.emit("sum", "Scale", lambda z: _scaled(z, layer.gamma, layer.beta, shape), z, last=True)
    return write.nodes


def _rms_normalization(node):
    layer, x, write = node.layer, node.inputs[0], _Writer(node)
    axes = tuple(layer.axis) if isinstance(layer.axis, list | tuple) else (layer.axis,)
    shape = [d if i in [a % len(x.shape) for a in axes] else 1 for i, d in enumerate(x.shape)]
    z = write.normalized(x, axes, layer.epsilon, centred=False)
    write.emit("sum", "Scale", lambda z: _scaled(z, layer.scale, None, shape), z, last=True)
    return write.nodes


def _group_normalization(node):
    layer, x, write = node.layer, node.inputs[0], _Writer(node)
    axis = layer.axis % len(x.shape)
    groups = layer.groups if layer.groups != -1 else x.shape[axis]
    size = x.shape[axis] // groups

    def split(x):
        shape = ops.shape(x)
        return ops.reshape(x, (*shape[:axis], groups, size, *shape[axis + 1 :]))

    def join(z):
        shape = ops.shape(z)
        return ops.reshape(z, (*shape[:axis], groups * size, *shape[axis + 2 :]))

    apart = write.emit("reindex", "Reshape", split, x, shape=(*x.shape[:axis], groups, size, *x.shape[axis + 1 :]))
    axes = tuple(i for i in range(1, len(x.shape) + 1) if i != axis)
    z = write.emit("reindex", "Join", join, write.normalized(apart, axes, layer.epsilon, centred=True), shape=x.shape)
    shape = [-1 if i == axis else 1 for i in range(len(x.shape))]
    gamma, beta = (layer.gamma if layer.scale else None), (layer.beta if layer.center else None)
    write.emit("sum", "Scale", lambda z: _scaled(z, gamma, beta, shape), z, last=True)
    return write.nodes


def _unit_normalization(node):
    """y = x / max(|x|, e) for the Euclidean norm."""
    axis, order, epsilon = _unit_settings(node)
    if order != 2:
        return None
    x, write = node.inputs[0], _Writer(node)
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    reduced = tuple(1 if i in [a % len(x.shape) for a in axes] else d for i, d in enumerate(x.shape))
    s = write.emit("pass", "Square", ops.square, x)
    q = write.emit("sum", "Sum", lambda s: ops.sum(s, axis=axes, keepdims=True), s, shape=reduced)
    r = write.emit("pass", "Rsqrt", lambda q: ops.rsqrt(ops.maximum(q, epsilon**2)), q)
    write.emit("product", "Multiply", lambda x, r: x * r, x, r, last=True)
    return write.nodes


def _unit_settings(node):
    if node.operation == "Normalize":
        operation = node.function.__self__
        return operation.axis, operation.order, operation.epsilon or keras.config.epsilon()
    return node.layer.axis, 2, 1e-12


_STEPS = {
    L.LayerNormalization: _layer_normalization,
    L.RMSNormalization: _rms_normalization,
    L.GroupNormalization: _group_normalization,
    L.UnitNormalization: _unit_normalization,
}
