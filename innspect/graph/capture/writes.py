"""What one thread writes on layers while it calls them: kept aside, so that nobody else meets it, and gone afterwards.

Other threads, such as one that trains the model, read and write the same layers meanwhile. They must not find the masks that
a recurrent layer makes for our batch, nor lose what they wrote themselves.
"""

from typing import Any

import keras

from innspect.graph.keras_internals import layers_of, losses_of, may_write

_DELETED: Any = object()


class Unnoted:
    """What this thread writes goes to the layers."""

    def read(self, original, layer, name):
        return original(layer, name)

    def write(self, original, layer, name, *value):
        original(layer, name, *value)

    def add_loss(self, original, layer, loss):
        original(layer, loss)

    def clear_losses(self, original, layer):
        original(layer)


class Writes:
    """Holds the attributes that this thread sets on some layers, and notes the losses that it adds.

    A layer that its first call builds, such as one of a branch that was never taken, stays built, as Keras leaves it. Losses
    of a layer's last call are not cleared by another call, as Keras does it, since they may be of another thread.

    Args:
        layer: A layer: what is written on it, and on the layers within it, is held. Layers that its `call` makes are its own.

    Attributes:
        classes: Of the layers; none where no layer sets attributes.
        outer: The writes of the call that this one is within.
    """

    outer: "Writes | Unnoted" = Unnoted()

    def __init__(self, layer: keras.Layer):
        layers = layers_of(layer)
        self._layers = {id(each) for each in layers if each.built}
        self.classes = {type(each) for each in layers} if any(map(may_write, layers)) else set()
        self._held: dict[tuple[int, str], Any] = {}
        self._added: list[tuple[keras.Layer, Any]] = []

    def read(self, original, layer, name):
        """The value of an attribute as this thread sees it."""
        value = self._held.get((id(layer), name), self) if self._held else self
        if value is self:  # not held
            return self.outer.read(original, layer, name)
        if value is _DELETED:
            raise AttributeError(f"{type(layer).__name__!r} object has no attribute {name!r}")
        return value

    def write(self, original, layer, name, *value):
        """Set an attribute, or delete it where there is no value."""
        if id(layer) not in self._layers or _is_managed(type(layer), name):
            original(layer, name, *value)
            return
        if not value:
            getattr(layer, name)  # raises where there is none
        self._held[id(layer), name] = value[0] if value else _DELETED

    def add_loss(self, original, layer, loss):
        self._added += [(layer, each) for each in keras.tree.flatten(loss)]
        original(layer, loss)

    def clear_losses(self, original, layer):
        pass

    def take_back(self):
        """Take the losses from the layers."""
        for layer, loss in self._added:
            losses, ids = losses_of(layer)
            ids.discard(id(loss))
            places = [i for i, each in enumerate(losses) if each is loss]
            if places:
                del losses[places[-1]]


def _is_managed(cls, name):
    """Whether a class has a property of this name, or the like, which sets other attributes in its turn."""
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return hasattr(type(found), "__set__")
