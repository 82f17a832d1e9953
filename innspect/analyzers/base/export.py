"""An analyzer as a TensorFlow SavedModel, which needs neither innspect nor Keras to run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.request import Batch, Request
from innspect.checks import Integer
from innspect.files import replacing_folder, vacant_folder
from innspect.inputs.batches import Inputs
from innspect.inputs.targets import resolve
from innspect.types import Nest, Neuron, Path

_TOLERANCE = 1e-3  # of the largest attribution: kernels differ by batch size


class Exported(Configured):
    """Base of `Analyzer`: what it computes, as a function, and for those who have TensorFlow only."""

    analyze: Callable[..., Nest]

    def __call__(self, x: Nest, neuron_selection: Neuron = None, **arguments: Any) -> Nest:
        """As `analyze`."""
        return self.analyze(x, neuron_selection, **arguments)

    def export(self, path: Path, neuron_selection: Neuron = None, *, output: int | str = 0, batch_size: int = 32) -> None:
        """Write a TensorFlow SavedModel that predicts and explains, and needs neither innspect nor Keras to run.

        It is written whole or not at all.

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
        export(self, path, neuron_selection, output=output, batch_size=batch_size)


def export(analyzer: Any, path: Path, neuron_selection: Neuron = None, *, output: int | str = 0, batch_size: int = 32) -> None:
    """See `Analyzer.export`."""
    _check(analyzer, path)
    traced = _Traced(analyzer, neuron_selection, output, batch_size)
    example = drawn(analyzer.opened, 1)
    expected = analyzer.analyze(traced.nest(example), neuron_selection, output=output)

    from innspect.backend import saved_model

    # The first piece, of one sample, is compared before the others are traced.
    piece = saved_model.trace(traced.run, traced.takes, 1)
    _compare(analyzer, traced, piece, example, keras.tree.flatten(expected))
    pieces = {1: piece}
    if traced.batch_size > 1:
        pieces[traced.batch_size] = saved_model.trace(traced.run, traced.takes, traced.batch_size)
    whole = saved_model.any_batch(pieces, traced.takes)
    signatures = {"serving_default": whole}
    if traced.neuron:
        default = saved_model.with_default(whole, traced.takes, traced.neuron, traced.default)
        signatures = {"serving_default": default, "neuron": whole}
    with replacing_folder(path) as partial:
        saved_model.save(partial, signatures)


def _check(analyzer, path):
    if not backend.EXPORTS:
        raise NotImplementedError(
            "`export` writes a TensorFlow SavedModel and needs Keras on TensorFlow. Weights and patterns do not depend on the "
            "backend: call `analyzer.save(file)` here, then `innspect.load_analyzer(file).export(folder)` in a process with "
            f"KERAS_BACKEND=tensorflow. Received: the backend {keras.backend.backend()!r}"
        )
    if not analyzer.one_graph:
        raise NotImplementedError(_no_graph(analyzer))
    if analyzer.opened.batch is not None:
        raise NotImplementedError("A model with a state for each sample cannot take batches of any size.")
    unknown = [tuple(s.shape[1:]) for s in analyzer.opened.specs if None in s.shape[1:]]
    if unknown:
        raise ValueError(f"`export` needs inputs whose shape is known but for the samples. Received: {unknown[0]}")
    vacant_folder(path)


def _no_graph(analyzer):
    return (
        f"{analyzer.name!r} cannot be exported: it looks at the numbers of one pass before it starts the next, so it is no "
        "single graph. Export a method that sends a signal back through the model, such as 'gradient', 'integrated_gradients', "
        "'lrp.epsilon', 'deep_taylor', 'deep_lift', 'pattern.attribution' or 'grad_cam'."
    )


