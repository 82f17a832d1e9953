"""A pass: a program at work, compiled, with the values forward and the signals of one target or several back."""

import copy
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import keras
from keras import ops

from innspect import backend
from innspect.analyzers.base.request import Bare, Batch, Result
from innspect.graph.ir import Graph, Tensor, is_float
from innspect.graph.opened.layer_paths import called, tensors_of
from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.precision import PreciseCompiler
from innspect.inputs.sites import UnitSite
from innspect.inputs.targets import explained_value
from innspect.layers.program import Program
from innspect.layers.steps import Entry, Step
from innspect.layers.through import Mask, Through, Travelling
from innspect.types import BackendTensor, Nest, Tensors

Attributed = Callable[["Passage", BackendTensor], Nest]  # what a target's signal tells, from its weights


class Runs(Protocol):
    """What runs values forward and signals back: a `Program`, or what stands for one."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that values are given for."""

    @property
    def output(self) -> Tensor:
        """The explained tensor."""

    @property
    def graph(self) -> Graph:
        """What signals flow through."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its steps, in order."""

    def computes(self, tensor: Tensor) -> bool:
        """Whether the explained tensor depends on a tensor, or is it."""

    def value(self, result: Any) -> BackendTensor:
        """The explained tensor's own value in what `forward` gives for it."""

    def forward(self, values: Any) -> tuple[Any, Any]:
        """What is made of the inputs, and what `backward` needs."""

    def backward(
        self,
        tape: Any,
        seed: BackendTensor,
        wanted: Iterable[Tensor] = (),
        ledger: list[Entry] | None = None,
        keep_tape: bool = False,
        through: Through | None = None,
        masks: Sequence[Mask] = (),
    ) -> dict[Tensor, BackendTensor]:
        """Dict from tensor to the signal there."""


class Pass:
    """The way of values and signals through a model, for one of its outputs.

    Args:
        program: A `Program`, or what else `Runs`.
        variables: Those that the program reads.
        head: A function from the explained tensor to the model's own output.
        layers: Dict from path to the tensors at which signals are wanted.
        through: Dict from the path of a layer that signals must pass to its tensors, and where its channels are.

    Raises:
        ValueError: The explained output does not depend on one of `layers`, or no signal passes all of `through`.
    """

    def __init__(
        self,
        program: Runs,
        variables: list[keras.Variable],
        head: Callable[[BackendTensor], BackendTensor] | None = None,
        layers: Mapping[Any, list[Tensor]] | None = None,
        through: Mapping[str, tuple[list[Tensor], UnitSite]] | None = None,
    ):
        self.program, self._compiler = program, PreciseCompiler(variables)
        self._head, self.layers = head or (lambda y: y), layers or {}
        for path, tensors in self.layers.items():
            if any(not program.computes(t) for t in tensors):
                raise ValueError(f"`at` must name layers that the explained output depends on. Received: {path!r}")
        crossed = {path: tensors for path, (tensors, _) in (through or {}).items()}
        self.through = Through(program.graph, program.output, crossed) if crossed else None
        self._sites = [site for _, site in (through or {}).values()]

    def masks(self, channels: Tensors) -> list[Mask]:
        """For each layer that signals must pass the function that masks them, from a mask (samples, channels)."""
        return [masking(site, mask) for site, mask in zip(self._sites, channels, strict=True)]

    def of_channels(self, signals: dict[Tensor, BackendTensor], samples: int) -> BackendTensor:
        """The sums over each channel, (samples, channels), of the signals at the one layer that all must pass."""
        return sum(self._sites[0].of_channels(signal, samples) for signal in signals.values())

    def __call__(self, key: Hashable, function: Callable[..., Nest], *arguments: Nest) -> Nest:
        """`function(*arguments)`, compiled; `key` says which function this is, so that it is compiled but once."""
        return self._compiler(key, function, *arguments)

    def forward(self, xs: list[Any], request: Bare, values: Tensors) -> "Passage":
        """Within a compiled function: the model run on `xs`, ready to send signals back.

        Args:
            xs: What the program takes.
            request: The `Request`, bare, since what is compiled is kept.
            values: For each of its targets, what tells it for these rows; then for each layer that signals must pass its mask.
        """
        return Passage(self, xs, request, values)

    def explain(self, batch: Batch, attributed: Attributed | None = None) -> Result:
        """One run forward for a `Batch`, and a way back for each of its targets.

        Args:
            batch: The `Batch`.
            attributed: A function `(passage, weights) -> nest of tensors` of what each way back tells; None: the signals that
                arrive, "inputs", one for each, and "signals", at each of `layers`.

        Returns:
            Dict with the model's "outputs" (batch, ...), the explained values "targets" (batch,), and what `attributed`
            returns; with several targets, all but the outputs have a neuron axis first.
        """
        tell, request = attributed or _signals, batch.request.bare

        def explain(xs: Tensors, values: Tensors) -> Result:
            passage = self.forward(xs, request, values)
            found = passage.each(lambda weights: tell(passage, weights))
            return {**found, "targets": passage.targets, "outputs": passage.outputs}

        return self(("explain", tell, request.key), explain, batch.xs, batch.values)

    def output(self, y: BackendTensor) -> BackendTensor:
        """The model's own output from the explained tensor."""
        return self._head(y)


