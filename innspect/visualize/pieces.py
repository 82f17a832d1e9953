"""Series and rows of features as HTML: curves on the colour of their attributions, bars. Needs NumPy only.

Every piece brings its own style, so that it is the same in a notebook and in a report, and takes its ink from the page.
"""

import base64
from collections.abc import Sequence

import numpy as np

from innspect.tables import on_page
from innspect.types import Array
from innspect.visualize.colours import colours
from innspect.visualize.forms import MOST_CURVES
from innspect.visualize.png import png

_FINEST = 1200  # columns of a strip, and points of a curve
_DASHES = ("", "6 3", "2 2", "7 2 2 2")
_GRID = "display:grid;grid-template-columns:auto minmax(0,1fr);gap:3px 8px;align-items:center;font-size:12px"
_SVG = "display:block;width:100%;height:{high}px;background:#fff;border:1px solid #bbb"
_ENDS = "display:flex;justify-content:space-between;opacity:.75"


def data_uri(image: Array) -> str:
    """A picture, uint8 (height, width, 3 or 4), as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png(image, indexed=True)).decode()


def series_piece(
    values: Array | None,
    shades: Array | Sequence[Array],
    names: Sequence[str] | None = None,
    palette: str = "red_blue",
    high: int = 54,
) -> str:
    """A series on the colour of its attributions: a row for each channel; a picture of steps and channels where there are many.

    Args:
        values: (steps, channels), or None where the input is not known.
        shades: (steps, channels), or (steps, 1) for all channels together; in [-1, 1]. Or a list of these, for several
            neurons, of which the first is seen: what is of the k-th has the attribute data-class k.
        names: Of the channels.
        palette: As for `colours`.
        high: Pixels of a row.
    """
    every = [shades] if isinstance(shades, np.ndarray) else list(shades)
    steps, rows = every[0].shape
    channels = rows if values is None else values.shape[1]
    if channels > MOST_CURVES:
        return _spectrogram(values, every, palette)
    names = [f"channel {i}" if channels > 1 else "" for i in range(channels)] if names is None else names
    parts = []
    for row in range(rows):
        shown = [row] if rows == channels else range(channels)
        lines = None if values is None else values[:, list(shown)]
        label = "<br>".join(_label(names[c], None if values is None else values[:, c]) for c in shown)
        strips = [shade[:, row] for shade in every]
        parts.append(f"<span>{label}</span>{_strip(lines, strips, palette, high if len(shown) < 3 else 2 * high)}")
    ends = f'<span></span><div style="{_ENDS}"><span>0</span><span>step</span><span>{steps - 1}</span></div>'
    return f'<div style="{_GRID}">{"".join(parts)}{ends}</div>'


def _label(name: str, values: Array | None) -> str:
    finite = np.array([]) if values is None else values[np.isfinite(values)]
    between = f"{finite.min():.3g} to {finite.max():.3g}" if finite.size else ""
    said = f'<span style="opacity:.7;font-size:11px">{between}</span>'
    return f"{on_page(name)}{'<br>' * bool(name and between)}{said}"


def of_class(k: int, count: int) -> str:
    """The attributes of what is of the k-th of several neurons."""
    return f' data-class="{k}"{" hidden" * (k > 0)}' if count > 1 else ""


def _strip(lines: Array | None, shades: Sequence[Array], palette: str, high: int) -> str:
    """Curves (steps, few) over a strip of colours (steps,), one for each neuron."""
    steps = len(shades[0])
    box = f'viewBox="0 0 {steps} 100" preserveAspectRatio="none"'
    parts = [f'<svg {box} role="img" aria-label="series on its attributions" style="{_SVG.format(high=high)}">']
    for k, shade in enumerate(shades):
        uri = data_uri(colours(_peaks(shade)[None], palette))
        parts.append(f'<image{of_class(k, len(shades))} href="{uri}" width="{steps}" height="100" preserveAspectRatio="none" ')
        parts.append('style="image-rendering:pixelated"></image>')
    finite = np.array([]) if lines is None else lines[np.isfinite(lines)]
    if lines is not None and finite.size:
        low, span = finite.min(), (finite.max() - finite.min()) or 1.0
        for number, line in enumerate(lines.T):
            dashes = f' stroke-dasharray="{_DASHES[number % 4]}"' if number % 4 else ""
            for points in _paths(line, low, span):
                for stroke in (
                    'stroke="#fff" stroke-width="3.6" stroke-opacity=".75"',
                    f'stroke="#111" stroke-width="1.2"{dashes}',
                ):
                    parts.append(
                        f'<polyline fill="none" {stroke} vector-effect="non-scaling-stroke" points="{points}"></polyline>'
                    )
    return "".join([*parts, "</svg>"])


def _paths(line: Array, low: float, span: float) -> list[str]:
    """The points of a curve, broken where it is not finite; of a long one the lowest and the highest of every few steps."""
    at = np.arange(len(line))
    if len(line) > _FINEST:
        size = -(-len(line) // (_FINEST // 2))
        groups = [slice(i, i + size) for i in range(0, len(line), size)]
        clean = np.nan_to_num(line)
        at = np.array(sorted({i for g in groups for i in (g.start + clean[g].argmin(), g.start + clean[g].argmax())}))
    known = np.isfinite(line[at])
    runs = np.split(at, np.flatnonzero(np.diff(known.astype(int))) + 1)
    found = [run for run in runs if len(run) and np.isfinite(line[run[0]])]
    return [" ".join(f"{i + 0.5:g},{92 - 84 * (line[i] - low) / span:.1f}" for i in run) for run in found]


def _peaks(shade: Array) -> Array:
    """A strip of at most so many columns: of every few the value largest in magnitude."""
    if len(shade) <= _FINEST:
        return shade
    size = -(-len(shade) // _FINEST)
    padded = np.pad(shade, (0, -len(shade) % size), mode="edge").reshape(-1, size)
    return np.take_along_axis(padded, np.abs(np.nan_to_num(padded)).argmax(1)[:, None], 1)[:, 0]


def _spectrogram(values: Array | None, shades: Sequence[Array], palette: str) -> str:
    """Steps from left to right, channels upwards; the input in grey above the map."""
    steps, rows = shades[0].shape
    parts = []
    if values is not None:
        clean = np.nan_to_num(values)
        low, span = clean.min(), (clean.max() - clean.min()) or 1.0
        grey = np.round(255 * (clean - low) / span).astype("uint8")
        parts.append(_picture_row("input", [np.repeat(grey.T[::-1, :, None], 3, axis=2)], values.shape[1]))
    parts.append(_picture_row("map", [colours(shade.T[::-1], palette) for shade in shades], rows))
    ends = f'<span></span><div style="{_ENDS}"><span>0</span><span>step</span><span>{steps - 1}</span></div>'
    return f'<div style="{_GRID}">{"".join(parts)}{ends}</div>'


def _picture_row(label: str, images: Sequence[Array], high: int) -> str:
    """A picture of steps and channels with the numbers of its channels; one of each neuron."""
    tall = min(240, max(96, 2 * high)) if high > 1 else 24
    ends = f"<span>{high - 1}</span><span>{label},<br>channel</span><span>0</span>" if high > 1 else f"<span>{label}</span>"
    drawn = "".join(
        f'<img{of_class(k, len(images))} alt="{label}: steps from left to right, channels upwards" src="{data_uri(image)}" '
        f'style="display:block;width:100%;height:{tall}px;image-rendering:pixelated;border:1px solid #bbb">'
        for k, image in enumerate(images)
    )
    style = f"display:flex;flex-direction:column;justify-content:space-between;height:{tall}px;text-align:right"
    return f'<div style="{style}">{ends}</div><div>{drawn}</div>'


# ------------------------------------------------------------------ bars
def bar(share: float) -> str:
    """A bar to the right of the middle, red, or to its left, blue; its length is a share in [-1, 1]."""
    if not np.isfinite(share):
        return '<div style="height:11px;text-align:center">not finite</div>'
    side, colour = ("left", "#e24a3e") if share >= 0 else ("right", "#3c76e2")
    line = "background:linear-gradient(#999,#999) 50% 0/1px 100% no-repeat"
    return (
        f'<div class="bar" style="position:relative;height:11px;min-width:60px;{line}">'
        f'<i class="{"up" if share >= 0 else "down"}" style="position:absolute;top:0;height:100%;{side}:50%;'
        f'width:{50 * min(abs(share), 1):.1f}%;background:{colour};print-color-adjust:exact"></i></div>'
    )


def named_rows(count: int, names: Sequence[str] | None, values: Array | None) -> list[str]:
    """What each feature is called, with its value where that is known."""
    called = [f"feature {i}" for i in range(count)] if names is None else [str(name) for name in names]
    if values is None or len(values) != count:
        return called
    return [f"{name} = {value_told(value)}" for name, value in zip(called, values, strict=True)]


def value_told(value: object) -> str:
    """An input's value in a few letters."""
    return f"{value:.4g}" if isinstance(value, float | np.floating) else f"{value}"


def table_piece(attribution: Array, labels: Sequence[str], limit: float, most: int = 12) -> str:
    """Features as bars, the largest in magnitude first.

    Args:
        attribution: (features,).
        labels: Of the features.
        limit: What a whole bar is.
        most: How many are shown; the sum of the others is one more.
    """
    order = np.argsort(-np.abs(np.nan_to_num(attribution)), kind="stable")
    shown, others = order[:most], order[most:]
    rows = [(labels[i], attribution[i]) for i in shown]
    if len(others):
        rows.append((f"{len(others)} others", np.nan_to_num(attribution[others]).sum()))
    cells = "".join(
        f'<span style="overflow-wrap:anywhere">{on_page(label)}</span>{bar(v / limit)}'
        f'<span style="text-align:right">{v:.3g}</span>'
        for label, v in rows
    )
    style = "display:grid;grid-template-columns:auto minmax(60px,1fr) auto;gap:2px 8px;align-items:center;font-size:12px"
    return f'<div class="bars" style="{style}">{cells}</div>'
