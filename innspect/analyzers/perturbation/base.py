"""Perturbation: hide parts of the input, see what the output does. Works for any model that can be called.

A method says which masks the inputs are seen through, and what is made of the explained values behind them. Masks and
samples share batches of at most `batch_size`; every mask serves all samples and all neurons.
"""

import functools

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.analyzer import Analyzer
from innspect.checks import Elsewhere, OneOf
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.heads import without_head
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.inputs import targets
from innspect.inputs.masking import Axes, fill
from innspect.inputs.predictor import as_it_is, black_box, totals
from innspect.inputs.references import even_chunks
from innspect.inputs.targets import repeated, values_of


class Perturbation(Analyzer):
    """Base of the perturbation methods.

    Args:
        model: A built Keras model, or any function from a batch of inputs, NumPy arrays (samples, ...) in the structure
            of `x`, to a batch of outputs, (samples, classes) or (samples,).
        value: What stands where the input is hidden: a number; a sequence with one for each channel; an array of a
            sample's shape; "mean", the sample's own mean of each channel; "blur", the sample itself, blurred. For
            several inputs a list with one of these for each.
        channel_axis: -1 or 1; None where inputs have no channel axis. "auto" goes by the layers of a Keras model; for a
            function it is the last axis, if there are at least two besides the samples.
        head: "output" by default: what the model returns; "logit" what a final softmax is given.

    The result is (samples, *spatial axes), for several inputs one map for each.
    """

    family = "perturbation"
    scale = "regions"
    default_head = "output"
    ranges = {
        "value": Elsewhere("fill"),
        "channel_axis": OneOf("auto", None, -1, 1),
        "head": OneOf("logit", "output"),
    }

    def __init__(self, model, *, value=0.0, channel_axis="auto", head=None, **arguments):
        super().__init__(model, **arguments)
        self.value, self.channel_axis = value, channel_axis
        self.head = self.default_head if head is None else head

    def _open(self, model):
        self._given = model
        try:
            return open_model(model) if isinstance(model, keras.Layer | OpenedModel) else None
        except NotAnalyzeableModelError:
            return None  # it can still be called

    def ready(self):
        """Raise where the model, or function, cannot be called."""
        _ = self.predictor

    @functools.cached_property
    def predictor(self):
        return black_box(self._given, self.head)

    @property
    def model(self):
        """The user's model, or function."""
        return self.predictor.model

    def save(self, path=None):
        if self.opened is None and not isinstance(self.model, keras.Layer):
            raise TypeError(f"An analyzer of a function cannot be saved; save its arguments. Received: model={self.model!r}")
        return super().save(path)

    # ------------------------------------------------------------------ what a method decides
    def plan(self, size):
        """The masks for an input with spatial axes of this size: an object with a length and

        `take(numbers)`, masks (masks, *spatial axes) that are 1 where the input is kept, and `extent`, the size of what
        they hide along each axis.
        """
        raise NotImplementedError

    def prepared(self, x, i):
        """The i-th input, an array, in a dtype that can be hidden."""
        return x

    @staticmethod
    def hide(x, mask, filling):
        """The input seen through a mask; all three broadcast."""
        raise NotImplementedError

    def map(self, plan, sights, targets):
        """The map (neurons, batch, *spatial axes) of one input.

        Args:
            plan: From `plan`.
            sights: Iterates over (masks, dict of what was seen through them, see `Batch.through`).
            targets: The explained values of the inputs as they are, (neurons, batch).
        """
        raise NotImplementedError

    # ------------------------------------------------------------------ the flow
    def _inputs(self, x):
        return self.predictor.inputs(x)

    def explained_kind(self, number):
        graph = None if self.opened is None else self.opened.graph
        stripped = graph is not None and without_head(graph, graph.outputs[number]) is not graph.outputs[number]
        return "logit" if self.head == "logit" and stripped else "output"

    def _output_number(self, output):
        return self.predictor.number(output)

    def _output_shape(self, number, inputs):
        return self.predictor.output_shape(number, inputs)

    def _selections(self, asked, number, inputs):
        if inputs.samples:
            return super()._selections(asked, number, inputs)
        return [targets.Selection("max")] * (1 if asked.neurons is None else len(asked.neurons))

    def begin(self, request):
        """The plan of each input's masks."""
        if request.at:
            raise ValueError(f"{self.name!r} sends no signal, so there is none at a layer. Received: at={list(request.at)}")
        return self._plans(request.inputs)

    def work(self, request):
        return request.inputs.samples * sum(len(plan) for plan in request.context)

    def explain_batch(self, batch):
        seen, several, plans = Seen(self.predictor, batch), batch.request.several, batch.request.context
        maps = [self.map(plan, self._sights(seen, i, plan), seen.targets) for i, plan in enumerate(plans)]
        maps = self.shaped(maps, batch.request.inputs, seen.targets.dtype)
        return {
            "attributions": maps if several else [m[0] for m in maps],
            "outputs": seen.outputs,
            "targets": seen.targets if several else seen.targets[0],
        }

    def shaped(self, maps, inputs, dtype):
        """Maps (neurons, batch, *spatial axes) of the inputs as they are returned."""
        maps = [m.astype(dtype) for m in maps]
        return [m[..., 0] if x.ndim == 1 else m for m, x in zip(maps, inputs.arrays, strict=True)]

    def axes(self, inputs, i):
        """The `Axes` of an input."""
        shape, channel = _row(inputs.arrays[i]).shape, self.channel_axis
        if channel == "auto":
            channel = 1 if self.predictor.reads_channels_first(i) else -1
        plain = len(shape) == 2 or self.predictor.is_ids(i)  # features, or ids: each is a position
        return Axes.of(shape, None if plain or channel is None else channel % len(shape))

    def _plans(self, inputs):
        return [self.plan(self.axes(inputs, i).size) for i in range(len(inputs.arrays))]

    def _sights(self, seen, i, plan, which=None):
        """Masks, all or those with some numbers, and what is seen through them, in chunks."""
        which = np.arange(len(plan)) if which is None else which
        batch = seen.batch
        inputs = batch.request.inputs
        axes, x = self.axes(inputs, i), self.prepared(_row(inputs.arrays[i][batch.rows]), i)
        filling = fill(self._value_of(i, inputs), x, axes, plan.extent)
        for numbers, counts in even_chunks(len(which), batch.room):
            masks, real = plan.take(which[numbers]), int(counts.sum())
            masks = masks if masks.dtype == bool else masks.astype(x.dtype)
            found = seen.through(i, x, axes.spread(masks), filling, self.hide)
            yield masks[:real], {k: v[..., :real, :] for k, v in found.items()}
            batch.request.advance(real * len(np.unique(batch.rows)))

    def _value_of(self, i, inputs):
        if len(inputs.arrays) == 1 or not isinstance(self.value, list | tuple):
            return self.value
        if len(self.value) != len(inputs.arrays):
            raise ValueError(
                f"`value` must be one for all, or a list with one for each of the {len(inputs.arrays)} inputs. "
                f"Received: {len(self.value)}"
            )
        return self.value[i]

    def _attribution_shapes(self, shapes):
        arrays = [np.zeros(s) for s in shapes]
        return [s if len(s) == 1 else (s[0], *self.axes(_Shapes(arrays), i).size) for i, s in enumerate(shapes)]


