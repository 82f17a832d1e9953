"""The clone at work: one forward pass through the reverse-mapping layers, then the signals back through them.

The backward pass walks the layers in reverse order and adds up the signals that reach a tensor. So fan-out, shared
layers, several inputs and outputs and nested models need no code of their own, and the signal at any tensor, the
books of every layer and the seeds of many neurons come from the same walk. Runs of plain gradient layers are one
segment, handed to the backend's own differentiation whole.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from keras import ops

from innspect import backend
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.graph.views.activations import Rectifier
from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.gradient import Gradient
from innspect.layers.steps import Constant, Entry, Remade, Segment, Step, Tape, let_go, recalled
from innspect.layers.through import Mask, Through, Travelling
from innspect.layers.weightless import Pass
from innspect.types import BackendTensor, Tensors

Bounds: TypeAlias = dict[Tensor, tuple[BackendTensor, BackendTensor]]


class Program:
    """A graph with a rule for every node, ready to run.

    Args:
        graph: The graph, folded where the method wants that.
        output: The tensor that is explained.
        rules: Dict from node to `Rule`; every node that a signal can flow through has one.
        nonnegative: The tensors proven to be >= 0.
        keep: Tensors whose signals are asked for.
        seed_support: True where the seed is 0 wherever the output is.
    """

    def __init__(
        self,
        graph: Graph,
        output: Tensor,
        rules: Mapping[Node, Rule],
        nonnegative: Collection[Tensor] = frozenset(),
        keep: Iterable[Tensor] = (),
        seed_support: bool = False,
    ):
        self.inputs, self.output = graph.inputs, output
        self.graph = replace(graph, nodes=tuple(graph.ancestors([output])))
        self._rules, self._nonnegative = rules, nonnegative
        self._keep = frozenset({output, *keep})
        self._supported = self._with_support(seed_support)
        self.steps = tuple(self._plan())
        self._walk = Interpreter(self.steps, self.inputs, [output])
        self._box = next((s.rule for s in self.steps if isinstance(s, ReverseLayer) and s.rule.needs_bounds), None)

    # ------------------------------------------------------------------ planning
    def _plan(self) -> list[Step]:
        steps: list[Step] = []
        run: list[Node] = []
        merged: set[Node] = set()

        def close() -> None:
            if run:
                steps.append(Segment(list(run), self.graph, self._keep))
                run.clear()

        for node in self.graph.nodes:
            if node in merged:
                continue
            if node.kind == "constant":
                # A length is a number, not a tensor: it cannot come out of a segment. Nor can a tensor without a gradient.
                if node.operation == "Length" or any(t in self._keep for t in node.outputs):
                    close()
                if run:
                    run.append(node)
                else:
                    steps.append(Constant(node))
                continue
            rule = self._rules[node]
            if type(rule) is Gradient:
                run.append(node)
                if any(t in self._keep for t in node.outputs):
                    close()
                continue
            close()
            gate = self._gate_after(node, rule)
            if gate is not None:
                merged.add(gate)
            steps.append(
                ReverseLayer(
                    node,
                    rule,
                    nonnegative=all(t in self._nonnegative for t in node.inputs),
                    gated=gate is not None,
                    outputs=gate.outputs if gate is not None else (),
                )
            )
        close()
        return steps

    def _gate_after(self, node: Node, rule: Rule) -> Node | None:
        """The ReLU node that `node` may take in, or None."""
        if not rule.gates or node.outputs[0] in self._keep:
            return None
        readers = self.graph.readers(node.outputs[0])
        if len(readers) != 1:
            return None
        relu = readers[0][0]
        plain = isinstance(relu.view, Rectifier) and relu.view.max_value is None
        return relu if plain and type(self._rules.get(relu)) is Pass and relu.outputs[0] in self._supported else None

    def _with_support(self, seeded: bool) -> set[Tensor]:
        """The tensors at which the signal is 0 wherever the value is."""
        lacking: set[Tensor] = set() if seeded else {self.output}
        for node in reversed(self.graph.nodes):
            if node.kind == "constant":
                continue
            support = self._rules[node].support
            if isinstance(node.view, Rectifier) and type(self._rules[node]) is Pass:
                support = "output"
            if support is None or (support == "output" and any(t in lacking for t in node.outputs)):
                lacking.update(node.inputs)
        return {t for node in self.graph.nodes for t in node.outputs} - lacking

    def computes(self, tensor: Tensor) -> bool:
        """Whether the explained tensor depends on `tensor`, or is it."""
        return tensor is self.output or tensor in self.graph.consumers

    # ------------------------------------------------------------------ running
    def forward(self, values: Tensors, record: dict[Tensor, BackendTensor] | None = None) -> tuple[Any, Tape]:
        """Compute the clone.

        Args:
            values: Of the graph's inputs.
            record: A dict whose keys are inputs and tensors to `keep`; gets their values.

        Returns:
            The value of the explained tensor, and the tape for `backward`: (step, saved) pairs.
        """
        tape: Tape = []
        record = {} if record is None else record
        bounds = None if self._box is None else self._input_bounds(self._box, values)
        again: dict[Tensor, Remade | None] = {}

        def visit(step: Step, inputs: Tensors) -> Tensors:
            saved: Any = None
            if isinstance(step, Constant):
                outputs = self.constant(step.node, inputs)
            else:
                step = step if bounds is None else _bounded(step, inputs, bounds)
                outputs, saved = step.forward(inputs)
                if backend.RUNS_AHEAD and isinstance(step, ReverseLayer):
                    saved = let_go(saved, inputs, [again.get(t) for t in step.inputs])
                    again[step.outputs[0]] = Remade.of(step, inputs)
            if not isinstance(step, Constant) or any(t in self._keep for t in step.outputs):
                tape.append((step, saved, [getattr(y, "shape", ()) for y in outputs]))
            found = zip((*step.inputs, *step.outputs), (*inputs, *outputs), strict=True)
            record.update((t, value) for t, value in found if t in record)
            return outputs

        (y,) = self._walk(values, visit)
        if self.output in record:
            record[self.output] = y
        return y, tape

    def value(self, result: Any) -> BackendTensor:
        """The explained tensor's own value in what `forward` gives for it."""
        return result

    def constant(self, node: Node, inputs: Tensors) -> Tensors:
        """The outputs of a node that no signal flows through."""
        return node(*inputs)

    def backward(
        self,
        tape: Tape,
        seed: BackendTensor,
        wanted: Iterable[Tensor] = (),
        ledger: list[Entry] | None = None,
        keep_tape: bool = False,
        through: Through | None = None,
        masks: Sequence[Mask] = (),
    ) -> dict[Tensor, BackendTensor]:
        """Send the seed back.

        Args:
            tape: From `forward`.
            seed: The signal at the explained tensor.
            wanted: Tensors whose signals are returned besides those of the inputs.
            ledger: A list that gets an `Entry` for every step.
            keep_tape: False frees what each step saved as soon as it was used.
            through: The layers that signals must pass.
            masks: For each of these a function from the signal at its output to what passes.

        Returns:
            Dict from tensor to signal, for the inputs (absent where none arrived) and `wanted`; behind the masks.
        """
        start = Travelling({self.output: self.sent(tape, seed)}, through, masks, count=ledger is not None)
        return self.told(tape, self.walk(tape, start, wanted, ledger, keep_tape), wanted)

    def sent(self, tape: Tape, seed: BackendTensor) -> BackendTensor:
        """The signal that starts at the explained tensor where the seed is told."""
        return seed

    def told(self, tape: Tape, signals: dict[Tensor, BackendTensor], wanted: Iterable[Tensor]) -> dict[Tensor, BackendTensor]:
        """What is told of the signals that `walk` returned."""
        return signals

    def walk(
        self,
        tape: Tape,
        signals: Travelling,
        wanted: Iterable[Tensor] = (),
        ledger: list[Entry] | None = None,
        keep_tape: bool = False,
    ) -> dict[Tensor, BackendTensor]:
        """Send signals back from where they are; as `backward`, in the form that they have between the steps."""
        returned: dict[Tensor, BackendTensor] = {}
        tape = list(tape) if keep_tape else tape
        wanted = {*self.inputs, *wanted}
        while tape:
            step, saved, shapes = tape.pop()
            for passed, arrived, masked in signals.arrived(step.outputs):
                dtype = next(s.dtype for s in arrived if s is not None)
                filled = [ops.zeros(shape, dtype) if s is None else s for s, shape in zip(arrived, shapes, strict=True)]
                for tensor, signal in zip(step.outputs, filled, strict=True):
                    if tensor in wanted:
                        returned[tensor] = returned[tensor] + signal if tensor in returned else signal
                if isinstance(step, Constant):
                    continue
                saved = recalled(saved, filled[0])
                made = step.backward(saved, filled)
                results = [s if t in self.graph.active else None for t, s in zip(step.inputs, made, strict=True)]
                for place, (tensor, signal) in enumerate(zip(step.inputs, results, strict=True)):
                    if signal is not None and not signals.send(passed, tensor, signal):
                        results[place] = None
                        masked += [(tensor, signal)]
                if ledger is not None:
                    ledger.append(Entry(step, filled, results, saved, masked))
                del filled, made, results
            for tensor, shape in zip(step.outputs, shapes, strict=True):
                if tensor in wanted and tensor not in returned:
                    # No signal reaches a constant, such as attention weights where these are constants.
                    returned[tensor] = ops.zeros(shape, signals.dtype)
            del saved
        return returned | signals.left(wanted)

    def _input_bounds(self, box: Rule, values: Tensors) -> Bounds:
        """The bounds of the model's inputs, for the z-box rule: tensor -> (lowest, highest)."""
        bounds: Bounds = {}
        for tensor, x in zip(self.inputs, values, strict=True):
            dtype = x.dtype if is_float(x.dtype) else self.output.dtype
            low, high = (ops.broadcast_to(ops.convert_to_tensor(b, dtype), x.shape) for b in (box.low, box.high))
            bounds[tensor] = (low, high)
        return bounds


