"""Maps and inputs as pictures for files and pages."""

import numpy as np

from innspect.visualize import heatmap
from innspect.visualize.colours import channel_axis

_SMALLEST = 256  # pixels: smaller maps are enlarged by a whole factor


def is_picture(attribution):
    """Whether maps (samples, ...) have two spatial axes."""
    return np.ndim(attribution) in (3, 4)


def coloured(attribution, of=None):
    """Maps as RGB, uint8 (samples, height, width, 3): positive red, negative blue, zero white; or dark red, without sign.

    Args:
        attribution: The maps.
        of: Whose they are, as for `innspect.visualize.heatmap`, which chooses scale and palette.
    """
    array = np.asarray(attribution)
    return heatmap(array, channel_axis=channel_axis(array), of=of)


def map_pictures(attribution, label, of=None):
    """As `coloured`, small maps enlarged so that every pixel stays a square.

    Raises:
        ValueError: The maps have no two spatial axes.
    """
    if not is_picture(attribution):
        raise ValueError(
            f"The maps of {label!r} have the shape {np.shape(attribution)[1:]} and cannot be drawn as pictures; take "
            "--format html or npz"
        )
    images = coloured(attribution, of)
    factor = max(1, round(_SMALLEST / max(images.shape[1:3])))
    return images.repeat(factor, 1).repeat(factor, 2)


def input_pictures(x):
    """Inputs as RGB, uint8 (samples, height, width, 3), each stretched over all greys; None where they are no images."""
    array: np.ndarray = np.asarray(x) if hasattr(x, "shape") else np.zeros(())
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4:
        return None
    array = np.moveaxis(array, channel_axis(array), -1)
    if array.shape[-1] not in (1, 3):
        return None
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype("float64"))
        low = values.min(axis=(1, 2, 3), keepdims=True)
        span = values.max(axis=(1, 2, 3), keepdims=True) - low
        array = np.round(255 * (values - low) / np.where(span > 0, span, 1)).astype("uint8")
    return np.broadcast_to(array, (*array.shape[:-1], 3))


def reduced_size(image, longest=448):
    """A picture (height, width, channels), averaged over blocks until no side is much longer than `longest` pixels."""
    factor = -(-max(image.shape[:2]) // longest)
    if factor == 1:
        return image
    height, width = (n // factor for n in image.shape[:2])
    if not height or not width:
        return image
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return np.round(blocks.mean(axis=(1, 3))).astype("uint8")
