"""A method's forward and backward passes at many points of each sample, on the device, reduced before they leave it."""

import functools

import keras
import numpy as np
from keras import ops

from innspect.analyzers.averaging.vectors import moved_embeddings, with_moved_vectors
from innspect.inputs.batches import on_device


class Runner:
    """Another analyzer's forward and backward passes at many points, in one compiled call.

    Args:
        owner: The `Averaging` method, which places the points and reduces what is found there.

    Attributes:
        embeddings: A `Moved` for every embedding, by whose input its vectors are moved.
    """

    def __init__(self, owner):
        self.owner, self.inner, self._passes = owner, owner.inner, {}
        found = moved_embeddings(self.inner.plan.graph)
        self.embeddings = list(dict.fromkeys(found.values()))
        self._plan = self.inner.plan.rewritten(with_moved_vectors, found, owner.move)

    def run(self, points, moves, ws, backward):
        """One compiled call; see `Points`."""
        request = points.request.bare
        sites = tuple((p.path, p.sites) for p in request.through)
        key, reduce = (request.output, request.at, sites), getattr(self.owner, points.reduce)
        if key not in self._passes:
            self._passes[key] = self.inner.make_pass(request.output, request.at, self._plan, dict(sites))
        way = self._passes[key]

        def function(xs, moves, values, ws):
            count = ws.shape[0]
            placed = self.owner.place(xs, moves, count)
            passage = way.forward(placed, request, [ops.repeat(v, count, axis=0) for v in values])
            at_points = ops.reshape(passage.targets, (*passage.targets.shape[:-1], -1, count))
            found = {"outputs": passage.outputs, "values": at_points, "settled": passage.settled}
            if not backward:
                return found

            def back(weights):
                result = self.inner.attributed(passage, weights)
                maps = {k: v for k, v in result.items() if k in ("attributions", "signals")}
                if self.inner.guards:
                    maps = keras.tree.map_structure(lambda t: _where_finite(passage.y, t), maps)
                ways = {"attributions": (reduce, ws), "signals": (self.owner.reduce, ws if len(ws.shape) == 1 else ws[:, 0])}
                return {
                    name: keras.tree.map_structure(functools.partial(self._reduced, reduce=how, ws=w, xs=xs), maps[name])
                    for name, (how, w) in ways.items()
                    if name in maps
                }

            return found | {"maps": {"signals": {}, **passage.each(back)}}

        return way((backward, points.reduce, request.key), function, points.xs, moves, points.values, ops.convert_to_tensor(ws))

    def _reduced(self, maps, reduce, ws, xs):
        if len(ws.shape) == 2:
            return [self._reduced(maps, reduce, ws[:, i], xs) for i in range(ws.shape[1])]
        count, batch = ws.shape[0], xs[0].shape[0]
        maps = ops.reshape(maps, (batch, count, *ops.shape(maps)[1:]))
        return reduce(maps, ops.cast(ops.reshape(ws, (1, count, *[1] * (len(maps.shape) - 2))), maps.dtype))


class Points:
    """One batch of an analysis on the device, ready to be explained at points.

    Attributes:
        request: The `Request`.
        xs: The inputs, numbers among them in floating point.
        room: How many points of each sample may be computed at once.
        reduce: The name of the owner's method that reduces the maps; signals at layers always take `reduce`.
        outputs: The model's outputs at the input, known from `look` or `step` with `here` on.
        targets: The explained values there, (batch,), with a neuron axis first for several neurons.
    """

    def __init__(self, runner, batch, reduce="reduce"):
        self._runner, self.request, self.room, self.reduce = runner, batch.request, batch.room, reduce
        self.xs, self.values = on_device(batch.xs, runner.inner.opened), batch.values

    def step(self, moves, ws, here=False):
        """Reduced maps at a chunk of points, and the explained values there, (batch, points).

        Args:
            moves: What places the points.
            ws: (points,), the weight of each; or (points, sums): each map is then a list, reduced with one of them each.
            here: True where the one point is the input itself, which settles what is explained.
        """
        found = self._runner.run(self, moves, ws, backward=True)
        if here:
            self._settle(found)
        return found["maps"], found["values"]

    def look(self, moves, here=False):
        """The explained values at one point of each sample, (batch,), without a backward pass."""
        found = self._runner.run(self, moves, np.ones(1, "float32"), backward=False)
        if here:
            self._settle(found)
        return found["values"][..., 0]

    def _settle(self, found):
        self.outputs = found["outputs"]
        self.targets = found["values"][..., 0]
        self.values = found["settled"]


def _where_finite(y, maps):
    """Maps at points, NaN where the model says nothing finite: there a guarded method would hide it."""
    finite = ops.all(ops.isfinite(ops.reshape(y, (y.shape[0], -1))), axis=1)
    return ops.where(ops.reshape(finite, (-1, *[1] * (len(maps.shape) - 1))), maps, float("nan"))