def _bounded(step: Segment | ReverseLayer, inputs: Tensors, bounds: Bounds) -> Segment | ReverseLayer:
    """The step with the bounds of its inputs, where its rule asks; `bounds` gets those of what it makes."""
    if isinstance(step, ReverseLayer) and step.rule.needs_bounds:
        if step.inputs[0] not in bounds:
            raise ValueError(
                f"The bounds of the model's input say nothing about what the layer {step.path!r} reads, so the z-box "
                "rule does not fit it. Give it to the first kernel layers only, as `input_layer_rule=(low, high)`. "
                f"Received: {step.rule!r} for {step.path!r}"
            )
        return replace(step, bounds=bounds[step.inputs[0]])
    keeps = ("pass", "reindex", "sum", "winner")
    if isinstance(step, ReverseLayer) and step.node.kind in keeps and any(t in bounds for t in step.inputs):
        ends = [
            step.node(*[bounds[t][side] if t in bounds else x for t, x in zip(step.inputs, inputs, strict=True)])
            for side in (0, 1)
        ]
        for tensor, low, high in zip(step.outputs, *ends, strict=True):
            bounds[tensor] = (backend.minimum(low, high), backend.maximum(low, high))
    return step


def per_sample(tensor: BackendTensor, batch: int) -> BackendTensor:
    """Sums over everything but the samples: (batch,)."""
    return ops.sum(ops.reshape(tensor, (batch, -1)), axis=1)
