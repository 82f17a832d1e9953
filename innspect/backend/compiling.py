"""Functions of tensors that read a model's live weights, compiled once for each kind and shape."""

import contextlib
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import keras

from innspect import backend


def read_only(variables: Iterable[keras.Variable] = (), values: Any = ()) -> keras.StatelessScope:
    """A scope in which nothing changes a variable, and in which some have the values given."""
    mapping = list(zip(variables, values, strict=True)) if values else []
    return keras.StatelessScope(state_mapping=mapping, collect_losses=True, initialize_variables=False)


class Compiler:
    """Compiles and keeps functions.

    Args:
        variables: Those that the functions may read. Compiled code is handed their values, never bakes them in, and
            cannot change them.
    """

    def __init__(self, variables: list[keras.Variable]):
        self._variables = variables
        self._made: dict[Hashable, Callable[..., Any]] = {}

    def __call__(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`; `key` says which function this is, so that it is compiled but once."""
        if key not in self._made:
            self._made[key] = backend.compile(self._reading(function))
        return self._made[key](backend.variable_values(self._variables), *arguments)

    def _reading(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(values: Any, *arguments: Any) -> Any:
            with self.within(arguments), read_only(self._variables, values):
                return function(*arguments)

        return run

    def within(self, arguments: Any) -> AbstractContextManager[None]:
        """What a function that is given `arguments` runs within."""
        return contextlib.nullcontext()
