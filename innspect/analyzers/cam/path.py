"""RSI-Grad-CAM: the layer's gradient, integrated along the path its activations take.

While the input moves from a reference to x, the activations A of a layer move along a path of their own; the
Riemann-Stieltjes sum of the gradient over the steps of A tells each unit's share of the change of the output. The sum
is taken as the path is walked: only the last point is remembered.
"""

from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.cam.base import LayerMap, spatial_axes, weighted
from innspect.checks import Count, Elsewhere, Finite, OneOf
from innspect.graph.opened.taking import taken
from innspect.inputs.batches import as_numbers
from innspect.inputs.references import References
from innspect.inputs.targets import repeated, values_of

SELECTIONS = ("positive", "relu_grad", "none")


class _Straight:
    """The points from the references to the inputs, in equal steps; ids and masks stay what they are."""

    def __init__(self, steps, references, inputs):
        self._steps, self._references, self._inputs = steps, references, inputs
        self.fixed = references.still

    def __len__(self):
        return self._steps + 1

    def points(self, numbers, rows):
        """The inputs at some points of the path, (points * rows, ...), points first."""
        share, placed = numbers / self._steps, []
        for x, start in zip([a[rows] for a in self._inputs.arrays], self._references.take(0, rows), strict=True):
            t = share.reshape(-1, *[1] * x.ndim)
            at = np.broadcast_to(x, (len(share), *x.shape)) if start is None else (1 - t) * start + t * x
            dtype = x.dtype if start is None else start.dtype  # whole numbers move in floating point
            placed.append(at.reshape(-1, *x.shape[1:]).astype(dtype))
        return placed


class _Given:
    """The points of a path that the user gave."""

    def __init__(self, given, x, inputs, opened):
        given = given(x) if callable(given) else given
        count = len(inputs.arrays)
        if count > 1 and not (isinstance(given, list | tuple) and len(given) == count):
            raise ValueError(f"`path` must be a list of the points of each of the {count} inputs. Received: {given!r}")
        arrays = [as_numbers(a, "path") for a in (given if count > 1 else [given])]
        if not all(map(Finite().holds, arrays)):
            raise ValueError(f"`path` must hold finite numbers. Received: {given!r}")
        self._arrays = [self._checked(a, x) for a, x in zip(arrays, inputs.arrays, strict=True)]
        if len({len(a) for a in self._arrays}) > 1 or len(self._arrays[0]) < 2:
            raise ValueError(
                "`path` must hold at least two points, and as many for every input. "
                f"Received: {[len(a) for a in self._arrays]} points"
            )

    @staticmethod
    def _checked(array, x):
        for lead in ((None,), (None, 1), (None, len(x))):
            array = array.reshape(taken(array.shape, (*lead, *x.shape[1:])) or array.shape)
        if array.ndim == x.ndim:  # one path for all samples
            array = array[:, None]
        if array.ndim != x.ndim + 1 or array.shape[1] not in (1, len(x)) or array.shape[2:] != x.shape[1:]:
            raise ValueError(
                f"`path` must hold the inputs along the path, of shape {('points', *x.shape[1:])} or "
                f"{('points', len(x), *x.shape[1:])}. Received: shape {array.shape}"
            )
        return np.broadcast_to(array, (len(array), *x.shape)).astype(x.dtype)

    def __len__(self):
        return len(self._arrays[0])

    def points(self, numbers, rows):
        return [a[numbers][:, rows].reshape(-1, *a.shape[2:]) for a in self._arrays]


