"""LRP rules for one affine layer (METHODS 4), as the terms that they are sums of."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import Number, number
from innspect.layers.base import Shares
from innspect.layers.terms import AffineLayer, AffineRule, Term, linear, make_term, negative, positive, sum_of
from innspect.types import BackendTensor, Signals, Tensors


class Gamma(AffineRule):
    """LRP-gamma (Montavon et al. 2019; Andeol et al. 2021 for signed inputs): kernels with their favourable side enlarged.

    The sign of the layer's real z, bias included, says which side is favourable; where it is 0 nothing is passed.
    """

    paper = "Montavon et al. 2019"

    def __init__(self, gamma: float = 0.25, epsilon: float = 1e-7, bias: bool = True):
        super().__init__(epsilon, bias)
        self.gamma = number("gamma", gamma)

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        if self._one_sided(layer):
            return super().forward(layer, inputs)
        (x,) = inputs
        z, pullback = linear(layer, x, layer.view.kernel())
        bias = layer.view.bias()
        real = z if bias is None else z + bias
        return [layer.gate(real)], (x, real, z, pullback)

    def terms(self, layer: AffineLayer, x: BackendTensor, real: BackendTensor, *linear: Any) -> list[Term]:
        return [self._enlarged(layer, x) if self._one_sided(layer) else self._signed(layer, x, real, *linear)]

    def _one_sided(self, layer: AffineLayer) -> bool:
        """Whether all contributions of a kernel's sign have that sign, and relevance is only where z > 0."""
        return layer.nonnegative and layer.gated

    def _enlarged(self, layer: AffineLayer, x: BackendTensor) -> Term:
        """The term of k + gamma k+, all of it divided by 1 + gamma, which changes no share."""
        slope = 1 / (1 + self.gamma)
        kernel, bias = layer.view.kernel(), self._bias_of(layer)
        enlarged = [(x, backend.leaky_relu(kernel, slope))]
        return make_term(layer, enlarged, None if bias is None else backend.leaky_relu(bias, slope), scale=slope)

    def _signed(
        self,
        layer: AffineLayer,
        x: BackendTensor,
        real: BackendTensor,
        z: BackendTensor,
        pullback: Callable[[BackendTensor], Tensors],
    ) -> Term:
        """The term of signed inputs, from two products in the place of four.

        The contributions of sign s sum to (z + s |x| |k|) / 2, so z + gamma times these is (1 + g) z + g s |x| |k| with
        g = gamma / 2; and likewise on the way back.
        """
        side, half = ops.sign(real), self.gamma / 2
        sizes = ops.absolute(x)
        all_sizes, back = linear(layer, sizes, ops.absolute(layer.view.kernel()))
        bias = self._bias_of(layer)

        def messages(ratio: BackendTensor) -> Tensors:
            return [pullback(ratio)[0] * (1 + half), back(ratio * side)[0] * half]

        return Term(
            [x, sizes],
            z * (1 + half) + side * all_sizes * half,
            messages,
            None if bias is None else bias * (1 + half) + side * ops.absolute(bias) * half,
            where=side != 0,
        )

    def shares(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Shares:
        result = super().shares(layer, saved, signals)
        result["dropped"].append(ops.where(saved[1] == 0, signals[0], ops.zeros_like(signals[0])))
        return result

    def describe(self, layer: AffineLayer) -> str:
        return "one-sided" if self._one_sided(layer) else "two products"


class AlphaBeta(AffineRule):
    """LRP-alpha-beta (Bach et al. 2015, eq. 60), for inputs of any sign.

    R_i = sum_j (alpha z_ij+ / z_j+  -  beta z_ij- / z_j-) R_j with alpha - beta = 1; an empty side gives nothing.

    Args:
        alpha, beta: With alpha - beta = 1 and beta >= 0; either may be left out.
        bias: True splits it by sign (Bach); "both" puts it whole in both denominators, as iNNvestigate does; False
            leaves it out.
    """

    def __init__(self, alpha: float | None = None, beta: float | None = None, epsilon: float = 0.0, bias: bool | str = True):
        super().__init__(epsilon, bias)
        received = f"alpha={alpha}, beta={beta}"
        for name, value in (("alpha", alpha), ("beta", beta)):
            Number(signed=True).check_given(name, value)
        if alpha is None:
            alpha = 2 if beta is None else beta + 1
        self.alpha, self.beta = alpha, alpha - 1 if beta is None else beta
        if not abs(self.alpha - self.beta - 1) <= 1e-9 or self.beta < 0:
            raise ValueError(f"`alpha` and `beta` must satisfy alpha - beta = 1 and beta >= 0. Received: {received}")

    def _biases(self, layer: AffineLayer) -> tuple[BackendTensor | None, BackendTensor | None]:
        bias = self._bias_of(layer)
        if bias is None or self.bias == "both":
            return bias, bias
        return positive(bias), negative(bias)

    def _side(self, layer: AffineLayer, x: BackendTensor, positive_side: bool) -> Term:
        kernel = layer.view.kernel()
        same, other = (positive, negative) if positive_side else (negative, positive)
        if layer.nonnegative:
            pieces = [(x, same(kernel))]
        else:
            pieces = [(positive(x), same(kernel)), (negative(x), other(kernel))]
        bias = self._biases(layer)[0 if positive_side else 1]
        # Where the bias is split between the sides, they sum to the layer's output.
        return make_term(layer, pieces, bias, self.bias is True, part=float(self.alpha if positive_side else -self.beta))

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        if not self.beta:
            return super().forward(layer, inputs)
        (x,) = inputs
        sides = [self._side(layer, x, True), self._side(layer, x, False)]
        z, bias = sum_of(term.z for term in sides), layer.view.bias()
        return [layer.gate(z if bias is None or self.bias is True else z + bias)], (sides, None)

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        return x if self.beta else [self._side(layer, x, True)]

    def describe(self, layer: AffineLayer) -> str:
        return "one-sided" if layer.nonnegative else "four quadrants"


class AlphaBetaX(AffineRule):
    """LRP-alpha-beta with a weight for each quadrant of inputs and weights, as in iNNvestigate's `AlphaBetaXRule`.

    R_i = sum_j (a0 x+w+ / Z++  +  a1 x-w- / Z--  -  b0 x+w- / Z+-  -  b1 x-w+ / Z-+) R_j, where x+w+ stands for x_i+ w_ij+, and
    Z++ for the sum of these over i with that part of the bias that has their sign. Where inputs are not negative it is the
    alpha-beta rule.

    Args:
        alpha: (a0, a1), of the positive contributions.
        beta: (b0, b1), of the negative ones.
        bias: True, or False to leave it out.
    """

    def __init__(
        self,
        alpha: tuple[float, float] = (0.5, 0.5),
        beta: tuple[float, float] = (0.5, 0.5),
        epsilon: float = 0.0,
        bias: bool = True,
    ):
        super().__init__(epsilon, bias)
        for name, pair in (("alpha", alpha), ("beta", beta)):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise ValueError(f"`{name}` must be a pair of numbers. Received: {pair!r}")
            for value in pair:
                Number(signed=True).check(name, value)
        self.alpha, self.beta = tuple(alpha), tuple(beta)

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        kernel, bias = layer.view.kernel(), self._bias_of(layer)
        (a0, a1), (b0, b1) = self.alpha, self.beta
        quadrants = [(a0, positive, positive), (-b0, positive, negative)]
        if not layer.nonnegative:
            quadrants += [(a1, negative, negative), (-b1, negative, positive)]
        made = []
        for part, of_inputs, of_weights in quadrants:
            if part:
                same = positive if of_inputs is of_weights else negative
                shifted = None if bias is None else same(bias)
                made.append(make_term(layer, [(of_inputs(x), of_weights(kernel))], shifted, part=float(part)))
        return made

    def backward(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Signals:
        made = super().backward(layer, saved, signals)
        return [ops.zeros_like(saved[0])] if made[0] is None else made  # all weights are 0

    def shares(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Shares:
        """With what is made, or lost, where the weights do not sum to 1."""
        result = super().shares(layer, saved, signals)
        offered = self.alpha[0] - self.beta[0] + (0 if layer.nonnegative else self.alpha[1] - self.beta[1])
        result["dropped"].append(signals[0] * float(1 - offered))
        return result


class ZPlus(AlphaBeta):
    """The z+ rule (Montavon et al. 2017): alpha = 1, beta = 0, without the bias."""

    paper = "Montavon et al. 2017"

    def __init__(self, epsilon: float = 0.0):
        super().__init__(1, 0, epsilon, bias=False)


class ZPlusFast(AffineRule):
    """R_i = sum_j x_i w_ij+ / sum_i x_i w_ij+ R_j with x as it is: the z+ rule where x >= 0."""

    paper = "Montavon et al. 2017"

    def __init__(self, epsilon: float = 0.0):
        super().__init__(epsilon, bias=False)

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        return [make_term(layer, [(x, positive(layer.view.kernel()))])]


class _DataFree(AffineRule):
    """Rules whose shares do not depend on the input: R_i = sum_j v_ij / sum_i v_ij R_j."""

    support = None

    def __init__(self) -> None:
        super().__init__(bias=False)

    def _weights(self, kernel: BackendTensor) -> BackendTensor:
        raise NotImplementedError

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        weights = self._weights(layer.view.kernel())
        denominator = layer.view.linear(ops.ones_like(x[:1]), weights)  # padding is not counted
        _, pullback = linear(layer, x, weights)
        return [Term([1.0], denominator, pullback)]


class WSquare(_DataFree):
    """The w^2 rule (Montavon et al. 2017), for unbounded inputs: R_i = sum_j w_ij^2 / sum_i w_ij^2 R_j."""

    paper = "Montavon et al. 2017"

    def _weights(self, kernel: BackendTensor) -> BackendTensor:
        return kernel * kernel


class Flat(_DataFree):
    """The flat rule (Lapuschkin et al. 2019): every input of a receptive field gets the same."""

    paper = "Lapuschkin et al. 2019"

    def _weights(self, kernel: BackendTensor) -> BackendTensor:
        return ops.ones_like(kernel)


class Bounded(AffineRule):
    """The z-box rule for inputs between `low` and `high` (Montavon et al. 2017).

    R_i = sum_j (x_i w_ij - l_i w_ij+ - h_i w_ij-) / sum_i (x_i w_ij - l_i w_ij+ - h_i w_ij-) R_j

    Args:
        low, high: Bounds of the model's input, in its own units: a number, one number a channel, or an array of the
            input's shape. Where preprocessing layers come before this layer the bounds are taken through them.
    """

    needs_bounds = True
    support = None

    def __init__(self, low: float | np.ndarray, high: float | np.ndarray, epsilon: float = 0.0):
        super().__init__(epsilon, bias=False)
        self.low, self.high = low, high

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        assert layer.bounds is not None  # as `needs_bounds` asks
        kernel = layer.view.kernel()
        low, high = (ops.broadcast_to(ops.cast(b, x.dtype), x.shape) for b in layer.bounds)
        return [make_term(layer, [(x, kernel), (-low, positive(kernel)), (-high, negative(kernel))])]
