"""Figures for inputs that are no images: series along time, and tables of features. Needs matplotlib."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import Integer, OneOf, Texts
from innspect.types import Array
from innspect.visualize.captions import captions_of
from innspect.visualize.colours import colours, inputs_of, numeric, reduce, scaled, told
from innspect.visualize.palettes import GROUNDS, INKS, is_explanation, palette_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from innspect.analyzers.base.explanation import Explanation

_MOST_ROWS = 64
_STYLES = ("-", "--", ":", "-.")
_ROW, _WIDE, _BAR = 1.1, 7.0, 0.24  # inches
_LETTERS = 86  # of a line of tokens


def new_figure(width: float, height: float, ground: str = "light") -> "Figure":
    """An empty matplotlib figure in inches, which no global state knows of and notebooks show.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401

        from innspect.visualize.shown_figure import ShownFigure
    except ImportError as error:
        raise ImportError("Figures need matplotlib: `pip install matplotlib`, or innspect with its extra `plot`.") from error
    OneOf(*GROUNDS).check("ground", ground)
    return ShownFigure(figsize=(width, height), facecolor=_colour_of(ground))


def series(
    values: "ArrayLike | Explanation",
    attribution: "ArrayLike | Explanation | None" = None,
    *,
    of: Any = None,
    names: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    reduce: str = "sum",
    percentile: float | None = None,
    gamma: float = 1.0,
    palette: str | None = None,
    ground: str = "light",
) -> "Figure":
    """Draw series as lines on the colour of their attributions: a row for each channel of each sample.

    The channels of a sample share one scale, so that they can be compared.

    Args:
        values: (samples, steps) or (samples, steps, channels). Or an `Explanation`, which has its inputs; then alone.
        attribution: The same shape; or (samples, steps) for values with channels, which are then drawn together. Or an
            `Explanation`.
        of: Whose they are where `attribution` is an array, as for `heatmap`.
        names: The names of the channels.
        captions: One line of text for each sample.
        reduce: How channels are taken together where `attribution` has some and `values` has none.
        percentile, gamma, palette, ground: As for `heatmap`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes do not fit, or there are more than 64 rows.
        ImportError: matplotlib is not installed.
    """
    if attribution is None:
        values, attribution = inputs_of("attribution", values), values
    array, of = told("attribution", attribution, of)
    palette = palette_of(of) if palette is None else palette
    values, array = _steps(values, array, reduce)
    shades = scaled(array, percentile, gamma, of)
    samples, _, rows = shades.shape
    if not 0 < samples * rows <= _MOST_ROWS:
        raise ValueError(f"`values` must make at least one and at most {_MOST_ROWS} rows. Received: {samples * rows} rows")
    names = texts("names", names, values.shape[2]) or [f"channel {i}" for i in range(values.shape[2])]
    captions = texts("captions", captions, samples)
    figure = new_figure(_WIDE, _ROW * samples * rows + 0.5, ground)
    axes = figure.subplots(samples * rows, 1, squeeze=False, sharex=True)[:, 0]
    for number, ax in enumerate(axes):
        sample, row = divmod(number, rows)
        lines = values[sample] if rows < values.shape[2] else values[sample][:, row : row + 1]
        _line(ax, lines, colours(shades[sample, :, row], palette, ground), ground)
        if captions is not None and row == 0:
            ax.set_title(captions[sample], fontsize=9, loc="left", color=INKS[ground])
        if rows > 1:
            ax.set_ylabel(names[row], fontsize=8, color=INKS[ground])
        elif values.shape[2] > 1:
            place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
            ax.legend(ax.lines, names, fontsize=7, ncols=4, frameon=False, labelcolor=INKS[ground], **place)
    axes[-1].set_xlabel("step", fontsize=8, color=INKS[ground])
    figure.set_layout_engine("constrained")
    return figure


