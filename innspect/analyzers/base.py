"""The analyzer: one flow for every method.

    inputs -> batches -> clone forward -> seed at the output -> signals back -> attributions

A method says what rule each node gets, what the seed is, and what is made of the signal at the inputs.
"""

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers import selection
from innspect.analyzers.data import Inputs, batches_of, is_stream
from innspect.analyzers.explanation import Explanation
from innspect.errors import NotAnalyzeableModelError, PlainKeyError
from innspect.graph.clone import Clone
from innspect.graph.heads import is_head, without_head
from innspect.graph.ir import is_float
from innspect.graph.signs import nonnegative
from innspect.layers.flow import Proportional
from innspect.layers.program import Program, per_sample


class Analyzer:
    """Base of all methods.

    Args:
        model: A built Keras model. It is only read.
        neuron_selection_mode: None accepts any `neuron_selection`; "max_activation", "index" and "all" fix what it
            is, as in iNNvestigate.
        disable_model_checks: Where a relevance method has no rule for a layer, share in proportion to input times
            gradient instead of raising.

    Raises:
        TypeError: `model` is no Keras model.
        NotAnalyzeableModelError: The model has a layer that the method has no rule for.
    """

    name = ""
    paper = ""

    def __init__(self, model, *, neuron_selection_mode=None, disable_model_checks=False):
        selection.check_mode(neuron_selection_mode)
        self.neuron_selection_mode = neuron_selection_mode
        self.disable_model_checks = disable_model_checks
        self._clone = Clone(model)

    @property
    def model(self):
        """The user's model."""
        return self._clone.model

    # ------------------------------------------------------------------ for users
    def analyze(self, x, neuron_selection=None, *, batch_size=32, output=0, verbose=0, neurons=None):
        """Explain the model's output for `x`.

        Args:
            x: The model's input, samples first: an array, a list of arrays (several inputs), a dict of arrays; or a
                stream of batches (tf.data dataset, `keras.utils.PyDataset`, torch DataLoader, generator).
            neuron_selection: What to explain. None: the largest output. An integer, or an integer array (samples,):
                that index of the last axis, summed over spatial axes. A tuple: one element. A float array of the
                output's shape: weights. A callable from the output (batch, ...) to (batch,). "all": every element.
            batch_size: Samples computed at once.
            output: Number or name of the output, for a model with several.
            verbose: 1 shows progress.
            neurons: A list of selections: the result gets a neuron axis first.

        Returns:
            Attributions as NumPy arrays, in the structure of `x`.

        Raises:
            ValueError: An argument does not fit the model; the message says what was expected.
        """
        if is_stream(x):
            parts = list(self.stream(x, neuron_selection, batch_size=batch_size, output=output, verbose=verbose, neurons=neurons))
            if not parts:
                raise ValueError("`x` yielded no batches. Received: an empty stream")
            return keras.tree.map_structure(lambda *a: np.concatenate(a, axis=0 if neurons is None else 1), *parts)
        return self._run(x, neuron_selection, batch_size, output, verbose, neurons, ()).attributions

    def stream(self, data, neuron_selection=None, **arguments):
        """Explain a stream of batches one by one: an iterator of what `analyze` returns for each."""
        for batch in batches_of(data):
            yield self.analyze(batch, neuron_selection, **arguments)

    def explain(self, x, neuron_selection=None, *, at=(), batch_size=32, output=0, verbose=0, neurons=None):
        """As `analyze`, but returns an `Explanation`: outputs, targets, signals at layers, conservation error.

        Args:
            at: Paths of layers (such as "conv3" or "backbone/conv3") whose signals are wanted.
        """
        at = (at,) if isinstance(at, str) else tuple(at)
        return self._run(x, neuron_selection, batch_size, output, verbose, neurons, at)

    # ------------------------------------------------------------------ the flow
    def check(self, inputs):
        """Warn, or raise, where the method cannot be right for these `Inputs`."""

    def _run(self, x, neuron, batch_size, output, verbose, neurons, at):
        inputs = Inputs(x, self._clone)
        if inputs.samples:
            self._clone.verify([a[:1] for a in inputs.arrays])
        self.check(inputs)
        number = self._output_number(output)
        chosen = self._selections(neuron, neurons, number, inputs.samples)
        parts = []
        progress = keras.utils.Progbar(inputs.samples) if verbose else None
        for rows, count in self._batches(inputs, batch_size):
            result = self._explain_batch(inputs, rows, chosen, number, at, several=neurons is not None)
            parts.append(keras.tree.map_structure(lambda a, n=count: backend.to_numpy(a), result) | {"count": count})
            if progress:
                progress.add(count)
        return self._assemble(inputs, parts, at, neurons is not None, neuron, output)

    def _batches(self, inputs, batch_size):
        if inputs.samples:
            return inputs.batches(batch_size)
        next(inputs.batches(batch_size), None)  # checks the batch size
        return []

    def _selections(self, neuron, neurons, number, samples):
        shape = tuple(self._explained(number).shape[1:])
        return selection.resolve_all(neuron, neurons, self.neuron_selection_mode, shape, samples)

    def _output_number(self, output):
        names = self._clone.output_names
        if isinstance(output, str):
            if output not in names:
                raise PlainKeyError(f"`output` must be one of the model's outputs {names}. Received: {output!r}")
            return names.index(output)
        if not isinstance(output, int | np.integer) or not 0 <= output < len(names):
            raise ValueError(f"`output` must be between 0 and {len(names) - 1}, or one of {names}. Received: {output!r}")
        return int(output)

    def _explained(self, number):
        """The tensor of the graph that is explained for an output."""
        return self._clone.graph.outputs[number]

    def _assemble(self, inputs, parts, at, several, neuron, output):
        axis = 1 if several else 0

        def joined(key, axis):
            return keras.tree.map_structure(lambda *a: np.concatenate(a, axis), *[_trimmed(p[key], p["count"], axis) for p in parts])

        if not parts:
            return self._empty(inputs, several)
        return Explanation(
            attributions=self._restore(inputs, joined("attributions", axis)),
            outputs=joined("outputs", 0),
            targets=joined("targets", axis),
            signals=joined("signals", axis) if at else {},
            delta=joined("delta", axis) if "delta" in parts[0] else None,
            settings=self._settings(neuron, output),
            details=joined("details", axis) if "details" in parts[0] else {},
        )

    def _empty(self, inputs, several):
        shapes = self._attribution_shapes([(0, *a.shape[1:]) for a in inputs.arrays])
        lead = (0,) if several else ()
        arrays = [np.zeros((*lead, *s), "float32") for s in shapes]
        return Explanation(self._restore(inputs, arrays), np.zeros((0,), "float32"), np.zeros((0,), "float32"))

    def _attribution_shapes(self, shapes):
        return shapes

    def _restore(self, inputs, arrays):
        """Attributions, a flat list, as they are returned."""
        return inputs.restore(arrays)

    def _settings(self, neuron, output):
        from innspect import __version__

        return {
            "method": self.name,
            "arguments": {k: _plain(v) for k, v in self.arguments().items()},
            "model": getattr(self.model, "name", None) or getattr(self.model, "__name__", type(self.model).__name__),
            "neuron_selection": _plain(neuron),
            "output": output,
            "innspect": __version__,
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        }

    def arguments(self):
        """The arguments this analyzer was created with, by name."""
        return dict(getattr(self, "_arguments", {}))

    def save(self, path):
        """Write name, arguments, model and state to one file, which `innspect.load_analyzer` reads."""
        from innspect.analyzers.storage import save_analyzer

        save_analyzer(self, path)

    def state(self):
        """What the analyzer has learned, as a nest of arrays, strings and numbers; None where there is nothing."""
        return None

    def set_state(self, state):
        """Take back what `state` returned."""

    def _explain_batch(self, inputs, rows, chosen, number, at, several):
        raise NotImplementedError


