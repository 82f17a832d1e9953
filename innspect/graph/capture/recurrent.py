"""How recurrent layers become nodes: one node for a layer with known cells, the steps of a cell of the user's own.

Bidirectional layers open to their two halves and the merge of them.
"""

import keras
from keras import layers as L
from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.recognition import Tried
from innspect.graph.capture.registry import lowers
from innspect.graph.capture.untouched import called
from innspect.graph.ir import live, widen
from innspect.graph.keras_internals import is_of_keras
from innspect.graph.views.cells import NOT_ELEMENTWISE, view_cells
from innspect.graph.views.recurrent import RecurrentView

lowers(L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D)(
    lambda trace, layer, *args, **kwargs: trace.leaf(layer, *args, kind="recurrent", **kwargs)
)


@lowers(L.RNN, L.SimpleRNN, L.LSTM, L.GRU)
def _recurrent(trace, layer, sequences, initial_state=None, mask=None, **_):
    if keras.tree.is_nested(mask):
        mask = keras.tree.flatten(mask)[0]
    if initial_state is not None and not keras.tree.is_nested(initial_state):
        initial_state = [initial_state]
    cells = view_cells(layer.cell)
    if cells is not None and not all(map(_is_elementwise, cells)):
        cells = None
    if cells is None and isinstance(sequences.shape[1], int):
        return trace.attempt(
            lambda: _steps(trace, layer, sequences, initial_state, mask),
            lambda error: _whole(trace, layer, sequences, initial_state, mask, None),
        )
    view = None if cells is None else RecurrentView(layer, cells)
    return _whole(trace, layer, sequences, initial_state, mask, view)


def _is_elementwise(view):
    """Whether the activations of a cell are elementwise."""
    functions = [f for name in ("activation", "recurrent_activation") if (f := getattr(view.cell, name, None)) is not None]
    return all(f not in NOT_ELEMENTWISE and (is_of_keras(f) or _shown(f, view.units)) for f in functions)


def _shown(function, units):
    return Tried(function, (None, units), widen(keras.config.floatx())).elementwise


def _whole(trace, layer, sequences, initial_state, mask, view):
    """One node that calls the layer, with the arguments in the order that the rule knows."""
    run, name = called(layer), type(layer).__name__

    def call(sequences, initial_state, mask):
        return run(sequences, initial_state=initial_state, mask=mask, training=False)

    spec = layer.compute_output_spec(sequences, initial_state=initial_state, mask=mask)
    return trace.emit("recurrent", call, sequences, initial_state, mask, spec=spec, layer=layer, view=view, operation=name)


def _steps(trace, layer, sequences, initial_state, mask):
    """A cell of the user's own, called once for every step: what it computes becomes nodes."""
    closed = len(trace.unopened)
    states = initial_state or _first_states(trace, layer, sequences)
    inputs = ops.unstack(sequences, axis=1)
    masks = [None] * len(inputs) if mask is None else [ops.expand_dims(m, -1) for m in ops.unstack(mask, axis=1)]
    if layer.go_backwards:
        inputs, masks = inputs[::-1], masks[::-1]
    outputs: list[keras.KerasTensor] = []
    for x, valid in zip(inputs, masks, strict=True):
        try:
            y, new = layer.cell(x, states, training=False)
        except NotAnalyzeableModelError as error:  # by itself; as part of the layer it may be left whole
            raise ValueError("its cell cannot be opened") from error
        new = new if keras.tree.is_nested(new) else [new]
        if valid is not None:
            before = outputs[-1] if outputs and not layer.zero_output_for_mask else ops.zeros_like(y)
            y = ops.where(valid, y, before)
            new = keras.tree.map_structure(lambda a, b, valid=valid: ops.where(valid, a, b), list(new), list(states))
        outputs.append(y)
        states = new
    if len(trace.unopened) > closed:
        raise ValueError("its cell cannot be opened")
    output = ops.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return (output, *states) if layer.return_state else output


def _first_states(trace, layer, sequences):
    """The states that the layer starts with, computed when it runs."""

    def first(x):
        states = layer.states if layer.stateful else layer.get_initial_state(batch_size=ops.shape(x)[0])
        return [live(s) for s in keras.tree.flatten(states)]

    sizes = keras.tree.flatten(layer.state_size)
    spec = [keras.KerasTensor((sequences.shape[0], size), dtype=layer.compute_dtype) for size in sizes]
    flat = trace.emit("constant", first, sequences, spec=spec, name="start", layer=layer, operation="InitialState")
    return keras.tree.pack_sequence_as(list(layer.state_size), flat)


@lowers(L.Bidirectional)
def _bidirectional(trace, layer, sequences, initial_state=None, mask=None, **_):
    states = [None, None]
    if initial_state is not None:
        half = len(initial_state) // 2
        states = [initial_state[:half], initial_state[half:]]
    halves = (layer.forward_layer, layer.backward_layer)
    made = [one(sequences, initial_state=first, mask=mask) for one, first in zip(halves, states, strict=True)]
    last = ()
    if layer.return_state:
        last = tuple(s for results in made for s in results[1:])
        made = [results[0] for results in made]
    y, backwards = made
    if layer.return_sequences:
        backwards = ops.flip(backwards, axis=1)
    if layer.merge_mode is None:
        return (y, backwards, *last)
    output = _MERGES[layer.merge_mode](trace, y, backwards)
    return (output, *last) if layer.return_state else output


def _average(trace, y, backwards):
    return trace.emit("sum", lambda a, b: (a + b) / 2, y, backwards, name="average", operation="Average")


_MERGES = {
    "concat": lambda trace, y, backwards: ops.concatenate([y, backwards], axis=-1),
    "sum": lambda trace, y, backwards: ops.add(y, backwards),
    "ave": _average,
    "mul": lambda trace, y, backwards: ops.multiply(y, backwards),
}
