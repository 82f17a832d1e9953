"""Planted truth that methods are chosen by: where something stands that the network must use."""

from collections.abc import Callable
from typing import Any

import numpy as np

from innspect.evaluation.trial import Trial
from innspect.evaluation.truth import over_positions
from innspect.types import Array

METRICS = ("relevance_mass", "relevance_rank")
BESIDE = ("sign_accuracy",)  # where the truth is signed

Known = Callable[[Array], dict[str, Any]]
"""From the numbers of samples to the truth about them, as the metrics take it."""


def known_of(trial: Trial, truth: Any) -> tuple[Known, bool]:
    """What is known of a trial's samples, and whether it has signs.

    Args:
        trial: All samples.
        truth: Where the thing is, booleans (samples, *positions), or what every position does, signed numbers of this shape, 0
            where it does nothing; for several inputs a list.

    Raises:
        ValueError: It has another shape, or says nothing of any sample.
    """
    if isinstance(truth, str):
        raise ValueError(
            "`truth` must be masks, booleans (samples, *positions), or signed numbers of this shape, 0 where nothing is. "
            f"Received: {truth!r}"
        )
    flat = over_positions(trial, truth, "truth", "bfiu", "booleans, or signed numbers,")
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise ValueError("`truth` must hold finite numbers. Received: some that are not")
    region, signed = flat != 0, flat.dtype.kind != "b"
    some = region.any(axis=1) & ~region.all(axis=1)
    if not some.any():
        raise ValueError(
            "`truth` must tell some positions from others, by which maps can be told from random ones. "
            "Received: nowhere, or everywhere, in all samples"
        )

    def known(rows: Array) -> dict[str, Any]:
        told = {"masks": _parted(trial, region[rows])}
        return told | ({"truth": _parted(trial, flat[rows])} if signed else {})

    return known, signed


def _parted(trial: Trial, flat: Array) -> Any:
    """Values over all positions as an array for each input; an array where there is one."""
    ends = np.cumsum([int(np.prod(size)) for size in trial.sizes])
    parts = [part.reshape(len(flat), *size) for part, size in zip(np.split(flat, ends[:-1], axis=1), trial.sizes, strict=True)]
    return parts[0] if len(parts) == 1 else parts
