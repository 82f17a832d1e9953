"""Methods that average another one over noisy copies of the input."""

from typing import Any

import numpy as np
from keras import ops

from innspect.analyzers.averaging.base import Averaging
from innspect.analyzers.averaging.vectors import InOrder
from innspect.analyzers.base import sampling
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import few_at_once
from innspect.checks import AnyOf, Count, Integer, Number, OneOf
from innspect.inputs.references import even_chunks


class Noisy(Averaging):
    """Base of the methods that average over Gaussian noise added to the input.

    Every sample meets the same draws, scaled to its own range of values, so that its map does not depend on what else
    is in the batch. For ids of an embedding the noise is added to the embedding's vectors. What is explained is the
    neuron chosen at the input without noise.

    Args:
        num_samples: Number of noisy copies, at most a million.
        augment_by_n: iNNvestigate's name of `num_samples`.
        noise_scale: Standard deviation of the noise, in the input's units.
        noise_level: The same as a share of each sample's range of values, where `noise_scale` is None.
        seed: The same integer gives the same draws; None draws anew each time.
        tolerance: Stop where the error is at most this share of the map, both in Euclidean norm over a sample's inputs, asked
            after 8, 16, 32, ... copies, for each sample by itself; None: always `num_samples`, which is never exceeded.
        of: The method that is averaged, "gradient" or any other, with its arguments beside these; or an analyzer of
            the same model.

    `batch_size` bounds the noisy copies that are computed at once. In `explain(...).details` are "error", the standard error of
    the map that comes from the draws, in its shape and units (NaN for one draw), and "draws", how many were made.
    """

    default_num_samples = 64
    ranges = {
        "num_samples": Count(),
        "augment_by_n": Count(),
        "noise_scale": Number(),
        "noise_level": AnyOf(Number(), OneOf(None)),
        "seed": Integer(or_none=True),
        "tolerance": sampling.TOLERANCE,
    }
    small = {"num_samples": 2, "seed": 1}

    @property
    def rates(self):
        return self.inner.rates

    def __init__(
        self,
        model,
        *,
        num_samples=None,
        augment_by_n=None,
        noise_scale=None,
        noise_level=0.15,
        seed=0,
        tolerance=None,
        of="gradient",
        **arguments,
    ):
        if num_samples is not None and augment_by_n is not None:
            raise ValueError(f"Give either `num_samples` or `augment_by_n`. Received: {num_samples!r} and {augment_by_n!r}")
        if noise_scale is None and noise_level is None:
            raise ValueError("`noise_scale` or `noise_level` must be given. Received: None for both")
        super().__init__(model, of=of, **arguments)
        given = num_samples if augment_by_n is None else augment_by_n
        self.num_samples, self.augment_by_n = self.default_num_samples if given is None else given, None
        self.noise_scale, self.noise_level, self.seed = noise_scale, noise_level, seed
        self.tolerance = tolerance

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on an argument
        return super().one_graph and self.tolerance is None

    # ------------------------------------------------------------------ points
    def begin(self, request):
        """The seed of the draws."""
        return np.random.SeedSequence().entropy if self.seed is None else int(self.seed)

    def _draws(self, request, numbers):
        """Unit noise for each input that can be moved, then for each embedding, of the draws with these numbers."""
        inputs, opened = request.inputs, self.opened
        shapes = [a.shape[1:] for a, t in zip(inputs.arrays, opened.graph.inputs, strict=True) if opened.moves(t)]
        known = dict(zip(opened.graph.inputs, [a.shape for a in inputs.arrays], strict=True))
        shapes += [embedding.shape(known) for embedding in self.embeddings]
        generators = [np.random.default_rng([request.context, int(k)]) for k in numbers]
        drawn = [[g.standard_normal(s, "float32") for s in shapes] for g in generators]
        return [np.stack(d) for d in zip(*drawn, strict=True)]

    def _scale(self, x):
        """The standard deviation for each sample of values `InOrder` or `Scattered`, which broadcasts over them."""
        return float(self.noise_level) * x.range() if self.noise_scale is None else float(self.noise_scale)

    def place(self, xs, moves, count):
        given, points = iter(moves), []
        for x, tensor in zip(xs, self.opened.graph.inputs, strict=True):
            if not self.opened.moves(tensor):
                points.append(ops.repeat(x, count, axis=0))
            else:
                scale = ops.reshape(ops.cast(self._scale(InOrder(x)), x.dtype), (-1, *[1] * len(x.shape)))
                noisy = x[:, None] + scale * ops.cast(next(given), x.dtype)[None]
                points.append(ops.reshape(noisy, (-1, *x.shape[1:])))
        batch = xs[0].shape[0]
        return points + [ops.tile(g, (batch, *[1] * (len(g.shape) - 1))) for g in given]

    def move(self, looked_up, given):
        return looked_up.vectors + self._scale(looked_up) * looked_up.of_ids(given)

    # ------------------------------------------------------------------ running
    @few_at_once
    def explain_batch(self, batch):
        several = batch.request.several
        asked = batch.request.explained or self.tolerance is not None

        def draw(part, first, last):
            return self._drawn(part, first, last, "reduce_with_error" if asked else "reduce")

        return sampling.drawn(
            sampling.Drawing(draw, self._concluded, several), batch, self.num_samples, self.tolerance, several
        )

    def _drawn(self, batch, first, last, reduce):
        """What the draws with these numbers give, reduced, and the outputs and targets at the input itself."""
        request, points = batch.request, self.points(batch, reduce)
        total: Any = None
        points.look([ops.zeros_like(ops.convert_to_tensor(d)) for d in self._draws(request, [0])], here=True)
        for numbers, counts in even_chunks(last - first, points.room):
            draws = [ops.convert_to_tensor(d) for d in self._draws(request, first + numbers)]
            maps, _ = points.step(draws, counts)
            total = maps if total is None else sampling.added(total, maps)
        total = {"attributions": total["attributions"]} | ({"signals": total["signals"]} if request.at else {})
        return total, {"outputs": points.outputs, "targets": points.targets}

    def _concluded(self, total, count, here):
        found = sampling.each(lambda reduced: self.conclude(reduced, count), total)
        errors = [self.error(reduced) for reduced in total["attributions"]]
        return found if errors[0] is None else found | {"details": {"error": errors}}

    # ------------------------------------------------------------------ what a method keeps of the draws
    def reduce_with_error(self, maps, ws):
        """What `reduce` keeps, and what the error needs."""
        return sampling.moments(maps, ws) | {"sum": self.reduce(maps, ws)}

    def conclude(self, reduced, count):
        """A map from what was reduced, and merged, of so many draws."""
        return (reduced["sum"] if isinstance(reduced, dict) else reduced) / count

    def error(self, reduced):
        """The error of that map, an array; None where nothing is kept for it."""
        return sampling.of_mean(reduced) if isinstance(reduced, dict) else None


