"""Integrated gradients: the gradient averaged over the straight path from a reference to the input."""

from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.analyzers.averaging.base import Averaging, Points
from innspect.analyzers.averaging.steps import LAST, refined, warn_of_missing
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import few_at_once
from innspect.analyzers.gradient import GradientAnalyzer
from innspect.checks import AnyOf, Count, Elsewhere, Number, OneOf
from innspect.inputs.references import References, even_chunks
from innspect.layers import guarded
from innspect.layers.base import Rule
from innspect.layers.rule_table import kind

_GAUSS = 1000  # nodes: they are the eigenvalues of a matrix of so many rows


def _gauss_legendre(n):
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


def _trapezoid(n):
    weights = np.full(n + 1, 1 / n)
    weights[[0, -1]] /= 2
    return np.arange(n + 1) / n, weights


# Nodes in [0, 1] (0 is the reference, 1 the input) and weights, which sum to 1, for a number of steps.
QUADRATURES = {
    "trapezoid": _trapezoid,
    "left": lambda n: (np.arange(n) / n, np.full(n, 1 / n)),
    "right": lambda n: (np.arange(1, n + 1) / n, np.full(n, 1 / n)),
    "midpoint": lambda n: ((np.arange(n) + 0.5) / n, np.full(n, 1 / n)),
    "gausslegendre": _gauss_legendre,
}


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
        return points + [t] * len(self.runner.embeddings)

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
        reference_inputs: A number, an array of the input's shape, one reference for each sample, or several whose
            attributions are averaged; see `References`.
        quadrature: "trapezoid", "left", "right", "midpoint" or "gausslegendre".
        postprocess: None, "abs" or "square", of the gradients on the path.
        of: Another method whose maps, of the input's shape, take the gradients' place.
        head: See `ReverseAnalyzer`.

    Memory is that of one batch: `batch_size` bounds the (sample, step) pairs that are computed at once.
    """

    paper = "Sundararajan et al. 2017"
    signed = True
    ranges = {"steps": AnyOf(Count(), OneOf("auto")), "quadrature": OneOf(*sorted(QUADRATURES)), "missing": Number(1)}
    small = {"steps": 3}

    def __init__(
        self, model, *, steps=64, reference_inputs=0, quadrature="trapezoid", of="gradient", missing=0.05, **arguments
    ):
        super().__init__(model, reference_inputs=reference_inputs, of=of, **arguments)
        self.steps, self.quadrature, self.missing = steps, quadrature, missing

    def check_arguments(self):
        super().check_arguments()
        if self.quadrature == "gausslegendre":
            AnyOf(Count(high=_GAUSS), OneOf("auto")).check("steps", self.steps)

    def ready(self):
        if self.runner is None:
            raise ValueError(f"`of` must be a method that sends a signal back to the input. Received: {self.of!r}")
        if not isinstance(self.inner, PathGradient) and self.runner.embeddings:
            raise ValueError(f"Where the input is ids of an embedding, `of` can only be 'gradient'. Received: {self.of!r}")
        if self.steps == "auto" and not self.complete:
            raise ValueError(
                "`steps` can be 'auto' only where the attributions should sum to the difference of the outputs: with "
                "of='gradient', start='one', and without `postprocess` and `rules`. Received: other arguments"
            )

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on an argument
        return super().one_graph and self.steps != "auto"

    @property
    def complete(self):
        """Whether the attributions should sum to the difference of the outputs."""
        inner = self.inner
        return isinstance(inner, PathGradient) and inner.postprocess is None and inner.start == "one" and not inner.rules

    @few_at_once
    def explain_batch(self, batch):
        if self.steps != "auto":
            return self._with_steps(batch, self.steps)
        return refined(self._with_steps, batch, self.missing, _GAUSS if self.quadrature == "gausslegendre" else LAST)

    def _assemble(self, request, parts, settings):
        explanation = super()._assemble(request, parts, settings)
        if self.complete:
            warn_of_missing(self.name, parts, request.several, self.missing)
        return explanation

    def _with_steps(self, batch, steps):
        request, points = batch.request, Points(self.runner, batch)
        count = len(request.context)
        total: Any = None
        for r in range(count):
            references = [None if a is None else ops.convert_to_tensor(a) for a in request.context.take(r, batch.rows)]
            found = self._integrate(points, references, steps)
            total = found if total is None else _added(total, found)
        attributions = [a / count for a in total["attributions"]]
        result = {"attributions": attributions, "outputs": points.outputs, "targets": points.targets}
        if request.at:
            result["signals"] = {k: _scaled(s, 1 / count) for k, s in total["signals"].items()}
        if "start" in total:
            axis = 2 if request.several else 1
            sums = [ops.sum(ops.reshape(a, (*a.shape[:axis], -1)), axis=axis) for a in attributions]
            result["delta"] = points.targets - total["start"] / count - sum(sums[1:], sums[0])
        return result

    def _integrate(self, points, references, steps):
        """Attributions against one reference, signals averaged on the path; where it matters, the value at the reference."""
        nodes, weights = QUADRATURES[self.quadrature](steps)
        ends, start = nodes == 1, None
        if ends.any():  # first, since it settles what is explained
            total, _ = points.step(self.moves(points, references, nodes[ends]), weights[ends], here=True)
        else:
            total, _ = None, points.look(self.moves(points, references, np.ones(1)), here=True)
        nodes, weights = nodes[~ends], weights[~ends]
        for numbers, counts in even_chunks(len(nodes), points.room):
            maps, values = points.step(self.moves(points, references, nodes[numbers]), weights[numbers] * counts)
            total = maps if total is None else _added(total, maps)
            if nodes[numbers[0]] == 0:
                start = values[..., 0]
        if start is None and self.complete:
            start = points.look(self.moves(points, references, np.zeros(1)))
        attributions = []
        for mean, difference in zip(total["attributions"], self.differences(points, references), strict=True):
            if difference is not None and tuple(mean.shape[len(mean.shape) - len(difference.shape) + 1 :]) != tuple(
                difference.shape[1:]
            ):
                raise ValueError(
                    f"`of` must give maps of the input's shape. Received: {self.of!r}, shape {tuple(mean.shape[1:])}"
                )
            attributions.append(mean if difference is None else mean * difference)
        return {"attributions": attributions, "signals": total["signals"]} | ({"start": start} if self.complete else {})


def _added(a, b):
    return keras.tree.map_structure(lambda s, t: s + t, a, b)


def _scaled(tree, factor):
    return keras.tree.map_structure(lambda t: t * factor, tree)
