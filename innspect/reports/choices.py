"""The HTML page of a choice: the answer on top, then scores, curves, and maps of the best methods and of a random one."""

from dataclasses import replace
from typing import Any

from innspect.evaluation.choosing.choice import Choice
from innspect.evaluation.choosing.words import summary_table
from innspect.evaluation.drawing import inks_of
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.reports.arguments import check_entries
from innspect.reports.document import Page, document
from innspect.reports.scores import curves_of, panel, samples_of, settings_of
from innspect.tables import on_page
from innspect.types import Path


def choice_report(
    choice: Choice, path: Path | None = None, *, title: str | None = None, names: Any = None, images: Any = None
) -> Page:
    """Put a choice in one HTML page that loads nothing from elsewhere.

    Args:
        choice: From `innspect.choose`.
        path: A file to write it to.
        title: Heading.
        names: What each of the samples is called, a list of strings.
        images: The samples as they should be seen, (samples, height, width[, 1 or 3]), where x is preprocessed.

    Returns:
        A `Page`: `page.html`, `page.save(path)`; shown in notebooks.
    """
    page = Page(_page(choice, title or "Which method should I take here?", names, images))
    if path is not None:
        page.save(path)
    return page


def _page(choice: Choice, title: str, names: Any, images: Any) -> str:
    images = check_entries(choice.settings["samples"], names, images)
    names = [f"sample {i}" if names is None else names[i] for i in choice.examples]
    images = None if images is None else images[choice.examples]
    first, *others = choice.text
    scores, table = _shown(choice), summary_table(choice)
    used = [metric for metric in scores.results if metric in choice.decision.used]
    inks = inks_of(scores)
    told = "; ".join(
        [
            f"{choice.settings['used']} of {choice.settings['samples']} samples",
            f"{len(choice.order)} methods tried",
            f"{choice.settings['spent']:.0f} s",
            f"innspect {choice.settings['innspect']}",
        ]
    )
    half = "that had no part in the choice" if choice.confirm is not None else "that decided"
    about = (
        f"Scores on the samples {half}. Dots are means, lines their 95 % intervals; what is no better than random says nothing."
    )
    panels = [panel(scores, metric, inks) for metric in used]
    return document(
        title,
        [
            f"<h1>{on_page(title)}</h1>\n<p>{on_page(told)}.</p>",
            f'<div class="answer"><p class="headline">{on_page(first)}</p>',
            *(f"<p>{on_page(text)}</p>" for text in others),
            "</div>",
            f'<h2>How much better than random maps?</h2>\n<p>{on_page(about)}</p>\n<div class="panels">{"".join(panels)}</div>'
            if panels
            else "",
            samples_of(scores, names, images, "What the best of them look like, beside a random map"),
            curves_of(scores, inks),
            f'<h2>All methods tried</h2>\n<div class="wide">{table.html()}</div>' if table.rows else "",
            settings_of(choice.final, choice.settings),
        ],
        styles=["scores.css"],
    )


def _shown(choice: Choice) -> Scores:
    """The scores of the best methods and of random maps, the best first."""
    scores, methods = choice.final, [*choice.shown, RANDOM]
    results = {metric: {m: of[m] for m in methods if m in of} for metric, of in scores.results.items()}
    kept = scores.examples
    if kept:
        kept = kept | {"maps": {m: kept["maps"][m] for m in methods if m in kept["maps"]}}
    settings = scores.settings | {"methods": methods}
    return replace(scores, results={m: of for m, of in results.items() if of}, failed={}, settings=settings, examples=kept)
