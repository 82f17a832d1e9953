"""Kernels, biases and diagonal maps that are written as operations, in the form of the layers that compute the same.

    x @ w, einsum, tensordot, conv, ...   with a `w` that no input changes: an affine node, with the view of a layer
    z + b                                 behind one: its bias
    x * s, x + t, x / s, x - t            with constants: a diagonal map; several in a row are one
    batch_normalization                   as the layer

So rules that look at kernels, biases and signs meet one form, whoever wrote the function. Tensors that have a name, as
outputs of layers do, stay.
"""

import dataclasses
from collections.abc import Collection
from types import SimpleNamespace

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor
from innspect.graph.values import Value, value_of
from innspect.graph.views.affine import Affine, LayerAffine
from innspect.graph.views.diagonal import Arithmetic, BatchNorm
from innspect.graph.views.operations import WITH_KERNEL, affine_view

_ELEMENTWISE = frozenset("Add Subtract Multiply Divide TrueDivide".split())


def with_kernels(graph: Graph) -> Rewritten:
    """The graph with such operations in the form of layers."""
    named = {t for calls in graph.paths.values() for tensors in calls for t in tensors}
    written = Written(graph, named | set(graph.outputs))
    for node in graph.nodes:
        found = viewed(graph, node)
        if found is not node:
            written.put(found, node)
        if isinstance(found.view, Arithmetic):
            _join(written, found)
    return Rewritten(written.graph())


def viewed(graph: Graph, node: Node) -> Node:
    """A node with the view of a layer that computes the same, or as it is."""
    if node.kind != "sum" or node.view is not None or len(node.active_inputs) != 1:
        return node
    if node.operation in WITH_KERNEL and len(node.args) == 2:
        return _affine(graph, node)
    if node.operation in _ELEMENTWISE and len(node.args) == 2 and not node.kwargs:
        view = _arithmetic(graph, node)
        return node if view is None else dataclasses.replace(node, view=view, reads=(*node.reads, *view.variables))
    return _normalization(graph, node) if node.operation == "BatchNorm" else node


def _active_position(node: Node) -> int:
    """Which of a node's arguments the signal flows to."""
    active = node.inputs[node.active_inputs[0]]
    return next(i for i, a in enumerate(node.args) if isinstance(a, Ref) and a.tensor is active)


def _affine(graph: Graph, node: Node) -> Node:
    position = _active_position(node)
    kernel = value_of(graph, node.args[1 - position], node.outputs[0].dtype)
    view = None if kernel is None else affine_view(node, position, kernel)
    if kernel is None or view is None:
        return node
    reads = (*node.variables, *kernel.variables)
    return dataclasses.replace(
        node, kind="affine", function=view, view=view, args=(node.args[position],), kwargs={}, reads=reads, active_inputs=(0,)
    )


def _arithmetic(graph: Graph, node: Node) -> Arithmetic | None:
    """The view of an operation of two operands, one of them constant, that is elementwise affine in the other."""
    position, dtype = _active_position(node), node.outputs[0].dtype
    x = node.inputs[node.active_inputs[0]]
    divides = node.operation in ("Divide", "TrueDivide")
    if x.shape != node.outputs[0].shape or (divides and position == 1):
        return None
    value = value_of(graph, node.args[1 - position], dtype)
    if value is None or len(value.shape) > len(x.shape):
        return None
    if node.operation == "Multiply":
        return Arithmetic(value, None, dtype)
    if divides:
        return Arithmetic(value.then(lambda v: 1 / v), None, dtype)
    if node.operation == "Add":
        return Arithmetic(None, value, dtype)
    if position == 0:
        return Arithmetic(None, value.then(lambda v: -v), dtype)
    return Arithmetic(Value(lambda: -1.0, ()), value, dtype)


