"""A model without a concept: a copy in which the concept's direction is projected out of a layer (P-ClArC)."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.concepts.measuring import sites_of
from innspect.concepts.vectors import ConceptVector
from innspect.graph.keras_internals import layers_of
from innspect.graph.opened.opened_model import OpenedModel, model_of, open_model
from innspect.types import Array, BackendTensor, Shape


@keras.saving.register_keras_serializable(package="innspect")
class WithoutConcept(keras.layers.Layer):
    """Projects a direction out of the channels, at every position: h' = h - v v.(h - z) / (v.v).

    Args:
        direction: v, a number for each channel.
        origin: z, what v.h' becomes: that of a mean without the concept.
        axis: The axis of channels.
        **arguments: As for any Keras layer.

    Raises:
        ValueError: `direction` is 0, or the two are not finite lists of one length.
    """

    def __init__(self, direction: Sequence[float], origin: Sequence[float], axis: int = -1, **arguments: Any):
        super().__init__(**arguments)
        self.direction, self.origin = ([float(value) for value in np.ravel(given)] for given in (direction, origin))
        self.axis = int(axis)
        if len(self.direction) != len(self.origin) or not np.isfinite([*self.direction, *self.origin]).all():
            raise ValueError(
                "`direction` and `origin` must hold as many finite numbers. "
                f"Received: {len(self.direction)} and {len(self.origin)}"
            )
        if not any(self.direction):
            raise ValueError("`direction` must not be 0: nothing can be projected out along it. Received: zeros")
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        if input_shape[self.axis] not in (None, len(self.direction)):
            raise ValueError(
                f"`direction` must hold a number for each of the {input_shape[self.axis]} channels. "
                f"Received: {len(self.direction)} numbers"
            )
        super().build(input_shape)

    def call(self, inputs: BackendTensor) -> BackendTensor:
        v = np.array(self.direction)
        v = v / np.linalg.norm(v)
        matrix = np.eye(len(v)) - np.outer(v, v)
        kernel, shift = (ops.convert_to_tensor(a, inputs.dtype) for a in (matrix, v * (v @ self.origin)))
        h = inputs if self.axis in (-1, len(inputs.shape) - 1) else ops.moveaxis(inputs, self.axis, -1)
        h = ops.matmul(h, kernel) + shift
        return h if self.axis in (-1, len(inputs.shape) - 1) else ops.moveaxis(h, -1, self.axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"direction": self.direction, "origin": self.origin, "axis": self.axis}


def without(model: keras.Layer | OpenedModel, vector: ConceptVector) -> keras.Model:
    """A copy of a model in which a concept is projected out of a layer's output (Anders et al. 2022, P-ClArC).

    Behind the layer stands one more, registered with Keras: at every position v.h' = v.z, with z the mean without the concept.

    Args:
        model: A functional or Sequential model, which stays as it is; the layer may be within models of these kinds in it.
        vector: From `innspect.concepts.vector`.

    Returns:
        A model with weights of its own, not compiled, that trains, is saved and loaded as any other.

    Raises:
        KeyError: The model has no such layer.
        TypeError: `vector` is no concept vector.
        ValueError: The vector does not fit the layer; or the model, or one that the layer is in, is neither functional nor
            Sequential.
    """
    if not isinstance(vector, ConceptVector):
        raise TypeError(f"`vector` must be what `innspect.concepts.vector` returns. Received: {type(vector).__name__}")
    whole = model_of(model)
    site = sites_of(open_model(model).graph, [vector.layer], "layer")[vector.layer]
    if site.channels not in (None, len(vector.vector)):
        raise ValueError(
            f"`vector` must hold a number for each of the {site.channels} channels of the layer {vector.layer!r}. "
            f"Received: {len(vector.vector)} numbers"
        )
    path, call = _parsed(vector.layer)
    route = _route(whole, path)
    axis = 1 if site.channels_first else -1
    name = _free_name(whole, "_".join([route[-1].name, "without", "concept"]))

    def inserted() -> keras.Layer:
        return WithoutConcept(vector.vector.tolist(), vector.origin.tolist(), axis, name=name, dtype=route[-1].dtype_policy)

    copy = _copied(whole, route, call, inserted)
    _take_weights(copy, whole)
    return copy


def _parsed(layer: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(.*)\[(\d+)\]", layer)
    return (found[1], int(found[2])) if found else (layer, None)


def _is_known(model: Any) -> bool:
    """Whether a model is put together of layers that can be copied one by one: `Sequential`, or functional and nothing else."""
    return type(model) is keras.Sequential or (
        (type(model) is keras.Model or type(model).__name__ == "Functional") and hasattr(model, "operations")
    )


def _route(model: keras.Layer, path: str) -> list[keras.Layer]:
    """The models within each other that lead to a layer, and the layer at the end."""
    within, route, names = model, [], path.split("/")
    while names:
        if not _is_known(within):
            raise ValueError(
                "`model` must be functional or Sequential, and so must models in it that the layer is in, for a copy is put "
                f"together of their layers. Received: {type(within).__name__} {within.name!r}"
            )
        inner = {layer.name: layer for layer in within.layers}
        found = next((i for i in range(len(names), 0, -1) if "/".join(names[:i]) in inner), None)
        if found is None:
            raise ValueError(
                f"The layer {path!r} must be one of the layers of {within.name!r}, or of a model in it, for a layer cannot be "
                f"copied in part. Received: layers {list(inner)[:8]}"
            )
        within, names = inner["/".join(names[:found])], names[found:]
        route.append(within)
    return route


def _free_name(model: Any, name: str) -> str:
    taken = {layer.name for layer in layers_of(model)}
    number, free = 1, name
    while free in taken:
        number, free = number + 1, f"{name}_{number}"
    return free


def _copied(model: Any, route: list[keras.Layer], call: int | None, inserted: Callable[[], keras.Layer]) -> Any:
    """A copy of a model with a layer behind the last one of the route."""
    target, *further = route

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer is target and further:
            return _copied(layer, further, call, inserted)
        return _cloned(layer)

    if isinstance(model, keras.Sequential):
        layers: list[Any] = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs[:1]]
        for layer in model.layers:
            layers += [clone(layer), *([inserted()] if layer is target and not further else [])]
        copy = keras.Sequential(layers, name=model.name)
        return copy
    calls, projections = iter(range(1 << 30)), inserted() if not further else None

    def called(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        made = layer(*args, **kwargs)
        if projections is not None and layer.name == target.name and (next(calls) == call or call is None):
            return projections(made)
        return made

    return keras.models.clone_model(model, clone_function=clone, call_function=called)


def _cloned(layer: keras.Layer) -> keras.Layer:
    """A layer like another one, with weights of its own."""
    if _is_known(layer) and not isinstance(layer, keras.Sequential):
        return keras.models.clone_model(layer)
    return type(layer).from_config(layer.get_config())


def _take_weights(copy: Any, model: Any) -> None:
    """Give the layers of a copy the weights of those that they are copies of, by name."""
    mine = {layer.name: layer for layer in copy.layers}
    for layer in model.layers:
        if _is_known(layer):
            _take_weights(mine[layer.name], layer)
        elif not isinstance(layer, keras.layers.InputLayer):  # which may have another name
            values: list[Array] = layer.get_weights()
            mine[layer.name].set_weights(values)
            mine[layer.name].trainable = layer.trainable
