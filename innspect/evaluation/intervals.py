"""Intervals of means, tests of differences, and their adjustment (METRICS 1.13). SciPy has the distributions."""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import OneOf
from innspect.evaluation.draws import generator
from innspect.types import Array

KINDS = ("t", "wilson", "bootstrap")
_DRAWS = 2000


def of_scipy(part: str, needs: str) -> Any:
    """A part of SciPy, such as "stats".

    Args:
        part: Its name.
        needs: What needs it, for the message.

    Raises:
        ImportError: It is not there; the message says what to install.
    """
    try:
        return importlib.import_module(f"scipy.{part}")
    except ImportError as error:
        raise ImportError(f"{needs} need SciPy: pip install 'innspect[evaluation]'. Received: no SciPy") from error


def distributions() -> Any:
    """`scipy.stats`."""
    return of_scipy("stats", "Intervals, tests and rank correlations")


def interval(
    values: ArrayLike, kind: str = "t", *, range: tuple[float, float] = (-np.inf, np.inf), seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval of a mean.

    Args:
        values: One for each sample; NaN is undefined and left out.
        kind: "t", Student's; "wilson" for values of 0 and 1; "bootstrap", percentiles of 2,000 resamplings.
        range: What the values may be; the interval is cut to it.
        seed: Of the resampling.

    Returns:
        (low, high); NaN where fewer than two values are defined.
    """
    OneOf(*KINDS).check("kind", kind)
    array = np.asarray(values, "float64").reshape(-1)
    array = array[~np.isnan(array)]
    n = len(array)
    if n < 2:
        return float("nan"), float("nan")
    if kind == "bootstrap":
        drawn = generator(seed, "bootstrap").integers(0, n, (_DRAWS, n))
        low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5])
    elif kind == "wilson":
        low, high = _wilson(array)
    else:
        half = distributions().t.ppf(0.975, n - 1) * array.std(ddof=1) / np.sqrt(n)
        low, high = array.mean() - half, array.mean() + half
    return float(np.clip(low, *range)), float(np.clip(high, *range))


def _wilson(array: Array) -> tuple[float, float]:
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"`values` must be 0 and 1 for kind='wilson'. Received: {array[~np.isin(array, (0.0, 1.0))][0]}")
    n, share, z = len(array), array.mean(), distributions().norm.ppf(0.975)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def paired(differences: Array) -> float:
    """The p of the paired t test that the mean of some differences is 0; NaN for fewer than two."""
    n = len(differences)
    if n < 2:
        return float("nan")
    spread, mean = differences.std(ddof=1), differences.mean()
    if spread <= 1e-12 * np.abs(differences).max():  # all equal
        return 1.0 if mean == 0 else float(2.0 ** (1 - n))
    return float(2 * distributions().t.sf(abs(mean) / (spread / np.sqrt(n)), n - 1))


def holm(p: Sequence[float] | Array) -> Array:
    """Holm's adjustment of p values for as many comparisons as there are; NaN stays and does not count."""
    given = np.asarray(p, "float64")
    result, known = np.full(given.shape, np.nan), np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    factors = len(known) - np.arange(len(known))
    result[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1) if len(known) else []
    return result
