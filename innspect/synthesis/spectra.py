"""Spectra of images, series and volumes: a real transform, what nature has in it, and how colours go together.

The Hartley transform H of a real array is Re F - Im F of its Fourier transform F: real, its own inverse up to the number of
elements, and |F(k)|^2 = (H(k)^2 + H(-k)^2) / 2. So a real array of coefficients is a real image, with no symmetry to be kept.
"""

import math

import numpy as np
from keras import ops

from innspect.types import Array, BackendTensor

# Root of the covariance of colours in natural images, as in lucid (Olah et al. 2017), divided by its largest column norm.
_LUCID = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
NATURAL = _LUCID / np.linalg.norm(_LUCID, axis=0).max()


def hartley(h: BackendTensor, axes: int) -> BackendTensor:
    """The Hartley transform over the spatial axes, divided by their number of elements.

    Args:
        h: (samples, *spatial axes, channels).
        axes: How many spatial axes there are.
    """
    real = ops.moveaxis(h, -1, 1)  # the spatial axes last
    pair = (real, ops.zeros_like(real))
    if axes > 1:
        pair = ops.fft2(pair)
    for axis in range(2, 2 + axes - (2 if axes > 1 else 0)):
        turned = ops.fft(tuple(ops.moveaxis(part, axis, -1) for part in pair))
        pair = tuple(ops.moveaxis(part, -1, axis) for part in turned)
    size = math.prod(h.shape[1:-1])
    return ops.moveaxis(pair[0] - pair[1], 1, -1) / size


def opposite(h: BackendTensor, axes: int) -> BackendTensor:
    """h(-k) for each h(k): each spatial axis turned round, with 0 where it is."""
    for axis in range(1, 1 + axes):
        h = ops.roll(ops.flip(h, axis), 1, axis)
    return h


def magnitudes(h: BackendTensor, axes: int) -> BackendTensor:
    """|F| of the image whose Hartley coefficients are h."""
    other = opposite(h, axes)
    return ops.sqrt((h * h + other * other) / 2 + 1e-20)


def hartley_array(x: Array) -> Array:
    """The Hartley transform of an array (samples, *spatial axes, channels), not divided by anything."""
    found = np.fft.fftn(x.astype("float64"), axes=tuple(range(1, x.ndim - 1)))
    return found.real - found.imag


def frequencies(sizes: tuple[int, ...]) -> Array:
    """How often each wave goes up and down in a step, as a length: (*sizes,); the mean's is that of the longest wave."""
    squares = np.zeros(sizes)
    for axis, n in enumerate(sizes):
        squares += (np.fft.fftfreq(n) ** 2).reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    return np.maximum(np.sqrt(squares), 1 / max(sizes))


def decaying(sizes: tuple[int, ...], decay: float) -> Array:
    """What Fourier coefficients are multiplied with: sqrt(elements) / frequency^decay / 4, (*sizes, 1)."""
    return (math.sqrt(math.prod(sizes)) / frequencies(sizes) ** decay / 4)[..., None]


def natural_spectrum(sizes: tuple[int, ...], channels: int, low: Array, high: Array) -> Array:
    """Magnitudes that fall with the frequency, of images that fill a fifth of a range, signed at the mean.

    Args:
        sizes: Lengths of the spatial axes.
        channels: Number of channels.
        low, high: The range, numbers or one for each channel.
    """
    falling = 1 / frequencies(sizes)
    falling.flat[0] = 0
    elements = falling.size
    spread = 0.2 * np.broadcast_to(high - low, (channels,))
    scale = spread * elements / max(math.sqrt(float((falling**2).sum())), 1e-30)  # by Parseval
    spectrum = falling[..., None] * scale
    spectrum[(0,) * len(sizes)] = elements * np.broadcast_to((low + high) / 2, (channels,))
    return spectrum


def mean_spectrum(data: Array) -> Array:
    """The mean of the magnitudes of data (samples, *spatial axes, channels), signed at the mean as the data's mean is."""
    axes, mean = tuple(range(1, data.ndim - 1)), data.astype("float64").mean(tuple(range(data.ndim - 1)))
    total = np.zeros(data.shape[1:])
    for start in range(0, len(data), 16):
        total += np.abs(np.fft.fftn(data[start : start + 16].astype("float64"), axes=axes)).sum(0)
    spectrum = total / len(data)
    origin = (0,) * len(axes)
    spectrum[origin] *= np.where(mean < 0, -1, 1)
    return spectrum


def colours_of(data: Array) -> Array:
    """The Cholesky root of the covariance of channels, over its largest column norm; data (samples, ..., channels)."""
    channels = data.shape[-1]
    if channels == 1:
        return np.eye(1)
    flat = data.reshape(-1, channels).astype("float64")
    covariance = np.cov(flat.T) + 1e-6 * max(flat.var(), 1e-12) * np.eye(channels)
    root = np.linalg.cholesky(covariance)
    return root / np.linalg.norm(root, axis=0).max()


def natural_colours(channels: int) -> Array:
    """How the channels of natural images go together where there are three; else each by itself."""
    return NATURAL if channels == 3 else np.eye(channels)
