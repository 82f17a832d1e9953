"""RISE: look through many random masks; what is kept when the model says more is what it looks at."""

from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.analyzers.base import sampling
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import Result
from innspect.analyzers.perturbation.base import Perturbation, Seen
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
        tolerance: Stop where the error is at most this share of the map, both in Euclidean norm over a sample's inputs, asked
            after 8, 16, 32, ... masks, for each sample by itself; None: always `num_masks`, which is never exceeded. Masks of
            one's own are then taken in a random order, always the same.

    In `explain(...).details` are "error", the standard error of the map that comes from the masks, in its shape and units
    (NaN for one mask, and where no mask keeps anything), and "draws", how many masks were seen through.
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
        "tolerance": sampling.TOLERANCE,
    }
    small = {"num_masks": 8, "grid": 3, "seed": 1}

    def __init__(
        self,
        model,
        *,
        num_masks=4000,
        grid=7,
        probability=0.5,
        seed=0,
        normalize="probability",
        masks=None,
        tolerance=None,
        **arguments,
    ):
        super().__init__(model, **arguments)
        self.num_masks, self.grid, self.probability = num_masks, grid, probability
        self.seed, self.normalize, self.masks = seed, normalize, masks
        self.tolerance = tolerance

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

    # ------------------------------------------------------------------ running
    def explain_batch(self, batch):
        request, done = batch.request, 0
        asked = request.explained or self.tolerance is not None
        limit = len(request.context[0])
        given = None if self.masks is None or self.tolerance is None else sampling.shuffled(limit)

        def draw(part, first, last):
            nonlocal done
            done += (last - first) * len(np.unique(part.rows)) * len(request.context)
            seen, which = Seen(self.predictor, part), np.arange(first, last) if given is None else given[first:last]
            sums = [self._sums(self._sights(seen, i, plan, which), asked) for i, plan in enumerate(request.context)]
            return sums, {"outputs": seen.outputs, "targets": seen.targets}

        def conclude(sums, count, here):
            found = [self._map(of_input, count) for of_input in sums]
            result: Result = {"attributions": [map for map, _ in found]}
            if asked:
                result["details"] = {"error": [self._error(s, count, *f) for s, f in zip(sums, found, strict=True)]}
            return result

        drawing = sampling.Drawing(draw, conclude, several=True)
        result = sampling.drawn(drawing, batch, limit, self.tolerance, several=True)
        spared = limit * len(np.unique(batch.rows)) * len(request.context) - done
        if spared:
            request.advance(spared)
        dtype = result["targets"].dtype
        for holder, name in ((result, "attributions"), (result.get("details", {}), "error")):
            if name in holder:
                holder[name] = self.shaped(holder[name], request.inputs, dtype)
        if not request.several:
            kept = {k: v for k, v in result.items() if k != "outputs"}
            result |= keras.tree.map_structure(lambda a: a[0], kept)
        return result

    def _sums(self, sights, asked):
        """Sums over masks: of score times mask, and of masks; and of their squares, where the error is asked for. float64."""
        sums: dict[str, Any] = {}
        for masks, seen in sights:
            masks, scores = masks.astype("float64"), seen["scores"]
            found = {"total": np.tensordot(scores, masks, axes=(1, 0)), "covered": masks.sum(axis=0)[None, None]}
            if asked:
                scores, squares = scores.astype("float64"), masks * masks
                found["squares"] = np.tensordot(scores * scores, squares, axes=(1, 0))
                if self.normalize == "masks":
                    found["mixed"] = np.tensordot(scores, squares, axes=(1, 0))
                    found["weight"] = squares.sum(axis=0)[None, None]
            sums = {k: sums.get(k, 0) + v for k, v in found.items()}
        return sums

    def _map(self, sums, count):
        """The map, and what the total was divided by."""
        total, covered = sums["total"], sums["covered"]
        if self.normalize == "masks":
            return np.divide(total, covered, out=np.zeros_like(total), where=covered > 0), covered
        mean = self.probability if self.masks is None else covered.mean() / count
        return total / (count * mean), count * mean

    def _error(self, sums, count, map, whole):
        """Of the mean of score times mask over their mean; or of the ratio of both sums."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.normalize == "masks":
                square = sums["squares"] - 2 * map * sums["mixed"] + map * map * sums["weight"]
            else:
                square = (sums["squares"] - sums["total"] ** 2 / count) * (count / np.float64(count - 1))
            return np.sqrt(np.maximum(square, 0)) / whole
