"""Photographs that ship in packages."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from innspect.checks import Integer
from innspect.errors import PlainKeyError, suggest
from innspect.types import Array
from innspect.zoo.packages import folder_of

_CENTRE = 0.875  # of the shorter side: what ImageNet's networks are evaluated on


class _Place(NamedTuple):
    module: str
    package: str
    folder: str


_SKIMAGE = _Place("skimage", "scikit-image", "data")
_SKLEARN = _Place("sklearn", "scikit-learn", "datasets/images")
_PHOTOGRAPHS = {
    "astronaut": (_SKIMAGE, "astronaut.png"),
    "camera": (_SKIMAGE, "camera.png"),
    "chelsea": (_SKIMAGE, "chelsea.png"),
    "china": (_SKLEARN, "china.jpg"),
    "coffee": (_SKIMAGE, "coffee.png"),
    "flower": (_SKLEARN, "flower.jpg"),
    "motorcycle": (_SKIMAGE, "motorcycle_left.png"),
    "rocket": (_SKIMAGE, "rocket.jpg"),
}


def list_photographs() -> list[str]:
    """The names that `photograph` knows."""
    return sorted(_PHOTOGRAPHS)


def photograph(name: str, size: int | None = None) -> Array:
    """A photograph that ships in scikit-image or scikit-learn; neither is imported, and nothing is fetched.

    Args:
        name: One of `list_photographs()`.
        size: Pixels a side: the centre square, 7/8 of the shorter side, resized bicubically, as networks are evaluated. None
            is the whole photograph in its own size.

    Returns:
        Red, green, blue, uint8 (height, width, 3).

    Raises:
        KeyError: Unknown name; near matches are offered.
        ImportError: Pillow, or the package that has it, is not installed: `pip install 'innspect[demo]'`.
    """
    Integer(1, or_none=True).check("size", size)
    if name not in _PHOTOGRAPHS:
        raise PlainKeyError(f"Unknown photograph: {name!r}. {suggest(name, list_photographs())}")
    (module, package, folder), file = _PHOTOGRAPHS[name]
    path = Path(folder_of(module, package, f"photographs such as {name!r}")) / folder / file
    with _pillow().open(os.fspath(path)) as image:
        whole = image.convert("RGB")
    return np.array(whole if size is None else _centre(whole, size))


def _centre(image: Any, size: int) -> Any:
    side = int(min(image.size) * _CENTRE)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side)).resize((size, size), _pillow().Resampling.BICUBIC)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("Photographs are read with Pillow: pip install 'innspect[demo]'") from error
    return Image
