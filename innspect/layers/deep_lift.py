"""DeepLIFT's rules (Shrikumar et al. 2017): multipliers of a change from a reference, in place of the gradient.

Every tensor is a `Pair`, its value at the input and at the reference. A rule's forward pass computes both; its backward
pass turns the multipliers of the outputs' changes into those of the inputs' changes, so that

    sum_i m_i (x_i - x0_i) = sum_j m_j (y_j - y0_j)

holds at every node, and in the end for the whole model (summation to delta). References may be fewer than rows: the
activations of one that serves many samples are computed once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.graph.ir import Node
from innspect.graph.views.activations import Rectifier
from innspect.layers.base import ReverseLayer, Rule, safe_divide, vjp_at
from innspect.layers.program import Program
from innspect.layers.weightless import sum_to
from innspect.types import BackendTensor, Signals, Tensors

NEAR = 1e-7  # a smaller change of an activation's input counts as none
_TINY = 1e-30

Values = list[Any]  # pairs, or tensors that are the same at the input and at the reference


@dataclass
class Pair:
    """A tensor at the input and at the reference.

    Attributes:
        x: (rows, ...).
        x0: (references, ...); row n is compared with reference n modulo their number.
        up: The part of x - x0 that positive contributions make, (rows, ...), where it is known (for RevealCancel).
    """

    x: BackendTensor
    x0: BackendTensor
    up: BackendTensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    def against(self, function: Callable[[BackendTensor, BackendTensor], BackendTensor]) -> BackendTensor:
        """`function(x, x0)`, elementwise, with its own reference for every row: (rows, ...)."""
        rows, references = self.x.shape[0], self.x0.shape[0]
        if references in (1, rows):
            return function(self.x, self.x0)
        grouped = ops.reshape(self.x, (-1, references, *self.x.shape[1:]))
        return ops.reshape(function(grouped, self.x0[None]), self.x.shape)

    @property
    def change(self) -> BackendTensor:
        """What changed, x - x0, (rows, ...)."""
        return self.against(ops.subtract)

    @property
    def reference(self) -> BackendTensor:
        """The reference x0 for every row, (rows, ...)."""
        copies = self.x.shape[0] // self.x0.shape[0]
        return self.x0 if copies == 1 else ops.tile(self.x0, (copies, *[1] * (len(self.x0.shape) - 1)))


def at_input(values: Values) -> Tensors:
    return [v.x if isinstance(v, Pair) else v for v in values]


def at_reference(values: Values) -> Tensors:
    return [v.x0 if isinstance(v, Pair) else v for v in values]


def reference_rows(values: Values) -> Tensors:
    """As `at_reference`, for every row."""
    return [v.reference if isinstance(v, Pair) else v for v in values]


def paired(ys: Tensors, y0s: Tensors) -> list[Pair]:
    return [Pair(y, y0) for y, y0 in zip(ys, y0s, strict=True)]


class PairProgram(Program):
    """A `Program` whose values are pairs."""

    def value(self, result: Pair) -> BackendTensor:
        return result.x

    def constant(self, node: Node, inputs: Values) -> Values:
        if not any(isinstance(v, Pair) for v in inputs):
            return node(*inputs)
        return paired(node(*at_input(inputs)), node(*at_reference(inputs)))


class MultiplierRule(Rule):
    """Base of the rules of DeepLIFT."""

    form = "gradient"


class Linear(MultiplierRule, rule_name="deep_lift.Linear"):
    """Linear and affine maps: multipliers pass as gradients do."""

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        ys, pullback = layer.active_vjp(at_input(inputs))
        return paired(ys, layer(*at_reference(inputs))), pullback

    def backward(self, layer: ReverseLayer, pullback: Any, signals: Tensors) -> Signals:
        return pullback(signals)


class Ids(MultiplierRule):
    """Integers: ids on their way to an embedding, which have no gradient, and numbers on theirs to floating point.

    Args:
        rule: How relevance passes there.
        zero: Whether the reference is the zero vector, so that the ids of the reference do not matter.
    """

    def __init__(self, rule: Rule, zero: bool):
        self.rule, self.zero = rule, zero

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        ys, saved = self.rule.forward(layer, at_input(inputs))
        return paired(ys, ys if self.zero else layer(*at_reference(inputs))), saved

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        return self.rule.backward(layer, saved, signals)


class Vectors(MultiplierRule):
    """An embedding: an id gets the sum over its vector of multiplier times change.

    Args:
        zero: True: the reference is the zero vector; False: the vectors of the reference's ids.
    """

    def __init__(self, zero: bool):
        self.zero = zero

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        (vectors,) = layer(*at_input(inputs))
        reference = ops.zeros_like(vectors) if self.zero else layer(*at_reference(inputs))[0]
        pair = Pair(vectors, reference)
        return [pair], pair.change

    def backward(self, layer: ReverseLayer, change: Any, signals: Tensors) -> Signals:
        value = ops.sum(signals[0] * change, axis=-1)
        return [value if p in layer.node.active_inputs else None for p in range(len(layer.inputs))]


class Rescale(MultiplierRule):
    """Elementwise functions: the change of the output over that of the input, the derivative where there is none."""

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        (p,) = layer.node.active_inputs
        if isinstance(layer.view, Rectifier) and layer.view.max_value is None:
            outputs = paired(layer(*at_input(inputs)), layer(*at_reference(inputs)))
            return outputs, inputs[p].against(_share_above_zero)
        ys, pullback = layer.active_vjp(at_input(inputs))
        pair = Pair(ys[0], layer(*at_reference(inputs))[0])
        change = inputs[p].change
        near = ops.absolute(change) < NEAR
        slope = pullback([ops.ones_like(ys[0])])[p]
        return [pair], ops.where(near, slope, pair.change / ops.where(near, ops.ones_like(change), change))

    def backward(self, layer: ReverseLayer, multiplier: Any, signals: Tensors) -> Signals:
        (p,) = layer.node.active_inputs
        return [signals[0] * multiplier if i == p else None for i in range(len(layer.inputs))]


def _share_above_zero(x: BackendTensor, x0: BackendTensor) -> BackendTensor:
    """(relu(x) - relu(x0)) / (x - x0): the share of the way from x0 to x that is above zero; 1 or 0 at x = x0."""
    return ops.clip(ops.maximum(x, x0) / (ops.absolute(x - x0) + _TINY), 0.0, 1.0)


class Switch(Linear):
    """One of two tensors by a condition: where that changed, what is explained by the operands' changes.

    There the change of the output is shared among the operands in proportion to the squares of their own changes.
    """

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        pairs, pullback = super().forward(layer, inputs)
        condition = inputs[0]
        if not isinstance(condition, Pair):
            return pairs, (None, pullback, None, None)
        changed = ops.not_equal(condition.x, condition.reference)
        active = {p: inputs[p] for p in layer.node.active_inputs}
        return pairs, (ops.broadcast_to(changed, pairs[0].x.shape), pullback, pairs[0].change, active)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        changed, pullback, change, active = saved
        if changed is None:
            return pullback(signals)
        none = ops.zeros_like(signals[0])
        results = pullback([ops.where(changed, none, signals[0])])
        size = sum(ops.square(pair.change) for pair in active.values())
        share = safe_divide(ops.where(changed, signals[0] * change, none), size)
        for p, pair in active.items():
            results[p] = results[p] + sum_to(share * pair.change, pair.x)
        return results


class CrossMax(MultiplierRule):
    """Maxima and minima, exactly: with M = max(y, y0), M - y0 goes to where x is largest, y - M to where x0 is.

    Args:
        route: The rule that sends a signal to the winner.
    """

    def __init__(self, route: Rule):
        self.route = route

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        ys, here = self.route.forward(layer, at_input(inputs))
        y0s, there = self.route.forward(layer, reference_rows(inputs))
        references = next(v.x0.shape[0] for v in inputs if isinstance(v, Pair))
        changes = [v.change if isinstance(v, Pair) else None for v in inputs]
        return [Pair(ys[0], y0s[0][:references])], (here, there, ys[0] - y0s[0], changes)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        here, there, change, changes = saved
        # M - y0 is the positive part of the change for a maximum, the negative part for a minimum
        rise, fall = signals[0] * ops.relu(change), signals[0] * -ops.relu(-change)
        if not _is_largest(layer.node):
            rise, fall = fall, rise
        shares = zip(self.route.backward(layer, here, [rise]), self.route.backward(layer, there, [fall]), changes, strict=True)
        # Where a contribution is not 0, the winner changed at least as much as the maximum: this never blows up.
        return [None if a is None else safe_divide(a + b, dx) for a, b, dx in shares]


def _is_largest(node: Node) -> bool:
    if node.view is not None:
        return node.view.largest
    return "Min" not in node.operation and "min" not in node.operation


class Multilinear(MultiplierRule):
    """Products, of elements or matrices: the gradient averaged over the path from reference to input.

    For u v this is Shapley's split, (u - u0) (v + v0) / 2 to u; for n factors n / 2 points of Gauss's quadrature are
    exact.
    """

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        positions, xs, x0s = layer.node.active_inputs, at_input(inputs), reference_rows(inputs)
        nodes, weights = np.polynomial.legendre.leggauss((len(positions) + 1) // 2)
        pulls = []
        for t in (nodes + 1) / 2:
            points = [(1 - float(t)) * a + float(t) * b if _moves(v) else b for v, a, b in zip(inputs, x0s, xs, strict=True)]
            pulls.append(vjp_at(layer, points, positions)[1])
        return paired(layer(*xs), layer(*at_reference(inputs))), list(zip(weights / 2, pulls, strict=True))

    def backward(self, layer: ReverseLayer, pulls: Any, signals: Tensors) -> Signals:
        found = [pull([s * float(w) for s in signals]) for w, pull in pulls]
        return [None if parts[0] is None else sum(parts[1:], parts[0]) for parts in zip(*found, strict=True)]


def _moves(value: Any) -> bool:
    return isinstance(value, Pair) and "float" in keras.backend.standardize_dtype(value.x.dtype)
