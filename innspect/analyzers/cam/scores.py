"""Maps without gradients: each channel is weighted by what the network says when it is shown, or denied, it alone."""

import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.cam.base import LayerMap, weighted
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture.dynamic_shapes import counts_rows
from innspect.graph.channels import reads_channels_first
from innspect.graph.interpreter import Interpreter
from innspect.inputs.layout import by_samples
from innspect.inputs.references import even_chunks
from innspect.inputs.targets import repeated, values_of
from innspect.inputs.upsampling import resized


class ChannelScores(LayerMap):
    """Base of the methods that run the network once for every channel of the layer.

    Channels and samples share batches of at most `batch_size`. Within TimeDistributed a channel is that of all frames.
    """

    def probe(self, way, number, xs, handed, a, channels):
        """The explained tensor for some channels of every sample, (channels * batch, ...), channels first.

        Args:
            way: The `Pass` from the layer on.
            number: Of the output.
            xs: The inputs.
            handed: Values of the tail's inputs.
            a: The layer's activations, (rows, *positions, channels).
            channels: Their numbers, (channels,).
        """
        raise NotImplementedError

    def channel_weights(self, scores, targets):
        """The weights (neurons, channels, batch), from the explained values with, and without, the probing."""
        raise NotImplementedError

    def work(self, request):
        channels = self.place(request.output).channels
        return None if channels is None else request.inputs.samples * channels

    def explain_batch(self, batch):
        request, way, xs = batch.request.bare, self.way(batch.request), batch.xs
        if request.at:
            raise ValueError(f"{self.name!r} sends no signal, so there is none at a layer. Received: at={list(request.at)}")
        number, key = request.output, request.key
        first = way(("start", key), self._start(way, request), xs, batch.values)
        scores, probe = [], self._probing(way, request)
        for numbers, counts in even_chunks(first["a"].shape[-1], batch.room):
            channels = ops.convert_to_tensor(numbers.astype("int32"))
            part = way(("probe", key), probe, xs, first["handed"], first["a"], channels, first["weights"])
            real = int(counts.sum())
            scores.append(backend.to_numpy(part)[:, :real])
            batch.request.advance(real * len(np.unique(batch.rows)))
        targets = backend.to_numpy(first["targets"])
        weights = self.channel_weights(np.concatenate(scores, axis=1).astype("float64"), targets.astype("float64"))
        maps = self._maps(way, first["a"], weights, number, [x.shape for x in xs])
        return {
            "attributions": [maps if request.several else maps[0]],
            "outputs": first["outputs"],
            "targets": targets if request.several else targets[0],
        }

    def _start(self, way, request):
        program, place, run = way.program, self.place(request.output), _run_tail(way.program)

        def start(xs, values):
            handed = program.stem(xs)
            a = self._aligned(handed[program.tail.inputs.index(place.tensor)], request.output)
            (y,) = run(handed)
            weights = [t.weights(v, y) for t, v in zip(request.targets, values, strict=True)]
            targets = ops.stack([values_of(t, w, y)[0] for t, w in zip(request.targets, weights, strict=True)])
            return {"handed": handed, "a": a, "weights": ops.stack(weights), "targets": targets, "outputs": way.output(y)}

        return start

    def _probing(self, way, request):
        def probing(xs, handed, a, channels, weights):
            y = self.probe(way, request.output, xs, handed, a, channels)
            return ops.stack([values_of(t, weights[n], y) for n, t in enumerate(request.targets)])

        return probing

    def _maps(self, way, a, weights, number, input_shapes):
        def shown(a, weights):
            w = ops.repeat(ops.transpose(weights), a.shape[0] // weights.shape[1], axis=0)
            w = ops.reshape(w, (a.shape[0], *[1] * (len(a.shape) - 2), a.shape[-1]))
            return self._shown(weighted(a, w), number, weights.shape[1], input_shapes)

        weights = [ops.convert_to_tensor(w) for w in weights]
        return np.stack([backend.to_numpy(way(("map", number), shown, a, ops.cast(w, a.dtype))) for w in weights])


def _run_tail(program):
    """From the values of the tail's inputs to that of the explained tensor."""
    return Interpreter(program.tail.graph.nodes, program.tail.inputs, [program.output])


@register_analyzer("score_cam")
class ScoreCam(ChannelScores):
    """Score-CAM (Wang et al. 2020): channels weighted by the explained value of the input masked with them.

    Each channel is resized to the input and scaled to [0, 1]; the input times it gives the channel's score, and a
    softmax over all scores the weights. The published code resizes with resize="align_corners".
    """

    paper = "Wang et al. 2020"

    def probe(self, way, number, xs, handed, a, channels):
        place, shapes = self.place(number), [x.shape for x in xs]
        covered, size = self._covered(place, shapes)
        if size is None:
            raise self._nothing_to_mask(place, shapes)
        a = by_samples(a, place, xs[0].shape[0])
        axes = tuple(range(1, len(a.shape) - 1))
        masks = resized(ops.take(a, channels, axis=-1), size, self.resize)
        low = ops.min(masks, axis=axes, keepdims=True)
        # The 1e-8 is no summand: TensorFlow's graph optimizer would take it from `low`, where it is lost.
        masks = (masks - low) / ops.maximum(ops.max(masks, axis=axes, keepdims=True) - low, 1e-8)
        masks = ops.moveaxis(masks, -1, 0)  # (channels, batch, *spatial axes)
        count, x = channels.shape[0], ops.cast(xs[covered], masks.dtype)
        if len(masks.shape) == len(x.shape):
            masks = ops.expand_dims(masks, 2 if reads_channels_first(self.opened.graph, covered) else -1)
        masked = ops.reshape(masks * x[None], (count * x.shape[0], *x.shape[1:]))
        inputs = [masked if i == covered else repeated(other, count) for i, other in enumerate(xs)]
        return Interpreter.of(self.opened.graph, self._explained(number))(inputs)[0]

    def _may_be_covered(self, i):
        return self.opened.moves(self.opened.graph.inputs[i])

    def _nothing_to_mask(self, place, shapes):
        if not any(map(self._may_be_covered, place.inputs)):
            return NotAnalyzeableModelError(
                f"'score_cam' multiplies an input with maps, so it needs an input of numbers, and all that the layer "
                f"{place.path!r} depends on are ids or masks. 'ablation_cam' masks no input."
            )
        return NotAnalyzeableModelError(
            f"'score_cam' multiplies an input of numbers with the maps of the layer {place.path!r}, but no such input that the "
            "layer depends on has as many spatial axes. Name a layer that has as many, or use 'ablation_cam', which masks no "
            f"input. Received: maps of shape {(*place.frames, *place.positions)} and inputs of shapes "
            f"{[tuple(shapes[i]) for i in place.inputs]}"
        )

    def channel_weights(self, scores, targets):
        with np.errstate(invalid="ignore"):  # of samples that the model says nothing finite of, which are warned about
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)


