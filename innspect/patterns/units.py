"""The affine layers of a graph, and whether a ReLU follows them."""

from dataclasses import dataclass

from innspect import backend
from innspect.graph.activity import every_way
from innspect.graph.ir import Graph, Node, Tensor
from innspect.graph.views.activations import Extremum, Rectifier
from innspect.graph.views.diagonal import Diagonal
from innspect.patterns.layout import Layout, layout_of
from innspect.types import Array


@dataclass
class Unit:
    """An affine layer: all the nodes that share its kernel.

    Attributes:
        path: Path of its first node, the layer's name in a `Patterns` object.
        nodes: Its nodes, one for each call.
        layouts: The `Layout` of each node.
        norms: For each node the diagonal maps, such as batch normalization, that follow it: the gate is taken behind them.
        gated: Whether a ReLU follows every call.
    """

    path: str
    nodes: list[Node]
    layouts: list[Layout]
    norms: list[list[Node]]
    gated: bool

    @property
    def layout(self) -> Layout:
        return self.layouts[0]

    def kernel(self) -> Array:
        return backend.to_numpy(self.nodes[0].view.kernel())


def units_of(graph: Graph) -> list[Unit]:
    """The affine layers of a graph, in the order of computation."""
    groups: dict[tuple[int, type], list[Node]] = {}
    for node in graph.nodes:
        if node.kind == "affine":
            layer = getattr(node.view, "layer", None)
            groups.setdefault((id(layer or node), type(node.view)), []).append(node)
    return [
        Unit(
            nodes[0].path,
            nodes,
            [layout_of(n) for n in nodes],
            [_norms_after(graph, n) for n in nodes],
            all(_is_gated(graph, n.outputs[0]) for n in nodes),
        )
        for nodes in groups.values()
    ]


def _norms_after(graph: Graph, node: Node) -> list[Node]:
    """The diagonal maps that are the only readers of the node's output, one after the other."""
    tensor = node.outputs[0]
    found: list[Node] = []
    while True:
        readers = [reader for reader, _ in graph.readers(tensor)]
        if len(readers) != 1 or not isinstance(readers[0].view, Diagonal):
            return found
        found.append(readers[0])
        tensor = readers[0].outputs[0]


def _is_gated(graph: Graph, tensor: Tensor) -> bool:
    """Whether a ReLU follows, perhaps behind normalization, max pooling or a change of shape."""

    def gates(reader: Node, tensor: Tensor) -> bool | None:
        if isinstance(reader.view, Rectifier) or reader.kind == "constant":
            return True
        return None if _keeps_gate(reader) else False

    read = any(reader.kind != "constant" for reader, _ in graph.readers(tensor))
    return read and every_way(graph, [tensor], gates)


def _keeps_gate(node: Node) -> bool:
    if isinstance(node.view, Diagonal) or node.kind == "reindex":
        return True
    pooling = node.operation in ("MaxPool", "AdaptiveMaxPool") or (isinstance(node.view, Extremum) and node.view.largest)
    return node.kind == "winner" and pooling
