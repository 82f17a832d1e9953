"""Correlations of each sample, and where they are not defined (METRICS 1.12). Needs NumPy only."""

from collections.abc import Callable

import numpy as np

from innspect.types import Array

CONSTANT = 1e-6  # of the largest magnitude: what differs by less does not differ


def constant(values: Array, scale: Array | None = None) -> Array:
    """Which rows of (samples, n) are constant: max - min <= 1e-6 times the largest magnitude, booleans (samples,).

    Args:
        values: The numbers; a row without any is constant.
        scale: The magnitude, (samples,), such as the largest of |f(x)| and the hidden scores where values are drops; None:
            the largest |value| of the row.
    """
    if not values.shape[1]:
        return np.ones(len(values), bool)
    largest = np.abs(values).max(axis=1) if scale is None else np.asarray(scale, "float64")
    return np.ptp(values, axis=1) <= CONSTANT * largest


def mean_ranks(values: Array) -> Array:
    """Ranks from 1 within each row of (samples, n), the smallest first; equal values share their mean rank."""
    rows, n = values.shape
    starts = n * np.arange(rows)[:, None]
    order = np.argsort(values, axis=1) + starts  # equal values share their rank, so their order does not matter
    ordered = values.reshape(-1)[order]
    fresh = np.ones((rows, n), bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if fresh.all():
        mean: Array = np.arange(1.0, n + 1)
    else:
        group = np.cumsum(fresh.reshape(-1)) - 1  # none reaches into the next row
        counts = np.bincount(group)
        mean = (np.cumsum(counts) - (counts - 1) / 2)[group].reshape(rows, n) - starts
    ranks = np.empty(rows * n)
    ranks[order] = mean
    return ranks.reshape(rows, n)


def pearson(a: Array, b: Array, scale: Array | None = None) -> Array:
    """Pearson's correlation of each row.

    Args:
        a: Numbers, (samples, n).
        b: Numbers, (samples, n).
        scale: The magnitude that the spread of `b` is measured by, (samples,); see `constant`.

    Returns:
        (samples,), between -1 and 1; NaN where a side is constant or a number is not finite.
    """
    return _defined(a, b, scale, lambda values: values)


def spearman(a: Array, b: Array, scale: Array | None = None) -> Array:
    """Spearman's rank correlation of each row; equal values share their mean rank. Arguments as of `pearson`."""
    return _defined(a, b, scale, mean_ranks)


def spearman_to(a: Array) -> Callable[[Array], Array]:
    """`spearman` of one map with others, which is ranked once: a function of these, (samples, n)."""
    values = np.asarray(a, "float64")
    ranks, varies = np.full(values.shape, np.nan), np.isfinite(values).all(axis=1)
    varies[varies] = ~constant(values[varies])
    ranks[varies] = mean_ranks(values[varies])
    return lambda b: _defined(ranks, b, None, lambda v: v, mean_ranks)


def _defined(
    a: Array, b: Array, scale: Array | None, of: Callable[[Array], Array], of_b: Callable[[Array], Array] | None = None
) -> Array:
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    result = np.full(len(a), np.nan)
    finite = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    rows = np.flatnonzero(finite)
    a, b = a[rows], b[rows]
    varies = ~(constant(a) | constant(b, None if scale is None else np.asarray(scale)[rows]))
    if varies.any():
        result[rows[varies]] = _correlation(of(a[varies]), (of_b or of)(b[varies]))
    return result


def _correlation(a: Array, b: Array) -> Array:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    # Brought to 1 first, since squares of very small numbers are 0.
    a, b = (v / np.abs(v).max(axis=1, keepdims=True) for v in (a, b))
    scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.clip((a * b).sum(axis=1) / scale, -1, 1)
