"""Stamps planted on the user's own samples, and a copy of the user's network that learns to tell them apart (METRICS 8)."""

import copy
from functools import cached_property
from typing import Any

import keras
import numpy as np

from innspect.checks import Integer, Number
from innspect.evaluation.draws import generator
from innspect.evaluation.planted.tasks import Planted, Task, register
from innspect.evaluation.trial import Trial
from innspect.graph.keras_internals import layers_of
from innspect.types import Array

_LEVELS = 21  # values among which a stamp's two are chosen
_MARGIN = 0.05  # of the range of values: how far a stamp stays from 0 and from the sample's mean
_COVERS = 0.25  # of a sample, at most
_RATES = (2e-4, 1e-3)  # of learning, in turn
_LEAST = 4  # samples: two to train on, and two held out


class Stamps(Task):
    """Which of two stamps stands on a sample, at a random place? Stripes along the first axis, or along the last.

    The stamp is the truth: it alone says the class. A stamp has two values of each channel, from the range of the data, as far
    apart as can be while both stay away from 0, which most methods take as reference, and from the sample's mean, which is what
    hides. Half of the samples are trained on, the other half is held out.

    Args:
        model: A built Keras model of one input with positions that have neighbours: images, series, volumes. It is copied; the
            copy is trained on, all layers but batch normalisations, which stay as they are. An output of two classes or more
            is kept, and its first two learn the stamps; any other gets a new head of two classes.
        x: Samples, as the model takes them.
        output: Number or name of the output whose classes are taught.
        channel_axis: As for `evaluate`.
        size: Side of a stamp in positions; None: an eighth of the shortest side, in whole fourths.
        steps: Most steps of training.
        batch: Samples of a step.
        learning_rate: Of Adam. None: 2e-4, which large trained networks bear, and where that does not do, 1e-3 from the start.

    Raises:
        ValueError: The model's input has no neighbours to plant on, or x holds too few samples, or one value only.
    """

    name = "stamps"
    asks = "which of two stamps stands on your own samples, for a copy of your own network"
    accuracy = 0.95
    fitted = 128

    def __init__(
        self,
        model: Any = None,
        x: Any = None,
        *,
        output: int | str = 0,
        channel_axis: int | str | None = "auto",
        size: int | None = None,
        steps: int = 600,
        batch: int = 16,
        learning_rate: float | None = None,
    ):
        if not isinstance(model, keras.Model) or x is None:
            wanted = "`model` must be a built Keras model, and `x` its samples, for the task 'stamps'"
            raise ValueError(f"{wanted}. Received: {type(model).__name__}, {'None' if x is None else 'samples'}")
        trial = Trial(model, x, output=output, channel_axis=channel_axis)
        self._checked(trial)
        self._model, self._output, self._shape = model, trial.output, trial.outputs.shape[1:]
        self._data, self._axes = trial.arrays[0].astype("float32"), trial.axes[0]
        self.steps, self.batch = int(Integer(1).check("steps", steps)), int(Integer(2).check("batch", batch))
        self._rates = _RATES if learning_rate is None else (float(Number(1).check("learning_rate", learning_rate)),)
        self._loss = _loss(trial.outputs) if self._keeps_head else "sparse_categorical_crossentropy"
        self.side = self._side(size)
        channel = self._axes.channel
        over = tuple(a for a in range(self._data.ndim) if a != channel)
        self._low, self._high = (f(self._data, axis=over, keepdims=True)[0] for f in (np.min, np.max))
        order = trial.generator("halves").permutation(trial.samples)
        self._halves = order[: trial.samples // 2], order[trial.samples // 2 :]
        if (self._high <= self._low).all():
            raise ValueError("`x` must hold different values, of which stamps are made. Received: one value")

    @staticmethod
    def _checked(trial: Trial) -> None:
        if len(trial.arrays) > 1 or trial.ids[0] or trial.is_table(0) or min(trial.sizes[0]) < 2:
            received = f"{len(trial.arrays)} inputs" if len(trial.arrays) > 1 else f"shape {trial.arrays[0].shape}"
            said = "`model` must have one input of numbers whose positions have neighbours, images, series or volumes"
            raise ValueError(f"{said}, for the task 'stamps'. Received: {received}{', ids' if trial.ids[0] else ''}")
        if trial.samples < _LEAST:
            raise ValueError(f"`x` must hold at least {_LEAST} samples for the task 'stamps'. Received: {trial.samples}")
        if not np.isfinite(trial.arrays[0]).all():
            raise ValueError("`x` must hold finite numbers for the task 'stamps'. Received: some that are not")

    def _side(self, size: int | None) -> int:
        dims, shortest = len(self._axes.size), min(self._axes.size)
        least = 3 if dims == 1 else 2  # with less, both stamps would be the same
        eighth = 4 * (shortest // 32) if shortest >= 32 else 4 if shortest >= 16 else 3 if shortest >= 6 else 2
        side = max(eighth, least) if size is None else int(Integer(least, shortest).check("size", size))
        if side > shortest or side**dims > _COVERS * np.prod(self._axes.size):
            said = f"`x` must have positions of which a stamp with sides of {side} covers at most a fourth"
            raise ValueError(f"{said}, for the task 'stamps'. Received: positions {self._axes.size}")
        return side

    # ------------------------------------------------------------------ samples
    def draw(self, samples: int, seed: int = 0, purpose: str = "held out") -> Planted:
        """Samples with stamps: those for training from one half of the user's, all others from the other half."""
        random = generator(seed, f"stamps: {purpose}")
        half = self._halves[0 if purpose.startswith("training") else 1]
        x, y = self._data[half[random.integers(0, len(half), samples)]], random.integers(0, 2, samples).astype("int32")
        size, channel = self._axes.size, self._axes.channel
        corners = np.stack([random.integers(0, n - self.side + 1, samples) for n in size], axis=1)
        masks = np.zeros((samples, *size), bool)
        for sample, one, corner, mask in zip(x, y, corners, masks, strict=True):
            place, patch = [slice(c, c + self.side) for c in corner], self._patches[one]
            mask[tuple(place)] = True
            if channel is not None:  # the channel axis of a sample is one before that of samples
                place.insert(channel - 1, slice(None))
                patch = np.expand_dims(patch, channel - 1)
            sample[tuple(place)] = self._values(sample, patch)
        return Planted(x, y, masks)

    @cached_property
    def _patches(self) -> Array:
        """Where each stamp has its higher value, booleans (2, *sides)."""
        dims, bands = len(self._axes.size), 4 if self.side >= 4 else self.side
        band = np.arange(self.side) * bands // self.side
        shape = (self.side,) * dims
        first = np.broadcast_to((band % 2 == 0).reshape(-1, *[1] * (dims - 1)), shape)
        last = band % 2 == 0 if dims > 1 else band < (bands + 1) // 2
        return np.stack([first, np.broadcast_to(last, shape)])

    def _values(self, sample: Array, patch: Array) -> Array:
        """A stamp's values for a sample: of each channel the two that are furthest apart."""
        low, high = self._low, self._high
        channel = self._axes.channel
        over = tuple(a for a in range(sample.ndim) if channel is None or a != channel - 1)
        mean = sample.mean(axis=over, keepdims=True)
        # Planting moves the mean by no more than the stamp's share of the positions.
        share = self.side ** len(self._axes.size) / np.prod(self._axes.size)
        levels = low + (high - low) * np.linspace(0, 1, _LEVELS).reshape(-1, *[1] * sample.ndim)
        spread = np.maximum(high - low, 1e-12)
        free = (np.abs(levels) > _MARGIN * spread) & (np.abs(levels - mean) > (_MARGIN + share) * spread)
        lowest = np.where(free, levels, np.inf).min(axis=0)
        highest = np.where(free, levels, -np.inf).max(axis=0)
        lowest, highest = (np.where(np.isfinite(v), v, high) for v in (lowest, highest))
        return np.where(patch, highest, lowest).astype("float32")

    # ------------------------------------------------------------------ the network
    @property
    def _keeps_head(self) -> bool:
        return len(self._shape) == 1 and self._shape[0] >= 2

    def network(self, seed: int) -> keras.Model:
        """A compiled copy of the user's network, with a new head where it has no two classes."""
        network = _copied(self._model)
        network.trainable = True
        for layer in layers_of(network):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False  # few samples would spoil its statistics
        kept = getattr(network, "outputs", None) or []  # a subclass has none
        if not self._keeps_head or len(kept) > 1:
            inputs = network.inputs[0] if kept else keras.Input(self._data.shape[1:], dtype=self._data.dtype)
            y = kept[self._output] if kept else network(inputs)
            network = keras.Model(inputs, y if self._keeps_head else self._headed(network if len(kept) == 1 else None, y, seed))
        network.compile(keras.optimizers.Adam(self._rates[0], clipnorm=1.0), self._loss)
        return network

    def _headed(self, network: keras.Model | None, y: Any, seed: int) -> Any:
        """Two classes, on what the last layer with weights was given, where that can be told, else on the output."""
        last = [] if network is None else [layer for layer in network.layers if layer.weights][-1:]
        if last and len(self._shape) == 1 and not isinstance(last[0], keras.Model):
            try:
                before = last[0].input
            except (AttributeError, ValueError):  # it is used twice
                before = None
            y = before if isinstance(before, keras.KerasTensor) else y
        axes = tuple(range(1, len(y.shape) - 1))
        y = keras.ops.mean(y, axis=axes) if axes else y
        first = keras.initializers.GlorotUniform(100 * seed)
        return keras.layers.Dense(2, "softmax", kernel_initializer=first, name="which_stamp")(y)

    def trained(self, seed: int) -> keras.Model:
        """A copy that was trained on, with the first learning rate that teaches it."""
        for rate in self._rates:
            network = self.network(seed)
            network.optimizer.learning_rate = rate
            self._taught(network, seed)
            if len(self._rates) == 1 or self.enough(network, seed):
                break
        return network

    def enough(self, network: keras.Model, seed: int) -> bool:
        """Whether it gets nearly all of some held-out samples right, other ones than those it is judged by."""
        return self.held_out(network, seed, 0, 96, "stopping").accuracy > (1 + self.accuracy) / 2


def _copied(model: keras.Model) -> keras.Model:
    """A model of the same layers and weights, which shares nothing with the first."""
    try:
        made = keras.models.clone_model(model) if getattr(model, "outputs", None) else copy.deepcopy(model)
        made.set_weights(model.get_weights())
    except Exception as error:
        raise ValueError(f"`model` must be one that Keras can copy, for the task 'stamps'. Received: {error}") from error
    return made


def _loss(outputs: Array) -> Any:
    """The loss of a head: of a softmax, of sigmoids, or of logits, by what it says of the user's samples."""
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return "sparse_categorical_crossentropy"
    if (outputs >= 0).all() and (outputs <= 1).all():
        return _first_two
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _first_two(y: Any, outputs: Any) -> Any:
    wanted = keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), "int32"), 2, dtype=outputs.dtype)
    return keras.losses.binary_crossentropy(wanted, outputs[:, :2])


register("stamps", Stamps)