def _trimmed(tree, count, axis):
    return keras.tree.map_structure(lambda a: a[:count] if axis == 0 else a[:, :count], tree)


def _plain(value):
    """A value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)


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
            )
        nodes = self._graph.ancestors([explained])
        rules = {node: self.rule(node) for node in nodes if node.kind != "constant"}
        for node in [n for n, rule in rules.items() if rule is None]:
            if not self.disable_model_checks:
                raise NotAnalyzeableModelError(self._no_rule(node))
            rules[node] = Proportional()
        return rules

    def _no_rule(self, node):
        reason = self._clone.unopened.get(node.path)
        return (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation or node.kind}). Register one for the layer's "
            "class with `innspect.register_reverse_mapping(LayerClass, rule=...)`, or use a gradient method."
            + (f" The layer could not be opened into Keras operations: {reason}." if reason else "")
        )

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
        # Only ids stay integers: whole numbers such as pixels are numbers like others.
        xs = [
            x if is_float(x.dtype) or self._clone.takes_ids(t) else ops.cast(x, "float32")
            for t, x in zip(program.inputs, xs, strict=True)
        ]
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

    def _signal_at(self, signals, tensor, x):
        signal = signals.get(tensor)
        dtype = x.dtype if is_float(x.dtype) else "float32"
        return ops.zeros(x.shape, dtype) if signal is None else signal


def _sums(tensor):
    """Sums over everything but the samples: (batch,)."""
    return per_sample(tensor, tensor.shape[0])


def suggest(word, known):
    """A sentence with near matches."""
    import difflib

    near = difflib.get_close_matches(str(word), list(known), n=4, cutoff=0.5)
    if near:
        return "Did you mean " + ", ".join(repr(n) for n in near) + "?"
    listed = list(known)
    return "There are " + ", ".join(repr(n) for n in listed[:20]) + (", ..." if len(listed) > 20 else "") + "."
