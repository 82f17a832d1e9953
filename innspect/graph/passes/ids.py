"""Ids on their way to an embedding, as integers; and bins beside the number they are made of.

Ids may come in an input of the default dtype, be sliced, reshaped, cast, and numbered otherwise (`ids + offsets`) before they
are looked up. In whatever dtype the model holds them, they are integers here: what is moved is moved, and a new number is a
name for the old one. A number that is also put into bins is explained as the number.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor, is_float
from innspect.graph.views.ids import Lookup
from innspect.types import BackendTensor

_ID = "int32"
_CASTS = frozenset("Cast SaturateCast ConvertToTensor Copy".split())
_RENUMBERS = frozenset("Add Subtract Multiply FloorDivide Mod Clip Minimum Maximum Floor Ceil Round Trunc Absolute".split())


def ids_as_integers(graph: Graph) -> Rewritten:
    """The graph with inputs that hold nothing but ids, and all that leads from there to embeddings, as integers."""
    ways = _ways(graph)
    moved = {t: Tensor(t.shape, _ID) for t in graph.inputs if is_float(t.dtype) and _only_ids(graph, t, ways)}
    nodes = []
    for node in graph.nodes:
        whole = all(t in moved or not is_float(t.dtype) for t in node.inputs)
        if node in ways and whole and (node.operation in _RENUMBERS or any(t in moved for t in node.inputs)):
            moved.update((t, Tensor(t.shape, _ID)) for t in node.outputs)
            nodes.append(_as_ids(node, moved))
        else:
            nodes.append(_reading(node, moved))
    paths = {path: tuple(tuple(moved.get(t, t) for t in call) for call in calls) for path, calls in graph.paths.items()}
    inputs, outputs = ([moved.get(t, t) for t in tensors] for tensors in (graph.inputs, graph.outputs))
    return Rewritten(replace(graph, nodes=tuple(nodes), inputs=tuple(inputs), outputs=tuple(outputs), paths=paths))


def _ways(graph: Graph) -> set[Node]:
    """The nodes that ids pass on their way to an embedding."""
    ids = {node.inputs[-1] for node in graph.nodes if node.kind == "embedding"}
    ways: set[Node] = set()
    for node in reversed(graph.nodes):
        if any(t in ids for t in node.outputs) and _leads_ids(graph, node):
            ways.add(node)
            ids.add(node.inputs[0])
    return ways


def _leads_ids(graph: Graph, node: Node) -> bool:
    """Whether a node moves or casts the ids in its first input, or numbers them otherwise."""
    first = node.args[0] if node.args else None
    others = [graph.producer(t) for t in node.inputs[1:]]
    if not isinstance(first, Ref) or any(maker is None or maker.kind != "constant" for maker in others):
        return False
    if node.operation in _RENUMBERS:
        return node.outputs[0].shape == first.tensor.shape and all(map(_is_whole, (*node.args[1:], *node.kwargs.values())))
    return node.kind == "reindex" or node.operation in _CASTS


def _is_whole(constant: Any) -> bool:
    """Whether an argument is nothing but whole numbers."""
    if constant is None or isinstance(constant, int | str):
        return True
    if isinstance(constant, Ref | keras.Variable):
        return not is_float(constant.tensor.dtype if isinstance(constant, Ref) else constant.dtype)
    numbers = np.asarray(ops.convert_to_numpy(constant) if hasattr(constant, "shape") else constant)
    return numbers.dtype.kind in "fiu" and bool((numbers == np.round(numbers)).all())


def _only_ids(graph: Graph, tensor: Tensor, ways: set[Node]) -> bool:
    """Whether all that reads a tensor, or what is made of it, are embeddings, and constants such as masks."""
    readers = [node for node, _ in graph.readers(tensor) if node.kind != "constant" or node in ways]
    looks_up = any(node.kind == "embedding" for node in readers)
    followed = [node for node in readers if node.kind != "embedding"]
    if tensor in graph.outputs or not readers:
        return False
    return all(node in ways and all(_only_ids(graph, t, ways) for t in node.outputs) for node in followed) or (
        looks_up and not followed
    )


def _reading(node: Node, moved: dict[Tensor, Tensor]) -> Node:
    """The node, given the tensors that are integers now."""
    if not any(t in moved for t in node.inputs):
        return node

    def changed(leaf: Any) -> Any:
        return Ref(moved[leaf.tensor]) if isinstance(leaf, Ref) and leaf.tensor in moved else leaf

    args, kwargs = keras.tree.map_structure(changed, (node.args, node.kwargs))
    return replace(node, args=args, kwargs=kwargs)


def _as_ids(node: Node, moved: dict[Tensor, Tensor]) -> Node:
    """A node that ids pass, from integers to integers."""
    outputs, dtype = tuple(moved[t] for t in node.outputs), node.inputs[0].dtype
    node = _reading(node, moved)
    if node.operation in _RENUMBERS:
        return replace(node, kind="pass", view=Lookup(), function=_of_integers(node.function, dtype), outputs=outputs)
    function = _as_it_is if node.operation in _CASTS else node.function
    return replace(node, kind="reindex", function=function, outputs=outputs)


def _as_it_is(x: BackendTensor, *_: Any, **__: Any) -> BackendTensor:
    return x


def _of_integers(function: Callable[..., Any], dtype: str) -> Callable[..., Any]:
    """A function of ids, computed in the dtype that the model has them in, with integers as a result."""
    return lambda x, *args, **kwargs: ops.cast(function(ops.cast(x, dtype), *args, **kwargs), _ID)


def keep_numbers(graph: Graph) -> Rewritten:
    """The graph with bins constant where what they are made of is also used as a number."""

    def is_kept(node: Node) -> bool:
        return node.operation == "Discretization" and any(_used_as_a_number(graph, t) for t in node.inputs)

    return Rewritten(replace(graph, nodes=tuple(n.but(kind="constant") if is_kept(n) else n for n in graph.nodes)))


def _used_as_a_number(graph: Graph, tensor: Tensor) -> bool:
    while (node := graph.producer(tensor)) is not None and len(node.inputs) == 1 and node.kind in ("pass", "reindex"):
        tensor = node.inputs[0]

    def ends(reader: Node) -> bool:
        return reader.kind not in ("pass", "reindex") or not graph.readers(reader.outputs[0])

    def used(tensor: Tensor) -> bool:
        return any(
            not isinstance(reader.view, Lookup) and (ends(reader) or any(map(used, reader.outputs)))
            for reader, _ in graph.readers(tensor)
            if reader.kind not in ("constant", "embedding")
        )

    return used(tensor)
