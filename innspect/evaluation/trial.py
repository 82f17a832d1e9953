"""What every metric asks about: a model, samples, and what is explained of each, fixed once on the clean input."""

import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import Integer, OneOf
from innspect.evaluation.draws import generator, sample_keys
from innspect.evaluation.running import predictor_of
from innspect.graph.ir import is_float
from innspect.inputs.batches import Inputs
from innspect.inputs.masking import Axes
from innspect.inputs.predictor import Network, Predictor
from innspect.inputs.targets import Selection, resolve
from innspect.inputs.units import layer_of, selection_of
from innspect.progress import Progress, Quiet
from innspect.types import Array, BackendTensor, Nest, Neuron, Tensors

Score = str | Callable[[BackendTensor], BackendTensor]
SCORES = ("logit", "probability", "output")


@dataclass(frozen=True)
class Scored:
    """A score of the explained class.

    Attributes:
        key: Tells compiled functions apart.
        said: What was done, for the settings.
        of: A function from the explained tensor (batch, ...) to the tensor whose target is the score.
        whole: A function of the user's from the model's output to (batch,), or None.
    """

    key: Any
    said: str
    of: Callable[[BackendTensor], BackendTensor]
    whole: Callable[[BackendTensor], BackendTensor] | None = None


class Trial:
    """A model, samples and targets, shared by all metrics that are asked about them.

    Args:
        model: A built Keras model, its opened form, or a function from inputs to outputs; or another trial, whose model is
            then not compiled anew.
        x: Samples, as `analyze` takes them.
        targets: What is explained, as `neuron_selection` of `analyze`; None: the largest element of the clean output. For a
            unit of a layer the output is that of the model up to there.
        seed: Of all draws.
        batch_size: Samples, or versions of samples, computed at once; None: by their size and the model's.
        output: Number or name of the output.
        channel_axis: -1 or 1; None where inputs have no channel axis. "auto" goes by the model's layers.

    Attributes:
        inputs: The checked `Inputs`.
        arrays: One array for each input, (samples, ...), in the dtype in which it can be hidden.
        samples: Number of samples.
        batch_size: How many samples, or versions of samples, are computed at once.
        given_size: The argument `batch_size`.
        axes: The `Axes` of each input: its positions are the spatial ones.
        sizes: Lengths of the position axes of each input.
        selection: The targets, settled on the clean inputs.
        predictor: Runs the model.
        progress: Told of every version of a sample that the model was run on.
        kept: What a metric made that it needs again for the maps of other methods.
    """

    def __init__(
        self,
        model: Any,
        x: Nest,
        targets: Neuron = None,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        output: int | str = 0,
        channel_axis: int | str | None = "auto",
        progress: Progress | Quiet | None = None,
    ):
        self.seed = int(Integer().check("seed", seed))
        OneOf("auto", None, -1, 1).check("channel_axis", channel_axis)
        shared, layer = isinstance(model, Trial), layer_of(targets)
        self.model = model.model if shared else model
        self.predictor: Predictor = model.predictor if shared else predictor_of(model, layer)
        self.inputs = self.predictor.inputs(x)
        self.samples = self.inputs.samples
        if not self.samples:
            raise ValueError("`x` must hold at least one sample. Received: none")
        self.given_size, self.batch_size = batch_size, self.inputs.checked_size(batch_size)
        self.output, self.channel_axis = self.predictor.number(output), channel_axis
        self.ids = [self.predictor.is_ids(i) for i in range(len(self.inputs.arrays))]
        self.arrays = [self._prepared(a, i) for i, a in enumerate(self.inputs.arrays)]
        self.axes = [self._axes(a, i) for i, a in enumerate(self.arrays)]
        self.sizes = [axes.size for axes in self.axes]
        self.progress = progress or Quiet()
        self.kept: dict[Any, Any] = {}
        self.given_targets = targets
        self.selection = self._settled(targets)

    def _prepared(self, array: Array, i: int) -> Array:
        array = array[:, None] if array.ndim == 1 else array
        return array if self.ids[i] or array.dtype.kind not in "iub" else array.astype(self.predictor.dtype)

    def _axes(self, array: Array, i: int) -> Axes:
        channel = self.channel_axis
        if channel == "auto":
            channel = 1 if self.predictor.reads_channels_first(i) else -1
        plain = array.ndim == 2 or self.ids[i]  # columns, or ids: each is a position
        return Axes.of(array.shape, None if plain or channel is None else int(channel) % array.ndim)

    @functools.cached_property
    def keys(self) -> list[int]:
        """What tells each sample from others, wherever it stands."""
        return sample_keys(self.arrays)

    def generator(self, purpose: str, sample: int | None = None) -> np.random.Generator:
        """The generator of what is drawn for a purpose: for a sample, or for all."""
        return generator(self.seed, purpose, None if sample is None else self.keys[sample])

    def is_table(self, i: int) -> bool:
        """Whether an input has columns, over which a mean means nothing."""
        return self.arrays[i].ndim == 2 and not self.ids[i]

    # ------------------------------------------------------------------ what is explained
    def _settled(self, targets: Neuron) -> Selection:
        self._shape = self.predictor.output_shape(self.output, self.inputs)
        self.layer = layer_of(targets)
        if self.layer is not None:
            units: Any = list(targets) if isinstance(targets, list | tuple) else [targets] * self.samples
            return selection_of(units, self.predictor.opened.site, self.samples)  # type: ignore[union-attr]
        chosen = resolve(targets, None, self._shape, self.samples)
        if chosen.kind != "max":
            return chosen
        flat = self.outputs.reshape(self.samples, -1)
        largest = np.where(np.isfinite(flat), flat, -np.inf).argmax(axis=1).astype("int32")
        return Selection("index" if self.outputs.ndim <= 2 else "element", largest)

    @property
    def classes(self) -> Array:
        """The explained class of each sample, (samples,).

        Raises:
            ValueError: What is explained is not one class of each sample.
        """
        if self.selection.kind != "index" or self.selection.values is None:
            raise ValueError(f"`targets` must be classes for this metric, integers. Received: {self.given_targets!r}")
        return self.selection.values

    def neuron(self, rows: Array) -> Any:
        """The targets of some samples, as `analyze` takes them for `neuron_selection`."""
        chosen = self.selection
        if chosen.kind in ("callable", "all"):
            return chosen.function or "all"
        if self.layer is not None:
            given = self.given_targets
            return [given[row] for row in rows] if isinstance(given, list | tuple) else given
        assert chosen.values is not None
        if chosen.kind == "element":
            return np.eye(int(np.prod(self.outputs.shape[1:])), dtype="float32")[chosen.values[rows]].reshape(
                len(rows), *self.outputs.shape[1:]
            )
        return tuple(map(int, chosen.values[0])) if chosen.kind == "place" else chosen.values[rows]

    @functools.cached_property
    def outputs(self) -> Array:
        """The model's own output for the clean samples, (samples, ...)."""
        return self.run("output")

    @property
    def _has_head(self) -> bool:
        if not isinstance(self.predictor, Network):
            return False
        return self.predictor.explained(self.output) is not self.predictor.opened.graph.outputs[self.output]

    def score(self, given: Score) -> Scored:
        """How a score is taken: "logit", "probability", "output", or a callable of the model's output (METRICS 1.3).

        Raises:
            ValueError: It is none of these.
        """
        head = functools.partial(self.predictor.with_head, self.output)
        if callable(given):
            return Scored(("callable", given), f"callable {getattr(given, '__name__', given)!r} of the output", head, given)
        OneOf(*SCORES).check("score", given)
        several = len(self._shape) == 1 and self._shape[0] != 1
        if given == "logit":
            said = "logit" if self._has_head or isinstance(self.predictor, Network) else "output"
            return Scored(given, said, lambda y: y)
        if self.layer is not None:
            return Scored("output", "the unit's value", head)
        if given == "output" or not several:
            return Scored("output", "output" if given == "output" else f"{given}: the output", head)
        if self._logs:
            return Scored(given, "probability: exp of the output", lambda y: ops.exp(head(y)))
        if self._has_head or self._sums_to_one:
            return Scored("output", "probability: the output", head)
        return Scored(given, "probability: softmax of the output", lambda y: ops.softmax(y, axis=-1))

    @property
    def _logs(self) -> bool:
        """Whether the head is a log-softmax."""
        if not isinstance(self.predictor, Network):
            return False
        graph = self.predictor.opened.graph
        node = graph.producer(graph.outputs[self.output]) if self._has_head else None
        return node is not None and node.operation == "LogSoftmax"

    @property
    def _sums_to_one(self) -> bool:
        y = self.outputs.astype("float64")
        return bool((y >= 0).all() and np.allclose(y.sum(axis=1), 1, atol=1e-3))

    # ------------------------------------------------------------------ running the model
    def tensors(self, rows: Array) -> Tensors:
        """Some samples' inputs, as the model is given them."""
        return [ops.convert_to_tensor(a[rows]) for a in self.arrays]

    def packed(self, arrays: list[Array]) -> Nest:
        """Samples, an array for each input, as `analyze` takes them: those of numbers are columns here."""
        shaped = [a.reshape(-1) if given.ndim == 1 else a for a, given in zip(arrays, self.inputs.arrays, strict=True)]
        return self.inputs.pack(shaped)

    @property
    def fed(self) -> Callable[[Tensors], Tensors]:
        """A function that brings tensors to the shapes that the model takes: those of numbers are columns here."""
        numbers = [a.ndim == 1 for a in self.inputs.arrays]
        return lambda xs: [ops.reshape(x, (-1,)) if number else x for x, number in zip(xs, numbers, strict=True)]

    @property
    def rule(self) -> Selection:
        """The `Selection` without the samples' values, for functions that are handed these."""
        return replace(self.selection, values=None)

    def call(self, key: Hashable, function: Callable[..., Nest], *arguments: Nest) -> Nest:
        """`function(*arguments)`, compiled once for all trials of the model while its opened form is held.

        Args:
            key: Says which function this is, but for the output, the shapes and the kind of target, which are added.
            function: Of tensors. It is kept, so it must not hold on to the trial, nor to samples.
        """
        return self._call((key, self.selection.key), function, *arguments)

    def _call(self, key: Hashable, function: Callable[..., Nest], *arguments: Nest) -> Nest:
        kind = (self.output, tuple(a.ndim for a in self.inputs.arrays), tuple(axes.channel for axes in self.axes))
        return self.predictor.call((key, kind), function, *arguments)

    def run(self, what: str, arrays: list[Array] | None = None) -> Array:
        """What the model says of samples, a NumPy array (samples, ...).

        Args:
            what: "output", the model's own, or "explained", the logits where it has a head.
            arrays: Other samples, one array for each input; None: the clean ones.
        """
        inputs: Inputs = self.inputs if arrays is None else self.inputs.holding(arrays)
        given = self.arrays if arrays is None else arrays
        look = self._look(what)

        parts = []
        for rows, count in inputs.batches(self.given_size):
            y = self._call(("evaluation", what), look, [ops.convert_to_tensor(a[rows]) for a in given])
            parts.append(backend.to_numpy(y)[:count])
            self.progress.advance(count)
        return np.concatenate(parts)

    def _look(self, what: str) -> Callable[[Tensors], BackendTensor]:
        predictor, number, fed = self.predictor, self.output, self.fed
        evaluate = predictor.evaluator(number, self.inputs)

        def look(xs: Tensors) -> BackendTensor:
            y = evaluate(fed(xs))[0]
            return predictor.with_head(number, y) if what == "output" else y

        return look

    def repeatable(self, i: int) -> bool:
        """Whether an input can be moved: floating point, not ids nor strings."""
        return not self.ids[i] and is_float(str(self.arrays[i].dtype))
