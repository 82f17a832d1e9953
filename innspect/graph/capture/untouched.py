"""Calling the user's layers on values, so that no trace of the call is left in them."""

import contextlib

import keras

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.backend.weights import steadily, weights
from innspect.errors import NotAnalyzeableModelError, said
from innspect.graph.capture.interception import noting
from innspect.graph.capture.writes import Writes
from innspect.graph.ir import widened


@contextlib.contextmanager
def untouched(layer):
    """Keep aside what this thread writes on a layer besides its variables: attributes that a call sets, losses that it adds."""
    writes = Writes(layer)
    try:
        with noting(writes):
            yield
    finally:
        writes.take_back()


def called(layer):
    """A function that calls the user's layer on values and leaves no trace in it."""

    def call(*args, **kwargs):
        try:
            with untouched(layer):
                return keras.tree.map_structure(widened, layer(*args, **kwargs))
        except ValueError as error:  # such as Keras raises, of what a layer cannot be given; a lack of memory is none
            if isinstance(error, NotAnalyzeableModelError):
                raise
            raise NotAnalyzeableModelError(
                f"The layer {layer.name!r} (a {type(layer).__name__}), which is called as a whole, does not run on what it is "
                f"given: {said(error)}"
            ) from error

    return call


def predict(model, x):
    """What the model answers to `x`, in the structure that it takes; the model stays as it was."""
    variables = model.variables

    def answer():
        with untouched(model), read_only(variables, weights(variables)), backend.inference():
            return model(x, training=False)

    return steadily(answer)
