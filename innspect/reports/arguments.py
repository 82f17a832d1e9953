"""What may be asked of a report."""

from typing import Any

from innspect.checks import File, Integer, ListOf, Text
from innspect.inputs.batches import as_numbers
from innspect.reports.pictures import input_pictures
from innspect.types import Array

_RANGES = {
    "path": File(),
    "top": Integer(1),
    "names": ListOf(Text()),
    "title": Text(),
    "batch_size": Integer(1),
}
_NEEDED = ("top", "batch_size")


def check_arguments(**given: Any) -> None:
    """Raise where an argument of `report` is out of its range.

    Raises:
        ValueError: The message names it.
    """
    for name, value in given.items():
        if value is not None or name in _NEEDED:
            _RANGES[name].check(name, value)


def check_entries(count: int, names: Any, images: Any) -> Array | None:
    """Raise where there is no sample, or not one of `names` and `images` for each; the images as an array."""
    if not count:
        raise ValueError("`x` must hold a sample. Received: 0 samples")
    array = None if images is None else as_numbers(images, "images")
    if array is not None and (array.dtype.kind not in "fiub" or input_pictures(array) is None):
        raise ValueError(
            f"`images` must be pictures, (samples, height, width[, 1 or 3]). Received: shape {array.shape}, dtype {array.dtype}"
        )
    for name, entries in (("names", names), ("images", array)):
        if entries is not None and len(entries) != count:
            raise ValueError(f"`{name}` must have an entry for each of the {count} inputs. Received: {len(entries)}")
    return array


def check_neurons(neurons: Any, shape: tuple[int, ...]) -> None:
    """Raise where `neurons` is no list of numbers of outputs, whose shape is (samples, ...)."""
    ListOf(Integer(0, (shape[-1] if len(shape) > 1 else 1) - 1)).check("neurons", neurons)
