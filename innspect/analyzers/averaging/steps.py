"""The steps of a path: where they are, how many are taken until what the sum misses is small, and what is said elsewhere."""

from collections.abc import Callable

import numpy as np

from innspect.analyzers.base.request import Result
from innspect.analyzers.base.warned import warn
from innspect.errors import IncompleteAttributionWarning, some_of
from innspect.types import Array

FIRST, LAST = 64, 4096  # what is doubled, and where that ends: floating point, or a jump, is then what misses
_ROUNDING = 1e-5  # of the larger of both values: so much is no share of their difference

GAUSS = 1000  # nodes: they are the eigenvalues of a matrix of so many rows


def _gauss_legendre(n: int) -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def _trapezoid(n: int) -> tuple[Array, Array]:
    weights = np.full(n + 1, 1 / n)
    weights[[0, -1]] /= 2
    return np.arange(n + 1) / n, weights


# Nodes in [0, 1] (0 is the reference, 1 the input) and weights, which sum to 1, for a number of steps.
QUADRATURES: dict[str, Callable[[int], tuple[Array, Array]]] = {
    "trapezoid": _trapezoid,
    "left": lambda n: (np.arange(n) / n, np.full(n, 1 / n)),
    "right": lambda n: (np.arange(1, n + 1) / n, np.full(n, 1 / n)),
    "midpoint": lambda n: ((np.arange(n) + 0.5) / n, np.full(n, 1 / n)),
    "gausslegendre": _gauss_legendre,
}
NESTED = ("trapezoid", "left", "right")  # half the steps are at nodes that all the steps are at, too
HALVED = {"trapezoid": 1 / 3, "midpoint": 1 / 3}  # the error, in differences to half the steps; of the others 1


def half_weights(quadrature: str, steps: int) -> Array:
    """The weights of half the steps at the nodes of all of them; 0 where they have none."""
    (nodes, _), (half, weights) = QUADRATURES[quadrature](steps), QUADRATURES[quadrature](steps // 2)
    result = np.zeros(len(nodes))
    result[np.searchsorted(nodes, half - 0.5 / steps)] = weights
    return result


def missing_share(found: Result, several: bool) -> Array:
    """The share of f(x) - f(x0) that is missing from the sum of the attributions, for each neuron and sample.

    Args:
        found: A mapping with "attributions", "targets" and "delta", NumPy arrays.
        several: Whether there is a neuron axis.

    Returns:
        An array like the targets; where the difference is nothing but rounding 0, where it is not finite NaN.
    """
    lead = 2 if several else 1
    total = sum(a.reshape(*a.shape[:lead], -1).sum(axis=-1, dtype="float64") for a in found["attributions"])
    delta = found["delta"].astype("float64")
    there, difference = np.abs(found["targets"]), np.abs(total + delta)
    lost = np.abs(delta)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = lost / difference
    return np.where(lost <= _ROUNDING * np.maximum(there, difference), 0.0, share)


def warn_of_missing(name: str, share: Array, missing: float, first: int) -> None:
    """Say of which samples more than a share is missing, (neurons, samples)."""
    short = np.flatnonzero((share > missing).any(axis=0))
    if len(short):
        warn(
            f"{name!r}: more than {missing:.0%} of the difference between the outputs for the input and for the reference is "
            f"missing from the maps of {some_of(short, share.shape[1], first)}, at most "
            f"{share[:, short].max():.0%}. More `steps` miss less; steps='auto' doubles them until it is little.",
            IncompleteAttributionWarning,
        )
