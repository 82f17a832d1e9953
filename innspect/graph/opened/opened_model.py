"""A user's model as innspect sees it: its inputs, its flat graph, and the check that both compute the same.

Requirements of the design:

- A model is opened once: all that explain it share its opened form, while any of them holds it.
- That holds only while the model is what it was: where its description has changed it is opened anew.
- Nothing keeps a model or its graph alive but who holds it.
"""

import functools
import inspect
import types
import weakref
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.errors import NotAnalyzeableModelError, PlainKeyError
from innspect.graph.activity import activated
from innspect.graph.capture import attention, decompositions, lowering  # noqa: F401  (fill the tables)
from innspect.graph.capture.operations import settle
from innspect.graph.capture.replay import replay
from innspect.graph.ir import Graph, Tensor, is_float, widen
from innspect.graph.keras_internals import layers_of, shapes_by_argument
from innspect.graph.opened.description import describe
from innspect.graph.opened.verification import compare
from innspect.graph.passes.ids import keep_numbers
from innspect.graph.passes.softmax import put_together
from innspect.graph.precision import in_float64
from innspect.types import Array

# model -> a weak reference to its opened form
_opened: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def open_model(model: "keras.Layer | OpenedModel") -> "OpenedModel":
    """The opened form of a model, shared by all that explain it.

    Hold on to it, and every analyzer, report and fit of this model is spared opening it anew; each takes it in the place of
    the model.

    Args:
        model: A built Keras model, or an opened one.

    Returns:
        An `OpenedModel`. Where the model has changed since it was opened, such as by another activation, a new one.

    Raises:
        TypeError: `model` is no Keras model.
        ValueError: It is not built.
        NotAnalyzeableModelError: It cannot be opened.

    Examples:
        >>> opened = innspect.open_model(model)
        >>> maps = {name: innspect.create_analyzer(name, opened).analyze(x) for name in ("gradient", "lrp.epsilon")}
    """
    given, model = model, model_of(model)
    check_model(model)
    description, known = describe(model), _opened.get(model, lambda: None)()
    for opened in (given, known):
        if isinstance(opened, OpenedModel) and opened.description == description:
            return opened
    opened = OpenedModel(model, description)
    _opened[model] = weakref.ref(opened)
    return opened


def opened_if_possible(model: Any) -> Any:
    """The opened form of a model, to be held while several methods explain it; the model itself where it has none."""
    try:
        return open_model(model)
    except NotAnalyzeableModelError:  # some methods only call it
        return model


def model_of(model: "keras.Layer | OpenedModel") -> keras.Layer:
    """The Keras model itself, of a model or an opened one."""
    return model.model if isinstance(model, OpenedModel) else model


