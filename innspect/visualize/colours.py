"""From attributions to colours. Needs NumPy only.

attribution -> one value a position -> scaled to [-1, 1] about zero, sample by sample -> RGB
"""

import numpy as np

# From zero to the largest magnitude, for either sign: equally light on both sides, so that equal magnitudes look equal.
_STOPS = (0.0, 0.25, 0.6, 1.0)
_POSITIVE = ((255, 255, 255), (253, 205, 190), (226, 74, 62), (120, 0, 20))
_NEGATIVE = ((255, 255, 255), (190, 214, 250), (60, 118, 226), (10, 24, 120))
_NOT_FINITE = (128, 128, 128)

REDUCTIONS = {
    "sum": lambda a, axis: a.sum(axis),
    "max_abs": lambda a, axis: np.take_along_axis(a, np.abs(a).argmax(axis, keepdims=True), axis).squeeze(axis),
    "norm": lambda a, axis: np.sqrt(np.square(a).sum(axis)),
}


def reduced(attribution, reduce="sum", channel_axis=-1):
    """One value a position: the channels of (samples, height, width, channels) taken together.

    Args:
        attribution: (samples, height, width), (samples, height, width, channels), or with the channels elsewhere.
        reduce: "sum", "max_abs" (the value that is largest in magnitude, with its sign) or "norm".
        channel_axis: Where the channels are, if there are four axes.

    Returns:
        A float64 array (samples, height, width) of its own.

    Raises:
        ValueError: Another number of axes, or an unknown reduction.
    """
    if reduce not in REDUCTIONS:
        raise ValueError(f"`reduce` must be one of {', '.join(map(repr, REDUCTIONS))}. Received: {reduce!r}")
    array = np.array(attribution, "float64")
    if array.ndim not in (3, 4):
        raise ValueError(
            "`attribution` must have the shape (samples, height, width) or (samples, height, width, channels). "
            f"Received: shape {array.shape}"
        )
    with np.errstate(all="ignore"):  # infinities may cancel to nan here, and are drawn as such
        return array if array.ndim == 3 else REDUCTIONS[reduce](array, channel_axis)


def scaled(values):
    """Each sample divided by its largest finite magnitude: in [-1, 1], zero stays zero, and zero maps stay zero maps.

    Args:
        values: (samples, ...).

    Returns:
        A float64 array of the same shape; nan where a value is not finite.
    """
    values = np.where(np.isfinite(values), values, np.nan).astype("float64")
    flat = values.reshape(len(values), int(np.prod(values.shape[1:])))
    largest = np.nanmax(np.abs(flat), axis=1, initial=0.0, keepdims=True)
    return (flat / np.where(largest > 0, largest, 1.0)).reshape(values.shape)


def colours(values):
    """The colour of each value in [-1, 1]: white at 0, red above, blue below, grey where it is nan.

    Returns:
        A uint8 array (..., 3).
    """
    values = np.asarray(values, "float64")
    magnitude = np.abs(np.nan_to_num(values))[..., None]
    sides = [
        np.concatenate([np.interp(magnitude, _STOPS, channel) for channel in zip(*stops, strict=True)], axis=-1)
        for stops in (_POSITIVE, _NEGATIVE)
    ]
    rgb = np.where(values[..., None] < 0, sides[1], sides[0])
    return np.round(np.where(np.isnan(values)[..., None], _NOT_FINITE, rgb)).astype("uint8")


def heatmap(attribution, *, reduce="sum", channel_axis=-1):
    """Attributions as pictures: positive red, negative blue, zero white.

    Each sample has a scale of its own, symmetric about zero: its largest magnitude has the darkest colour. A map of
    zeros is white; values that are not finite are grey and leave the scale alone.

    Args:
        attribution: As `analyze` returns it: (samples, height, width) or (samples, height, width, channels).
        reduce: How channels are taken together: "sum", "max_abs" or "norm".
        channel_axis: Where the channels are, if there are four axes: 1 for channels first.

    Returns:
        A uint8 array (samples, height, width, 3).

    Example:
        >>> image = innspect.visualize.heatmap(analyzer.analyze(x))[0]
        >>> PIL.Image.fromarray(image).save("map.png")
    """
    return colours(scaled(reduced(attribution, reduce, channel_axis)))
