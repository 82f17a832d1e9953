"""The legend below a figure of maps: a strip of all colours with what they mean. Needs matplotlib to draw."""

from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.visualize.colours import colours
from innspect.visualize.lettering import SMALL, text_width
from innspect.visualize.palettes import INKS, stops_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 0.22  # inches, of a legend
_STRIP = 1.2  # inches: the length of its colours
_BELOW, _LEAST, _ABOVE, _MOST = (
    "negative",
    "least",
    "positive; every map has its own scale",
    "most; every map has its own scale",
)


def frame(axes: "Axes", extent: tuple[float, float, float, float]) -> None:
    """A thin line around what is drawn there."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = extent
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor="#cccccc", linewidth=0.5))


def _texts(palette: str) -> tuple[str, str]:
    return (_LEAST, _MOST) if stops_of(palette, "light")[1] is None else (_BELOW, _ABOVE)


def width(palette: str) -> float:
    """Inches that a palette's legend needs."""
    return sum(text_width(t, SMALL) for t in _texts(palette)) + _STRIP + 0.25


def legend(axes: "Axes", y: float, palette: str, ground: str) -> None:
    """A strip of all colours with what they mean, on axes whose unit is an inch, downwards."""
    height = 0.13
    before, after = _texts(palette)
    left = text_width(before, SMALL) + 0.08
    strip = colours(np.linspace(0 if before == _LEAST else -1, 1, 256)[None], palette, ground)
    extent = (left, left + _STRIP, y + height, y)
    axes.imshow(strip, extent=extent, aspect="auto", interpolation="nearest")
    frame(axes, extent)
    style: dict[str, Any] = {"fontsize": SMALL, "color": INKS[ground], "va": "center"}
    axes.text(left - 0.06, y + height / 2, before, ha="right", **style)
    axes.text(left + _STRIP + 0.06, y + height / 2, after, ha="left", **style)
