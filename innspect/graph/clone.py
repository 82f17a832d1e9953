"""A user's model as innspect sees it: its inputs, its flat graph, and the check that both compute the same."""

import functools
import inspect

import keras
import numpy as np

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph import lowering  # noqa: F401  (fills the table)
from innspect.graph.heads import is_head
from innspect.graph.ir import is_float, widen
from innspect.graph.replay import call_arguments, replay, untouched

# How far clone and model may differ, relative to the largest output: rounding, and for half precision its own error.
_TOLERANCE = {"float16": 5e-2, "bfloat16": 2e-1}


class Clone:
    """The flat graph of a model and what is needed to feed it.

    Attributes:
        model: The user's model, never changed.
        graph: The `Graph`.
        structure: The input specifications in the structure the model is called with.
        names: Names of the inputs, flat.
        output_names: Names of the outputs, flat.
    """

    def __init__(self, model):
        check_model(model)
        self.model = model
        self.structure = input_structure(model)
        self.specs = keras.tree.flatten(self.structure)
        self.graph, self.unopened = replay(model, self.structure)
        if not self.graph.outputs:
            raise NotAnalyzeableModelError(f"The model {model.name!r} returns no tensors, so there is nothing to explain.")
        self.output_names = _output_names(model, len(self.graph.outputs))
        self.verified = False

    @property
    def names(self):
        return [getattr(s, "name", f"input_{i}") for i, s in enumerate(self.specs)]

    def variables(self):
        return self.graph.variables()

    # ------------------------------------------------------------------ the same numbers as the model
    def verify(self, inputs=None):
        """Compare the outputs of graph and model once, on one drawn input or on the given flat arrays.

        Without `inputs` this waits, and returns, where the inputs' shapes are not all known.
        """
        if self.verified:
            return
        if inputs is None:
            inputs = self._drawn_inputs()
            if inputs is None:
                return
        tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
        theirs, record = self._run_model(tensors)
        ours = self._run_graph(tensors)
        self._check_head(ours)
        names = self.output_names
        tolerance = self._tolerance()
        for name, tensor, y in zip(names, self.graph.outputs, theirs, strict=True):
            if not _close(ours[tensor], y, tolerance):
                self._raise_mismatch(name, ours, record(), y, ours[tensor])
        self.verified = True

    def _tolerance(self):
        dtypes = {layer.compute_dtype for layer in self.model._flatten_layers()}
        return max(_TOLERANCE.get(dtype, 1e-3) for dtype in dtypes)

    def _drawn_inputs(self):
        random, drawn = np.random.default_rng(0), []
        for spec, tensor in zip(self.specs, self.graph.inputs, strict=True):
            shape = tuple(spec.shape[1:])
            if None in shape or not (is_float(spec.dtype) or "int" in spec.dtype or spec.dtype == "bool"):
                return None
            if is_float(spec.dtype) and not self.takes_ids(tensor):
                drawn.append(random.uniform(0.05, 1, (1, *shape)).astype(widen(spec.dtype)))
            else:
                drawn.append(random.integers(0, 2, (1, *shape)).astype(widen(spec.dtype)))
        return drawn

    def takes_ids(self, tensor):
        """Whether an input holds the ids of an embedding."""
        return tensor in self._ids

    @functools.cached_property
    def _ids(self):
        found = {t for n in self.graph.nodes if n.kind == "embedding" for t in n.inputs if t.active}
        for node in reversed(self.graph.nodes):  # through what only moves ids about
            if node.kind in ("reindex", "pass") and any(t in found for t in node.outputs):
                found.update(t for t in node.inputs if t.active)
        return found

    def _run_model(self, tensors):
        """The model's own outputs, and a function that runs it again and returns every layer's outputs by path."""

        def run():
            args, kwargs = call_arguments(self.model, keras.tree.pack_sequence_as(self.structure, tensors))
            with untouched(self.model), keras.StatelessScope(collect_losses=True), backend.inference():
                return keras.tree.flatten(self.model(*args, **kwargs, training=False))

        def record():
            outputs, stack, original = {}, [], keras.Layer.__call__

            def call(layer, *args, **kwargs):
                stack.append(layer.name)
                path = "/".join(stack[1:])
                try:
                    result = original(layer, *args, **kwargs)
                finally:
                    stack.pop()
                outputs.setdefault(path, []).append(keras.tree.flatten(result))
                return result

            keras.Layer.__call__ = call
            try:
                run()
            finally:
                keras.Layer.__call__ = original
            return outputs

        return [backend.to_numpy(y) for y in run()], record

    def _run_graph(self, tensors):
        env = dict(zip(self.graph.inputs, tensors, strict=True))
        with keras.StatelessScope(collect_losses=True), backend.inference():
            for node in self.graph.nodes:
                env.update(zip(node.outputs, node(*[env[t] for t in node.inputs]), strict=True))
        return _Lazy(env)

    def _check_head(self, values):
        """A softmax that cannot be seen, inside a leaf at the end, cannot be stripped either."""
        self.hidden_softmax = None
        for tensor in self.graph.outputs:
            node = tensor.producer
            if node is None or node.kind != "opaque" or is_head(node) or len(tensor.shape) < 2 or tensor.shape[-1] in (None, 1):
                continue
            y = values[tensor]
            if (y >= 0).all() and np.allclose(y.sum(-1), 1, atol=1e-3):
                self.hidden_softmax = node.path

    def _raise_mismatch(self, name, ours, recorded, theirs, mine):
        for path, calls in recorded.items():  # in the order of completion: inner layers before what holds them
            for tensors, values in zip(self.graph.paths.get(path, ()), calls, strict=False):
                for tensor, value in zip(tensors, values, strict=False):
                    if tensor in ours and not _close(ours[tensor], backend.to_numpy(value), self._tolerance()):
                        raise NotAnalyzeableModelError(
                            f"The clone of the model {self.model.name!r} does not compute what the model computes: the "
                            f"layer {path!r} (of type {type(self.graph.layers[path]).__name__}) is the first that "
                            "differs. Its `call` behaves differently on symbolic tensors. Register a reverse mapping "
                            "for its class with `innspect.register_reverse_mapping`, which keeps the layer whole."
                        )
        raise NotAnalyzeableModelError(
            f"The clone of the model {self.model.name!r} does not compute what the model computes, at the output "
            f"{name!r}: the largest difference is {np.nanmax(np.abs(mine - theirs)):.3g}."
        )


