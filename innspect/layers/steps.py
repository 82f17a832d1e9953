"""The steps of a program: layers with a rule, runs of plain gradients, and what no signal flows through."""

from collections.abc import Collection
from typing import Any, NamedTuple, TypeAlias

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.layers.base import ReverseLayer, vjp_at
from innspect.layers.through import Taken
from innspect.types import Pullback, Shape, Signals, Tensors


class Segment:
    """Consecutive nodes whose signal is the plain gradient, as one step."""

    def __init__(self, nodes: list[Node], graph: Graph, keep: Collection[Tensor]):
        self.nodes = tuple(nodes)
        made = [t for n in nodes for t in n.outputs]
        inside, members = set(made), set(nodes)
        self.inputs = tuple(dict.fromkeys(t for n in nodes for t in n.inputs if t not in inside))
        self.outputs = tuple(t for t in made if t in keep or any(r not in members for r, _ in graph.readers(t)))
        self.path = nodes[-1].path
        # Ids that only constants read, such as a mask, have no gradient.
        self._positions = [p for p, t in enumerate(self.inputs) if t in graph.active and is_float(t.dtype)]
        self._run = Interpreter(self.nodes, self.inputs, self.outputs)

    def forward(self, inputs: Tensors) -> tuple[Tensors, Pullback]:
        return vjp_at(lambda *values: self._run(values), inputs, self._positions)

    def backward(self, pullback: Pullback, signals: Tensors) -> Signals:
        return pullback(signals)


class Constant:
    """A node that no signal flows through."""

    def __init__(self, node: Node):
        self.node, self.inputs, self.outputs, self.path = node, node.inputs, node.outputs, node.path


Step: TypeAlias = Segment | Constant | ReverseLayer
Tape: TypeAlias = list[tuple[Step, Any, list[Shape]]]  # steps, what each saved, the shapes of its outputs


class Entry(NamedTuple):
    """A line of the books: a step, the signals at its outputs and its inputs, what it saved, and what masks took there."""

    step: Segment | ReverseLayer
    arrived: Tensors
    left: Signals
    saved: Any
    masked: Taken
