"""A cheap description of a model: equal while the graph that was made of it still holds.

The graph reads weights live, so their values do not matter; all else that a layer's `call` may read was read when the
model was opened. So every attribute of every layer counts, but what training, predicting and saving write on them, and so
do the functions of the layers' classes: an activation that is set, another dtype policy, a quantized layer, a `call` that
is wrapped. What a description holds is compared by identity where it has no value of its own, and is kept, so that
nothing else can take its place in memory.
"""

import zlib

import keras
import numpy as np

from innspect.graph.capture import registry
from innspect.graph.keras_internals import OF_FRAMEWORKS, PASSING, layers_of

_DEEPEST = 6

_LEAVES = frozenset([type(lambda: None), keras.Variable, type(keras.ops)])
_PLAIN = frozenset([type(None), str, bytes, bool, int, complex])


def describe(model):
    """The description of a built model, a value to compare."""
    classes: dict = {}
    layers = []
    for layer in layers_of(model):
        cls = type(layer)
        if cls not in classes:
            classes[cls] = _class(cls)
        layers.append((_Same(layer), classes[cls], _attributes(layer)))
    return tuple(layers), keras.config.dtype_policy().name, registry.version()


class _Same:
    """An object that equals only itself."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self):
        return id(self.value)


def _class(cls):
    """What the classes compute with: `call`, and all that is written in classes that are not Keras' own."""
    return tuple(
        _Same(value)
        for base in cls.__mro__
        if issubclass(base, keras.Layer) and base is not keras.Layer
        for name, value in vars(base).items()
        if name in ("call", "__call__") or not base.__module__.startswith("keras.")
    )


def _attributes(layer):
    found: list[tuple] = []
    for name, value in list(vars(layer).items()):  # which another thread may be writing to, training
        if name not in PASSING and not name.startswith(OF_FRAMEWORKS):
            kind = type(value)
            if kind in _PLAIN:
                found.append((name, kind, value))
            else:
                found.append((name, _value(value, _DEEPEST)))
    return tuple(found)


def _value(value, deeper):
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if not deeper or kind in _LEAVES:
        return _Same(value)
    if isinstance(value, float):
        return kind, repr(value)  # which NaN equals, too
    if isinstance(value, list | tuple):
        return kind, tuple([_value(v, deeper - 1) for v in value])
    if isinstance(value, dict):
        return kind, tuple([(_value(k, 0), _value(v, deeper - 1)) for k, v in list(value.items())])
    if isinstance(value, set | frozenset):
        return kind, frozenset([_value(v, 0) for v in value])
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        return value.shape, value.dtype.str, zlib.crc32(np.ascontiguousarray(value).view("uint8").data)
    if isinstance(value, keras.DTypePolicy):
        return kind, value.name
    return _Same(value)
