"""Answering for Keras: while a model is replayed, its layer calls and operations come to the replay, in this thread only.

Keras has no hook for either, so `Layer.__call__`, `Operation.symbolic_call` and what else `INTERCEPTED` lists are replaced
while at least one thread is listened to, and stand as they were afterwards; so are the places of the backend where functions
pass that bring a gradient of their own, of which Keras knows nothing. Other threads meet what they always met. This is the
one place where anything of Keras or its backend is replaced. While a model is called whose layers write on themselves, what
reads and sets attributes is replaced on their classes too: what this thread writes, this thread alone reads.
"""

import collections
import contextlib
import sys
import threading
from typing import Any

import keras

from innspect import backend
from innspect.graph.capture.custom_gradients import emit_call
from innspect.graph.capture.dynamic_shapes import functions
from innspect.graph.capture.layer_calls import has_symbols
from innspect.graph.capture.writes import Unnoted
from innspect.graph.keras_internals import ATTRIBUTES, INTERCEPTED

OPERATIONS = (keras.ops, sys.modules[keras.ops.shape.__module__.rpartition(".")[0]])  # where layers, and Keras' own, find them

_here = threading.local()
_lock = threading.Lock()


class CannotOpen(Exception):
    """A layer whose `call` does not run on symbolic tensors."""


class Listener:
    """What answers for Keras in one thread; this one lets Keras answer itself."""

    trace: Any = None

    def call(self, original, layer, args, kwargs):
        return original(layer, *args, **kwargs)

    def operate(self, original, operation, args, kwargs):
        return original(operation, *args, **kwargs)

    def add_loss(self, original, layer, loss):
        _writes().add_loss(original, layer, loss)

    def differentiate(self, original, function, args, kwargs, *name):
        return original()


_KERAS, _UNNOTED = Listener(), Unnoted()


def _listener():
    return getattr(_here, "listener", _KERAS)


def _writes():
    return getattr(_here, "writes", _UNNOTED)


class _Replaced:
    """Some methods of Keras that are replaced while at least one thread wants them to be.

    Args:
        which: Of `INTERCEPTED`.
        stand_ins: A function from the originals to what stands in their place.
        functions: What stands for functions of `keras.ops` meanwhile.
    """

    def __init__(self, which, stand_ins, functions=dict):
        self._places, self._stand_ins, self._functions = INTERCEPTED[which], stand_ins, functions
        self._wanted = 0
        self._originals: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def __enter__(self):
        with _lock:
            if self._wanted == 0:
                methods, functions = tuple(getattr(owner, name) for owner, name in self._places), self._functions()
                self._originals = methods, {name: getattr(keras.ops, name) for name in functions}
                self._put(self._stand_ins(*methods), functions)
            self._wanted += 1

    def __exit__(self, *_):
        with _lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._put(*self._originals)

    def _put(self, methods, functions):
        for (owner, name), method in zip(self._places, methods, strict=True):
            setattr(owner, name, method)
        for module in OPERATIONS:
            vars(module).update(functions)


class _Gradients:
    """The places of the backend where functions pass that bring a gradient of their own, replaced likewise."""

    def __init__(self):
        self._wanted = 0
        self._originals: list[tuple[Any, str, Any]] = []

    def __enter__(self):
        with _lock:
            if self._wanted == 0:
                places = backend.custom_gradients(lambda *call: _listener().differentiate(*call))
                self._originals = [(owner, name, vars(owner).get(name)) for owner, name, _ in places]
                self._put(places)
            self._wanted += 1

    def __exit__(self, *_):
        with _lock:
            self._wanted -= 1
            if self._wanted == 0:
                self._put(self._originals)

    @staticmethod
    def _put(attributes):
        """Give owners their own attributes of some names; None takes it away."""
        for owner, name, value in attributes:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


_GRADIENTS = _Gradients()
_CALLS = _Replaced(
    "calls",
    lambda layer_call, symbolic_call: (
        lambda layer, *a, **k: _listener().call(layer_call, layer, a, k),
        lambda operation, *a, **k: _listener().operate(symbolic_call, operation, a, k),
    ),
    lambda: functions(lambda: _listener().trace),
)
_LOSSES = _Replaced(
    "losses",
    lambda add_loss, clear_losses: (
        lambda layer, loss: _listener().add_loss(add_loss, layer, loss),
        lambda layer: _writes().clear_losses(clear_losses, layer),
    ),
)


