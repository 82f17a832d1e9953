"""Signals that must pass some layers on their way back, and there only some channels.

At a layer's output the signal is multiplied with a mask of channels, and what runs beside the layer is dropped: what arrives
at the inputs has passed every layer. A layer that is used several times is masked at each of its uses, and one of them is
enough to have passed it. So signals are kept apart by the layers that they have passed, and those that cannot pass the rest
any more are dropped where they turn off. With one layer, as most often, there is one signal at any time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from innspect.graph.ir import Graph, Tensor
from innspect.types import BackendTensor

Passed: TypeAlias = frozenset[int]  # the numbers of layers that a signal has passed
Mask: TypeAlias = Callable[[BackendTensor], BackendTensor]  # from the signal at a layer's output to what passes
Taken: TypeAlias = list[tuple[Tensor, BackendTensor]]

NOTHING: Passed = frozenset()


class Through:
    """The layers that signals must pass in a graph, and where signals are on their way to them.

    Args:
        graph: The graph, whose inputs are where signals end.
        output: Where they start.
        layers: Dict from path to the outputs of a layer, one for each of its uses.

    Raises:
        ValueError: No path from the inputs to `output` passes them all.
    """

    def __init__(self, graph: Graph, output: Tensor, layers: Mapping[str, Sequence[Tensor]]):
        self.paths = tuple(layers)
        self.of = {tensor: number for number, tensors in enumerate(layers.values()) for tensor in tensors}
        self._every = frozenset(range(len(self.paths)))
        self._met = self._counted(graph)
        self._check(self._met.get(output, frozenset()))

    def _counted(self, graph: Graph) -> dict[Tensor, frozenset[Passed]]:
        """For each tensor the sets of layers that paths from the inputs to it pass."""
        met = {t: frozenset({self._own(t)}) for t in graph.inputs}
        for node in graph.nodes:
            read = [] if node.kind == "constant" else [node.inputs[p] for p in node.active_inputs]
            ways = {way for tensor in read for way in met.get(tensor, ())}
            for tensor in node.outputs:
                if ways and tensor in graph.active:
                    met[tensor] = frozenset(way | self._own(tensor) for way in ways)
        return met

    def _own(self, tensor: Tensor) -> Passed:
        return frozenset({self.of[tensor]}) if tensor in self.of else NOTHING

    def _check(self, ways: frozenset[Passed]) -> None:
        for number, path in enumerate(self.paths):
            if not any(number in way for way in ways):
                raise ValueError(
                    "`through` must name layers between where the method's signals end and the explained output. Received: "
                    f"{path!r}, which no signal passes"
                )
        for one in range(len(self.paths)):
            for other in range(one):
                if not any({one, other} <= way for way in ways):
                    raise ValueError(
                        "`through` must name layers of which one lies behind the other. Received: "
                        f"{self.paths[other]!r} and {self.paths[one]!r}; no signal passes both, so nothing would be left"
                    )
        if not any(self._every <= way for way in ways):
            raise ValueError(
                f"`through` must name layers that lie behind one another. Received: {list(self.paths)}; no signal passes them "
                "all, so nothing would be left"
            )

    def last(self, passed: Passed, number: int) -> bool:
        """Whether a signal that has passed some layers has passed them all with this one."""
        return self._every <= passed | {number}

    def leads(self, passed: Passed, tensor: Tensor) -> bool:
        """Whether a signal at a tensor that has passed some layers may yet pass the rest."""
        return any(self._every <= passed | way for way in self._met.get(tensor, ()))


class Travelling:
    """The signals that are on their way, by tensor, and by the layers that they have passed.

    Args:
        start: Dict from tensor to the signal there.
        through: The layers that must be passed; None: all signals go to the inputs.
        masks: For each of the layers a function from the signal at its output to what passes.
        count: Whether what masks take is kept, for the books.
        ends: Whether signals that have passed every layer go no further; nothing is masked then.

    Attributes:
        dtype: Of the signals.
        ended: Dict from tensor to the signal that went no further.
    """

    def __init__(
        self,
        start: Mapping[Tensor, BackendTensor],
        through: Through | None = None,
        masks: Sequence[Mask] = (),
        count: bool = False,
        ends: bool = False,
    ):
        self._through, self._masks, self._count, self._ends = through, masks, count, ends
        self.dtype = next(iter(start.values())).dtype
        self.ended: dict[Tensor, BackendTensor] = {}
        self._waiting: dict[Passed, dict[Tensor, BackendTensor]] = {NOTHING: dict(start)}

    def arrived(self, tensors: Sequence[Tensor]) -> list[tuple[Passed, list[BackendTensor | None], Taken]]:
        """Take the signals at some tensors, which no more will reach.

        Returns:
            For each set of layers passed, where any signal arrived: the set, the signals behind the masks, None where none
            arrived, and what the masks took.
        """
        found: dict[Passed, tuple[list[BackendTensor | None], Taken]] = {}
        for place, tensor in enumerate(tensors):
            for passed, waiting in list(self._waiting.items()):
                signal = waiting.pop(tensor, None)
                if signal is None:
                    continue
                taken: Taken = []
                if self._through is not None and tensor in self._through.of:
                    number = self._through.of[tensor]
                    if self._ends and self._through.last(passed, number):
                        self.ended[tensor] = self.ended[tensor] + signal if tensor in self.ended else signal
                        continue
                    passed, whole = passed | {number}, signal
                    signal = whole if self._ends else self._masks[number](whole)
                    taken = [(tensor, whole - signal)] if self._count else []
                row, lost = found.setdefault(passed, ([None] * len(tensors), []))
                row[place] = signal if row[place] is None else row[place] + signal
                lost += taken
        return [(passed, row, lost) for passed, (row, lost) in found.items()]

    def send(self, passed: Passed, tensor: Tensor, signal: BackendTensor) -> bool:
        """Send a signal on to a tensor; False where it is dropped, since from there it could not pass the rest."""
        if self._through is not None and not self._through.leads(passed, tensor):
            return False
        waiting = self._waiting.setdefault(passed, {})
        waiting[tensor] = waiting[tensor] + signal if tensor in waiting else signal
        return True

    def left(self, tensors: Iterable[Tensor]) -> dict[Tensor, BackendTensor]:
        """The signals that wait at some tensors, behind the masks."""
        found: dict[Tensor, BackendTensor] = {}
        for tensor in tensors:
            for _, (signal,), _ in self.arrived([tensor]):
                found[tensor] = found[tensor] + signal if tensor in found else signal
        return found
