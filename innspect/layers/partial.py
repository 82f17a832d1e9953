"""A program whose signals stop at inner tensors: what lies before them is only computed.

The graph is cut in two. The *stem* is every node that does not depend on the tensors of interest; it runs forward
and keeps nothing. The *tail* is the rest, a graph of its own whose inputs are those tensors and what else the stem
hands over; only there signals flow. A gradient at a late layer so costs little more than the forward pass.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor
from innspect.layers.base import Rule
from innspect.layers.program import Program
from innspect.layers.steps import Entry, Step, Tape
from innspect.layers.through import Mask, Through
from innspect.types import BackendTensor, Tensors


def split(graph: Graph, output: Tensor, tensors: Sequence[Tensor]) -> tuple[list[Node], Graph]:
    """Cut the ancestors of `output` at `tensors`.

    Returns:
        The nodes of the stem, in order, and the tail: a graph from `tensors` and what else the stem makes to `output`.
    """
    moved = set(tensors)
    stem: list[Node] = []
    tail: list[Node] = []
    for node in graph.ancestors([output]):
        if any(t in moved for t in node.inputs):
            tail.append(node)
            moved.update(node.outputs)
        else:
            stem.append(node)
    made = {t for node in tail for t in node.outputs}
    read = [*tensors, *(t for node in tail for t in node.inputs), output]
    handed = tuple(t for t in dict.fromkeys(read) if t not in made)
    return stem, replace(graph, nodes=tuple(tail), inputs=handed, outputs=(output,))


@dataclass
class CutTape:
    """What a forward pass kept: the tape of the tail, and the values of the tensors where signals stop."""

    steps: Tape
    values: dict[Tensor, BackendTensor]


class CutProgram:
    """A `Program` from inner tensors on, with the interface of a `Program` of the whole graph.

    Args:
        graph: The whole graph.
        output: The tensor that is explained.
        tensors: Where signals stop.
        rules: Dict from node to `Rule`.
        ends: Those of the tensors that all is made of; none: all.

    Attributes:
        inputs: The inputs of the whole graph.
        stem: The `Interpreter` from them to the inputs of the tail.
        tail: The `Program` of the tail.
        graph: What signals flow through on their way to `ends`.
    """

    def __init__(
        self,
        graph: Graph,
        output: Tensor,
        tensors: Sequence[Tensor],
        rules: Mapping[Node, Rule],
        ends: Sequence[Tensor] = (),
    ):
        self.inputs, self.output, self.tensors = graph.inputs, output, tuple(tensors)
        stem, rest = split(graph, output, tensors)
        self.stem = Interpreter(stem, graph.inputs, rest.inputs)
        self.tail = Program(rest, output, rules, keep=tensors)
        self.graph = replace(split(graph, output, ends)[1], inputs=tuple(ends)) if ends else rest
        self._computed = {*graph.inputs, output, *(t for node in (*stem, *rest.nodes) for t in node.outputs)}

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.tail.steps

    def computes(self, tensor: Tensor) -> bool:
        """Whether the explained tensor depends on `tensor`, or is it."""
        return tensor in self._computed

    def value(self, result: BackendTensor) -> BackendTensor:
        return result

    def forward(self, values: Tensors) -> tuple[BackendTensor, CutTape]:
        """The value of the explained tensor, and a `CutTape`."""
        return self.resume(self.stem(values))

    def resume(self, handed: Tensors) -> tuple[BackendTensor, CutTape]:
        """As `forward`, from the values of the tail's inputs on."""
        kept: dict[Tensor, BackendTensor] = dict.fromkeys(self.tensors)
        y, steps = self.tail.forward(handed, record=kept)
        return y, CutTape(steps, kept)

    def backward(
        self,
        tape: CutTape,
        seed: BackendTensor,
        wanted: Iterable[Tensor] = (),
        ledger: list[Entry] | None = None,
        keep_tape: bool = False,
        through: Through | None = None,
        masks: Sequence[Mask] = (),
    ) -> dict[Tensor, BackendTensor]:
        """Send the seed back to the cut; see `Program.backward`."""
        return self.tail.backward(tape.steps, seed, [*self.tensors, *wanted], ledger, keep_tape, through, masks)
