"""Nests of lists, dicts and arrays: joined along an axis, and as a description in JSON with the arrays put aside."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from innspect.types import Array, Nest


def joined(nests: Iterable[Nest], axis: int = 0) -> Nest:
    """Nests of one structure, arrays in them, as one: the arrays concatenated along an axis."""
    import keras  # not above: pictures are drawn without it

    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays, axis), *nests)


class Gathered:
    """Nests of one structure, as `joined` gives them, put into arrays that are made once: none is held beside the whole.

    Args:
        samples: How many there are in all, along the axis.
        axis: The axis.

    Attributes:
        whole: The nest; None before the first is added. Where an entry is None in one nest, it is None in all.
    """

    def __init__(self, samples: int, axis: int = 0):
        self._samples, self._lead, self._done = samples, (slice(None),) * axis, 0
        self.whole: Nest = None

    def add(self, nest: Nest, count: int) -> None:
        """Put a nest of the next samples, so many, behind the others; what it holds beyond these is left out."""
        import keras

        at, counted = ((*self._lead, slice(first, first + count)) for first in (self._done, 0))
        axis = len(self._lead)

        def room(part: Array) -> Array:
            return np.empty((*part.shape[:axis], self._samples, *part.shape[axis + 1 :]), part.dtype)

        def put(whole: Array, part: Array) -> Array:
            if whole.dtype != part.dtype:
                whole = whole.astype(np.result_type(whole, part))
            whole[at] = part[counted]
            return whole

        if not self._done:
            self.whole = None if nest is None else keras.tree.map_structure(room, nest)
        self._done += count
        if self.whole is not None:
            self.whole = None if nest is None else keras.tree.map_structure(put, self.whole, nest)


def by_input(nest: Nest) -> dict[str, Any]:
    """(name, entry) for every input of a nest; a single one needs no name."""
    if isinstance(nest, dict):
        return {str(name): entry for name, entry in nest.items()}
    if isinstance(nest, list | tuple):
        return {f"input {i}": entry for i, entry in enumerate(nest)}
    return {"": nest}


def leaves(nest: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """What is in lists, tuples, mappings and data classes: pairs of the keys that lead to a leaf, and the leaf.

    In the order of `keras.tree.flatten`: a dict's by its keys. Other mappings, which that takes for leaves, keep their own.
    """
    if isinstance(nest, Mapping):
        ordered = sorted(nest) if type(nest) is dict and all(isinstance(key, str) for key in nest) else list(nest)
        items: Iterable[tuple[Any, Any]] = ((key, nest[key]) for key in ordered)
    elif isinstance(nest, tuple) and hasattr(nest, "_fields"):
        items = zip(nest._fields, nest, strict=True)
    elif isinstance(nest, list | tuple):
        items = enumerate(nest)
    elif is_dataclass(nest) and not isinstance(nest, type):
        items = ((field.name, getattr(nest, field.name)) for field in fields(nest))
    else:
        yield path, nest
        return
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def packed(value: Any, arrays: dict[str, Array], other: Callable[[Any], dict] | None = None) -> Any:
    """A nest as JSON.

    Args:
        value: Lists, tuples and dicts of arrays, numbers, strings and None.
        arrays: A dict that takes the arrays.
        other: A function for what is none of these: from such a value to a dict whose first key says what it is.
    """
    if isinstance(value, np.ndarray | np.generic):
        key = f"array_{len(arrays)}"
        arrays[key] = np.asarray(value)
        return {"array": key}
    if isinstance(value, dict):
        return {"dict": [[packed(k, arrays, other), packed(v, arrays, other)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [packed(v, arrays, other) for v in value]}
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if other is None:
        raise TypeError(f"Expected numbers, strings, arrays, or nests of them. Received: {value!r}")
    return other(value)


def unpacked(described: Any, arrays: Mapping[str, Array], other: Callable[[dict], Any] | None = None) -> Any:
    """The nest of which `packed` gave the description; `other` takes a dict that says it is something else."""
    if not isinstance(described, dict):
        return described
    if "array" in described:
        array = arrays[described["array"]]
        return array if array.ndim else array[()]
    if "dict" in described:
        return {unpacked(k, arrays, other): unpacked(v, arrays, other) for k, v in described["dict"]}
    for kind, made in (("tuple", tuple), ("list", list)):
        if kind in described:
            return made(unpacked(v, arrays, other) for v in described[kind])
    if other is None:
        raise TypeError(f"Expected numbers, strings, arrays, or nests of them. Received: {described!r}")
    return other(described)
