"""Small tables for terminals and notebooks."""

import html
from collections.abc import Iterable


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
        widths = [max(len(row[i]) for row in [self.head, *self.rows]) for i in range(len(self.head))]

        def line(row: list[str]) -> str:
            cells = [c.ljust(w) if i < self.left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            return "  ".join(cells).rstrip()

        rule = "  ".join("-" * w for w in widths)
        return "\n".join([line(self.head), rule, *map(line, self.rows), *([self.note] if self.note else [])])

    def html(self) -> str:
        def row(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

        body = "".join(row(r, "td") for r in self.rows)
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"<table><thead>{row(self.head, 'th')}</thead><tbody>{body}</tbody></table>{note}"
