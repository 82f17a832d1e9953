"""The head of a model: the softmax or sigmoid that turns logits into probabilities."""

from typing import Protocol, TypeGuard

from innspect.graph.ir import Node, Ref, Tensor

_VALUES = frozenset("Cast SaturateCast ConvertToTensor Copy Clip Log".split())  # of each probability by itself
_JOINS = frozenset("Concatenate Stack Hstack Vstack Dstack Where Select Take TakeAlongAxis".split())


class Produced(Protocol):
    """What knows the node that makes a tensor: a graph, or one that is being written."""

    def producer(self, tensor: Tensor) -> Node | None: ...


def is_head(node: Node | None) -> TypeGuard[Node]:
    return node is not None and (node.kind == "softmax" or node.operation in ("Sigmoid", "LogSoftmax"))


def without_head(graph: Produced, tensor: Tensor) -> Tensor:
    """The logits behind `tensor`, or `tensor` itself where it is not the output of a softmax or sigmoid."""
    node = graph.producer(tensor)
    return node.inputs[0] if is_head(node) else tensor


def behind_moves(graph: Produced, tensor: Tensor) -> tuple[Node | None, list[Node]]:
    """The node whose output a tensor holds, perhaps in another place, shape or dtype, or clipped; and the steps since."""
    steps: list[Node] = []
    node = graph.producer(tensor)
    while node is not None and not is_head(node) and _only_moves(graph, node):
        steps.append(node)
        node = graph.producer(node.inputs[0])
    return node, steps[::-1]


def moved_head(graph: Produced, tensor: Tensor) -> tuple[Node, list[Node]] | None:
    """The head that a tensor comes from, and the steps since, of which there are some; or None."""
    node, steps = behind_moves(graph, tensor)
    if not is_head(node) or not steps:
        return None
    # The logarithm of a sigmoid is a function of its own, and no head.
    own = node.operation == "Sigmoid" and any(step.operation == "Log" for step in steps)
    return None if own else (node, steps)


def _only_moves(graph: Produced, node: Node) -> bool:
    """Whether a node moves its first input, or is one of the functions that leave probabilities what they are."""
    others = [graph.producer(t) for t in node.inputs[1:]]
    first = node.args[0] if node.args else None
    if not isinstance(first, Ref) or any(maker is None or maker.kind != "constant" for maker in others):
        return False
    if node.kind == "reindex":
        return node.operation not in _JOINS
    numbers = all(isinstance(a, int | float | str | None) for a in (*node.args[1:], *node.kwargs.values()))
    return node.operation in _VALUES and numbers
