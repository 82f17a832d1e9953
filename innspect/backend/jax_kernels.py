"""Gradients of kernels as products of matrices, for a CPU.

There XLA's own of a convolution, which is another one with a window as large as the image, take up to 35 times as
long as the forward pass. Here each offset of the window costs one product, samples by samples, so that what is copied
stays in the cache. The gradients of a dense layer share its transposed input, which XLA otherwise makes for each.
"""

import jax
import jax.numpy as jnp
import numpy as np

_NUMBERS_AT_ONCE = 2**20  # of the samples, on both sides of the layer


def dense(x):
    """For an input with the channels last: a function from a signal at the output to the kernel's."""
    columns = jax.lax.optimization_barrier(x.reshape(-1, x.shape[-1]).T)
    return lambda signal: columns @ signal.reshape(-1, signal.shape[-1])


def convolution(large, small, shape, *, strides, dilation, padding):
    """The sum over samples and positions of what the window sees, times what is at the position: the kernel's signal.

    Args:
        large: (samples, *sizes, groups * a): a convolution's input, or the signal at a transposed convolution's output.
        small: (samples, *positions, groups * b): the signal at its output, or its input.
        shape: That of the kernel, (*window, a, groups * b).
        strides: One number per axis of the window.
        dilation: One number per axis of the window.
        padding: "valid", "same" or "causal".
    """
    dtype = jnp.promote_types(large.dtype, small.dtype)
    large, small = large.astype(dtype), small.astype(dtype)
    *window, a, _ = shape
    groups, positions = large.shape[-1] // a, small.shape[1:-1]
    pads = _pads(window, large.shape[1:-1], positions, strides, dilation, padding)
    reach = [(p - 1) * s + 1 for p, s in zip(positions, strides, strict=True)]
    offsets = np.array(list(np.ndindex(*window))) * dilation

    def gradient(large, small):
        large = jax.lax.pad(large, jnp.zeros((), dtype), [(0, 0, 0), *pads, (0, 0, 0)])
        small = small.reshape(-1, groups, small.shape[-1] // groups)

        def product(offset):
            seen = jax.lax.dynamic_slice(large, (0, *offset, 0), (large.shape[0], *reach, large.shape[-1]))
            seen = seen[:, *(slice(None, None, s) for s in strides)].reshape(-1, groups, a)
            if groups == 1:
                return seen[:, 0].T @ small[:, 0]
            return jnp.einsum("pga,pgb->agb", seen, small).reshape(a, -1)

        return jax.lax.map(product, jnp.asarray(offsets)).reshape(shape)  # unrolled it is no faster, but long to compile

    samples, each = len(large), (large.size + small.size) // max(1, len(large))
    at_once = max((n for n in range(1, samples + 1) if samples % n == 0 and n * each <= _NUMBERS_AT_ONCE), default=1)
    if at_once >= samples:
        return gradient(large, small)
    parts = [t.reshape(-1, at_once, *t.shape[1:]) for t in (large, small)]
    return jax.lax.scan(lambda total, part: (total + gradient(*part), None), jnp.zeros(shape, dtype), parts)[0]


def _pads(window, sizes, positions, strides, dilation, padding):
    """(before, after, 0) per axis: what is added to the large side, or left out of it, so that the positions fit."""
    pads = []
    for k, size, p, s, d in zip(window, sizes, positions, strides, dilation, strict=True):
        extent = (k - 1) * d + 1
        total = (p - 1) * s + extent - size
        before = {"valid": 0, "same": max(total, 0) // 2, "causal": extent - 1}[padding]
        pads.append((before, total - before, 0))
    return pads