@register_analyzer("smoothgrad")
class SmoothGrad(Noisy):
    """SmoothGrad (Smilkov et al. 2017): the mean over noisy copies of the input. Arguments: see `Noisy`."""

    paper = "Smilkov et al. 2017"


@register_analyzer("smoothgrad.squared")
class SmoothGradSquared(Noisy):
    """SmoothGrad squared (Hooker et al. 2019): the mean of the squared maps. Arguments: see `Noisy`."""

    paper = "Hooker et al. 2019"
    signed = False

    def reduce(self, maps, ws):
        return super().reduce(ops.square(maps), ws)

    def reduce_with_error(self, maps, ws):
        return sampling.moments(ops.square(maps), ws) | {"sum": self.reduce(maps, ws)}


@register_analyzer("vargrad")
class VarGrad(Noisy):
    """VarGrad (Adebayo et al. 2018): the variance of the maps over noisy copies of the input. Arguments: see `Noisy`.

    With the same draws, SmoothGrad squared is VarGrad plus the square of SmoothGrad.
    """

    paper = "Adebayo et al. 2018"
    signed = False

    def reduce(self, maps, ws):
        """Moments around the chunk's own mean: plain sums of squares would cancel."""
        count = ops.sum(ws, axis=1)
        mean = super().reduce(maps, ws) / count
        return {"count": count, "mean": mean, "spread": super().reduce(ops.square(maps - mean[:, None]), ws)}

    def reduce_with_error(self, maps, ws):
        return sampling.higher_moments(self.reduce(maps, ws), maps, ws)

    def conclude(self, reduced, count):
        return reduced["spread"] / count

    def error(self, reduced):
        return sampling.of_variance(reduced) if "fourth" in reduced else None
