"""From attributions to colours. Needs NumPy only.

attribution -> one value a position -> scaled to [-1, 1] about zero, sample by sample -> RGB
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import Integer, Number, OneOf, Positive
from innspect.types import Array
from innspect.visualize.palettes import NOT_FINITE, STOPS, is_explanation, palette_of, scale_of, stops_of

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

CHANNELS = (1, 2, 3, 4)  # how many a picture may have
_NO_MAP = 8  # pixels of height from which a map of 1 or 3 pixels' width is none
REDUCTIONS: dict[str, Callable[[Array, int], Array]] = {
    "sum": lambda a, axis: a.sum(axis),
    "max_abs": lambda a, axis: np.take_along_axis(a, np.abs(a).argmax(axis, keepdims=True), axis).squeeze(axis),
    "norm": lambda a, axis: np.sqrt(np.square(a).sum(axis)),
}


def numeric(name: str, given: Any) -> Array:
    """An array of numbers as a float64 array of its own.

    Raises:
        ValueError: It holds something else, or rows of different lengths.
    """
    if np.ma.is_masked(given):
        raise ValueError(f"`{name}` has masked values, whose mask would be lost: fill them. Received: a masked array")
    try:
        array = np.array(given)
        if array.dtype.kind in "biufV" or (array.dtype.kind == "O" and array.ndim):  # such as bfloat16
            return array.astype("float64", copy=False)
    except Exception:  # whatever a foreign object raises
        pass
    kind = type(given).__name__ if np.isscalar(given) or given is None else f"{type(given).__name__}: {str(given)[:60]}"
    raise ValueError(f"`{name}` must be an array of numbers. Received: {kind}")


def channel_axis(array: Array) -> int:
    """Where the channels of (samples, ...) are: last, unless only the second axis can be."""
    return 1 if array.ndim == 4 and array.shape[-1] not in CHANNELS and array.shape[1] in CHANNELS else -1


def reduce(attribution: "ArrayLike | Explanation", how: str = "sum", axis: int = -1) -> Array:
    """One value for all entries along an axis, such as the channels of a picture or the vector of a token.

    Args:
        attribution: An array of any shape, or an `Explanation`.
        how: "sum", "max_abs" (the value that is largest in magnitude, with its sign) or "norm" (Euclidean).
        axis: The axis that goes.

    Returns:
        A float64 array of its own, without that axis.

    Raises:
        ValueError: An unknown reduction, or no such axis.
    """
    attribution, _ = told("attribution", attribution, None)
    array = numeric("attribution", attribution)
    if not array.ndim:
        raise ValueError(f"`attribution` must be an array. Received: the number {array}")
    OneOf(*REDUCTIONS).check("reduce", how)
    Integer(-array.ndim, array.ndim - 1).check("axis", axis)
    with np.errstate(all="ignore"):  # infinities may cancel to nan here, and are drawn as such
        return np.asarray(REDUCTIONS[how](array, axis))


def check_channels(axis: int, array: Array) -> None:
    """Raise where an array (samples, ...) has no such axis for channels."""
    Integer(1 - array.ndim, array.ndim - 1).check("channel_axis", axis)
    if axis == 0:
        raise ValueError("`channel_axis` must not be 0, which is that of the samples. Received: 0")


def check_samples(name: str, array: Array) -> None:
    """Raise where what should be (samples, height, width) is (height, width, channels) of one sample, or a series.

    A map one or three pixels wide shows nothing, so nobody means that.
    """
    if array.ndim == 3 and array.shape[-1] in (1, 3) and array.shape[1] >= _NO_MAP:
        raise ValueError(
            f"`{name}` must have the samples first, (samples, height, width): give one sample as `array[None]`, and a series "
            f"to `innspect.visualize.series`. Received: shape {array.shape}"
        )


def reduced(attribution: ArrayLike, how: str = "sum", channel_axis: int = -1) -> Array:
    """One value a position: the channels of (samples, height, width, channels) taken together.

    Args:
        attribution: (samples, height, width), (samples, height, width, channels), or with the channels elsewhere.
        how: As for `reduce`.
        channel_axis: Where the channels are, if there are four axes.

    Returns:
        A float64 array (samples, height, width) of its own.

    Raises:
        ValueError: Another number of axes, or an unknown reduction.
    """
    array = numeric("attribution", attribution)
    if array.ndim not in (3, 4):
        raise ValueError(
            "`attribution` must have the shape (samples, height, width) or (samples, height, width, channels). "
            f"Received: shape {array.shape}"
        )
    if array.ndim == 3:
        OneOf(*REDUCTIONS).check("reduce", how)
        check_samples("attribution", array)
        return array
    check_channels(channel_axis, array)
    return reduce(array, how, channel_axis)


def told(name: str, given: Any, of: Any) -> tuple[Any, Any]:
    """The array of what may be an `Explanation`, and whose it is.

    Raises:
        ValueError: An explanation of several inputs or of several neurons.
    """
    if not is_explanation(given):
        return given, of
    several = f"{np.shape(given.targets)[0]} neurons" if np.ndim(given.targets) == 2 else ""
    if isinstance(given.attributions, list | tuple | dict):
        several = "several inputs"
    if several:
        raise ValueError(
            f"`{name}` must be of one input and one neuron: take one of `explanation.attributions`, with `of=explanation`. "
            f"Received: an explanation of {several}"
        )
    return given.attributions, given if of is None else of


def inputs_of(name: str, given: Any) -> Any:
    """The inputs of an `Explanation`, as they were given.

    Raises:
        ValueError: It is none, or does not have them, or has several.
    """
    x = given.x if is_explanation(given) else None
    if x is None or isinstance(x, list | tuple | dict):
        said = "an explanation that has its inputs, and one of them"
        received = f"inputs {type(x).__name__}" if is_explanation(given) else f"{type(given).__name__}"
        raise ValueError(f"`{name}` must be given, or `attribution` be {said}. Received: {received}")
    return x


def scaled(values: ArrayLike, percentile: float | None = None, gamma: float = 1.0, of: Any = None) -> Array:
    """Each sample divided by a percentile of its finite magnitudes: in [-1, 1], zero stays zero.

    Args:
        values: (samples, ...), or an `Explanation`.
        percentile: Of the magnitudes: they are divided by it, and what is beyond it becomes -1 or 1, so that a few large
            values do not hide the others. Where it is zero, the largest magnitude is taken, as by 100. None: what suits
            the maps, see `scale_of`.
        gamma: The scaled magnitude's exponent: below 1 small values show, above 1 they fade. The sign stays.
        of: Whose they are where `values` is an array, as for `palette_of`; None: pixel maps. Of RISE, each sample's lowest
            value is subtracted before.

    Returns:
        A float64 array of the same shape; nan where a value is not finite.

    Raises:
        ValueError: `percentile` is not in (0, 100], or `gamma` is not positive.
    """
    values, of = told("values", values, of)
    return scaled_together([values], percentile, gamma, of)[0]


def scaled_together(
    arrays: Sequence[ArrayLike], percentile: float | None = None, gamma: float = 1.0, of: Any = None
) -> list[Array]:
    """As `scaled`, for the maps of several inputs: what is equally large in two of them is so in their pictures.

    Args:
        arrays: Each (samples, ...), of the same samples.
        percentile, gamma, of: As for `scaled`. The limit of a sample is the largest of those of its maps.
    """
    Number(100).check_given("percentile", percentile)
    Positive().check("gamma", gamma)
    scale = scale_of(of)
    share = scale.percentile if percentile is None else percentile
    flats, shapes = [], []
    for given in arrays:
        values = numeric("values", given)
        if not values.ndim:
            raise ValueError(f"`values` must have the shape (samples, ...). Received: the number {values}")
        values[~np.isfinite(values)] = np.nan
        flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
        if scale.above_lowest:
            flat = flat - np.where(np.isnan(flat), np.inf, flat).min(axis=1, keepdims=True, initial=np.inf)
        flats.append(flat)
        shapes.append(values.shape)
    limits = np.max([[_limit(np.abs(row[~np.isnan(row)]), share) for row in flat] for flat in flats], axis=0).reshape(-1, 1)
    cut = [np.clip(flat / np.where(limits > 0, limits, 1.0), -1, 1) for flat in flats]
    bent = cut if gamma == 1 else [np.sign(flat) * np.abs(flat) ** gamma for flat in cut]
    return [flat.reshape(shape) for flat, shape in zip(bent, shapes, strict=True)]


def _limit(magnitudes: Array, percentile: float) -> float:
    largest = magnitudes.max(initial=0.0)
    return largest if percentile == 100 or not largest else np.percentile(magnitudes, percentile) or largest


def colours(values: ArrayLike, palette: str = "red_blue", ground: str = "light") -> Array:
    """The colour of each value in [-1, 1]: the ground's at 0, the palette's above and below, grey where it is nan.

    Args:
        values: An array of any shape. A sequential palette shows what is below zero as zero.
        palette: "red_blue" or "orange_blue", which have a colour for each sign; "heat", "blue_yellow" or "grey" for
            values without a sign. "orange_blue" and "blue_yellow" are safe for colour-blind eyes.
        ground: "light": zero is white and large values are dark; "dark": the other way round.

    Returns:
        A uint8 array (..., 3).

    Raises:
        ValueError: An unknown palette or ground, or no numbers.
    """
    values = numeric("values", values)
    positive, negative = stops_of(palette, ground)
    magnitude = np.nan_to_num(values) if negative is None else np.abs(np.nan_to_num(values))
    sides = [
        np.stack([np.interp(magnitude, STOPS, channel) for channel in zip(*side, strict=True)], axis=-1)
        for side in (positive, negative or positive)
    ]
    rgb = np.where(values[..., None] < 0, sides[1], sides[0])
    return np.round(np.where(np.isnan(values)[..., None], NOT_FINITE, rgb)).astype("uint8")


def heatmap(
    attribution: "ArrayLike | Explanation",
    *,
    of: Any = None,
    reduce: str = "sum",
    channel_axis: int = -1,
    percentile: float | None = None,
    gamma: float = 1.0,
    palette: str | None = None,
    ground: str = "light",
) -> Array:
    """Attributions as pictures: positive red, negative blue, zero white; or from white to dark red, without a sign.

    Each sample has a scale of its own, symmetric about zero: the largest half percent of its magnitudes has the darkest
    colour; of class activation and occlusion maps, and of RISE, the largest. A map of zeros is white; values that are not
    finite are grey and leave the scale alone.

    Args:
        attribution: As `analyze` returns it: (samples, height, width) or (samples, height, width, channels); or as `explain`
            does, an `Explanation`, which knows its method.
        of: Whose map it is where `attribution` is an array: an analyzer, an `Explanation`, or the name of a method. None:
            a map of pixels with a sign.
        reduce: How channels are taken together: "sum", "max_abs" or "norm".
        channel_axis: Where the channels are, if there are four axes: 1 for channels first.
        percentile: The percentile of the magnitudes that has the darkest colour already, such as 99; 100 is the largest.
            None: what suits the method, see `scale_of`.
        gamma: Exponent of the scaled magnitudes; below 1 small values show.
        palette: "red_blue", "orange_blue", "heat", "blue_yellow" or "grey", see `colours`. None: what suits the method, see
            `palette_of`.
        ground: "light" or "dark", the colour of zero.

    Returns:
        A uint8 array (samples, height, width, 3).

    Examples:
        >>> image = innspect.visualize.heatmap(analyzer.explain(x))[0]
        >>> PIL.Image.fromarray(image).save("map.png")
    """
    array, of = told("attribution", attribution, of)
    palette = palette_of(of) if palette is None else palette
    return colours(scaled(reduced(array, reduce, channel_axis), percentile, gamma, of), palette, ground)


def see_through(image: ArrayLike) -> Array:
    """Colours on a light ground as a transparent layer: over white they are the same, and white is nothing.

    Args:
        image: RGB, uint8 (..., 3).

    Returns:
        RGBA, uint8 (..., 4): the darker a colour is, the less is seen through it.
    """
    rgb = np.asarray(image, "float64")
    white = rgb.min(axis=-1, keepdims=True)  # what is left of the ground
    inks = 255 * (rgb - white) / np.maximum(255 - white, 1)
    return np.concatenate([np.round(inks), 255 - white], axis=-1).astype("uint8")
