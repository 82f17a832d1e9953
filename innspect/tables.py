"""Text for terminals, notebooks and pages, whoever wrote it; and small tables."""

import html
import unicodedata
from collections.abc import Iterable

_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_SCREEN = 24  # rows


def printable(text: object, kept: str = "") -> str:
    """A text that steers no terminal and does not show its letters in another order than they are in.

    Control characters, marks of direction, ends of lines, and bytes of a file's name that are no text are written as Python
    escapes them, but for those that are `kept`. A label may come from anywhere.
    """
    return "".join(c.encode("unicode_escape").decode() if _steers(c) and c not in kept else c for c in str(text))


def _steers(character: str) -> bool:
    return character in _DIRECTIONS or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def on_page(text: object) -> str:
    """A text as HTML that shows it; its lines stay."""
    return html.escape(printable(text, kept="\n\t"))


class Table:
    """Rows of text under a head, with a note below.

    Args:
        head: Names of the columns.
        rows: Lists of strings.
        note: A line below the table.
        left: How many columns are aligned to the left; the others are numbers.
    """

    def __init__(self, head: Iterable[str], rows: Iterable[Iterable[str]], note: str = "", left: int = 2):
        self.head, self.rows, self.note, self.left = list(head), [list(r) for r in rows], note, left

    def __str__(self) -> str:
        lines = [[printable(cell) for cell in row] for row in [self.head, *self.rows]]
        widths = [max(len(row[i]) for row in lines) for i in range(len(self.head))]

        def line(row: list[str]) -> str:
            cells = [c.ljust(w) if i < self.left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            return "  ".join(cells).rstrip()

        rule = "  ".join("-" * w for w in widths)
        return "\n".join(
            [line(lines[0]), rule, *map(line, lines[1:]), *([printable(self.note, kept="\n")] if self.note else [])]
        )

    def html(self) -> str:
        """The table for a page; the note of one that is longer than a screen stands above it."""

        def row(cells: list[str], tag: str) -> str:
            aligned = ("left" if i < self.left else "right" for i in range(len(cells)))
            parts = (f'<{tag} style="text-align:{side}">{on_page(c)}</{tag}>' for c, side in zip(cells, aligned, strict=True))
            return f"<tr>{''.join(parts)}</tr>"

        body = "".join(row(r, "td") for r in self.rows)
        note = f"<p>{on_page(self.note)}</p>" if self.note else ""
        table = f"<table><thead>{row(self.head, 'th')}</thead><tbody>{body}</tbody></table>"
        return note + table if len(self.rows) > _SCREEN else table + note
