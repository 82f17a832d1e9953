"""A pass: a program at work, compiled, with the values forward and the signals of one target or several back."""

from keras import ops

from innspect import backend
from innspect.backend.compiling import Compiler
from innspect.errors import PlainKeyError, suggest
from innspect.graph.ir import is_float
from innspect.inputs.targets import explained_value


class Pass:
    """The way of values and signals through a model, for one of its outputs.

    Args:
        program: A `Program`, or what has its interface.
        variables: Those that the program reads.
        head: A function from the explained tensor to the model's own output.
        layers: Dict from path to the tensors at which signals are wanted.

    Raises:
        ValueError: The explained output does not depend on one of `layers`.
    """

    def __init__(self, program, variables, head=None, layers=None):
        self.program, self._compiler = program, Compiler(variables)
        self._head, self.layers = head or (lambda y: y), layers or {}
        for path, tensors in self.layers.items():
            if any(not program.computes(t) for t in tensors):
                raise ValueError(f"`at` must name layers that the explained output depends on. Received: {path!r}")

    def __call__(self, key, function, *arguments):
        """`function(*arguments)`, compiled; `key` says which function this is, so that it is compiled but once."""
        return self._compiler(key, function, *arguments)

    def forward(self, xs, request, values):
        """Within a compiled function: the model run on `xs`, ready to send signals back.

        Args:
            xs: What the program takes.
            request: The `Request`, bare, since what is compiled is kept.
            values: For each of its targets, what tells it for these rows.
        """
        return Passage(self, xs, request, values)

    def explain(self, batch, attributed=None):
        """One run forward for a `Batch`, and a way back for each of its targets.

        Args:
            batch: The `Batch`.
            attributed: A function `(passage, weights) -> nest of tensors` of what each way back tells; None: the signals that
                arrive, "inputs", one for each, and "signals", at each of `layers`.

        Returns:
            Dict with the model's "outputs" (batch, ...), the explained values "targets" (batch,), and what `attributed`
            returns; with several targets, all but the outputs have a neuron axis first.
        """
        attributed, request = attributed or _signals, batch.request.bare

        def explain(xs, values):
            passage = self.forward(xs, request, values)
            found = passage.each(lambda weights: attributed(passage, weights))
            return {**found, "targets": passage.targets, "outputs": passage.outputs}

        return self(("explain", attributed, request.key), explain, batch.xs, batch.values)

    def output(self, y):
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

    def __init__(self, way, xs, request, values):
        self.xs, self._way, self.request, self.program = xs, way, request, way.program
        self.result, self.tape = way.program.forward(xs)
        self.y = way.program.value(self.result)
        self._values = list(zip(request.targets, values, strict=True))
        self.weights = [target.weights(v, self.y) for target, v in self._values]

    @property
    def outputs(self):
        """The model's own output."""
        return self._way.output(self.y)

    @property
    def targets(self):
        """The explained values, (rows,), with a neuron axis first for several."""
        return self.explained(self.y)

    def explained(self, y):
        """What the targets explain of other values of the explained tensor."""
        found = [explained_value(t, w, y) for (t, _), w in zip(self._values, self.weights, strict=True)]
        return ops.stack(found) if self.request.several else found[0]

    @property
    def settled(self):
        """What tells each target for other inputs: the largest element is that of these."""
        return [target.settled(v, self.y) for target, v in self._values]

    def each(self, function):
        """`function(weights)`, a nest of tensors, for each target; with a neuron axis first for several."""
        return backend.scan(function, ops.stack(self.weights)) if self.request.several else function(self.weights[0])

    def back(self, seed, ledger=None):
        """Dict from tensor to the signal there, where the seed starts at y."""
        wanted = [t for tensors in self._way.layers.values() for t in tensors]
        return self._way.program.backward(self.tape, seed, wanted, ledger, keep_tape=self.request.several)

    def at_inputs(self, signals):
        """The signal at each input, zeros where none arrived."""
        return [_arrived(signals, t, x) for t, x in zip(self._way.program.inputs, self.xs, strict=True)]

    def at_layers(self, signals):
        """The signal at each layer that was asked for, a list where it has several outputs."""
        found = {path: [signals[t] for t in tensors] for path, tensors in self._way.layers.items()}
        return {path: each[0] if len(each) == 1 else each for path, each in found.items()}


def _signals(passage, weights):
    signals = passage.back(weights)
    return {"inputs": passage.at_inputs(signals), "signals": passage.at_layers(signals)}


def _arrived(signals, tensor, x):
    signal = signals.get(tensor)
    return ops.zeros(x.shape, x.dtype if is_float(x.dtype) else "float32") if signal is None else signal


def tensors_at(opened, path):
    """The outputs of a layer named by its path, of all its calls."""
    calls = opened.graph.paths.get(path)
    if calls is None:
        raise PlainKeyError(
            f"`at` must name layers of the model by path. Received: {path!r}. {suggest(path, opened.graph.paths)}"
        )
    return [t for call in calls for t in call]
