"""Maps of one size as maps of another: linear interpolation, axis by axis, in any number of dimensions."""

from collections.abc import Iterable, Sequence

import numpy as np
from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.types import Array, BackendTensor, Shape

CONVENTIONS = ("half_pixel", "align_corners")


def interpolation(source: int, target: int, convention: str = "half_pixel") -> Array:
    """The matrix (target, source) that interpolates `source` points linearly at `target` points; rows sum to 1.

    Args:
        source: Number of points known.
        target: Number of points wanted.
        convention: "half_pixel" takes pixels as areas, as Keras and TensorFlow 2 resize images; "align_corners" puts
            the outermost points upon each other.
    """
    if convention == "align_corners":
        places = np.linspace(0, source - 1, target) if target > 1 else np.zeros(1)
    else:
        places = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
    low = np.minimum(np.floor(places).astype(int), max(source - 2, 0))
    share, rows = places - low, np.arange(target)
    matrix = np.zeros((target, source))
    matrix[rows, low] = 1 - share
    if source > 1:
        matrix[rows, low + 1] = share
    return matrix


def resized(maps: BackendTensor, size: Iterable[int], convention: str = "half_pixel") -> BackendTensor:
    """`maps` (batch, *spatial axes, ...) with as many spatial axes as `size` has, interpolated to that size."""
    for axis, target in enumerate(size, start=1):
        source = maps.shape[axis]
        if source != target:
            matrix = ops.convert_to_tensor(interpolation(source, target, convention), dtype=maps.dtype)
            maps = ops.moveaxis(ops.tensordot(maps, matrix, axes=[[axis], [1]]), -1, axis)
    return maps


def spatial_size(shape: Shape, axes: int, channels_first: bool = False) -> Shape | None:
    """The size along the spatial axes of an input of shape (batch, ...) that a map with `axes` axes lies on, or None.

    The input may have a channel axis or none (grey images, ids of an embedding).
    """
    sample = tuple(shape[1:])
    if len(sample) == axes + 1:
        return sample[1:] if channels_first else sample[:-1]
    return sample if len(sample) == axes else None


def no_input_to_cover(
    layer: str, map_shape: Sequence[int], input_shapes: Iterable[Shape], remedy: str = ""
) -> NotAnalyzeableModelError:
    return NotAnalyzeableModelError(
        f"The map of the layer {layer!r} has {len(map_shape)} spatial axes, and no input it depends on has as many, so it "
        f"cannot be resized to one. {remedy}Ask for the map as it is with upsample=False. Received: a map of shape "
        f"{tuple(map_shape)} and inputs of shapes {[tuple(s) for s in input_shapes]}"
    )
