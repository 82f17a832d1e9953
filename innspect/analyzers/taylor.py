"""Simple Taylor decomposition: the first-order expansion of the explained value at a root point."""

import warnings

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.averaging import Batch
from innspect.analyzers.path import OnPath
from innspect.analyzers.registry import register_analyzer
from innspect.layers.base import safe_divide
from innspect.layers.program import per_sample

_TOLERANCE = 1e-6  # of the value at a root, relative to the value at the input where that is above 1
_HERE = np.ones(1, "float32")


@register_analyzer("simple_taylor")
class SimpleTaylor(OnPath):
    """R = (x - x~) grad f(x~) with a root point x~, where f(x~) = 0 (Bach et al. 2015; Montavon et al. 2018, sec. 4.2).

    Args:
        root: How the root is sought.
            "origin": x~ = 0, approached from x, where the gradient is that at x in networks without biases; R is input
            times gradient.
            "segment": halving between the input and `reference_inputs`, where f must have the other sign.
            "newton": the nearest root by Newton's steps; on an affine f one step is exact and R_i = w_i^2 / |w|^2 f(x).
        reference_inputs: The other end of the segment: a number, an array of the input's shape, or one for each sample.
        low, high: Bounds that Newton's steps stay in, numbers or arrays that broadcast to the input.
        damping: Share of Newton's step that is taken.
        iterations: At most this many Newton steps.
        head: See `ReverseAnalyzer`.

    `explain(...)` returns `delta`, f(x) minus the sum of R, and in `details`: "root", the root points in the inputs'
    structure (for ids of an embedding: what share of its vector is left of each); "root_value", f(x~); "remainder",
    f(x) - f(x~) - sum R; and "converged", whether f(x~) is 0 but for rounding. Where "segment" and "newton" find no root
    they warn, and expand at the last point.
    """

    paper = "Montavon et al. 2018"

    def __init__(
        self,
        model,
        *,
        root="origin",
        reference_inputs=0,
        low=None,
        high=None,
        damping=1.0,
        iterations=50,
        **arguments,
    ):
        if root not in ("origin", "segment", "newton"):
            raise ValueError(f"`root` must be 'origin', 'segment' or 'newton'. Received: {root!r}")
        if not 0 < damping <= 1:
            raise ValueError(f"`damping` must be above 0 and at most 1. Received: {damping!r}")
        if not isinstance(iterations, int | np.integer) or iterations < 1:
            raise ValueError(f"`iterations` must be a positive integer. Received: {iterations!r}")
        super().__init__(model, reference_inputs=0 if root == "origin" else reference_inputs, **arguments)
        if root == "newton" and self.runner.embeddings:
            raise ValueError("Newton's steps cannot move ids of an embedding; use root='origin' or 'segment'.")
        self.root, self.low, self.high, self.damping, self.iterations = root, low, high, damping, iterations

    def _batches(self, inputs, batch_size):
        batches = super()._batches(inputs, batch_size)
        if inputs.samples and len(inputs.references) > 1:
            raise ValueError(f"`reference_inputs` must be one reference for a segment. Received: {len(inputs.references)}")
        return batches

    def place(self, xs, moves, count):
        return moves["points"] if "points" in moves else super().place(xs, moves, count)

    @property
    def _held(self):
        """For each input, whether it is a mask or the like, which stays as it is."""
        clone = self._clone
        return [not clone.moves(t) and not clone.takes_ids(t) for t in clone.graph.inputs]

    # ------------------------------------------------------------------ running
    def _explain_batch(self, inputs, rows, chosen, number, at, several):
        references = [None if a is None else ops.convert_to_tensor(a) for a in inputs.references.take(0, rows)]
        find = {"origin": self._at_origin, "segment": self._on_segment, "newton": self._by_newton}[self.root]
        found = [find(Batch(self.runner, inputs, rows, [c], number, at, False), references) for c in chosen]
        if not several:
            return found[0]
        outputs = found[0]["outputs"]
        return keras.tree.map_structure(lambda *r: ops.stack(r), *found) | {"outputs": outputs}

    def _assemble(self, inputs, parts, at, several, neuron, output):
        explanation = super()._assemble(inputs, parts, at, several, neuron, output)
        if parts:
            explanation.details["root"] = inputs.restore(explanation.details["root"])
            missed = int(np.sum(~explanation.details["converged"]))
            if missed and self.root != "origin":
                warnings.warn(
                    f"root={self.root!r} found no root point for {missed} of {explanation.targets.size} explained values; "
                    "`explain(...).details['converged']` tells which.",
                    stacklevel=4,
                )
        return explanation

    def _at_origin(self, batch, references):
        maps, _ = batch.step(self.moves(batch, references, np.ones(1)), _HERE, here=True)
        value = batch.look(self.moves(batch, references, np.zeros(1)))
        shift = self.differences(batch, references)
        attributions = [m if d is None else m * d for m, d in zip(maps["attributions"], shift, strict=True)]
        roots = [x if held else ops.zeros_like(x) for x, held in zip(batch.xs, self._held, strict=True)]
        return self._result(batch, attributions, maps, roots, value)

    def _on_segment(self, batch, references):
        value = batch.look(self.moves(batch, references, np.ones(1)), here=True)
        side = np.sign(backend.to_numpy(value))
        other = np.sign(backend.to_numpy(batch.look(self.moves(batch, references, np.zeros(1)))))
        bracketed = side * other <= 0
        far, near = np.zeros(len(side)), np.where(bracketed, 1.0, 0.0)  # the root is between; `near` is on the input's side
        while np.max(near - far, initial=0) > np.finfo(keras.backend.standardize_dtype(value.dtype)).eps:
            middle = (near + far) / 2
            signs = np.sign(backend.to_numpy(batch.look(self.moves(batch, references, middle[:, None]))))
            near, far = np.where(signs == side, middle, near), np.where(signs == side, far, middle)
        moves = self.moves(batch, references, near[:, None])
        maps, values = batch.step(moves, _HERE)
        left, roots, attributions = ops.convert_to_tensor(near), [], []
        for x, mean, reference, held in zip(batch.xs, maps["attributions"], references, self._held, strict=True):
            t = ops.cast(ops.reshape(left, (-1, *[1] * (len(x.shape) - 1))), mean.dtype)
            if reference is None:
                roots.append(x if held else ops.broadcast_to(t, x.shape))
                attributions.append(mean * (1 - t))
            else:
                roots.append((1 - t) * reference + t * x)
                attributions.append(mean * (1 - t) * (x - reference))
        return self._result(batch, attributions, maps, roots, values[..., 0])

    def _by_newton(self, batch, references):
        points = list(batch.xs)
        for n in range(self.iterations + 1):
            maps, values = batch.step({"points": points}, _HERE, here=n == 0)
            slopes, value = maps["attributions"], values[..., 0]
            found = self._is_root(batch, value)
            if n == self.iterations or bool(np.all(backend.to_numpy(found))):
                break
            length = sum(per_sample(ops.square(s), s.shape[0]) for s in slopes)
            step = self.damping * safe_divide(value, length)  # no step from a point without slope
            step = ops.where(found, ops.zeros_like(step), step)  # a sample stops whatever its batch mates do
            points = [
                p if held else self._bounded(p - self._along(step, s) * s)
                for p, s, held in zip(points, slopes, self._held, strict=True)
            ]
        moved = zip(slopes, batch.xs, points, self._held, strict=True)
        attributions = [s if held else s * (x - p) for s, x, p, held in moved]
        return self._result(batch, attributions, maps, points, value)

    def _along(self, step, slope):
        return ops.reshape(step, (-1, *[1] * (len(slope.shape) - 1)))

    def _bounded(self, point):
        low = point if self.low is None else ops.maximum(point, ops.cast(ops.convert_to_tensor(self.low), point.dtype))
        return low if self.high is None else ops.minimum(low, ops.cast(ops.convert_to_tensor(self.high), point.dtype))

    def _is_root(self, batch, value):
        return ops.absolute(value) <= _TOLERANCE * ops.maximum(1.0, ops.absolute(batch.targets))

    def _result(self, batch, attributions, maps, roots, value):
        size = batch.xs[0].shape[0]
        missing = batch.targets - sum(per_sample(a, size) for a in attributions)
        details = {"root": roots, "root_value": value, "remainder": missing - value, "converged": self._is_root(batch, value)}
        result = {"attributions": attributions, "outputs": batch.outputs, "targets": batch.targets, "delta": missing}
        return result | {"details": details} | ({"signals": maps["signals"]} if batch.at else {})
