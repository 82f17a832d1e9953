"""The functions of `innvestigate.utils.visualizations`, by the same names and arguments, right for batches.

`innspect.visualize` is the newer interface. These are for scripts that were written with iNNvestigate: the same numbers
for one sample, the same for each sample of a batch, and what is given is never changed.
"""

import numpy as np

from innspect.migration.utilities import postprocess_images, preprocess_images
from innspect.visualize.colours import reduce

__all__ = [
    "batch_flatten",
    "batchflatten",
    "clip_quantile",
    "gamma",
    "graymap",
    "heatmap",
    "postprocess_images",
    "preprocess_images",
    "project",
]

_REDUCTIONS = {"sum": "sum", "absmax": "max_abs"}


def project(X, output_range=(0, 1), absmax=None, input_is_positive_only=False):
    """Project values into a range, sample by sample.

    Args:
        X: (samples, ...).
        output_range: (low, high). Zero goes to the middle, or to low if `input_is_positive_only`.
        absmax: The magnitude that goes to the ends of the range: one number, or one a sample. None: the largest of each
            sample.
        input_is_positive_only: Values are between 0 and `absmax`, not between -absmax and absmax.

    Returns:
        An array of the same shape, of X's floating type (float32 for integers); samples of zeros are zero throughout.
    """
    values = _floating(X)
    if absmax is None:
        absmax = np.max(np.abs(values), axis=tuple(range(1, values.ndim)), initial=0)
    absmax = np.asarray(absmax, values.dtype)
    if absmax.ndim not in (0, 1) or (absmax.ndim and len(absmax) != len(values)):
        raise ValueError(f"`absmax` must be one number, or one for each of {len(values)} samples. Received: {absmax.shape}")
    absmax = absmax.reshape(absmax.shape + (1,) * (values.ndim - absmax.ndim))
    values = values / np.where(absmax == 0, np.ones_like(absmax), absmax)
    values = np.clip(values if input_is_positive_only else (values + 1) / 2, 0, 1)
    return output_range[0] + values * (output_range[1] - output_range[0])


def heatmap(X, cmap_type="seismic", reduce_op="sum", reduce_axis=-1, alpha_cmap=False, **kwargs):
    """Colour values by a colour map of matplotlib, sample by sample.

    Args:
        X: (samples, height, width, channels), or with the channels elsewhere.
        cmap_type: Name of the colour map.
        reduce_op: "sum" or "absmax" (the value that is largest in magnitude, with its sign).
        reduce_axis: Where the channels are; the colours stand there in the result.
        alpha_cmap: The result has a fourth colour, its opacity.
        **kwargs: Those of `project`: `absmax` and `input_is_positive_only`.

    Returns:
        Colours in [0, 1], float32.

    Raises:
        ValueError: Unknown `reduce_op`, or `X` has not four axes.
        ImportError: matplotlib is not installed.
    """
    if reduce_op not in _REDUCTIONS:
        raise ValueError(f"`reduce_op` must be 'sum' or 'absmax'. Received: {reduce_op!r}")
    if np.ndim(X) != 4:
        raise ValueError(f"`X` must have four axes, samples first. Received: shape {np.shape(X)}")
    levels = project(reduce(X, _REDUCTIONS[reduce_op], reduce_axis), output_range=(0, 255), **kwargs)
    colours = _colour_map(cmap_type)(np.nan_to_num(levels).astype("int64"))
    return np.moveaxis(colours[..., : 4 if alpha_cmap else 3], -1, reduce_axis).astype("float32")


def _colour_map(name):
    try:
        from matplotlib import colormaps
    except ImportError as error:
        raise ImportError("Colour maps need matplotlib: `pip install matplotlib`; `innspect.visualize` has its own.") from error
    return colormaps[name]


def graymap(X, **kwargs):
    """As `heatmap`, from black to white."""
    return heatmap(X, cmap_type="gray", **kwargs)


def gamma(X, gamma=0.5, minamp=0, maxamp=None):
    """Gamma correction of magnitudes: with an exponent below 1 small values show. Signs and order stay.

    Args:
        X: (samples, height, width, channels), corrected sample by sample; or any shape of fewer axes, as one whole.
        gamma: The exponent.
        minamp: The value that counts as zero.
        maxamp: The distance from `minamp` that stays what it is. None: the largest one there is.

    Returns:
        An array of the same shape, of X's floating type.
    """
    distance = _floating(X) - minamp
    if maxamp is None:
        maxamp = np.max(np.abs(distance), axis=_axes_of_a_sample(distance), keepdims=True, initial=0)
    maxamp = np.asarray(maxamp, distance.dtype)
    share = distance / np.where(maxamp == 0, np.ones_like(maxamp), maxamp)
    return np.sign(share) * np.abs(share) ** gamma * maxamp + minamp


def clip_quantile(X, quantile=1):
    """Cut off the lowest and highest values.

    Args:
        X: (samples, height, width, channels), cut sample by sample; or any shape of fewer axes, as one whole.
        quantile: How many percent are cut at either end; or (low, high), the two percentiles.

    Returns:
        An array of the same shape.
    """
    low, high = quantile if isinstance(quantile, list | tuple) else (quantile, 100 - quantile)
    X = np.asarray(X)
    if not X.size:
        return X.copy()
    limits = np.percentile(X, (low, high), axis=_axes_of_a_sample(X), keepdims=True)
    return np.clip(X, *limits).astype(X.dtype)


def batch_flatten(x):
    """(samples, ...) as (samples, values)."""
    x = np.asarray(x)
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


batchflatten = batch_flatten


def _axes_of_a_sample(values):
    """With four axes and more the first holds the samples; an array of fewer may be a single picture."""
    return tuple(range(1, values.ndim)) if values.ndim > 3 else None


def _floating(X):
    X = np.asarray(X)
    return X if X.dtype.kind == "f" else X.astype("float32")
