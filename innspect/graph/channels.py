"""Where the channels lie in a graph's tensors: the data formats of its layers tell."""

from collections.abc import Iterable

from innspect.graph.ir import Graph, Node, Tensor


def _first(formats: Iterable[str | None]) -> bool:
    return next((f for f in formats if f), "channels_last") == "channels_first"


def _format(node: Node) -> str | None:
    return getattr(node.layer, "data_format", None)


def channels_first(graph: Graph) -> bool:
    """Whether the layers of a graph hold the channels before the spatial axes."""
    return _first(map(_format, graph.nodes))


def channels_first_at(graph: Graph, tensor: Tensor) -> bool:
    """The same of the nearest layer at or before a tensor that has a data format."""
    return _first(map(_format, reversed(graph.ancestors([tensor]))))


def reads_channels_first(graph: Graph, number: int) -> bool:
    """The same of the first layer after an input that has one."""
    reached = {graph.inputs[number]}
    for node in graph.nodes:
        if any(t in reached for t in node.inputs):
            reached.update(node.outputs)
            if _format(node):
                return _first([_format(node)])
    return False
