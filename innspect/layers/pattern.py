"""Rules of PatternNet and PatternAttribution (Kindermans et al. 2017), in gradient form (METHODS 13.4)."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from innspect.graph.ir import Node
from innspect.graph.views.affine import Affine
from innspect.graph.views.diagonal import Diagonal
from innspect.layers.base import ReverseLayer, Rule, safe_divide
from innspect.layers.terms import AffineLayer
from innspect.types import Signals, Tensors


class PatternRule(Rule[Affine]):
    """The gradient of an affine layer with another kernel: the pattern a, or w times a.

    Args:
        kernels: Dict from layer path to the variable that holds its pattern; it is read at run time.
        path: The layer's path in that dict.
        times_kernel: False for PatternNet, True for PatternAttribution.
    """

    form = "gradient"

    def __init__(self, kernels: Mapping[str, keras.Variable], path: str, times_kernel: bool):
        self._kernels, self._path = kernels, path
        self.times_kernel = times_kernel

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), inputs[0]

    def backward(self, layer: AffineLayer, x: Any, signals: Tensors) -> Signals:
        kernel = ops.convert_to_tensor(self._kernels[self._path])
        if self.times_kernel:
            kernel = kernel * layer.view.kernel()
        _, pullback = layer.vjp(lambda u: layer.view.linear(u, kernel), x)
        return pullback(signals[0])

    def describe(self, layer: AffineLayer) -> str:
        return "kernel times pattern" if self.times_kernel else "pattern"


class DiagonalPattern(Rule):
    """A diagonal affine map y = s x + t, as batch normalization is: a kernel s whose pattern is 1 / s.

    So a network gives the same whether such maps are folded into their neighbours or not.
    """

    form = "gradient"

    def __init__(self, times_kernel: bool):
        self.times_kernel = times_kernel

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = layer.active_vjp(inputs)
        return outputs, (pullback([ops.ones_like(outputs[0])]), layer.node.active_inputs[0])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        slopes, position = saved
        slope = slopes[position]
        results: Signals = [None] * len(slopes)
        pattern = safe_divide(ops.ones_like(slope), slope)
        results[position] = signals[0] * (pattern * slope if self.times_kernel else pattern)
        return results


def is_diagonal(node: Node) -> bool:
    """Whether a node is y = s x + t with one input, elementwise, and s fixed."""
    return isinstance(node.view, Diagonal) or node.operation == "Negative"
