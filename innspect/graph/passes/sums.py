"""Sums of sums as one sum: a + b + c is what `Add` of three makes, for rules that share otherwise than in proportion."""

import dataclasses

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Ref, Rewritten
from innspect.graph.passes.kernels import Written

_JOINED = ("Add", "Subtract")


def join_sums(graph: Graph) -> Rewritten:
    """The graph with a sum taken into the one that alone reads it. Tensors that have a name, as outputs of layers do, stay."""
    named = {t for calls in graph.paths.values() for tensors in calls for t in tensors}
    written = Written(graph, named | set(graph.outputs))
    for node in graph.nodes:
        outer: Node | None = node if _is_sum(node) else None
        while outer is not None:
            outer = _joined(written, outer, graph)
    return Rewritten(written.graph())


def _joined(written: Written, outer: Node, graph: Graph) -> Node | None:
    """The node with one of the sums that it adds taken in, which stands in its place now; None where there is none."""
    for tensor in outer.inputs:
        inner = written.producer(tensor)
        if tensor in written.keep or inner is None or not _is_sum(inner) or written.only_reader(tensor) is not outer:
            continue
        given = list(dict.fromkeys(t for t in (*inner.inputs, *outer.inputs) if t is not tensor))
        run = Interpreter([inner, outer], given, outer.outputs)
        made = dataclasses.replace(
            outer,
            function=lambda *values, run=run: run(values)[0],
            args=tuple(map(Ref, given)),
            kwargs={},
            reads=(*inner.variables, *outer.variables),
            active_inputs=tuple(i for i, t in enumerate(given) if t in graph.active),
        )
        written.put(made, outer, inner)
        return made
    return None


def _is_sum(node: Node) -> bool:
    return node.kind == "sum" and node.view is None and node.operation in _JOINED and len(node.active_inputs) > 1
