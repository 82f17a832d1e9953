"""The steps of a program: layers with a rule, runs of plain gradients, and what no signal flows through."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, TypeAlias

from innspect import backend
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.graph.views.activations import Rectifier
from innspect.layers.base import ReverseLayer, vjp_at
from innspect.layers.through import Taken
from innspect.layers.weightless import Pass
from innspect.types import BackendTensor, Pullback, Shape, Signals, Tensors


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


class Remade(NamedTuple):
    """In the place of a value that a step saved: what makes it again in less time than it takes to hold it."""

    node: Node
    inputs: Tensors

    @classmethod
    def of(cls, step: ReverseLayer, inputs: Tensors) -> "Remade | None":
        """What makes the output of a step again; None where that would take long."""
        cheap = type(step.rule) is Pass and isinstance(step.view, Rectifier) and len(inputs) == 1
        return cls(step.node, inputs) if cheap else None

    def value(self, signal: BackendTensor) -> BackendTensor:
        """The value, made when the signal is there."""
        return self.node(*[backend.after(x, signal) for x in self.inputs])[0]


def let_go(saved: Any, inputs: Tensors, made: Sequence[Remade | None]) -> Any:
    """What a step saved, with `Remade` in the place of those of its inputs for which there is one."""
    if type(saved) is not tuple:
        return saved
    known = {id(x): again for x, again in zip(inputs, made, strict=True) if again is not None}
    return tuple(known.get(id(value), value) for value in saved)


def recalled(saved: Any, signal: BackendTensor) -> Any:
    """What a step saved, whole again."""
    if type(saved) is not tuple:
        return saved
    return tuple(value.value(signal) if isinstance(value, Remade) else value for value in saved)


class Entry(NamedTuple):
    """A line of the books: a step, the signals at its outputs and its inputs, what it saved, and what masks took there."""

    step: Segment | ReverseLayer
    arrived: Tensors
    left: Signals
    saved: Any
    masked: Taken
