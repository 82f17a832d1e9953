"""What the perturbation methods run: a Keras model, or any function from inputs to outputs.

Both are asked the same: check the inputs, evaluate outputs, and call a function of tensors that uses them. A network
compiles that function with itself; a plain function is given NumPy arrays.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import OneOf
from innspect.errors import NotAnalyzeableModelError, said
from innspect.graph.capture.untouched import predict
from innspect.graph.channels import reads_channels_first
from innspect.graph.heads import without_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Tensor
from innspect.graph.keras_promotion import keeping_float64
from innspect.graph.opened.opened_model import OpenedModel, model_of, open_model
from innspect.graph.opened.structure import no_model
from innspect.graph.opened.target_layer import Place, find_layer
from innspect.graph.precision import PreciseCompiler, in_float64
from innspect.inputs import sizes
from innspect.inputs.batches import Inputs, as_numbers
from innspect.inputs.layout import by_samples, with_positions
from innspect.inputs.targets import Selection, values_of
from innspect.nests import leaves
from innspect.types import BackendTensor, Nest, Shape, Tensors

Evaluate = Callable[[Tensors], tuple[BackendTensor, BackendTensor | None]]  # from inputs to explained tensor and activations


class Predictor(Protocol):
    """What is asked about inputs: a `Network` or a `PlainFunction`."""

    @property
    def opened(self) -> OpenedModel | None:
        """The opened model, where there is one."""

    @property
    def model(self) -> Any:
        """What the user gave."""

    @property
    def dtype(self) -> str:
        """The dtype that integers among the inputs are hidden in."""

    def inputs(self, x: Nest) -> Inputs:
        """The checked inputs."""

    def number(self, output: int | str) -> int:
        """The number of an output given by number or name."""

    def output_shape(self, number: int, inputs: Inputs) -> Shape:
        """The shape of one sample's output."""

    def is_ids(self, number: int) -> bool:
        """Whether an input holds the ids of an embedding."""

    def reads_channels_first(self, number: int) -> bool:
        """Whether an input has its channels before its spatial axes."""

    def place(self, number: int, layer: str | None) -> Place:
        """The layer whose feature maps are looked at."""

    def call(self, key: Hashable, function: Callable[..., Nest], *arguments: Nest) -> Nest:
        """`function(*arguments)`, a function of tensors; `key` says which function this is."""

    def evaluator(self, number: int, inputs: Inputs, place: Place | None = None) -> Evaluate:
        """A function from input tensors to the explained tensor, and the activations of a place, channels last, or None."""

    def with_head(self, number: int, y: BackendTensor) -> BackendTensor:
        """The model's own output from the explained tensor."""


def black_box(model: Any, head: str | None = None) -> Predictor:
    """A `Network` or a `PlainFunction` for what the user gave.

    Raises:
        TypeError: It cannot be called.
        ValueError: `head` is no such word, or is "logit" for a model without a visible head.
    """
    if head is not None:
        OneOf("logit", "output").check("head", head)
    if isinstance(model, keras.Layer | OpenedModel):
        try:
            return Network(model, head or "output")
        except NotAnalyzeableModelError:  # it can still be called
            if head == "logit":
                raise
            plain = model_of(model)
            return PlainFunction(plain, lambda x: _answer(plain, x))
    if not callable(model) or hasattr(model, "explain"):  # an analyzer, which can be called, is no model either
        raise TypeError(
            "`model` must be a built Keras model, or a function from a batch of inputs to a batch of outputs, such as the "
            f"`predict_proba` of a classifier. Received: {no_model(model)}"
        )
    if head == "logit":
        raise ValueError("head='logit' needs a Keras model, whose softmax can be seen. Received: a function")
    return PlainFunction(model, model)


def _answer(model: keras.Layer, x: Nest) -> Nest:
    try:
        return predict(model, x)
    except Exception as error:
        raise NotAnalyzeableModelError(f"The model {model.name!r} does not run on these inputs: {said(error)}") from error


class Network:
    """A Keras model, or an opened one, compiled."""

    opened: OpenedModel

    def __init__(self, model: Any, head: str):
        self.opened, self._head = open_model(model), head
        self.opened.verify()
        self.call = PreciseCompiler(self.opened.variables())

    @property
    def model(self) -> keras.Layer:
        """The user's model."""
        return self.opened.model

    @property
    def dtype(self) -> str:
        return self.opened.dtype

    def inputs(self, x: Nest) -> Inputs:
        inputs = Inputs(x, self.opened)
        if inputs.samples:
            self.opened.confirm([a[:1] for a in inputs.arrays])
        return inputs

    def number(self, output: int | str) -> int:
        """The number of an output given by number or name."""
        return self.opened.number(output)

    def output_shape(self, number: int, inputs: Inputs) -> Shape:
        """The shape of one sample's output; None where an axis is not known."""
        return tuple(self.explained(number).shape[1:])

    def explained(self, number: int) -> Tensor:
        """The explained tensor of the graph."""
        tensor = self.opened.graph.outputs[number]
        return without_head(self.opened.graph, tensor) if self._head == "logit" else tensor

    def is_ids(self, number: int) -> bool:
        return self.opened.takes_ids(self.opened.graph.inputs[number])

    def reads_channels_first(self, number: int) -> bool:
        return reads_channels_first(self.opened.graph, number)

    def place(self, number: int, layer: str | None) -> Place:
        """The layer whose feature maps are looked at."""
        return find_layer(self.opened.graph, self.explained(number), self.opened.graph.outputs[number], layer)

    def evaluator(self, number: int, inputs: Inputs, place: Place | None = None) -> Evaluate:
        """A function from input tensors to the explained values, and the activations of a place, channels last, or None."""
        tensors = [self.explained(number), *([] if place is None else [place.tensor])]
        evaluation = Interpreter.of(self.opened.graph, *tensors)

        def evaluate(xs: Tensors) -> tuple[BackendTensor, BackendTensor | None]:
            y, *activations = evaluation(xs)
            if place is None:
                return y, None
            return y, by_samples(with_positions(activations[0], place), place, xs[0].shape[0])

        return evaluate

    def with_head(self, number: int, y: BackendTensor) -> BackendTensor:
        """The model's own output."""
        output = self.opened.graph.outputs[number]
        return y if output is self.explained(number) else self.opened.graph.producers[output](y)[0]


