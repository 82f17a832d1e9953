"""Experts: densities that say how likely an image is, for `synthesize(density=...)`."""

from typing import Any

import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from innspect.checks import Count, Number, Positive
from innspect.types import BackendTensor

_MOST = 512  # directions that are kept


class Gaussian:
    """A Gaussian over whole images, as an expert: free along the directions in which data vary most, alike along all others.

    It is the probabilistic PCA of Tipping and Bishop (1999). Call it with images for their log-density.

    Args:
        mean: (*sample).
        directions: Orthonormal, (kept, elements of a sample).
        variances: Along the directions, (kept,).
        rest: The variance along every other direction.
    """

    def __init__(self, mean: ArrayLike, directions: ArrayLike, variances: ArrayLike, rest: float):
        self.mean, self.directions = np.asarray(mean, "float64"), np.asarray(directions, "float64")
        self.variances, self.rest = np.asarray(variances, "float64"), float(Positive().check("rest", rest))
        size = self.mean.size
        if self.directions.shape != (len(self.variances), size) or (self.variances <= 0).any():
            raise ValueError(
                f"`directions` must have the shape (kept, {size}), and `variances` (kept,), above 0. Received: shapes "
                f"{self.directions.shape} and {self.variances.shape}"
            )
        logs = np.log(self.variances).sum() + (size - len(self.variances)) * np.log(self.rest)
        self._constant = -0.5 * (size * np.log(2 * np.pi) + logs)

    @classmethod
    def fit(cls, data: ArrayLike, directions: int | None = None, floor: float = 0.01) -> "Gaussian":
        """The Gaussian of data.

        Args:
            data: (samples, *sample), two samples at least.
            directions: How many directions have a variance of their own. None: all that the data have, at most 512.
            floor: Share of the mean variance that each direction has at least, so that what never varies in the data, such as
                the border of digits, is unlikely to, not impossible.

        Raises:
            ValueError: There are fewer samples, or all are equal.
        """
        Count(or_none=True).check("directions", directions)
        Number(1.0).check("floor", floor)
        x = np.asarray(data, "float64")
        if x.ndim < 2 or len(x) < 2 or not np.isfinite(x).all():
            raise ValueError(
                f"`data` must hold two samples at least, (samples, ...), of finite numbers. Received: shape {x.shape}"
            )
        mean, size = x.mean(0), x[0].size
        flat = (x - mean).reshape(len(x), -1)
        _, lengths, along = np.linalg.svd(flat, full_matrices=False)
        variances = lengths**2 / (len(x) - 1)
        least = floor * variances.sum() / size
        if not least > 0:
            raise ValueError("`data` must vary. Received: samples that are all equal")
        kept = min(len(variances), directions or _MOST, int((variances > least).sum()))
        rest = max(variances[kept:].sum() / (size - kept), least) if kept < size else variances[kept - 1]
        return cls(mean, along[:kept], variances[:kept], rest)

    def __call__(self, x: BackendTensor) -> BackendTensor:
        """Log-densities, a tensor (samples,), of a tensor (samples, *sample)."""

        def constant(array: Any) -> BackendTensor:
            return ops.cast(ops.convert_to_tensor(np.asarray(array, "float32")), x.dtype)

        apart = ops.reshape(x - constant(self.mean), (x.shape[0], -1))
        along = ops.matmul(apart, constant(self.directions.T))
        squares = ops.sum(apart**2, axis=1) / self.rest
        squares = squares - ops.sum(along**2 * constant(1 / self.rest - 1 / self.variances), axis=1)
        return -0.5 * squares + self._constant

    def __repr__(self) -> str:
        return f"Gaussian({self.mean.shape}, {len(self.variances)} directions)"


def code_range(codes: ArrayLike, deviations: float = 3.0) -> dict[str, Any]:
    """The range that Nguyen et al. (2016) keep a code in: from 0 to each element's mean and three standard deviations.

    Args:
        codes: Codes of data, such as a hidden layer's outputs, (samples, *code).
        deviations: How many standard deviations.

    Returns:
        A dict with `low` and `high`, to be given on: `synthesize(..., generator=g, **code_range(codes))`.
    """
    Number().check("deviations", deviations)
    array = np.asarray(codes, "float64")
    if array.ndim < 2 or not np.isfinite(array).all():
        raise ValueError(f"`codes` must hold finite numbers, (samples, ...). Received: shape {array.shape}")
    return {"low": 0.0, "high": (array.mean(0) + deviations * array.std(0)).astype("float32")}


NGUYEN: dict[str, Any] = {"optimizer": "normalized", "step_size": 8.0, "shrink": 0.99, "steps": 200}
"""The schedule of Nguyen et al. (2016): 200 steps over the mean magnitude of the gradient, from 8 down to 0, the code times
0.99 after each."""