def _row(x):
    """Samples that are numbers, (samples,), as rows of one; others as they are."""
    return x[:, None] if x.ndim == 1 else x


class _Shapes:
    def __init__(self, arrays):
        self.arrays = arrays


class Seen:
    """Some samples with their explained values, ready to be looked at through masks.

    Attributes:
        batch: The `Batch`.
        outputs: The model's outputs.
        targets: The explained values, (neurons, batch).
        responses: With a place: the sum of each of its feature maps, (batch, maps).
    """

    def __init__(self, predictor, batch, place=None):
        request = batch.request
        self.batch, self._predictor, self._key = batch, predictor, (place, request.key)
        self._evaluate = predictor.evaluator(request.output, request.inputs, place)
        look = as_it_is(predictor, request.output, self._evaluate, request.bare.targets)
        seen = predictor.call(("as it is", self._key), look, batch.xs, batch.values)
        self._weights = seen.pop("weights")
        seen = {k: backend.to_numpy(v) for k, v in seen.items()}
        self.outputs, self.targets, self.responses = seen["outputs"], seen["targets"], seen.get("responses")

    def through(self, i, x, masks, filling, hide):
        """What the model says when its i-th input is seen through masks.

        Args:
            i: Number of the input.
            x: Its values, an array (batch, ...); of numbers (batch, 1).
            masks: (masks, 1, ...), broadcasting to the input.
            filling: What stands where it is hidden.
            hide: See `Perturbation.hide`.

        Returns:
            Dict of arrays: "scores", the explained values (neurons, masks, batch); "classes", the largest element of the
            outputs' last axis (masks, batch); with a place, "responses" (maps, masks, batch).
        """
        look = _through(self._evaluate, self.batch.request.bare.targets, i, hide)
        arguments = [ops.convert_to_tensor(a) for a in (x, masks, filling)]
        seen = self._predictor.call(("through", i, self._key), look, self.batch.xs, *arguments, self._weights)
        return {k: backend.to_numpy(v) for k, v in seen.items()}


# Compiled and kept, so it must not hold on to a batch.
def _through(evaluate, targets, i, hide):
    def look(xs, x, masks, filling, weights):
        count = masks.shape[0]
        hidden = ops.reshape(hide(x[None], masks, filling[None]), (-1, *xs[i].shape[1:]))
        y, activations = evaluate([hidden if n == i else repeated(other, count) for n, other in enumerate(xs)])
        seen = {"scores": ops.stack([values_of(s, weights[n], y) for n, s in enumerate(targets)])}
        means = backend.mean(ops.reshape(y, (y.shape[0], -1, y.shape[-1] if len(y.shape) > 1 else 1)), axis=1)
        seen["classes"] = ops.reshape(ops.argmax(means, axis=-1), (count, -1))
        if activations is not None:
            summed = totals(activations)
            seen["responses"] = ops.moveaxis(ops.reshape(summed, (count, -1, summed.shape[-1])), -1, 0)
        return seen

    return look
