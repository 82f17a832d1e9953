"""Labelled grids of maps. Needs matplotlib; no global setting of it is read or changed beyond the user's fonts.

Everything is placed in inches on one pair of axes, so that a grid of hundreds of maps is drawn in a moment and labels
get exactly the room that they need.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import ListOf, Number, OneOf, Text
from innspect.types import Array
from innspect.visualize import legends
from innspect.visualize.captions import captions_of
from innspect.visualize.charts import new_figure, texts
from innspect.visualize.colours import heatmap, numeric, told
from innspect.visualize.images import pictures
from innspect.visualize.lettering import FONT, SMALL, names_over, text_width, wrapped
from innspect.visualize.palettes import INKS, is_explanation, palette_of
from innspect.visualize.panels import drawn_apart, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from innspect.analyzers.base.explanation import Explanation

_ANGLE = 50  # of the column labels, in degrees
_GAP, _FAMILY_GAP, _MARGIN = 0.05, 0.16, 0.12  # inches
_PALE = "#999999"


@dataclass(eq=False)
class _Column:
    label: str
    images: Array
    x: float = 0.0
    width: float = 0.0


@dataclass
class _Layout:
    """Where everything is, in inches from the upper left corner of the cells."""

    columns: list[_Column]
    height: float
    captions_x: float = 0.0
    right: float = 0.0
    families: list[list[Any]] = field(default_factory=list)  # [label, left, right]


def grid(
    maps: "Mapping[str, ArrayLike | Explanation] | Explanation",
    *,
    images: ArrayLike | None = None,
    of: Mapping[str, Any] | None = None,
    captions: Sequence[str] | None = None,
    captions_label: str = "",
    families: Mapping[str, Sequence[str]] | None = None,
    cell: float = 0.55,
    reduce: str = "sum",
    channel_axis: int = -1,
    percentile: float | None = None,
    gamma: float = 1.0,
    palette: str | Mapping[str, str] | None = None,
    ground: str = "light",
) -> "Figure":
    """Draw attributions as a grid: one row a sample, one column a method.

    Args:
        maps: Dict from column label to attributions, each (samples, height, width[, channels]); see `heatmap` for the
            colours. Columns may differ in height and width, not in the number of samples. Arrays (samples, height,
            width, 3) of bytes are pictures already and drawn as they are: those of `signal` and `overlay`. An `Explanation`
            knows its method, and so does a column whose label is the name of one. An `Explanation` alone is one column.
            Explanations of series, tables, tokens, volumes and several inputs become curves, bars, coloured tokens and slices;
            `images`, `families`, `cell`, `reduce` and `channel_axis` are not for them.
        images: The inputs, drawn first: (samples, height, width[, 1 or 3 channels]), grey or in colour. None takes those of an
            `Explanation` among the maps, if they are pictures.
        of: Dict from column label to whose map it is, as for `heatmap`, where the label or the map does not tell.
        captions: A text for each sample, of one line or several, drawn beside the image: the prediction, say.
        captions_label: The label above the captions.
        families: Dict from the label of a family to the labels of its columns, which stand together.
        cell: Height of a row in inches, at most 100.
        reduce: As for `heatmap`.
        channel_axis: As for `heatmap`; it holds for `images` too.
        percentile, gamma: As for `heatmap`.
        palette: As for `heatmap`; or a dict from column label to palette, where it leaves one out, what suits the method.
        ground: "light" or "dark": the page's colour, which zero has as well.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig("maps.png", dpi=160)` writes it.

    Raises:
        ValueError: Nothing to draw, or samples that differ in number.
        ImportError: matplotlib is not installed.
    """
    colouring: dict[str, Any] = {
        "reduce": reduce,
        "channel_axis": channel_axis,
        "percentile": percentile,
        "gamma": gamma,
        "ground": ground,
    }
    named: Any = maps
    if is_explanation(maps):
        captions = captions_of(maps) if captions is None and np.ndim(maps.targets) == 1 else captions
        named = {str(maps.settings.get("method", "map")): maps}
    families, whose = ({} if given is None else given for given in (families, of))
    for given, name, kind in ((named, "maps", "arrays"), (families, "families", "lists of labels"), (whose, "of", "methods")):
        if not isinstance(given, Mapping):
            raise ValueError(f"`{name}` must be a dict from labels to {kind}. Received: {given!r:.80}")
    if drawn_apart(named):
        if images is not None or families:
            raise ValueError("`images` and `families` are for maps of images. Received: explanations of other inputs")
        scale = {"percentile": percentile, "gamma": gamma}
        return panels(named, captions, captions_label=captions_label, palette=palette, ground=ground, **scale)
    if images is None:
        images = next((x for x in map(_images_of, named.values()) if x is not None), None)
    chosen = palette if isinstance(palette, Mapping) else dict.fromkeys(named, palette)
    drawn = {n: _coloured(n, a, whose.get(n), chosen.get(n), colouring) for n, a in named.items()}
    columns = [_Column(str(name), a) for name, (a, _) in drawn.items()]
    shown = [] if images is None else [_Column("images", pictures(images, channel_axis=channel_axis))]
    _check(columns, shown, families, named)
    Number(100).check("cell", cell)
    Text().check("captions_label", captions_label)
    captions = texts("captions", captions, len(columns[0].images))
    figure = new_figure(1, 1, ground)  # grows to what the layout needs
    layout = _lay_out([replace(column, label="input") for column in shown], columns, captions, captions_label, families, cell)
    palettes = list(dict.fromkeys(p for _, p in drawn.values() if p is not None))
    _draw(figure, layout, captions, captions_label, cell, palettes, ground)
    return figure


def _images_of(given: Any) -> Array | None:
    """The inputs of an `Explanation`, if they are pictures."""
    if not is_explanation(given) or not isinstance(given.x, np.ndarray) or given.settings.get("kinds", "image") != "image":
        return None
    x = given.x
    return x if x.dtype.kind in "fiub" and (x.ndim == 3 or (x.ndim == 4 and x.shape[-1] in (1, 3))) else None


def _coloured(label: Any, given: Any, of: Any, palette: str | None, colouring: dict[str, Any]) -> tuple[Array, str | None]:
    """A column's pictures, and the palette of which they need a legend."""
    array, of = told("maps", given, of)
    if _is_picture(array):
        return np.asarray(array), None
    if of is None and isinstance(label, str):
        of = label  # which does not know the method's arguments: what has values below zero keeps its signs
        if palette is None and np.less(numeric("maps", array), 0).any():
            palette = palette_of(None)
    palette = palette_of(of) if palette is None else palette
    return heatmap(array, of=of, palette=palette, **colouring), palette


