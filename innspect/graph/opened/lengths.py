"""A Sequential model of sequences takes those of any length where its layers do, whatever length it was built with."""

import keras

from innspect.graph.keras_internals import is_of_keras, layers_of


def of_any_length(model: keras.Sequential, spec: keras.KerasTensor) -> keras.KerasTensor:
    """The specification of a model's input, with its length left open where the model answers to sequences of others.

    Keras builds a model that has no `Input` with the first sequences that it is given, and calls it on others all the same.

    Args:
        model: A built Sequential model.
        spec: Of its input, as it was built: ids (samples, length), or vectors (samples, length, features).
    """
    shape = tuple(spec.shape)
    if len(shape) not in (2, 3) or shape[1] is None or not _may_vary(model, shape):
        return spec
    return keras.KerasTensor((None, None, *shape[2:]), dtype=spec.dtype, name=spec.name)


def _may_vary(model: keras.Sequential, shape: tuple[int | None, ...]) -> bool:
    """Whether every layer takes sequences of an unknown length, and the output's shape does not hang on it."""
    every = layers_of(model)
    if any(not is_of_keras(type(layer)) or getattr(layer, "stateful", False) for layer in every):
        return False
    if any(isinstance(layer, keras.layers.Reshape) and -1 not in layer.target_shape for layer in every):
        return False  # it says a shape for whatever it is given
    built, open_ = (None, *shape[1:]), (None, None, *shape[2:])
    try:
        for layer in model.layers:
            if not _accepts(layer, open_):
                return False
            built, open_ = tuple(layer.compute_output_shape(built)), tuple(layer.compute_output_shape(open_))
    except (TypeError, ValueError, NotImplementedError, AttributeError):
        return False
    return None not in open_[1:] and built == open_


def _accepts(layer: keras.Layer, shape: tuple[int | None, ...]) -> bool:
    """Whether no axis that a layer has weights for is left open."""
    axes = getattr(layer.input_spec, "axes", None) or {}
    return all(shape[int(axis)] is not None for axis in axes)
