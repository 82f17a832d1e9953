"""Which tensors a signal flows through: what depends differentiably on the model's inputs."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from innspect.graph.ir import Graph, Node, Rewritten, Tensor, is_float


def activated(graph: Graph, settle: Callable[[Node], Node]) -> Rewritten:
    """The graph with all that depends on its inputs marked; the rest are constants of the rules.

    Args:
        graph: Any graph.
        settle: A function from a node whose `active_inputs` are known to the node with its precise kind.
    """
    active, nodes = set(graph.inputs), []
    for node in graph.nodes:
        node = node.among(active)
        depends = bool(node.active_inputs) and node.kind != "constant"
        integral = node.kind in ("reindex", "pass")  # ids on their way to an Embedding
        made = {t for t in node.outputs if depends and (is_float(t.dtype) or (integral and "int" in t.dtype))}
        active |= made
        nodes.append(settle(node if made else node.but(kind="constant")).among(active))
    return Rewritten(replace(graph, nodes=tuple(nodes), active=frozenset(active)))


def narrowed(graph: Graph, settle: Callable[[Node], Node]) -> Rewritten:
    """As `activated`, where more nodes are constants than before.

    What depends on the inputs through these only becomes a constant, and so does what leads to these only.
    """
    active = set(graph.active)
    for node in graph.nodes:
        if node.kind == "constant" or not node.among(active).active_inputs:
            active.difference_update(node.outputs)
    reached, dead = set(graph.outputs), set()
    for node in reversed(graph.nodes):
        active.difference_update(t for t in node.outputs if t not in reached)
        if node.kind != "constant" and any(t in active for t in node.outputs):
            reached.update(node.inputs)
        else:
            dead.add(node)
    nodes = [(n.but(kind="constant") if n in dead and n.kind != "constant" else n).among(active) for n in graph.nodes]
    return Rewritten(replace(graph, nodes=tuple(map(settle, nodes)), active=frozenset(active)))


def every_way(graph: Graph, tensors: Iterable[Tensor], ends: Callable[[Node, Tensor], bool | None]) -> bool:
    """Whether all that is made of some tensors ends well.

    Args:
        graph: The graph.
        tensors: Where the ways begin.
        ends: A function from a node that reads, and the tensor that it reads, to whether the way ends well there; None where
            it goes on with what the node makes. A way that ends at no node does not end well.
    """
    left = list(tensors)
    seen = set(left)
    while left:
        tensor = left.pop()
        found = [(node, ends(node, tensor)) for node, _ in graph.readers(tensor)]
        if not found or any(well is False for _, well in found):
            return False
        made = [t for node, well in found if well is None for t in node.outputs if t not in seen]
        seen.update(made)
        left += made
    return True


def sends_nothing(graph: Graph, tensor: Tensor) -> str:
    """What is to be said of a tensor from which no signal reaches an input, and of the steps at which it ends."""
    found = [n for n in graph.ancestors([tensor]) if n.kind == "constant" and any(t in graph.active for t in n.inputs)]
    ends = " It ends at " + ", ".join(f"{n.path!r} ({n.operation})" for n in found[:3]) + "." if found else ""
    return (
        " does not depend differentiably on any of the model's inputs, so there is nothing that could be sent back to "
        f"them.{ends}"
    )
