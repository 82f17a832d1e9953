"""The head of a model: the softmax or sigmoid that turns logits into probabilities."""

from typing import Protocol, TypeGuard

from innspect.graph.ir import Node, Tensor


class Produced(Protocol):
    """What knows the node that makes a tensor: a graph, or one that is being written."""

    def producer(self, tensor: Tensor) -> Node | None: ...


def is_head(node: Node | None) -> TypeGuard[Node]:
    return node is not None and (node.kind == "softmax" or node.operation in ("Sigmoid", "LogSoftmax"))


def without_head(graph: Produced, tensor: Tensor) -> Tensor:
    """The logits behind `tensor`, or `tensor` itself where it is not the output of a softmax or sigmoid."""
    node = graph.producer(tensor)
    return node.inputs[0] if is_head(node) else tensor
