"""The cells of recurrent layers, written out: one step forward, with everything that its relevance will need.

Every cell here is one sum of two parts, an affine map of the input and the last state, and gates. What a step keeps:

    given   what the recurrent kernel of the candidate was given: h, or r h
    pre     the candidate's pre-activation, with its biases
    kept    the part of the state that stays: f c, or z h
    made    the part that is new: i g, or (1 - z) hh
    sum     kept + made
    reset, inner   the reset gate and the recurrent part it is applied to, r and q = h U + b

(METHODS 14; a SimpleRNN has `given` and `pre` only).
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import activations, ops
from keras import layers as L

from innspect import backend
from innspect.graph.ir import live
from innspect.graph.keras_internals import computes_as, computing
from innspect.types import BackendTensor, Tensors

Step = tuple[Tensors, dict[str, BackendTensor]]  # the new states, and what to keep
Biases = tuple[BackendTensor | None, BackendTensor | None]


class Cell:
    """The view of one Keras cell. `states` is how many state tensors it has; h is the first."""

    states: int = 1
    blocks: int = 1  # of the kernel's columns
    candidate: int = 0  # the block that carries the signal; the others make gates

    def __init__(self, cell: Any):
        self.cell, self.units = cell, cell.units

    def _block(self, matrix: BackendTensor) -> BackendTensor:
        start = self.candidate * self.units
        return matrix[..., start : start + self.units]

    def kernel(self) -> BackendTensor:
        """The candidate's columns of the kernel: (features, units)."""
        return self._block(live(self.cell.kernel))

    def recurrent_kernel(self) -> BackendTensor:
        return self._block(live(self.cell.recurrent_kernel))

    def biases(self) -> Biases:
        """The candidate's bias beside the kernel and beside the recurrent kernel; either may be None."""
        bias = live(getattr(self.cell, "bias", None))
        return None if bias is None else self._block(bias), None

    def _input_bias(self) -> BackendTensor | None:
        return live(getattr(self.cell, "bias", None))

    def drive(self, xs: BackendTensor) -> BackendTensor:
        """What the input gives to every block, for all steps at once: (steps, batch, blocks * units)."""
        driven, bias = backend.matmul(xs, live(self.cell.kernel)), self._input_bias()
        return driven if bias is None else driven + bias

    def step(self, driven: BackendTensor, states: Tensors, recurrent: BackendTensor) -> Step:
        """The new states and what to keep, from one step's drive, the states and the recurrent kernel."""
        raise NotImplementedError

    def stepper(self) -> Callable[[BackendTensor, Tensors], Step]:
        """`step` with its weights read once, before the loop."""
        recurrent = live(self.cell.recurrent_kernel)
        return lambda driven, states: self.step(driven, states, recurrent)


class SimpleRNN(Cell):
    def step(self, driven: BackendTensor, states: Tensors, recurrent: BackendTensor) -> Step:
        (h,) = states
        pre = driven + backend.matmul(h, recurrent)
        return [self.cell.activation(pre)], {"given": h, "pre": pre}


class LSTM(Cell):
    states, blocks, candidate = 2, 4, 2

    def step(self, driven: BackendTensor, states: Tensors, recurrent: BackendTensor) -> Step:
        h, c = states
        i, f, pre, o = ops.split(driven + backend.matmul(h, recurrent), 4, axis=-1)
        gate, activation = self.cell.recurrent_activation, self.cell.activation
        kept, made = gate(f) * c, gate(i) * activation(pre)
        new = kept + made
        return [gate(o) * activation(new), new], {"given": h, "pre": pre, "kept": kept, "made": made, "sum": new}


class GRU(Cell):
    """With `reset_after` the gate is applied to h U + b, else to h."""

    blocks, candidate = 3, 2

    def biases(self) -> Biases:
        bias = live(self.cell.bias)
        if bias is None:
            return None, None
        return (self._block(bias[0]), self._block(bias[1])) if self.cell.reset_after else (self._block(bias), None)

    def _input_bias(self) -> BackendTensor | None:
        bias = live(self.cell.bias)
        return bias[0] if bias is not None and self.cell.reset_after else bias

    def stepper(self) -> Callable[[BackendTensor, Tensors], Step]:
        recurrent, bias = live(self.cell.recurrent_kernel), live(self.cell.bias)
        after = bias[1] if bias is not None and self.cell.reset_after else None
        return lambda driven, states: self.step(driven, states, recurrent, after)

    def step(self, driven: BackendTensor, states: Tensors, recurrent: BackendTensor, bias: BackendTensor | None = None) -> Step:
        (h,), units = states, self.units
        gate, saved = self.cell.recurrent_activation, {}
        if self.cell.reset_after:
            inner = backend.matmul(h, recurrent)
            inner = inner if bias is None else inner + bias
            gates = gate(driven[:, : 2 * units] + inner[:, : 2 * units])
            reset, q = gates[:, units:], inner[:, 2 * units :]
            given, pre = h, driven[:, 2 * units :] + reset * q
            saved = {"reset": reset, "inner": q}
        else:
            gates = gate(driven[:, : 2 * units] + backend.matmul(h, recurrent[:, : 2 * units]))
            given = gates[:, units:] * h
            pre = driven[:, 2 * units :] + backend.matmul(given, recurrent[:, 2 * units :])
        update = gates[:, :units]
        kept, made = update * h, (1 - update) * self.cell.activation(pre)
        new = kept + made
        return [new], {"given": given, "pre": pre, "kept": kept, "made": made, "sum": new, **saved}


# cell -> (its view, names of what it computes with)
_VIEWS = {
    L.SimpleRNNCell: (SimpleRNN, computing(L.SimpleRNNCell)),
    L.LSTMCell: (LSTM, computing(L.LSTMCell)),
    L.GRUCell: (GRU, computing(L.GRUCell)),
}
NOT_ELEMENTWISE = (activations.softmax, activations.log_softmax)


def view_cells(cell: keras.Layer) -> list[Cell] | None:
    """The views of a cell, or of the cells stacked in it, from the input up; None where one computes something else.

    Their activations are to be elementwise.
    """
    if isinstance(cell, L.StackedRNNCells) and type(cell).call is L.StackedRNNCells.call:
        views: list[Cell] = []
        for each in cell.cells:
            found = view_cells(each)
            if found is None:
                return None
            views += found
        return views
    for known, (view, names) in _VIEWS.items():
        same = isinstance(cell, known) and computes_as(type(cell), known, names)
        if same:
            return [view(cell)]
    return None
