"""LRP-epsilon for one affine layer, and its forms that lose nothing or that scale their stabiliser (METHODS 4)."""

from collections.abc import Callable
from typing import Any

from keras import ops

from innspect import backend
from innspect.checks import number
from innspect.layers.base import Shares, safe_divide, stabilised
from innspect.layers.terms import AffineLayer, AffineRule, Term, linear
from innspect.types import BackendTensor, Signals, Tensors


class Epsilon(AffineRule):
    """LRP-epsilon (Bach et al. 2015, eq. 58); with epsilon=0 LRP-0, the z-rule (eq. 56).

    R_i = sum_j x_i w_ij / (z_j + epsilon sign(z_j)) R_j
    """

    def __init__(self, epsilon: float = 1e-7, bias: bool | str = True):
        super().__init__(epsilon, bias)

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        (x,) = inputs
        kernel, bias = layer.view.kernel(), layer.view.bias()
        z, pullback = linear(layer, x, kernel)
        # Where relevance is not zero the gated output equals the denominator: only without the bias must z be kept.
        if self.bias and bias is not None:
            z = backend.add_owned(z, bias)
        y = layer.gate(z if self.bias or bias is None else z + bias)
        return [y], (x, y if self.bias or bias is None else z, pullback)

    def terms(  # type: ignore[override]  # its way back is known, and saved
        self, layer: AffineLayer, x: BackendTensor, denominator: BackendTensor, pullback: Callable[[BackendTensor], Tensors]
    ) -> list[Term]:
        return [Term([x], denominator, pullback, self._bias_of(layer), complete=True)]

    def backward(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Signals:
        if not (layer.gated and self.bias):
            return super().backward(layer, saved, signals)
        x, y, pullback = saved  # y >= 0: the sign needs no test
        y = backend.after(y, signals[0])
        ratio = signals[0] / (y + self.epsilon) if self.epsilon else safe_divide(signals[0], y)
        return [x * pullback(ratio)[0]]


class EpsilonDistribute(Epsilon):
    """LRP-epsilon in which every one of the N inputs of a neuron takes an equal share of its bias and stabiliser.

    R_i = sum_j (x_i w_ij + (b_j + epsilon sign(z_j)) / N_j) / (z_j + epsilon sign(z_j)) R_j

    The sanity check of Bach et al. (2015) and Arras et al. (2017): relevance is conserved exactly, but inputs of zero
    get some of it.
    """

    support = None

    def __init__(self, epsilon: float = 1e-7):
        super().__init__(epsilon, bias="distribute")

    def backward(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Signals:
        x, z, pullback = saved
        moved, bias = stabilised(z, self.epsilon), layer.view.bias()
        ratio = safe_divide(signals[0], moved)
        shared = ratio * (moved - z if bias is None else moved - z + bias)
        ones = ops.ones_like(layer.view.kernel())
        counts, spread = linear(layer, ops.ones_like(x), ones)
        return [x * pullback(ratio)[0] + spread(safe_divide(shared, counts))[0]]

    def shares(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Shares:
        moved = stabilised(saved[1], self.epsilon)
        return {"dropped": [ops.where(moved == 0, signals[0], ops.zeros_like(moved))]}


class ScaledEpsilon(AffineRule):
    """LRP-epsilon with epsilon = factor times the root mean square of z over the layer, for each sample by itself.

    A number as epsilon means something else for every layer; this one absorbs the same share of weak and contradictory
    evidence everywhere. Montavon et al. (2019) use a factor of 0.25 for the middle layers of VGG16.

    Args:
        factor: Of the root mean square.
        bias: True: the bias takes its share, and is part of z; False: the denominators leave it out.
    """

    def __init__(self, factor: float = 0.25, bias: bool = True):
        super().__init__(bias=bias)
        self.factor = number("epsilon", factor)

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        (x,) = inputs
        kernel, bias = layer.view.kernel(), layer.view.bias()
        z, pullback = linear(layer, x, kernel)
        real = z if bias is None else z + bias
        shared = real if self.bias else z
        epsilon = self.factor * ops.sqrt(backend.mean(ops.square(shared), axis=list(range(1, len(z.shape))), keepdims=True))
        return [layer.gate(real)], (x, shared, stabilised(shared, epsilon), pullback)

    def backward(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Signals:
        x, _, moved, pullback = saved
        return [x * pullback(safe_divide(signals[0], moved))[0]]

    def shares(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Shares:
        _, z, moved, _ = saved
        ratio, bias = safe_divide(signals[0], moved), self._bias_of(layer)
        return {
            "bias": [] if bias is None else [ratio * bias],
            "stabiliser": [ratio * (moved - z)],
            "dropped": [ops.where(moved == 0, signals[0], ops.zeros_like(moved))],
        }
