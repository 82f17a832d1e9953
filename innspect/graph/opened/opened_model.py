"""A user's model as innspect sees it: its inputs, its flat graph, and the check that both compute the same.

Requirements of the design:

- A model is opened once: all that explain it share its opened form, while any of them holds it.
- That holds only while the model is what it was: where its description has changed it is opened anew.
- Nothing keeps a model or its graph alive but who holds it.
"""

import functools
import types
import weakref
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.backend.weights import steadily, weights
from innspect.errors import NotAnalyzeableModelError, PlainKeyError
from innspect.graph.activity import activated
from innspect.graph.capture import attention, decompositions, lowering  # noqa: F401  (fill the tables)
from innspect.graph.capture.layer_calls import call_arguments
from innspect.graph.capture.operations import settle
from innspect.graph.capture.replay import replay
from innspect.graph.capture.untouched import untouched
from innspect.graph.ir import Graph, Tensor, is_float, widen
from innspect.graph.keras_internals import layers_of
from innspect.graph.opened.description import describe
from innspect.graph.opened.structure import (
    check_model,
    check_strings,
    input_structure,
    knows_its_inputs,
    of_strings,
    output_names,
    output_places,
)
from innspect.graph.opened.verification import DoesNotRun, compare, computes_with_keras
from innspect.graph.passes.heads import heads_last
from innspect.graph.passes.ids import ids_as_integers, ids_of, keep_numbers, read_as_numbers
from innspect.graph.passes.kernels import with_kernels
from innspect.graph.passes.softmax import put_together
from innspect.graph.precision import in_float64
from innspect.nests import leaves
from innspect.types import Array, Tensors

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
        output_names: Names of the outputs, flat: of the tensors that the model returns, beside which there may be others.
        description: What the model was when it was opened, see `innspect.graph.opened.description`.
        compiled: What evaluations of the model compiled, which serves those that come, while it is held.
        hidden_softmax: After `verify` a dict from the number of an output to the path of the node that makes it, where that
            returns probabilities though no softmax can be seen.
    """

    def __init__(self, model: keras.Layer, description: Any):
        self.model, self.description = model, description
        self.structure = input_structure(model)
        self.specs = keras.tree.flatten(self.structure)
        check_strings(model, self.specs)
        specs = self.structure if self.batch else keras.tree.map_structure(_of_any_batch, self.structure)
        written, self.unopened, returned = _replayed(model, specs)
        canonical = put_together(written).then(heads_last).then(ids_as_integers).then(keep_numbers)
        self.graph = canonical.then(activated, settle).then(with_kernels).graph
        if not self.graph.outputs:
            raise NotAnalyzeableModelError(f"The model {model.name!r} returns no tensors, so there is nothing to explain.")
        self.output_names, self._places = output_names(model, returned), output_places(returned)
        self.verified = self._confirmed = False
        self.hidden_softmax: dict[int, str] = {}
        self.compiled: Any = None

    @property
    def names(self) -> list[str]:
        return [getattr(s, "name", f"input_{i}") for i, s in enumerate(self.specs)]

    def variables(self) -> list[keras.Variable]:
        return self.graph.variables()

    def on_its_device(self) -> AbstractContextManager[Any]:
        """A scope in which tensors are made where the model's weights are."""
        return backend.beside(self.variables)

    @functools.cached_property
    def dtype(self) -> str:
        """The dtype of maps, which integers that are numbers, such as pixels, are computed in."""
        return "float64" if in_float64((*self.graph.inputs, *self.graph.outputs)) else "float32"

    def number(self, output: int | str) -> int:
        """The number of an output given by number or name.

        Raises:
            KeyError: No output has this name.
            ValueError: There are not so many.
            NotAnalyzeableModelError: It is one number for all samples.
        """
        names = self.output_names
        if isinstance(output, str):
            if output not in names:
                raise PlainKeyError(f"`output` must be one of the model's outputs {names}. Received: {output!r}")
            number = names.index(output)
        elif not isinstance(output, int | np.integer) or not 0 <= output < len(names):
            raise ValueError(f"`output` must be between 0 and {len(names) - 1}, or one of {names}. Received: {output!r}")
        else:
            number = int(output)
        if not self.graph.outputs[number].shape:
            raise NotAnalyzeableModelError(
                f"The output {names[number]!r} of the model {self.model.name!r} is one number for all samples, such as a loss, "
                f"so there is nothing to explain for each. Received: output={output!r}, of shape ()"
            )
        return number

    def answer(self, tensors: Tensors) -> Tensors:
        """The model's own outputs, flat, for its inputs, flat tensors; the model's variables may be written to."""
        args, kwargs = call_arguments(self.model, keras.tree.pack_sequence_as(self.structure, tensors))
        with untouched(self.model):
            returned = [leaf for _, leaf in leaves(self.model(*args, **kwargs, training=False))]
        return [returned[place] for place in self._places]

    def outputs(self, tensors: Tensors) -> list[Array]:
        """As `answer`, in NumPy arrays, of one state of the weights; the model stays as it was."""

        def answered() -> list[Array]:
            variables = self.variables()
            with self.on_its_device(), read_only(variables, weights(variables)), backend.inference():
                return [backend.to_numpy(y) for y in self.answer(tensors)]

        return steadily(answered)

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
        drawn = self._drawn_inputs() if inputs is None else inputs
        if drawn is None:
            return
        try:
            self.hidden_softmax = compare(self, drawn)
        except DoesNotRun:
            if inputs is None and not knows_its_inputs(self.model):
                return  # it takes strings, or what else Keras has not kept: the first sample will tell
            raise
        self.verified = True

    def confirm(self, inputs: list[Array]) -> None:
        """Compare them once more, on the first sample that is explained: a drawn one may leave a layer dead.

        Nothing is compared where graph and model are equal by construction, since all that computes is Keras' own.

        Args:
            inputs: Flat arrays of one sample.
        """
        if not self._confirmed:
            if not self.verified:
                self.verify(inputs)
            elif not computes_with_keras(self.model):
                compare(self, inputs, again=True)
            self._confirmed = True

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
        """Whether an input holds the ids of an embedding, and nothing else."""
        return tensor in self._ids and tensor not in self._mixed

    @property
    def mixed(self) -> list[str]:
        """The names of inputs that hold ids of an embedding beside numbers."""
        return [name for name, t in zip(self.names, self.graph.inputs, strict=True) if t in self._mixed]

    @functools.cached_property
    def _mixed(self) -> frozenset[Tensor]:
        ids = self._ids.intersection(self.graph.inputs)
        return ids & read_as_numbers(self.graph, self._ids) if ids else ids

    @functools.cached_property
    def _ids(self) -> frozenset[Tensor]:
        return frozenset(ids_of(self.graph))


