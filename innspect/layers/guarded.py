"""A rule where values are not finite: what is not used, such as the branch that a condition leaves out, does no harm.

Of a signal of zero nothing arrives, but computed it is zero times a slope, which may be infinite, or NaN. And a value that
is not finite has no slope; one that the output does not depend on may have any. This costs a second forward pass, so it is
for the samples alone whose output is finite and whose maps are not.
"""

from dataclasses import replace
from typing import Any

import keras
from keras import ops

from innspect.graph.ir import is_float
from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.deep_lift import Pair, Values, at_input, at_reference
from innspect.types import BackendTensor, Signals, Tensors

_ELEMENTWISE = ("pass", "product")


def numbers(x: BackendTensor) -> BackendTensor:
    """A tensor with 0 for what is not finite."""
    return ops.where(ops.isfinite(x), x, ops.zeros_like(x)) if is_float(x.dtype) else x


class Guarded(Rule):
    """Another rule, told numbers only: its layer is computed as it is, its signals at 0 for what is not finite.

    Args:
        rule: The other rule.
    """

    def __init__(self, rule: Rule):
        self.rule = rule
        self.form, self.needs_bounds = rule.form, rule.needs_bounds
        if rule.needs_bounds:
            self.low, self.high = rule.low, rule.high

    def forward(self, layer: ReverseLayer, inputs: Values) -> tuple[Tensors, Any]:
        made, saved = self.rule.forward(_in_numbers(layer), [_numbers(v) for v in inputs])
        if not any(isinstance(v, Pair) for v in inputs):
            return layer(*inputs), saved
        real = zip(layer(*at_input(inputs)), layer(*at_reference(inputs)), made, strict=True)
        return [Pair(y, y0, each.up) for y, y0, each in real], saved

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        found = self.rule.backward(_in_numbers(layer), saved, signals)
        (signal, *others) = signals
        if layer.node.kind not in _ELEMENTWISE or others or not hasattr(signal, "ndim"):
            return found
        return [s if s is None or s.shape != signal.shape else _where_sent(signal, s) for s in found]

    def describe(self, layer: ReverseLayer) -> str:
        return self.rule.describe(layer)


def _in_numbers(layer: ReverseLayer) -> ReverseLayer:
    """A layer that makes numbers only, as those will be told that read them."""
    function = layer.node.function

    def run(*args: Any, **kwargs: Any) -> Any:
        return keras.tree.map_structure(numbers, function(*args, **kwargs))

    return replace(layer, node=layer.node.but(function=run))


def _numbers(value: Any) -> Any:
    if not isinstance(value, Pair):
        return keras.tree.map_structure(numbers, value) if hasattr(value, "dtype") else value
    return Pair(numbers(value.x), numbers(value.x0), None if value.up is None else numbers(value.up))


def _where_sent(signal: BackendTensor, made: BackendTensor) -> BackendTensor:
    """What a signal became, where there is one."""
    return ops.where(signal == 0, ops.zeros_like(made), made)
