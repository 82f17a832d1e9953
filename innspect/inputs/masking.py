"""What hides an input: masks, what stands where it is hidden, and where its axes are."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from innspect.checks import Finite
from innspect.graph.opened.taking import taken
from innspect.inputs.batches import as_numbers
from innspect.inputs.upsampling import interpolation
from innspect.types import Array

_CELLS = 2**28  # of all random masks, a byte each


class Masks(Protocol):
    """The masks of one input: random, given, or under a window."""

    @property
    def extent(self) -> tuple[int, ...]:
        """The size of what they hide, along each spatial axis."""

    def __len__(self) -> int: ...

    def take(self, numbers: Array) -> Array:
        """Masks (masks, *spatial axes), 1 where the input is kept."""


@dataclass(frozen=True)
class Axes:
    """The axes of one input, (samples, ...).

    Attributes:
        spatial: Those that masks have.
        channel: The channel axis, or None.
        size: Lengths of the spatial axes.
    """

    spatial: tuple[int, ...]
    channel: int | None
    size: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], channel: int | None) -> "Axes":
        """From the input's shape and the number of its channel axis, or None."""
        spatial = tuple(a for a in range(1, len(shape)) if a != channel)
        return cls(spatial, channel, tuple(shape[a] for a in spatial))

    def spread(self, masks: Array) -> Array:
        """Masks (masks, *spatial) with axes for samples and channels, (masks, 1, ...)."""
        return np.expand_dims(masks, (1,) if self.channel is None else (1, 1 + self.channel))


def fill(value: Any, x: Array, axes: Axes, extent: tuple[int, ...]) -> Array:
    """What hides the samples `x`: an array that broadcasts to them.

    Args:
        value: A number, one for each channel, an array of a sample's shape, "mean" or "blur"; where the samples hold
            strings, a string, and the empty one for a number.
        x: Array (batch, ...).
        axes: Its `Axes`.
        extent: For "blur", the size of what is hidden along each spatial axis.
    """
    if x.dtype.kind in "OSU":
        return np.full((1,) * x.ndim, value if isinstance(value, str) else "")
    if isinstance(value, str) and value == "mean":
        return x.mean(axis=axes.spatial, keepdims=True).astype(x.dtype)
    if isinstance(value, str) and value == "blur":
        return _blurred(x, axes.spatial, extent)
    array = None if isinstance(value, str) or value is None else as_numbers(value, "value")
    if array is None or not (array.dtype.kind == "b" or Finite().holds(array)):
        raise ValueError(
            "`value` must be a finite number, a sequence with one for each channel, an array of a sample's shape, 'mean' or "
            f"'blur'. Received: {value!r}"
        )
    if array.ndim == 0:
        return array.reshape((1,) * x.ndim).astype(x.dtype)
    shape = taken(array.shape, x.shape[1:])
    if shape == x.shape[1:]:
        return array.reshape(1, *shape).astype(x.dtype)
    if axes.channel is not None and array.shape == (x.shape[axes.channel],):
        return array.reshape([-1 if a == axes.channel else 1 for a in range(x.ndim)]).astype(x.dtype)
    raise ValueError(
        f"`value` must be a number, one for each channel, or an array of a sample's shape {x.shape[1:]}. "
        f"Received: shape {array.shape}"
    )


def _blurred(x: Array, axes: tuple[int, ...], extent: tuple[int, ...]) -> Array:
    """`x` smoothed by a Gaussian whose deviation is half of what is hidden; weights at the border sum to 1."""
    y = x.astype("float64")
    for axis, width in zip(axes, extent, strict=True):
        places = np.arange(x.shape[axis])
        weights = np.exp(-0.5 * ((places[:, None] - places) / (width / 2)) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        y = np.moveaxis(np.tensordot(weights, y, axes=(1, axis)), 0, axis)
    return y.astype(x.dtype)


class RandomMasks:
    """Smooth random masks: coarse random grids, enlarged and shifted.

    Only the grids and shifts are kept; the masks are made when they are taken, so that any number of them needs little
    memory, and they are the same however they are taken.

    Args:
        size: Lengths of the spatial axes.
        number: How many masks.
        grid: Cells along each axis.
        probability: Of a cell to be kept; the mean of every pixel of the masks.
        seed: The same seed gives the same masks.
    """

    def __init__(self, size: tuple[int, ...], number: int, grid: int, probability: float, seed: int | None):
        if number * grid ** len(size) > _CELLS:
            raise ValueError(
                f"`num_masks` times `grid` along each axis must be at most {_CELLS} cells. Received: {number} masks of "
                f"{grid} cells along {len(size)} axes"
            )
        random = np.random.default_rng(seed)
        self._size = size
        self.extent = tuple(-(-n // grid) for n in size)  # rounded up, so that a shifted crop stays inside
        self._grids = random.random((number, *[grid] * len(size)), "float32") < probability
        self._shifts = np.stack([random.integers(0, cell, number) for cell in self.extent], axis=1)
        self._matrices = [interpolation(grid, (grid + 1) * cell) for cell in self.extent]

    def __len__(self) -> int:
        return len(self._grids)

    def take(self, numbers: Array) -> Array:
        """Masks (masks, *size), from 0 where the input is hidden to 1 where it is kept."""
        masks = self._grids[numbers].astype("float64")
        for axis, (n, matrix) in enumerate(zip(self._size, self._matrices, strict=True)):
            rows = self._shifts[numbers, axis][:, None] + np.arange(n)
            moved = np.moveaxis(masks, axis + 1, -1)
            shape = moved.shape[1:-1]
            moved = moved.reshape(len(numbers), -1, moved.shape[-1]) @ np.swapaxes(matrix[rows], 1, 2)
            masks = np.moveaxis(moved.reshape(len(numbers), *shape, n), -1, axis + 1)
        return masks


class GivenMasks:
    """Masks that the user gave."""

    def __init__(self, masks: Any, size: tuple[int, ...]):
        given = as_numbers(masks, "masks")
        if given.dtype.kind not in "fiub" or not ((given >= 0) & (given <= 1)).all():
            raise ValueError(f"`masks` must hold numbers between 0, hidden, and 1, kept. Received: {masks!r}")
        given = given if given.dtype == "float64" else given.astype("float32")
        self._masks = given.reshape(taken(given.shape, (None, *size)) or given.shape)
        if self._masks.shape[1:] != tuple(size) or not len(self._masks):
            raise ValueError(
                f"`masks` must hold masks of the input's spatial axes, {('masks', *size)}. Received: shape {self._masks.shape}"
            )
        self.extent = tuple(max(1, n // 7) for n in size)

    def __len__(self) -> int:
        return len(self._masks)

    def take(self, numbers: Array) -> Array:
        return self._masks[numbers]
