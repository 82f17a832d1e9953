"""The weights of a model that may be trained in another thread: what is computed from them is computed from one state.

Requirements of the design:

- Where nobody trains it costs nothing: weights are read live, and only afterwards is it asked whether they were moved.
- Where they were, the work is done again, on copies that were taken while they stood still.
- Where they do not stand still, or are nowhere to be read, as in the middle of `fit` on JAX, an error says so.

TensorFlow's functions read the variables themselves, so there the unit is the single function, and nothing is done here.

Other values can be handed in for the weights (`handing`): what is compiled takes values as arguments, so that nothing is made
anew, and nobody else sees them. On TensorFlow a function that takes them is made beside the one that reads, once.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import keras

from innspect import backend
from innspect.types import Tensors

T = TypeVar("T")

_PATIENCE = 1.0  # seconds


class _Moving(Exception):
    """The weights cannot be read as they were at one time."""


class _Weights:
    """Values of variables, each read once.

    Args:
        variables: Those that are read at once, and copied.
    """

    def __init__(self, variables: Iterable[keras.Variable] = ()):
        self.variables = {id(v): v for v in variables}
        self._copies = bool(self.variables)
        self._values: dict[int, Any] = {}
        self._marks: list[tuple[Tensors, Any]] = []

    def begin(self) -> None:
        """Copy what is to be copied."""
        if self._copies:
            self._read(list(self.variables.values()))

    def of(self, variables: list[keras.Variable]) -> Tensors:
        """What a compiled function must be handed to see these variables."""
        new = [v for v in variables if id(v) not in self._values]
        if new:
            self.variables.update((id(v), v) for v in new)
            self._read(new)
        handed = getattr(_here, "handed", None)
        values = [self._values[id(v)] for v in variables] if self._values else []
        return values if handed is None else handed.among(variables, values)

    def _read(self, variables: list[keras.Variable]) -> None:
        values = backend.variable_values(variables)
        if values is not None:
            marks = backend.marks(values)
            values = backend.copies(values) if self._copies else values
        if values is None:
            raise _Moving
        self._values.update(zip(map(id, variables), values, strict=False))
        if not self._copies:
            self._marks.append((values, marks))

    def moved(self) -> bool:
        """Whether what was read live is not what it was."""
        return any(backend.marks(values) != marks for values, marks in self._marks)


class Handed:
    """Values that stand for those of some variables, for whoever explains within `handing`.

    Args:
        values: Pairs of a variable and a tensor of its shape and dtype.

    Attributes:
        asked: Whether anything has read one of them.
    """

    def __init__(self, values: Iterable[tuple[keras.Variable, Any]]):
        self._values = {id(variable): (variable, value) for variable, value in values}
        self.asked = False

    def among(self, variables: list[keras.Variable], live: Tensors) -> Tensors:
        """The values of variables: these, and of the others the live ones."""
        if not any(id(v) in self._values for v in variables):
            return live
        self.asked = True
        own = [v for v in variables if id(v) not in self._values]
        known = (variables, live) if live else (own, backend.current_values(own))
        others = {id(v): value for v, value in zip(*known, strict=True)}
        return [self._values[id(v)][1] if id(v) in self._values else others[id(v)] for v in variables]


_here = threading.local()


@contextlib.contextmanager
def handing(values: Iterable[tuple[keras.Variable, Any]]) -> Iterator[Handed]:
    """A scope, for this thread, in which all that is explained sees other values in the place of some variables' own.

    The variables are not written to, so there is nothing to put back, whatever happens within.
    """
    before = getattr(_here, "handed", None)
    handed = Handed(values)
    try:
        _here.handed = handed
        yield handed
    finally:
        _here.handed = before


def are_handed() -> bool:
    """Whether this is within `handing`."""
    return getattr(_here, "handed", None) is not None


def weights(variables: list[keras.Variable]) -> Tensors:
    """Within `steadily`: what a compiled function must be handed to see the variables, as they were when first asked for."""
    return _here.weights.of(variables)


def steadily(function: Callable[[], T]) -> T:
    """The result of a function that reads weights, for which they are the same from its beginning to its end.

    Raises:
        RuntimeError: They do not stand still.
    """
    if getattr(_here, "weights", None) is not None:
        return function()
    read = _Weights()
    began = time.monotonic()
    while True:
        _here.weights = read
        try:
            read.begin()
            result = function()
            if not read.moved():
                return result
        except _Moving:
            if time.monotonic() - began > _PATIENCE:
                raise RuntimeError(_EXPLAINED) from None
            time.sleep(0.002)
        except Exception:
            if not read.moved():
                raise
        finally:
            _here.weights = None
        read = _Weights(read.variables.values())


_EXPLAINED = (
    "The model is being trained while it is explained, and its weights could not be read as they were at one time. Explain it "
    "between two steps, such as in a callback at the end of an epoch, or explain a copy of it. On JAX `fit` keeps the weights "
    "to itself within an epoch: there a callback at the end of a batch calls `model.jax_state_sync()` first."
)
