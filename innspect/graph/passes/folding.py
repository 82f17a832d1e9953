"""Diagonal affine maps, such as batch normalization, taken into the affine layer before or after them, where that is exact.

After a linear layer it always is (along the layer's channels); before one it is unless the layer pads with zeros,
which the shift does not reach (METHODS 5.4). The tensor between the two must have no other reader. What only prepares the
model's input stays apart: relevance passes through it.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TypeGuard

from innspect.graph.ir import Graph, Node, Rewritten, Tensor
from innspect.graph.passes.kernels import Written, biased, with_bias
from innspect.graph.views.diagonal import Arithmetic, Diagonal, Folded


def fold(graph: Graph, keep: Iterable[Tensor], apart: Collection[str] = frozenset()) -> Rewritten:
    """The graph with every diagonal map folded that can be.

    Args:
        graph: The graph.
        keep: Tensors that must stay.
        apart: Paths of affine nodes that nothing is folded into.

    Returns:
        A `Rewritten`: each tensor that is gone shares its signal with the one before or after the map.
    """
    written, early = Written(graph, set(keep)), preparing(graph)
    gone: dict[Tensor, Tensor] = {}
    left = [n for n in graph.nodes if n.kind == "sum" and isinstance(n.view, Diagonal) and n.path not in early]
    while True:  # one that is folded may leave another next to a kernel
        kept = [node for node in left if not _fold(written, node, apart, gone)]
        if len(kept) == len(left):
            break
        left = kept
    return Rewritten(replace(graph, nodes=tuple(written.nodes())), gone)


def preparing(graph: Graph) -> frozenset[str]:
    """Paths of the diagonal maps that only prepare the model's inputs: of constants, before any kernel and embedding."""
    behind: set[Tensor] = set()
    found = set()
    for node in graph.nodes:
        if node.kind in ("affine", "embedding", "recurrent") or any(t in behind for t in node.inputs):
            behind.update(node.outputs)
        elif node.kind == "sum" and isinstance(node.view, Diagonal) and not node.view.learned:
            found.add(node.path)
    return frozenset(found)


def _fold(written: Written, node: Node, apart: Collection[str], gone: dict[Tensor, Tensor]) -> bool:
    """Fold one diagonal map, if that can be."""
    before, after = node.inputs[node.active_inputs[0]], node.outputs[0]
    source, target = written.producer(before), written.only_reader(after)
    if written.only_reader(before) is node and before not in written.keep and _is_kernel(source, apart):
        folded = _behind(source, node)
        if folded is not None:
            written.put(folded, node, source)
            gone[before] = after
            return True
    if after not in written.keep and _is_kernel(target, apart):
        folded = _in_front(target, node)
        if folded is not None:
            written.put(folded, target, node)
            gone[after] = before
            return True
    return False


def _is_kernel(node: Node | None, apart: Collection[str]) -> TypeGuard[Node]:
    return node is not None and node.kind == "affine" and node.path not in apart


def _behind(kernel: Node, node: Node) -> Node | None:
    """A kernel with the map of its outputs, or None."""
    view, axis = kernel.view, _negative(kernel.view.output_axis, len(node.outputs[0].shape))
    size = node.outputs[0].shape[axis]
    if view.folds_outputs and node.view.varies_along(axis) and size is not None:
        return _folded(kernel, node, Folded(view, node.view, True, size), outputs=node.outputs)
    shifted = with_bias(view, node.view) if isinstance(node.view, Arithmetic) else None
    return None if shifted is None else biased(kernel, node, shifted)


def _in_front(kernel: Node, node: Node) -> Node | None:
    """A kernel with the map of its inputs, or None."""
    view, x = kernel.view, node.inputs[node.active_inputs[0]]
    axis = _negative(view.input_axis, len(x.shape))
    size = x.shape[axis]
    if not view.folds_inputs or not node.view.varies_along(axis) or size is None:
        return None
    reference = next(a for a in node.args if getattr(a, "tensor", None) is x)
    return _folded(kernel, node, Folded(view, node.view, False, size), args=(reference,), active_inputs=(0,))


def _folded(kernel: Node, node: Node, view: Folded, **changes: object) -> Node:
    reads = (*kernel.variables, *node.variables, *node.view.variables)
    return replace(kernel, function=view, view=view, kwargs={}, reads=reads, **changes)  # type: ignore[arg-type]


def _negative(axis: int, rank: int) -> int:
    return axis if axis < 0 else axis - rank