def _steps(values: Any, attribution: Any, how: str) -> Iterator[Array]:
    """Values (samples, steps, channels), attributions (samples, steps, rows)."""
    values, attribution = numeric("values", values), numeric("attribution", attribution)
    if values.ndim == 2 and attribution.ndim == 3:
        attribution = reduce(attribution, how)
    fits = values.ndim in (2, 3) and attribution.shape in (values.shape, values.shape[:2])
    if not fits:
        raise ValueError(
            "`values` must have the shape (samples, steps) or (samples, steps, channels), and `attribution` the same, "
            f"with or without channels. Received: {values.shape} and {attribution.shape}"
        )
    return (a[..., None] if a.ndim == 2 else a for a in (values, attribution))


def _line(ax: "Axes", lines: Array, shade: Array, ground: str) -> None:
    from matplotlib.patheffects import withStroke

    finite = lines[np.isfinite(lines)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    margin = 0.08 * (high - low) or 1.0
    extent = (-0.5, len(lines) - 0.5, low - margin, high + margin)
    ax.imshow(shade[None], extent=extent, aspect="auto", interpolation="nearest")
    halo = withStroke(linewidth=3, foreground=_colour_of(ground))  # the line is seen on every colour
    for number, line in enumerate(lines.T):
        style: dict[str, Any] = {"color": INKS[ground], "linewidth": 1, "linestyle": _STYLES[number % len(_STYLES)]}
        ax.plot(np.arange(len(line)), line, path_effects=[halo], **style)
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    quiet(ax, ground)


def table(
    attribution: "ArrayLike | Explanation",
    *,
    of: Any = None,
    names: Sequence[str] | None = None,
    values: ArrayLike | None = None,
    captions: Sequence[str] | None = None,
    most: int = 12,
    palette: str | None = None,
    ground: str = "light",
) -> "Figure":
    """Draw the attributions of features as bars: one panel a sample, the features largest in magnitude first.

    Args:
        attribution: (samples, features), or an `Explanation`.
        of: Whose they are where `attribution` is an array: `palette_of` chooses the palette.
        names: The names of the features. None takes those of the table that was explained, such as a DataFrame.
        values: The inputs, written beside the names: (samples, features). None takes those of an `Explanation`.
        captions: One line of text for each sample. None takes class and value of an `Explanation`.
        most: How many features are shown; the sum of the others is one more bar.
        palette, ground: As for `heatmap`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes do not fit.
        ImportError: matplotlib is not installed.
    """
    if is_explanation(attribution):
        names = attribution.settings.get("features") if names is None else names
        captions = captions_of(attribution) if captions is None and np.ndim(attribution.targets) == 1 else captions
        x = attribution.x
        held = isinstance(x, np.ndarray) and x.shape == np.shape(attribution.attributions)
        values = x if values is None and held else values
    attribution, of = told("attribution", attribution, of)
    palette = palette_of(of) if palette is None else palette
    attribution = numeric("attribution", attribution)
    if attribution.ndim != 2 or not attribution.size:
        raise ValueError(f"`attribution` must have the shape (samples, features). Received: shape {attribution.shape}")
    samples, features = attribution.shape
    Integer(1).check("most", most)
    names = texts("names", names, features) or [f"feature {i}" for i in range(features)]
    captions = texts("captions", captions, samples)
    beside = None if values is None else numeric("values", values)
    if beside is not None and beside.shape != attribution.shape:
        raise ValueError(f"`values` must have the shape {attribution.shape}. Received: shape {beside.shape}")
    bars = min(most, features) + (features > most)
    figure = new_figure(_WIDE, samples * (_BAR * bars + 0.55), ground)
    for sample, ax in enumerate(figure.subplots(samples, 1, squeeze=False)[:, 0]):
        labels, heights = _largest(attribution[sample], names, None if beside is None else beside[sample], most)
        draw_bars(ax, labels, heights, palette, ground)
        if captions is not None:
            ax.set_title(captions[sample], fontsize=9, loc="left", color=INKS[ground])
        quiet(ax, ground)
    figure.set_layout_engine("constrained")
    return figure


def draw_bars(ax: "Axes", labels: Sequence[str], heights: Array, palette: str, ground: str) -> None:
    """Bars with a label each, downwards, the largest as long as the axes are wide to one side."""
    shades = colours(scaled(heights[None], 100)[0], palette, ground) / 255
    heights = _finite(heights)
    ax.barh(np.arange(len(heights)), heights, color=shades, edgecolor="#999999", linewidth=0.5, height=0.75)
    ax.set_yticks(np.arange(len(heights)), labels)
    ax.set_ylim(len(heights) - 0.4, -0.6)
    ax.axvline(0, color=INKS[ground], linewidth=0.8)
    limit = 1.08 * np.abs(heights).max() or 1.0
    ax.set_xlim(-limit, limit)


def _largest(row: Array, names: Sequence[str], values: Array | None, most: int) -> tuple[list[str], Array]:
    """Labels and heights of the bars."""
    order = np.argsort(-np.abs(_finite(row)), kind="stable")
    shown, others = order[:most], order[most:]
    labels = [names[i] if values is None else f"{names[i]} = {values[i]:.4g}" for i in shown]
    if not len(others):
        return labels, row[shown]
    return [*labels, f"{len(others)} others"], np.append(row[shown], _finite(row[others]).sum())


def _colour_of(ground: str) -> tuple[float, float, float]:
    red, green, blue = GROUNDS[ground]
    return red / 255, green / 255, blue / 255


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, 0.0)


