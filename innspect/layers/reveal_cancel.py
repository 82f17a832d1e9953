"""DeepLIFT's RevealCancel rule (Shrikumar et al. 2017, sec. 3.5): positive and negative contributions apart.

A layer that adds contributions up (an affine layer, an addition) tells how much of its output's change the positive
ones make. The activation after it answers with two multipliers, one for each side, as a `Split`.
"""

from dataclasses import dataclass
from typing import Any

from keras import ops

from innspect.layers.base import ReverseLayer
from innspect.layers.deep_lift import NEAR, MultiplierRule, Pair, Rescale, Values, at_input, at_reference
from innspect.layers.terms import negative, positive
from innspect.layers.weightless import sum_to
from innspect.types import BackendTensor, Signals, Tensors


@dataclass
class Split:
    """Multipliers of the positive and of the negative contributions to a change."""

    above: BackendTensor
    below: BackendTensor

    @property
    def dtype(self) -> Any:
        return self.above.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.above.shape

    @property
    def both(self) -> BackendTensor:
        """Their mean, for what contributes nothing."""
        return (self.above + self.below) / 2

    def __add__(self, other: "Split | BackendTensor") -> "Split":
        other = other if isinstance(other, Split) else Split(other, other)
        return Split(self.above + other.above, self.below + other.below)

    __radd__ = __add__


class RevealCancel(Rescale):
    """Elementwise functions: each side's effect, averaged over which side comes first; Rescale after other layers."""

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        (p,) = layer.node.active_inputs
        pair = inputs[p]
        if pair.up is None:
            return super().forward(layer, inputs)
        xs, x0 = at_input(inputs), pair.reference
        up, down = pair.up, pair.change - pair.up

        def f(value: BackendTensor) -> BackendTensor:
            return layer(*[value if i == p else x for i, x in enumerate(xs)])[0]

        (y0,) = layer(*at_reference(inputs))
        y, start, risen, fallen = f(pair.x), f(x0), f(x0 + up), f(x0 + down)
        above, below = (risen - start + y - fallen) / 2, (fallen - start + y - risen) / 2
        return [Pair(y, y0)], Split(_ratio(above, up), _ratio(below, down))

    def backward(self, layer: ReverseLayer, multiplier: Any, signals: Tensors) -> Signals:
        if not isinstance(multiplier, Split):
            return super().backward(layer, multiplier, signals)
        (p,) = layer.node.active_inputs
        both = Split(signals[0] * multiplier.above, signals[0] * multiplier.below)
        return [both if i == p else None for i in range(len(layer.inputs))]


def _ratio(effect: BackendTensor, cause: BackendTensor) -> BackendTensor:
    near = ops.absolute(cause) < NEAR
    return ops.where(near, ops.zeros_like(cause), effect / ops.where(near, ops.ones_like(cause), cause))


def _chosen(contribution: BackendTensor, above: BackendTensor, below: BackendTensor) -> BackendTensor:
    """What is meant for the side that a contribution is on; the mean where there is none."""
    return ops.where(contribution > 0, above, ops.where(contribution < 0, below, (above + below) / 2))


class SplitAffine(MultiplierRule):
    """An affine layer before an activation: w_ij dx_i goes to the side of its sign."""

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        (pair,) = inputs
        change, kernel = pair.change, layer.view.kernel()
        halves = [(side(change), side(kernel)) for side in (positive, negative)]
        sides = [layer.vjp(lambda u, v=v: layer.view.linear(u, v), u) for u, v in halves]
        (y,), (y0,) = layer(pair.x), layer(pair.x0)
        return [Pair(y, y0, up=sides[0][0] + sides[1][0])], (change, [pullback for _, pullback in sides])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        change, (through_positive, through_negative) = saved
        (signal,) = signals
        if not isinstance(signal, Split):
            return [through_positive(signal)[0] + through_negative(signal)[0]]
        of_rise = through_positive(signal.above)[0] + through_negative(signal.below)[0]
        of_fall = through_negative(signal.above)[0] + through_positive(signal.below)[0]
        return [_chosen(change, of_rise, of_fall)]


class SplitSum(MultiplierRule):
    """A sum of tensors before an activation: each operand's change goes to the side of its sign.

    Args:
        signs: The factor of each operand.
    """

    def __init__(self, signs: list[float]):
        self.signs = signs

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        shares = [factor * v.change for factor, v in zip(self.signs, inputs, strict=True)]
        (y,), (y0,) = layer(*at_input(inputs)), layer(*at_reference(inputs))
        up = sum((positive(s) for s in shares[1:]), positive(shares[0]))
        return [Pair(y, y0, up=up)], (shares, [v.x for v in inputs])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        (signal,) = signals
        split = signal if isinstance(signal, Split) else Split(signal, signal)
        return [
            sum_to(factor * _chosen(share, split.above, split.below), x)
            for factor, share, x in zip(self.signs, *saved, strict=True)
        ]
