"""How many steps a path takes until what its sum misses is small, and what is said where it is not."""

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.analyzers.base.request import Batch, Result
from innspect.errors import IncompleteAttributionWarning
from innspect.types import Array

FIRST, LAST = 64, 4096  # what is doubled, and where that ends: floating point, or a jump, is then what misses
_ROUNDING = 1e-5  # of the larger of both values: so much is no share of their difference


def missing_share(found: Result, several: bool) -> Array:
    """The share of f(x) - f(x0) that is missing from the sum of the attributions, for each neuron and sample.

    Args:
        found: With "attributions", "targets" and "delta", NumPy arrays.
        several: Whether there is a neuron axis.

    Returns:
        An array like the targets; where the difference is nothing but rounding 0, where it is not finite NaN.
    """
    lead = 2 if several else 1
    total = sum(a.reshape(*a.shape[:lead], -1).sum(axis=-1, dtype="float64") for a in found["attributions"])
    delta = found["delta"].astype("float64")
    there, difference = np.abs(found["targets"]), np.abs(total + delta)
    lost = np.abs(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = lost / difference
    return np.where(lost <= _ROUNDING * np.maximum(there, difference), 0.0, share)


def refined(integrate: Callable[[Batch, int], Result], batch: Batch, missing: float, last: int = LAST) -> Result:
    """What is found with twice the steps, and twice again, for those samples of which more than a share is missing.

    Args:
        integrate: A function from a batch and a number of steps to what `explain_batch` returns.
        batch: The `Batch`.
        missing: The largest share.
        last: Steps that are not exceeded.

    Returns:
        As `explain_batch`, NumPy arrays, with the number of steps that each neuron and sample took in "details".
    """
    several, steps = batch.request.several, FIRST
    found = keras.tree.map_structure(backend.to_numpy, integrate(batch, steps))
    found["details"] = {"steps": np.full(found["targets"].shape, steps)}
    while 2 * steps <= last:
        short = missing_share(found, several) > missing
        rows = np.flatnonzero(short.any(axis=0) if several else short)
        if not len(rows):
            break
        steps *= 2
        padded = rows[np.minimum(np.arange(1 << (len(rows) - 1).bit_length()), len(rows) - 1)]  # a compiled shape more seldom
        finer = keras.tree.map_structure(backend.to_numpy, integrate(Batch.of(batch.request, batch.rows[padded]), steps))
        finer["details"] = {"steps": np.full(finer["targets"].shape, steps)}
        put = functools.partial(_replaced, rows=rows, short=short[..., rows])
        found |= {k: keras.tree.map_structure(put, found[k], finer[k]) for k in found if k not in ("outputs", "targets")}
    return found


def _replaced(coarse: Array, fine: Array, rows: Array, short: Array) -> Array:
    """The coarse values with the fine ones, of some rows, where they are short."""
    axis = short.ndim - 1
    result, fine = coarse.copy(), np.take(fine, np.arange(len(rows)), axis=axis)
    at = (slice(None),) * axis + (rows,)
    result[at] = np.where(short.reshape(*short.shape, *[1] * (fine.ndim - short.ndim)), fine, coarse[at])
    return result


def warn_of_missing(name: str, parts: Iterable[dict[str, Any]], several: bool, missing: float) -> None:
    """Say, once, of which samples more than a share is missing."""
    shares = [missing_share(part, several)[..., : part["count"]] for part in parts]
    if not shares:
        return
    share = np.atleast_2d(np.concatenate(shares, axis=-1))
    short = np.flatnonzero((share > missing).any(axis=0))
    if len(short):
        listed = ", ".join(map(str, short[:10])) + (", ..." if len(short) > 10 else "")
        warnings.warn(
            f"{name!r}: more than {missing:.0%} of the difference between the outputs for the input and for the reference is "
            f"missing from the maps of {len(short)} of {share.shape[1]} samples (number {listed}), at most "
            f"{share[:, short].max():.0%}. More `steps` miss less; steps='auto' doubles them until it is little.",
            IncompleteAttributionWarning,
            stacklevel=6,
        )