def _normalization(graph: Graph, node: Node) -> Node:
    """`keras.ops.batch_normalization` as the layer."""
    names = ("mean", "variance", "offset", "scale")
    given = dict(zip(names, node.args[1:], strict=False)) | node.kwargs
    dtype, operation = node.outputs[0].dtype, node.function.__self__  # type: ignore[attr-defined]
    values = {k: value_of(graph, v, dtype) for k, v in given.items() if v is not None}
    if any(v is None for v in values.values()):
        return node
    layer = SimpleNamespace(
        moving_mean=values["mean"],
        moving_variance=values["variance"],
        gamma=values.get("scale"),
        beta=values.get("offset"),
        scale="scale" in values,
        center="offset" in values,
        axis=operation.axis,
        epsilon=operation.epsilon,
        variables=[v for value in values.values() for v in value.variables],  # type: ignore[union-attr]
    )
    view = BatchNorm(layer, len(node.inputs[0].shape))
    return dataclasses.replace(
        node, view=view, function=view, args=node.args[:1], kwargs={}, reads=(*node.variables, *layer.variables)
    )


class Written:
    """A graph while nodes are joined: what stands where, and who reads what."""

    def __init__(self, graph: Graph, keep: Collection[Tensor]):
        self._graph, self.keep = graph, keep
        self._slots: list[Node | None] = list(graph.nodes)
        self._place = {node: i for i, node in enumerate(graph.nodes)}
        self._made = dict(graph.producers)
        self._readers = {t: [node for node, _ in pairs] for t, pairs in graph.consumers.items()}

    def producer(self, tensor: Tensor) -> Node | None:
        """The node that makes a tensor."""
        return self._made.get(tensor)

    def only_reader(self, tensor: Tensor) -> Node | None:
        """The node that reads a tensor, where there is but one."""
        readers = self._readers.get(tensor, [])
        return readers[0] if len(readers) == 1 else None

    def put(self, node: Node, at: Node, gone: Node | None = None) -> None:
        """Put a node in the place of another, and of a second one that it took in."""
        place = self._place[at]
        for old in (at, *([] if gone is None else [gone])):
            self._slots[self._place.pop(old)] = None
            for tensor in old.inputs:
                self._readers[tensor].remove(old)
        self._slots[place], self._place[node] = node, place
        for tensor in node.inputs:
            self._readers.setdefault(tensor, []).append(node)
        self._made.update(dict.fromkeys(node.outputs, node))

    def nodes(self) -> list[Node]:
        """The nodes, in order."""
        return [node for node in self._slots if node is not None]

    def graph(self) -> Graph:
        """The graph, without what leads to nothing."""
        made = dataclasses.replace(self._graph, nodes=tuple(self.nodes()))
        wanted = [*made.outputs, *(t for calls in made.paths.values() for tensors in calls for t in tensors)]
        return dataclasses.replace(made, nodes=tuple(made.ancestors(wanted)))


def _join(written: Written, node: Node) -> None:
    """Take a diagonal map into what makes its input: another one, or a kernel without a bias."""
    before = node.inputs[node.active_inputs[0]]
    source = written.producer(before)
    if source is None or before in written.keep or written.only_reader(before) is not node:
        return
    if isinstance(source.view, Arithmetic):
        if source.view.learned != node.view.learned:
            return  # what prepares the input is not a part of what follows
        joined = _in_a_row(source, node)
        written.put(joined, node, source)
        _join(written, joined)
    elif source.kind == "affine":
        view = with_bias(source.view, node.view)
        if view is not None:
            written.put(biased(source, node, view), node, source)


def _in_a_row(first: Node, second: Node) -> Node:
    x = first.inputs[first.active_inputs[0]]
    middle = first.outputs[0]
    given = list(dict.fromkeys(t for t in (x, *first.inputs, *second.inputs) if t is not middle))
    run = Interpreter([first, second], given, second.outputs)
    return dataclasses.replace(
        second,
        function=lambda *values: run(values)[0],
        args=tuple(map(Ref, given)),
        kwargs={},
        operation="Diagonal",
        view=first.view.then(second.view),
        reads=(*first.variables, *second.variables),
        active_inputs=(0,),
    )


def biased(kernel: Node, shift: Node, view: Affine) -> Node:
    """The node of a kernel that has taken in what is added to its output."""
    reads = (*kernel.variables, *shift.variables, *shift.view.variables)
    return dataclasses.replace(kernel, outputs=shift.outputs, function=view, view=view, kwargs={}, reads=reads)


def with_bias(view: Affine, diagonal: Arithmetic) -> Affine | None:
    """The view with what a diagonal map adds in its bias, or None where it does not fit."""
    shift = diagonal.only_shifts
    if shift is None or not isinstance(view, LayerAffine) or not diagonal.axes <= view.bias_axes:
        return None
    return view.with_bias(shift)
