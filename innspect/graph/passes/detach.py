"""A graph in which some factors are constants: what transformer LRP detaches (METHODS 15).

- The scale of a normalization (Ali et al. 2022, LN-rule; Achtibat et al. 2024, Prop. 3.4): y = (x - mean(x)) r gamma + beta
  with r = 1 / std kept as it is. Layers and operations are rewritten; hand-written ones (x * rsqrt(mean(x^2) + e)) are
  recognized by what a square root is taken of and what it is multiplied with; so is x / sum(|x|).
- Attention weights, for CP-LRP (AH-rule): every softmax that is not the model's head.

Values do not change. A frozen node is a constant behind a stop_gradient, and what only led to it is a constant too.
"""

from dataclasses import replace

from innspect import backend
from innspect.graph.activity import every_way, narrowed
from innspect.graph.heads import is_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Ref, Rewritten
from innspect.graph.passes.normalization import SCALE, steps_of
from innspect.graph.views.sums import Normalized

_ROOTS = {"Rsqrt", "Sqrt", "Power", "Norm", "Std"}
_REDUCTIONS = {"Mean", "Sum", "Var", "Norm", "Std"}
_QUOTIENTS = {"Divide", "TrueDivide", "DivideNoNan"}


def freeze(graph: Graph, attention: bool = False) -> Rewritten:
    """The graph with the scale of every normalization constant, and with `attention` every softmax but the head."""
    frozen = {n for n in graph.nodes if _is_scale(graph, n)}
    if attention:
        heads = {n for n in map(graph.producer, graph.outputs) if is_head(n)}
        frozen |= {n for n in graph.nodes if n.kind == "softmax" and n not in heads}
    nodes = tuple(_stopped(n) if n in frozen else _with_frozen_scale(n) for n in graph.nodes)
    return narrowed(replace(graph, nodes=nodes), _settled)


def _stopped(node):
    function = node.function
    stopped = lambda *args, **kwargs: backend.stop_gradient(function(*args, **kwargs))  # noqa: E731
    return node.but(kind="constant", function=stopped)


def _settled(node):
    """With one operand left, a product of operands is a linear map."""
    active = node.active_inputs
    if len(active) != 1 or node.kind == "constant":
        return node
    divides = node.operation in _QUOTIENTS and isinstance(node.args[0], Ref) and active[0] == 0
    return node.but(kind="sum") if node.kind in ("product", "bilinear") or divides else node


# ---------------------------------------------------------------------- hand-written normalizations
def _is_scale(graph, node):
    """A root of an average of the input, or the sum of what it divides, that is only multiplied with or divided by."""
    if not any(t in graph.active for t in node.outputs):
        return False
    if node.operation in ("Sum", "Mean"):
        return _divides_what_it_adds(graph, node)
    if node.operation not in _ROOTS:
        return False
    if node.operation == "Power" and not any(abs(leaf) == 0.5 for leaf in node.args if isinstance(leaf, float)):
        return False
    return _of_an_average(graph, node) and _only_scales(graph, node)


def _divides_what_it_adds(graph, node):
    """Whether all that is done with a sum is to divide by it what was added, or that of which the sizes were."""
    added = node.inputs[0]
    maker = graph.producer(added)
    sized = maker is not None and maker.operation in ("Absolute", "Abs")
    parts = {added, *(maker.inputs if sized else ())}

    def divides(reader, tensor):
        if reader.operation in _QUOTIENTS and len(reader.active_inputs) == 2:
            return reader.args[1].tensor is tensor and reader.args[0].tensor in parts
        return None if _hands_on(reader) else False

    return every_way(graph, node.outputs[:1], divides)


def _hands_on(reader):
    return reader.kind in ("pass", "reindex", "sum", "winner") and len(reader.active_inputs) == 1


def _of_an_average(graph, node):
    while node is not None:
        if node.operation in _REDUCTIONS:
            return True
        active = [t for t in node.inputs if t in graph.active]
        node = graph.producer(active[0]) if len(active) == 1 else None
    return False


def _only_scales(graph, node):
    def scales(reader, tensor):
        if reader.kind == "product":
            return True
        if reader.operation in _QUOTIENTS and len(reader.active_inputs) == 2:
            return isinstance(reader.args[1], Ref) and reader.args[1].tensor is tensor
        return None if _hands_on(reader) else False

    return every_way(graph, node.outputs, scales)


# ---------------------------------------------------------------------- normalization layers and operations
def _with_frozen_scale(node):
    """A normalization as one linear map: its steps, with the scale constant."""
    steps = steps_of(node)
    if steps is None:
        return node
    run = Interpreter([_stopped(s) if s.operation == SCALE else s for s in steps], node.inputs, node.outputs)
    args = tuple(Ref(t) for t in node.inputs)
    return node.but(kind="sum", view=Normalized(), function=lambda *xs: run(xs)[0], args=args, kwargs={})