def _sends_back(graph: Graph, tensor: Tensor) -> bool:
    """Whether a signal flows back to a tensor from an output."""
    reached = {tensor}
    for node in graph.nodes:
        if node.kind != "constant" and any(node.inputs[p] in reached for p in node.active_inputs):
            reached.update(t for t in node.outputs if t in graph.active)
    return any(t in reached for t in graph.outputs)


def check_no_mixture(opened: OpenedModel, method: str) -> None:
    """Raise where an input holds ids beside numbers, for a method that moves what an input holds."""
    if opened.mixed:
        raise NotAnalyzeableModelError(
            f"The input {opened.mixed[0]!r} of the model {opened.model.name!r} holds ids of an embedding beside numbers, and "
            f"{method!r} multiplies with what an input holds, or moves it, which ids do not allow. Give the ids an input of "
            "their own, as a list of two; or use 'gradient', 'lrp.epsilon' or 'occlusion'."
        )


def _replayed(model: keras.Layer, specs: Any) -> tuple[Graph, dict[str, str], Any]:
    try:
        return replay(model, specs)
    except NotAnalyzeableModelError as error:
        if "string" in str(error).replace("must be a string", "") and not knows_its_inputs(model):
            raise NotAnalyzeableModelError(f"{error} {of_strings(model)}") from error
        raise


def _of_any_batch(spec: keras.KerasTensor) -> Any:
    """A specification for as many samples as there are, though the model may have been built for a number of them."""
    return types.SimpleNamespace(shape=(None, *spec.shape[1:]), dtype=spec.dtype)  # no tensor: they are numbered
