"""What an argument may be: a range says it, checks it, and words the error."""

import math
import numbers
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


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
            raise ValueError(f"`{name}` must be {self}. Received: {value!r}")
        return value


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
class AnyOf(Range):
    """An argument that is in one of several ranges."""

    ranges: tuple[Range, ...]

    def __init__(self, *ranges: Range):
        object.__setattr__(self, "ranges", ranges)

    def holds(self, value: Any) -> bool:
        return any(allowed.holds(value) for allowed in self.ranges)

    def __str__(self) -> str:
        return " or ".join(map(str, self.ranges))


@dataclass(frozen=True)
class Number(Range):
    """A finite number: not negative, or above 0 and at most `high`."""

    high: float | None = None

    def holds(self, value: Any) -> bool:
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        size = float(value)
        return math.isfinite(size) and (size >= 0 if self.high is None else 0 < size <= self.high)

    def __str__(self) -> str:
        return "a number that is not negative" if self.high is None else f"above 0 and at most {self.high:g}"


def number(name: str, value: Any) -> float:
    """A number that is not negative, as a float.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < float("inf"):
        raise ValueError(f"`{name}` must be a number that is not negative. Received: {value!r}")
    return float(value)
