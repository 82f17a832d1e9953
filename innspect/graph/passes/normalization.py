"""Normalizations taken apart into steps that have exact rules of their own.

    u = x - mean(x)    s = u * u    q = mean(s)    r = 1 / sqrt(q + epsilon)    y = u r gamma + beta

for methods whose rules are exact for sums, products and elementwise functions, but know none for the whole. Layers and
operations have the same steps; what other passes need to know of a normalization they read off them.
"""

from dataclasses import replace

import keras
from keras import layers as L
from keras import ops

from innspect import backend
from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor, live

SCALE = "Rsqrt"  # the operation of the step whose result scales what is normalized


def open_normalizations(graph: Graph) -> Rewritten:
    """The graph with layer, root-mean-square, group and unit normalizations replaced by their steps."""
    nodes: list[Node] = []
    active = set(graph.active)
    for node in graph.nodes:
        made = steps_of(node) or [node]
        active.update(t for step in made[:-1] for t in step.outputs)
        nodes += made
    return Rewritten(replace(graph, nodes=tuple(nodes), active=frozenset(active)))


def steps_of(node):
    """The steps that compute what a node computes, the last of which makes its output; None where it has none."""
    if node.kind != "normalization":
        return None
    steps = next((make for cls, make in _LAYERS.items() if isinstance(node.layer, cls)), None)
    steps = steps or _OPERATIONS.get(node.operation)
    return steps(node) if steps else None


class _Writer:
    """Writes down the steps that replace one node."""

    def __init__(self, node):
        self.node, self.nodes, self.x = node, [], node.inputs[0]
        self._constant = {t for i, t in enumerate(node.inputs) if i not in node.active_inputs}

    def _varies(self, parameter):
        return isinstance(parameter, Ref) and parameter.tensor not in self._constant

    def emit(self, kind, operation, function, *args, shape=None, last=False):
        """Write down a step, of tensors that a signal flows through and of others, and return what it makes."""
        first = args[0]
        made = self.node.outputs if last else (Tensor(first.shape if shape is None else shape, first.dtype),)
        path = self.node.path if last else f"{self.node.path}/{operation.lower()}"
        args = tuple(Ref(t) if isinstance(t, Tensor) else t for t in args)
        tensors = [r.tensor for r in args if isinstance(r, Ref)]
        active = tuple(i for i, t in enumerate(tensors) if t not in self._constant)
        self.nodes.append(Node(path, kind, function, args, {}, made, self.node.layer, None, operation, active_inputs=active))
        return made[0]

    def normalized(self, x, axes, epsilon, centred=True, spread=True):
        """The steps from x to u r, over `axes`.

        Args:
            centred: Whether u is x less its mean, or x itself.
            spread: Whether q is the mean square of x less its mean, or of x itself.
        """
        reduced = _over(x, axes, kept=1)
        away = self.emit("sum", "Centre", lambda x: x - backend.mean(x, axis=axes, keepdims=True), x) if spread else x
        s = self.emit("pass", "Square", ops.square, away if spread else x)
        q = self.emit("sum", "Mean", lambda s: backend.mean(s, axis=axes, keepdims=True), s, shape=reduced)
        r = self.emit("pass", SCALE, lambda q: ops.rsqrt(q + epsilon), q)
        return self.emit("product", "Multiply", lambda u, r: u * r, away if centred else x, r)

    def scaled(self, z, scale, offset, axes):
        """The last step: z gamma + beta, with parameters along `axes`; two where gamma depends on the model's inputs."""
        shape = _over(z, axes, others=1)

        def function(z, scale, offset):
            z = z if scale is None else z * ops.reshape(live(scale), shape)
            return z if offset is None else z + ops.reshape(live(offset), shape)

        if self._varies(scale):
            z = self.emit("product", "Multiply", lambda z, scale: function(z, scale, None), z, scale)
            scale = None
        self.emit("sum", "Scale", function, z, scale, offset, last=True)
        return self.nodes


