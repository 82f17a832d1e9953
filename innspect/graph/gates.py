"""Which factor of a product is a gate: it says how much passes, not what, and gets no relevance (METHODS 14.1).

A sigmoid makes a gate, and so does what a gate leaves of the rest, 1 - gate, as in a GRU: both lie in [0, 1] and are no
signal of their own. One answer for all methods but for the softmax. It is a gate where attention is explained as
a cell's gates are (METHODS 14.1). In the LRP of transformers (METHODS 15.2) the softmax has a rule of its own and takes its
half of the product: else pooling by attention would depend on whether it is written as a product and a sum or
as a matrix product.
"""

from innspect.graph.ir import Graph, Node

_GATES = {"Sigmoid", "HardSigmoid"}


def gates(graph: Graph, node: Node, softmax: bool = True) -> list[int]:
    """Positions of the gates among the operands of a product; empty where all operands are gates.

    Args:
        graph: The graph.
        node: A node of kind "product".
        softmax: Whether a softmax makes a gate.
    """
    active = node.active_inputs
    found = [p for p in active if _is_gate(graph, graph.producer(node.inputs[p]), softmax)]
    return found if len(found) < len(active) else []


def _is_gate(graph: Graph, node: Node | None, softmax: bool) -> bool:
    while node is not None and node.kind == "reindex" and len(node.active_inputs) == 1:
        node = graph.producer(node.inputs[node.active_inputs[0]])
    if node is None:
        return False
    if node.operation == "Subtract" and isinstance(node.args[0], int | float) and node.args[0] == 1:
        return _is_gate(graph, graph.producer(node.inputs[0]), softmax)  # what a gate leaves of the rest
    return node.operation in _GATES or (softmax and node.kind == "softmax")
