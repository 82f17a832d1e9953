"""Explanations of inputs that are not one image, side by side: a row for each sample, a column for each method.

Series are curves on the colour of their map, tables bars with the same rows for all methods, texts coloured tokens, volumes
slices. Needs matplotlib to draw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.checks import Text
from innspect.types import Array
from innspect.visualize import legends
from innspect.visualize.charts import draw_bars, draw_words, lines_of, new_figure, quiet, texts
from innspect.visualize.colours import colours
from innspect.visualize.forms import MOST_CURVES, Form, forms_of_explanation, input_pictures, picture_shades
from innspect.visualize.lettering import FONT, SMALL, names_over, text_width
from innspect.visualize.palettes import INKS, is_explanation, palette_of
from innspect.visualize.tokens import ids_shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from innspect.analyzers.base.explanation import Explanation

_MOST_BLOCKS = 64  # samples times inputs
_WIDE = {"image": 1.3, "volume": 2.0, "series": 3.0, "table": 2.4, "tokens": 3.4}  # inches of a column
_BAR, _BARS, _BAND, _LINE = 0.19, 12, 0.5, 0.3  # inches; how many bars
_LETTERS = 40  # of a line of tokens

Draw = Callable[["Axes", int, bool], None]  # of a column's number, and whether it is the first


@dataclass(eq=False)
class _Block:
    """An input of a sample: a cell for each method, and perhaps a picture of the input."""

    height: float
    draw: Draw
    picture: Array | None = None
    told: str = ""


@dataclass(frozen=True)
class _Look:
    palettes: list[str]
    ground: str


def drawn_apart(maps: Mapping[str, Any]) -> bool:
    """Whether these are explanations of inputs that are not one image."""
    return bool(maps) and all(
        is_explanation(each) and each.settings.get("kinds", "image") != "image" and np.ndim(each.targets) == 1
        for each in maps.values()
    )


def panels(
    explanations: "Mapping[str, Explanation]",
    captions: Sequence[str] | None = None,
    *,
    captions_label: str = "",
    palette: str | Mapping[str, str] | None = None,
    ground: str = "light",
    **scale: Any,
) -> "Figure":
    """Draw explanations of the same samples.

    Args:
        explanations: Dict from column label to `Explanation`, of the same inputs.
        captions: A text for each sample, of one line or several.
        captions_label: The label above the captions.
        palette, ground: As for `grid`.
        **scale: `percentile` and `gamma`, as for `heatmap`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The explanations are of different inputs, or of too many.
        ImportError: matplotlib is not installed.
    """
    forms = {str(label): forms_of_explanation(each, **scale) for label, each in explanations.items()}
    shapes = {label: [(form.name, len(form.values)) for form in each] for label, each in forms.items()}
    first = next(iter(shapes.values()))
    if any(each != first for each in shapes.values()):
        raise ValueError(f"All columns must be of the same inputs. Received: {shapes}")
    samples = first[0][1]
    if not 0 < samples * len(first) <= _MOST_BLOCKS:
        raise ValueError(f"At most {_MOST_BLOCKS} inputs can be drawn side by side. Received: {samples} of {len(first)} each")
    captions = texts("captions", captions, samples)
    Text().check("captions_label", captions_label)
    chosen = palette if isinstance(palette, Mapping) else dict.fromkeys(explanations, palette)
    look = _Look([chosen.get(label) or palette_of(each) for label, each in explanations.items()], ground)
    features = next(iter(explanations.values())).settings.get("features")
    blocks = []
    for i in range(samples):
        for number, (name, _) in enumerate(first):
            block = _block([each[number] for each in forms.values()], i, features, look)
            told = "" if captions is None or number else captions[i]
            block.told = "\n".join(part for part in (told, name) if part)
            blocks.append(block)
    width = max(_WIDE[form.kind] for form in next(iter(forms.values())))
    return _figure(list(forms), blocks, width, captions_label, look)


# ---------------------------------------------------------------------- the figure
def _figure(names: list[str], blocks: list[_Block], width: float, captions_label: str, look: _Look) -> "Figure":
    ink = INKS[look.ground]
    lines = [line for block in blocks for line in block.told.split("\n")] + [captions_label]
    beside = [max(text_width(line, FONT) for line in lines) + 0.15] if any(lines) else []
    seen = [_WIDE["image"]] if any(block.picture is not None for block in blocks) else []
    columns = [*beside, *seen, *[width] * len(names)]
    titles, _ = names_over([(name, 10.0) for name in names])
    shown = list(dict.fromkeys(look.palettes))
    foot = legends.HEIGHT * len(shown) + 0.1
    wide = max(sum(columns) + 0.6, *map(legends.width, shown)) + 0.2
    tall = sum(block.height for block in blocks) + 0.12 * len(blocks) + 0.5 + foot
    figure = new_figure(wide, tall, look.ground)
    rows = figure.add_gridspec(len(blocks), len(columns), width_ratios=columns, height_ratios=[b.height for b in blocks])
    for row, block in enumerate(blocks):
        if beside:
            axes = figure.add_subplot(rows[row, 0])
            axes.set_axis_off()
            axes.text(0, 1, block.told, fontsize=FONT, color=ink, va="top", parse_math=False)
            if row == 0:
                axes.set_title(captions_label, fontsize=FONT, color=ink, loc="left", parse_math=False)
        if seen:
            axes = figure.add_subplot(rows[row, len(beside)])
            axes.set_axis_off()
            if block.picture is not None:
                _picture(axes, block.picture)
            if row == 0:
                axes.set_title("input", fontsize=FONT, color=ink)
        for column, title in enumerate(titles):
            axes = figure.add_subplot(rows[row, len(columns) - len(names) + column])
            quiet(axes, look.ground)
            block.draw(axes, column, column == 0)
            if row == 0:
                axes.set_title("".join(title), fontsize=FONT, color=ink, parse_math=False)
    below = figure.add_axes((0, 0, 1, foot / tall))
    below.set_axis_off()
    below.set_xlim(-0.12, wide - 0.12)
    below.set_ylim(foot, 0)
    for number, palette in enumerate(shown):
        legends.legend(below, number * legends.HEIGHT + 0.04, palette, look.ground)
    figure.set_layout_engine("constrained", rect=(0, foot / tall, 1, 1 - foot / tall))
    return figure


# ---------------------------------------------------------------------- cells
def _block(forms: list[Form], i: int, features: Sequence[str] | None, look: _Look) -> _Block:
    first = forms[0]
    if first.flat:
        pictures = None if first.x is None else input_pictures(first.x[i : i + 1], first.kind)
        return _pictures(forms, i, None if pictures is None else pictures[0], look)
    known = None if first.x is None or first.x.shape[1:2] != first.values.shape[1:2] else np.asarray(first.x[i])
    if first.kind == "series":
        return _series(forms, i, None if known is None else known.astype("float64").reshape(len(known), -1), features, look)
    if first.kind == "tokens":
        return _tokens(forms, i, known, look)
    return _table(forms, i, known, features, look)


def _pictures(forms: list[Form], i: int, picture: Array | None, look: _Look) -> _Block:
    alone = [picture_shades(replace(form, shades=form.shades[i : i + 1]))[0] for form in forms]
    shades = [colours(each, palette, look.ground) for each, palette in zip(alone, look.palettes, strict=True)]
    high, wide = shades[0].shape[:2]

    def draw(axes: "Axes", column: int, first: bool) -> None:
        _picture(axes, shades[column])

    return _Block(float(np.clip(_WIDE[forms[0].kind] * high / wide, 0.5, 3.0)), draw, picture)


def _picture(axes: "Axes", image: Array) -> None:
    axes.imshow(image, interpolation="nearest" if max(image.shape) < 64 else "antialiased")
    axes.set_xticks([])
    axes.set_yticks([])


def _series(forms: list[Form], i: int, values: Array | None, features: Sequence[str] | None, look: _Look) -> _Block:
    """Channels in bands one above the other, on one scale; of many, a picture of steps and channels."""
    count = forms[0].shades.shape[2] if values is None else values.shape[1]
    bands = count if count <= MOST_CURVES else MOST_CURVES // 2
    names = features if features is not None and len(features) == count else [f"channel {c}" for c in range(count)]
    finite = np.zeros(0) if values is None else values[np.isfinite(values)]
    low, span = (float(finite.min()), float(np.ptp(finite))) if finite.size else (0.0, 0.0)

    def draw(axes: "Axes", column: int, first: bool) -> None:
        shade = forms[column].shades[i].T  # (channels or 1, steps)
        steps = shade.shape[1]
        image = colours(shade, look.palettes[column], look.ground)
        axes.imshow(image, extent=(-0.5, steps - 0.5, count, 0), aspect="auto", interpolation="nearest")
        if values is not None and count <= MOST_CURVES:
            for channel, line in enumerate(values.T):
                height = np.full(steps, 0.5) if not span else 0.9 - 0.8 * (line - low) / span
                axes.plot(np.arange(steps), channel + height, color=INKS[look.ground], linewidth=0.9)
                if channel:
                    axes.axhline(channel, color="#bbbbbb", linewidth=0.5)
        axes.set_xlim(-0.5, steps - 0.5)
        axes.set_ylim(count, 0)
        shown = names if first and 1 < count <= MOST_CURVES else []
        axes.set_yticks(np.arange(len(shown)) + 0.5, shown)
        if first and count > MOST_CURVES:
            axes.set_ylabel(f"{count} channels", fontsize=SMALL, color=INKS[look.ground])
        axes.tick_params(labelsize=7)

    return _Block(max(0.7, _BAND * bands), draw)


def _tokens(forms: list[Form], i: int, ids: Array | None, look: _Look) -> _Block:
    """A text, token by token; of ids without the zeros of their padding."""
    count = forms[0].values.shape[1]
    tokens = ids_shown(ids)[0] if ids is not None and ids.ndim == 1 else [str(number) for number in range(count)]
    places = lines_of(tokens, _LETTERS)

    def draw(axes: "Axes", column: int, first: bool) -> None:
        shades = colours(forms[column].shades[i, : len(tokens)], look.palettes[column], look.ground)
        draw_words(axes, tokens, places, shades, _LETTERS)

    return _Block(_LINE * (1 + max((line for _, line in places), default=0)), draw)


def _table(forms: list[Form], i: int, values: Array | None, features: Sequence[str] | None, look: _Look) -> _Block:
    """The features that are large in any of the methods, and the sum of the others."""
    rows = np.stack([np.nan_to_num(form.values[i].ravel(), posinf=0, neginf=0) for form in forms])
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    shares = (np.abs(rows) / np.where(largest > 0, largest, 1)).max(axis=0)
    order = np.argsort(-shares, kind="stable")[:_BARS]
    left = np.setdiff1d(np.arange(rows.shape[1]), order)
    count = rows.shape[1]
    names = features if features is not None and len(features) == count else [f"feature {n}" for n in range(count)]
    flat = None if values is None or values.size != count or values.dtype.kind not in "fiub" else values.ravel()
    labels = [names[n] if flat is None else f"{names[n]} = {flat[n]:.4g}" for n in order]
    labels += [f"{len(left)} others"] if left.size else []

    def draw(axes: "Axes", column: int, first: bool) -> None:
        row = rows[column]
        heights = np.append(row[order], row[left].sum()) if left.size else row[order]
        draw_bars(axes, labels if first else [""] * len(labels), heights, look.palettes[column], look.ground)
        axes.tick_params(labelsize=7)

    return _Block(0.25 + _BAR * len(labels), draw)
