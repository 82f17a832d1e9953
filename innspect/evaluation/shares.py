"""Shares of what can be hidden, as an argument."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.checks import Range, is_number


@dataclass(frozen=True)
class Shares(Range):
    """Several shares: numbers above 0, at most `high`, or below it."""

    high: float = 1.0
    below: bool = False

    def holds(self, value: Any) -> bool:
        if not isinstance(value, list | tuple | np.ndarray) or not len(value):
            return False
        fits = (lambda s: 0 < s < self.high) if self.below else (lambda s: 0 < s <= self.high)
        return all(is_number(s) and fits(s) for s in value)

    def __str__(self) -> str:
        return f"a sequence of shares above 0 and {'below' if self.below else 'at most'} {self.high:g}"