def texts(name: str, given: Sequence[str] | None, count: int) -> list[str] | None:
    """So many texts, where any are given."""
    return None if given is None else [str(each) for each in Texts(count).check(name, given)]


def quiet(ax: "Axes", ground: str) -> None:
    """Small ticks and thin frames, readable on the ground."""
    ax.set_facecolor(_colour_of(ground))
    ax.tick_params(labelsize=8, length=2, colors=INKS[ground])
    for spine in ax.spines.values():
        spine.set_edgecolor("#999999")
        spine.set_linewidth(0.5)


def words(
    tokens: Sequence[str], shades: Array, *, caption: str = "", palette: str = "red_blue", ground: str = "light"
) -> "Figure":
    """Draw a text, each token on its colour.

    Args:
        tokens: The tokens.
        shades: For each a value in [-1, 1].
        caption: A line above.
        palette, ground: As for `colours`.
    """
    places = lines_of(tokens)
    figure = new_figure(_WIDE, 0.3 * (1 + places[-1][1] if places else 1) + 0.45, ground)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96 - 0.3 / figure.get_figheight()))
    draw_words(axes, tokens, places, colours(shades, palette, ground))
    figure.text(0.02, 1 - 0.2 / figure.get_figheight(), caption, fontsize=9, color=INKS[ground], va="center", parse_math=False)
    return figure


def lines_of(tokens: Sequence[str], letters: int = _LETTERS) -> list[tuple[int, int]]:
    """Where each token of a text stands, its first letter and its line, on lines of so many letters."""
    places, x, y = [], 0, 0
    for token in tokens:
        if x and x + len(token) > letters:
            x, y = 0, y + 1
        places.append((x, y))
        x += len(token) + 2
    return places


def draw_words(
    axes: "Axes", tokens: Sequence[str], places: Sequence[tuple[int, int]], shades: Array, letters: int = _LETTERS
) -> None:
    """Tokens at their places, each on its colour, (tokens, 3) of bytes."""
    axes.set_axis_off()
    axes.set_xlim(-0.5, letters + 2)
    axes.set_ylim(max((y for _, y in places), default=0) + 0.7, -0.7)
    for token, (left, line), shade in zip(tokens, places, shades, strict=True):
        ink = "white" if shade @ (0.3, 0.6, 0.1) < 128 else "black"
        box = {"facecolor": shade / 255, "edgecolor": "#cccccc", "linewidth": 0.4, "boxstyle": "square,pad=0.25"}
        style: dict[str, Any] = {"family": "monospace", "fontsize": 9, "color": ink, "va": "center", "parse_math": False}
        axes.text(left, line, token, bbox=box, **style)
