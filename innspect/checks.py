"""What an argument may be: a range says it, checks it, and words the error."""

import math
import numbers
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

MOST = 1_000_000  # of what is computed one by one
_LARGEST = float(np.finfo("float32").max)


class Range:
    """Base of what follows: `holds(value)` decides, `str` words it."""

    def holds(self, value: Any) -> bool:
        raise NotImplementedError

    def check(self, name: str, value: T) -> T:
        """The value of the argument `name`, where it is in the range.

        Raises:
            ValueError: It is not.
        """
        if not self.holds(value):
            raise ValueError(f"`{name}` must be {self.wanted(value)}. Received: {value!r}")
        return value

    def check_given(self, name: str, value: T | None) -> T | None:
        """As `check`, where an argument is given, and not None."""
        return None if value is None else self.check(name, value)

    def wanted(self, value: Any) -> str:
        """What is said to who gave a value that is not in the range."""
        return str(self)


@dataclass(frozen=True)
class OneOf(Range):
    """An argument that is one of some values."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any):
        object.__setattr__(self, "values", values)

    def holds(self, value: Any) -> bool:
        return any(value is v or (type(value) is type(v) and value == v) for v in self.values)

    def __str__(self) -> str:
        *first, last = map(repr, self.values)
        return f"{', '.join(first)} or {last}" if first else last


@dataclass(frozen=True)
class Integer(Range):
    """An integer that is not below `low` nor above `high`, or None where that means something."""

    low: int = 0
    high: int | None = None
    or_none: bool = False

    def holds(self, value: Any) -> bool:
        if value is None:
            return self.or_none
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        return whole and bool(value >= self.low and (self.high is None or value <= self.high))

    def __str__(self) -> str:
        words = {0: "an integer that is not negative", 1: "a positive integer"}
        text = words.get(self.low, f"an integer from {self.low} on")
        text = text if self.high is None else f"between {self.low} and {self.high}"
        return ("None or " if self.or_none else "") + text


@dataclass(frozen=True)
class Count(Integer):
    """How many: points, draws, masks, steps. What is computed one by one has a bound."""

    low: int = 1
    high: int | None = MOST

    def wanted(self, value: Any) -> str:
        return f"at most {self.high}" if Integer(1).holds(value) else "a positive integer"


@dataclass(frozen=True)
class Number(Range):
    """A number that float32 can hold: not negative, above 0 and at most `high`, or of any sign."""

    high: float | None = None
    signed: bool = False

    def holds(self, value: Any) -> bool:
        if not is_number(value):
            return False
        return self.signed or (value >= 0 if self.high is None else 0 < value <= self.high)

    def __str__(self) -> str:
        if self.signed:
            return "a finite number"
        return "a number that is not negative" if self.high is None else f"above 0 and at most {self.high:g}"


@dataclass(frozen=True)
class Positive(Range):
    """A number above 0 that float32 can hold."""

    def holds(self, value: Any) -> bool:
        return is_number(value) and value > 0

    def __str__(self) -> str:
        return "a number above 0"


def is_number(value: Any) -> bool:
    """Whether a value is a number, and float32 can hold it."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value)) and abs(float(value)) <= _LARGEST
    except OverflowError:
        return False


@dataclass(frozen=True)
class Boolean(Range):
    """True or False, be it NumPy's."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, bool | np.bool_)

    def __str__(self) -> str:
        return "True or False"


@dataclass(frozen=True)
class Text(Range):
    """A string, such as a name."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str)

    def __str__(self) -> str:
        return "a string"


@dataclass(frozen=True)
class File(Range):
    """A path: a string, or a `pathlib` path."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str | os.PathLike) and bool(str(value))

    def __str__(self) -> str:
        return "the path of a file"


@dataclass(frozen=True)
class ListOf(Range):
    """A list, a tuple or an array of values that each hold."""

    each: Range

    def holds(self, value: Any) -> bool:
        listed = isinstance(value, list | tuple | range) or (isinstance(value, np.ndarray) and value.ndim == 1)
        return listed and len(value) > 0 and all(map(self.each.holds, value))

    def __str__(self) -> str:
        return f"a list, of which each is {self.each}"


@dataclass(frozen=True)
class Texts(Range):
    """A list of so many texts, or of what is shown as text."""

    count: int

    def holds(self, value: Any) -> bool:
        listed = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
        return listed and len(value) == self.count

    def wanted(self, value: Any) -> str:
        return f"a list of {self.count} texts"


@dataclass(frozen=True)
class Sizes(Range):
    """A positive integer, or one for each of some axes."""

    def holds(self, value: Any) -> bool:
        size = Integer(1, np.iinfo("int32").max)
        return size.holds(value) or (
            isinstance(value, Sequence | np.ndarray) and len(value) > 0 and all(map(size.holds, value))
        )

    def __str__(self) -> str:
        return "a positive integer, or one for each spatial axis"


@dataclass(frozen=True)
class Finite(Range):
    """A number, or an array of numbers, that float32 can hold."""

    def holds(self, value: Any) -> bool:
        try:
            array = np.asarray(value)
        except Exception:  # whatever a foreign object raises
            return False
        return array.dtype.kind in "fiu" and array.size > 0 and bool((np.abs(array.astype("float64")) <= _LARGEST).all())

    def __str__(self) -> str:
        return "a finite number, or an array of these"


def check_order(low: Any, high: Any) -> None:
    """Raise where `low` is above `high`, numbers or arrays that broadcast."""
    lowest, highest = np.asarray(low, "float32"), np.asarray(high, "float32")
    try:
        above = bool(np.any(lowest > highest))
    except ValueError:
        raise ValueError(f"`low` and `high` must broadcast. Received: shapes {lowest.shape} and {highest.shape}") from None
    if above:
        raise ValueError(f"`low` must not be above `high`. Received: low={lowest.tolist()}, high={highest.tolist()}")


@dataclass(frozen=True)
class AnyOf(Range):
    """What one of several ranges holds."""

    ranges: tuple[Range, ...]

    def __init__(self, *ranges: Range):
        object.__setattr__(self, "ranges", ranges)

    def holds(self, value: Any) -> bool:
        return any(each.holds(value) for each in self.ranges)

    def wanted(self, value: Any) -> str:
        return " or ".join(each.wanted(value) for each in self.ranges)

    def __str__(self) -> str:
        return " or ".join(map(str, self.ranges))


@dataclass(frozen=True)
class OneForEach(Range):
    """A dict from some of the keys to one of some words."""

    keys: tuple[str, ...]
    words: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        one = OneOf(*self.words)
        return isinstance(value, dict) and set(value) <= set(self.keys) and all(map(one.holds, value.values()))

    def __str__(self) -> str:
        return f"a dict with one of these for {OneOf(*self.keys)}"


@dataclass(frozen=True)
class Stabiliser(Number):
    """The epsilon of a rule: a number, or ("rms", factor)."""

    def holds(self, value: Any) -> bool:
        scaled = isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str) and value[0] == "rms"
        return super().holds(value[1] if scaled else value)

    def __str__(self) -> str:
        return "a number that is not negative, or ('rms', factor)"


@dataclass(frozen=True)
class Elsewhere(Range):
    """An argument that needs the model, or the inputs, to be checked; `by` names what does it, and names the argument."""

    by: str

    def holds(self, value: Any) -> bool:
        return True

    def __str__(self) -> str:
        return f"what {self.by} takes"


def number(name: str, value: Any) -> float:
    """A number that is not negative, as a float.

    Raises:
        ValueError: It is none.
    """
    return float(Number().check(name, value))