class Passage:
    """One run forward and the ways back from it.

    Attributes:
        xs: What the program was given.
        program: The program.
        result: What the program made.
        y: The explained tensor, (rows, ...).
        tape: What the program kept.
        weights: For each target the weights of the elements of y.
    """

    def __init__(self, way: Pass, xs: list[Any], request: Bare, values: Tensors):
        self.xs, self._way, self.request, self.program = xs, way, request, way.program
        self.result, self.tape = way.program.forward(xs)
        self.y = way.program.value(self.result)
        self._begun: dict[Tensor, BackendTensor] | None = None
        count = len(request.targets)
        self._values, self._masks = list(zip(request.targets, values[:count], strict=True)), list(values[count:])
        self.weights = [target.weights(v, self.y) for target, v in self._values]

    @property
    def outputs(self) -> BackendTensor:
        """The model's own output."""
        return self._way.output(self.y)

    @property
    def targets(self) -> BackendTensor:
        """The explained values, (rows,), with a neuron axis first for several."""
        return self.explained(self.y)

    def explained(self, y: BackendTensor) -> BackendTensor:
        """What the targets explain of other values of the explained tensor."""
        found = [explained_value(t, w, y) for (t, _), w in zip(self._values, self.weights, strict=True)]
        return ops.stack(found) if self.request.several else found[0]

    @property
    def settled(self) -> Tensors:
        """What tells each target for other inputs: the largest element is that of these. Then the masks."""
        return [*(target.settled(v, self.y) for target, v in self._values), *self._masks]

    def each(self, function: Callable[[BackendTensor], Nest]) -> Nest:
        """`function(weights)`, a nest of tensors, for each target; with a neuron axis first for several."""
        return backend.scan(function, ops.stack(self.weights)) if self.request.several else function(self.weights[0])

    def back(self, seed: BackendTensor, ledger: list[Entry] | None = None) -> dict[Tensor, BackendTensor]:
        """Dict from tensor to the signal there, where the seed starts at y; of a `begun` passage, where that began."""
        way, wanted = self._way, [t for tensors in self._way.layers.values() for t in tensors]
        if self._begun is not None:
            assert isinstance(self.program, Program)  # which `down_to` was asked of
            travelling = Travelling(self._begun, way.through, way.masks(self._masks))
            return self.program.told(self.tape, self.program.walk(self.tape, travelling, wanted, keep_tape=True), wanted)
        keep, masks = self.request.several, way.masks(self._masks)
        return self.program.backward(self.tape, seed, wanted, ledger, keep, way.through, masks)

    def down_to(self, seed: BackendTensor) -> dict[Tensor, BackendTensor]:
        """The signals at the outputs of the one layer that all must pass, before any mask, for `begun`; of a `Program`."""
        assert isinstance(self.program, Program)
        travelling = Travelling({self.program.output: self.program.sent(self.tape, seed)}, self._way.through, ends=True)
        self.program.walk(self.tape, travelling, keep_tape=True)
        shapes = {t: shape for step, _, shapes in self.tape for t, shape in zip(step.outputs, shapes, strict=True)}
        crossed = self._way.through.of if self._way.through is not None else ()
        return {t: ops.zeros(shapes[t], seed.dtype) for t in crossed if t not in travelling.ended} | travelling.ended

    def begun(self, signals: dict[Tensor, BackendTensor], masks: Tensors) -> "Passage":
        """A passage like this one with the ways back begun at some tensors, and with other masks."""
        made = copy.copy(self)
        made._begun, made._masks = signals, list(masks)
        return made

    def at_inputs(self, signals: dict[Tensor, BackendTensor]) -> Tensors:
        """The signal at each input, zeros where none arrived."""
        return [_arrived(signals, t, x, self.y.dtype) for t, x in zip(self._way.program.inputs, self.xs, strict=True)]

    def at_layers(self, signals: dict[Tensor, BackendTensor]) -> dict[str, Nest]:
        """The signal at each layer that was asked for, a list where it has several outputs."""
        found = {path: [signals[t] for t in tensors] for path, tensors in self._way.layers.items()}
        return {path: each[0] if len(each) == 1 else each for path, each in found.items()}


def _signals(passage: Passage, weights: BackendTensor) -> dict[str, Nest]:
    signals = passage.back(weights)
    return {"inputs": passage.at_inputs(signals), "signals": passage.at_layers(signals)}


def _arrived(signals: dict[Tensor, BackendTensor], tensor: Tensor, x: BackendTensor, dtype: Any) -> BackendTensor:
    signal = signals.get(tensor)
    return ops.zeros(x.shape, x.dtype if is_float(x.dtype) else dtype) if signal is None else signal


def masking(site: UnitSite, mask: BackendTensor) -> Mask:
    """The function that lets the channels of a mask (samples, channels) pass, of a signal at a layer's output."""
    return lambda signal: signal * ops.cast(site.spread(mask, signal), signal.dtype)


def tensors_at(opened: OpenedModel, at: Any) -> list[Tensor]:
    """The outputs of a layer named by its path, of all its calls or the one named; or the tensor of a `UnitSite`.

    Raises:
        KeyError: No layer has this path.
    """
    if isinstance(at, UnitSite):
        return [at.tensor]
    return [t for path in called(opened.graph, at) for t in tensors_of(opened.graph, path, "at")]
