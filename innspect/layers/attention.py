"""Rules of LRP for transformers (METHODS 15): AttnLRP (Achtibat et al. 2024) and CP-LRP (Ali et al. 2022).

Both are written as modified gradients: the signal at a tensor is g, and its relevance is R = value * g. Affine maps,
residual sums, copies and the softmax (whose Taylor rule is x J^T(R / s)) then are the plain gradient, nothing is ever
divided by a small sum, and what is left are the few rules below. `Softmax` is the same in relevance form.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from keras import ops

from innspect.graph.ir import Tensor
from innspect.layers import program
from innspect.layers.base import ReverseLayer, Rule, Shares, safe_divide, stabilised, vjp_at
from innspect.layers.gradient import Gradient
from innspect.layers.steps import Entry
from innspect.layers.through import Mask, Through
from innspect.layers.weightless import sum_to
from innspect.types import BackendTensor, Signals, Tensors


class Linear(Rule):
    """The gradient, where an output's relevance is the sum of its inputs': the epsilon rule with R = value * g.

    g' = J^T(g y / (y + epsilon sign(y)))

    Args:
        epsilon: Stabiliser.
    """

    form = "gradient"

    def __init__(self, epsilon: float = 0.0):
        self.epsilon = epsilon

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = layer.active_vjp(inputs)
        return outputs, (inputs, outputs, pullback)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        _, outputs, pullback = saved
        return pullback([g * self._kept(y) for g, y in zip(signals, outputs, strict=True)] if self.epsilon else signals)

    def _kept(self, y: BackendTensor) -> BackendTensor:
        return safe_divide(y, stabilised(y, self.epsilon))

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        """Of relevance: what the constants of an affine map take is what the inputs do not account for.

        `saved` has the outputs' gradients besides: where an output is 0, as in x - max(x), its relevance does not tell.
        """
        *saved, gradients = saved
        inputs, outputs, _ = saved
        stabiliser = [r * (1 - self._kept(y)) for r, y in zip(signals, outputs, strict=True)]
        left = [x * g for x, g in zip(inputs, self.backward(layer, saved, gradients), strict=True) if g is not None]
        return {"stabiliser": stabiliser, "bias": [*signals, *(-s for s in [*stabiliser, *left])]}


class Shared(Rule):
    """A product of several operands: an equal part of the relevance to each (Achtibat et al. 2024, Prop. 3.2 and 3.3).

    Args:
        takers: Positions of the operands that take part; a gate is left out, and gets nothing (METHODS 14.1).
        epsilon: Stabiliser.
    """

    form = "gradient"

    def __init__(self, takers: Iterable[int], epsilon: float = 0.0):
        self.takers, self.epsilon = tuple(takers), epsilon

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = vjp_at(layer, inputs, self.takers)
        return outputs, (outputs[0] if self.epsilon else None, pullback)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        y, pullback = saved
        factor: BackendTensor = 1 / len(self.takers)
        if self.epsilon:
            factor = factor * safe_divide(y, stabilised(y, self.epsilon))
        return pullback([signals[0] * factor])

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        y = saved[0]
        return {"stabiliser": [signals[0] * (1 - safe_divide(y, stabilised(y, self.epsilon)))]} if self.epsilon else {}


class Identity(Rule):
    """Elementwise with one input: relevance passes unchanged, so g' = g f(x) / x; 0 where x is 0 (METHODS 1.5)."""

    form = "gradient"

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs = layer(*inputs)
        return outputs, (inputs[layer.node.active_inputs[0]], outputs[0])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        x, y = saved
        position = layer.node.active_inputs[0]
        passed = sum_to(signals[0] * safe_divide(y, x), x)
        return [passed if p == position else None for p in range(len(layer.inputs))]

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        return {"dropped": [ops.where(saved[0] == 0, signals[0], ops.zeros_like(signals[0]))]}


class FromRelevance(Rule):
    """A rule in relevance form between layers in gradient form: R = y g goes in, and g' = R / x comes out.

    Args:
        rule: The rule.
        incoming, outgoing: Whether the outputs' signals are gradients (a tuple, one for each output); whether the
            inputs' are to be.
    """

    form = "gradient"

    def __init__(self, rule: Rule, incoming: tuple[bool, ...] | None = None, outgoing: bool = True):
        self.rule, self.incoming, self.outgoing = rule, incoming, outgoing

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, saved = self.rule.forward(layer, inputs)
        return outputs, (inputs, outputs, saved)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        inputs, outputs, saved = saved
        incoming = self.incoming or (True,) * len(outputs)
        relevance = [s * ops.cast(y, s.dtype) if g else s for s, y, g in zip(signals, outputs, incoming, strict=True)]
        passed = self.rule.backward(layer, saved, relevance)
        if not self.outgoing:
            return passed
        return [None if r is None else safe_divide(r, x) for r, x in zip(passed, inputs, strict=True)]

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        """The rule's own, and what a gradient cannot carry: relevance of an input that is 0."""
        inputs, _, saved = saved
        shares = dict(self.rule.shares(layer, saved, signals))
        if self.outgoing:
            passed = zip(self.rule.backward(layer, saved, signals), inputs, strict=True)
            lost = [ops.where(x == 0, r, ops.zeros_like(r)) for r, x in passed if r is not None]
            shares["dropped"] = [*shares.get("dropped", ()), *lost]
        return shares


