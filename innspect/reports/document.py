"""A finished HTML page: kept in a file, and shown in notebooks."""

import html
import os
from dataclasses import dataclass


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

    def _repr_html_(self) -> str:
        return f'<iframe style="width:100%;height:80vh;border:0" srcdoc="{html.escape(self.html)}"></iframe>'
