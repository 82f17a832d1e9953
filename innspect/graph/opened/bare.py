"""A functional model without its final softmax: its own tensors up to the last layer, and one new last layer.

Requirements of the design:

- The new layer shares the variables of the one whose place it takes, so that it follows training, and has its name.
- The user's layers are not called: they gain no nodes. What Keras notes on the layer before is taken back.
- What cannot be written so, such as a softmax within a layer of the user's own, is left to `LogitsModel`.
"""

import random
from typing import Any

import keras
from keras import layers as L

from innspect.graph.keras_internals import call_aside, history_of, is_of_keras

_HEADS = ("softmax", "sigmoid", "log_softmax")
_OPERATIONS = ("Softmax", "LogSoftmax", "Sigmoid")
_MOVING = (L.Reshape, L.Flatten, L.Permute, L.Identity)
_MOVES = ("Reshape", "Transpose", "Squeeze", "ExpandDims")  # of `keras.ops`


def functional_without_heads(model: keras.Layer, heads: list[bool], name: str) -> keras.Model | None:
    """The functional model of the logits, or None where it cannot be made.

    Args:
        model: A built model.
        heads: For each output whether it is made by a softmax or sigmoid.
        name: Of the new model.
    """
    structure = _structure(model)
    if structure is None:
        return None
    inputs, outputs = structure
    flat = keras.tree.flatten(outputs)
    if len(flat) != len(heads):
        return None
    bare = [_without_head(t) if head else t for t, head in zip(flat, heads, strict=True)]
    if any(t is None for t in bare):
        return None
    return keras.Model(inputs, keras.tree.pack_sequence_as(outputs, bare), name=name)


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


def _without_head(tensor: Any) -> Any:
    """What the softmax or sigmoid is given that makes a tensor, or the moves of it; None where there is none to be seen."""
    maker, args, kwargs, index = history_of(tensor)
    if maker is None or len(keras.tree.flatten(args)) != 1 or index:
        return None
    given = keras.tree.flatten(args)[0]
    if _is_head(maker):
        return given
    if _moves(maker):
        behind = _without_head(given)
        return None if behind is None else call_aside(_made_again(maker), behind)
    layer = _layer_without_head(maker)
    return None if layer is None else call_aside(layer, *args, **kwargs)


def _is_head(maker: Any) -> bool:
    if not isinstance(maker, keras.Layer):
        return type(maker).__name__ in _OPERATIONS and is_of_keras(type(maker))
    if isinstance(maker, L.TimeDistributed):
        return _is_head(maker.layer)
    return type(maker) is L.Softmax or (type(maker) is L.Activation and _is_head_function(maker.activation))


def _is_head_function(function: Any) -> bool:
    return any(function is getattr(keras.activations, name) for name in _HEADS)


def _moves(maker: Any) -> bool:
    if isinstance(maker, keras.Layer):
        linear = type(maker) is L.Activation and maker.activation is keras.activations.linear
        return type(maker) in _MOVING or linear
    return type(maker).__name__ in _MOVES and is_of_keras(type(maker))


def _layer_without_head(layer: Any) -> keras.Layer | None:
    """A new layer that shares a layer's variables, and has no softmax or sigmoid at its end; or None."""
    if not isinstance(layer, keras.Layer) or not is_of_keras(type(layer).call) or "call" in vars(layer):
        return None
    if isinstance(layer, L.TimeDistributed):
        inner = _layer_without_head(layer.layer)
        if inner is None:
            return None
        made = _made_again(layer)
        made.layer = inner
        return made
    if isinstance(layer, keras.Model):
        structure = _structure(layer)
        single = structure is not None and len(keras.tree.flatten(structure[1])) == 1
        return functional_without_heads(layer, [True], layer.name) if single else None
    if isinstance(layer, L.RNN) or not _is_head_function(getattr(layer, "activation", None)):
        return None
    return _sharing(layer, _made_again(layer, activation="linear"))


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
