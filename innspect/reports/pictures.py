"""Maps and inputs as pictures for files and pages."""

import base64
import importlib.util
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from innspect.types import Array
from innspect.visualize import colours, palette_of
from innspect.visualize.colours import see_through
from innspect.visualize.forms import Form, input_pictures, picture_shades
from innspect.visualize.pieces import data_uri

__all__ = ["enlarged", "input_pictures", "layer_uri", "level_of", "photograph_uri", "reduced_size", "shades_of"]

SMALL = 64  # pixels a side: below it pixels are shown as squares
ZERO = 128  # the level of a map's zero
_SMALLEST = 256  # pixels: smaller maps are enlarged by a whole factor
_QUALITY = 90  # of a JPEG, at which nobody sees a difference


def level_of(shades: Array) -> Array:
    """Shades in [-1, 1] as levels from 1 to 255, uint8, about `ZERO`; 0 where they are not finite."""
    known = np.isfinite(shades)
    return np.where(known, np.round(127 * np.where(known, shades, 0)) + ZERO, 0).astype("uint8")


def shades_of(levels: Array) -> Array:
    """What `level_of` was given, to 1/127."""
    return np.where(levels == 0, np.nan, (levels.astype("float64") - ZERO) / 127)


def layer_uri(form: Form, i: int, of: Any, placed: Callable[[Array], Array] | None = None) -> str:
    """A sample's map as a transparent layer of inks, as an address that holds it.

    Args:
        form: An image, or a volume, which is shown in slices.
        i: Number of the sample.
        of: Whose maps they are, as for `palette_of`.
        placed: Puts the map's levels, uint8 (height, width, 3), where they belong in the input's picture.
    """
    levels = level_of(picture_shades(form)[i])
    if placed is not None:
        levels = placed(np.repeat(levels[..., None], 3, axis=2))[..., 0]
    levels = reduced_size(levels[..., None])[..., 0]
    return data_uri(see_through(colours(shades_of(levels), palette_of(of))))


def photograph_uri(image: Array) -> str:
    """An input's picture, uint8 (height, width, 3), as an address that holds it: a large one as JPEG, if Pillow is there."""
    image = reduced_size(image)
    if max(image.shape[:2]) < SMALL or importlib.util.find_spec("PIL") is None:
        return data_uri(image)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    kept, lossless = buffer.getvalue(), data_uri(image)
    uri = "data:image/jpeg;base64," + base64.b64encode(kept).decode()
    return min(uri, lossless, key=len)


def enlarged(image: Array) -> Array:
    """A small picture by a whole factor, so that every pixel stays a square."""
    factor = max(1, round(_SMALLEST / max(image.shape[:2])))
    return image.repeat(factor, 0).repeat(factor, 1)


def reduced_size(image: Array, longest: int = 448) -> Array:
    """A picture (height, width, channels), averaged over blocks until no side is much longer than `longest` pixels."""
    factor = -(-max(image.shape[:2]) // longest)
    if factor == 1:
        return image
    height, width = (n // factor for n in image.shape[:2])
    if not height or not width:
        return image
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return np.round(blocks.mean(axis=(1, 3))).astype("uint8")
