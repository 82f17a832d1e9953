"""What is known of a method: on its class, since a method is one class.

Attributes of a class say what family it is of, whose paper it follows, what it needs besides a model, in which range its
arguments are, and which arguments ask for little work. Where that depends on the arguments, it is a property or a function of
them.
"""

import numbers
import types
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OneOf:
    """An argument that is one of some values."""

    values: tuple

    def __init__(self, *values):
        object.__setattr__(self, "values", values)

    def holds(self, value):
        return any(value is v or (type(value) is type(v) and value == v) for v in self.values)

    def __str__(self):
        *first, last = map(repr, self.values)
        return f"{', '.join(first)} or {last}" if first else last


@dataclass(frozen=True)
class Integer:
    """An integer that is not below `low`, or None where that means something."""

    low: int = 0
    or_none: bool = False

    def holds(self, value):
        if value is None:
            return self.or_none
        return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= self.low

    def __str__(self):
        text = {0: "an integer that is not negative", 1: "a positive integer"}.get(self.low, f"an integer from {self.low} on")
        return ("None or " if self.or_none else "") + text


@dataclass(frozen=True)
class Number:
    """A finite number: not negative, or above 0 and at most `high`."""

    high: float | None = None

    def holds(self, value):
        number = isinstance(value, numbers.Real | np.number) and not isinstance(value, bool) and np.isfinite(value)
        return bool(number and (value >= 0 if self.high is None else 0 < value <= self.high))

    def __str__(self):
        return "a number that is not negative" if self.high is None else f"above 0 and at most {self.high:g}"


class Facts:
    """Base of `Analyzer`: what is known of a method.

    Attributes:
        family: Such as "relevance propagation"; methods are listed by it.
        paper: Authors and year.
        needs: What must be given, or what the model must have; "" for nothing.
        ranges: Dict from argument to `OneOf`, `Integer` or `Number`, for those of the class itself. None passes where it is
            the default.
        small: Arguments that ask for little work, for those of the class itself.
    """

    family = ""
    paper = ""
    needs = ""
    ranges: dict = {}
    small: dict = {}

    @property
    def signed(self):
        """Whether the sign of a map's values tells something, with these arguments: for or against."""
        return True

    @classmethod
    def signed_with(cls, **arguments):
        """`signed` of an analyzer with these arguments, all of them, without making one."""
        told = cls.signed
        return told.fget(types.SimpleNamespace(**arguments)) if isinstance(told, property) else told

    @classmethod
    def describe(cls, **fixed):
        """Dict with "family", "paper" and "needs", for a name that fixes some arguments."""
        return {"family": cls.family, "paper": cls.paper, "needs": cls.needs}

    @classmethod
    def all_ranges(cls):
        """`ranges` of the class and its bases."""
        return _merged(cls, "ranges")

    @classmethod
    def example(cls, x, **fixed):
        """Arguments that ask for little work on inputs `x`, with all that must be given; see `needed`."""
        small = {k: v for k, v in _merged(cls, "small").items() if k not in cls.without and k not in fixed}
        return cls.needed(x, **fixed) | small

    @classmethod
    def needed(cls, x, **fixed):
        """What must be given, chosen to suit inputs `x`.

        Args:
            x: Arrays as for `analyze`.
            **fixed: Arguments that are given already.
        """
        return {}

    def check_arguments(self):
        """Raise where an argument is out of its range.

        Raises:
            ValueError: The message tells the range.
        """
        defaults = type(self).defaults()
        for argument, given in self.get_config().items():
            allowed = type(self).all_ranges().get(argument)
            if allowed is None or (given is None and defaults.get(argument, 0) is None) or allowed.holds(given):
                continue
            none = "None or " if argument in defaults and defaults[argument] is None and not allowed.holds(None) else ""
            raise ValueError(f"`{argument}` must be {none}{allowed}. Received: {given!r}")


def _merged(cls, name):
    found: dict = {}
    for base in reversed(cls.__mro__):
        found |= vars(base).get(name, {})
    return found
