"""Relevance through time: LRP for LSTM, GRU and SimpleRNN layers (Arras et al. 2017, 2019; METHODS 14).

Gates get nothing; the signal they let pass takes all. The two sums of a cell have the epsilon rule: the state
(kept + made) and the candidate's pre-activation.
"""

from typing import Any

import keras
from keras import ops

from innspect import backend
from innspect.graph.ir import Node, Ref
from innspect.graph.views.recurrent import RecurrentView
from innspect.layers.base import ReverseLayer, Rule, Shares, safe_divide, stabilised
from innspect.layers.unrolled import Walk, send_back, send_back_all
from innspect.types import BackendTensor, Signals, Tensors


class Recurrent(Rule[RecurrentView]):
    """The epsilon rule on the sums of a recurrent layer; gates get nothing.

    Args:
        epsilon: Stabiliser of both sums.
        bias: True: biases take their share, which is lost; False: the denominators leave them out; "distribute": biases
            and stabilisers are shared equally among the incoming units, so that the relevance of the inputs sums to
            what arrived (a check; METHODS 4.10). Initial states of zero are no inputs, and take no share.
        support: As in `Rule`.
    """

    def __init__(self, epsilon: float = 1e-7, bias: bool | str = True, support: str | None = "input"):
        self.epsilon, self.bias, self._support = epsilon, bias, support

    @property
    def support(self) -> str | None:  # type: ignore[override]  # it depends on the arguments
        return None if self.bias == "distribute" else self._support

    # ------------------------------------------------------------------ forward
    def forward(self, layer: ReverseLayer[RecurrentView], inputs: Tensors) -> tuple[Tensors, Any]:
        view = layer.view
        (x, states, mask), _ = layer.node.bind(inputs)
        xs = ops.transpose(x, (1, 0, 2))
        valid = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)
        if view.layer.go_backwards:
            xs, valid = ops.flip(xs, axis=0), None if valid is None else ops.flip(valid, axis=0)
        first, place = view.initial(states, x), 0
        walks: list[Walk] = []
        for cell in view.cells:
            walks.append(Walk(cell, xs, first[place : place + cell.states], valid))
            xs, place = walks[-1].hidden, place + cell.states
        gives = _gives(view.layer, valid)
        outputs = walks[-1].hidden if gives is None else ops.where(gives, walks[-1].hidden, ops.zeros_like(xs))
        outputs = ops.transpose(outputs, (1, 0, 2)) if view.layer.return_sequences else outputs[-1]
        last = [s for walk in walks for s in walk.states] if view.layer.return_state else []
        return [outputs, *last], (walks, gives, view.zero_start(states))

    # ------------------------------------------------------------------ backward
    def backward(self, layer: ReverseLayer[RecurrentView], saved: Any, signals: Tensors) -> Signals:
        x, states, _ = self._send(layer, saved, signals)
        values = [x, *([None] if layer.node.args[1] is None else states), None]
        leaves = keras.tree.flatten(layer.node.args)
        return [value for leaf, value in zip(leaves, values, strict=True) if isinstance(leaf, Ref)]

    def _send(
        self, layer: ReverseLayer[RecurrentView], saved: Any, signals: Tensors
    ) -> tuple[BackendTensor, Tensors, list[tuple[Walk, BackendTensor | None]]]:
        """The relevance of the input and of the first states, and what every walk received: [(walk, totals)]."""
        walks, gives, zero_start = saved
        view = layer.view
        output, last = signals[0], list(signals[1:])
        if view.layer.return_sequences:
            output = ops.transpose(output, (1, 0, 2))
        if gives is not None:
            output = ops.where(gives if view.layer.return_sequences else gives[-1], output, ops.zeros_like(output))
        arriving, end = (output, None) if view.layer.return_sequences else (None, output)
        firsts: Tensors = []
        books: list[tuple[Walk, BackendTensor | None]] = []
        for walk in reversed(walks):
            given = [last.pop() for _ in range(walk.cell.states)][::-1] if last else [None] * walk.cell.states
            given[0] = end if given[0] is None else given[0] if end is None else given[0] + end
            send = send_back_all if self.bias == "distribute" else send_back
            arriving, states, totals = send(self, walk, arriving, given, zero_start)
            firsts, end = states + firsts, None
            books.append((walk, totals))
        if view.layer.go_backwards:
            arriving = ops.flip(arriving, axis=0)
        return ops.transpose(arriving, (1, 0, 2)), firsts, books

    # ------------------------------------------------------------------ books
    def shares(self, layer: ReverseLayer[RecurrentView], saved: Any, signals: Tensors) -> Shares:
        _, states, books = self._send(layer, saved, signals)
        gives = saved[1]
        result: Shares = {"bias": [], "stabiliser": [], "dropped": []}
        leaves = [] if layer.node.args[1] is None else keras.tree.flatten(layer.node.args[1])
        active = {layer.node.inputs[p] for p in layer.node.active_inputs}
        taken = [isinstance(leaf, Ref) and leaf.tensor in active for leaf in leaves] or [False] * len(states)
        result["dropped"] += [s for s, took in zip(states, taken, strict=True) if not took]
        if gives is not None:
            output = signals[0]
            shown = ops.transpose(gives, (1, 0, 2)) if layer.view.layer.return_sequences else gives[-1]
            result["dropped"].append(ops.where(shown, ops.zeros_like(output), output))
        for walk, totals in books:
            for name, tensors in self._lost(walk, totals).items():
                result[name] += [ops.transpose(t, (1, 0, 2)) for t in tensors]
        return result

    def _lost(self, walk: Walk, totals: BackendTensor | None) -> Shares:
        """What a plain walk back loses at each of its sums."""
        lost: Shares = {"bias": [], "stabiliser": [], "dropped": []}

        def account(arrived: BackendTensor, z: BackendTensor, bias: BackendTensor | None) -> BackendTensor:
            moved = stabilised(z, self.epsilon)
            ratio = safe_divide(arrived, moved)
            lost["stabiliser"].append(ratio * (moved - z))
            lost["dropped"].append(ops.where(moved == 0, arrived, ops.zeros_like(arrived)))
            if bias is not None and self.bias:
                lost["bias"].append(ratio * bias)
            return ratio

        if totals is None:
            return lost
        beside, behind = walk.cell.biases()
        sums = self.sums(walk)
        s = totals if walk.valid is None else ops.where(walk.valid, totals, ops.zeros_like(totals))
        if "sum" in sums:
            s = account(s, sums["sum"], None) * sums["made"]
        s = account(s, sums["pre"], beside)
        if "inner" in sums:
            account(s * sums["reset"] * sums["inner"], sums["inner"], behind)
        return lost

    def sums(self, walk: Walk) -> dict[str, BackendTensor]:
        """What a walk saved, with the biases taken out of the sums where the rule leaves them out."""
        saved, (beside, behind) = dict(walk.saved), walk.cell.biases()
        if self.bias:
            return saved
        if beside is not None:
            saved["pre"] = saved["pre"] - beside
        if behind is not None:
            saved["pre"], saved["inner"] = saved["pre"] - saved["reset"] * behind, saved["inner"] - behind
        return saved

    def describe(self, layer: ReverseLayer[RecurrentView]) -> str:
        return " + ".join(type(cell).__name__ for cell in layer.view.cells)


def _gives(layer: keras.Layer, valid: BackendTensor | None) -> BackendTensor | None:
    """The steps (steps, batch, 1) whose output is a state; None where all are. Elsewhere the output is a constant 0.

    On JAX, Keras gives the initial state before the first valid step, and elsewhere, or unrolled, 0; unrolled it forgets
    `zero_output_for_mask` there.
    """
    if valid is None:
        return None
    if layer.zero_output_for_mask and not (backend.GIVES_INITIAL_STATE and layer.unroll):
        return valid
    return None if backend.GIVES_INITIAL_STATE and not layer.unroll else _started(valid)


def _started(valid: BackendTensor) -> BackendTensor:
    """Whether this step or one before it is valid."""
    return ops.cumsum(ops.cast(valid, "int32"), axis=0) > 0


def recurrent_rule(rule: Any, node: Node) -> Recurrent:
    """The rule of a recurrent node from the epsilon rule of dense layers."""
    alone = len(node.active_inputs) == 1
    return Recurrent(rule.epsilon, rule.bias, "input" if alone else None)
