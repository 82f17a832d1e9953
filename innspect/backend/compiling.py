"""Functions of tensors that read a model's live weights, compiled once for each kind and shape."""

import keras

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