@register_analyzer("ablation_cam")
class AblationCam(ChannelScores):
    """Ablation-CAM (Desai and Ramaswamy 2020): channels weighted by the share of the value that is lost without them."""

    paper = "Desai and Ramaswamy 2020"

    def probe(self, way, number, xs, handed, a, channels):
        program, place, count = way.program, self.place(number), channels.shape[0]
        kept = 1 - ops.one_hot(channels, a.shape[-1], dtype=a.dtype)  # (channels probed, channels)

        def ablated(v):  # all tokens, the class token too
            shape, axis = [count, *[1] * len(v.shape)], 1 if place.channels_first else len(v.shape) - 1
            shape[1 + (axis if place.order is None else place.order.index(axis))] = a.shape[-1]
            return ops.reshape(v[None] * ops.reshape(kept, shape), (-1, *v.shape[1:]))

        tail = zip(program.tail.inputs, handed, strict=True)

        def handed_on(t, v):
            if t is place.tensor:
                return ablated(v)
            if counts_rows(self.plan.graph.producer(t)):
                return v * count
            return repeated(v, count) if t.shape[:1] == (None,) else v  # weights have no rows

        inputs = [handed_on(t, v) for t, v in tail]
        return _run_tail(program)(inputs)[0]

    def channel_weights(self, scores, targets):
        lost, whole = targets[:, None] - scores, np.broadcast_to(targets[:, None], scores.shape)
        return np.divide(lost, whole, out=np.zeros_like(lost), where=whole != 0)
