"""Photographs as people have them: turned upright, without alpha, grey or in colour, of any size, or damaged."""

import contextlib
import os

import numpy as np

from innspect.cli.frames import frame_of
from innspect.files import readable

ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".jfif",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
    ".avif",
    ".heic",
    ".heif",
)
_BITS_PER_SAMPLE = 258  # the number of a tag
_TRANSPARENT = ("1", "L", "P", "RGB", "LA", "La", "PA", "RGBA", "RGBa")  # what may have an alpha, or a colour in its place
_HUGE = 50_000_000  # pixels: above it a JPEG is decoded at half, a quarter or an eighth of its size
_MOST = 180_000_000  # pixels that are decoded at most, which take half a gigabyte


def read_image(path, shape, resize="crop"):
    """An image as float32, 0 to 255, in the size and channels of a model's input. Of 16 bits, 65535 is 255.

    Args:
        path: The file.
        shape: The input's, with the samples: (None, height, width, 1 or 3), (None, 1 or 3, height, width), or
            (None, height, width). Where height or width is not known the image keeps its size.
        resize: "crop", "pad" or "stretch", see `frame_of`.

    Raises:
        ValueError: It is no image that can be read, or the model takes no images.
    """
    return pixels_and_frame(path, shape, resize)[0].astype("float32")


def pixels_and_frame(path, shape, resize="crop"):
    """As `read_image`, but uint8 where that holds it, with the `Frame` that it is of the image, and the image's own size."""
    first, channels, (height, width) = layout_of(shape, path)
    needed = 2 * max(height or 0, width or 0) or None
    image, size = read_upright(path, needed)
    image = image if image.mode == "F" else image.convert("L" if channels == 1 else "RGB")
    frame = frame_of(size, (height, width) if height and width else size[::-1], resize)
    pixels = np.asarray(frame.cut(image))
    if len(shape) == 3:
        return pixels, frame, size
    pixels = np.broadcast_to(pixels.reshape(*pixels.shape[:2], -1), (*pixels.shape[:2], channels))
    return (np.moveaxis(pixels, -1, 0) if first else pixels), frame, size


def layout_of(shape, path=""):
    """Of a model's input: whether channels are first, how many there are, and (height, width), each perhaps None.

    Raises:
        ValueError: It takes no images.
    """
    first = len(shape) == 4 and shape[-1] not in (1, 3) and shape[1] in (1, 3)
    channels = 1 if len(shape) == 3 else shape[1 if first else -1]
    if len(shape) not in (3, 4) or channels not in (1, 3):
        raise ValueError(f"The model takes no images, but inputs of shape {tuple(shape[1:])}. Received: {path!r}")
    return first, channels, tuple(shape[2:] if first else shape[1:3])


def photograph(path, longest):
    """The whole image as it should be shown, uint8 (height, width, 3), reduced where a side is longer than `longest`."""
    from PIL import Image

    image, size = read_upright(path, longest)
    if image.mode == "F":
        image = Image.fromarray(np.round(np.asarray(image)).astype("uint8"))
    return np.asarray(image.convert("RGB").resize(shown_size(size, longest), Image.Resampling.BILINEAR))


def shown_size(size, longest):
    """Width and height, reduced in proportion where one is longer than `longest`."""
    scale = min(1, longest / max(size))
    return tuple(max(1, round(n * scale)) for n in size)


def read_upright(path, needed=None):
    """An image of Pillow's as one looks at it, in the mode "L", "RGB" or "F", 0 to 255; and its width and height.

    Args:
        path: The file.
        needed: Pixels a side that are enough: a huge JPEG is decoded at a smaller size that still has them.

    Raises:
        ValueError: It cannot be read, whatever Pillow raises; the message names the file.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("Images need Pillow: pip install pillow") from error
    path = readable(path)
    try:
        with _without_limit(Image), Image.open(path) as file:
            size = file.size
            if needed and size[0] * size[1] > _HUGE:
                file.draft(None, (needed, needed))
            if file.size[0] * file.size[1] > _MOST:
                raise ValueError(
                    f"it has {size[0]} x {size[1]} pixels, more than {_MOST // 1_000_000} million: make it smaller"
                )
            file.load()
            upright = _turned(file)
            size = size if upright.size == file.size else size[::-1]
            image = _opaque(_of_8_bits(file, upright))
    except Exception as error:  # which a damaged picture may raise of any kind
        reason = "its format is not known" if isinstance(error, UnidentifiedImageError) else error or type(error).__name__
        raise ValueError(f"{os.fspath(path)!r} is no image that can be read: {reason}") from error
    return image, size


@contextlib.contextmanager
def _without_limit(module):
    """Pillow refuses a panorama before anyone can ask for less of it; what is too large for here is told apart above."""
    kept, module.MAX_IMAGE_PIXELS = module.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        module.MAX_IMAGE_PIXELS = kept


def _turned(image):
    """Upright, as the camera noted it in EXIF; as it is where that cannot be read."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # of what a camera or a program wrote there
        return image


def _of_8_bits(file, image):
    """A picture in a mode of Pillow's whose values are from 0 to 255; those of 16 bits become fractions in between.

    Pillow's own conversion takes every value above 255 for white.

    Args:
        file: As it was opened, which knows the format.
        image: The same, upright.

    Raises:
        ValueError: Its values have no range that would be known: they are of 32 bits, floats, or have a sign.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    bits = getattr(file, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]  # of a TIFF, whose tags tell it
    if bits > 16 or not (image.mode.startswith("I;16") or file.format in ("PNG", "PPM")):
        raise ValueError(
            "the range of its pixels is not known, which are of 32 bits, floats, or have a sign. Save it with 8 or 16 bits, or "
            f"give an array. Received: mode {image.mode!r}"
        )
    from PIL import Image

    return Image.fromarray(np.asarray(image).astype("float32") * (255 / (2**bits - 1)))


def _opaque(image):
    """Grey or in colour, on white where it is transparent, as pages show it: below alpha 0 any colour may be hidden."""
    if image.mode == "F":
        return image
    if image.mode in _TRANSPARENT and ("transparency" in image.info or image.mode[-1] in "Aa"):
        from PIL import Image

        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
