"""A matplotlib figure that notebooks show, whether or not pyplot was ever imported. Needs matplotlib to be imported."""

import io
from typing import Any

from matplotlib.figure import Figure

_DPI = 110


class ShownFigure(Figure):
    """As `matplotlib.figure.Figure`, which pyplot's state knows nothing of; it shows itself."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()

    def show(self, warn: bool = True) -> Any:
        """Show it: below the cell in a notebook, elsewhere in the browser; `warn` is matplotlib's own and changes nothing."""
        from innspect.visualize.showing import show

        show(self)
