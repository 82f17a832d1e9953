"""Answering for Keras: while a model is replayed, its layer calls and operations come to the replay, in this thread only.

Keras has no hook for either, so `Layer.__call__`, `Operation.symbolic_call` and `Layer.add_loss` are replaced while at
least one replay runs, in whichever thread, and stand as they were afterwards. Other threads meet what they always met.
"""

import contextlib
import threading

import keras

from innspect.graph.calls import has_symbols
from innspect.graph.lengths import functions

_active = threading.local()
_patch_lock = threading.Lock()
_patch_depth = 0


class CannotOpen(Exception):
    """A layer whose `call` does not run on symbolic tensors."""


class _NoReads(keras.StatelessScope):
    """Catches assignments; refuses reads, whose values would be baked into the graph."""

    def get_current_value(self, variable):
        raise CannotOpen(f"it reads the variable {variable.path!r} outside a Keras operation on its input")


@contextlib.contextmanager
def intercepting(trace):
    """Let `trace` answer every layer call and operation of this thread; losses that layers add are left out."""
    global _patch_depth
    layer_call, symbolic_call, layer_loss = keras.Layer.__call__, keras.Operation.symbolic_call, keras.Layer.add_loss

    def call(layer, *args, **kwargs):
        trace = getattr(_active, "trace", None)
        if trace is None or (trace.asking and not has_symbols((args, kwargs))):
            return layer_call(layer, *args, **kwargs)
        return trace.call(layer, args, kwargs)

    def operate(operation, *args, **kwargs):
        trace = getattr(_active, "trace", None)
        if trace is None:
            return symbolic_call(operation, *args, **kwargs)
        return trace.operate(operation, args, kwargs)

    def add_loss(layer, loss):
        if getattr(_active, "trace", None) is None:
            layer_loss(layer, loss)

    with _patch_lock:
        if _patch_depth == 0:
            intercepting.originals = (layer_call, symbolic_call, layer_loss)
            stand_ins = functions(lambda: getattr(_active, "trace", None))
            intercepting.functions = {name: getattr(keras.ops, name) for name in stand_ins}
            vars(keras.ops).update(stand_ins)
            keras.Layer.__call__, keras.Operation.symbolic_call, keras.Layer.add_loss = call, operate, add_loss
        _patch_depth += 1
    _active.trace = trace
    try:
        with _NoReads(initialize_variables=False):
            yield
    finally:
        _active.trace = None
        with _patch_lock:
            _patch_depth -= 1
            if _patch_depth == 0:
                keras.Layer.__call__, keras.Operation.symbolic_call, keras.Layer.add_loss = intercepting.originals
                vars(keras.ops).update(intercepting.functions)
