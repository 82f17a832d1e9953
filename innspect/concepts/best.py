"""The best samples of each channel, kept while samples come by.

Requirements of the design:

- What is kept depends on the samples and their ids, not on the order in which they came, nor on how they were divided: the
  largest values, of equal ones those of smaller ids.
- An empty place has the value minus infinity and the largest id, so it loses to every sample.
"""

from dataclasses import dataclass

import numpy as np

from innspect.types import Array

NOBODY = np.iinfo("int64").max


@dataclass
class Best:
    """Some samples for each channel, in descending order.

    Attributes:
        values: (channels, top).
        ids: Their numbers, int64 (channels, top).
        positions: Where in the channel, int32 (channels, top, axes).
    """

    values: Array
    ids: Array
    positions: Array

    @classmethod
    def none(cls, channels: int, top: int, axes: int, dtype: str) -> "Best":
        """Empty places."""
        places = np.full((channels, top, axes), -1, "int32")
        return cls(np.full((channels, top), -np.inf, dtype), np.full((channels, top), NOBODY, "int64"), places)

    def offered(self, values: Array, ids: Array, positions: Array) -> tuple["Best", Array]:
        """What is best with more samples.

        Args:
            values: (samples, channels), finite.
            ids: (samples,).
            positions: (samples, channels, axes).

        Returns:
            The best, and where each was before: of the places that were, then of the samples, (channels, top); that is the
            places themselves where nothing changed.
        """
        channels, top = self.values.shape
        whence = np.tile(np.arange(top), (channels, 1))
        if not top or not len(values):
            return self, whence
        better = (values > self.values[:, -1]) | ((values == self.values[:, -1]) & (ids[:, None] < self.ids[:, -1]))
        rows = np.flatnonzero(better.any(axis=0))
        if not len(rows):
            return self, whence
        numbers = np.broadcast_to(ids, (len(rows), len(ids)))
        more = Best(values.T[rows], numbers, np.swapaxes(positions, 0, 1)[rows])
        found, whence[rows] = self._of(rows).joined(more, top)
        made = Best(self.values.copy(), self.ids.copy(), self.positions.copy())
        made.values[rows], made.ids[rows], made.positions[rows] = found.values, found.ids, found.positions
        return made, whence

    def _of(self, rows: Array) -> "Best":
        return Best(self.values[rows], self.ids[rows], self.positions[rows])

    def joined(self, other: "Best", top: int) -> tuple["Best", Array]:
        """The best of both, and where each was: of the places of this, then of the other's."""
        values, ids, positions = (
            np.concatenate([getattr(self, name), getattr(other, name)], axis=1) for name in ("values", "ids", "positions")
        )
        order = np.lexsort((ids, -values), axis=1)[:, :top]
        return Best(
            np.take_along_axis(values, order, 1),
            np.take_along_axis(ids, order, 1),
            np.take_along_axis(positions, order[..., None], 1),
        ), order

    # ------------------------------------------------------------------ as users see it
    @property
    def samples(self) -> Array:
        """The ids; -1 where there is nobody."""
        return np.where(self.ids == NOBODY, -1, self.ids)

    @property
    def shown_values(self) -> Array:
        """The values; NaN where there is nobody."""
        return np.where(self.ids == NOBODY, np.nan, self.values)
