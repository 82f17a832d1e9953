"""Crops of samples: what a unit sees of its reference samples, small enough to be kept.

Pictures are reduced by a whole factor where they are large, and kept in 256 steps between their own lowest and highest value;
what is no picture, such as a series, a table's row or a text's ids, is kept as it is.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from innspect.graph.opened.fields import Field
from innspect.types import Array

_LONGEST = 64  # pixels a side


@dataclass(frozen=True)
class Crop:
    """A part of a sample.

    Attributes:
        stored: The numbers, in 256 steps for pictures.
        low, high: What the first and the last step stand for; both 0 where numbers are as they were.
    """

    stored: Array
    low: float = 0.0
    high: float = 0.0

    @property
    def values(self) -> Array:
        """The numbers of the sample, pictures reduced, to a 255th of their range."""
        if self.low == self.high == 0.0:
            return self.stored
        return (self.low + self.stored.astype("float32") * ((self.high - self.low) / 255)).astype("float32")


def _packed(part: Array) -> Crop:
    if part.dtype == np.uint8:
        return Crop(part.copy(), 0.0, 255.0)
    values = np.nan_to_num(part.astype("float64"), posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not low < high:
        low, high = (low if math.isfinite(low) else 0.0), (low if math.isfinite(low) else 0.0) + 1.0
    return Crop(np.round((values - low) * (255 / (high - low))).astype("uint8"), low, high)


@dataclass
class Cutter:
    """Cuts crops from the samples of a batch.

    Args:
        samples: The samples as they were given, (batch, ...).
        seen: What the layer's positions see of them.
    """

    samples: Array
    seen: Field
    _whole: dict[int, Array] = field(default_factory=dict)
    _cut: dict[tuple, Crop] = field(default_factory=dict)

    @property
    def _is_picture(self) -> bool:
        return self.samples.ndim == 4 and self.samples.dtype.kind in "fiub"

    @property
    def _factor(self) -> int:
        first = 1 if self.seen.channels_first else 0
        extent = self.seen.extent or self.samples.shape[1 + first : 3 + first]
        return max(1, math.ceil(max(extent, default=1) / _LONGEST)) if self._is_picture else 1

    def __call__(self, sample: int, position: tuple[int, ...]) -> Crop:
        """The crop of a sample of the batch at a position of the layer."""
        box = self.seen.box(position)
        key = (sample, *((s.start, s.stop) for s in box))
        if key not in self._cut:
            self._cut[key] = self._made(sample, box)
        return self._cut[key]

    def _made(self, sample: int, box: tuple[slice, ...]) -> Crop:
        if not self._is_picture:
            return Crop(self.samples[sample][box].copy())
        factor, first = self._factor, 1 if self.seen.channels_first else 0
        if sample not in self._whole:
            self._whole[sample] = _reduced(self.samples[sample], factor, first)
        axes = (first, first + 1)
        reduced = tuple(
            slice(s.start // factor, max(-(-s.stop // factor), s.start // factor + 1)) if a in axes else s
            for a, s in enumerate(box)
        )
        return _packed(self._whole[sample][reduced])


def _reduced(picture: Array, factor: int, first: int) -> Array:
    """A picture with means of factor x factor pixels in the place of these, fewer at the far edges."""
    if factor == 1:
        return picture
    result = picture.astype("float32")
    for axis in (first, first + 1):
        starts = np.arange(0, picture.shape[axis], factor)
        counts = np.diff([*starts, picture.shape[axis]])
        shape = [-1 if a == axis else 1 for a in range(picture.ndim)]
        result = np.add.reduceat(result, starts, axis=axis) / counts.reshape(shape).astype("float32")
    return np.round(result).astype("uint8") if picture.dtype == np.uint8 else result
