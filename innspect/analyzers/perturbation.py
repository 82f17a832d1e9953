"""Perturbation: hide parts of the input, see what the output does. Works for any model that can be called.

A method says which masks the inputs are seen through, and what is made of the explained values behind them. Masks and
samples share batches of at most `batch_size`; every mask serves all samples and all neurons.
"""

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers import selection
from innspect.analyzers.base import Analyzer
from innspect.analyzers.black_box import PlainFunction, black_box
from innspect.analyzers.hiding import Axes, fill
from innspect.analyzers.references import even_chunks
from innspect.analyzers.stateless import repeated, values_of


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

    def __init__(self, model, *, value=0.0, channel_axis="auto", head=None, neuron_selection_mode=None):
        selection.check_mode(neuron_selection_mode)
        if channel_axis not in ("auto", None, -1, 1):
            raise ValueError(f"`channel_axis` must be -1, 1, None or 'auto'. Received: {channel_axis!r}")
        self._box = black_box(model, head)
        self.neuron_selection_mode = neuron_selection_mode
        self.value, self.channel_axis, self.head = value, channel_axis, head or "output"

    @property
    def model(self):
        """The user's model."""
        return self._box.model

    def save(self, path):
        if isinstance(self._box, PlainFunction) and not isinstance(self.model, keras.Layer):
            raise TypeError(f"An analyzer of a function cannot be saved; save its arguments. Received: model={self.model!r}")
        super().save(path)

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
    def _run(self, x, neuron, batch_size, output, verbose, neurons, at):
        if at:
            raise ValueError(f"{self.name!r} sends no signal, so there is none at a layer. Received: at={list(at)}")
        inputs, number, several, parts = self._box.inputs(x), self._box.number(output), neurons is not None, []
        plans = self._plans(inputs)
        for batch, count, sights in self._looks(inputs, plans, neuron, neurons, number, batch_size, verbose):
            maps = [self.map(plan, seen, batch.targets).astype("float32") for plan, seen in zip(plans, sights, strict=True)]
            parts.append(
                {
                    "attributions": maps if several else [m[0] for m in maps],
                    "outputs": batch.outputs,
                    "targets": batch.targets if several else batch.targets[0],
                    "count": count,
                }
            )
        return self._assemble(inputs, parts, (), len(neurons) if several else 0, neuron, output)

    def _looks(self, inputs, plans, neuron, neurons, number, batch_size, verbose, layer=None):
        """Batches, how many of their samples count, and for each input an iterator over what masks let be seen."""
        chosen, place = [], None
        if inputs.samples:
            shape = self._box.output_shape(number, inputs)
            chosen = selection.resolve_all(neuron, neurons, self.neuron_selection_mode, shape, inputs.samples)
            place = None if layer is None else self._box.place(number, layer)
        progress = keras.utils.Progbar(inputs.samples * sum(len(p) for p in plans)) if verbose else None
        for rows, count in self._batches(inputs, batch_size):
            batch = Batch(self._box, inputs, rows, chosen, number, place)
            yield batch, count, [self._sights(batch, i, plan, count, progress) for i, plan in enumerate(plans)]

    def axes(self, inputs, i):
        """The `Axes` of an input."""
        shape, channel = inputs.arrays[i].shape, self.channel_axis
        if channel == "auto":
            channel = 1 if self._box.reads_channels_first(i) else -1
        plain = len(shape) == 2 or self._box.is_ids(i)  # features, or ids: each is a position
        return Axes.of(shape, None if plain or channel is None else channel % len(shape))

    def _plans(self, inputs):
        return [self.plan(self.axes(inputs, i).size) for i in range(len(inputs.arrays))]

    def _sights(self, batch, i, plan, count, progress):
        """Masks, and what is seen through them, in chunks."""
        axes = self.axes(batch.inputs, i)
        x = self.prepared(batch.inputs.arrays[i][batch.rows], i)
        filling = fill(self._value_of(i, batch.inputs), x, axes, plan.extent)
        for numbers, counts in even_chunks(len(plan), batch.inputs.batch_size // len(x)):
            masks, real = plan.take(numbers), int(counts.sum())
            seen = batch.through(i, x, axes.spread(masks), filling, self.hide)
            yield masks[:real], {k: v[..., :real, :] for k, v in seen.items()}
            if progress:
                progress.add(real * count)

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
        return [(s[0], *self.axes(_Shapes(arrays), i).size) for i, s in enumerate(shapes)]


class _Shapes:
    def __init__(self, arrays):
        self.arrays = arrays


class Batch:
    """Some samples with their explained values, ready to be looked at through masks.

    Attributes:
        outputs: The model's outputs.
        targets: The explained values, (neurons, batch).
        responses: With a place: the sum of each of its feature maps, (batch, maps).
    """

    def __init__(self, box, inputs, rows, chosen, number, place=None):
        self.inputs, self.rows = inputs, rows
        self._box, self._chosen = box, chosen
        self._key = (number, place, *(s.key for s in chosen))
        self._evaluate = box.evaluator(number, inputs, place)
        self._xs = [ops.convert_to_tensor(a[rows]) for a in inputs.arrays]
        values = [ops.convert_to_tensor(s.rows(rows)) for s in chosen]
        seen = box.call(("as it is", *self._key), _as_it_is(box, number, self._evaluate, chosen), self._xs, values)
        self._weights = seen.pop("weights")
        seen = {k: backend.to_numpy(v) for k, v in seen.items()}
        self.outputs, self.targets, self.responses = seen["outputs"], seen["targets"], seen.get("responses")

    def through(self, i, x, masks, filling, hide):
        """What the model says when its i-th input is seen through masks.

        Args:
            i: Number of the input.
            x: Its values, an array (batch, ...).
            masks: (masks, 1, ...), broadcasting to the input.
            filling: What stands where it is hidden.
            hide: See `Perturbation.hide`.

        Returns:
            Dict of arrays: "scores", the explained values (neurons, masks, batch); "classes", the largest element of the
            outputs' last axis (masks, batch); with a place, "responses" (maps, masks, batch).
        """
        look = _through(self._evaluate, self._chosen, i, hide)
        arguments = [ops.convert_to_tensor(a) for a in (x, masks, filling)]
        seen = self._box.call(("through", i, *self._key), look, self._xs, *arguments, self._weights)
        return {k: backend.to_numpy(v) for k, v in seen.items()}


# What follows is compiled and kept, so it must not hold on to a batch.
def _as_it_is(box, number, evaluate, chosen):
    def look(xs, values):
        y, activations = evaluate(xs)
        weights = [s.weights(v, y) for s, v in zip(chosen, values, strict=True)]
        targets = ops.stack([values_of(s, w, y)[0] for s, w in zip(chosen, weights, strict=True)])
        seen = {"weights": ops.stack(weights), "targets": targets, "outputs": box.with_head(number, y)}
        return seen if activations is None else seen | {"responses": _totals(activations)}

    return look


def _through(evaluate, chosen, i, hide):
    def look(xs, x, masks, filling, weights):
        count = masks.shape[0]
        hidden = ops.reshape(hide(x[None], masks, filling[None]), (-1, *x.shape[1:]))
        y, activations = evaluate([hidden if n == i else repeated(other, count) for n, other in enumerate(xs)])
        seen = {"scores": ops.stack([values_of(s, weights[n], y) for n, s in enumerate(chosen)])}
        means = ops.mean(ops.reshape(y, (y.shape[0], -1, y.shape[-1])), axis=1)
        seen["classes"] = ops.reshape(ops.argmax(means, axis=-1), (count, -1))
        if activations is not None:
            totals = _totals(activations)
            seen["responses"] = ops.moveaxis(ops.reshape(totals, (count, -1, totals.shape[-1])), -1, 0)
        return seen

    return look


def _totals(activations):
    """The sum of each feature map over its positions, (batch, maps)."""
    return ops.sum(ops.reshape(activations, (activations.shape[0], -1, activations.shape[-1])), axis=1)
