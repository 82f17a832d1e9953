"""What became of the explained value: how much of it reached the map, what kept the rest, and where."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from innspect.tables import Table
from innspect.types import Array

LOSSES = ("bias", "stabiliser", "dropped", "masked", "unexplained")
_WORDS = {  # of all layers, and of one: what is taken, and where it is below zero what is added
    "bias": ("{} went to biases", "biases added {}", "{} to the bias", "{} added by the bias"),
    "stabiliser": ("{} went to stabilisers", "stabilisers added {}", "{} to the stabiliser", "{} added by the stabiliser"),
    "dropped": ("{} was dropped", "-{} was dropped", "{} dropped", "-{} dropped"),
    "masked": ("{} did not pass the mask", "-{} did not pass the mask", "{} masked", "-{} masked"),
    "unexplained": ("{} is unexplained", "-{} is unexplained", "{} unexplained", "-{} unexplained"),
}
_LITTLE = 0.0005  # 0.1 % when rounded: less is not worth a word


class Loss(NamedTuple):
    """What one layer kept.

    Attributes:
        layer: Its path.
        rule: Its rule.
        share: Of the explained value; below zero where the layer added to it.
        cause: The largest part of it: "bias", "stabiliser", "dropped", "masked" or "unexplained".
    """

    layer: str
    rule: str
    share: float
    cause: str


@dataclass(frozen=True)
class ConservationSummary:
    """What became of the explained value. Printed, it is a sentence or two.

    All are shares of the explained value, means over the samples, weighted by its size, and sum to 1 with what is
    `unexplained`; a share is below zero where more was added than taken. NaN where nothing is explained, every value zero.

    Attributes:
        kept: What reached the map.
        bias, stabiliser, dropped, masked, unexplained: See `ConservationTable`.
        layers: A `Loss` for each of the layers that lose most, the largest first.
    """

    kept: float
    bias: float
    stabiliser: float
    dropped: float
    masked: float
    unexplained: float
    layers: tuple[Loss, ...]

    def __str__(self) -> str:
        if np.isnan(self.kept):
            return "Nothing was explained: every value is zero."
        shares = [(name, getattr(self, name)) for name in LOSSES]
        told = ", ".join(_said(name, share, 0) for name, share in shares if abs(share) >= _LITTLE)
        first = f"{percent(self.kept)} of the explained value reached the map" + (f"; {told}." if told else ".")
        losing = [loss for loss in self.layers if abs(loss.share) >= _LITTLE]
        if not losing:
            return first
        listed = ", ".join(f"{loss.layer} ({loss.rule}: {_said(loss.cause, loss.share, 2)})" for loss in losing)
        return f"{first} Most of that at {listed}."

    def _repr_html_(self) -> str:
        head, note = ["layer", "rule", "lost", "mostly to"], str(self).partition(" Most of that at ")[0]
        rows = [[loss.layer, loss.rule, percent(loss.share), loss.cause] for loss in self.layers]
        return Table(head, rows, note).html()


def _said(name: str, share: float, first: int) -> str:
    return _WORDS[name][first + (share < 0)].format(percent(abs(share)))


def percent(share: float) -> str:
    """A share in words: two digits are enough, and none of them zero for what is not."""
    size = abs(100 * share)
    if size >= 1e4:
        return f"{100 * share:.1e} %"
    return f"{100 * share:.0f} %" if size >= 9.95 else f"{100 * share:.2g} %"


def summarised(
    layers: list[str], rules: list[str], lost: dict[str, Array], explained: Array, kept: Array, count: int
) -> ConservationSummary:
    """The `ConservationSummary` of books.

    Args:
        layers, rules: Paths and rules.
        lost: Dict from each of `LOSSES` to an array (layers, samples).
        explained, kept: What started, and what reached the inputs, (samples,).
        count: How many layers are listed.
    """
    explained = explained.astype("float64")
    size = np.abs(explained).sum()
    if not size:
        nan = float("nan")
        return ConservationSummary(nan, nan, nan, nan, nan, nan, ())
    weights = np.sign(explained) / size

    def share(values: Array) -> Array:
        return values.astype("float64") @ weights

    shares = np.array([share(lost[name]) for name in LOSSES])  # (losses, layers)
    totals = shares.sum(axis=0)
    worst = np.argsort(-np.abs(totals), kind="stable")[:count]
    causes = [LOSSES[int(np.argmax(np.abs(shares[:, i])))] for i in worst]
    listed = tuple(
        Loss(layers[i], rules[i], float(totals[i]), cause) for i, cause in zip(worst, causes, strict=True) if totals[i]
    )
    of_all = {name: float(value) for name, value in zip(LOSSES, shares.sum(axis=1), strict=True)}
    return ConservationSummary(kept=float(share(kept)), layers=listed, **of_all)
