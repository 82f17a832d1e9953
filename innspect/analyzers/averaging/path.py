"""Integrated gradients: the gradient averaged over the straight path from a reference to the input."""

from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.analyzers.averaging.base import Averaging
from innspect.analyzers.averaging.steps import (
    FIRST,
    GAUSS,
    HALVED,
    LAST,
    NESTED,
    QUADRATURES,
    half_weights,
    missing_share,
    warn_of_missing,
)
from innspect.analyzers.base import sampling
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import few_at_once
from innspect.analyzers.gradient import GradientAnalyzer
from innspect.checks import AnyOf, Count, Elsewhere, Number, OneOf
from innspect.inputs.references import References, even_chunks
from innspect.layers import guarded
from innspect.layers.base import Rule
from innspect.layers.rule_table import kind


class PathEmbedding(Rule):
    """An embedding whose vectors run from zero to themselves: ids get the inner product of vector and gradient.

    Its last input says how far along the path each sample is, (batch,).
    """

    form = "gradient"

    def forward(self, layer, inputs):
        *others, t = inputs
        (vectors,) = layer(*others, ops.ones_like(t))
        return layer(*inputs), vectors

    def backward(self, layer, vectors, signals):
        value = ops.sum(signals[0] * vectors, axis=-1)
        return [value if p in layer.node.active_inputs else None for p in range(len(layer.inputs))]


class PathGradient(GradientAnalyzer):
    """The gradient at points of a path; for ids already times the embedding's vector."""

    def rows(self, graph):
        return [(kind("embedding"), PathEmbedding()), *super().rows(graph)]


class OnPath(Averaging):
    """Base of the methods that look at points between a reference and the input.

    Args:
        reference_inputs: See `References`.
    """

    ranges = {"reference_inputs": Elsewhere("References")}

    def __init__(self, model, *, reference_inputs=0, **arguments):
        super().__init__(model, **arguments)
        self.reference_inputs = reference_inputs

    def make_inner(self, arguments):
        if type(self.of) is GradientAnalyzer:  # as if it were given by name
            checked = super().make_inner(arguments)
            return PathGradient(self.opened, **checked.get_config())
        return PathGradient(self.opened, **arguments) if self.of == "gradient" else super().make_inner(arguments)

    def begin(self, request):
        return self.compared_with(request)

    def compared_with(self, request):
        references = References(self.reference_inputs, request.inputs, self.opened)
        return self.filled_references(references, request.output)

    def place(self, xs, moves, count):
        t, given = moves["t"], iter(moves["references"])
        points = []
        for x, tensor in zip(xs, self.opened.graph.inputs, strict=True):
            x = ops.repeat(x, count, axis=0)
            if self.opened.moves(tensor):
                start = next(given)
                start = start if start.shape[0] == 1 else ops.repeat(start, count, axis=0)
                at = ops.cast(ops.reshape(t, (-1, *[1] * (len(x.shape) - 1))), x.dtype)
                x = (1 - at) * start + at * x
            points.append(x)
        return points + [t] * len(self.embeddings)

    def move(self, looked_up, given):
        return looked_up.vectors * looked_up.of_samples(given, fixed=1)

    def moves(self, points, references, nodes):
        """What places the points at `nodes` (points,), or (batch, points) where each sample has its own."""
        nodes = np.broadcast_to(nodes, (points.xs[0].shape[0], np.shape(nodes)[-1]))
        return {"t": ops.convert_to_tensor(nodes.reshape(-1)), "references": [r for r in references if r is not None]}

    def differences(self, points, references):
        """Input minus reference for every input; None for what does not move."""
        return [None if r is None else self.difference(x, r) for x, r in zip(points.xs, references, strict=True)]

    def difference(self, x, reference):
        return guarded.numbers(x) - guarded.numbers(reference) if self.guards else x - reference