class OpenedModel:
    """The flat graph of a model and what is needed to feed it. `open_model` makes it.

    Attributes:
        model: The user's model, never changed.
        graph: The `Graph`.
        structure: The input specifications in the structure the model is called with.
        names: Names of the inputs, flat.
        output_names: Names of the outputs, flat.
        description: What the model was when it was opened, see `innspect.graph.opened.description`.
        hidden_softmax: After `verify` the path of a node at the end that returns probabilities though no softmax can be
            seen, or None.
    """

    def __init__(self, model: keras.Layer, description: Any):
        self.model, self.description = model, description
        self.structure = input_structure(model)
        self.specs = keras.tree.flatten(self.structure)
        _check_strings(model, self.specs)
        specs = self.structure if self.batch else keras.tree.map_structure(_of_any_batch, self.structure)
        written, self.unopened, returned = replay(model, specs)
        self.graph = put_together(written).then(keep_numbers).then(activated, settle).graph
        if not self.graph.outputs:
            raise NotAnalyzeableModelError(f"The model {model.name!r} returns no tensors, so there is nothing to explain.")
        self.output_names = _output_names(model, returned)
        self.verified = False
        self.hidden_softmax: str | None = None

    @property
    def names(self) -> list[str]:
        return [getattr(s, "name", f"input_{i}") for i, s in enumerate(self.specs)]

    def variables(self) -> list[keras.Variable]:
        return self.graph.variables()

    @functools.cached_property
    def dtype(self) -> str:
        """The dtype of maps, which integers that are numbers, such as pixels, are computed in."""
        return "float64" if in_float64((*self.graph.inputs, *self.graph.outputs)) else "float32"

    def number(self, output: int | str) -> int:
        """The number of an output given by number or name.

        Raises:
            KeyError: No output has this name.
            ValueError: There are not so many.
        """
        names = self.output_names
        if isinstance(output, str):
            if output not in names:
                raise PlainKeyError(f"`output` must be one of the model's outputs {names}. Received: {output!r}")
            return names.index(output)
        if not isinstance(output, int | np.integer) or not 0 <= output < len(names):
            raise ValueError(f"`output` must be between 0 and {len(names) - 1}, or one of {names}. Received: {output!r}")
        return int(output)

    @functools.cached_property
    def batch(self) -> int | None:
        """The number of samples that must be given at once, where a layer keeps a state for each; else None."""
        stateful = any(getattr(layer, "stateful", False) for layer in layers_of(self.model))
        return self.specs[0].shape[0] if stateful else None

    # ------------------------------------------------------------------ the same numbers as the model
    def verify(self, inputs: list[Array] | None = None) -> None:
        """Compare the outputs of graph and model once, on one drawn input or on the given flat arrays.

        Without `inputs` this waits, and returns, where the inputs' shapes are not all known.
        """
        if self.verified:
            return
        if inputs is None:
            inputs = self._drawn_inputs()
            if inputs is None:
                return
        self.hidden_softmax = compare(self, inputs)
        self.verified = True

    def _drawn_inputs(self) -> list[Array] | None:
        random, drawn = np.random.default_rng(0), []
        for spec, tensor in zip(self.specs, self.graph.inputs, strict=True):
            shape = tuple(spec.shape[1:])
            if None in shape or not (is_float(spec.dtype) or "int" in spec.dtype or spec.dtype == "bool"):
                return None
            if is_float(spec.dtype) and not self.takes_ids(tensor):
                drawn.append(random.uniform(0.05, 1, (self.batch or 1, *shape)).astype(widen(spec.dtype)))
            else:
                drawn.append(random.integers(0, 2, (self.batch or 1, *shape)).astype(widen(spec.dtype)))
        return drawn

    def moves(self, tensor: Tensor) -> bool:
        """Whether an input holds numbers that a method may change by degrees.

        Those are not ids, and not what no signal flows back to, such as a mask, places or lengths.
        """
        return tensor in self._moving

    @functools.cached_property
    def _moving(self) -> frozenset[Tensor]:
        return frozenset(t for t in self.graph.inputs if not self.takes_ids(t) and _sends_back(self.graph, t))

    def takes_ids(self, tensor: Tensor) -> bool:
        """Whether an input holds the ids of an embedding."""
        return tensor in self._ids

    @functools.cached_property
    def _ids(self) -> frozenset[Tensor]:
        found = {n.inputs[p] for n in self.graph.nodes if n.kind == "embedding" for p in n.active_inputs}
        for node in reversed(self.graph.nodes):  # through what only moves ids about
            if node.kind in ("reindex", "pass") and any(t in found for t in node.outputs):
                found.update(node.inputs[p] for p in node.active_inputs)
        return frozenset(found)


def _sends_back(graph: Graph, tensor: Tensor) -> bool:
    """Whether a signal flows back to a tensor from an output."""
    reached = {tensor}
    for node in graph.nodes:
        if node.kind != "constant" and any(node.inputs[p] in reached for p in node.active_inputs):
            reached.update(t for t in node.outputs if t in graph.active)
    return any(t in reached for t in graph.outputs)


def check_model(model: Any) -> None:
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


def _check_strings(model: keras.Layer, specs: list[keras.KerasTensor]) -> None:
    if not backend.HAS_STRINGS and any(spec.dtype == "string" for spec in specs):
        raise NotAnalyzeableModelError(
            f"The model {model.name!r} takes strings, which only TensorFlow has tensors of. Look them up before the model, and "
            f"explain the model behind it, or run Keras on TensorFlow. Received: the backend {keras.backend.backend()!r}"
        )


def input_structure(model: keras.Layer) -> Any:
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
    config, shapes = model.get_build_config() or {}, shapes_by_argument(model)
    if shapes is not None:  # `build` takes a shape for each argument of `call`
        return {name.removesuffix("_shape"): _specs_of(shape) for name, shape in shapes.items()}
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


def _required_arguments(call: Any) -> list[str]:
    parameters = inspect.signature(call).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "training"]


def _specs_of(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: _specs_of(s) for key, s in shape.items()}
    if all(d is None or isinstance(d, int) for d in shape):
        return keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx(), name="input")
    return [_specs_of(s) for s in shape]


def _of_any_batch(spec: keras.KerasTensor) -> Any:
    """A specification for as many samples as there are, though the model may have been built for a number of them."""
    return types.SimpleNamespace(shape=(None, *spec.shape[1:]), dtype=spec.dtype)  # no tensor: they are numbered


def _output_names(model: keras.Layer, returned: Any) -> list[str]:
    """Names of the outputs, in the order in which their values are flattened."""
    if isinstance(returned, dict) and all(isinstance(y, keras.KerasTensor) for y in returned.values()):
        return keras.tree.flatten({name: name for name in returned})
    names, count = getattr(model, "output_names", None), len(keras.tree.flatten(returned))
    return list(names) if names and len(names) == count else [f"output_{i}" for i in range(count)]