def _is_picture(given: ArrayLike) -> bool:
    array = np.asarray(given)
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3


def _check(
    columns: list[_Column],
    shown: list[_Column],
    families: Mapping[str, Sequence[str]],
    maps: Mapping[str, Any],
) -> None:
    if not columns or not len(columns[0].images):
        raise ValueError(f"`maps` must hold at least one map of at least one sample. Received: {list(maps)}")
    counts = {c.label: len(c.images) for c in columns + shown}
    if len(set(counts.values())) > 1:
        raise ValueError(f"All columns must have the same number of samples. Received: {counts}")
    listed = ListOf(OneOf(*maps))
    for label, names in families.items():
        if not listed.holds(names):
            raise ValueError(f"`families` must hold lists of labels of `maps`. Received: {names!r} for {label!r}")


# ---------------------------------------------------------------------- where things go
def _lay_out(
    shown: list[_Column],
    columns: list[_Column],
    captions: Sequence[str] | None,
    captions_label: str,
    families: Mapping[str, Sequence[str]],
    cell: float,
) -> _Layout:
    layout = _Layout([*shown, *columns], height=len(columns[0].images) * (cell + _GAP) - _GAP)
    family_of = {label: family for family, labels in families.items() for label in labels}
    x = 0.0
    previous: str | None = None
    for column in layout.columns:
        family = None if column in shown else family_of.get(column.label)
        if column is columns[0] and captions is not None:
            layout.captions_x = x + _GAP
            lines = [line for text in [*captions, captions_label] for line in text.split("\n")]
            x += max(text_width(line, FONT) for line in lines) + 2 * _GAP + _FAMILY_GAP
        elif x and (column is columns[0] or family != previous):
            x += _FAMILY_GAP
        height, width = column.images.shape[1:3]
        column.x, column.width = x, cell * min(max(width / height, 0.2), 8.0)
        if family is not None and family == previous:
            layout.families[-1][2] = x + column.width
        elif family is not None:
            layout.families.append([family, x, x + column.width])
        x, previous = x + column.width + _GAP, family
    layout.right = x - _GAP
    return layout


