"""What LRP rules for affine layers are made of: terms, in the VJP form that serves every layer kind (METHODS 1.3).

A rule is a few *terms*. A term shares a part of R among products of inputs u and kernels v:

    Z = sum_m linear(u_m, v_m) + b        s = part * R / stab(Z)        R_in += sum_m u_m * J_m^T s

The bias is only ever in the denominator, so its share is lost, and known.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from keras import ops

from innspect import backend
from innspect.checks import number
from innspect.graph.views.affine import Affine
from innspect.layers.base import ReverseLayer, Rule, Shares, shared_out, stabilised
from innspect.types import BackendTensor, Signals, Tensors

AffineLayer: TypeAlias = ReverseLayer[Affine]


def positive(t: BackendTensor) -> BackendTensor:
    return ops.relu(t)


def negative(t: BackendTensor) -> BackendTensor:
    return backend.minimum(t, ops.zeros((), t.dtype))


@dataclass
class Term:
    """One term of a rule, ready for its signal."""

    factors: list[BackendTensor | float]  # u_m
    z: BackendTensor  # the sum of linear(u_m, v_m)
    pullback: Callable[[BackendTensor], Tensors]  # from s to the J_m^T s
    bias: BackendTensor | None = None
    part: float = 1.0
    where: BackendTensor | None = None  # takes only the signal where this holds
    scale: float = 1.0  # of kernels and bias, and so of the stabiliser
    complete: bool = False  # z has the bias in it already

    @property
    def denominator(self) -> BackendTensor:
        return self.z if self.bias is None or self.complete else self.z + self.bias

    def offered(self, signal: BackendTensor) -> BackendTensor:
        """What is shared out of a signal."""
        taken = self._taken(signal)
        return taken if self.part == 1.0 else taken * self.part

    def _taken(self, signal: BackendTensor) -> BackendTensor:
        return signal if self.where is None else ops.where(self.where, signal, ops.zeros_like(signal))

    def stable(self, epsilon: float) -> BackendTensor:
        return stabilised(self.denominator, epsilon * self.scale)

    def ratio(self, signal: BackendTensor, epsilon: float) -> BackendTensor:
        ratio = shared_out(self._taken(signal), self.denominator, epsilon * self.scale)
        return ratio if self.part == 1.0 else backend.multiply_owned(ratio, self.part)

    def messages(self, signal: BackendTensor, epsilon: float) -> Iterable[tuple[BackendTensor, BackendTensor]]:
        """Pairs of a factor and what it is to be multiplied with."""
        return zip(self.factors, self.pullback(self.ratio(signal, epsilon)), strict=True)


def sum_of(tensors: Iterable[BackendTensor], add: Callable[..., BackendTensor] = operator.add) -> BackendTensor:
    total: BackendTensor = None
    for tensor in tensors:
        total = tensor if total is None else add(total, tensor)
    return total


def sum_of_products(pairs: Iterable[tuple[BackendTensor, BackendTensor]]) -> BackendTensor:
    """The sum of u * m, where each u is multiplied once and no m is read again."""
    grouped: dict[int, tuple[BackendTensor, Tensors]] = {}
    for u, m in pairs:
        grouped.setdefault(id(u), (u, []))[1].append(m)
    add, multiply = backend.add_owned, backend.multiply_owned
    return sum_of((multiply(sum_of(ms, add), u) for u, ms in grouped.values()), add)


def linear(
    layer: AffineLayer, u: BackendTensor, kernel: BackendTensor
) -> tuple[BackendTensor, Callable[[BackendTensor], Tensors]]:
    """The layer's linear map of u with a kernel in the place of its own, and its pullback."""
    return layer.vjp(lambda u: layer.view.linear(u, kernel), u)


def make_term(
    layer: AffineLayer,
    pieces: list[tuple[BackendTensor, BackendTensor]],
    bias: BackendTensor | None = None,
    complete: bool = False,
    **settings: Any,
) -> Term:
    """The term of (factor, kernel) pairs; `complete` adds the bias to its z at once."""

    def total(*us: BackendTensor) -> BackendTensor:
        return sum_of(layer.view.linear(u, v) for u, (_, v) in zip(us, pieces, strict=True))

    factors = [u for u, _ in pieces]
    z, pullback = layer.vjp(total, *factors)
    if complete and bias is not None:
        z = backend.add_owned(z, bias)
    return Term(factors, z, pullback, bias, complete=complete, **settings)


class AffineRule(Rule[Affine]):
    """Base of the rules for affine layers: a subclass gives `terms(layer, x, y)`.

    Args:
        epsilon: Stabiliser of the denominators.
        bias: True: the bias takes its share, which is lost; False: the denominators leave it out.
    """

    kinds = ("affine",)
    gates = True
    support: str | None = "input"

    def __init__(self, epsilon: float = 0.0, bias: bool | str = True):
        self.epsilon, self.bias = number("epsilon", epsilon), bias

    def forward(self, layer: AffineLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        (x,) = inputs
        y = layer.gate(layer(x)[0])
        return [y], (x, y)

    def backward(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Signals:
        terms = self.terms(layer, *saved)
        return [sum_of_products(pair for term in terms for pair in term.messages(signals[0], self.epsilon))]

    def terms(self, layer: AffineLayer, x: BackendTensor, y: BackendTensor) -> list[Term]:
        raise NotImplementedError

    def shares(self, layer: AffineLayer, saved: Any, signals: Tensors) -> Shares:
        result: Shares = {"bias": [], "stabiliser": [], "dropped": []}
        for term in self.terms(layer, *saved):
            denominator = term.denominator
            moved = term.stable(self.epsilon)
            offered, ratio = term.offered(signals[0]), term.ratio(signals[0], self.epsilon)
            if term.bias is not None:
                result["bias"].append(ratio * term.bias)
            result["stabiliser"].append(ratio * (moved - denominator))
            result["dropped"].append(ops.where(moved == 0, offered, ops.zeros_like(offered)))
        return result

    def _bias_of(self, layer: AffineLayer) -> BackendTensor | None:
        return layer.view.bias() if self.bias else None
