"""Averaging of methods that have a way of their own, such as class activation maps and occlusion, over many points.

The points go to them as batches of more samples, and the maps that come back are reduced.
"""

from dataclasses import replace

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.request import Batch
from innspect.inputs.batches import on_device


class HostPoints:
    """As `averaging.Points`, for an inner analyzer that is asked through its own `explain_batch`."""

    def __init__(self, owner, batch, reduce="reduce"):
        if owner.moves_inputs and any(owner.opened.takes_ids(t) for t in owner.opened.graph.inputs):
            raise ValueError(
                "The vectors of ids of an embedding can be moved only for methods that send a signal back to it. "
                f"Received: of={owner.of!r}"
            )
        self.owner, self.request, self.room, self.reduce = owner, batch.request, batch.room, reduce
        self.arrays = batch.arrays
        self.xs = on_device(batch.xs, owner.opened)
        of_rows = [replace(t, values=None if t.values is None else t.rows(batch.rows)) for t in batch.request.targets]
        self.targets_at = tuple(of_rows)

    def look(self, moves, here=False):
        """Settle what is explained, at the input itself."""
        found = self._explain(self.arrays, self.targets_at, explained=True)
        self.outputs, self.targets = found["outputs"], found["targets"]
        if np.size(self.outputs):
            self.targets_at = tuple(_settled(t, ops.convert_to_tensor(self.outputs)) for t in self.targets_at)

    def step(self, moves, ws, here=False):
        """As `Points.step`, without the explained values."""
        if here:
            self.look(moves, here)
        points = [backend.to_numpy(p) for p in self.owner.place(self.xs, moves, len(ws))]
        found = self._explain(points, tuple(_repeated(t, len(ws)) for t in self.targets_at), explained=False)
        signals = found.get("signals", {}) if self.request.at else {}
        ways = {"attributions": (self.reduce, found["attributions"], ws), "signals": ("reduce", signals, ws)}
        if np.ndim(ws) == 2:
            ways["signals"] = ("reduce", signals, ws[:, 0])
        return {
            k: keras.tree.map_structure(lambda m, reduce=reduce, w=w: self._reduced(np.asarray(m), reduce, w), tree)
            for k, (reduce, tree, w) in ways.items()
        }, None

    def _reduced(self, maps, reduce, ws):
        if np.ndim(ws) == 2:
            return [self._reduced(maps, reduce, ws[:, i]) for i in range(np.shape(ws)[1])]
        if self.request.several:
            return keras.tree.map_structure(lambda *m: ops.stack(m), *[self._of_one(m, reduce, ws) for m in maps])
        return self._of_one(maps, reduce, ws)

    def _of_one(self, maps, reduce, ws):
        maps = ops.convert_to_tensor(maps.reshape(-1, len(ws), *maps.shape[1:]))
        ws = ops.convert_to_tensor(np.reshape(ws, (1, -1, *[1] * (len(maps.shape) - 2))))
        return getattr(self.owner, reduce)(maps, ops.cast(ws, maps.dtype))

    def _explain(self, arrays, targets, explained):
        """What the method finds for arrays of as many samples each."""
        inner, inputs = self.owner.inner, self.request.inputs.holding(arrays)
        request = replace(
            self.request,
            inputs=inputs,
            targets=targets,
            explained=explained,
            batch_size=inputs.samples,
            advance=lambda count: None,
            context=None,
        )
        request = replace(request, context=inner.begin(request))
        found = inner.explain_batch(Batch.of(request, np.arange(inputs.samples)))
        return keras.tree.map_structure(backend.to_numpy, found)


def _settled(target, outputs):
    """The target with what it leaves open as it is for these outputs, (samples, ...)."""
    values = target.rows(np.arange(outputs.shape[0]))
    return replace(target, values=backend.to_numpy(target.settled(ops.convert_to_tensor(values), outputs)))


def _repeated(target, count):
    return replace(target, values=None if target.values is None else np.repeat(target.values, count, axis=0))
