"""Mosaics of images of four classes, where it is known which cell shows the class: the grid game needs no labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import Count, OneOf
from innspect.evaluation.trial import Trial
from innspect.evaluation.units import Share
from innspect.types import Array, Nest

CELLS = 4
FITS = ("shrink", "grow")
RANGES = {"confidence": Share(), "fit": OneOf(*FITS), "limit": Count()}


@dataclass(frozen=True)
class Mosaics:
    """Mosaics of 2 x 2 images, each of another class.

    Attributes:
        trial: The mosaics as samples of a `Trial`; its targets are the classes of the first cells.
        images: The number of the image in each cell, by rows, (mosaics, 4).
        classes: The model's class of that image, (mosaics, 4).
        counted: Whether that class is among the four largest outputs for the mosaic, booleans (mosaics, 4).
        settings: How they were made.
    """

    trial: Trial
    images: Array
    classes: Array
    counted: Array
    settings: dict[str, Any]

    @property
    def x(self) -> Nest:
        """The mosaics, as the model takes them."""
        return self.trial.inputs.x

    def __len__(self) -> int:
        return len(self.images)

    def cells(self) -> Array:
        """The cell of each position, integers 0 to 3 by rows, of the positions' shape."""
        halves = [(np.arange(n) >= n // 2).astype("int64") for n in self.trial.sizes[0]]
        return np.add.outer(2 * halves[0], halves[1])


def mosaics(
    model: Any,
    x: Nest,
    *,
    confidence: float = 0.5,
    fit: str = "shrink",
    limit: int = 50,
    seed: int = 0,
    batch_size: int | None = None,
    output: int | str = 0,
    channel_axis: int | str | None = "auto",
) -> Mosaics:
    """The mosaics of `collage`, made once for any number of methods.

    Images in the order of their confidence, each in one mosaic only: a mosaic takes the first four of different classes that
    are left, and puts them into cells in an order drawn from the seed.

    Args:
        model: An image classifier.
        x: Images of at least four classes.
        confidence: The least probability of the class that the model chooses for an image.
        fit: "shrink" averages images over blocks of 2 x 2, so that the mosaic has an image's size; "grow" takes whole images,
            for models that take any size.
        limit: At most how many.
        seed, batch_size, output, channel_axis: As for every metric.

    Raises:
        ValueError: There are fewer than four classes of that confidence, or the inputs are no images.
    """
    trial = Trial(model, x, seed=seed, batch_size=batch_size, output=output, channel_axis=channel_axis)
    return mosaics_of(trial, confidence=confidence, fit=fit, limit=limit)


def mosaics_of(trial: Trial, *, confidence: float = 0.5, fit: str = "shrink", limit: int = 50) -> Mosaics:
    """The mosaics of a trial's samples, which it keeps: the next method is asked about the same ones."""
    for name, value in (("confidence", confidence), ("fit", fit), ("limit", limit)):
        RANGES[name].check(name, value)
    key = ("mosaics", float(confidence), fit, int(limit))
    if key not in trial.kept:
        problem = unfit(trial, confidence=confidence, fit=fit)
        if problem:
            raise ValueError(problem)
        trial.kept[key] = _made(trial, confidence, fit, limit)
    found: Mosaics = trial.kept[key]
    return found


def unfit(trial: Trial, *, confidence: float = 0.5, fit: str = "shrink") -> str | None:
    """Why no mosaics can be made of a trial's samples, or None where they can."""
    axes = trial.axes[0]
    if len(trial.arrays) > 1 or len(axes.size) != 2 or min(axes.size) < 2 or not trial.repeatable(0):
        shapes = [a.shape[1:] for a in trial.arrays]
        return (
            "Mosaics are made of images: one input (height, width, channels), or (height, width) with channel_axis=None. "
            f"Received: samples of {shapes}"
        )
    if trial.outputs.ndim != 2 or trial.outputs.shape[1] < CELLS:
        return (
            "Mosaics need a classifier of at least four classes, with an output for each. "
            f"Received: outputs of shape {trial.outputs.shape[1:]}"
        )
    if fit == "grow" and not _of_any_size(trial):
        return f"fit='grow' needs a model that takes images of any size. Received: a model of images of {axes.size}"
    p, classes = _chosen(trial)
    found = len(set(classes[p >= confidence].tolist()))
    if found < CELLS:
        return (
            f"Mosaics need images of four classes, predicted with a probability of at least {confidence:g}. "
            f"Received: {found} such {'class' if found == 1 else 'classes'} in {trial.samples} images"
        )
    return None


def _of_any_size(trial: Trial) -> bool:
    opened = trial.predictor.opened
    return opened is None or all(opened.specs[0].shape[a] is None for a in trial.axes[0].spatial)


def probabilities(trial: Trial) -> Array:
    """The probability of each class, (samples, classes), as `score="probability"` has it."""
    scored = trial.score("probability")
    if scored.key == "output":
        return trial.outputs.astype("float64")
    return backend.to_numpy(scored.of(ops.convert_to_tensor(trial.run("explained")))).astype("float64")


def _chosen(trial: Trial) -> tuple[Array, Array]:
    """The probability of the class that the model chooses for each sample, 0 where there is none, and the class."""
    if "chosen" not in trial.kept:
        p = probabilities(trial)
        known = np.isfinite(p).all(axis=1)
        classes = np.where(known[:, None], p, 0).argmax(axis=1)
        trial.kept["chosen"] = np.where(known, p[np.arange(len(p)), classes], -1.0), classes
    found: tuple[Array, Array] = trial.kept["chosen"]
    return found


def _groups(trial: Trial, confidence: float, limit: int) -> Array:
    """Images (mosaics, 4) by confidence, of four classes each; equally sure ones by their keys, wherever they stand."""
    p, classes = _chosen(trial)
    left = sorted(np.flatnonzero(p >= confidence).tolist(), key=lambda i: (-p[i], trial.keys[i]))
    groups: list[list[int]] = []
    while len(groups) < limit:
        taken: dict[int, int] = {}
        for i in left:
            if len(taken) < CELLS:
                taken.setdefault(int(classes[i]), i)
        if len(taken) < CELLS:
            break
        groups.append(list(taken.values()))
        left = [i for i in left if i not in taken.values()]
    return np.array(groups)


def _made(trial: Trial, confidence: float, fit: str, limit: int) -> Mosaics:
    draws, groups = trial.generator("mosaics"), _groups(trial, confidence, limit)
    images = np.stack([group[draws.permutation(CELLS)] for group in groups])
    x = np.stack([_mosaic(trial, row, fit) for row in images])
    classes = _chosen(trial)[1][images]
    made = Trial(
        trial,
        trial.inputs.pack([x]),
        classes[:, 0],
        seed=trial.seed,
        batch_size=trial.given_size,
        output=trial.output,
        channel_axis=trial.channel_axis,
        progress=trial.progress,
    )
    outputs = made.run("explained").astype("float64")
    own = np.take_along_axis(outputs, classes, axis=1)
    counted = (outputs[:, None] > own[:, :, None]).sum(axis=-1) < CELLS
    settings = {"confidence": float(confidence), "fit": fit, "mosaics": len(images), "images": images.tolist()}
    return Mosaics(made, images, classes, counted & np.isfinite(outputs).all(axis=1, keepdims=True), settings)


def _mosaic(trial: Trial, images: Array, fit: str) -> Array:
    """Four images side by side, by rows."""
    axes = trial.axes[0]
    first, second = (a - 1 for a in axes.spatial)
    cells = trial.arrays[0][images]
    if fit == "shrink":
        cells = [_shrunk(cell, (first, second), divmod(n, 2)) for n, cell in enumerate(cells)]
    rows = [np.concatenate(cells[n : n + 2], axis=second) for n in (0, 2)]
    return np.concatenate(rows, axis=first).astype(trial.arrays[0].dtype)


def _shrunk(image: Array, axes: tuple[int, int], cell: tuple[int, int]) -> Array:
    """Means over blocks of 2 x 2. Where a side is odd the second cell has one block more, which is cut at the border."""
    image = image.astype("float64")
    for axis, second in zip(axes, cell, strict=True):
        side = image.shape[axis]
        starts = np.arange(0, side, 2)
        means = np.add.reduceat(image, starts, axis=axis) / np.diff([*starts, side]).reshape(
            [-1 if a == axis else 1 for a in range(image.ndim)]
        )
        image = means if second else np.take(means, np.arange(side // 2), axis=axis)
    return image
