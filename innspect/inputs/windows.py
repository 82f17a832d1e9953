"""Windows that slide over the spatial axes of an input, and sums over the pixels that they cover."""

import math
from collections.abc import Sequence

import numpy as np

from innspect.types import Array


class Windows:
    """The positions of a window.

    Attributes:
        starts: For each axis, where windows begin.
        extent: The window's size.
        grid: Number of positions along each axis.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        window: int | Sequence[int] | None,
        stride: int | Sequence[int] | None,
        border: str,
    ):
        self.size = size
        self.extent = _per_axis(window, size, "window") if window is not None else (max(1, min(size) // 8),) * len(size)
        self._stride = _per_axis(stride, size, "stride") if stride is not None else tuple(max(1, w // 2) for w in self.extent)
        if any(w > n for w, n in zip(self.extent, size, strict=True)):
            raise ValueError(f"`window` must fit into the input, whose spatial axes are {size}. Received: window={window!r}")
        self.starts = [_starts(n, w, s, border) for n, w, s in zip(size, self.extent, self._stride, strict=True)]
        self.grid = tuple(len(s) for s in self.starts)

    def __len__(self) -> int:
        return math.prod(self.grid)

    def covers(self) -> list[Array]:
        """For each axis which positions (positions, length) a window covers; those beyond the border are cut."""
        lengths = [np.arange(n) for n in self.size]
        return [(s[:, None] <= at) & (at < s[:, None] + w) for s, w, at in zip(self.starts, self.extent, lengths, strict=True)]

    def take(self, numbers: Array) -> Array:
        """Masks (windows, *size), False under the window."""
        places = np.unravel_index(numbers, self.grid)
        under = np.ones((len(numbers), *[1] * len(self.size)), bool)
        for axis, (cover, place) in enumerate(zip(self.covers(), places, strict=True)):
            shape = [len(numbers), *[1] * len(self.size)]
            shape[axis + 1] = self.size[axis]
            under = under & cover[place].reshape(shape)
        return ~under

    def spread(self, values: Array) -> Array:
        """Values (..., windows) added up over the positions that each window covers, (..., *size)."""
        lead = values.ndim - 1
        values = values.reshape(*values.shape[:-1], *self.grid)
        for axis, cover in enumerate(self.covers()):
            values = np.moveaxis(np.tensordot(values, cover.astype("float64"), axes=(lead + axis, 0)), -1, lead + axis)
        return values


def _per_axis(given: int | Sequence[int], size: tuple[int, ...], name: str) -> tuple[int, ...]:
    values = (given,) * len(size) if isinstance(given, int | np.integer) else tuple(given)
    if len(values) != len(size):
        raise ValueError(
            f"`{name}` must be a positive integer, or one for each of the {len(size)} spatial axes. Received: {given!r}"
        )
    return tuple(int(v) for v in values)


def _starts(length: int, window: int, stride: int, border: str) -> Array:
    """Where windows begin along an axis: with "clip" until all is covered, with "valid" while they fit."""
    last = length - window
    count = last // stride + 1 if border == "valid" else -(-last // stride) + 1
    starts = np.arange(count) * stride
    return starts[starts < length]
