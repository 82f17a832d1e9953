"""A stand-in for a layer whose `call` reads variables by themselves, such as `ops.cast(self.scale, x.dtype)` or `1 + self.w`.

The value of a variable must not be baked into the graph. While the layer's own methods run on the stand-in, its
variables are symbolic tensors instead, also those in lists and dicts and those of the layers within it: nodes that read the
live variable. Preprocessing layers compute with the functions of a backend, which they hold; on the stand-in these are Keras
operations. The layer itself is not touched.
"""

import inspect
import types

import keras

from innspect.graph.capture.interception import CannotOpen
from innspect.graph.ir import is_float
from innspect.graph.keras_internals import is_backend

_STANDS_FOR = "innspect stands for"


class _Operations:
    """Keras operations, in the modules that a backend has them in."""

    numpy = nn = math = linalg = core = keras.ops
    image = keras.ops.image

    def __getattr__(self, name):
        return getattr(keras.ops, name)


def stands_for(layer):
    """The layer itself, of a layer or of its stand-in."""
    return object.__getattribute__(layer, "__dict__").get(_STANDS_FOR, layer)


def reading(trace, layer):
    """An object that computes as `layer` does, with symbolic tensors where the layer has variables."""
    return _Reader(trace).stand_in(layer)


class _Reader:
    """Makes stand-ins that share the symbols of their variables."""

    def __init__(self, trace):
        self._trace = trace
        self._symbols: dict = {}
        self._made: dict = {}

    def stand_in(self, layer):
        """The stand-in for a layer."""
        if id(layer) not in self._made:
            self._made[id(layer)] = _made(self, layer)
        return self._made[id(layer)]

    def read(self, value, layer):
        """What the stand-in for a layer has, where the layer has a value."""
        if isinstance(value, keras.Variable):
            return self._symbol(value, layer)
        if isinstance(value, keras.Layer):
            return self.stand_in(value)
        if isinstance(value, list | tuple) and any(map(_holds_variables, value)):
            read = [self.read(v, layer) for v in value]
            return tuple(read) if isinstance(value, tuple) else read
        if isinstance(value, dict) and any(map(_holds_variables, value.values())):
            return {k: self.read(v, layer) for k, v in value.items()}
        return _Operations() if is_backend(value) else value

    def _symbol(self, variable, layer):
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if is_float(dtype) and getattr(variable, "autocast", True) and layer.autocast:
            dtype = layer.compute_dtype
        if id(variable) not in self._symbols:
            self._symbols[id(variable)] = self._trace.variable(variable, dtype)
        return self._symbols[id(variable)]


def _holds_variables(value):
    """Whether a value is a variable, a layer, or a list or dict with one in it."""
    if isinstance(value, list | tuple | dict):
        return any(map(_holds_variables, value.values() if isinstance(value, dict) else value))
    return isinstance(value, keras.Variable | keras.Layer)


def _made(reader, layer):
    class Reading(type(layer)):  # type: ignore[misc]  # what the base is, the user decides
        def __getattribute__(self, name):
            if name == "__class__":
                return type(layer)
            own = object.__getattribute__(self, "__dict__")
            if name == "__dict__":
                return own
            if name in own:
                return own[name]
            try:
                value = getattr(layer, name)
            except CannotOpen:  # a property that computes with variables, such as a normalized kernel
                return inspect.getattr_static(type(layer), name).fget(self)
            if isinstance(value, types.MethodType) and value.__self__ is layer:
                return types.MethodType(value.__func__, self)
            return reader.read(value, layer)

        def __setattr__(self, name, value):
            object.__getattribute__(self, "__dict__")[name] = value

    made = object.__new__(Reading)
    setattr(made, _STANDS_FOR, layer)
    return made
