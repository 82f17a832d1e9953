"""A softmax that is written out: exp(x) / sum(exp(x)), as users and tutorials write attention.

Taken apart, its quotient has no rule; it is put together again, with the rules and the name of a softmax, also at the
model's end. Recognized are a maximum that is subtracted (the softmax then is that of x: it does not depend on it), a mask
that is multiplied with or chosen by, a small constant in the denominator, a product with the reciprocal, and
exp(x - logsumexp(x)). What is computed stays what the user wrote, to the bit.
"""

from dataclasses import replace

from innspect.graph.heads import Produced
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor

_QUOTIENTS = {"Divide", "TrueDivide", "DivideNoNan"}
_MOVES = set("Cast SaturateCast ConvertToTensor Copy ExpandDims Reshape Squeeze BroadcastTo Repeat Tile".split())
_MASKS = {"Multiply", "Where"}  # with a constant
_GUARDS = {"Add", "Maximum", "Clip", "StopGradient"}  # with a constant, or alone


def put_together(graph: Graph) -> Rewritten:
    """The graph with every softmax that is written out as one node, and without what leads to no output."""
    graph = replace(graph, nodes=tuple(_joined(graph, node) for node in graph.nodes))
    return Rewritten(replace(graph, nodes=tuple(graph.ancestors(graph.outputs))))


def written_softmax(graph: Produced, node: Node | None) -> Tensor | None:
    """The tensor whose softmax `node` computes, or None. `graph` is a graph, or a trace that is being written."""
    return _Search(graph).written(node)


class _Search:
    """Looks from a node up to what made its inputs."""

    def __init__(self, graph):
        self.producer = graph.producer

    def written(self, node):
        if node is None:
            return None
        if node.operation == "Exp":
            return self._normalized_logarithm(node.inputs[0])
        parts = self._quotient(node)
        if parts is None:
            return None
        exponential, total = self._origin(parts[0], _MOVES | _MASKS), self._origin(parts[1], _MOVES | _GUARDS)
        if exponential is None or total is None or exponential.operation != "Exp" or total.operation != "Sum":
            return None
        summed = self._origin(total.inputs[0], _MOVES | _MASKS)
        if summed is None or summed.operation != "Exp":
            return None
        x, other = self._exponent(exponential.inputs[0]), self._exponent(summed.inputs[0])
        return x[0] if x == other else None

    def _quotient(self, node):
        """Numerator and denominator of a / b or a * (1 / b), where both depend on the inputs."""
        if node.kind not in ("product", "quotient"):
            return None
        inverses = [m for t in node.inputs if (m := self.producer(t)) is not None and self._inverts(m)]
        if node.kind == "product" and not inverses:
            return None
        tensors = [t for t in node.inputs if self._varies(t)]
        if len(tensors) != 2:
            return None
        if node.kind == "quotient":
            return tensors
        if inverses:
            for numerator, factor in (tensors, tensors[::-1]):
                inverse = self.producer(factor)
                if inverse in inverses:
                    return numerator, inverse.inputs[0]
        return None

    @staticmethod
    def _inverts(node):
        divides = node.operation in _QUOTIENTS and not isinstance(node.args[0], Ref)
        return node.operation == "Reciprocal" or divides

    def _normalized_logarithm(self, tensor):
        """The x of log_softmax(x), or of x - logsumexp(x)."""
        node = self.producer(tensor)
        if node is None:
            return None
        if node.operation == "LogSoftmax":
            return node.inputs[0]
        if node.operation == "Subtract" and len(node.inputs) == 2:
            total = self._origin(node.inputs[1], _MOVES)
            if total is not None and total.operation == "Logsumexp" and total.inputs[0] is node.inputs[0]:
                return node.inputs[0]
        return None

    def _exponent(self, tensor):
        """What an exponential is taken of, before a maximum is subtracted from it, and whether one is."""
        node = self.producer(tensor)
        if node is None or node.operation != "Subtract" or len(node.inputs) != 2:
            return tensor, False
        x, highest = node.inputs[0], self._origin(node.inputs[1], _MOVES | {"StopGradient"}, constants=True)
        found = highest is not None and highest.operation in ("Max", "Amax") and highest.inputs[0] is x
        return (x, True) if found else (tensor, False)

    def _origin(self, tensor, through, constants=False):
        """The node that made a tensor, before all that is only moved, masked or guarded."""
        node = self.producer(tensor)
        while node is not None and node.operation in through:
            inputs = [t for t in node.inputs if constants or self._varies(t)]
            if len(inputs) != 1:
                return None
            node = self.producer(inputs[0])
        return node

    def _varies(self, tensor):
        """Whether a tensor depends differentiably on the model's inputs, as far as operations tell."""
        left, seen = [tensor], {tensor}
        while left:
            node = self.producer(left.pop())
            if node is None:
                return True
            if node.kind != "constant":
                left += [t for t in node.inputs if t not in seen]
                seen.update(node.inputs)
        return False

    def between(self, node, x):
        """The steps from x to `node`, in order, and the other tensors that they are given."""
        steps: dict[Node, None] = {}
        given: dict[Tensor, None] = {}
        left = [(node.outputs[0], False)]
        while left:
            tensor, made = left.pop()
            step = self.producer(tensor)
            if made:
                steps[step] = None
                continue
            fixed = step is not None and step.kind == "constant"
            if tensor is x or step in steps:
                continue
            if step is None or (fixed and not any(t is x for t in step.inputs) and not self._leads(step, x)):
                given[tensor] = None
            else:
                left += [(tensor, True), *((t, False) for t in reversed(step.inputs))]
        return list(steps), list(given)

    def _leads(self, step, x):
        """Whether a constant step, such as a stopped maximum, is computed from x by steps of the softmax itself."""
        while step is not None and step.operation in _MOVES | {"StopGradient", "Max", "Amax"} and step.inputs:
            if step.inputs[0] is x:
                return True
            step = self.producer(step.inputs[0])
        return False


def _joined(graph, node):
    search = _Search(graph)
    x = search.written(node)
    if x is None:
        return node
    steps, given = search.between(node, x)
    run = Interpreter(steps, [x, *given], node.outputs)
    reads = tuple(v for step in steps for v in step.variables)
    return replace(
        node,
        kind="softmax",
        function=lambda *values: run(values)[0],
        args=tuple(map(Ref, (x, *given))),
        kwargs={},
        view=None,
        operation="Softmax",
        reads=reads,
    )
