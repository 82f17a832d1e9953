"""What one thread writes on layers while it calls them, so that this, and no more, can be taken back.

Other threads, such as one that trains the model, may write on the same layers meanwhile: what they wrote last stays.
"""

from dataclasses import dataclass
from typing import Any

import keras

from innspect.graph.keras_internals import layers_of, losses_of, may_write

_ABSENT: Any = object()


@dataclass
class _Attribute:
    owner: keras.Layer
    name: str
    before: Any
    written: Any


class Writes:
    """Notes the attributes that this thread sets on some layers, and the losses that it adds.

    Losses of a layer's last call are not cleared by another call, as Keras does it, since they may be of another thread.

    Args:
        layer: A layer; what is written on it, and on the layers within it, is noted. Layers that its `call` makes are its own.

    Attributes:
        of_attributes: Whether any of the layers may set attributes.
    """

    def __init__(self, layer: keras.Layer):
        layers = layers_of(layer)
        self._layers, self.of_attributes = set(map(id, layers)), any(map(may_write, layers))
        self._attributes: dict[tuple[int, str], _Attribute] = {}
        self._added: list[tuple[keras.Layer, Any]] = []

    def write(self, original, layer, name, *value):
        """Set an attribute, or delete it where there is no value."""
        if id(layer) not in self._layers:
            return original(layer, name, *value)
        before = vars(layer).get(name, _ABSENT)
        original(layer, name, *value)
        written = vars(layer).get(name, _ABSENT)
        if written is before:
            return None
        noted = self._attributes.get((id(layer), name))
        if noted is None or noted.written is not before:  # another thread wrote in between
            noted = self._attributes[id(layer), name] = _Attribute(layer, name, before, written)
        noted.written = written
        return None

    def add_loss(self, original, layer, loss):
        self._added += [(layer, each) for each in keras.tree.flatten(loss)]
        original(layer, loss)

    def clear_losses(self, original, layer):
        pass

    def take_back(self):
        """Make undone what was written, where it is still what it was written."""
        for noted in self._attributes.values():
            attributes = vars(noted.owner)
            if attributes.get(noted.name, _ABSENT) is not noted.written:
                continue
            if noted.before is _ABSENT:
                attributes.pop(noted.name, None)
            else:
                attributes[noted.name] = noted.before
        for layer, loss in self._added:
            losses, ids = losses_of(layer)
            ids.discard(id(loss))
            places = [i for i, each in enumerate(losses) if each is loss]
            if places:
                del losses[places[-1]]