# ---------------------------------------------------------------------- drawing
def _draw(
    figure: "Figure",
    layout: _Layout,
    captions: Sequence[str] | None,
    captions_label: str,
    cell: float,
    palettes: list[str],
    ground: str,
) -> None:
    ink = INKS[ground]
    families = [(wrapped(label, right - left + _FAMILY_GAP), left, right) for label, left, right in layout.families]
    slope = math.radians(_ANGLE)
    names, turned = names_over([(c.label, c.width) for c in layout.columns])
    labels = [(c.x + c.width / 2, lines) for c, lines in zip(layout.columns, names, strict=True)]
    widths = [max(text_width(line, FONT) for line in lines) for _, lines in labels]
    if turned:
        above = max(widths) * math.sin(slope) + 0.25
        beside = max(x + width * math.cos(slope) + 0.15 for (x, _), width in zip(labels, widths, strict=True))
    else:
        above, beside = 0.1 + 0.16 * max(map(len, names)), 0.0
    line = SMALL * 1.25 / 72
    below = (0.1 + line * max((len(lines) for lines, _, _ in families), default=0)) + 0.2
    wide = max(beside, layout.right, *map(legends.width, palettes)) + 2 * _MARGIN
    foot = below + legends.HEIGHT * len(palettes)
    tall = above + layout.height + foot + 2 * _MARGIN

    figure.set_size_inches(wide, tall)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    for column in layout.columns:
        for row, image in enumerate(column.images):
            top = row * (cell + _GAP)
            extent = (column.x, column.x + column.width, top + cell, top)
            axes.imshow(
                image, extent=extent, interpolation="nearest" if max(image.shape) < 64 else "antialiased", aspect="auto"
            )
            legends.frame(axes, extent)
    style: dict[str, Any] = {"rotation": _ANGLE, "rotation_mode": "anchor", "ha": "left", "va": "center"}
    style = style if turned else {"ha": "center", "va": "bottom"}
    for x, lines in labels:
        y = -0.09 * len(lines) if turned else -0.07
        axes.text(x, y, "\n".join(lines), fontsize=FONT, color=ink, linespacing=1.15, **style)
    if captions is not None:
        for row, caption in enumerate(captions):
            axes.text(layout.captions_x, row * (cell + _GAP) + cell / 2, caption, fontsize=FONT, color=ink, va="center")
        axes.text(layout.captions_x, -0.07, captions_label, fontsize=FONT, color=ink, va="baseline")
    for lines, left, right in families:
        y = layout.height + 0.07
        axes.plot([left, right], [y, y], color=_PALE, linewidth=1)
        axes.text((left + right) / 2, y + 0.05, "\n".join(lines), fontsize=SMALL, color=ink, ha="center", va="top")
    for number, palette in enumerate(palettes):
        legends.legend(axes, layout.height + below + number * legends.HEIGHT + 0.06, palette, ground)
    axes.set_xlim(-_MARGIN, wide - _MARGIN)
    axes.set_ylim(layout.height + foot + _MARGIN, -above - _MARGIN)
