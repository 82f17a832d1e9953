"""Ids on their way to an embedding, as integers; and bins beside the number they are made of.

Ids may come in an input of the default dtype, be sliced, reshaped, cast, and numbered otherwise (`ids + offsets`) before they
are looked up. In whatever dtype the model holds them, they are integers here: what is moved is moved, and a new number is a
name for the old one. A number that is also put into bins is explained as the number.
"""

from collections.abc import Callable, Collection
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
    held, looked_up = _held(graph, ways.__contains__), {node.inputs[-1] for node in graph.nodes if node.kind == "embedding"}
    found = looked_up.union(*(node.inputs[:1] for node in ways)) - held
    moved = {t: Tensor(t.shape, _ID) for t in graph.inputs if is_float(t.dtype) and t in found}
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


def _held(graph: Graph, moves: Callable[[Node], bool]) -> set[Tensor]:
    """The tensors that are read, or made into what is read, by what neither looks up nor `moves` them, and is no constant."""
    held, alive = set(graph.outputs), set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.kind == "constant" or not any(t in alive for t in node.outputs):
            continue
        alive.update(node.inputs)
        if node.kind != "embedding" and (not moves(node) or any(t in held for t in node.outputs)):
            held.update(node.inputs)
    return held


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
    numbers = _used_as_numbers(graph)

    def is_kept(node: Node) -> bool:
        return node.operation == "Discretization" and any(_source(graph, t) in numbers for t in node.inputs)

    return Rewritten(replace(graph, nodes=tuple(n.but(kind="constant") if is_kept(n) else n for n in graph.nodes)))


def _source(graph: Graph, tensor: Tensor) -> Tensor:
    """The tensor that one is moved or mapped from, element by element."""
    while (node := graph.producer(tensor)) is not None and len(node.inputs) == 1 and node.kind in ("pass", "reindex"):
        tensor = node.inputs[0]
    return tensor


def _used_as_numbers(graph: Graph) -> set[Tensor]:
    """The tensors that are read as numbers, perhaps moved or mapped: not only to be looked up."""
    used: set[Tensor] = set()
    for node in reversed(graph.nodes):
        if isinstance(node.view, Lookup) or node.kind in ("constant", "embedding"):
            continue
        passing = node.kind in ("pass", "reindex") and graph.readers(node.outputs[0])
        if not passing or any(t in used for t in node.outputs):
            used.update(node.inputs)
    return used


def ids_of(graph: Graph) -> set[Tensor]:
    """The tensors that hold ids, of a graph that knows what a signal flows through."""
    found = {n.inputs[p] for n in graph.nodes if n.kind == "embedding" for p in n.active_inputs}
    for node in reversed(graph.nodes):  # through what only moves ids about
        if node.kind in ("reindex", "pass") and any(t in found for t in node.outputs):
            found.update(node.inputs[p] for p in node.active_inputs)
    return found


def read_as_numbers(graph: Graph, ids: Collection[Tensor]) -> set[Tensor]:
    """The tensors that are read, or from which something is made that is read, by more than embeddings and constants."""
    return _held(graph, lambda node: node.kind in ("reindex", "pass") and any(t in ids for t in node.outputs))
