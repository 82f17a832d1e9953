"""Functions of tensors that read a model's live weights, compiled once for each kind and shape."""

import contextlib
import gc
import threading
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import keras

from innspect import backend
from innspect.backend.weights import steadily, weights

_KEPT = 32  # of the functions of one compiler; every neuron given as a function is one


def read_only(variables: Iterable[keras.Variable] = (), values: Any = ()) -> keras.StatelessScope:
    """A scope in which nothing changes a variable, and in which some have the values given."""
    mapping = list(zip(variables, values, strict=True)) if values else []
    return keras.StatelessScope(state_mapping=mapping, collect_losses=True, initialize_variables=False)


class Compiler:
    """Compiles and keeps functions, the last `_KEPT` that were used.

    Args:
        variables: Those that the functions may read. Compiled code is handed their values, never bakes them in, and
            cannot change them.
    """

    def __init__(self, variables: list[keras.Variable]):
        self._variables = variables
        self._made: dict[Hashable, Callable[..., Any]] = {}
        self._dropped, self._lock = 0, threading.Lock()

    def __call__(self, key: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`; `key` says which function this is, so that it is compiled but once."""
        made = self._kept(key, function)
        return steadily(lambda: made(weights(self._variables), *arguments))

    def _kept(self, key: Hashable, function: Callable[..., Any]) -> Callable[..., Any]:
        with self._lock:
            made = self._made.pop(key, None) or backend.compile(self._reading(function))
            self._made[key] = made  # behind all others
            if len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
                self._dropped += 1
                if self._dropped % _KEPT == 0:
                    gc.collect()  # TensorFlow's functions refer to themselves, and are too few to be collected in time
            return made

    def _reading(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(values: Any, *arguments: Any) -> Any:
            with self.within(arguments), read_only(self._variables, values):
                return function(*arguments)

        return run

    def within(self, arguments: Any) -> AbstractContextManager[None]:
        """What a function that is given `arguments` runs within."""
        return contextlib.nullcontext()
