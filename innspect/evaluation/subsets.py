"""Subsets of what can be hidden: drawn one after the other, hidden, and compared with what a map says was lost."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from innspect.evaluation.hiding import Hiding, unhidable
from innspect.evaluation.maps import Maps
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import split, units_of
from innspect.evaluation.versions import hidden_scores
from innspect.inputs.batches import as_numbers
from innspect.types import Array

Stream = Callable[[int], Iterator[Array]]  # from a sample to what is drawn for it, one after the other


Generators = Callable[[str], np.random.Generator]  # from a purpose


class InOrder:
    """What is drawn for each sample, asked for in order; only what is asked for at once is held.

    Args:
        stream: Makes what is drawn for a sample; where it ends early, zeros follow.
        like: Zeros of the shape and dtype of what is drawn.
    """

    def __init__(self, stream: Stream, like: Array):
        self._stream, self._like = stream, like
        self._rows: Array | None = None
        self._next = 0
        self._streams: dict[int, Iterator[Array]] = {}

    def __call__(self, rows: Array, numbers: Array) -> Array:
        """The draws of some numbers, ascending, for some samples: (numbers, samples, ...)."""
        fresh = np.unique(numbers)
        if self._rows is None or not np.array_equal(rows, self._rows) or fresh[0] != self._next:
            self._rows = rows.copy()
            self._streams = {int(row): islice(self._stream(int(row)), int(fresh[0]), None) for row in rows}
        drawn = {row: [next(stream, self._like) for _ in fresh] for row, stream in self._streams.items()}
        self._next = int(fresh[-1]) + 1
        return np.stack([drawn[int(row)] for row in rows], axis=1)[np.searchsorted(fresh, numbers)]


@dataclass
class Losses:
    """What is lost where subsets are hidden.

    Attributes:
        clean: f(x), (samples,).
        scores: What is left, (samples, draws).
        said: What the map says was lost, (samples, draws).
    """

    clean: Array
    scores: Array
    said: Array

    @property
    def drops(self) -> Array:
        return self.clean[:, None] - self.scores

    @property
    def magnitude(self) -> Array:
        """The largest of |f(x)| and the hidden scores, (samples,)."""
        return np.maximum(np.abs(self.clean), np.abs(self.scores).max(axis=1))


class Subsets:
    """Units of positions, how they are hidden, and what a map says of them.

    Args:
        trial: The `Trial`.
        maps: The `Maps`.
        told: The arguments of METRICS 1 that units and hiding have, with `channels`, `sign` and `score`.
        function: Whether maps are rates, so that what is lost is the sum of R (x - fill); else of r.
    """

    def __init__(self, trial: Trial, maps: Maps, told: dict[str, Any], *, function: bool = False):
        told = dict(told)
        channels, sign, self.score = (told.pop(name) for name in ("channels", "sign", "score"))
        region, groups, remainder, keep = (told.pop(name) for name in ("region", "groups", "remainder", "keep"))
        self.trial, self.apart = trial, channels == "apart"
        self.r = maps.flat(channels, sign)
        units = units_of(trial, region=region, groups=groups, remainder=remainder, apart=self.apart)
        self.units = units if self.apart else units.without(unhidable(trial, keep))
        self.hiding = Hiding(trial, units=self.units, apart=self.apart, **told)
        self._rates = rates(trial, maps) if function else None

    @property
    def settings(self) -> dict[str, Any]:
        return {"score": self.trial.score(self.score).said} | self.hiding.said

    def positions(self, i: int, units: Array) -> Array:
        """Booleans over all positions: those of the units of a sample that are chosen, booleans too."""
        of = self.units.row(i)
        return units[of] & (of >= 0) if len(units) else np.zeros(of.shape, bool)

    def given(self, subsets: Any) -> tuple[Stream, int]:
        """Subsets that the user gave, and how many there are.

        Raises:
            ValueError: They are no booleans (samples, draws, *positions).
        """
        trial = self.trial
        shapes = [a.shape[1:] if self.apart else size for a, size in zip(trial.arrays, trial.sizes, strict=True)]
        arrays = list(subsets) if isinstance(subsets, list | tuple) and len(shapes) > 1 else [subsets]
        arrays = [as_numbers(a, "subsets") for a in arrays]
        draws = arrays[0].shape[1] if arrays and arrays[0].ndim > 1 else 0
        wanted = [(trial.samples, draws, *shape) for shape in shapes]
        if [a.shape for a in arrays] != wanted or any(a.dtype != bool for a in arrays) or not draws:
            said = ", ".join(str(("samples", "draws", *shape)).replace("'", "") for shape in shapes)
            raise ValueError(
                f"`subsets` must hold booleans of shape {said} for {trial.samples} samples, true where it is hidden. "
                f"Received: {', '.join(f'{a.dtype} {a.shape}' for a in arrays)}"
            )
        return lambda i: iter(np.concatenate([a[i].reshape(draws, -1) for a in arrays], axis=1)), draws

    def losses(self, stream: Stream, draws: int) -> Losses:
        """What hiding each subset loses, and what the map says of it."""
        trial, positions = self.trial, self.r.shape[1]
        said, nothing = np.zeros((trial.samples, draws + 1)), np.zeros(positions, bool)

        def look() -> Array:
            drawn = InOrder(lambda i: chain([nothing], stream(i)), nothing)

            def masks(rows: Array, numbers: Array) -> list[Array]:
                hidden = drawn(rows, numbers)
                if self._rates is None:
                    said[np.ix_(rows, numbers)] = np.where(hidden, self.r[rows], 0).sum(axis=-1).T
                return split(trial, hidden, self.apart)

            def fills(rows: Array, numbers: Array, hidden: list[Array]) -> list[Array]:
                found = self.hiding.fills(rows, numbers, hidden)
                if self._rates is not None:
                    place = np.ix_(rows, numbers)
                    lost = [self._lost(i, rows, m, f) for i, (m, f) in enumerate(zip(hidden, found, strict=True))]
                    share = np.sum(lost, axis=0) / self.hiding.repeats
                    said[place] = share.T if self.hiding.repeat == 0 else said[place] + share.T
                return found

            return hidden_scores(trial, self.score, draws + 1, masks, fills, apart=self.apart).scores

        scores = self.hiding.mean(look)
        return Losses(scores[:, 0], scores[:, 1:], said[:, 1:])

    def _lost(self, i: int, rows: Array, hidden: Array, fill: Array) -> Array:
        """The sum over hidden elements of an input of R (x - fill), (versions, samples)."""
        assert self._rates is not None
        channel, x = self.trial.axes[i].channel, self.trial.arrays[i][rows].astype("float64")
        weights = self._rates[i][rows] * (x - fill)
        if not self.apart and channel is not None:
            weights = weights.sum(axis=channel + 1)
        return np.where(hidden, weights, 0).reshape(*hidden.shape[:2], -1).sum(axis=-1)


def rates(trial: Trial, maps: Maps) -> list[Array]:
    """Maps whose values are rates, with an axis for channels, float64.

    Raises:
        ValueError: An input cannot be moved.
    """
    found = []
    for i, (full, x, axes) in enumerate(zip(maps.full, trial.arrays, trial.axes, strict=True)):
        if not trial.repeatable(i):
            raise ValueError("kind='function' needs inputs of floating point, that a rate multiplies. Received: ids")
        channel = None if full.ndim == x.ndim else axes.channel
        found.append((full if channel is None else np.expand_dims(full, channel)).astype("float64"))
    return found


def subsets_of(sizes: list[tuple[str, int, int]], units: int, generator: Generators) -> Iterator[Array]:
    """Random sets of units without replacement: for each (purpose, size, draws) so many of that size."""
    for purpose, size, draws in sizes:
        source = generator(purpose)
        for _ in range(draws):
            chosen = np.zeros(units, bool)
            chosen[source.permutation(units)[:size]] = True
            yield chosen
