"""The HTML page of an evaluation: which method is best by which metric, curves, maps with their scores, and the table."""

import json
from importlib import resources
from typing import Any

import numpy as np

from innspect.evaluation.drawing import charts_of, inks_of
from innspect.evaluation.registry import metrics
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.evaluation.tables import unit_of
from innspect.reports.charts import curves, whiskers
from innspect.reports.document import Page
from innspect.reports.page import _POLICY, _map, _uri
from innspect.reports.pictures import input_pictures
from innspect.tables import on_page
from innspect.types import Path

_WORDS = {True: "Higher is better", False: "Lower is better", None: "Neither high nor low is better by itself"}


def scores_report(
    scores: Scores, path: Path | None = None, *, title: str | None = None, names: Any = None, images: Any = None
) -> Page:
    """Put everything about an evaluation in one HTML page that loads nothing from elsewhere.

    Args:
        scores: From `innspect.evaluate`.
        path: A file to write it to.
        title: Heading.
        names: What the shown samples are called, a list of strings.
        images: The shown samples as they should be seen, (samples, height, width[, 1 or 3]), where x is preprocessed.

    Returns:
        A `Page`: `page.html`, `page.save(path)`; shown in notebooks.
    """
    page = Page(_page(scores, title or "Which explanation can be believed?", names, images))
    if path is not None:
        page.save(path)
    return page


def _page(scores: Scores, title: str, names: Any, images: Any) -> str:
    inks, count = inks_of(scores), scores.settings.get("samples", 0)
    about = f"{len(scores.methods) - 1} methods, {len(scores.metrics)} metrics, {count} {unit_of(scores)}{'s' * (count != 1)}; "
    about += f"innspect {scores.settings.get('innspect')}; dots are means over the {unit_of(scores)}s, lines 95 % intervals"
    return document(
        title,
        [
            f"<h1>{on_page(title)}</h1>\n<p>{on_page(about)}.</p>",
            *(f'<p class="verdict">{on_page(text)}</p>' for text in _verdicts(scores)),
            f'<div class="panels">{"".join(panel(scores, m, inks) for m in scores.results)}</div>',
            curves_of(scores, inks),
            samples_of(scores, names, images, "Some samples, with the scores of their maps"),
            f'<h2>The numbers</h2>\n<div class="wide">{scores.table().html()}</div>',
            settings_of(scores, scores.settings),
        ],
    )


def document(title: str, parts: list[str], style: str = "scores.css") -> str:
    """A page that loads nothing from elsewhere, with a style of its own besides that of all pages."""
    style = "\n".join(resources.files("innspect.reports").joinpath(f).read_text("utf-8") for f in ("page.css", style))
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en" style="--blend: 0.5">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{on_page(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            *parts,
            "</body>\n</html>\n",
        ]
    )


def _verdicts(scores: Scores) -> list[str]:
    """A sentence for each metric that has a better and a worse."""
    said = []
    for metric in scores.results:
        best, ties = scores.ranking(metric)
        if best is None:
            continue
        if best == RANDOM:
            said.append(f"{metric}: nothing is better than random maps.")
        elif ties:
            others = ", ".join(ties)
            said.append(f"{metric}: {best} has the best mean, but these {unit_of(scores)}s cannot tell it from {others}.")
        else:
            said.append(f"{metric}: {best} is better than every other method and than random maps.")
    return said


def panel(scores: Scores, metric: str, inks: dict[str, tuple[str, str]]) -> str:
    """A metric's means and intervals, and what it asks."""
    of = scores.results[metric]
    first = next(iter(of.values()))
    cells = {m: (r.mean, *scores.interval(metric, m)) for m, r in of.items()}
    chart = whiskers(cells, {m: inks[m][0] for m in of}, scores.best(metric), label=f"{metric} of each method")
    known = metrics().get(first.metric)
    asks = f"{known.asks} " if known is not None else ""
    return f"<div class=panel><h3>{on_page(metric)}</h3><p>{on_page(asks)}{_WORDS[first.higher_is_better]}.</p>{chart}</div>"


def curves_of(scores: Scores, inks: dict[str, tuple[str, str]]) -> str:
    """All curves, below the key of their colours."""
    panels = [
        f"<div class=panel><h3>{on_page(metric)}</h3>{curves(lines, label=axis)}</div>"
        for metric in scores.results
        for axis, lines in charts_of(scores.results[metric], inks)
    ]
    if not panels:
        return ""
    keys = "".join(
        f'<span><i{" class=dashed" * bool(dashes)} style="border-color:{colour}"></i>{on_page(m)}</span>'
        for m, (colour, dashes) in inks.items()
    )
    return f'<h2>Curves</h2>\n<div class="keys">{keys}</div>\n<div class="panels">{"".join(panels)}</div>'


def samples_of(scores: Scores, names: Any, images: Any, heading: str) -> str:
    """The first samples, with each method's map and its scores."""
    kept = scores.examples
    if not kept or not kept["maps"]:
        return ""
    shown = input_pictures(kept["x"] if images is None else images)
    sections = []
    for i in range(kept["count"]):
        name = str(names[i]) if names is not None else f"sample {i}"
        figures, style = [], ""
        if shown is not None:
            uri = _uri(shown[i])
            style = f' style="--base:url({uri})"'
            picture = f'<div class="stack"><img alt="{on_page(name)}" src="{uri}"></div>'
            figures.append(f"<figure>{picture}<figcaption>input</figcaption></figure>")
        for method, maps in kept["maps"].items():
            frame = _map(method, kept["settings"].get(method, {}), maps[i], 0, lambda picture: picture)
            frame = f'<div class="stack">{frame}</div>' if frame.startswith("<img") else frame
            told = "".join(f"<small>{on_page(text)}</small>" for text in _scores_of(scores, method, i))
            figures.append(f"<figure>{frame}<figcaption>{on_page(method)}{told}</figcaption></figure>")
        sections.append(
            f'<section class="input{" plain" * (shown is None)}"{style}>\n<h2>{on_page(name)}</h2>\n'
            f'<div class="maps">{"".join(figures)}</div>\n</section>'
        )
    return f"<h2>{on_page(heading)}</h2>\n" + "\n".join(sections)


def _scores_of(scores: Scores, method: str, sample: int) -> list[str]:
    found = []
    for metric, of in scores.results.items():
        if method in of and len(of[method].values) == scores.settings.get("samples"):
            value = of[method].values[sample]
            found.append(f"{metric}: {'undefined' if np.isnan(value) else format(value, '.3g')}")
    return found


def settings_of(scores: Scores, settings: dict[str, Any]) -> str:
    """All settings, folded up."""
    whole = settings | {"metrics": {m: next(iter(of.values())).settings for m, of in scores.results.items() if of}}
    text = json.dumps({k: v for k, v in whole.items() if k != "keys"}, indent=1, default=repr)
    return f"<details><summary>All settings</summary><pre>{on_page(text)}</pre></details>"
