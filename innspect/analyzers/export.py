"""An analyzer as a TensorFlow SavedModel, which needs neither innspect nor Keras to run."""

import os

import keras
import numpy as np

from innspect.analyzers.base import Analyzer
from innspect.analyzers.data import Inputs
from innspect.analyzers.registry import create_analyzer
from innspect.analyzers.selection import Selection, resolve

_TOLERANCE = 1e-3  # of the largest attribution: kernels differ by batch size


def export(analyzer, path, neuron_selection=None, *, output=0, batch_size=32):
    """See `Analyzer.export`."""
    path = os.fspath(path)
    _check(analyzer, path)
    fresh = create_analyzer(analyzer.name, analyzer.model, **analyzer.arguments())
    fresh.set_state(analyzer.state())
    traced = _Traced(fresh, neuron_selection, output, batch_size)
    functions = {"serving_default": (traced.run, traced.takes)}
    if traced.has_classes:
        functions["neuron"] = (traced.run_neuron, {**traced.takes, "neuron": np.zeros((1,), "int32")})

    from innspect.backend import saved_model

    example = drawn(analyzer._clone, 2)
    expected = analyzer.analyze(traced.nest(example), neuron_selection, output=output)
    signatures = saved_model.signatures(functions, (1, batch_size))
    _compare(analyzer, traced, signatures["serving_default"], example, keras.tree.flatten(expected))
    saved_model.save(path, signatures)


def _check(analyzer, path):
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "`export` writes a TensorFlow SavedModel and needs Keras on TensorFlow. Weights and patterns do not depend on the "
            "backend: call `analyzer.save(file)` here, then `innspect.load_analyzer(file).export(folder)` in a process with "
            f"KERAS_BACKEND=tensorflow. Received: the backend {keras.backend.backend()!r}"
        )
    if type(analyzer)._explain_batch is Analyzer._explain_batch:
        raise NotImplementedError(_no_graph(analyzer))
    if analyzer._clone.batch is not None:
        raise NotImplementedError("A model with a state for each sample cannot take batches of any size.")
    unknown = [tuple(s.shape[1:]) for s in analyzer._clone.specs if None in s.shape[1:]]
    if unknown:
        raise ValueError(f"`export` needs inputs whose shape is known but for the samples. Received: {unknown[0]}")
    if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise FileExistsError(f"`path` must be a new or an empty folder. Received: {path!r}")


def _no_graph(analyzer):
    return (
        f"{analyzer.name!r} cannot be exported: it looks at the numbers of one pass before it starts the next, so it is no "
        "single graph. Export a method that sends a signal back through the model, such as 'gradient', 'integrated_gradients', "
        "'lrp.epsilon', 'deep_taylor', 'deep_lift', 'pattern.attribution' or 'grad_cam'."
    )


class _Traced:
    """The functions that are traced, and what they take."""

    def __init__(self, analyzer, neuron, output, batch_size):
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ValueError(f"`batch_size` must be a positive integer. Received: {batch_size!r}")
        self._analyzer, self._neuron, self._batch_size = analyzer, neuron, int(batch_size)
        self._number = analyzer._output_number(output)
        self._shape = tuple(analyzer._explained(self._number).shape[1:])
        self.has_classes = len(self._shape) == 1 and self._shape[0] != 1 and analyzer.neuron_selection_mode in (None, "index")
        clone = analyzer._clone
        self._names = _distinct([_identifier(n) for n in clone.names])
        self.takes = dict(zip(self._names, self._inputs(1).arrays, strict=True))

    def _inputs(self, samples):
        """`Inputs` of so many samples of zeros, which fix shapes and dtypes."""
        return Inputs(self.nest(drawn(self._analyzer._clone, samples, zeros=True)), self._analyzer._clone)

    def nest(self, arrays):
        """Flat arrays in the structure that `analyze` takes."""
        structure = self._analyzer._clone.structure
        return arrays[0] if len(arrays) == 1 and not isinstance(structure, dict) else _packed(structure, arrays)

    def run(self, tensors):
        size = tensors[0].shape[0]
        mode = self._analyzer.neuron_selection_mode
        return self._explained(tensors, resolve(self._neuron, mode, self._shape, size))

    def run_neuron(self, tensors):
        *tensors, neuron = tensors
        return self._explained(tensors, Selection("index", values=_Whole(neuron)))

    def _explained(self, tensors, chosen):
        size = tensors[0].shape[0]
        inputs = self._inputs(size)
        next(iter(self._analyzer._batches(inputs, self._batch_size)))  # prepares what a method fixes for all batches
        inputs.arrays = [_Whole(t) for t in tensors]
        try:
            result = self._analyzer._explain_batch(inputs, np.arange(size), [chosen], self._number, (), False)
        except (AttributeError, NotImplementedError, TypeError) as error:  # a tensor without values where NumPy wants some
            raise NotImplementedError(_no_graph(self._analyzer)) from error
        found = {"prediction": result["outputs"]}
        maps = result["attributions"]
        self.makes = ["attribution"] if len(maps) == 1 else [f"attribution_{name}" for name in self._names]
        return found | dict(zip(self.makes, maps, strict=True))


class _Whole:
    """A symbolic tensor where an array is expected of which all rows are taken."""

    def __init__(self, tensor):
        self._tensor = tensor
        self.shape, self.dtype, self.ndim = tuple(tensor.shape), tensor.dtype, len(tensor.shape)

    def __getitem__(self, rows):
        return self._tensor

    def __len__(self):
        return self.shape[0]


def drawn(clone, samples, zeros=False):
    """Arrays for every input: uniform between 0.05 and 1, or ids 0 and 1."""
    random, arrays = np.random.default_rng(2), []
    for spec, tensor in zip(clone.specs, clone.graph.inputs, strict=True):
        shape = (samples, *spec.shape[1:])
        if clone.takes_ids(tensor) or "int" in spec.dtype or spec.dtype == "bool":
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


def _compare(analyzer, traced, function, example, expected):
    """Raise where the exported function gives other numbers than the analyzer."""
    given = {k: keras.ops.convert_to_tensor(a, t.dtype) for (k, t), a in zip(traced.takes.items(), example, strict=True)}
    made = function(**given)
    found = [np.asarray(made[k]) for k in traced.makes]
    largest = max(np.abs(a).max(initial=0) for a in expected)
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape or not np.abs(a - b).max(initial=0) <= _TOLERANCE * largest:
            raise NotImplementedError(
                f"{analyzer.name!r} with these arguments depends on more than the batch it is given, such as random numbers "
                "drawn anew or references made from the data, and the exported function would give other numbers."
            )