class _Traced:
    """The function that is traced, and what it takes.

    One function serves both signatures: each sample has a neuron, and the signature that takes none hands it the default,
    where -1 stands for the largest output. So nothing is traced twice.

    Attributes:
        takes: Dict from argument to an array of one sample.
        neuron: The name of the argument that chooses neurons; None where the output is no vector of several.
        default: What that argument is where no neuron is given.
        makes: Names of the attributions, known once the function has run.
    """

    def __init__(self, analyzer, neuron, output, batch_size):
        Integer(1).check("batch_size", batch_size)
        self._analyzer, self.batch_size = analyzer, int(batch_size)
        self._number = analyzer._output_number(output)
        shape, mode = tuple(analyzer._explained(self._number).shape[1:]), analyzer.neuron_selection_mode
        neuron = analyzer.numbered(neuron, shape)
        self._chosen = [resolve(neuron, mode, shape, samples) for samples in sorted({1, self.batch_size})]
        self._names = _distinct([_identifier(n) for n in analyzer.opened.names])
        self.takes = dict(zip(self._names, self._inputs(1).arrays, strict=True))
        self.neuron, self.default, self.makes = None, -1, []
        kind = self._chosen[0].kind
        if len(shape) == 1 and shape[0] != 1 and mode in (None, "index") and kind in ("max", "index"):
            self.neuron = _distinct([*self._names, "neuron"])[-1]
            self.takes[self.neuron] = np.zeros((1,), "int32")
            places = self._chosen[0].values
            self.default = -1 if places is None else int(places[0])

    def _inputs(self, samples):
        """`Inputs` of so many samples of zeros, which fix shapes and dtypes."""
        return Inputs(self.nest(drawn(self._analyzer.opened, samples, zeros=True)), self._analyzer.opened)

    def nest(self, arrays):
        """Flat arrays in the structure that `analyze` takes."""
        structure = self._analyzer.opened.structure
        return arrays[0] if len(arrays) == 1 and not isinstance(structure, dict) else _packed(structure, arrays)

    def run(self, tensors):
        """Predictions and attributions of a batch of known size; `tensors` are in the order of `takes`."""
        size = tensors[0].shape[0]
        chosen = self._chosen[0 if size == 1 else -1]
        if self.neuron:
            *tensors, neuron = tensors
            values = [neuron]
        else:
            values = [keras.ops.convert_to_tensor(chosen.rows(np.arange(size)))]
        request = Request(self._inputs(size), (chosen,), output=self._number, explained=False, batch_size=self.batch_size)
        request = replace(request, context=self._analyzer.begin(request))
        result = self._analyzer.explain_batch(Batch(request, np.arange(size), list(tensors), values))
        found, maps = {"prediction": result["outputs"]}, result["attributions"]
        self.makes = ["attribution"] if len(maps) == 1 else [f"attribution_{name}" for name in self._names]
        return found | dict(zip(self.makes, maps, strict=True))


def drawn(opened, samples, zeros=False):
    """Arrays for every input: uniform between 0.05 and 1, or ids 0 and 1."""
    random, arrays = np.random.default_rng(2), []
    for spec, tensor in zip(opened.specs, opened.graph.inputs, strict=True):
        shape = (samples, *spec.shape[1:])
        if opened.takes_ids(tensor) or "int" in spec.dtype or spec.dtype == "bool":
            values = random.integers(0, 2, shape).astype("int32")
        else:
            values = random.uniform(0.05, 1, shape).astype("float32" if "16" in spec.dtype else spec.dtype)
        arrays.append(np.zeros_like(values) if zeros else values)
    return arrays


def _packed(structure, arrays):
    return keras.tree.pack_sequence_as(structure, arrays)


def _identifier(name):
    word = "".join(c if c.isalnum() else "_" for c in str(name))
    return word if word and not word[0].isdigit() else f"input_{word}"


def _distinct(names):
    return names if len(set(names)) == len(names) else [f"{n}_{i}" for i, n in enumerate(names)]


def _compare(analyzer, traced, piece, example, expected):
    """Raise where the traced function gives other numbers than the analyzer."""
    given = [*example, np.full((1,), traced.default, "int32")] if traced.neuron else example
    made = piece(*[keras.ops.convert_to_tensor(a, t.dtype) for a, t in zip(given, traced.takes.values(), strict=True)])
    found = [np.asarray(made[k]) for k in traced.makes]
    largest = max(np.abs(a).max(initial=0) for a in expected)
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape or not np.abs(a - b).max(initial=0) <= _TOLERANCE * largest:
            raise NotImplementedError(
                f"{analyzer.name!r} with these arguments depends on more than the batch it is given, such as random numbers "
                "drawn anew or references made from the data, and the exported function would give other numbers."
            )
