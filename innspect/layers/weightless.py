"""Relevance rules of everything that has no kernel: how relevance flows through the rest of a network."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from innspect.graph.views.activations import Extremum
from innspect.layers.base import ReverseLayer, Rule, Shares, safe_divide, shared_out, stabilised, vjp_at
from innspect.types import BackendTensor, Pullback, Signals, Tensors


class Pass(Rule):
    """One input, one output, one element each: relevance passes unchanged, as conservation demands (METHODS 1.5)."""

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), None

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        position = layer.node.active_inputs[0]
        return [signals[0] if i == position else None for i in range(len(layer.inputs))]


class Reindex(Rule):
    """Outputs are copies of inputs: each input gets the sum over its copies. Max pooling is one, given its switches."""

    support = "output"

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = _linear_vjp(layer, inputs)
        return outputs, (inputs, pullback)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        return saved[1](signals)

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        """Outputs that copy no input, such as padding, drop what arrives there."""
        active = layer.node.active_inputs
        fills = [[make(x) if p in active else x for p, x in enumerate(saved[0])] for make in (ops.ones_like, ops.zeros_like)]
        pairs = zip(signals, *(layer(*fill) for fill in fills), strict=True)
        return {"dropped": [s - s * ops.cast(one - zero, s.dtype) for s, one, zero in pairs]}


def _linear_vjp(layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Pullback]:
    """As `layer.active_vjp`, also for integers (ids on their way to an embedding), which have no gradient."""
    positions = layer.node.active_inputs
    if all("float" in keras.backend.standardize_dtype(inputs[p].dtype) for p in positions):
        return layer.active_vjp(inputs)

    def pullback(signals: Tensors) -> Signals:
        floats = [ops.cast(x, signals[0].dtype) if p in positions else x for p, x in enumerate(inputs)]
        return vjp_at(layer, floats, positions)[1](signals)

    return layer(*inputs), pullback


class Proportional(Rule):
    """A fixed linear or diagonal affine map: R_i = x_i J^T(R / stab(y)) (METHODS 4.9, 5.4)."""

    support = "input"

    def __init__(self, epsilon: float = 1e-7):
        self.epsilon = epsilon

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = layer.active_vjp(inputs)
        return outputs, (inputs, outputs, pullback)

    def _ratios(self, outputs: Tensors, signals: Tensors) -> Tensors:
        return [shared_out(r, y, self.epsilon) for r, y in zip(signals, outputs, strict=True)]

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        inputs, outputs, pullback = saved
        messages = pullback(self._ratios(outputs, signals))
        return [None if m is None else x * m for x, m in zip(inputs, messages, strict=True)]

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        _, outputs, _ = saved
        kept = [-r for r in self.backward(layer, saved, signals) if r is not None]
        shares: Shares = {"stabiliser": [], "dropped": [], "bias": kept}
        for y, signal, ratio in zip(outputs, signals, self._ratios(outputs, signals), strict=True):
            moved = stabilised(y, self.epsilon)
            shares["stabiliser"].append(ratio * (moved - y))
            shares["dropped"].append(ops.where(moved == 0, signal, ops.zeros_like(y)))
            shares["bias"].append(ratio * y)
        return shares


class _WithoutSigns(Rule):
    """Base: a sum whose every entry enters with weights of one sign, shared by what cannot be negative.

    With A the map and s_i the sign of the weights of entry i: R_i = v_i sum_j A_ij R_j / sum_i v_i A_ij, where every
    v_i A_ij >= 0; 0/0 is 0 (METHODS 4.9).
    """

    kinds = ("sum",)

    def _shared_by(self, x: BackendTensor, sign: BackendTensor) -> BackendTensor:
        """v, of the sign of the weights or 0, from an input and that sign."""
        raise NotImplementedError

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs, pullback = layer.active_vjp(inputs)
        weights = pullback([ops.ones_like(y) for y in outputs])
        values = [None if w is None else self._shared_by(x, ops.sign(w)) for x, w in zip(inputs, weights, strict=True)]
        there = [x if v is None else v for x, v in zip(inputs, values, strict=True)]
        origin = [x if v is None else ops.zeros_like(v) for x, v in zip(inputs, values, strict=True)]
        totals = [y - constant for y, constant in zip(layer(*there), layer(*origin), strict=True)]
        return outputs, (values, totals, pullback)

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        values, totals, pullback = saved
        messages = pullback([safe_divide(r, z) for r, z in zip(signals, totals, strict=True)])
        return [None if v is None else v * m for v, m in zip(values, messages, strict=True)]

    def shares(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Shares:
        """Where nothing is positive, all that arrives is dropped."""
        return {"dropped": [ops.where(z == 0, r, ops.zeros_like(r)) for r, z in zip(signals, saved[1], strict=True)]}


class EqualShares(_WithoutSigns):
    """Every summand gets the same, whatever it is: the flat and the w^2 rule at sums."""

    def _shared_by(self, x: BackendTensor, sign: BackendTensor) -> BackendTensor:
        return sign


class PositiveParts(_WithoutSigns):
    """The z+ rule at sums: of a + b, a gets a+ / (a+ + b+); a - b is a + (-b)."""

    support = "input"

    def _shared_by(self, x: BackendTensor, sign: BackendTensor) -> BackendTensor:
        return ops.where(x * sign > 0, x, ops.zeros_like(x))


class WinnerOfOperands(Rule):
    """Elementwise maximum or minimum of several tensors: the winner takes all, the first on ties."""

    kinds = ("winner",)
    support = "output"  # a winner of zero is an output of zero

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs = layer(*inputs)
        return outputs, (inputs, outputs[0])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        inputs, y = saved
        rest = signals[0]
        results: Signals = []
        for position, x in enumerate(inputs):
            wins = x == y
            taken = ops.where(wins, rest, ops.zeros_like(rest))
            rest = ops.where(wins, ops.zeros_like(rest), rest)
            results.append(sum_to(taken, x) if position in layer.node.active_inputs else None)
        return results


def sum_to(signal: BackendTensor, x: BackendTensor) -> BackendTensor:
    """Undo broadcasting: sum `signal` over the axes along which `x` was repeated."""
    extra = len(signal.shape) - len(x.shape)
    if extra:
        signal = ops.sum(signal, axis=tuple(range(extra)))
    axes = tuple(i for i, (a, b) in enumerate(zip(signal.shape, x.shape, strict=True)) if b == 1 and a != 1)
    return ops.sum(signal, axis=axes, keepdims=True) if axes else signal


class WinnerOfAxes(Rule[Extremum]):
    """Maximum or minimum over axes (global max pooling): the first winner in row-major order takes all."""

    support = "output"

    def forward(self, layer: ReverseLayer[Extremum], inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), inputs[0]

    def backward(self, layer: ReverseLayer[Extremum], x: Any, signals: Tensors) -> Signals:
        axis = layer.view.axis
        rank = len(x.shape)
        axes = tuple(range(rank)) if axis is None else tuple(a % rank for a in ([axis] if isinstance(axis, int) else axis))
        others = tuple(a for a in range(rank) if a not in axes)
        order = others + tuple(sorted(axes))
        lined = ops.transpose(x, order)
        flat = ops.reshape(lined, (*lined.shape[: len(others)], -1))
        pick = ops.argmax if layer.view.largest else ops.argmin
        hot = ops.one_hot(pick(flat, axis=-1), flat.shape[-1], dtype=flat.dtype)
        signal = ops.reshape(signals[0], (*flat.shape[:-1], 1))
        spread = ops.reshape(hot * signal, lined.shape)
        return [ops.transpose(spread, tuple(order.index(a) for a in range(rank)))]


class Product(Rule):
    """Elementwise product: all to the operand that is no gate, else an equal part to each (METHODS 14.1, 15.2)."""

    support = "output"

    def __init__(self, gates: Iterable[int] = ()):
        self.gate_operands = tuple(gates)

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), inputs

    def backward(self, layer: ReverseLayer, inputs: Any, signals: Tensors) -> Signals:
        active = layer.node.active_inputs
        takers = [p for p in active if p not in self.gate_operands]
        part = signals[0] / len(takers)
        return [sum_to(part, x) if p in takers else ops.zeros_like(x) if p in active else None for p, x in enumerate(inputs)]


class Bilinear(Proportional):
    """Matrix product of two tensors: the epsilon rule, then half to each operand (Achtibat et al. 2024, Prop. 3.3)."""

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        return [None if r is None else r / 2 for r in super().backward(layer, saved, signals)]


class SumOverEmbedding(Rule):
    """The relevance of an id is the sum over its embedding vector; it has the shape of the ids (METHODS 15.4)."""

    def __init__(self, reduce: str = "sum"):
        self.reduce = reduce

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        outputs = layer(*inputs)
        return outputs, (inputs, outputs[0])

    def backward(self, layer: ReverseLayer, saved: Any, signals: Tensors) -> Signals:
        inputs, vectors = saved
        signal = signals[0]
        if self.reduce == "norm":
            value = ops.sqrt(ops.sum(signal * signal, axis=-1))
        elif self.reduce == "inner":
            value = ops.sum(signal * vectors, axis=-1)
        else:
            value = ops.sum(signal, axis=-1)
        return [value if p in layer.node.active_inputs else None for p in range(len(inputs))]


class Passed(Rule):
    """What is said of an id goes to the value it stands for; of a crossing of several values, an equal part to each."""

    form = "gradient"

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), [x.shape for x in inputs]

    def backward(self, layer: ReverseLayer, shapes: Any, signals: Tensors) -> Signals:
        active = layer.node.active_inputs
        part = signals[0] / len(active) if len(active) > 1 else signals[0]
        return [ops.reshape(part, shape) if p in active else None for p, shape in enumerate(shapes)]
