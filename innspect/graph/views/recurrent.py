"""The view of a recurrent layer: its cells, and how they are run."""

from typing import Any

import keras
from keras import ops

from innspect.graph.views.cells import Cell
from innspect.types import BackendTensor, Nest, Tensors


class RecurrentView:
    """What the rule asks of a recurrent layer: its cells, from the input up, and how they are run.

    The node's arguments are the sequence (batch, steps, features), the list of initial states or None, and the mask
    or None; its outputs are the output and, with `return_state`, the last states.
    """

    def __init__(self, layer: Any, cells: list[Cell]):
        self.layer, self.cells = layer, cells

    def zero_start(self, states: Nest | None) -> bool:
        """Whether the first states are zeros that nobody has given."""
        return states is None and not self.layer.stateful

    def initial(self, states: Nest | None, x: BackendTensor) -> Tensors:
        """The states of all cells in one list, from those that were given."""
        if states is None and self.layer.stateful:
            states = self.layer.states
        if states is None:
            return [ops.zeros((x.shape[0], c.units), x.dtype) for c in self.cells for _ in range(c.states)]
        return [ops.cast(ops.convert_to_tensor(s), x.dtype) for s in keras.tree.flatten(states)]
