"""Maps laid over the photographs that they are of, in the photographs' own size."""

import io

import numpy as np

from innspect.visualize import overlay
from innspect.visualize.colours import channel_axis

LONGEST = 4096  # pixels a side: longer photographs are shown reduced
_SMALLEST = 256  # pixels: smaller photographs are enlarged by a whole factor
_LUMINANCE = (0.299, 0.587, 0.114)
_UNSEEN = (165, 90)  # where the network did not look: added to the photograph, and left of it, of 255


def drawable(attribution):
    """Whether maps (samples, ...) can lie over a photograph."""
    return np.ndim(attribution) in (3, 4)


def layers(attribution, of):
    """What overlays of maps add to a grey photograph, and what they leave of it, each uint8 (samples, height, width, 3).

    In an overlay every position is the photograph's grey, times a share, plus a colour: what stands over black is the colour,
    what stands over white is more by the share. So maps are laid over a photograph of any size.

    Args:
        attribution: (samples, height, width[, channels]).
        of: Its settings, as for `overlay`.
    """
    axis = channel_axis(np.asarray(attribution))
    spatial = [n for i, n in enumerate(np.shape(attribution)) if np.ndim(attribution) == 3 or i != axis % 4]
    black, white = (overlay(attribution, np.full(spatial, value, "uint8"), of=of, channel_axis=axis) for value in (0, 255))
    return black, np.clip(white.astype("int16") - black, 0, 255).astype("uint8")


def laid_over(photograph, added, left, frame):
    """One overlay in a photograph, which is grey, so that every colour is the map's.

    Args:
        photograph: uint8 (height, width, 3).
        added, left: Of one sample, from `layers`.
        frame: Where in the photograph the map belongs, a `Frame`.

    Returns:
        uint8 of the photograph's shape; pale where the network did not look.
    """
    size = photograph.shape[1::-1]
    grey = np.round(photograph @ np.array(_LUMINANCE, "float32")).astype("uint16")[..., None]
    added, left = (frame.place(layer, size, fill) for layer, fill in zip((added, left), _UNSEEN, strict=True))
    return np.minimum((left * grey + 127) // 255 + added, 255).astype("uint8")


def enlarged(photograph):
    """A small photograph by a whole factor, so that every pixel stays a square."""
    factor = max(1, round(_SMALLEST / max(photograph.shape[:2])))
    return photograph.repeat(factor, 0).repeat(factor, 1)


def png_of(picture):
    """The bytes of a PNG file, filtered, as photographs need it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
