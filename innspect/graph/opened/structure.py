"""What a model is called with and what it returns: specifications of its inputs, names of its outputs."""

import inspect
import os
import reprlib
from typing import Any

import keras

from innspect import backend
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.refusals import OF_VALUES
from innspect.graph.keras_internals import shapes_by_argument
from innspect.graph.opened.lengths import of_any_length
from innspect.nests import leaves


def input_structure(model: keras.Layer) -> Any:
    """The specifications (`keras.KerasTensor`) of what the model's `call` is given, in its structure.

    Raises:
        ValueError: They are not known.
    """
    if hasattr(model, "input_specs"):
        return model.input_specs
    if isinstance(model, keras.Sequential):
        try:
            return of_any_length(model, model.inputs[0])
        except AttributeError:
            pass
    elif hasattr(model, "inputs") and not callable(model.inputs):
        return model.input
    config, shapes = model.get_build_config() or {}, shapes_by_argument(model)
    if shapes is not None:  # `build` takes a shape for each argument of `call`
        return {name.removesuffix("_shape"): _specs_of(shape) for name, shape in shapes.items()}
    needed = _required_arguments(model.call)
    if len(needed) > 1:
        raise ValueError(f"{_several_arguments(model, needed)} Received: a model with call({', '.join(needed)})")
    if config.get("input_shape") is None:
        raise ValueError(_no_shape(model))
    return _specs_of(config["input_shape"])


def unknown_arguments(model: keras.Layer, names: list[str]) -> str:
    """What is to be done where inputs are given by the names of arguments of `call` whose shapes Keras has not kept.

    Returns:
        A sentence; "" where a name is no argument of `call`, or Keras knows what the model takes.
    """
    arguments = inspect.signature(model.call).parameters
    if knows_its_inputs(model) or not all(name in arguments for name in names):
        return ""
    return _several_arguments(model, names)


def knows_its_inputs(model: keras.Layer) -> bool:
    """Whether a model was made of its inputs, so that Keras knows their names, dtypes and shapes: a functional one."""
    return hasattr(model, "operations")


def _several_arguments(model: keras.Layer, names: list[str]) -> str:
    return (
        f"The model {model.name!r} is called with several arguments, of which Keras keeps the shape of the first only. "
        f"Give it a method `build(self, {', '.join(f'{name}_shape' for name in names)})`, or wrap it in a functional "
        f"model: `keras.Model(inputs, model(**inputs))`, with `inputs` a dict of `keras.Input` for {', '.join(names)}."
    )


def _required_arguments(call: Any) -> list[str]:
    parameters = inspect.signature(call).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "training"]


def _no_shape(model: keras.Layer) -> str:
    """What is to be done where Keras has not kept a shape: nobody has called the model, or it could not be traced then."""
    return (
        f"The input shape of the model {model.name!r} is not known, though it is built: its `call` could not be traced then. "
        f"{OF_VALUES} Then call the model on data, or `model.build(input_shape)`."
    )


def _specs_of(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: _specs_of(s) for key, s in shape.items()}
    if all(d is None or isinstance(d, int) for d in shape):
        return keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx(), name="input")
    return [_specs_of(s) for s in shape]


def check_strings(model: keras.Layer, specs: list[keras.KerasTensor]) -> None:
    """Raise where a model takes strings, and the backend has none."""
    if not backend.HAS_STRINGS and any(spec.dtype == "string" for spec in specs):
        raise NotAnalyzeableModelError(
            f"The model {model.name!r} takes strings, which only TensorFlow has tensors of. Look them up before the model, and "
            f"explain the model behind it, or run Keras on TensorFlow. Received: the backend {keras.backend.backend()!r}"
        )


def of_strings(model: keras.Layer) -> str:
    """What is to be done where a model takes strings, and Keras does not know it."""
    return (
        f"The model {model.name!r} is no functional one, so Keras has not kept which dtype it takes. To explain it on strings, "
        'make it functional: `x = keras.Input(shape, dtype="string")`, `keras.Model(x, model.call(x))`.'
    )


def output_places(returned: Any) -> list[int]:
    """Which leaves of what a model's `call` returned for symbolic tensors are its outputs: the tensors.

    None, numbers and arrays beside them are not: they tell nothing of the input.
    """
    return [i for i, (_, leaf) in enumerate(leaves(returned)) if isinstance(leaf, keras.KerasTensor)]


def output_names(model: keras.Layer, returned: Any) -> list[str]:
    """Names of the outputs, in the order in which their values are flattened.

    Those by which a dict has them, "outer/inner" within another one; else those that Keras gives, or their numbers.
    """
    paths = [path for path, leaf in leaves(returned) if isinstance(leaf, keras.KerasTensor)]
    if all(len(path) == 1 and isinstance(path[0], str) for path in paths):
        return [str(path[0]) for path in paths]
    names = getattr(model, "output_names", None)
    if names and len(names) == len(paths):
        return list(names)
    if any(isinstance(key, str) for path in paths for key in path):
        return ["/".join(map(str, path)) for path in paths]
    return [f"output_{i}" for i in range(len(paths))]


def check_model(model: Any) -> None:
    """Raise where `model` is no built Keras model."""
    if not isinstance(model, keras.Layer):
        raise TypeError(f"`model` must be a Keras 3 model (an instance of `keras.Model`). Received: {no_model(model)}")
    if not model.built:
        raise ValueError(
            f"`model` {model.name!r} is not built, so it has no weights to explain. Call it once on data, or "
            "`model.build(input_shape)`, before creating an analyzer."
        )


def no_model(given: Any) -> str:
    """What was given in a model's place, and what is to be done about it."""
    kind = f"{type(given).__module__}.{type(given).__name__}".removeprefix("builtins.")
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return f"an array ({kind}) of shape {tuple(given.shape)}. The model comes before the samples"
    if isinstance(given, str | os.PathLike) and str(given).endswith((".keras", ".h5")):
        return f"the name of a file, {str(given)!r}. Load it: keras.saving.load_model({str(given)!r})"
    return f"model={reprlib.repr(given)} (of type {kind})"
