"""What is drawn of results: curves with bands, in each method's colour; for figures and pages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from innspect.evaluation.intervals import interval
from innspect.evaluation.results import RANDOM, Result
from innspect.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from innspect.evaluation.scores import Scores

_AXES = {"morf": "hidden, the most relevant first", "lerf": "hidden, the least relevant first"}

# Told apart by most eyes, on white and on black (after Okabe and Ito, 2008); further methods repeat them, dashed.
INKS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7a5195", "#8c564b")
RANDOM_INK = "#8a8a90"


def ink(number: int, random: bool = False) -> tuple[str, str]:
    """The colour and the dashes of a method's line."""
    return (RANDOM_INK, "2 4") if random else (INKS[number % len(INKS)], "" if number < len(INKS) else "7 3")


def inks_of(scores: "Scores") -> dict[str, tuple[str, str]]:
    """The colour and the dashes of each method."""
    return {m: ink(k, m == RANDOM) for k, m in enumerate(scores.methods)}


@dataclass(frozen=True)
class Line:
    """A mean curve with its band.

    Attributes:
        label: Whose it is.
        x, mean, low, high: Arrays of one length.
        colour, dashes: See `ink`.
    """

    label: str
    x: Array
    mean: Array
    low: Array
    high: Array
    colour: str
    dashes: str = ""


def curve_lines(results: dict[str, Result], name: str, inks: dict[str, tuple[str, str]]) -> list[Line]:
    """Mean curves over the samples with pointwise t bands, over the share of steps."""
    lines = []
    for method, result in results.items():
        curve = result.curves.get(name)
        if curve is None or curve.ndim != 2 or curve.shape[1] < 2:
            continue
        bands = np.array([interval(column) for column in curve.T])
        with np.errstate(invalid="ignore"):
            counts = (~np.isnan(curve)).sum(axis=0)
            mean = np.nansum(curve, axis=0) / np.maximum(counts, 1)
        x = np.linspace(0, 1, curve.shape[1])
        lines.append(Line(method, x, np.where(counts > 0, mean, np.nan), bands[:, 0], bands[:, 1], *inks[method]))
    return lines


def charts_of(results: dict[str, Result], inks: dict[str, tuple[str, str]]) -> Iterator[tuple[str, list[Line]]]:
    """(name of the axis, lines) for each kind of curve that a metric has."""
    for name in dict.fromkeys(n for r in results.values() for n in r.curves):
        lines = curve_lines(results, name, inks)
        if lines:
            shown = results[lines[0].label].metric == "insertion"
            yield "shown, the most relevant first" if shown else _AXES.get(name, name), lines


def drawn(scores: "Scores", metrics: Sequence[str], ground: str) -> "Figure":
    """The figure of `Scores.plot`."""
    from innspect.visualize.curves import panels

    inks = inks_of(scores)
    styles = {m: (colour, (0, tuple(map(int, dashes.split()))) if dashes else "-") for m, (colour, dashes) in inks.items()}
    arrows = {True: "higher is better", False: "lower is better", None: ""}
    charts: list = []
    for metric in metrics:
        of = scores._of(metric)
        means = {m: (r.mean, *scores.interval(metric, m)) for m, r in of.items()}
        charts.append((metric, arrows[next(iter(of.values())).higher_is_better], means))
    for metric in metrics:
        for axis, lines in charts_of(scores.results[metric], inks):
            charts.append((metric, axis, {line.label: (line.x, line.mean, line.low, line.high) for line in lines}))
    return panels(charts, styles, ground=ground)
