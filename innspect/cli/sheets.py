"""A photograph with all its maps and their names, in one picture. Needs matplotlib."""

import importlib.util
import io

import numpy as np

from innspect.cli.pictures import laid_over
from innspect.visualize.charts import new_figure

LONGEST = 640  # pixels a side of the pictures on a sheet
_DOTS = 160  # an inch
_AREA = 7.0  # square inches of a picture
_LONGEST = 8.0  # inches a side of it
_NARROWEST = 1.75  # inches that a column needs for the name of a method
_GAP, _MARGIN, _LINE = 0.1, 0.12, 0.22  # inches
_LARGE, _SMALL = 11, 9  # points


def available():
    """Whether matplotlib is there to draw them."""
    return importlib.util.find_spec("matplotlib") is not None


def sheet(name, photograph, frame, maps, captions):
    """A row for each neuron: what it is called, above its maps; below them the names of the methods.

    Args:
        name: What the photograph is called.
        photograph: uint8 (height, width, 3), which stands before the first row.
        frame: Where in it the maps belong, a `Frame`.
        maps: Dict from method to (added, left), from `layers` of its maps of every neuron.
        captions: What each neuron is called.

    Returns:
        The bytes of a PNG file.
    """
    proportion = photograph.shape[1] / photograph.shape[0]
    high = min(np.sqrt(_AREA / proportion), _LONGEST, _LONGEST / proportion)
    wide = high * proportion
    step_x, step_y = max(wide, _NARROWEST) + _GAP, high + 2 * _LINE + 2 * _GAP
    size = (len(maps) + 1) * step_x - _GAP + 2 * _MARGIN, len(captions) * step_y - _GAP + 2 * _MARGIN
    figure = new_figure(1, 1, "light")
    figure.set_size_inches(*size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()

    def put(column, row, picture, above, below):
        x, y = column * step_x, row * step_y + _LINE
        axes.imshow(picture, extent=(x, x + wide, y + high, y), aspect="auto", interpolation="antialiased")
        axes.text(x, y - 0.06, above, fontsize=_LARGE, va="baseline", parse_math=False)
        axes.text(x + wide / 2, y + high + 0.05, below, fontsize=_SMALL, ha="center", va="top", parse_math=False)

    put(0, 0, photograph, name, "")
    for row, caption in enumerate(captions):
        for column, (label, (added, left)) in enumerate(maps.items(), 1):
            picture = laid_over(photograph, added[row], left[row], frame)
            put(column, row, picture, caption if column == 1 else "", label)
    axes.set_xlim(-_MARGIN, size[0] - _MARGIN)
    axes.set_ylim(size[1] - _MARGIN, -_MARGIN)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS)
    return buffer.getvalue()
