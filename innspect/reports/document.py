"""A finished HTML page: one file that loads nothing from elsewhere, kept, and shown in notebooks."""

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from innspect.tables import on_page

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass
class Page:
    """A finished page.

    Attributes:
        html: The document.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, whole or not at all."""
        from innspect.files import write

        write(path, self.html)

    def show(self) -> None:
        """Show it at once: below the cell in a notebook, elsewhere in the browser."""
        from innspect.visualize.showing import show

        show(self)

    def _repr_html_(self) -> str:
        return f'<iframe style="width:100%;height:80vh;border:0" srcdoc="{html.escape(self.html)}"></iframe>'


def document(
    title: str, parts: Sequence[str], *, styles: Sequence[str] = (), blend: float = 0.5, more: str = "", script: str = ""
) -> str:
    """An HTML document.

    Args:
        title: Of the browser's window.
        parts: The body's elements.
        styles: Names of style sheets beside "page.css".
        blend: Where maps over inputs start, from the input at 0 to the map at 1.
        more: Rules of style that the page needs.
        script: Name of the script that its controls need, such as "page.js"; "" for none.
    """
    style = "\n".join(map(_part, ("page.css", *styles))) + more
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en" style="--blend: {blend}">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{on_page(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>",
            *(part for part in parts if part),
            *([f"<script>\n{_part(script)}</script>"] if script else []),
            "</body>\n</html>\n",
        ]
    )


def _part(name: str) -> str:
    return resources.files("innspect.reports").joinpath(name).read_text(encoding="utf-8")
