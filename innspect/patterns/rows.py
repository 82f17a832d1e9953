"""Products of dense layers, made outside the measurement: x^T t for the rows of a batch, block by block of inputs.

A first dense layer may have a hundred million weights and see sixteen rows. To hand on its rows, and to add up each
block of the product while it is in the cache, takes far less memory than the products themselves.
"""

import numpy as np

from innspect import backend
from innspect.graph.views.affine import Dense

_NUMBERS_OF_A_BLOCK = 2**18
_LARGE = 2**21  # numbers in a kernel: of smaller ones the products are made sooner than rows are handed on


def gives_rows(unit, x):
    """Whether a layer with the input x should hand on rows: it is dense, and its kernel large, and larger than they are."""
    if not isinstance(unit.nodes[0].view, Dense) or len(unit.nodes) > 1 or backend.accelerated():
        return False
    rows, size = int(np.prod(x.shape[:-1])) * sum(unit.layout.shape), int(np.prod(unit.layout.shape))
    return max(rows, _LARGE) < size


def add_products(totals, x, times):
    """Add x^T t to float64 arrays, in place.

    Args:
        totals: Dict from name to array (inputs, neurons); those that are missing are begun.
        x: (rows, inputs), a backend tensor.
        times: Dict from name to t, (rows, neurons), backend tensors.
    """
    x, times = backend.view(x), {name: backend.view(t) for name, t in times.items()}
    inputs, neurons = x.shape[1], next(iter(times.values())).shape[1]
    step = max(1, _NUMBERS_OF_A_BLOCK // neurons)
    product = np.empty((min(step, inputs), neurons), x.dtype)
    for name, t in times.items():
        if name not in totals:
            totals[name] = np.zeros((inputs, neurons))
        for start in range(0, inputs, step):
            columns = x[:, start : start + step].T
            totals[name][start : start + step] += np.matmul(columns, t, out=product[: len(columns)])