@register_analyzer("rsi_grad_cam")
class RsiGradCam(LayerMap):
    """RSI-Grad-CAM (Lucas, Lerma, Furst and Raicu 2022): channels weighted by integrated gradients of the layer.

    Args:
        steps: Intervals of the straight path, at most a million.
        reference_inputs: Where the straight path starts: a number, an array of the input's shape, or one for each
            sample, (samples, *shape).
        selection: Which units count: "positive" those whose activation, its change and its share are all positive;
            "relu_grad" all, with the positive part of every gradient; "none" all.
        path: A path of one's own: its points as inputs, (points, *shape), (points, samples, *shape), or a function
            from x to these. The last point is what is explained.
        head: "output" by default: the paper explains the probability, whose gradient is large where the softmax
            switches; "logit" explains what the softmax is given.

    `explain(...).delta` is the error of the integral: f(x) - f(reference) minus the sum over all units, which is 0 for
    many steps if every way from the input to the output leads through the layer (for "relu_grad" there is none).
    """

    paper = "Lucas et al. 2022"
    default_head = "output"
    ranges = {
        "steps": Count(),
        "selection": OneOf(*SELECTIONS),
        "reference_inputs": Elsewhere("References"),
        "path": Elsewhere("the walk"),
    }
    small = {"steps": 2}

    def __init__(self, model, *, steps=50, reference_inputs=0, selection="positive", path=None, head="output", **arguments):
        super().__init__(model, head=head, **arguments)
        self.steps, self.reference_inputs, self.selection, self.path = steps, reference_inputs, selection, path

    def begin(self, request):
        if request.at:
            raise ValueError(
                f"{self.name!r} sums signals over a path, so there is no one signal at a layer. Received: at={list(request.at)}"
            )
        inputs = request.inputs
        if self.path is not None:
            return _Given(self.path, inputs.restore(inputs.arrays), inputs, self.opened)
        return _Straight(self.steps, self.compared_with(request), inputs)

    def compared_with(self, request):
        if self.path is not None:
            return None
        references = References(self.reference_inputs, request.inputs, self.opened)
        if len(references) > 1:
            raise ValueError(
                f"'{self.name}' walks from one reference, or from one for each sample. Received: {len(references)} references"
            )
        return self.filled_references(references, request.output)

    def _fits(self, place):
        return super()._fits(place) and (self.path is not None or any(map(self._moves, place.inputs)))

    def _moves(self, i):
        return self.opened.moves(self.opened.graph.inputs[i])

    # ------------------------------------------------------------------ walking
    def explain_batch(self, batch):
        request, walk, rows = batch.request.bare, batch.request.context, batch.rows
        number, key, way = request.output, request.key, self.way(request)
        if isinstance(walk, _Straight) and all(walk.fixed[i] for i in self.place(number).inputs):
            raise ValueError(
                f"'{self.name}' has no straight path between ids or masks, which are all that the layer "
                f"{self.place(number).path!r} depends on; give the points yourself as `path`."
            )
        last = np.full(1, len(walk) - 1)
        xs = self._tensors(walk.points(last, rows))
        end = way(("end", key), self._end(way, request), xs, batch.values)
        chunk, step = min(batch.room, len(walk)), self._step(way, request)
        a, g = end["a"], ops.zeros((len(request.targets), *end["a"].shape), end["a"].dtype)
        total: Any = 0
        start: Any = None
        for first in range(0, len(walk), chunk):
            points = self._tensors(walk.points(np.minimum(np.arange(first, first + chunk), len(walk) - 1), rows))
            live = ops.convert_to_tensor(np.asarray(float(first > 0), "float32"))  # the first point has none before it
            part = way(("step", key), step, points, end["weights"], a, g, live)
            a, g, total = part["a"], part["g"], total + part["sum"]
            start = part["start"] if start is None else start
        shapes = [x.shape for x in xs]
        targets = end["targets"]
        maps = [
            self._finish(way, number, end["a"], each, start["a"], t, shapes) for each, t in zip(total, targets, strict=True)
        ]
        missing = targets - start["targets"] - ops.sum(ops.reshape(total, (*targets.shape, -1)), axis=2)
        result = {"attributions": [ops.stack(maps)], "targets": targets}
        if self.selection != "relu_grad":
            result["delta"] = missing
        several = request.several
        result = result if several else {k: [v[0][0]] if k == "attributions" else v[0] for k, v in result.items()}
        return {**result, "outputs": end["outputs"]}

    @staticmethod
    def _tensors(arrays):
        return [ops.convert_to_tensor(a) for a in arrays]

    def _end(self, way, request):
        """The walk's last point: what is explained there."""
        place = self.place(request.output)

        def end(xs, values):
            passage = way.forward(xs, request, values)
            pairs = zip(request.targets, passage.weights, strict=True)
            return {
                "a": self._aligned(passage.tape.values[place.tensor], request.output),
                "weights": ops.stack(passage.weights),
                "targets": ops.stack([values_of(target, w, passage.y)[0] for target, w in pairs]),
                "outputs": passage.outputs,
            }

        return end

    def _step(self, way, request):
        """A chunk of the walk: its share of the sum, and its ends."""
        program, number, place = way.program, request.output, self.place(request.output)

        def gradient(tape, selection, weights, y):
            batch = weights.shape[0]
            count = y.shape[0] // batch
            w = selection.weights(None, y) if selection.kind == "callable" else repeated(weights, count)
            g = program.backward(tape, w, keep_tape=True)[place.tensor]
            g = self._aligned(g, number)
            g = ops.relu(g) if self.selection == "relu_grad" else g
            return ops.reshape(g, (count, -1, *g.shape[1:]))

        def step(xs, weights, a_before, g_before, live):
            y, tape = program.forward(xs)
            a = self._aligned(tape.values[place.tensor], number)
            a = ops.reshape(a, (-1, *a_before.shape))
            moved = a - ops.concatenate([a_before[None], a[:-1]])
            moved = ops.concatenate([moved[:1] * ops.cast(live, a.dtype), moved[1:]])
            sums, ends, targets = [], [], []
            for n, selection in enumerate(request.targets):
                g = gradient(tape, selection, weights[n], y)
                before = ops.concatenate([g_before[n][None], g[:-1]])
                sums.append(ops.sum((before + g) / 2 * moved, axis=0))
                ends.append(g[-1])
                targets.append(values_of(selection, weights[n], y)[0])
            start = {"a": a[0], "targets": ops.stack(targets)}
            return {"sum": ops.stack(sums), "a": a[-1], "g": ops.stack(ends), "start": start}

        return step

    def _finish(self, way, number, a, total, a_start, targets, input_shapes):
        def finish(a, total, a_start, targets):
            if self.selection == "positive":
                chosen = ops.logical_and(ops.logical_and(a > 0, total > 0), a > a_start)
                total = ops.where(chosen, total, ops.zeros_like(total))
            maps = weighted(a, backend.mean(total, axis=spatial_axes(a), keepdims=True))
            return self._shown(maps, number, targets.shape[0], input_shapes)

        return way(("map", number), finish, a, total, a_start, targets)
