"""RISE: look through many random masks; what is kept when the model says more is what it looks at."""

import numpy as np
from keras import ops

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.perturbation.base import Perturbation
from innspect.checks import Count, Elsewhere, Integer, Number, OneOf
from innspect.inputs.masking import GivenMasks, RandomMasks


@register_analyzer("rise")
class Rise(Perturbation):
    """RISE (Petsiuk et al. 2018): the mean of random masks, weighted by the explained value of the input behind them.

    Masks are shared by all samples and neurons; one pass serves any number of `neurons`.

    Args:
        model: A Keras model or a function, see `Perturbation`.
        num_masks: How many masks, at most a million; the paper takes 4000 for VGG16 and 8000 for ResNet50.
        grid: Cells of a mask along each axis, at most a thousand.
        probability: Of a cell to be kept.
        seed: The same seed gives the same masks.
        normalize: "probability" divides by the number of masks and their mean, as the paper does; "masks" by the sum of
            the masks at every pixel, which is exact for a model that says always the same.
        masks: Masks of one's own, (masks, *spatial axes), from 0, hidden, to 1, kept, in place of random ones.
    """

    paper = "Petsiuk et al. 2018"
    signed = False
    scale = "above_lowest"
    ranges = {
        "num_masks": Count(),
        "grid": Count(high=1000),
        "probability": Number(1),
        "normalize": OneOf("probability", "masks"),
        "seed": Integer(or_none=True),
        "masks": Elsewhere("GivenMasks"),
    }
    small = {"num_masks": 8, "grid": 3, "seed": 1}

    def __init__(
        self, model, *, num_masks=4000, grid=7, probability=0.5, seed=0, normalize="probability", masks=None, **arguments
    ):
        super().__init__(model, **arguments)
        self.num_masks, self.grid, self.probability = num_masks, grid, probability
        self.seed, self.normalize, self.masks = seed, normalize, masks

    def plan(self, size):
        if self.masks is not None:
            return GivenMasks(self.masks, size)
        return RandomMasks(size, self.num_masks, self.grid, self.probability, self.seed)

    def prepared(self, x, i):
        if self.predictor.is_ids(i):
            raise ValueError(
                f"'{self.name}' multiplies inputs with masks, so they must be numbers. Received: ids; take 'occlusion'"
            )
        return x if x.dtype.kind == "f" else x.astype(self.predictor.dtype)

    @staticmethod
    def hide(x, mask, filling):
        mask = ops.cast(mask, x.dtype)
        return x * mask + filling * (1 - mask)

    def map(self, plan, sights, targets):
        total, covered = np.zeros(()), np.zeros(())
        for masks, seen in sights:
            masks = masks.astype("float64")
            total = total + np.tensordot(seen["scores"], masks, axes=(1, 0))
            covered = covered + masks.sum(axis=0)
        if self.normalize == "masks":
            return np.divide(total, covered, out=np.zeros_like(total), where=covered > 0)
        mean = self.probability if self.masks is None else covered.mean() / len(plan)
        return total / (len(plan) * mean)
