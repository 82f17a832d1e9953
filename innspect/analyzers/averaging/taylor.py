"""Simple Taylor decomposition: the first-order expansion of the explained value at a root point."""

from dataclasses import replace

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.averaging.path import OnPath
from innspect.analyzers.averaging.points import Points
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.warned import warn
from innspect.checks import Count, Finite, Number, OneOf, check_order
from innspect.graph.opened.taking import taken
from innspect.inputs.references import References
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
        iterations: At most this many Newton steps, themselves at most a million.
        head: See `ReverseAnalyzer`.

    `explain(...)` returns `delta`, f(x) minus the sum of R, and in `details`: "root", the root points in the inputs'
    structure (for ids of an embedding: what share of its vector is left of each); "root_value", f(x~); "remainder",
    f(x) - f(x~) - sum R; and "converged", whether f(x~) is 0 but for rounding. Where "segment" and "newton" find no root
    they warn, and expand at the last point.
    """

    family = "Taylor decomposition"
    paper = "Montavon et al. 2018"
    signed = True
    ranges = {
        "root": OneOf("origin", "segment", "newton"),
        "low": Finite(),
        "high": Finite(),
        "damping": Number(1),
        "iterations": Count(),
    }

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
        super().__init__(model, reference_inputs=reference_inputs, **arguments)
        self.root, self.low, self.high, self.damping, self.iterations = root, low, high, damping, iterations

    @property
    def masks(self):  # type: ignore[override]  # a root is sought with all of the signal
        return super().masks and self.root == "origin"

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on an argument
        return self.root == "origin"

    def check_arguments(self):
        super().check_arguments()
        if self.low is not None and self.high is not None:
            check_order(self.low, self.high)

    def ready(self):
        if self.root == "newton" and self.runner.embeddings:
            raise ValueError("Newton's steps cannot move ids of an embedding; use root='origin' or 'segment'.")

    def compared_with(self, request):
        references = References(0 if self.root == "origin" else self.reference_inputs, request.inputs, self.opened)
        if len(references) > 1:
            raise ValueError(f"`reference_inputs` must be one reference for a segment. Received: {len(references)}")
        return self.filled_references(references, request.output)

    def place(self, xs, moves, count):
        return moves["points"] if "points" in moves else super().place(xs, moves, count)

    @property
    def _held(self):
        """For each input, whether it is a mask or the like, which stays as it is."""
        opened = self.opened
        return [not opened.moves(t) and not opened.takes_ids(t) for t in opened.graph.inputs]

    # ------------------------------------------------------------------ running
    def explain_batch(self, batch):
        request, find = batch.request, {"origin": self._at_origin, "segment": self._on_segment, "newton": self._by_newton}
        references = [None if a is None else ops.convert_to_tensor(a) for a in request.context.take(0, batch.rows)]
        alone = [batch.of_targets(slice(i, i + 1)) for i in range(len(request.targets))]
        alone = [replace(one, request=replace(one.request, several=False)) for one in alone]
        found = [find[self.root](Points(self.runner, one), references) for one in alone]
        if not request.several:
            return found[0]
        outputs = found[0]["outputs"]
        return keras.tree.map_structure(lambda *r: ops.stack(r), *found) | {"outputs": outputs}

    def _assemble(self, request, parts, settings):
        explanation = super()._assemble(request, parts, settings)
        if request.inputs.samples:
            explanation.details["root"] = self._restore(
                request.inputs, explanation.details["root"], 2 if request.several else 1
            )
            missed = int(np.sum(~explanation.details["converged"]))
            if missed and self.root != "origin":
                warn(
                    f"root={self.root!r} found no root point for {missed} of {explanation.targets.size} explained values; "
                    "`explain(...).details['converged']` tells which.",
                )
        return explanation

    def _at_origin(self, points, references):
        maps, _ = points.step(self.moves(points, references, np.ones(1)), _HERE, here=True)
        value = points.look(self.moves(points, references, np.zeros(1)))
        shift = self.differences(points, references)
        attributions = [m if d is None else m * d for m, d in zip(maps["attributions"], shift, strict=True)]
        roots = [x if held else ops.zeros_like(x) for x, held in zip(points.xs, self._held, strict=True)]
        return self._result(points, attributions, maps, roots, value)

    def _on_segment(self, points, references):
        value = points.look(self.moves(points, references, np.ones(1)), here=True)
        side = np.sign(backend.to_numpy(value))
        other = np.sign(backend.to_numpy(points.look(self.moves(points, references, np.zeros(1)))))
        bracketed = side * other <= 0
        far, near = np.zeros(len(side)), np.where(bracketed, 1.0, 0.0)  # the root is between; `near` is on the input's side
        while np.max(near - far, initial=0) > np.finfo(keras.backend.standardize_dtype(value.dtype)).eps:
            middle = (near + far) / 2
            signs = np.sign(backend.to_numpy(points.look(self.moves(points, references, middle[:, None]))))
            near, far = np.where(signs == side, middle, near), np.where(signs == side, far, middle)
        moves = self.moves(points, references, near[:, None])
        maps, values = points.step(moves, _HERE)
        left, roots, attributions = ops.convert_to_tensor(near), [], []
        for x, mean, reference, held in zip(points.xs, maps["attributions"], references, self._held, strict=True):
            t = ops.cast(ops.reshape(left, (-1, *[1] * (len(x.shape) - 1))), mean.dtype)
            if reference is None:
                roots.append(x if held else ops.broadcast_to(t, x.shape))
                attributions.append(mean * (1 - t))
            else:
                roots.append((1 - t) * reference + t * x)
                attributions.append(mean * (1 - t) * self.difference(x, reference))
        return self._result(points, attributions, maps, roots, values[..., 0])

    def _by_newton(self, points, references):
        places = list(points.xs)
        for n in range(self.iterations + 1):
            maps, values = points.step({"points": places}, _HERE, here=n == 0)
            slopes, value = maps["attributions"], values[..., 0]
            found = self._is_root(points, value)
            if n == self.iterations or bool(np.all(backend.to_numpy(found))):
                break
            length = sum(per_sample(ops.square(s), s.shape[0]) for s in slopes)
            step = self.damping * safe_divide(value, length)  # no step from a point without slope
            step = ops.where(found, ops.zeros_like(step), step)  # a sample stops whatever its batch mates do
            places = [
                p if held else self._bounded(p - self._along(step, s) * s)
                for p, s, held in zip(places, slopes, self._held, strict=True)
            ]
        moved = zip(slopes, points.xs, places, self._held, strict=True)
        attributions = [s if held else s * self.difference(x, p) for s, x, p, held in moved]
        return self._result(points, attributions, maps, places, value)

    def _along(self, step, slope):
        return ops.reshape(step, (-1, *[1] * (len(slope.shape) - 1)))

    def _bounded(self, point):
        low = point if self.low is None else backend.maximum(point, _bound(self.low, point))
        return low if self.high is None else backend.minimum(low, _bound(self.high, point))

    def _is_root(self, points, value):
        return ops.absolute(value) <= _TOLERANCE * ops.maximum(1.0, ops.absolute(points.targets))

    def _result(self, points, attributions, maps, roots, value):
        size = points.xs[0].shape[0]
        missing = points.targets - sum(per_sample(a, size) for a in attributions)
        details = {"root": roots, "root_value": value, "remainder": missing - value, "converged": self._is_root(points, value)}
        result = {"attributions": attributions, "outputs": points.outputs, "targets": points.targets, "delta": missing}
        return result | {"details": details} | ({"signals": maps["signals"]} if points.request.at else {})


def _bound(given, point):
    """A bound that broadcasts over points (batch, *shape), of a number or an array in the shape of a sample as it is given."""
    array = backend.to_numpy(given) if backend.is_tensor(given) else np.asarray(given)
    return ops.convert_to_tensor(array.reshape(taken(array.shape, tuple(point.shape[1:])) or array.shape), dtype=point.dtype)
