"""Which tensors a signal flows through: what depends differentiably on the model's inputs."""

from collections.abc import Callable
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


def sends_nothing(graph: Graph, tensor: Tensor) -> str:
    """What is to be said of a tensor from which no signal reaches an input, and of the steps at which it ends."""
    found = [n for n in graph.ancestors([tensor]) if n.kind == "constant" and any(t in graph.active for t in n.inputs)]
    ends = " It ends at " + ", ".join(f"{n.path!r} ({n.operation})" for n in found[:3]) + "." if found else ""
    return (
        " does not depend differentiably on any of the model's inputs, so there is nothing that could be sent back to "
        f"them.{ends}"
    )
