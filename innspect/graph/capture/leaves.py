"""A layer that is not opened: one node that calls it, with its live variables, when the graph runs.

The shapes of what it makes are those it tells itself, or else those of what it makes of numbers.
"""

import contextlib

import keras
from keras import ops

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.errors import NotAnalyzeableModelError, said
from innspect.graph.capture.layer_calls import has_symbols
from innspect.graph.capture.recognition import Tried
from innspect.graph.capture.refusals import OF_VALUES
from innspect.graph.capture.untouched import called
from innspect.graph.ir import is_float
from innspect.graph.views.activations import Unopened

_LENGTHS = (2, 3)  # that stand for one that is not known


def emit_leaf(trace, layer, call, path, error, kind, view):
    """The symbolic outputs of a layer that is called as a whole.

    Args:
        trace: The `Trace`.
        layer: The layer.
        call: The arguments of the call.
        path: What the layer is called in errors.
        error: Why it could not be opened, or None.
        kind, view: Of the node; a layer without weights that computes a known function gets that function's.
    """
    with _aside(trace):
        spec = _spec(trace, layer, call, path)
    if error is not None and kind == "opaque":
        with _aside(trace):
            known = _known(trace, layer, call, spec)
        if known is not None:
            return trace.recognised(known, called(layer), call.first)
        view = Unopened()
    name = type(layer).__name__
    return trace.emit(kind, called(layer), *call.args, spec=spec, layer=layer, view=view, operation=name, **call.kwargs)


@contextlib.contextmanager
def _aside(trace):
    """Let layers that are called on numbers, or on placeholders of a backend, answer themselves."""
    asking, trace.asking = trace.asking, True
    try:
        yield
    finally:
        trace.asking = asking


def _spec(trace, layer, call, path):
    """The shapes and dtypes of what a layer makes."""
    reason: Exception
    try:
        return layer.compute_output_spec(*call.args, **call.kwargs)
    except Exception as untold:
        reason = untold
        if backend.EAGER:  # else it cannot be compiled either
            try:
                return _tried(layer, call)
            except Exception as error:
                reason = error
        why = trace.unopened.get(path, "")
        remedy = OF_VALUES if "symbolic" in why.lower() else "Give it a `compute_output_spec` method."
        raise NotAnalyzeableModelError(
            f"The layer {path!r} (of type {type(layer).__name__}) can neither be opened into Keras operations "
            f"({why}) nor run on a symbolic tensor. {remedy} Received: {said(reason)}"
        ) from reason


def _tried(layer, call):
    """As `_spec`, by calling the layer on ones, for two lengths in the place of each that is not known."""
    made = []
    for length in _LENGTHS:

        def number(leaf, length=length):
            if not isinstance(leaf, keras.KerasTensor):
                return leaf
            return ops.ones([length if d is None else d for d in leaf.shape], leaf.dtype)

        args, kwargs = keras.tree.map_structure(number, (call.args, call.kwargs))
        with read_only():
            made.append(called(layer)(*args, **kwargs))

    def spec(first, second):
        shape = [a if a == b else None for a, b in zip(first.shape, second.shape, strict=True)]
        return keras.KerasTensor(shape, dtype=keras.backend.standardize_dtype(first.dtype))

    return keras.tree.map_structure(spec, *made)


def _known(trace, layer, call, spec):
    """The function of Keras that a layer without weights computes, or None."""
    x, single = call.first, isinstance(spec, keras.KerasTensor) and isinstance(call.first, keras.KerasTensor)
    others = [leaf for leaf in keras.tree.flatten((call.args, call.kwargs)) if has_symbols(leaf)]
    if not single or len(others) > 1 or layer.variables or x.shape != spec.shape or not is_float(x.dtype):
        return None
    return Tried(called(layer), x.shape, trace.tensor(x).dtype).known