def _axes(axis):
    return tuple(axis) if isinstance(axis, tuple | list) else (axis,)


def _over(x, axes, kept=None, others=None):
    """The shape of x with other lengths along `axes`, or along the others."""
    axes = {a % len(x.shape) for a in axes}
    lengths = [kept if i in axes else others for i in range(len(x.shape))]
    return tuple(d if length is None else length for d, length in zip(x.shape, lengths, strict=True))


def _standardized(node, axis, epsilon, rms, gamma, beta):
    """Layer normalization; with `rms` Keras' variant that divides x itself by its deviation."""
    write = _Writer(node)
    z = write.normalized(write.x, _axes(axis), epsilon, centred=not rms)
    return write.scaled(z, gamma, beta, _axes(axis))


def _root_mean_square(node, axis, epsilon, scale):
    write = _Writer(node)
    z = write.normalized(write.x, _axes(axis), epsilon, centred=False, spread=False)
    return write.scaled(z, scale, None, _axes(axis))


def _layer_normalization(node):
    layer = node.layer
    return _standardized(node, layer.axis, layer.epsilon, getattr(layer, "rms_scaling", False), layer.gamma, layer.beta)


def _rms_normalization(node):
    return _root_mean_square(node, node.layer.axis, node.layer.epsilon, node.layer.scale)


def _group_normalization(node):
    layer, write = node.layer, _Writer(node)
    x = write.x
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
    z = write.emit("reindex", "Join", join, write.normalized(apart, axes, layer.epsilon), shape=x.shape)
    return write.scaled(z, layer.gamma if layer.scale else None, layer.beta if layer.center else None, (axis,))


def _unit_normalization(node):
    return _unit(node, node.layer.axis, 1e-12)


def _unit(node, axis, epsilon, order=2):
    """y = x / max(|x|, e), for a norm of any order above 0."""
    if axis is None or not 0 < order < float("inf"):
        return None

    def power(x):
        return ops.square(x) if order == 2 else ops.absolute(x) ** order

    def reciprocal(q):
        q = ops.maximum(q, epsilon**order)
        return ops.rsqrt(q) if order == 2 else q ** (-1 / order)

    write, axes = _Writer(node), _axes(axis)
    x, reduced = write.x, _over(write.x, axes, kept=1)
    s = write.emit("pass", "Square" if order == 2 else "Power", power, x)
    q = write.emit("sum", "Sum", lambda s: ops.sum(s, axis=axes, keepdims=True), s, shape=reduced)
    r = write.emit("pass", SCALE, reciprocal, q)
    write.emit("product", "Multiply", lambda x, r: x * r, x, r, last=True)
    return write.nodes


def _settings(node, *names):
    """The operation, its epsilon, and those of its arguments that are parameters, by name."""
    operation = node.function.__self__
    epsilon = keras.config.epsilon() if operation.epsilon is None else operation.epsilon
    given = dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    return operation, epsilon, [given.get(name) for name in names]


def _layer_norm(node):
    operation, epsilon, parameters = _settings(node, "gamma", "beta")
    return _standardized(node, operation.axis, epsilon, getattr(operation, "rms_scaling", False), *parameters)


def _rms_norm(node):
    operation, epsilon, (scale,) = _settings(node, "scale")
    return _root_mean_square(node, operation.axis, epsilon, scale)


def _normalize(node):
    operation, epsilon, _ = _settings(node)
    return _unit(node, operation.axis, epsilon, operation.order)


_LAYERS = {
    L.LayerNormalization: _layer_normalization,
    L.RMSNormalization: _rms_normalization,
    L.GroupNormalization: _group_normalization,
    L.UnitNormalization: _unit_normalization,
}
_OPERATIONS = {"LayerNorm": _layer_norm, "RMSNorm": _rms_norm, "Normalize": _normalize}
