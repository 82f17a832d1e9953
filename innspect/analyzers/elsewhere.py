"""Averaging of methods that have a way of their own, such as class activation maps and occlusion, over many points.

They are handed the points whole, as arrays of more samples, and what they find is reduced.
"""

import copy

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.data import on_device
from innspect.analyzers.gradient import Input, Random
from innspect.analyzers.selection import Selection


class BatchElsewhere:
    """As `averaging.Batch`, for an inner analyzer that is run through its own `_explain_batch`."""

    def __init__(self, owner, inputs, rows, chosen, number, at, several):
        self.owner, self.inputs, self.number, self.at, self.several = owner, inputs, number, at, several
        self.arrays = [a[rows] for a in inputs.arrays]
        self.xs = on_device(self.arrays, owner._clone)
        self.room = max(1, inputs.batch_size // len(rows))
        self.chosen = [Selection(s.kind, None if s.values is None else s.rows(rows), s.function) for s in chosen]

    def look(self, moves, here):
        """Settle what is explained, at the input itself."""
        found = self._explain(self.arrays, self.chosen)
        self.outputs, self.targets = found["outputs"], found["targets"]
        flat = np.asarray(self.outputs).reshape(len(self.arrays[0]), -1)
        if flat.shape[1]:
            places = flat.argmax(-1).astype("int32")
            self.chosen = [Selection("element", places) if s.kind == "max" else s for s in self.chosen]

    def step(self, moves, ws):
        points = [backend.to_numpy(p) for p in self.owner.place(self.xs, moves, len(ws))]
        found = self._explain(points, [self._repeated(s, len(ws)) for s in self.chosen])
        maps = {"attributions": found["attributions"], "signals": found.get("signals", {}) if self.at else {}}
        return keras.tree.map_structure(lambda m: self._reduced(np.asarray(m), ws), maps), None

    def _repeated(self, chosen, count):
        values = chosen.values
        return Selection(chosen.kind, None if values is None else np.repeat(values, count, axis=0), chosen.function)

    def _reduced(self, maps, ws):
        if self.several:
            return keras.tree.map_structure(lambda *m: ops.stack(m), *[self._of_one(m, ws) for m in maps])
        return self._of_one(maps, ws)

    def _of_one(self, maps, ws):
        maps = ops.convert_to_tensor(maps.reshape(-1, len(ws), *maps.shape[1:]))
        ws = ops.convert_to_tensor(np.reshape(ws, (1, -1, *[1] * (len(maps.shape) - 2))))
        return self.owner.reduce(maps, ops.cast(ws, maps.dtype))

    def _explain(self, arrays, chosen):
        """What the method finds for arrays of as many samples each."""
        inner = self.owner.inner
        if isinstance(inner, Input | Random):
            return self._of_input(inner, arrays)
        inputs = copy.copy(self.inputs)
        inputs.arrays, inputs.samples = arrays, len(arrays[0])
        list(inner._batches(inputs, inputs.samples))  # checks what the method was given beside the input
        found = inner._explain_batch(inputs, np.arange(inputs.samples), chosen, self.number, self.at, self.several)
        return keras.tree.map_structure(backend.to_numpy, found)

    def _of_input(self, inner, arrays):
        maps = inner.analyze(arrays if len(arrays) > 1 else arrays[0])
        maps = maps if len(arrays) > 1 else [maps]
        lead = (len(self.chosen),) if self.several else ()
        nothing = np.zeros((len(arrays[0]), 0), "float32")
        return {
            "attributions": [np.broadcast_to(m, lead + m.shape) for m in maps],
            "outputs": nothing,
            "targets": np.zeros((*lead, len(nothing)), "float32"),
        }