class Samples(Inputs):
    """Inputs of a function: arrays, samples first, in any nest of lists and dicts."""

    def __init__(self, x: Nest):
        nested = isinstance(x, list | tuple | dict) and all(hasattr(a, "shape") for a in keras.tree.flatten(x))
        flat = keras.tree.flatten(x) if nested else [x]
        self.arrays = self.given = [as_numbers(a) for a in flat]
        self._packed = (lambda arrays: keras.tree.pack_sequence_as(x, arrays)) if nested else (lambda arrays: arrays[0])
        for array in self.arrays:
            if array.dtype.kind not in "fiub" or array.ndim < 1:
                raise ValueError(
                    f"`x` must hold numbers, samples first, (samples, ...). Received: dtype {array.dtype}, shape {array.shape}"
                )
        counts = {len(a) for a in self.arrays}
        if len(counts) != 1:
            raise ValueError(f"All inputs must hold the same number of samples. Received: {sorted(counts)} samples")
        self.samples, self._fixed = counts.pop(), None
        self.elements = sizes.elements(None, self.arrays)


class PlainFunction:
    """Any function from a batch of inputs to a batch of outputs."""

    opened, dtype = None, "float32"

    def __init__(self, model: Any, function: Callable[[Nest], Nest]):
        self.model, self._function = model, function

    def inputs(self, x: Nest) -> Samples:
        return Samples(x)

    def number(self, output: int | str) -> int:
        names = getattr(self.model, "output_names", ()) if isinstance(output, str) else ()
        output = names.index(output) if output in names else output
        if not isinstance(output, int | np.integer) or output < 0:
            raise ValueError(f"`output` must be the number of one of the function's outputs. Received: {output!r}")
        return int(output)

    def output_shape(self, number: int, inputs: Inputs) -> Shape:
        """The shape of one sample's output, which the function must be asked for."""
        y, _ = self.evaluator(number, inputs)([a[:1] for a in inputs.arrays])
        return tuple(y.shape[1:])

    def is_ids(self, number: int) -> bool:
        return False

    def reads_channels_first(self, number: int) -> bool:
        return False

    def place(self, number: int, layer: str | None) -> Place:
        raise ValueError(f"`layer` needs a Keras model, whose layers can be seen. Received: layer={layer!r} for a function")

    def call(self, key: Hashable, function: Callable[..., Nest], *arguments: Nest) -> Nest:
        with backend.inference(), keeping_float64(in_float64(keras.tree.flatten(arguments[:1]))):
            return function(*arguments)

    def evaluator(self, number: int, inputs: Inputs, place: Place | None = None) -> Evaluate:
        def evaluate(xs: Tensors) -> tuple[BackendTensor, BackendTensor | None]:
            with keeping_float64(False):  # what is in it is the user's
                y = as_numbers(_chosen(self._function(inputs.pack([as_numbers(x) for x in xs])), number))
            if y.ndim == 0 or len(y) != xs[0].shape[0] or y.dtype.kind not in "fiub":
                raise ValueError(
                    f"The function must return one row of numbers for each of the {xs[0].shape[0]} samples it is given. "
                    f"Received: shape {y.shape}, dtype {y.dtype}"
                )
            y = y.astype("float32") if y.dtype.kind in "iub" else y
            return ops.convert_to_tensor(y.reshape(len(y), 1) if y.ndim == 1 else y), None

        return evaluate

    def with_head(self, number: int, y: BackendTensor) -> BackendTensor:
        return y


def _chosen(y: Nest, number: int) -> Any:
    """One output of several: of the arrays that are returned, beside which there may be None and numbers."""
    nested = not (hasattr(y, "shape") or hasattr(y, "__array__"))
    outputs = [leaf for _, leaf in leaves(y) if len(getattr(leaf, "shape", ()))] if nested else []
    outputs = outputs or [y]
    if number >= len(outputs):
        raise ValueError(f"`output` must be between 0 and {len(outputs) - 1}. Received: {number}")
    return outputs[number]


def as_it_is(
    predictor: Predictor, number: int, evaluate: Evaluate, targets: Iterable[Selection]
) -> Callable[[Tensors, Tensors], dict[str, BackendTensor]]:
    """A function of inputs, and of what tells the targets, to look at samples as they are.

    It gives a dict with "weights" (targets, batch, ...) and "targets" (targets, batch) of the explained tensor, the model's
    "outputs", and the feature maps' totals as "responses" where the evaluator looks at a layer.
    """

    def look(xs: Tensors, values: Tensors) -> dict[str, BackendTensor]:
        y, activations = evaluate(xs)
        weights = [t.weights(v, y) for t, v in zip(targets, values, strict=True)]
        explained = ops.stack([values_of(t, w, y)[0] for t, w in zip(targets, weights, strict=True)])
        seen = {"weights": ops.stack(weights), "targets": explained, "outputs": predictor.with_head(number, y)}
        return seen if activations is None else seen | {"responses": totals(activations)}

    return look


def totals(activations: BackendTensor) -> BackendTensor:
    """The sum of each feature map over its positions, (batch, maps)."""
    return ops.sum(ops.reshape(activations, (activations.shape[0], -1, activations.shape[-1])), axis=1)
