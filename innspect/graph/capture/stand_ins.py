"""A stand-in for a layer whose `call` reads variables by themselves, such as `ops.cast(self.scale, x.dtype)` or `1 + self.w`.

The value of a variable must not be baked into the graph. While the layer's own methods run on the stand-in, its
variables are symbolic tensors instead: nodes that read the live variable. Preprocessing layers compute with the functions
of a backend, which they hold; on the stand-in these are Keras operations. The layer itself is not touched.
"""

import types

import keras

from innspect.graph.ir import is_float
from innspect.graph.keras_internals import is_backend


class _Operations:
    """Keras operations, in the modules that a backend has them in."""

    numpy = nn = math = linalg = core = keras.ops
    image = keras.ops.image

    def __getattr__(self, name):
        return getattr(keras.ops, name)


def reading(trace, layer):
    """An object that computes as `layer` does, with symbolic tensors where the layer has variables."""
    symbols: dict = {}

    def symbol_of(variable):
        dtype = keras.backend.standardize_dtype(variable.dtype)
        if is_float(dtype) and getattr(variable, "autocast", True) and layer.autocast:
            dtype = layer.compute_dtype
        if id(variable) not in symbols:
            symbols[id(variable)] = trace.variable(variable, dtype)
        return symbols[id(variable)]

    class Reading(type(layer)):  # type: ignore[misc]  # what the base is, the user decides
        def __getattribute__(self, name):
            if name == "__class__":
                return type(layer)
            own = object.__getattribute__(self, "__dict__")
            if name in own:
                return own[name]
            value = getattr(layer, name)
            if isinstance(value, keras.Variable):
                return symbol_of(value)
            if is_backend(value):
                return _Operations()
            if isinstance(value, types.MethodType) and value.__self__ is layer:
                return types.MethodType(value.__func__, self)
            return value

        def __setattr__(self, name, value):
            object.__getattribute__(self, "__dict__")[name] = value

    return object.__new__(Reading)
