"""How much methods agree: rank correlation of their maps. Needs NumPy only."""

import numpy as np


def comparable(attributions, shape):
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


def rank_correlation(a, b):
    """Spearman's rank correlation of each sample, (samples,), from two arrays (samples, positions).

    Equal values share their mean rank. Where a map is constant the correlation is not defined: nan.
    """
    return np.array([_correlation(_ranks(p), _ranks(q)) for p, q in zip(a, b, strict=True)])


def _ranks(values):
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place.reshape(-1)]


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def agreement(maps):
    """Mean rank correlation of every pair of methods.

    Args:
        maps: Dict from label to (samples, positions), or to None for maps that cannot be compared.

    Returns:
        An array (methods, methods); nan where there is nothing to compare.
    """
    labels = list(maps)
    table = np.full((len(labels), len(labels)), np.nan)
    for i, first in enumerate(labels):
        for j, second in enumerate(labels[: i + 1]):
            if maps[first] is None or maps[second] is None:
                continue
            values = rank_correlation(maps[first], maps[second])
            values = values[~np.isnan(values)]
            table[i, j] = table[j, i] = values.mean() if len(values) else np.nan
    return table
