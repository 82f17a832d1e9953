"""What is known of the channels of one layer: their best samples, of all and of each class, and means.

Requirements of the design:

- Nothing depends on the order of samples: sums carry what their additions rounded off, so that a mean is the same to the
  last bit but for one case in very many.
- Memory is bounded by channels, classes and places, whatever number of samples comes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from innspect.concepts.best import Best
from innspect.concepts.crops import Crop, Cutter
from innspect.graph.opened.fields import Field
from innspect.types import Array


@dataclass
class Part:
    """The samples of one class, or all.

    Attributes:
        count: How many.
        total, error: The sum of their values, and what its additions rounded off, float64 (channels,).
        best: The `Best`.
    """

    count: int
    total: Array
    error: Array
    best: Best

    @classmethod
    def none(cls, channels: int, top: int, axes: int, dtype: str) -> "Part":
        return cls(0, np.zeros(channels), np.zeros(channels), Best.none(channels, top, axes, dtype))

    def add(self, values: Array, ids: Array, positions: Array) -> Array:
        """Take samples, as `Best.offered` does, whose second result it returns."""
        for value in values.astype("float64"):
            self._sum(value, 0.0)
        self.count += len(values)
        self.best, whence = self.best.offered(values, ids, positions)
        return whence

    def _sum(self, value: Array, rounded: Array | float) -> None:
        total = self.total + value
        part = total - self.total
        self.error = self.error + ((self.total - (total - part)) + (value - part)) + rounded
        self.total = total

    def merged(self, other: "Part") -> tuple["Part", Array]:
        """Both together, and where each of the best was."""
        best, whence = self.best.joined(other.best, self.best.values.shape[1])
        made = Part(self.count + other.count, self.total, self.error, best)
        made._sum(other.total, other.error)
        return made, whence

    @property
    def mean(self) -> Array:
        """The mean value of each channel, (channels,); NaN without samples."""
        if not self.count:
            return np.full(len(self.total), np.nan)
        return (self.total + self.error) / self.count


class Classes:
    """Statistics by class, of the targets.

    Attributes:
        parts: Dict from class to its `Part`.
    """

    def __init__(self, parts: dict[int, Part], classes: int, empty: Part):
        self.parts, self._classes, self._empty = parts, classes, empty

    def _each(self, name: str) -> Array:
        none = getattr(self._empty.best, name)
        return np.stack([getattr(self.parts[c].best, name) if c in self.parts else none for c in range(self._classes)])

    @property
    def count(self) -> Array:
        """How many samples of each class there are, int64 (classes,)."""
        return np.array([self.parts[c].count if c in self.parts else 0 for c in range(self._classes)], "int64")

    @property
    def mean(self) -> Array:
        """The mean value over all samples of a class, (classes, channels); NaN for a class without samples."""
        return np.stack([self.parts.get(c, self._empty).mean for c in range(self._classes)])

    @property
    def samples(self) -> Array:
        """The ids of the best samples of each class, int64 (classes, channels, top); -1 where there are fewer."""
        return self._each("samples")

    @property
    def values(self) -> Array:
        """Their values, (classes, channels, top); NaN where there are fewer."""
        return self._each("shown_values")

    @property
    def positions(self) -> Array:
        """Their positions, int32 (classes, channels, top, axes)."""
        return self._each("positions")


@dataclass
class References:
    """The reference samples of a layer's channels.

    Attributes:
        layer: The layer's path.
        whole: The `Part` of all samples.
        parts: Dict from class to its `Part`; empty where targets are no classes.
        number: How many classes there are.
        pieces: For each channel the `Crop`s of its first samples, lists.
        left_out: How many samples had values that are not finite, and count nowhere.
        keeps: How many crops are kept for each channel.
    """

    layer: str
    whole: Part
    parts: dict[int, Part]
    number: int
    keeps: int
    pieces: list[list[Crop]] = field(default_factory=list)
    left_out: int = 0
    by_class: int = 0  # places of each class

    @classmethod
    def none(
        cls, layer: str, channels: int, axes: int, dtype: str, top: int, by_class: int, number: int, crops: int
    ) -> "References":
        whole = Part.none(channels, top, axes, dtype)
        return cls(layer, whole, {}, number, min(crops, top), [[] for _ in range(channels)], by_class=by_class)

    # ------------------------------------------------------------------ as users see it
    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.whole.total)

    @property
    def samples(self) -> Array:
        """The ids of each channel's best samples, int64 (channels, top), in descending order; -1 where there are fewer."""
        return self.whole.best.samples

    @property
    def values(self) -> Array:
        """Their values, (channels, top); NaN where there are fewer."""
        return self.whole.best.shown_values

    @property
    def positions(self) -> Array:
        """Where in the channel the largest relevance, or activation, is, int32 (channels, top, axes)."""
        return self.whole.best.positions

    @property
    def mean(self) -> Array:
        """The mean value over all samples, (channels,)."""
        return self.whole.mean

    @property
    def classes(self) -> Classes:
        """Statistics by class, a `Classes`: `count`, `mean`, `samples`, `values`, `positions`."""
        channels, _, axes = self.positions.shape
        return Classes(self.parts, self.number, Part.none(channels, self.by_class, axes, str(self.whole.best.values.dtype)))

    def crops(self, channel: int) -> list[Array]:
        """What units of a channel see of its first samples, an array for each, in their order.

        Pictures are reduced to 64 pixels a side at most.
        """
        if not 0 <= channel < self.channels:
            raise ValueError(f"`channel` must be between 0 and {self.channels - 1}. Received: {channel!r}")
        return [crop.values for crop in self.pieces[channel]]

    def __repr__(self) -> str:
        return f"References({self.layer!r}, {self.channels} channels, {self.whole.count} samples)"

    # ------------------------------------------------------------------ adding
    def add(
        self, values: Array, ids: Array, positions: Array, classes: Array | None, samples: Array | None, seen: Field | None
    ) -> None:
        """Take the samples of a batch.

        Args:
            values: (samples, channels).
            ids: (samples,).
            positions: (samples, channels, axes).
            classes: (samples,), or None.
            samples: What crops are cut from, (samples, ...).
            seen: What the layer's positions see of it.
        """
        finite = np.isfinite(values).all(axis=1)
        self.left_out += int((~finite).sum())
        rows = np.flatnonzero(finite)
        values, ids, positions = values[rows] + 0, ids[rows], positions[rows]
        whence = self.whole.add(values, ids, positions)
        if samples is not None and seen is not None and self.keeps:
            cutter, top = Cutter(samples, seen), self.whole.best.values.shape[1]
            places = self.whole.best.positions

            def fresh(channel: int, place: int, source: int) -> Crop:
                return cutter(int(rows[source - top]), tuple(map(int, places[channel, place])))

            self.pieces = self._kept(whence, top, fresh)
        if classes is None:
            return
        for c in np.unique(classes[rows]):
            mine = classes[rows] == c
            self._part(int(c)).add(values[mine], ids[mine], positions[mine])

    def _part(self, number: int) -> Part:
        if number not in self.parts:
            channels, _, axes = self.positions.shape
            self.parts[number] = Part.none(channels, self.by_class, axes, str(self.whole.best.values.dtype))
        return self.parts[number]

    def _kept(self, whence: Array, top: int, fresh: Callable[[int, int, int], Crop]) -> list[list[Crop]]:
        """The crops of the best samples now, of which `whence` says where they were: places above `top` are fresh."""
        filled = self.whole.best.samples[:, : self.keeps] >= 0
        changed = (whence[:, : self.keeps] != np.arange(self.keeps)) & filled
        kept = list(self.pieces)
        for channel in np.flatnonzero(changed.any(axis=1)):
            before = self.pieces[channel]
            kept[channel] = [
                before[source] if source < top else fresh(int(channel), place, int(source))
                for place, source in enumerate(whence[channel, : self.keeps])
                if filled[channel, place]
            ]
        return kept

    def merged(self, other: "References") -> "References":
        """Those of both; neither changes."""
        whole, whence = self.whole.merged(other.whole)
        top = self.whole.best.values.shape[1]
        parts = {
            c: self.parts[c].merged(other.parts[c])[0]
            if c in self.parts and c in other.parts
            else (self.parts | other.parts)[c]
            for c in sorted({*self.parts, *other.parts})
        }
        made = References(
            self.layer, whole, parts, self.number, self.keeps, self.pieces, self.left_out + other.left_out, self.by_class
        )
        made.pieces = made._kept(whence, top, lambda channel, place, source: other.pieces[channel][source - top])
        return made
