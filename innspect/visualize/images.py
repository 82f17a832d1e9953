"""Pictures that show an image: the input itself, attributions laid over it, and signals. Needs NumPy only."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import Boolean, ListOf, Number, is_number
from innspect.types import Array
from innspect.visualize.colours import (
    check_channels,
    check_samples,
    colours,
    inputs_of,
    numeric,
    reduced,
    scaled,
    see_through,
    told,
)
from innspect.visualize.palettes import is_explanation, palette_of

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

_DEEPEST = 0.75  # of a palette: what is darker hides the image
_PALER = 0.35  # how far a grey image goes towards white, so that dark colours stand out
_LUMINANCE = (0.299, 0.587, 0.114)
_NOT_FINITE = (255, 0, 255)  # no signal has it by chance: grey is zero


def pictures(
    images: "ArrayLike | Explanation", *, channel_axis: int = -1, value_range: tuple[float, float] | None = None
) -> Array:
    """Inputs as RGB.

    Args:
        images: (samples, height, width), or with 1 or 3 channels. Bytes (uint8) are taken as they are. Or an `Explanation`,
            whose inputs are drawn.
        channel_axis: Where the channels are, if there are four axes.
        value_range: (low, high), what is drawn black and white. None: each sample's own lowest and highest value.

    Returns:
        A uint8 array (samples, height, width, 3); white where nothing is known (nan), such as between slices.

    Raises:
        ValueError: Another shape, or no pair of numbers.
    """
    images = inputs_of("images", images) if is_explanation(images) else images
    shown = _four_axes(images, channel_axis, "images")
    ListOf(Number(signed=True)).check_given("value_range", value_range)
    if value_range is not None and len(value_range) != 2:
        raise ValueError(f"`value_range` must be a pair (low, high). Received: {value_range!r}")
    if shown.dtype != np.uint8:
        unknown = np.isnan(shown)
        values = np.nan_to_num(shown.astype("float64"), posinf=0.0, neginf=0.0)
        axes = (1, 2, 3)
        low, high = (
            (values.min(axes, keepdims=True, initial=np.inf), values.max(axes, keepdims=True, initial=-np.inf))
            if value_range is None
            else map(float, value_range)
        )
        span = np.where(np.greater(high, low), np.subtract(high, low), 1.0)
        shown = np.where(unknown, 255, np.round(255 * np.clip((values - low) / span, 0, 1))).astype("uint8")
    return np.broadcast_to(shown, (*shown.shape[:-1], 3))


def _four_axes(given: Any, channel_axis: int, name: str) -> Array:
    """(samples, height, width, 1 or 3)."""
    images = np.asarray(given) if getattr(given, "dtype", None) == np.uint8 else numeric(name, given)
    check_samples(name, images)
    if images.ndim == 4:
        check_channels(channel_axis, images)
    moved = images[..., None] if images.ndim == 3 else np.moveaxis(images, channel_axis, -1) if images.ndim == 4 else images
    if moved.ndim != 4 or moved.shape[-1] not in (1, 3):
        raise ValueError(
            f"`{name}` must have the shape (samples, height, width) or (samples, height, width, 1 or 3). "
            f"Received: shape {images.shape}"
        )
    return moved


def overlay(
    attribution: "ArrayLike | Explanation",
    images: ArrayLike | None = None,
    *,
    of: Any = None,
    strength: float = 0.9,
    keep_colours: bool = False,
    reduce: str = "sum",
    channel_axis: int = -1,
    percentile: float | None = None,
    gamma: float = 1.0,
    palette: str | None = None,
    value_range: tuple[float, float] | None = None,
) -> Array:
    """Attributions over their inputs: the more a position counts, the more its colour covers the image.

    The colours of `heatmap` are inks on the image in place of white paper, three quarters as deep, so that the image is seen
    through the darkest: a position is drawn as (1 - w) image + w ink, with w = strength (1 - lightness of the colour).

    Args:
        attribution: (samples, height, width) or (samples, height, width, channels), or an `Explanation`.
        images: The inputs, with the same height and width, and 1 or 3 channels. None takes those of an `Explanation`.
        of: Whose map it is where `attribution` is an array, as for `heatmap`.
        strength: How much of the colours is laid on, in [0, 1].
        keep_colours: The image is turned grey and a third paler, so that every colour is the attribution's; True leaves it
            as it is.
        reduce, channel_axis, percentile, gamma, palette: As for `heatmap`; `channel_axis` holds for `images` too. A
            sequential palette leaves the image as it is where the attribution is negative.
        value_range: As for `pictures`.

    Returns:
        A uint8 array (samples, height, width, 3).

    Raises:
        ValueError: The sizes differ, or `strength` is not in [0, 1].
    """
    if not is_number(strength) or not 0 <= strength <= 1:
        raise ValueError(f"`strength` must be between 0 and 1. Received: {strength!r}")
    Boolean().check("keep_colours", keep_colours)
    images = inputs_of("images", attribution) if images is None else images
    below = pictures(images, channel_axis=channel_axis, value_range=value_range).astype("float64")
    array, of = told("attribution", attribution, of)
    palette = palette_of(of) if palette is None else palette
    v = np.nan_to_num(scaled(reduced(array, reduce, channel_axis), percentile, gamma, of))
    if v.shape != below.shape[:3]:
        raise ValueError(
            "`attribution` and `images` must have the same number of samples, height and width; class activation maps "
            f"come in the input's size with `upsample=True`. Received: {v.shape} and {below.shape[:3]}"
        )
    if not keep_colours:
        grey = (below @ _LUMINANCE)[..., None]
        below = np.repeat(_PALER * 255 + (1 - _PALER) * grey, 3, axis=-1)
    inks = see_through(colours(_DEEPEST * v, palette)).astype("float64")
    weight = strength * inks[..., 3:] / 255
    return np.round((1 - weight) * below + weight * inks[..., :3]).astype("uint8")


def signal(signals: "ArrayLike | Explanation", *, channel_axis: int = -1, percentile: float | None = None) -> Array:
    """Signals in the input's own colours, as Kindermans et al. 2017 show PatternNet's: x / (2 max |x|) + 1 / 2.

    Each sample is scaled by itself and about grey, which is zero; a few positions far above the others are cut in place of the
    largest being the measure, for which `percentile=100` asks. It suits gradients, deconvnet and guided
    backpropagation as well. Signals of a model that takes BGR are in BGR: give `signals[..., ::-1]`.

    Args:
        signals: (samples, height, width), or with 1 or 3 channels; 3 are taken as red, green and blue. Or an `Explanation`.
        channel_axis: Where the channels are, if there are four axes.
        percentile: Scale by this percentile of the magnitudes, and cut what is beyond. None: the 99.5th; 100: the largest.

    Returns:
        A uint8 array (samples, height, width, 3); grey (128) is zero, magenta a position that is not finite.

    Raises:
        ValueError: Another shape.
    """
    signals, _ = told("signals", signals, None)
    values = scaled(_four_axes(signals, channel_axis, "signals"), percentile)
    rgb = np.round(127.5 + 127.5 * np.nan_to_num(values))
    lost = np.isnan(values).any(-1, keepdims=True)
    return np.where(lost, _NOT_FINITE, np.broadcast_to(rgb, (*rgb.shape[:-1], 3))).astype("uint8")


def to_pil(picture: Any) -> Any:
    """As `PIL.Image.Image`, to be shown, saved or pasted elsewhere.

    Args:
        picture: What the functions of `innspect.visualize` return: a uint8 array (samples, height, width, 3), or
            (height, width, 3) for one of them, or a matplotlib figure.

    Returns:
        A `PIL.Image.Image`, or a list of them for a batch.

    Raises:
        ImportError: Pillow is not installed.
        ValueError: The array is no picture.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("PIL images need Pillow: `pip install pillow`, or innspect with its extra `image`.") from error
    if hasattr(picture, "savefig"):
        import io

        file = io.BytesIO()
        picture.savefig(file, format="png", dpi=160)
        with Image.open(file) as image:
            return image.convert("RGB")
    array = np.asarray(picture) if hasattr(picture, "shape") else numeric("picture", picture)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or array.shape[-1] not in (3, 4):
        raise ValueError(
            "`picture` must be a uint8 array (samples, height, width, 3) or (height, width, 3), or a figure. "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return Image.fromarray(np.ascontiguousarray(array)) if array.ndim == 3 else [to_pil(a) for a in array]
