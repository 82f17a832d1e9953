"""Bins beside the number they are made of: a number that is also put into bins is explained as the number."""

from dataclasses import replace

from innspect.graph.ir import Graph, Node, Rewritten, Tensor
from innspect.graph.views.ids import Lookup


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