class _Classes:
    """Classes of layers whose attributes are read and set through `Writes`, while at least one thread wants it."""

    def __init__(self):
        self._wanted: collections.Counter = collections.Counter()
        self._own: dict[type, dict[str, Any]] = {}  # what each class has of its own, not of its bases

    @contextlib.contextmanager
    def replaced(self, classes):
        with _lock:
            for cls in classes:
                if not self._wanted[cls]:
                    self._own[cls] = {name: vars(cls)[name] for name in ATTRIBUTES if name in vars(cls)}
                    for name, method in _of_attributes(*(getattr(cls, name) for name in ATTRIBUTES)).items():
                        setattr(cls, name, method)
                self._wanted[cls] += 1
        try:
            yield
        finally:
            with _lock:
                for cls in classes:
                    self._wanted[cls] -= 1
                    if not self._wanted[cls]:
                        del self._wanted[cls]
                        _put_back(cls, self._own.pop(cls))


def _of_attributes(set_attribute, delete_attribute, read_attribute):
    methods = (
        lambda layer, name, value: _writes().write(set_attribute, layer, name, value),
        lambda layer, name: _writes().write(delete_attribute, layer, name),
        lambda layer, name: _writes().read(read_attribute, layer, name),
    )
    return dict(zip(ATTRIBUTES, methods, strict=True))


def _put_back(cls, own):
    for name in ATTRIBUTES:
        if name in own:
            setattr(cls, name, own[name])
        else:
            delattr(cls, name)


_CLASSES = _Classes()


@contextlib.contextmanager
def _heard_by(listener):
    """Let `listener` answer in this thread."""
    before = _listener()
    with _CALLS, _LOSSES, _GRADIENTS:
        _here.listener = listener
        try:
            yield
        finally:
            _here.listener = before


@contextlib.contextmanager
def noting(writes):
    """Let `Writes` have what this thread writes on layers."""
    before = writes.outer = _writes()
    with _LOSSES, _CLASSES.replaced(writes.classes):
        _here.writes = writes
        try:
            yield
        finally:
            _here.writes = before


class _NoReads(keras.StatelessScope):
    """Catches assignments; refuses reads, whose values would be baked into the graph."""

    def get_current_value(self, variable):
        raise CannotOpen(f"it reads the variable {variable.path!r} outside a Keras operation on its input")


class _Replay(Listener):
    """Every layer call and operation goes to a trace; losses that layers add are left out."""

    def __init__(self, trace):
        self.trace = trace

    def call(self, original, layer, args, kwargs):
        if self.trace.asking and not has_symbols((args, kwargs)):
            return original(layer, *args, **kwargs)
        return self.trace.call(layer, args, kwargs)

    def operate(self, original, operation, args, kwargs):
        return self.trace.operate(operation, args, kwargs)

    def add_loss(self, original, layer, loss):
        pass

    def differentiate(self, original, function, args, kwargs, *name):
        return emit_call(self.trace, function, args, kwargs, *name) if has_symbols((args, kwargs)) else original()


@contextlib.contextmanager
def intercepting(trace):
    """Let `trace` answer every layer call and operation of this thread; losses that layers add are left out."""
    with _heard_by(_Replay(trace)), _NoReads(initialize_variables=False):
        yield


class _Recorder(Listener):
    """Writes down what every layer returns."""

    def __init__(self, outputs):
        self._outputs, self._stack = outputs, []

    def call(self, original, layer, args, kwargs):
        self._stack.append(layer.name)
        path = "/".join(self._stack[1:])
        try:
            result = original(layer, *args, **kwargs)
        finally:
            self._stack.pop()
        self._outputs.setdefault(path, []).append(keras.tree.flatten(result))
        return result


@contextlib.contextmanager
def recording():
    """A dict that gets the outputs of every layer that this thread calls, one list for each call, by path."""
    outputs: dict = {}
    with _heard_by(_Recorder(outputs)):
        yield outputs
