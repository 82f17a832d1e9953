"""A functional model without its final activation: its own tensors up to the last layer, and one new last layer.

Requirements of the design:

- The new layer shares the variables of the one whose place it takes, so that it follows training, and has its name.
- The user's layers are not called: they gain no nodes. What Keras notes on the layer before is taken back.
- What cannot be written so, such as a softmax within a layer of the user's own, is left to `LogitsModel`.
"""

import random
from collections.abc import Collection
from typing import Any

import keras
from keras import layers as L

from innspect.graph.keras_internals import call_aside, history_of, is_of_keras

HEADS = ("softmax", "sigmoid", "log_softmax")
_OPERATIONS = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid", "Relu": "relu", "Tanh": "tanh"}
_LAYERS = {L.Softmax: "softmax", L.ReLU: "relu", L.LeakyReLU: "leaky_relu", L.PReLU: "prelu", L.ELU: "elu"}
_MOVING = (L.Reshape, L.Flatten, L.Permute, L.Identity)
_MOVES = ("Reshape", "Transpose", "Squeeze", "ExpandDims")  # of `keras.ops`


class Bare:
    """Takes activations off.

    Args:
        names: Of the activations, as `keras.activations` has them; None for any but "linear".
    """

    def __init__(self, names: Collection[str] | None = HEADS):
        self.names = names

    def model(self, model: keras.Layer, heads: list[bool], name: str) -> keras.Model | None:
        """The functional model without its activations, or None where it cannot be made.

        Args:
            model: A built model.
            heads: For each output whether it has an activation that is to be taken off.
            name: Of the new model.
        """
        structure = _structure(model)
        if structure is None:
            return None
        inputs, outputs = structure
        flat = keras.tree.flatten(outputs)
        if len(flat) != len(heads):
            return None
        bare = [self._without(t) if head else t for t, head in zip(flat, heads, strict=True)]
        if any(t is None for t in bare):
            return None
        return keras.Model(inputs, keras.tree.pack_sequence_as(outputs, bare), name=name)

    def finds(self, model: keras.Layer) -> list[bool]:
        """For each output of a model whether it has an activation that can be taken off; [] of what is no functional one."""
        structure = _structure(model)
        return [] if structure is None else [self._without(t) is not None for t in keras.tree.flatten(structure[1])]

    def _without(self, tensor: Any) -> Any:
        """What the activation is given that makes a tensor, or the moves of it; None where there is none to be seen."""
        maker, args, kwargs, index = history_of(tensor)
        if maker is None or len(keras.tree.flatten(args)) != 1 or index:
            return None
        given = keras.tree.flatten(args)[0]
        if self._is_activation(maker):
            return given
        if _moves(maker):
            behind = self._without(given)
            return None if behind is None else call_aside(_made_again(maker), behind)
        layer = self._layer(maker)
        return None if layer is None else call_aside(layer, *args, **kwargs)

    def _is_activation(self, maker: Any) -> bool:
        if isinstance(maker, L.TimeDistributed):
            return self._is_activation(maker.layer)
        if type(maker) is L.Activation:
            return self._takes(maker.activation)
        if isinstance(maker, keras.Layer):
            name = _LAYERS.get(type(maker))
        else:
            name = _OPERATIONS.get(type(maker).__name__) if is_of_keras(type(maker)) else None
        return name is not None and (self.names is None or name in self.names)

    def _takes(self, function: Any) -> bool:
        """Whether an activation function is to be taken off."""
        if self.names is None:
            return function is not None and function is not keras.activations.linear
        return any(function is keras.activations.get(name) for name in self.names)

    def _layer(self, layer: Any) -> keras.Layer | None:
        """A new layer that shares a layer's variables, and has no activation at its end; or None."""
        if not isinstance(layer, keras.Layer) or not is_of_keras(type(layer).call) or "call" in vars(layer):
            return None
        if isinstance(layer, L.TimeDistributed):
            inner = self._layer(layer.layer)
            if inner is None:
                return None
            return type(layer)(inner, **{k: v for k, v in layer.get_config().items() if k != "layer"})
        if isinstance(layer, keras.Model):
            structure = _structure(layer)
            single = structure is not None and len(keras.tree.flatten(structure[1])) == 1
            return self.model(layer, [True], layer.name) if single else None
        if isinstance(layer, L.RNN) or not self._takes(getattr(layer, "activation", None)):
            return None
        return _sharing(layer, _made_again(layer, activation="linear"))


def _structure(model: keras.Layer) -> tuple[Any, Any] | None:
    """Inputs and outputs of a model that Keras has a graph of, and that computes what the graph says; or None."""
    if not is_of_keras(type(model).call):
        return None
    if isinstance(model, keras.Sequential):
        try:
            return model.inputs[0], model.outputs[0]
        except (AttributeError, TypeError):  # Keras could not follow its layers
            return None
    return (model.input, model.output) if hasattr(model, "operations") else None


def _moves(maker: Any) -> bool:
    if isinstance(maker, keras.Layer):
        linear = type(maker) is L.Activation and maker.activation is keras.activations.linear
        return type(maker) in _MOVING or linear
    return type(maker).__name__ in _MOVES and is_of_keras(type(maker))


def _made_again(maker: Any, **changes: Any) -> Any:
    """A new layer or operation with the configuration of another; no random numbers are drawn from what the user draws."""
    state = random.getstate()
    try:
        return type(maker).from_config({**maker.get_config(), **changes})
    finally:
        random.setstate(state)


def _sharing(layer: keras.Layer, made: keras.Layer) -> keras.Layer | None:
    """The layer that was made, built with the variables of another; None where it wants others."""
    shared = {v.name: v for v in layer.variables}
    shape = (layer.get_build_config() or {}).get("input_shape")
    if shape is None or len(shared) != len(layer.variables):
        return None
    made.add_weight = lambda *_, name=None, **__: shared[name]  # what `build` asks for is there
    try:
        made.build(shape)
    except KeyError:
        return None
    finally:
        del made.add_weight
    return made if {id(v) for v in made.variables} == {id(v) for v in layer.variables} else None
