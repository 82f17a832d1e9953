"""Showing pictures at once: below the cell of a notebook, elsewhere in the browser."""

import os
import sys
import tempfile
from typing import Any


def show(thing: Any) -> None:
    """Show what draws itself in notebooks: an `Explanation`, a report, a figure.

    Args:
        thing: It has `_repr_html_` or `_repr_png_`. Outside a notebook it becomes a file that the browser opens; where there is
            no browser, the file's name is printed.

    Raises:
        ValueError: It has neither.
    """
    as_page, as_png = getattr(thing, "_repr_html_", None), getattr(thing, "_repr_png_", None)
    if as_page is None and as_png is None:
        raise ValueError(f"`thing` must draw itself, as an explanation, a report or a figure does. Received: {thing!r:.80}")
    if _in_notebook():
        from IPython.display import display

        display(thing)
        return
    if as_png is not None:  # a figure, which has a page only where a server draws it
        _open(as_png(), ".png")
    elif as_page is not None:
        head = '<!DOCTYPE html>\n<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
        own = f'{head}<body style="background:#fff;color:#111;margin:16px">{as_page()}</body>\n'
        _open(getattr(thing, "html", own).encode(), ".html")


def _in_notebook() -> bool:
    """Whether a kernel runs this, which shows more than text; the shell in a terminal does not."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _open(content: bytes, ending: str) -> None:
    import webbrowser

    handle, path = tempfile.mkstemp(ending, "innspect-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    if not webbrowser.open(f"file://{path}"):
        print(f"written: {path}")
