"""Answering for Keras: while a model is replayed, its layer calls and operations come to the replay, in this thread only.

Keras has no hook for either, so `Layer.__call__`, `Operation.symbolic_call` and `Layer.add_loss` are replaced while at
least one thread is listened to, and stand as they were afterwards; so are the places of the backend where functions pass
that bring a gradient of their own, of which Keras knows nothing. Other threads meet what they always met. This is the one
place where anything of Keras or its backend is replaced.
"""

import contextlib
import threading
from typing import Any

import keras

from innspect import backend
from innspect.graph.capture.custom_gradients import emit_call
from innspect.graph.capture.dynamic_shapes import functions
from innspect.graph.capture.layer_calls import has_symbols
from innspect.graph.keras_internals import INTERCEPTED

_here = threading.local()
_lock = threading.Lock()
_listening = 0
_originals: dict = {}


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
        original(layer, loss)

    def differentiate(self, original, function, args, kwargs, *name):
        return original()


_KERAS = Listener()


def _listener():
    return getattr(_here, "listener", _KERAS)


@contextlib.contextmanager
def _heard_by(listener):
    """Let `listener` answer in this thread."""
    before = _listener()
    _patch()
    _here.listener = listener
    try:
        yield
    finally:
        _here.listener = before
        _unpatch()


def _patch():
    global _listening
    with _lock:
        if _listening == 0:
            layer_call, symbolic_call, add_loss = (getattr(owner, name) for owner, name in INTERCEPTED)
            stand_ins = functions(lambda: _listener().trace)
            _originals["functions"] = {name: getattr(keras.ops, name) for name in stand_ins}
            _originals["methods"] = layer_call, symbolic_call, add_loss
            vars(keras.ops).update(stand_ins)
            stand_in_methods = (
                lambda layer, *a, **k: _listener().call(layer_call, layer, a, k),
                lambda operation, *a, **k: _listener().operate(symbolic_call, operation, a, k),
                lambda layer, loss: _listener().add_loss(add_loss, layer, loss),
            )
            _replace(stand_in_methods)
            by_hand = backend.custom_gradients(lambda *call: _listener().differentiate(*call))
            _originals["gradients"] = [(owner, name, vars(owner).get(name)) for owner, name, _ in by_hand]
            _place(by_hand)
        _listening += 1


def _unpatch():
    global _listening
    with _lock:
        _listening -= 1
        if _listening == 0:
            _replace(_originals.pop("methods"))
            vars(keras.ops).update(_originals.pop("functions"))
            _place(_originals.pop("gradients"))


def _replace(methods):
    for (owner, name), method in zip(INTERCEPTED, methods, strict=True):
        setattr(owner, name, method)


def _place(attributes):
    """Give owners their own attributes of some names; None takes it away."""
    for owner, name, value in attributes:
        if value is None:
            delattr(owner, name)
        else:
            setattr(owner, name, value)


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