class _Lazy:
    """Values of tensors as NumPy arrays, converted when asked for."""

    def __init__(self, env):
        self._env = env

    def __contains__(self, tensor):
        return tensor in self._env

    def __getitem__(self, tensor):
        return backend.to_numpy(self._env[tensor])


def _close(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    if ours.shape != theirs.shape:
        return False
    finite = theirs[np.isfinite(theirs)]
    scale = np.abs(finite).max() if finite.size else 0.0
    return np.allclose(ours, theirs, rtol=0, atol=tolerance * max(scale, 1e-6), equal_nan=True)


def check_model(model):
    """Raise where `model` is no built Keras model."""
    if not isinstance(model, keras.Layer):
        raise TypeError(
            "`model` must be a Keras 3 model (an instance of `keras.Model`). "
            f"Received: model={model!r} (of type {type(model).__module__}.{type(model).__name__})"
        )
    if not model.built:
        raise ValueError(
            f"`model` {model.name!r} is not built, so it has no weights to explain. Call it once on data, or "
            "`model.build(input_shape)`, before creating an analyzer."
        )


def input_structure(model):
    """The specifications (`keras.KerasTensor`) of what the model's `call` is given, in its structure."""
    if hasattr(model, "input_specs"):
        return model.input_specs
    if isinstance(model, keras.Sequential):
        try:
            return model.inputs[0]
        except AttributeError:
            pass
    elif hasattr(model, "inputs") and not callable(model.inputs):
        return model.input
    config = model.get_build_config() or {}
    if "shapes_dict" in config:  # `build` takes a shape for each argument of `call`
        return {name.removesuffix("_shape"): _specs_of(shape) for name, shape in config["shapes_dict"].items()}
    needed = _required_arguments(model.call)
    if len(needed) > 1:
        raise ValueError(
            f"The model {model.name!r} is called with several arguments, of which Keras keeps the shape of the first only. "
            f"Give it a method `build(self, {', '.join(f'{name}_shape' for name in needed)})`, or wrap it in a functional "
            f"model: `keras.Model(inputs, model(*inputs))`. Received: a model with call({', '.join(needed)})"
        )
    if config.get("input_shape") is None:
        raise ValueError(
            f"The input shape of the model {model.name!r} is not known. Call it once on data before creating an analyzer."
        )
    return _specs_of(config["input_shape"])


def _required_arguments(call):
    parameters = inspect.signature(call).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "training"]


def _specs_of(shape):
    if isinstance(shape, dict):
        return {key: _specs_of(s) for key, s in shape.items()}
    if all(d is None or isinstance(d, int) for d in shape):
        return keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx(), name="input")
    return [_specs_of(s) for s in shape]


def _output_names(model, count):
    names = getattr(model, "output_names", None)
    structure = getattr(model, "output", None) if not isinstance(model, keras.Sequential) and hasattr(model, "inputs") else None
    if isinstance(structure, dict):
        return list(structure)
    return list(names) if names and len(names) == count else [f"output_{i}" for i in range(count)]
