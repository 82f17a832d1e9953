"""Functions of tensors that read a model's live weights, compiled once for each kind and shape."""

import keras
from keras import ops

from innspect import backend


class Compiler:
    """Compiles and keeps functions.

    Args:
        variables: Those that the functions may read. Compiled code is handed their values, never bakes them in, and
            cannot change them.
    """

    def __init__(self, variables):
        self._variables, self._made = variables, {}

    def __call__(self, key, function, *arguments):
        """`function(*arguments)`; `key` says which function this is, so that it is compiled but once."""
        if key not in self._made:
            self._made[key] = backend.compile(self._reading(function))
        return self._made[key](backend.variable_values(self._variables), *arguments)

    def _reading(self, function):
        def run(values, *arguments):
            mapping = zip(self._variables, values, strict=True) if values else []
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True, initialize_variables=False):
                return function(*arguments)

        return run


def values_of(selection, weights, y):
    """The explained values of several versions of each sample.

    Args:
        selection: The `Selection`.
        weights: Its weights at the samples as they are, (batch, *output axes).
        y: Outputs for the versions, (versions * batch, *output axes), versions first.

    Returns:
        (versions, batch).
    """
    batch = weights.shape[0]
    if selection.kind == "callable":
        return ops.reshape(selection.function(y), (-1, batch))
    weighted = ops.reshape(y, (-1, *weights.shape)) * weights[None]
    return ops.sum(ops.reshape(weighted, (weighted.shape[0], batch, -1)), axis=2)


def repeated(x, versions):
    """`x` (batch, ...) as (versions * batch, ...), versions first."""
    return ops.reshape(ops.broadcast_to(x[None], (versions, *x.shape)), (versions * x.shape[0], *x.shape[1:]))
