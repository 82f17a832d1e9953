"""Where an ascent begins: words and images as arrays for each input, what is moved, and what stays as it is given."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import Inputs, as_numbers
from innspect.synthesis import spaces as moved
from innspect.synthesis.layout import Layout, layout_of
from innspect.synthesis.network import Source
from innspect.types import Array, Nest


@dataclass
class Start:
    """The images to begin with, or a word for them.

    Attributes:
        kind: One of `STARTS`, or "image".
        images: For each free input, where images were given, (samples, *sample).
        fixed: Arrays of the other inputs, by number, and of ids.
        samples: How many images were given; 0 for a word.
    """

    kind: str
    images: list[Array] = field(default_factory=list)
    fixed: dict[int, Array] = field(default_factory=dict)
    samples: int = 0


def start_of(given: Any, source: Source, look_up: Any) -> Start:
    """What `start=` says.

    Args:
        given: A word, or the model's inputs.
        source: The model.
        look_up: A function from the number of an input and its ids, an array, to their vectors.

    Raises:
        ValueError: There is no such word, or inputs of another shape; or a word where some inputs cannot be synthesized.
    """
    opened = source.opened
    if isinstance(given, str):
        if given not in moved.STARTS:
            raise ValueError(f"`start` must be one of {', '.join(map(repr, moved.STARTS))}, or an image. Received: {given!r}")
        missing = [name for i, name in enumerate(opened.names) if i not in source.free]
        if missing:
            raise ValueError(
                f"`start` must hold the model's inputs as arrays, since these cannot be synthesized: {missing}. "
                f"Received: {given!r}"
            )
        return Start(given)
    inputs = Inputs(_batched(given, opened), opened)
    if not inputs.samples:
        raise ValueError("`start` must hold one image at least. Received: none")
    fixed = {i: a for i, a in enumerate(inputs.arrays) if i not in source.free or i in source.embeddings}
    images = [look_up(i, inputs.arrays[i]) if i in source.embeddings else inputs.arrays[i] for i in source.free]
    return Start("image", [np.asarray(a, "float64") for a in images], fixed, inputs.samples)


def _batched(given: Nest, opened: OpenedModel) -> Nest:
    """One sample as a batch of one."""
    if len(opened.specs) > 1 or isinstance(given, list | tuple | dict):
        return given
    array = as_numbers(given, "start")
    return array[None] if array.ndim == len(opened.specs[0].shape) - 1 else array


def shape_of(source: Source, number: int, start: Start, size: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of one sample of what is synthesized.

    Raises:
        ValueError: It is not known.
    """
    if start.images:
        return start.images[source.free.index(number)].shape[1:]
    shape = list(source.tensor(number).shape[1:])
    unknown = [i for i, n in enumerate(shape) if n is None]
    lengths = [int(n) for n in np.atleast_1d(size)] if size is not None else source.built(number, unknown)
    if unknown and len(lengths) != len(unknown):
        raise ValueError(
            f"`size` must have a length for each axis that the model leaves open, of {tuple(shape)} {len(unknown)}. "
            f"Received: {size!r}"
        )
    for axis, length in zip(unknown, lengths, strict=False):
        shape[axis] = length
    return tuple(int(n) for n in shape if n is not None)


def layouts(source: Source, shapes: Sequence[tuple[int, ...]]) -> list[Layout]:
    """Of what is synthesized; vectors of ids are no image."""
    graph = source.opened.graph
    return [
        Layout(shape, 0) if number in source.embeddings else layout_of(graph, number, shape)
        for number, shape in zip(source.free, shapes, strict=True)
    ]


def space_of(kind: str, layout: Layout, within: moved.Range, decay: float, data: Array | None) -> Any:
    """What is moved of an input."""
    if kind == "fourier":
        return moved.Fourier(layout, within, decay, data)
    return moved.Maco(layout, within, data) if kind == "maco" else moved.Pixels(layout, within)


def check_data(data: Any, shape: tuple[int, ...]) -> Array:
    """Data as an array.

    Raises:
        ValueError: Its samples have another shape.
    """
    array = as_numbers(data, "data")
    if array.dtype.kind not in "fiu" or array.shape[1:] != shape or not len(array) or not np.isfinite(array).all():
        raise ValueError(
            f"`data` must hold finite samples, (samples, {', '.join(map(str, shape))}). Received: shape {array.shape}"
        )
    return array


def packed(source: Source, arrays: dict[int, Array]) -> Nest:
    """Arrays for each input in the model's structure."""
    flat = [arrays[i] for i in range(len(source.opened.specs))]
    return keras.tree.pack_sequence_as(source.opened.structure, flat)


def to_array(tensor: Any) -> Array:
    """A tensor as an array of its own."""
    return np.array(backend.to_numpy(tensor))
