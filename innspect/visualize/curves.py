"""Curves with bands, and means with intervals, as one figure. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from innspect.types import Array
from innspect.visualize.charts import new_figure
from innspect.visualize.palettes import INKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _HIGH = 4.6, 3.1  # inches of a panel
Curve = tuple[Array, Array, Array, Array]  # x, mean, low, high
Mean = tuple[float, float, float]  # mean, low, high


def panels(
    charts: Sequence[tuple[str, str, Mapping[str, Curve | Mean]]],
    styles: Mapping[str, tuple[str, Any]],
    *,
    columns: int = 3,
    ground: str = "light",
) -> "Figure":
    """A panel for each chart, side by side.

    Args:
        charts: (title, name of the axis, dict from label to a curve (x, mean, low, high) or to a mean (mean, low, high)).
        styles: Dict from label to (colour, dashes as matplotlib takes them).
        columns: How many panels stand side by side.
        ground: "light" or "dark".

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is no chart.
    """
    if not charts:
        raise ValueError("`charts` must hold at least one chart. Received: none")
    columns = min(columns, len(charts))
    rows = -(-len(charts) // columns)
    figure = new_figure(_WIDE * columns, _HIGH * rows, ground)
    figure.set_layout_engine("constrained")
    for k, (title, axis, lines) in enumerate(charts):
        axes = figure.add_subplot(rows, columns, k + 1)
        _quiet(axes, ground)
        axes.set_title(title, fontsize=11, loc="left", color=INKS[ground])
        curved = all(len(line) == 4 for line in lines.values())
        (_curves if curved else _means)(axes, lines, styles, ground)
        axes.set_xlabel(axis, fontsize=9, color=INKS[ground])
        if curved and k == 0:
            axes.legend(fontsize=8, frameon=False, labelcolor=INKS[ground])
    return figure


def _quiet(axes: "Axes", ground: str) -> None:
    axes.set_facecolor("none")
    axes.tick_params(colors=INKS[ground], labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INKS[ground])


def _curves(axes: "Axes", lines: Mapping[str, Any], styles: Mapping[str, tuple[str, Any]], ground: str) -> None:
    for label, (x, mean, low, high) in lines.items():
        colour, dashes = styles[label]
        axes.plot(x, mean, color=colour, linestyle=dashes, linewidth=1.8, label=label)
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")


def _means(axes: "Axes", lines: Mapping[str, Any], styles: Mapping[str, tuple[str, Any]], ground: str) -> None:
    for place, (label, (mean, low, high)) in enumerate(lines.items()):
        colour, _ = styles[label]
        axes.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.55, solid_capstyle="butt")
        axes.plot([mean], [place], "o", color=colour, markersize=6)
    axes.set_yticks(range(len(lines)), list(lines))
    axes.invert_yaxis()
    axes.grid(axis="x", color=INKS[ground], alpha=0.15)
