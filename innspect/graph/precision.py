"""Computing in float64 what a model has in float64.

On JAX and PyTorch many operations of Keras narrow float64 to float32, since its rules of promotion know no float64 there.
Where a graph is made and where it runs, float64 stays what it is.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import keras

from innspect.backend.compiling import Compiler
from innspect.graph.keras_internals import layers_of
from innspect.graph.keras_promotion import keeping_float64


def in_float64(tensors: Iterable[Any]) -> bool:
    """Whether any of some tensors, variables or specifications is in float64."""
    return any(keras.backend.standardize_dtype(t.dtype) == "float64" for t in tensors if hasattr(t, "dtype"))


def precise(model: keras.Layer, inputs: Any) -> AbstractContextManager[None]:
    """A scope, for this thread, in which what a model has in float64 stays that, if it has anything.

    Args:
        model: A Keras model.
        inputs: What it is given, tensors or specifications of them.
    """
    computing = (layer.compute_dtype for layer in layers_of(model))
    return keeping_float64("float64" in computing or in_float64(keras.tree.flatten(inputs)))


class PreciseCompiler(Compiler):
    """A `Compiler` whose functions compute in float64 where the variables or the first of their arguments are that."""

    def __init__(self, variables: list[keras.Variable]):
        super().__init__(variables)
        self._precise = in_float64(variables)

    def within(self, arguments: Any) -> AbstractContextManager[None]:
        return keeping_float64(self._precise or in_float64(keras.tree.flatten(arguments[:1])))