class RelevanceProgram(program.Program):
    """A program whose signals are gradients between the layers, and relevance where they come out.

    Args:
        relevant: Tensors whose signal is relevance already.
        (the others): As for `Program`.
    """

    def __init__(self, *arguments: Any, relevant: Iterable[Tensor] = (), **settings: Any):
        super().__init__(*arguments, **settings)
        self._relevant = set(relevant)

    def forward(self, values: Tensors, record: dict[Tensor, BackendTensor] | None = None) -> tuple[BackendTensor, "Tape"]:
        record = {} if record is None else record
        kept = dict.fromkeys([*self._keep, *self.inputs, *record])
        kept.update(zip(self.inputs, values, strict=True))  # also those that no step reads
        y, tape = super().forward(values, kept)
        record.update((t, kept[t]) for t in record)
        return y, Tape(tape, kept)

    def sent(self, tape: program.Tape, seed: BackendTensor) -> BackendTensor:
        assert isinstance(tape, Tape)  # from `forward`
        return safe_divide(seed, tape.values[self.output])

    def told(
        self, tape: program.Tape, signals: dict[Tensor, BackendTensor], wanted: Iterable[Tensor]
    ) -> dict[Tensor, BackendTensor]:
        assert isinstance(tape, Tape)
        values = tape.values
        unreached = {t: ops.zeros_like(values[t]) for t in wanted if t not in signals}
        return unreached | {t: s if t in self._relevant else s * values[t] for t, s in signals.items()}

    def backward(
        self,
        tape: program.Tape,
        seed: BackendTensor,
        wanted: Iterable[Tensor] = (),
        ledger: list[Entry] | None = None,
        keep_tape: bool = False,
        through: Through | None = None,
        masks: Sequence[Mask] = (),
    ) -> dict[Tensor, BackendTensor]:
        assert isinstance(tape, Tape)
        signals = super().backward(tape, seed, wanted, ledger, keep_tape, through, masks)
        if ledger is not None:
            ledger[:] = [self._entry(entry, tape.values) for entry in ledger]
        return signals

    def _entry(self, entry: Entry, values: dict[Tensor, BackendTensor]) -> Entry:
        """One line of the books, in relevance."""
        step, arrived, saved = entry.step, entry.arrived, entry.saved

        def relevance(signals: Signals, tensors: Iterable[Tensor]) -> Signals:
            return [
                s if s is None or t in self._relevant or t not in values else s * values[t]
                for s, t in zip(signals, tensors, strict=True)
            ]

        saved = (*saved, arrived) if isinstance(step, ReverseLayer) and isinstance(step.rule, Linear) else saved
        masked = [(t, s) for t, signal in entry.masked for s in relevance([signal], [t])]
        return Entry(step, relevance(arrived, step.outputs), relevance(entry.left, step.inputs), saved, masked)


class Tape(program.Tape):
    """What the steps saved, and the values of the tensors whose relevance is wanted."""

    def __init__(self, steps: program.Tape, values: dict[Tensor, BackendTensor]):
        super().__init__(steps)
        self.values = values


class Softmax(Rule):
    """The Taylor rule of a hidden softmax in relevance form (Achtibat et al. 2024, Prop. 3.1).

    R_i = x_i (R_i^s - s_i sum_j R_j^s) = x J^T(R^s / s). Not conserving: a bias takes the difference. Masked positions
    (minus infinity) get 0.
    """

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = layer.active_vjp(inputs)
        return outputs, (inputs, outputs[0], pullback)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        inputs, s, pullback = saved
        passed = pullback([safe_divide(signals[0], s)])
        return [None if g is None else _finite(x) * g for x, g in zip(inputs, passed, strict=True)]

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        kept = [-r for r in self.backward(layer, saved, signals) if r is not None]
        return {"bias": [signals[0], *kept]}


def _finite(x: BackendTensor) -> BackendTensor:
    return ops.where(ops.isfinite(x), x, ops.zeros_like(x))


__all__ = ["FromRelevance", "Gradient", "Identity", "Linear", "RelevanceProgram", "Shared", "Softmax"]
