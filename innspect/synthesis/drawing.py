"""Pictures of what was synthesized. Figures need matplotlib."""

import base64
import html as markup
import io
import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.checks import Count, Number
from innspect.types import Array
from innspect.visualize.charts import new_figure
from innspect.visualize.images import pictures as drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from innspect.synthesis.result import Synthesis

_NAME, _MARGIN, _FONT = 0.42, 0.08, 9  # inches, inches, points
_BEST = 5  # columns


def pictures(made: "Synthesis") -> Array:
    """As `Synthesis.pictures`."""
    images = _only(made)
    axes = made.settings["axes"]
    if axes not in (2, 3):
        raise ValueError(
            f"Only images and volumes are drawn as pictures; `show()` draws series. Received: shape {images.shape}"
        )
    shown = _in_range(made, images)
    first = made.settings["channels_first"]
    shown = np.moveaxis(shown, 1, -1) if first else shown[..., None] if made.settings["gray"] else shown
    if axes == 3:
        shown = shown[:, shown.shape[1] // 2]
    if shown.shape[-1] not in (1, 3):
        shown = shown.mean(-1, keepdims=True)
    return drawn(shown, value_range=None if made.low is None else (0.0, 1.0))


def _only(made: "Synthesis") -> Array:
    arrays = keras.tree.flatten(made.images)
    if len(arrays) != 1:
        raise ValueError(f"Pictures are of one input. Received: {len(arrays)}, in `images`")
    return arrays[0]


def _in_range(made: "Synthesis", images: Array) -> Array:
    """Images from 0 at the lower bound to 1 at the upper one, where there are bounds."""
    if made.low is None:
        return images
    return np.clip((images - made.low) / (np.asarray(made.high) - made.low), 0, 1)


def figure(made: "Synthesis", columns: int | None = None, size: float = 1.8) -> "Figure":
    """As `Synthesis.show`."""
    Count().check_given("columns", columns)
    Number(20).check("size", size)
    if made.settings["axes"] == 1 and not made.tokens:
        return _series(made, size)
    shown = pictures(made)
    columns = min(columns or _BEST, len(made))
    rows = math.ceil(len(made) / columns)
    wide = size * shown.shape[2] / shown.shape[1]
    total = (columns * (wide + _MARGIN) + _MARGIN, rows * (size + _NAME) + _MARGIN)
    made_figure = new_figure(*total, "light")
    for number, (picture, name) in enumerate(zip(shown, made.names, strict=True)):
        left = _MARGIN + (number % columns) * (wide + _MARGIN)
        top = (number // columns) * (size + _NAME) + _NAME
        axes = made_figure.add_axes((left / total[0], 1 - (top + size) / total[1], wide / total[0], size / total[1]))
        axes.imshow(picture, interpolation="nearest" if max(picture.shape) < 64 else "antialiased")
        axes.set_axis_off()
        letters = max(int(wide * 13), 8)
        text = name if len(name) <= letters else name[: letters - 1] + "…"
        axes.set_title(f"{text}\n{made.values[number]:.3g}", fontsize=_FONT, pad=3, linespacing=1.1)
    return made_figure


def _series(made: "Synthesis", size: float) -> "Figure":
    values = _only(made)
    values = np.moveaxis(values, 1, -1) if made.settings["channels_first"] else values
    made_figure = new_figure(7.0, size * len(made) * 0.7 + 0.3, "light")
    axes = made_figure.subplots(len(made), 1, squeeze=False, sharex=True)[:, 0]
    for each, line, name, value in zip(axes, values, made.names, made.values, strict=True):
        each.plot(line, linewidth=1)
        each.set_title(f"{name}: {value:.3g}", fontsize=_FONT, loc="left", pad=3)
        each.tick_params(labelsize=_FONT - 2)
    made_figure.tight_layout()
    return made_figure


def html(made: "Synthesis") -> str:
    """What a notebook shows: the figure, or where there is none the text."""
    text = f"<pre>{markup.escape(repr(made))}</pre>"
    try:
        shown: Any = figure(made)
    except (ValueError, ImportError):
        return text
    file = io.BytesIO()
    shown.savefig(file, format="png", dpi=110)
    encoded = base64.b64encode(file.getvalue()).decode()
    notes = "".join(f"<p>{markup.escape(note)}</p>" for note in made.notes)
    told = markup.escape(", ".join(made.names))
    return f'<img alt="What was synthesized: {told}" src="data:image/png;base64,{encoded}">{notes}'
