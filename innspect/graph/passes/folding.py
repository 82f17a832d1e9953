"""Batch normalization taken into the affine layer before or after it, where that is exactly the same function.

After a linear layer it always is (along the layer's channels); before one it is unless the layer pads with zeros,
which the shift does not reach (METHODS 5.4). The tensor between the two must have no other reader.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, TypeGuard

from innspect.graph.ir import Graph, Node, Rewritten, Tensor
from innspect.graph.views.diagonal import BatchNorm, Folded


def _negative(axis: int, rank: int) -> int:
    return axis if axis < 0 else axis - rank


def _matches(diagonal: BatchNorm, axis: int) -> bool:
    return diagonal.axis == _negative(axis, diagonal.rank)


def fold(graph: Graph, keep: Iterable[Tensor], apart: Collection[str] = frozenset()) -> Rewritten:
    """The graph with every batch normalization folded that can be.

    Args:
        graph: The graph.
        keep: Tensors that must stay.
        apart: Paths of affine nodes that nothing is folded into.

    Returns:
        A `Rewritten`: each tensor that is gone shares its signal with the one before or after the normalization.
    """
    written, keep = _Folding(graph), set(keep)
    gone: dict[Tensor, Tensor] = {}
    for norm in [n for n in graph.nodes if isinstance(n.view, BatchNorm)]:
        before, after = norm.inputs[0], norm.outputs[0]
        source, target = written.made.get(before), written.only_reader(after)
        alone = written.only_reader(before) is norm and before not in keep
        if alone and _takes_in(source, norm, apart, outputs=True):
            view = Folded(source.view, norm.view, after=True)
            written.replace(source, norm, _folded(source, norm, view, outputs=norm.outputs), at=norm)
            gone[before] = after
        elif after not in keep and _takes_in(target, norm, apart, outputs=False):
            view = Folded(target.view, norm.view, after=False)
            written.replace(target, norm, _folded(target, norm, view, args=norm.args), at=target)
            gone[after] = before
    return Rewritten(replace(graph, nodes=tuple(n for n in written.slots.values() if n is not None)), gone)


def _takes_in(node: Node | None, norm: Node, apart: Collection[str], outputs: bool) -> TypeGuard[Node]:
    """Whether an affine node, if it is one, can take in a normalization of its outputs, or of its inputs."""
    if node is None or node.kind != "affine" or node.path in apart:
        return False
    view = node.view
    axis = view.output_axis if outputs else view.input_axis
    return (view.folds_outputs if outputs else view.folds_inputs) and _matches(norm.view, axis)


def _folded(affine: Node, norm: Node, view: Folded, **changes: Any) -> Node:
    reads = (*affine.variables, *norm.view.layer.variables)
    return replace(affine, function=view, view=view, kwargs={}, reads=reads, **changes)


class _Folding:
    """A graph while it is folded: what stands in the place of each node, who makes and who reads a tensor."""

    def __init__(self, graph: Graph):
        self.slots: dict[Node, Node | None] = {n: n for n in graph.nodes}
        self._slot = {n: n for n in graph.nodes}
        self.made = dict(graph.producers)
        self._reading = {t: [reader for reader, _ in pairs] for t, pairs in graph.consumers.items()}

    def only_reader(self, tensor: Tensor) -> Node | None:
        """The node that reads a tensor, where there is but one."""
        readers = self._reading.get(tensor, ())
        return readers[0] if len(readers) == 1 else None

    def replace(self, affine: Node, norm: Node, folded: Node, at: Node) -> None:
        """Put `folded` in the place of two nodes, where one of them was."""
        place = self._slot[at]
        for node in (affine, norm):
            self.slots[self._slot.pop(node)] = None
        self.slots[place] = folded
        self._slot[folded] = place
        for tensor in folded.inputs:
            self._reading[tensor] = [folded if n in (affine, norm) else n for n in self._reading[tensor]]
        self.made.update(dict.fromkeys(folded.outputs, folded))
