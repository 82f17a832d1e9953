"""What is hidden at once, and in which order (METRICS 1.6, 1.7, 1.11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.checks import Integer, OneOf, Range, is_number
from innspect.inputs.batches import as_numbers
from innspect.types import Array

if TYPE_CHECKING:
    from innspect.evaluation.trial import Trial

NEVER = -1  # the unit of positions that are never hidden


@dataclass(frozen=True)
class Share(Range):
    """A number from 0 to 1."""

    def holds(self, value: Any) -> bool:
        return is_number(value) and 0 <= value <= 1

    def __str__(self) -> str:
        return "a number from 0 to 1"


@dataclass(frozen=True)
class Units:
    """Units of positions.

    Attributes:
        of: The unit of each position, integers (samples, positions), or (1, positions) where all samples have the same.
        counts: How many units there are, (samples,) or (1,).
    """

    of: Array
    counts: Array

    @classmethod
    def numbered(cls, of: Array) -> "Units":
        """From any integers, negative for none: numbered anew from 0 in each row, in the order of the integers."""
        rows, counts = [], []
        for row in of:
            known, place = np.unique(row[row >= 0], return_inverse=True)
            fresh = np.full(row.shape, NEVER, "int64")
            fresh[row >= 0] = place
            rows.append(fresh)
            counts.append(len(known))
        return cls(np.stack(rows), np.array(counts))

    def without(self, never: Array | None) -> "Units":
        """Where some positions, booleans (samples, positions), are never hidden."""
        if never is None or not never.any():
            return self
        return Units.numbered(np.where(never, NEVER, np.broadcast_to(self.of, never.shape)))

    def row(self, i: int) -> Array:
        return self.of[i if len(self.of) > 1 else 0]

    def count(self, i: int) -> int:
        return int(self.counts[i if len(self.counts) > 1 else 0])

    def sums(self, i: int, values: Array) -> Array:
        """Sums over each unit of a sample's values, (positions,)."""
        row = self.row(i)
        inside = row >= 0
        return np.bincount(row[inside], values[inside], self.count(i))

    def sizes(self, i: int) -> Array:
        return self.sums(i, np.ones(self.of.shape[1]))


def single(size: int) -> Units:
    """Every position a unit."""
    return Units(np.arange(size)[None], np.array([size]))


def windows(sizes: Sequence[tuple[int, ...]], side: int, remainder: str = "cut") -> Units:
    """Windows of a side along each axis of each input, row-major; those at the far border are cut, or left out."""
    Integer(1, np.iinfo("int32").max).check("region", side)
    OneOf("cut", "crop").check("remainder", remainder)
    parts: list[Array] = []
    before = 0
    for size in sizes:
        along = [np.arange(n) // side for n in size]
        number: Array = np.zeros((), "int64")
        for axis, n in zip(along, size, strict=True):
            number = np.add.outer(number * -(-n // side), axis)
        if remainder == "crop":
            for a, n in enumerate(size):
                cut = np.arange(n) >= n - n % side
                number = np.where(cut.reshape([-1 if b == a else 1 for b in range(len(size))]), NEVER, number)
        parts.append(np.where(number < 0, NEVER, number + before).reshape(-1))
        before += int(np.prod([-(-n // side) for n in size]))
    return Units.numbered(np.concatenate(parts)[None])


def grouped(groups: Any, sizes: Sequence[tuple[int, ...]], samples: int) -> Units:
    """Units that the user gave: integers from 0 of the positions' shape, for all samples or for each."""
    given = groups if isinstance(groups, list | tuple) and len(sizes) > 1 else [groups]
    if len(given) != len(sizes):
        raise ValueError(f"`groups` must be a list with an array for each of the {len(sizes)} inputs. Received: {len(given)}")
    rows = []
    for array, size in zip((as_numbers(g, "groups") for g in given), sizes, strict=True):
        fits = array.shape in (size, (samples, *size))
        if not fits or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
            raise ValueError(
                f"`groups` must hold integers from 0 on, of the positions' shape {size}, or of {(samples, *size)} with one set "
                f"for each sample. Received: dtype {array.dtype}, shape {array.shape}"
                + (f", smallest {array.min()}" if array.size and array.dtype.kind in "iu" else "")
            )
        rows.append(array.reshape(-1, int(np.prod(size))).astype("int64"))
    most = max(len(r) for r in rows)
    return Units.numbered(np.concatenate([np.broadcast_to(r, (most, r.shape[1])) for r in rows], axis=1))


def units_of(
    trial: "Trial", *, region: int | None = None, groups: Any = None, remainder: str = "cut", apart: bool = False
) -> Units:
    """What is hidden at once: positions, windows of a side, or given groups; never both."""
    if region is not None and groups is not None:
        raise ValueError("Give either `region` or `groups`. Received: both")
    if apart and (region is not None or groups is not None):
        raise ValueError("channels='apart' makes every element a unit, without `region` or `groups`. Received: both")
    if region is not None:
        return windows(trial.sizes, region, remainder)
    if groups is not None:
        return grouped(groups, trial.sizes, trial.samples)
    return single(sum(int(np.prod(a.shape[1:] if apart else size)) for a, size in zip(trial.arrays, trial.sizes, strict=True)))


def shortest(trial: "Trial") -> int:
    """The shortest side of all inputs."""
    return min(min(size) for size in trial.sizes if size)


def split(trial: "Trial", flat: Array, apart: bool = False) -> list[Array]:
    """Values over all positions, (..., positions), as arrays over each input's own, (..., *positions)."""
    shapes = [a.shape[1:] if apart else size for a, size in zip(trial.arrays, trial.sizes, strict=True)]
    stops = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    return [part.reshape(*part.shape[:-1], *s) for part, s in zip(np.split(flat, stops, axis=-1), shapes, strict=True)]


def places(values: Array, uniform: Array) -> Array:
    """The place of each unit where the largest value is first; equal values stand in the order of uniform draws."""
    order = np.argsort(-values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.lexsort((uniform, -values))
    result = np.empty(len(order), "int64")
    result[order] = np.arange(len(order))
    return result


def step_counts(units: int, steps: int, share: float) -> Array:
    """How many units are hidden after each of 0..K steps: `floor(k M / K)`, K at most the number of units M."""
    most = units if share == 1 else floored(share * units)
    count = min(steps, most)
    return np.array([0]) if count == 0 else np.arange(count + 1) * most // count


def floored(number: float) -> int:
    """The floor of a decimal share of something, in which 0.7 of 90 is 63."""
    return int(np.floor(number + 1e-9))


def ceiled(number: float) -> int:
    """The ceiling of a decimal share of something."""
    return int(np.ceil(number - 1e-9))


def area(curve: Array, hidden: Array) -> float:
    """The mean height of a curve over real shares: trapezoids over the numbers of hidden units, divided by the last."""
    if len(curve) < 2 or hidden[-1] == 0:
        return float(curve[0])
    return float(np.sum((curve[1:] + curve[:-1]) / 2 * np.diff(hidden)) / hidden[-1])
