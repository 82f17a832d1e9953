"""Moments of one affine layer in float64: sums that can be added, moved to another centre, and made into patterns.

All sums are of u = x - centre_x and v = y - centre_y. The centres only keep the numbers small; no result depends on
them. Regimes split the sums by the gate: "positive" where the neuron is active, "negative" where it is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.patterns.layout import Layout
from innspect.types import Array

REGIMES = ("linear", "positive", "negative")

# A denominator that is smaller than so many units of rounding, relative to what it was summed from, has vanished.
_VANISHED = 32.0


def regimes_to_measure(kinds: Iterable[str]) -> tuple[str, ...]:
    """Which regimes must be measured for patterns of some kinds: what is not positive is negative."""
    return ("linear", "positive") if {"positive", "negative"} <= set(kinds) else tuple(sorted(kinds))


@dataclass
class Moments:
    """Sums over all samples and positions.

    Attributes:
        layout: The `Layout` of the layer's kernel.
        regimes: The regimes that are measured.
        centre: Dict of "x" (per input channel) and "y" (per neuron).
        sums: Dict of float64 arrays. Per neuron: "count" (a number), "active", "y", "yy", "y_positive". In the kernel's
            shape: for each regime "xy_..." and (but for "linear") "x_..."; for "linear" "x", of one neuron a group.
    """

    layout: Layout
    regimes: tuple[str, ...]
    centre: dict[str, Array]
    sums: dict[str, Array]

    @classmethod
    def empty(cls, layout: Layout, regimes: tuple[str, ...], centre: Mapping[str, Array]) -> "Moments":
        """No samples yet, about a centre."""
        return cls(layout, regimes, {k: np.asarray(v, "float64") for k, v in centre.items()}, {})

    @classmethod
    def of(cls, record: dict[str, Any] | None) -> "Moments | None":
        """From what `record` gave; None for None."""
        return None if record is None else cls(**record | {"layout": Layout(**record["layout"])})

    def record(self) -> dict[str, Any]:
        """What a file holds of them: a dict of arrays and strings."""
        return {"layout": vars(self.layout), "regimes": self.regimes, "centre": self.centre, "sums": self.sums}

    def add(self, sums: Mapping[str, Any]) -> None:
        """Add sums about the same centre, in place."""
        for key, value in sums.items():
            if key in self.sums:
                self.sums[key] += value
            else:
                self.sums[key] = np.array(value, "float64")

    # ------------------------------------------------------------------ merging
    def about(self, centre: dict[str, Array]) -> "Moments":
        """The same moments about another centre."""
        dx = self.layout.inputs_over_kernel(self.centre["x"] - centre["x"])
        dy = self.centre["y"] - centre["y"]
        if not self.sums or not (dx.any() or dy.any()):
            return Moments(self.layout, self.regimes, centre, dict(self.sums))
        s, spread = self.sums, self.layout.over_kernel
        moved = {
            "count": s["count"],
            "active": s["active"],
            "y": s["y"] + dy * s["count"],
            "yy": s["yy"] + 2 * dy * s["y"] + dy * dy * s["count"],
            "y_positive": s["y_positive"] + dy * s["active"],
        }
        if "x" in s:
            moved["x"] = s["x"] + self.layout.small(dx) * s["count"]
        for regime in self.regimes:
            count, y = (spread(t) for t in (self._count(regime), self._y(regime)))
            (x,), shift = self._x(regime), spread(dy)
            moved[f"xy_{regime}"] = s[f"xy_{regime}"] + dx * y + shift * x + dx * shift * count
            if regime != "linear":
                moved[f"x_{regime}"] = x + dx * count
        return Moments(self.layout, self.regimes, centre, moved)

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both sets of samples together; neither operand changes."""
        if not other.sums or not self.sums:
            return self if self.sums else other
        share = self.sums["count"] / (self.sums["count"] + other.sums["count"])
        centre = {k: share * v + (1 - share) * other.centre[k] for k, v in self.centre.items()}
        mine, theirs = self.about(centre).sums, other.about(centre).sums
        return Moments(self.layout, self.regimes, centre, {k: v + theirs[k] for k, v in mine.items()})

    # ------------------------------------------------------------------ sums of a regime
    def _count(self, regime: str) -> Array:
        active = self.sums["active"]
        if regime == "linear":
            return np.broadcast_to(self.sums["count"], active.shape)
        return active if regime == "positive" else self.sums["count"] - active

    def _y(self, regime: str) -> Array:
        if regime == "linear":
            return self.sums["y"]
        return self.sums["y_positive"] if regime == "positive" else self.sums["y"] - self.sums["y_positive"]

    def _x(self, regime: str) -> list[Array]:
        """Numbers whose sum is that of x."""
        if regime == "linear":
            return [self.layout.expand(self.sums["x"])]
        if regime in self.regimes:
            return [self.sums[f"x_{regime}"]]
        return [self.layout.expand(self.sums["x"]), -self.sums[f"x_{_other(regime)}"]]

    def _xy(self, regime: str) -> list[Array]:
        """Numbers whose sum is that of x y."""
        if regime in self.regimes:
            return [self.sums[f"xy_{regime}"]]
        return [self.sums["xy_linear"], -self.sums[f"xy_{_other(regime)}"]]

    # ------------------------------------------------------------------ results
    @property
    def count(self) -> int:
        """Samples times positions."""
        return int(self.sums["count"])

    @property
    def active(self) -> Array:
        """How often each neuron was active."""
        return np.rint(self.sums["active"]).astype("int64")

    @property
    def variance(self) -> Array:
        """Variance of each neuron's output."""
        mean = self.sums["y"] / self.sums["count"]
        return np.maximum(self.sums["yy"] / self.sums["count"] - mean * mean, 0)

    def numerator(self, regime: str, y_mean: str = "all") -> Array:
        """E_r[x y] - E_r[x] E[y], in the kernel's shape (Kindermans et al. 2017, eq. 6 to 8).

        Args:
            regime: "linear" gives cov[x, y].
            y_mean: "all" takes E[y] over all samples, as the paper; "regime" over those of the regime.
        """
        first, *others = self._terms(regime, y_mean)
        return sum(others, first)

    def _terms(self, regime: str, y_mean: str) -> list[Array]:
        """The numbers that a numerator is the sum of."""
        spread = self.layout.over_kernel
        count = np.maximum(self._count(regime), 1)
        y, y_all = self._y(regime) / count, self.sums["y"] / self.sums["count"]
        mean = y if y_mean == "regime" else y_all
        terms = [xy / spread(count) for xy in self._xy(regime)] + [x * spread(-mean / count) for x in self._x(regime)]
        if y_mean != "regime" and regime != "linear":
            empty = self._count(regime) == 0
            terms.append(self.layout.inputs_over_kernel(self.centre["x"]) * spread(np.where(empty, 0.0, y - y_all)))
        return terms

    def pattern(self, regime: str, kernel: Array, y_mean: str = "all", epsilon: float = 1e-7) -> tuple[Array, Array]:
        """The pattern a = N / (w . N), and which neurons have none.

        Args:
            regime: "linear", "positive" or "negative".
            kernel: The layer's kernel, an array.
            y_mean: As for `numerator`.
            epsilon: The rounding unit of the numbers that were measured.

        Returns:
            The pattern in the kernel's shape, float64, with w . a = 1 for every neuron that has one and 0 for the
            others; and a boolean per neuron, True where there is none: it was never in the regime, its output is
            constant, or the denominator vanishes.
        """
        terms, rounding = self._terms(regime, y_mean), _VANISHED * epsilon
        numerator = sum(terms)
        denominator = self.layout.per_neuron(kernel * numerator)
        summed = self.layout.per_neuron(np.abs(kernel) * sum(map(np.abs, terms)))
        mean = self.centre["y"] + self.sums["y"] / self.sums["count"]
        constant = self.variance <= (rounding * mean) ** 2
        degenerate = constant | (np.abs(denominator) <= rounding * summed) | (self._count(regime) == 0)
        safe = np.where(degenerate, 1.0, denominator)
        return np.where(self.layout.over_kernel(degenerate), 0.0, numerator / self.layout.over_kernel(safe)), degenerate


def _other(regime: str) -> str:
    return "negative" if regime == "positive" else "positive"
