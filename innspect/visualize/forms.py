"""What a map is drawn as: an image, slices of a volume, curves, rows of a table, tokens. Needs NumPy only.

An `Explanation` knows what its inputs are ("kinds" of its settings), which an array's shape does not tell: (28, 28) may be
an image, and may be 28 steps of a series.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import Integer
from innspect.nests import by_input
from innspect.types import Array, Nest
from innspect.visualize.colours import CHANNELS, channel_axis, numeric, reduced, scaled_together, told

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

MOST_CURVES = 8  # channels: more of them are drawn as a picture of steps and channels
_SLICES = 12  # of a volume
_GUTTER = 1  # pixels between slices


@dataclass
class Form:
    """The maps of one input, ready to be drawn.

    Attributes:
        kind: "image", "volume", "series", "table" or "tokens".
        values: One value a position: (samples, height, width), (samples, depth, height, width), (samples, steps, channels or
            1), (samples, features), (samples, tokens).
        shades: The same in [-1, 1].
        name: Of the input; "" where there is one.
        x: The input as it was given, samples first, or None.
    """

    kind: str
    values: Array
    shades: Array
    name: str = ""
    x: Array | None = None

    @property
    def flat(self) -> bool:
        """Whether it is a picture of two axes, such as a spectrogram."""
        return self.kind in ("image", "volume")


def forms_of(maps: Nest, *, kinds: Any = None, x: Nest | None = None, of: Any = None, **scale: Any) -> list[Form]:
    """The maps of one neuron, (samples, ...) for each input, on one scale for all inputs of a sample.

    Args:
        maps: An array, or a list or dict of them for several inputs.
        kinds: A word for each input, in the same structure; None: by shape.
        x: The inputs, in the same structure; None: not known.
        of: Whose maps they are, as for `heatmap`.
        **scale: `percentile` and `gamma`, as for `scaled`.
    """
    given, known = by_input(maps), by_input(kinds) if kinds is not None else {}
    inputs = by_input(x) if x is not None else {}
    drawn = {name: _drawn(np.asarray(a), known.get(name), inputs.get(name)) for name, a in given.items()}
    shades = scaled_together([values for _, values in drawn.values()], of=of, **scale)
    pairs = zip(drawn.items(), shades, strict=True)
    return [Form(kind, values, shade, name, inputs.get(name)) for (name, (kind, values)), shade in pairs]


def forms_of_explanation(explanation: "Explanation", neuron: int | None = None, **scale: Any) -> list[Form]:
    """The forms of an `Explanation`, of one of several neurons where a number is given; `scale` as for `forms_of`."""
    maps = explanation.attributions
    if neuron is not None:
        maps = {k: v[neuron] for k, v in by_input(maps).items()}
        maps = maps[""] if list(maps) == [""] else maps
    structured = isinstance(explanation.attributions, dict | list | tuple)
    named = [by_input(n) if structured and n is not None else n for n in (explanation.settings.get("kinds"), explanation.x)]
    return forms_of(by_input(maps) if structured else maps, kinds=named[0], x=named[1], of=explanation, **scale)


def _drawn(maps: Array, kind: str | None, x: Array | None) -> tuple[str, Array]:
    """The kind that a map of this shape can be drawn as, and one value for each of its positions."""
    axes, values = maps.ndim - 1, numeric("attribution", maps)
    channelled = x is not None and x.shape == maps.shape
    if kind == "tokens" and axes in (1, 2):
        return "tokens", values if axes == 1 else values.sum(-1)
    if kind == "series" and axes in (1, 2):
        return "series", values[..., None] if axes == 1 else values
    if kind == "volume" and axes == 4:
        return "volume", values.sum(-1)
    if kind == "volume" and axes == 3:
        return "volume", values
    if kind == "image" and axes == 3 and not channelled and maps.shape[-1] not in CHANNELS and maps.shape[1] not in CHANNELS:
        return "volume", values  # a map for each frame
    if axes == 3:
        return "image", reduced(values, channel_axis=channel_axis(values))
    if axes == 2 and (kind == "image" or (kind is None and not (maps.shape[-1] in (1, 3) and maps.shape[1] >= 8))):
        return "image", values
    if axes == 2 and kind is None:
        return "series", values
    if axes >= 4:
        return "volume", values.sum(-1) if axes > 4 or maps.shape[-1] in CHANNELS else values
    return "table", values.reshape(len(values), int(np.prod(values.shape[1:])))


# ------------------------------------------------------------------ slices
def slices(volumes: "ArrayLike | Explanation", *, most: int = 12) -> Array:
    """Volumes as pictures: a few slices along the first axis side by side, evenly far from each other.

    Of an input and of its map the same slices, so that one can lie over the other.

    Args:
        volumes: (samples, depth, height, width), or with channels as a fifth axis, which are summed. Or an `Explanation`, whose
            map is taken.
        most: How many slices are shown.

    Returns:
        A float64 array (samples, height, width) that other functions draw; nan, which is drawn grey, between slices.

    Raises:
        ValueError: Another number of axes.

    Examples:
        >>> see.overlay(see.slices(explanation), see.slices(explanation.x))
    """
    Integer(1).check("most", most)
    given, _ = told("volumes", volumes, None)
    array = numeric("volumes", given)
    if array.ndim not in (4, 5):
        raise ValueError(
            "`volumes` must have the shape (samples, depth, height, width) or (samples, depth, height, width, channels). "
            f"Received: shape {array.shape}"
        )
    return sliced(array.sum(-1) if array.ndim == 5 else array, np.nan, most)[0]


def sliced(volumes: Array, line: float = 0, most: int = _SLICES) -> tuple[Array, list[int]]:
    """Slices along the first axis side by side, a few that are evenly far from each other, and their numbers.

    Args:
        volumes: (samples, depth, height, width) or (samples, depth, height, width, 3).
        line: What stands between slices; where there is none is 0, or 255 in bytes.
        most: How many slices.

    Returns:
        (samples, height, width[, 3]), and the numbers of the slices.
    """
    count, depth, height, width = volumes.shape[:4]
    numbers = np.unique(np.linspace(0, depth - 1, min(most, depth)).round().astype(int))
    across = min(len(numbers), max(1, round(np.sqrt(2 * len(numbers) * height / max(width, 1)))))
    across = -(-len(numbers) // -(-len(numbers) // across))
    rows = -(-len(numbers) // across)
    step_y, step_x = height + _GUTTER, width + _GUTTER
    shape = count, rows * step_y - _GUTTER, across * step_x - _GUTTER, *volumes.shape[4:]
    sheet = np.full(shape, 255 if volumes.dtype == np.uint8 else 0, volumes.dtype)
    sheet[:, height::step_y] = line
    sheet[:, :, width::step_x] = line
    for place, number in enumerate(numbers):
        y, x = place // across * step_y, place % across * step_x
        sheet[:, y : y + height, x : x + width] = volumes[:, number]
    return sheet, numbers.tolist()


def picture_shades(form: Form) -> Array:
    """The shades of an image, or of slices of a volume: (samples, height, width)."""
    return sliced(form.shades, np.nan)[0] if form.kind == "volume" else form.shades


def slices_told(form: Form) -> str:
    """Which slices are shown, in words; "" for what is no volume."""
    if form.kind != "volume":
        return ""
    numbers, depth = sliced(form.shades[:1])[1], form.shades.shape[1]
    return f"{depth} slices" if len(numbers) == depth else f"slices {', '.join(map(str, numbers))} of {depth}"


def input_pictures(x: Any, kind: str | None = None) -> Array | None:
    """Inputs as RGB, uint8 (samples, height, width, 3), each stretched over all greys; None where they are no pictures.

    Args:
        x: (samples, height, width[, 1 or 3]), or channels first; a volume has an axis more, and is shown in slices.
        kind: What it is; None: an image, if its shape allows it.
    """
    array: Array = np.asarray(x) if hasattr(x, "shape") else np.zeros(())
    if kind not in (None, "image", "volume") or array.dtype.kind not in "fiub":
        return None
    axes = 4 if kind == "volume" else 3  # of a sample with channels
    if kind == "volume" and array.ndim == 5 and array.shape[-1] not in (1, 3):
        array = array.mean(-1, keepdims=True)
    if array.ndim == axes:
        array = array[..., None]
    if array.ndim != axes + 1:
        return None
    array = np.moveaxis(array, channel_axis(array), -1)
    if array.shape[-1] not in (1, 3):
        return None
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype("float64"))
        within = tuple(range(1, values.ndim))
        low = values.min(axis=within, keepdims=True)
        span = values.max(axis=within, keepdims=True) - low
        array = np.round(255 * (values - low) / np.where(span > 0, span, 1)).astype("uint8")
    array = np.broadcast_to(array, (*array.shape[:-1], 3))
    return sliced(array, 255)[0] if kind == "volume" else array
