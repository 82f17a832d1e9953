"""What is known of samples besides: where things are, which class they have, what only distracts (METRICS 1.1, 3, 8)."""

from typing import Any

import numpy as np

from innspect.evaluation.trial import Trial
from innspect.inputs.batches import as_numbers
from innspect.types import Array


def over_positions(trial: Trial, given: Any, name: str, kinds: str, wanted: str) -> Array:
    """What was given for each position of each sample, (samples, positions), the inputs one after the other.

    Args:
        trial: The `Trial`.
        given: An array (samples, *positions); for several inputs a list or a dict with one for each.
        name: The argument's name.
        kinds: The kinds of dtype that it may have.
        wanted: What it holds, for the message.

    Raises:
        ValueError: It has another shape or dtype.
    """
    count = len(trial.arrays)
    if isinstance(given, dict):
        given = list(given.values())
    arrays = list(given) if isinstance(given, list | tuple) and (count > 1 or hasattr(given[0], "shape")) else [given]
    if len(arrays) != count:
        raise ValueError(f"`{name}` must be a list of {count} arrays, one for each input. Received: {len(arrays)}")
    parts = []
    for i, array in enumerate(as_numbers(a, name) for a in arrays):
        shape = (trial.samples, *trial.sizes[i])
        array = array[:, None] if array.ndim == 1 and len(shape) == 2 and shape[1] == 1 else array
        if array.shape != shape or array.dtype.kind not in kinds:
            raise ValueError(
                f"`{name}` must hold {wanted} of shape {shape}, one for each position of each sample and none for channels. "
                f"Received: shape {array.shape}, dtype {array.dtype}"
            )
        parts.append(array.reshape(trial.samples, -1))
    return np.concatenate(parts, axis=1)


def masks_of(trial: Trial, masks: Any, name: str = "masks") -> Array:
    """Where the thing is, booleans (samples, positions)."""
    return over_positions(trial, masks, name, "b", "booleans")


def region_of(trial: Trial, masks: Any = None, boxes: Any = None) -> Array:
    """Where the thing is, booleans (samples, positions): masks where there are any, else the filled union of boxes."""
    return masks_of(trial, masks) if masks is not None else filled(trial, boxes_of(trial, boxes))


def boxes_of(trial: Trial, boxes: Any) -> list[Array]:
    """The boxes of each sample, integers (boxes, 2 x axes): the first corner, then the last, which is inside.

    Raises:
        ValueError: They are no boxes, or not inside; or the model has several inputs.
    """
    if len(trial.sizes) > 1:
        raise ValueError(f"`boxes` need a model of one input; give `masks`. Received: {len(trial.sizes)} inputs")
    size = trial.sizes[0]
    if len(boxes) != trial.samples:
        raise ValueError(
            f"`boxes` must be a list with one list for each of the {trial.samples} samples. Received: {len(boxes)}"
        )
    return [_boxes(row, size, i) for i, row in enumerate(boxes)]


def _boxes(row: Any, size: tuple[int, ...], sample: int) -> Array:
    axes = len(size)
    try:
        array = as_numbers(row, "boxes") if len(row) else np.zeros((0, 2 * axes), "int64")
    except (TypeError, ValueError):
        array = np.array(0.5)
    corners = "(top, left, bottom, right)" if axes == 2 else f"{axes} integers for the first corner and {axes} for the last"
    if array.ndim != 2 or array.shape[1] != 2 * axes or array.dtype.kind not in "iu":
        raise ValueError(f"`boxes` must hold a list of boxes {corners} for each sample. Received: {row!r} for sample {sample}")
    array = array.astype("int64")
    outside = (array[:, :axes] < 0) | (array[:, axes:] >= np.array(size)) | (array[:, :axes] > array[:, axes:])
    if outside.any():
        wrong = tuple(map(int, array[outside.any(axis=1)][0]))
        raise ValueError(
            f"`boxes` must lie inside the positions {size}, both corners belonging to them: {corners}. "
            f"Received: {wrong} for sample {sample}"
        )
    return array


def filled(trial: Trial, boxes: list[Array]) -> Array:
    """The union of each sample's boxes, booleans (samples, positions)."""
    size = trial.sizes[0]
    region = np.zeros((len(boxes), *size), bool)
    for within, row in zip(region, boxes, strict=True):
        for box in row:
            within[tuple(slice(a, b + 1) for a, b in zip(box[: len(size)], box[len(size) :], strict=True))] = True
    return region.reshape(len(boxes), -1)


def labels_of(trial: Trial, labels: Any) -> Array:
    """The true class of each sample, integers (samples,).

    Raises:
        ValueError: They are no classes of the model.
    """
    given = as_numbers(labels, "labels")
    given = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
    if trial.outputs.ndim > 2:
        raise ValueError(
            f"`labels` need a model with one output for each class. Received: a model with outputs {trial.outputs.shape[1:]}"
        )
    count = int(np.prod(trial.outputs.shape[1:]))
    wrong = given.shape != (trial.samples,) or given.dtype.kind not in "iu"
    if wrong or given.min() < 0 or given.max() >= max(count, 1):
        raise ValueError(
            f"`labels` must be a class from 0 to {count - 1} for each of the {trial.samples} samples, integers. "
            f"Received: shape {given.shape}, dtype {given.dtype}" + ("" if wrong else f", {given.min()} to {given.max()}")
        )
    return given.astype("int64")
