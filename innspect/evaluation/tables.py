"""Scores as a table of text: what is shown in a terminal, a notebook and a page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from innspect.evaluation.results import RANDOM
from innspect.tables import Table

if TYPE_CHECKING:
    from innspect.evaluation.scores import Scores

_ARROWS = {True: " (higher)", False: " (lower)", None: ""}


def scores_table(scores: "Scores") -> Table:
    """Methods by metrics: mean and interval, the best marked where it is the best."""
    stars = {metric: scores.best(metric) for metric in scores.results}
    head = ["method", *(heading(m, _better(scores, m)) for m in scores.metrics)]
    rows = [[m, *(cell_of(scores, metric, m, stars.get(metric)) for metric in scores.metrics)] for m in scores.methods]
    return Table(head, rows, "\n".join(_notes(scores, stars)), left=1)


def heading(name: str, higher: bool | None) -> str:
    """A metric's name with what is better."""
    return name + _ARROWS[higher]


def unit_of(scores: "Scores") -> str:
    """What has a value, and is resampled: "sample", or "trained network"."""
    return str(scores.settings.get("unit", "sample"))


def _better(scores: "Scores", metric: str) -> bool | None:
    of = scores.results.get(metric, {})
    return next(iter(of.values())).higher_is_better if of else None


def cell_of(scores: "Scores", metric: str, method: str, best: str | None) -> str:
    """A method's mean and interval; "*" where it is the best."""
    if method not in scores.results.get(metric, {}):
        return "failed" if method in scores.failed.get(metric, {}) else "-"
    result = scores.results[metric][method]
    if np.isnan(result.mean):
        return "undefined"
    low, high = scores.interval(metric, method)
    text = f"{result.mean:.3g}" + ("" if np.isnan(low) else f" [{low:.3g}, {high:.3g}]")
    missing = int(result.undefined.sum())
    return text + (f" ({missing} undefined)" if missing else "") + (" *" if best == method else "")


def _notes(scores: "Scores", stars: dict[str, str | None]) -> Iterator[str]:
    first = next((r for of in scores.results.values() for r in of.values()), None)
    if first is not None:
        count = scores.settings.get("samples", len(first.values))
        kind = "bootstrap" if scores.interval_kind == "bootstrap" else "Student's t, Wilson for 0 and 1"
        yield f"mean over {count} {unit_of(scores)}{'s' * (count != 1)} [95 % interval, {kind}]" + (
            "" if count > 1 else f"; one {unit_of(scores)} has no interval"
        )
    if any(stars.values()):
        yield "* better than every other, random too: p < 0.05, paired t test, Holm over all pairs"
    for metric in scores.results:
        best, ties = scores.ranking(metric)
        if best == RANDOM:
            yield f"{metric}: no method has a better mean than random"
        elif best is not None and ties:
            yield f"{metric}: {best} has the best mean, and cannot be told from {', '.join(ties)}"
    reasons: dict[tuple[str, str], list[str]] = {}
    for metric, of in scores.failed.items():
        for method, why in of.items():
            reasons.setdefault((method, why), []).append(metric)
    for (method, why), metrics in reasons.items():
        where = "" if len(metrics) == len(scores.metrics) else f" by {', '.join(metrics)}"
        yield f"{method} failed{where}: {why}"
    for metric, why in scores.left_out.items():
        yield f"{metric} left out: {why}"