@register_analyzer("integrated_gradients")
class IntegratedGradients(OnPath):
    """Integrated gradients (Sundararajan et al. 2017): (x - x0) times the mean gradient on the path from x0 to x.

    The attributions sum to f(x) - f(x0), up to the error of the quadrature, which `explain(...).delta` tells. Several
    inputs run on one joint path. For ids of an embedding the path runs from zero vectors to the embedding's; a mask, and
    whatever else no signal flows back to, stays as it is.

    Args:
        steps: Number of steps, at most a million, with "gausslegendre" a thousand; the trapezoid's path has as many
            intervals, and one point more. "auto": 64, doubled for the samples of which more than `missing` is missing, to
            4096 at most; `explain(...).details["steps"]` tells how many.
        missing: The share of f(x) - f(x0) that may be missing from the sum without a warning, an
            `innspect.IncompleteAttributionWarning`.
        tolerance: Begin with 8 steps, and double them, to `steps` at most, until the error is at most this share of the map,
            both in Euclidean norm over a sample's inputs, for each sample by itself; with steps="auto" no more than
            `missing` may be missing either. None: always `steps`, which must else be even.
        reference_inputs: A number, an array of the input's shape, one reference for each sample, or several whose
            attributions are averaged; see `References`.
        quadrature: "trapezoid", "left", "right", "midpoint" or "gausslegendre".
        postprocess: None, "abs" or "square", of the gradients on the path.
        of: Another method whose maps, of the input's shape, take the gradients' place.
        head: See `ReverseAnalyzer`.

    Memory is that of one batch: `batch_size` bounds the (sample, step) pairs that are computed at once.

    In `explain(...).details` is "error", in the map's shape and units: how far the sum over the steps may be from the
    integral, by the difference to half the steps. It is there for an even number of steps; with "midpoint" and
    "gausslegendre" only where `tolerance` asks for it, since these share no nodes with half the steps.
    """

    paper = "Sundararajan et al. 2017"
    signed = True
    ranges = {
        "steps": AnyOf(Count(), OneOf("auto")),
        "quadrature": OneOf(*sorted(QUADRATURES)),
        "missing": Number(1),
        "tolerance": sampling.TOLERANCE,
    }
    small = {"steps": 3}

    def __init__(
        self,
        model,
        *,
        steps=64,
        reference_inputs=0,
        quadrature="trapezoid",
        of="gradient",
        missing=0.05,
        tolerance=None,
        **arguments,
    ):
        super().__init__(model, reference_inputs=reference_inputs, of=of, **arguments)
        self.steps, self.quadrature, self.missing = steps, quadrature, missing
        self.tolerance = tolerance

    def check_arguments(self):
        super().check_arguments()
        if self.quadrature == "gausslegendre":
            AnyOf(Count(high=GAUSS), OneOf("auto")).check("steps", self.steps)
        if self.tolerance is not None and self.steps != "auto" and self.steps % 2:
            raise ValueError(f"`steps` must be even where `tolerance` is given, or 'auto'. Received: {self.steps}")

    def ready(self):
        if not isinstance(self.inner, PathGradient) and self.embeddings:
            raise ValueError(f"Where the input is ids of an embedding, `of` can only be 'gradient'. Received: {self.of!r}")
        if self.steps == "auto" and not self.complete:
            raise ValueError(
                "`steps` can be 'auto' only where the attributions should sum to the difference of the outputs: with "
                "of='gradient', start='one', and without `postprocess` and `rules`. Received: other arguments"
            )

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on an argument
        return super().one_graph and self.steps != "auto" and self.tolerance is None

    @property
    def complete(self):
        """Whether the attributions should sum to the difference of the outputs."""
        inner = self.inner
        return isinstance(inner, PathGradient) and inner.postprocess is None and inner.start == "one" and not inner.rules

    @few_at_once
    def explain_batch(self, batch):
        several = batch.request.several
        if self.steps != "auto" and self.tolerance is None:
            nested = self.quadrature in NESTED and self.steps % 2 == 0
            return self._with_steps(batch, self.steps, error=batch.request.explained and nested)

        def short(found):
            unsure = self.tolerance is not None and sampling.uncertain(found, self.tolerance, several)
            return unsure | (missing_share(found, several) > self.missing) if self.steps == "auto" else unsure

        def integrate(part, steps, places):
            return self._with_steps(part, steps, error=self.tolerance is not None or self.quadrature in NESTED)

        return sampling.refined(integrate, batch, self._tried(), short, "steps", several)

    def _tried(self):
        """The numbers of steps that are tried one after the other."""
        if self.steps != "auto":
            return sampling.counts(self.steps)
        first = FIRST if self.tolerance is None else sampling.FIRST
        last = GAUSS if self.quadrature == "gausslegendre" else LAST
        return (first << k for k in range(last.bit_length()) if first << k <= last)

    def sound(self, request, explanation):
        explanation = super().sound(request, explanation)
        if self.complete:
            share = missing_share(vars(explanation), request.several)
            warn_of_missing(self.name, np.atleast_2d(share), self.missing, request.first)
        return explanation

    def _with_steps(self, batch, steps, error):
        request, points = batch.request, self.points(batch)
        count = len(request.context)
        total: Any = None
        for r in range(count):
            references = [None if a is None else ops.convert_to_tensor(a) for a in request.context.take(r, batch.rows)]
            found = self._integrate(points, references, steps, error)
            total = found if total is None else _added(total, found)
        attributions = [a / count for a in total["attributions"]]
        result = {"attributions": attributions, "outputs": points.outputs, "targets": points.targets}
        if request.at:
            result["signals"] = {k: _scaled(s, 1 / count) for k, s in total["signals"].items()}
        if "start" in total:
            axis = 2 if request.several else 1
            sums = [ops.sum(ops.reshape(a, (*a.shape[:axis], -1)), axis=axis) for a in attributions]
            result["delta"] = points.targets - total["start"] / count - sum(sums[1:], sums[0])
        if error:
            pairs = zip(attributions, total["coarse"], strict=True)
            share = HALVED.get(self.quadrature, 1)
            result["details"] = {"error": [ops.abs(fine - coarse / count) * share for fine, coarse in pairs]}
        return result

    def _integrate(self, points, references, steps, error):
        """Attributions against one reference, signals averaged on the path; where it matters, the value at the reference;
        where the error is asked for, the attributions with half the steps, "coarse".
        """
        nested = error and self.quadrature in NESTED
        nodes, weights = QUADRATURES[self.quadrature](steps)
        if nested:
            weights = np.stack([weights, half_weights(self.quadrature, steps)], axis=1)
        ends, start = nodes == 1, None
        if ends.any():  # first, since it settles what is explained
            total, _ = points.step(self.moves(points, references, nodes[ends]), weights[ends], here=True)
        else:
            total, _ = None, points.look(self.moves(points, references, np.ones(1)), here=True)
        nodes, weights = nodes[~ends], weights[~ends]
        for numbers, counts in even_chunks(len(nodes), points.room):
            ws = (weights[numbers].T * counts).T
            maps, values = points.step(self.moves(points, references, nodes[numbers]), ws)
            total = maps if total is None else _added(total, maps)
            if self.complete and nodes[numbers[0]] == 0:
                start = values[..., 0]
        if start is None and self.complete:
            start = points.look(self.moves(points, references, np.zeros(1)))
        means = total["attributions"]
        found = {"attributions": self._scaled_by(points, references, [m[0] for m in means] if nested else means)}
        if nested:
            found["coarse"] = self._scaled_by(points, references, [m[1] for m in means])
        elif error:
            found["coarse"] = self._integrate(points, references, steps // 2, error=False)["attributions"]
        return found | {"signals": total["signals"]} | ({"start": start} if self.complete else {})

    def _scaled_by(self, points, references, means):
        """Means of gradients times the way from the reference."""
        attributions = []
        for mean, difference in zip(means, self.differences(points, references), strict=True):
            if difference is not None and tuple(mean.shape[len(mean.shape) - len(difference.shape) + 1 :]) != tuple(
                difference.shape[1:]
            ):
                raise ValueError(
                    f"`of` must give maps of the input's shape. Received: {self.of!r}, shape {tuple(mean.shape[1:])}"
                )
            attributions.append(mean if difference is None else mean * difference)
        return attributions


def _added(a, b):
    return keras.tree.map_structure(lambda s, t: s + t, a, b)


def _scaled(tree, factor):
    return keras.tree.map_structure(lambda t: t * factor, tree)
