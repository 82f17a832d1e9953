"""Products of dense layers, made outside the measurement: x^T t for the rows of a batch, block by block of inputs.

A first dense layer may have a hundred million weights and see sixteen rows. To hand on its rows, and to add up each
block of the product while it is in the cache, takes far less memory than the products themselves.
"""

import numpy as np
from keras import ops

from innspect import backend
from innspect.layers import affine

_NUMBERS_OF_A_BLOCK = 2**18


def gives_rows(unit, x):
    """Whether a layer with the input x should hand on rows: it is dense, and its kernel is larger than they are."""
    rows, (inputs, *others) = int(np.prod(x.shape[:-1])), unit.layout.shape
    matrix = isinstance(unit.nodes[0].view, affine.Dense | affine.ConstantMatrix)
    return matrix and len(unit.nodes) == 1 and not backend.accelerated() and rows * (inputs + others[0]) < inputs * others[0]


def add_products(totals, x, times):
    """Add x^T t to float64 arrays, in place.

    Args:
        totals: Dict from name to array (inputs, neurons); those that are missing are begun.
        x: (rows, inputs), a backend tensor.
        times: Dict from name to t, (rows, neurons), backend tensors.
    """
    inputs, neurons = x.shape[1], next(iter(times.values())).shape[1]
    step = max(1, _NUMBERS_OF_A_BLOCK // neurons)
    for name in times:
        if name not in totals:
            totals[name] = np.zeros((inputs, neurons))
    for start in range(0, inputs, step):
        block = slice(start, start + step)
        columns = ops.transpose(x[:, block])
        for name, t in times.items():
            totals[name][block] += backend.to_numpy(backend.matmul(columns, t))
