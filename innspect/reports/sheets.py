"""The page that people answer: one picture after the other, buttons and keys, and a file of answers in the end."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from innspect.reports.document import document
from innspect.reports.pictures import photograph_uri
from innspect.tables import on_page
from innspect.types import Array

FORMAT = "innspect-answers"


def sheet_page(
    title: str,
    question: Any,
    shown: Sequence[tuple[Sequence[Array], Sequence[str], str]],
    pictures: Array,
    samples: Sequence[int],
    key: str,
) -> str:
    """The page.

    Args:
        title: Heading.
        question: A `Question`.
        shown: For each item the maps over the picture, uint8 (height, width, 3), from left to right; what is offered; and
            what the explained class is called.
        pictures: The samples, uint8 (samples, height, width, 3).
        samples: The sample of each item.
        key: What was drawn, as JSON: it goes into the answers.

    Returns:
        An HTML document as a string.
    """
    held = base64.b64encode(key.encode()).decode()
    identity = hashlib.sha256(held.encode()).hexdigest()[:16]
    items = [
        _item(n, question, found, words, told, pictures[sample])
        for n, ((found, words, told), sample) in enumerate(zip(shown, samples, strict=True))
    ]
    keys = f"<kbd>1</kbd> to <kbd>{len(question.answers)}</kbd> answer, <kbd>&larr;</kbd> <kbd>&rarr;</kbd> go back and forth"
    return document(
        title,
        [
            f"<h1>{on_page(title)}</h1>\n<p>{len(items)} questions. {keys}. Nothing leaves this page: in the end you save a "
            "file, and give it to who asked you.</p>",
            "<noscript><p>This page needs JavaScript to keep your answers.</p></noscript>",
            '<div class="bar"><i></i></div>',
            *items,
            _end(),
            f'<script type="application/json" id="sheet" data-format="{FORMAT}" data-sheet="{identity}" '
            f'data-key="{held}"></script>',
        ],
        styles=["sheet.css"],
        script="sheet.js",
    )


def _item(n: int, question: Any, found: Sequence[Array], words: Sequence[str], told: str, picture: Array) -> str:
    figures = [("The picture", picture)]
    if len(found) == 2:
        figures += [("Left", found[0]), ("Right", found[1])]
        about = f"<p>The answer that is explained: <b>{on_page(told)}</b></p>"
    else:
        figures, about = [("The explanation", found[0])], ""
    small = " small" if max(picture.shape[:2]) < 64 else ""
    images = "".join(
        f'<figure><img alt="{caption}" src="{photograph_uri(image)}"><figcaption>{caption}</figcaption></figure>'
        for caption, image in figures
    )
    buttons = "".join(
        f'<button type="button" value="{i}"><kbd>{i + 1}</kbd> {on_page(answer.format(*words))}</button>'
        for i, answer in enumerate(question.answers)
    )
    kind = "item one" if len(found) == 1 else "item"
    return (
        f'<section class="{kind}" data-item="{n}" hidden><h2 tabindex="-1">{on_page(question.text)}</h2>{about}'
        f'<div class="figures{small}">{images}</div><div class="answers" role="group">{buttons}</div></section>'
    )


def _end() -> str:
    return (
        '<section class="item" id="end" hidden><h2 tabindex="-1">Thank you</h2><p id="left"></p>'
        "<p><label>Your name or a number, if you were given one "
        '<input id="rater" autocomplete="off" maxlength="80"></label></p>'
        '<p><button type="button" id="save">Save the answers</button></p>'
        "<details><summary>The answers as text, should saving fail: copy them into a file</summary>"
        '<textarea id="text" readonly rows="8" aria-label="The answers as text"></textarea></details></section>'
        '<nav class="steps"><button type="button" id="back">&larr; Back</button><span id="place" aria-live="polite"></span>'
        '<button type="button" id="on">On &rarr;</button></nav>'
    )
