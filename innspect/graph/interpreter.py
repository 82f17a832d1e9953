"""Running a graph, or a part of it: the one place where values pass from node to node."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from innspect.graph.ir import Graph, Node, Tensor
from innspect.types import Tensors


class Step(Protocol):
    """What reads some tensors and makes others, such as a node."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...


S = TypeVar("S", bound=Step)


def _called(step: Any, given: Tensors) -> Tensors:
    return step(*given)


class Interpreter(Generic[S]):
    """Computes some tensors from the values of others, and forgets each value after its last use.

    Args:
        steps: Nodes in the order of computation, or other steps.
        inputs: Tensors whose values are given.
        outputs: Tensors whose values are wanted.
    """

    def __init__(self, steps: Iterable[S], inputs: Iterable[Tensor], outputs: Iterable[Tensor]):
        self.steps, self.inputs, self.outputs = tuple(steps), tuple(inputs), tuple(outputs)
        last = {t: i for i, step in enumerate(self.steps) for t in (*step.outputs, *step.inputs)}
        for tensor in self.outputs:
            last.pop(tensor, None)
        self._forgotten: list[list[Tensor]] = [[] for _ in self.steps]
        for tensor, i in last.items():
            self._forgotten[i].append(tensor)

    @staticmethod
    def of(graph: Graph, *outputs: Tensor) -> "Interpreter[Node]":
        """From the inputs of `graph` to some of its tensors."""
        return Interpreter(graph.ancestors(outputs), graph.inputs, outputs)

    def __call__(self, values: Iterable[Any], visit: Callable[[S, Tensors], Tensors] = _called) -> Tensors:
        """The values of the outputs.

        Args:
            values: Of the inputs.
            visit: A function `(step, values of its inputs) -> values of its outputs`; by default the steps are called.
        """
        env = dict(zip(self.inputs, values, strict=True))
        for step, forgotten in zip(self.steps, self._forgotten, strict=True):
            given = [env[t] for t in step.inputs]
            env.update(zip(step.outputs, visit(step, given), strict=True))
            for tensor in forgotten:
                del env[tensor]
        return [env[t] for t in self.outputs]
