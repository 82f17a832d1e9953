"""What a metric found: a value for each sample, never an average alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from innspect.evaluation.intervals import interval
from innspect.spelling import meant
from innspect.types import Array

RANDOM = "random"  # the row of random maps

T = TypeVar("T")


@dataclass
class Result:
    """What a metric says of maps.

    Attributes:
        values: (samples,), float64; NaN where it is undefined.
        curves: Arrays by name, samples first.
        undefined: Where `values` is NaN, booleans (samples,).
        settings: Every argument, what was done by default, the explained class, the library's version.
        metric: The metric's name.
        higher_is_better: True, False, or None where less is not better by itself.
        range: What values may be.
        interval_kind: "t", or "wilson" for values of 0 and 1.
        beside: Other numbers of each sample by name, (samples,), such as the change of the prediction.
    """

    values: Array
    curves: dict[str, Array] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Array] = field(default_factory=dict)
    metric: str = ""
    higher_is_better: bool | None = None
    range: tuple[float, float] = (-np.inf, np.inf)
    interval_kind: str = "t"

    @property
    def undefined(self) -> Array:
        return np.isnan(self.values)

    @property
    def mean(self) -> float:
        """Over the samples where it is defined; NaN where it is nowhere."""
        defined = self.values[~self.undefined]
        return float(defined.mean()) if len(defined) else float("nan")

    def interval(self, kind: str | None = None, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval of the mean, (low, high); NaN below two defined samples. See `innspect.evaluation.interval`."""
        return interval(self.values, kind or self.interval_kind, range=self.range, seed=seed)

    def __str__(self) -> str:
        missing = int(self.undefined.sum())
        text = f"{self.metric} {self.mean:.4g}"
        if len(self.values) - missing > 1:
            low, high = self.interval()
            text += f" [{low:.4g}, {high:.4g}]"
        return text + (f", undefined for {missing} of {len(self.values)}" if missing else "")


class ByMethod(dict[str, T]):
    """What there is for each method, by its label; also by its name, where one label alone is that with arguments."""

    def __missing__(self, method: str) -> T:
        label = meant(method, self)
        if label is None:
            raise KeyError(method)
        return self[label]


def by_method(results: Mapping[str, Mapping[str, Result]], part: Callable[[Result], T]) -> dict[str, dict[str, T]]:
    """Something of each result, by metric and method."""
    return {metric: ByMethod({method: part(result) for method, result in of.items()}) for metric, of in results.items()}


@dataclass(frozen=True)
class Difference:
    """How two methods differ on the same samples.

    Attributes:
        mean: Of the first minus the second, over the samples where both are defined.
        interval: (low, high), 95 %, Student's t, of this pair alone.
        p: Of the paired t test, adjusted by Holm over all pairs of methods of the metric, "random" included.
        unadjusted: The same p by itself.
        samples: How many samples were compared.
    """

    mean: float
    interval: tuple[float, float]
    p: float
    unadjusted: float
    samples: int

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.mean:.4g} [{low:.4g}, {high:.4g}], p = {self.p:.2g} (Holm), {self.samples} samples"
