"""A layer as users say it, by path, as the object or by number, as its path."""

from typing import Any

import keras

from innspect.checks import Integer
from innspect.graph.opened.opened_model import OpenedModel


def path_of(opened: OpenedModel, layer: Any, argument: str = "layer") -> Any:
    """The path of a layer.

    Args:
        opened: The opened model.
        layer: A path, which is returned as it is, as None is; a layer of the model; or an integer, the number of one in
            `model.layers`, -1 the last.
        argument: What it was given as, for errors.

    Raises:
        ValueError: The model has no such layer, or calls it by several paths.
        TypeError: It is none of these.
    """
    if layer is None or isinstance(layer, str):
        return layer
    if Integer(-10_000).holds(layer):
        layer = _numbered(opened.model, int(layer), argument)
    if not isinstance(layer, keras.Layer):
        raise TypeError(
            f"`{argument}` must be the path of a layer, a layer of the model, or its number in `model.layers`. "
            f"Received: {layer!r:.200}"
        )
    found = [path for path, known in opened.graph.layers.items() if known is layer]
    if len(found) != 1:
        why = f"one that has several paths: {', '.join(map(repr, found[:4]))}" if found else "one that the model does not call"
        raise ValueError(f"`{argument}` must be a layer that the model computes. Received: {layer!r:.200}, {why}")
    return found[0]


def _numbered(model: keras.Layer, number: int, argument: str) -> keras.Layer:
    layers = getattr(model, "layers", [])
    if not -len(layers) <= number < len(layers):
        raise ValueError(
            f"`{argument}` must be between {-len(layers)} and {len(layers) - 1}, the number of a layer in `model.layers`. "
            f"Received: {number}"
        )
    return layers[number]
