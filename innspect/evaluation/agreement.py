"""How much two maps of a sample agree: rank correlation, top-k overlap, SSIM. Needs NumPy only.

Every function of a pair takes two arrays (samples, positions), is symmetric, and returns (samples,), NaN where it is undefined.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from innspect.checks import Integer
from innspect.evaluation.correlation import spearman
from innspect.types import Array

_WINDOW, _SIGMA = 11, 1.5  # positions
_K1, _K2, _RANGE = 0.01, 0.03, 2.0  # of maps between -1 and 1


def comparable(attributions: Any, shape: Sequence[int]) -> Array | None:
    """Maps of one method, brought to positions: (samples, positions).

    Args:
        attributions: (samples, ...) with or without a channel axis.
        shape: What the positions' shape is, (samples, *positions): channels, the last axis or the second, are summed.

    Returns:
        An array (samples, positions), or None where the method's maps have other positions.
    """
    array = np.asarray(attributions, "float64")
    shape = tuple(shape)
    if array.shape == shape:
        return array.reshape(len(array), -1)
    for axis in (-1, 1):
        if array.ndim == len(shape) + 1 and np.delete(array.shape, axis).tolist() == list(shape):
            return array.sum(axis).reshape(len(array), -1)
    return None


def rank_correlation(a: Array, b: Array) -> Array:
    """Spearman's rank correlation of each sample; equal values share their mean rank. Undefined: a map is constant."""
    return spearman(a, b)


def top_k_overlap(a: Array, b: Array, k: int | None = None, uniform: Array | None = None) -> Array:
    """The share of the first k positions that two maps have in common, of each sample.

    Args:
        a: Maps, (samples, positions).
        b: Others, (samples, positions).
        k: How many positions; None: a twentieth of them, at least one.
        uniform: Numbers by which equal values are put in order, the same for both maps, (samples, positions); None: in
            the order of the positions.
    """
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    size = a.shape[1]
    k = first(size) if k is None else min(int(Integer(1).check("k", k)), size)
    uniform = np.zeros(a.shape) if uniform is None else uniform
    tops = [np.lexsort((uniform, -values), axis=1)[:, :k] for values in (a, b)]
    chosen = np.zeros((2, *a.shape), bool)
    for mask, top in zip(chosen, tops, strict=True):
        np.put_along_axis(mask, top, True, axis=1)
    share = (chosen[0] & chosen[1]).sum(axis=1) / k
    return np.where(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1), share, np.nan)


def first(size: int) -> int:
    """How many of so many positions are the first ones, unless told: 5 %, rounded up."""
    return int(np.ceil(0.05 * size - 1e-9))


def ssim(a: Array, b: Array, sizes: Sequence[tuple[int, ...]]) -> Array:
    """Structural similarity (Wang et al. 2004) of each sample's maps, between -1 and 1.

    Each map is divided by its largest magnitude, so that the range is 2. Local moments are taken in a Gaussian window of 11
    positions along every axis, sigma 1.5, only where it fits whole; where a side is shorter, the window is the largest odd
    one that fits. Of several inputs it is the mean over all places. Undefined: a map of zeros, or not finite.

    Args:
        a: Maps, (samples, positions).
        b: Others, (samples, positions).
        sizes: Lengths of the position axes of each input, in turn, such as [(224, 224)].
    """
    return np.array([_ssim(p, q, sizes) for p, q in zip(_scaled(a), _scaled(b), strict=True)]).reshape(len(a))


def _scaled(maps: Array) -> Array:
    """Maps divided by their largest magnitude; NaN where that is 0 or not finite."""
    maps = np.asarray(maps, "float64")
    largest = np.abs(maps).max(axis=1, keepdims=True, initial=0)
    return maps / np.where((largest > 0) & np.isfinite(largest), largest, np.nan)


def _ssim(a: Array, b: Array, sizes: Sequence[tuple[int, ...]]) -> float:
    if np.isnan(a).any() or np.isnan(b).any():
        return float("nan")
    stops = np.cumsum([int(np.prod(size)) for size in sizes])
    if stops[-1] != len(a) or stops[-1] != len(b):
        raise ValueError(f"`sizes` must be those of maps of {len(a)} positions. Received: {list(sizes)}")
    parts = [np.split(values, stops[:-1]) for values in (a, b)]
    found = [_local(p.reshape(size), q.reshape(size)).reshape(-1) for p, q, size in zip(*parts, sizes, strict=True)]
    return float(np.concatenate(found).mean())


def _local(a: Array, b: Array) -> Array:
    """The similarity at every place where the window fits."""
    side = min((*a.shape, _WINDOW))
    side -= side % 2 == 0
    weights = np.exp(-0.5 * ((np.arange(side) - side // 2) / _SIGMA) ** 2)
    weights /= weights.sum()
    mean_a, mean_b, aa, bb, ab = (_windowed(values, weights) for values in (a, b, a * a, b * b, a * b))
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    squares, both = mean_a**2 + mean_b**2, mean_a * mean_b
    spread, shared = aa + bb - squares, ab - both
    return (2 * both + c1) * (2 * shared + c2) / ((squares + c1) * (spread + c2))


def _windowed(values: Array, weights: Array) -> Array:
    """Means in a window with the same weights along every axis, where it fits whole."""
    for axis in range(values.ndim):
        windows = np.lib.stride_tricks.sliding_window_view(values, len(weights), axis)
        values = windows @ weights
    return values


def agreement(maps: Mapping[str, Array | None]) -> Array:
    """Mean rank correlation of every pair of methods.

    Args:
        maps: Dict from label to (samples, positions), or to None for maps that cannot be compared.

    Returns:
        An array (methods, methods); nan where there is nothing to compare.
    """
    labels = list(maps)
    table = np.full((len(labels), len(labels)), np.nan)
    for i, one in enumerate(labels):
        for j, other in enumerate(labels[: i + 1]):
            a, b = maps[one], maps[other]
            if a is None or b is None:
                continue
            values = rank_correlation(a, b)
            values = values[~np.isnan(values)]
            table[i, j] = table[j, i] = values.mean() if len(values) else np.nan
    return table
