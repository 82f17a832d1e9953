"""The grid game: of mosaics of images of four classes, how much of a map lies in the cell of its class (METRICS 3)."""

import numpy as np

from innspect.evaluation.maps import Maps, flattened
from innspect.evaluation.mosaic import CELLS, RANGES, Mosaics, mosaics_of, unfit
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.types import Array


@metric("collage", "localisation", higher=True, range=(0, 1), again=True, of="mosaic", ranges=RANGES, fits=unfit)
def collage(
    trial: Trial,
    maps: Maps,
    *,
    mosaics: Mosaics | None = None,
    confidence: float = 0.5,
    fit: str = "shrink",
    limit: int = 50,
) -> Result:
    """The grid game (Boehle et al. 2021): the share of the positive relevance of a class in the cell that shows it.

    Labels are not needed, since the model says which class an image has. By chance it is 1/4.

    Args:
        mosaics: Made by `mosaics`, and then `x` is not looked at; None: of `x`, with the following.
        confidence: The least probability of the class that the model chooses for an image.
        fit: "shrink" averages images over blocks of 2 x 2, so that the mosaic has an image's size; "grow" takes whole images,
            for models that take any size.
        limit: At most how many mosaics.

    Returns:
        A value for each *mosaic*, the mean over its defined cells; `curves["cells"]` has all, (mosaics, 4), and
        `beside["undefined_cells"]` the share of those that are not: the class is not among the four largest outputs for the
        mosaic, or nothing in the map is positive.

    Raises:
        ValueError: There are fewer than four classes of that confidence, or the inputs are no images.
    """
    if mosaics is not None and not isinstance(mosaics, Mosaics):
        raise ValueError(f"`mosaics` must be what `innspect.evaluation.mosaics` returns. Received: {type(mosaics).__name__}")
    made = mosaics or mosaics_of(trial, confidence=confidence, fit=fit, limit=limit)
    cells = _shares(made, maps.on(made.trial))
    known = ~np.isnan(cells)
    values = np.where(known.any(axis=1), np.where(known, cells, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
    settings = made.settings | {"undefined_cells": float((~known).mean())}
    return Result(values, {"cells": cells}, settings, {"undefined_cells": (~known).mean(axis=1)})


def _shares(made: Mosaics, maps: Maps) -> Array:
    """The share of each class's positive relevance in its cell, (mosaics, 4)."""
    trial, where = made.trial, made.cells().reshape(-1)
    shares = np.full((len(made), CELLS), np.nan)
    rows, cells = np.nonzero(made.counted)
    for start in range(0, len(rows), trial.batch_size):
        some, cell = rows[start : start + trial.batch_size], cells[start : start + trial.batch_size]
        full = maps.again([a[some] for a in trial.arrays], some, made.classes[some, cell])
        finite = np.isfinite(full[0].reshape(len(some), -1)).all(axis=1)
        positive = flattened(trial, full, sign="positive")
        total = positive.sum(axis=1)
        inside = (positive * (where == cell[:, None])).sum(axis=1)
        defined = finite & (total > 0)
        shares[some, cell] = np.where(defined, inside / np.where(defined, total, 1), np.nan)
    return shares
