"""Methods that send a signal back through the clone: programs, compiled once for each batch shape and kind of target."""

import keras
from keras import ops

from innspect import backend
from innspect.analyzers import selection
from innspect.analyzers.base import Analyzer
from innspect.analyzers.selection import few_at_once
from innspect.errors import NotAnalyzeableModelError, PlainKeyError, suggest
from innspect.graph.heads import is_head, without_head
from innspect.graph.ir import is_float
from innspect.graph.signs import nonnegative
from innspect.layers.flow import Proportional
from innspect.layers.program import Program, per_sample


class ReverseAnalyzer(Analyzer):
    """Base of the methods that send a signal back through the clone.

    Args:
        head: "logit" explains what a final softmax or sigmoid is given; "output" what it returns.
        start: "value" seeds the explained value itself, "one" seeds 1, None what the method prescribes.
    """

    form = "gradient"
    default_start = "one"
    conserves = False
    program_class = Program

    def __init__(self, model, *, head=None, start=None, **arguments):
        if head not in (None, "logit", "output"):
            raise ValueError(f"`head` must be 'logit' or 'output'. Received: {head!r}")
        if start not in (None, "value", "one"):
            raise ValueError(f"`start` must be 'value' or 'one'. Received: {start!r}")
        super().__init__(model, **arguments)
        self.head, self.start = head or "logit", start or self.default_start
        self._clone.verify()
        if self.head == "logit" and getattr(self._clone, "hidden_softmax", None):
            raise NotAnalyzeableModelError(
                f"The layer {self._clone.hidden_softmax!r} at the end of the model returns probabilities, but its softmax "
                "cannot be seen, so it cannot be stripped. Write it with `keras.ops.softmax` or a Softmax layer, or "
                'explain the probabilities with head="output".'
            )
        self._graph, self._gone = self.prepare(self._clone.graph)
        self._nonnegative = nonnegative(self._graph)
        self._variables = self._clone.variables()
        self._programs, self._compiled = {}, {}
        self._rules_for(0)

    # ------------------------------------------------------------------ what a method decides
    def prepare(self, graph):
        """The graph that rules are given to, and the tensors that are gone from it with their stand-ins."""
        return graph, {}

    def rule(self, node):
        """The rule of a node that a signal flows through, or None where the method has none."""
        raise NotImplementedError

    def seed(self, weights, y):
        """The signal at the explained tensor."""
        return weights * y if self.start == "value" else weights

    def finish(self, signal, x):
        """The attribution of one input from the signal that arrived there."""
        return signal

    # ------------------------------------------------------------------ programs
    def _explained(self, number):
        tensor = self._clone.graph.outputs[number]
        return without_head(tensor) if self.head == "logit" else tensor

    def _rules_for(self, number):
        explained = self._explained(number)
        if not explained.active:
            raise NotAnalyzeableModelError(
                f"The output {self._clone.output_names[number]!r} of the model {self.model.name!r} does not depend "
                "differentiably on any of its inputs, so there is nothing that could be sent back to them."
                + self._where_it_ends(explained)
            )
        nodes = self._graph.ancestors([explained])
        rules = {node: self.rule(node) for node in nodes if node.kind != "constant"}
        for node in [n for n, rule in rules.items() if rule is None]:
            if not self.disable_model_checks:
                raise NotAnalyzeableModelError(self._no_rule(node))
            rules[node] = Proportional()
        return rules

    def _where_it_ends(self, explained):
        """A sentence about the first steps that have no gradient."""
        found = [n for n in self._graph.ancestors([explained]) if n.kind == "constant" and any(t.active for t in n.inputs)]
        return " It ends at " + ", ".join(f"{n.path!r} (a {n.operation})" for n in found[:3]) + "." if found else ""

    def _no_rule(self, node):
        if node.operation in ("Divide", "TrueDivide", "DivideNoNan"):
            return (
                f"{self.name!r} has no rule for {node.path!r}, a quotient of two tensors that both depend on the input. Where "
                "the denominator only scales, as in a normalization, say so: x / keras.ops.stop_gradient(y)."
            )
        text = (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation or node.kind}). Register one for the layer's "
            "class with `innspect.register_reverse_mapping(LayerClass, rule=...)`, or use a gradient method."
        )
        reason = self._clone.unopened.get(node.path)
        if reason:
            text += f" The layer could not be opened into Keras operations: {reason}."
            if any(None in tuple(t.shape)[1:] for t in node.inputs):
                text += " A length that is not known beforehand may be why: call the model on a `keras.Input` of a known one."
        return text

    def _program(self, number, at=()):
        key = (number, at)
        if key not in self._programs:
            rules = self._rules_for(number)
            self._programs[key] = self.program_class(
                self._graph,
                self._explained(number),
                rules,
                self._nonnegative,
                keep=[t for path in at for t in self._tensors_at(path)],
                seed_support=self.start == "value",
            )
        return self._programs[key]

    def _tensors_at(self, path):
        calls = self._clone.graph.paths.get(path)
        if calls is None:
            raise PlainKeyError(
                f"`at` must name layers of the model by path. Received: {path!r}. {suggest(path, self._clone.graph.paths)}"
            )
        return [self._stand_in(t) for call in calls for t in call]

    def _stand_in(self, tensor):
        """The tensor of the prepared graph that carries the signal of one of the clone's."""
        explained = {self._explained(i) for i in range(len(self._clone.graph.outputs))}
        if is_head(tensor.producer) and tensor.producer.inputs[0] in explained:  # behind the head there is no signal
            return tensor.producer.inputs[0]
        while tensor in self._gone:
            tensor = self._gone[tensor]
        return tensor

    def summary(self, output=0):
        """The rule, and the form of it, that was chosen for every layer: a table that prints itself."""
        from innspect.analyzers.summary import Summary

        return Summary(self, self._program(self._output_number(output)))

    # ------------------------------------------------------------------ running
    @few_at_once
    def _explain_batch(self, inputs, rows, chosen, number, at, several):
        program = self._program(number, at)
        function = self._function(program, number, chosen, at, several)
        arrays = [ops.convert_to_tensor(a[rows]) for a in inputs.arrays]
        values = [ops.convert_to_tensor(s.rows(rows)) for s in chosen]
        return function(backend.variable_values(self._variables), arrays, values)

    def _function(self, program, number, chosen, at, several):
        key = (number, at, several, *[s.key for s in chosen])
        if key not in self._compiled:
            layers = {path: self._tensors_at(path) for path in at}
            for path, tensors in layers.items():
                if any(not program.computes(t) for t in tensors):
                    raise ValueError(f"`at` must name layers that the explained output depends on. Received: {path!r}")

            def run(variables, xs, values):
                mapping = zip(self._variables, variables, strict=True) if variables else []
                with keras.StatelessScope(state_mapping=mapping, collect_losses=True, initialize_variables=False):
                    y, tape = program.forward(xs)
                    weights = [s.weights(v, y) for s, v in zip(chosen, values, strict=True)]

                    def back(w):
                        return self._back(program, tape, w, xs, y, layers, keep_tape=several)

                    result = backend.scan(back, ops.stack(weights)) if several else back(weights[0])
                    if any(s.kind == "callable" for s in chosen):  # whose value is not what its slope says
                        values = [selection.explained_value(s, w, y) for s, w in zip(chosen, weights, strict=True)]
                        result["targets"] = ops.stack(values) if several else values[0]
                    return {**result, "outputs": self._with_head(number, y)}

            self._compiled[key] = backend.compile(run)
        return self._compiled[key]

    def _with_head(self, number, y):
        """The model's own output from the tensor that is explained."""
        output = self._clone.graph.outputs[number]
        return y if output is self._explained(number) else output.producer(y)[0]

    def _back(self, program, tape, weights, xs, y, layers, keep_tape):
        targets, seed = _sums(weights * y), self.seed(weights, y)
        wanted = [t for tensors in layers.values() for t in tensors]
        signals = program.backward(tape, seed, wanted, keep_tape=keep_tape)
        arrived = [self._signal_at(signals, t, x) for t, x in zip(program.inputs, xs, strict=True)]
        xs = [self._as_number(t, x) for t, x in zip(program.inputs, xs, strict=True)]
        result = {
            "attributions": [self.finish(s, x) for s, x in zip(arrived, xs, strict=True)],
            "targets": targets,
        }
        if self.conserves:
            result["delta"] = _sums(seed) - sum(_sums(s) for s in arrived)
        if layers:
            result["signals"] = {
                path: signals[tensors[0]] if len(tensors) == 1 else [signals[t] for t in tensors]
                for path, tensors in layers.items()
            }
        return result

    def _as_number(self, tensor, x):
        """Ids as integers, also those given as fractions or strings; all else, such as pixels, in floating point."""
        if self._clone.takes_ids(tensor):
            return ops.cast(x, "int32") if is_float(x.dtype) else x
        return x if is_float(x.dtype) else ops.cast(x, "float32")

    def _signal_at(self, signals, tensor, x):
        signal = signals.get(tensor)
        dtype = x.dtype if is_float(x.dtype) else "float32"
        return ops.zeros(x.shape, dtype) if signal is None else signal


def _sums(tensor):
    """Sums over everything but the samples: (batch,)."""
    return per_sample(tensor, tensor.shape[0])
