"""The structure in which users hand inputs to a model: one array, lists, dicts, tables; flat arrays of it, and the way back."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.opened.structure import knows_its_inputs, unknown_arguments
from innspect.graph.opened.taking import batch_taken, fits
from innspect.types import Array, Nest

Pack = Callable[[list[Array]], Nest]  # from flat arrays to the structure that the user's inputs had


def flattened(x: Nest, opened: OpenedModel) -> tuple[list[Any], Pack]:
    """What is given for each input, and a function that packs a flat list in the structure of `x`.

    Raises:
        ValueError: `x` has another structure than the model's inputs.
    """
    count, structure, names = len(opened.specs), opened.structure, opened.names
    x = _of_table(x, opened)
    within = structure.values() if isinstance(structure, dict) else structure if isinstance(structure, list | tuple) else ()
    if any(map(keras.tree.is_nested, within)):
        return _flatten_nested(x, structure)
    if isinstance(structure, dict) or (isinstance(x, dict) and count >= 1):
        return _flatten_dict(x, opened)
    if count == 1:
        if isinstance(x, list | tuple) and len(x) == 1 and hasattr(x[0], "shape") and _is_batch(x[0], opened.specs[0]):
            kind: Pack = type(x)
            return [x[0]], lambda arrays: kind(arrays)
        return [x], lambda arrays: arrays[0]
    if not isinstance(x, list | tuple) or len(x) != count:
        received = f"{type(x).__name__} of {len(x)}" if isinstance(x, list | tuple) else type(x).__name__
        raise ValueError(f"`x` must be a list of {count} arrays, one for each input {names}. Received: {received}")
    return list(x), list


def _flatten_nested(x: Nest, structure: Nest) -> tuple[list[Any], Pack]:
    """Of a model whose inputs are nested deeper than in one list or dict."""
    wanted = keras.tree.map_structure(lambda spec: (None, *spec.shape[1:]), structure)
    try:
        keras.tree.assert_same_structure(structure, x)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`x` must have the structure of the model's inputs, of shapes {wanted}. Received: {x!r:.200}"
        ) from error
    return keras.tree.flatten(x), lambda arrays: keras.tree.pack_sequence_as(structure, arrays)


def _is_batch(array: Any, spec: keras.KerasTensor) -> bool:
    """Whether an array alone in a list holds all samples, and is not one of them."""
    shape, expected = tuple(array.shape), tuple(spec.shape)
    return len(shape) == len(expected) or (batch_taken(shape, expected) is not None and not fits(shape, expected[1:]))


def _of_table(x: Any, opened: OpenedModel) -> Any:
    """A table, such as a pandas DataFrame: an array for a model of one input, else its columns by name."""
    if not (hasattr(x, "columns") and hasattr(x, "__array__")):
        return x
    columns = {str(name): x[name] for name in x.columns}
    named = isinstance(opened.structure, dict) and set(opened.structure) <= set(columns)
    return columns if named or len(opened.specs) > 1 else np.asarray(x)


def _flatten_dict(x: Nest, opened: OpenedModel) -> tuple[list[Any], Pack]:
    structure = opened.structure
    names = list(structure) if isinstance(structure, dict) else opened.names
    if isinstance(x, dict):
        _check_names(x, names, opened)
        order = keras.tree.flatten({n: n for n in names}) if isinstance(structure, dict) else names
        return [x[n] for n in order], lambda arrays: dict(zip(order, arrays, strict=True))
    order = keras.tree.flatten({n: n for n in names})
    values = [x] if len(order) == 1 and not isinstance(x, list | tuple) else x
    if not isinstance(values, list | tuple) or len(values) != len(order):
        raise ValueError(f"`x` must be a dict with the inputs {names}. Received: {type(x).__name__}")
    return [values[names.index(n)] for n in order], lambda arrays: [arrays[order.index(n)] for n in names]


def _check_names(x: dict[str, Any], names: list[str], opened: OpenedModel) -> None:
    """What a functional model does not take it leaves aside; others may read it."""
    missing, unknown = [n for n in names if n not in x], [k for k in x if k not in names]
    if missing or (unknown and not knows_its_inputs(opened.model)):
        remedy = unknown_arguments(opened.model, list(x))
        raise ValueError(
            f"`x` must be a dict with the inputs {names}.{f' {remedy}' if remedy else ''} Received: a dict with {list(x)}"
        )
