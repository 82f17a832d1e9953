"""The analyzer: one flow for every method.

    inputs -> batches -> clone forward -> seed at the output -> signals back -> attributions

A method says what rule each node gets, what the seed is, and what is made of the signal at the inputs.
"""

import warnings

import keras
import numpy as np

from innspect import backend
from innspect.analyzers import selection
from innspect.analyzers.data import Inputs, batches_of, is_stream
from innspect.analyzers.explanation import Explanation
from innspect.analyzers.migration import Migrated
from innspect.errors import PlainKeyError
from innspect.graph.clone import Clone


class Analyzer(Migrated):
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
            settings = {"batch_size": batch_size, "output": output, "verbose": verbose, "neurons": neurons}
            parts = list(self.stream(x, neuron_selection, **settings))
            if not parts:
                raise ValueError("`x` yielded no batches. Received: an empty stream")
            return keras.tree.map_structure(lambda *a: np.concatenate(a, axis=0 if neurons is None else 1), *parts)
        return self._run(x, neuron_selection, batch_size, output, verbose, neurons, None).attributions

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
        inputs.explained, at = at is not None, at or ()  # None: only the attributions are wanted
        if inputs.samples:
            self._clone.verify([a[:1] for a in inputs.arrays])
        self.check(inputs)
        number = self._output_number(output)
        chosen = self._selections(neuron, neurons, number, inputs.samples)
        parts = []
        progress = keras.utils.Progbar(inputs.samples) if verbose else None
        for rows, count in self._batches(inputs, batch_size):
            result = self._explain_batch(inputs, rows, chosen, number, at, several=neurons is not None)
            for selected in chosen:
                selected.check(result["outputs"].shape[1:])
            parts.append(keras.tree.map_structure(lambda a, n=count: backend.to_numpy(a), result) | {"count": count})
            if progress:
                progress.add(count)
        return self._assemble(inputs, parts, at, 0 if neurons is None else len(neurons), neuron, output)

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
            trimmed = [_trimmed(p[key], p["count"], axis) for p in parts]
            return keras.tree.map_structure(lambda *a: np.concatenate(a, axis), *trimmed)

        if not parts:
            return self._empty(inputs, several, self._settings(neuron, output))
        attributions, outputs = joined("attributions", axis), joined("outputs", 0)
        self._warn_of_overflow(attributions, outputs, axis)
        return Explanation(
            attributions=self._restore(inputs, attributions),
            outputs=outputs,
            targets=joined("targets", axis),
            signals=joined("signals", axis) if at else {},
            delta=joined("delta", axis) if "delta" in parts[0] else None,
            settings=self._settings(neuron, output),
            details=joined("details", axis) if "details" in parts[0] else {},
        )

    def _warn_of_overflow(self, attributions, outputs, axis):
        """Name the samples whose output is finite but whose maps are not."""
        fine, sound = _finite(attributions, axis), _finite(keras.tree.flatten(outputs), 0)
        lost = np.flatnonzero(sound & ~fine)
        if len(lost):
            listed = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
            warnings.warn(
                f"{self.name!r}: signals grew beyond what {attributions[0].dtype} can hold, so the maps are not finite, for "
                f"{len(lost)} of {len(sound)} samples (number {listed}). Rules that divide by sums which may be near zero do "
                "so in deep networks: a larger `epsilon`, keeping the bias, or another rule bounds them; float64 holds more.",
                stacklevel=5,
            )

    def _empty(self, inputs, several, settings):
        shapes = self._attribution_shapes([(0, *a.shape[1:]) for a in inputs.arrays])
        lead = (several,) if several else ()
        arrays = [np.zeros((*lead, *s), "float32") for s in shapes]
        nothing = np.zeros((0,), "float32")
        return Explanation(self._restore(inputs, arrays), nothing, np.zeros((*lead, 0), "float32"), settings=settings)

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

    def save(self, path=None):
        """Write name, arguments, model and state to one file, which `innspect.load_analyzer` reads.

        Without a path nothing is written, and (name, state) returned for `Analyzer.load`, as in iNNvestigate.
        """
        if path is None:
            return self._saved()
        from innspect.analyzers.storage import save_analyzer

        return save_analyzer(self, path)

    def export(self, path, neuron_selection=None, *, output=0, batch_size=32):
        """Write a TensorFlow SavedModel that predicts and explains, and needs neither innspect nor Keras to run.

        The signature "serving_default" takes the model's inputs by name, in batches of any size, and gives "prediction"
        and "attribution" (for several inputs "attribution_<name>"). Where the output is a vector, the signature "neuron"
        also takes "neuron", integers (samples,), and explains these. The weights are those of the moment.

        Args:
            path: A new or an empty folder.
            neuron_selection: What "serving_default" explains; as for `analyze`, but not one for each sample.
            output: Number or name of the output.
            batch_size: Samples computed at once; what a batch leaves over is computed one by one. The method is traced for
                both sizes, so that 1 halves the time an export takes.

        Raises:
            NotImplementedError: Keras does not run on TensorFlow; the method, or one of its arguments, cannot be written
                as one graph.
            FileExistsError: The folder is not empty.

        Examples:
            >>> analyzer.export("served")
            >>> served = tf.saved_model.load("served").signatures["serving_default"]
        """
        from innspect.analyzers.export import export

        export(self, path, neuron_selection, output=output, batch_size=batch_size)

    def state(self):
        """What the analyzer has learned, as a nest of arrays, strings and numbers; None where there is nothing."""
        return None

    def set_state(self, state):
        """Take back what `state` returned."""

    def _explain_batch(self, inputs, rows, chosen, number, at, several):
        raise NotImplementedError


def _trimmed(tree, count, axis):
    return keras.tree.map_structure(lambda a: a[:count] if axis == 0 else a[:, :count], tree)


def _finite(arrays, axis):
    """Whether all that arrays hold for each sample, along `axis`, is finite: (samples,)."""
    flat = [np.isfinite(np.moveaxis(a, axis, 0)).reshape(a.shape[axis], -1).all(axis=1) for a in arrays]
    return np.logical_and.reduce(flat)


def _plain(value):
    """A value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)
