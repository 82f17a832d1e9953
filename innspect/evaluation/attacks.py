"""Attacks on samples: FGSM and PGD, by the gradient of the cross-entropy of the explained class."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import check_order, is_number
from innspect.evaluation.trial import Trial
from innspect.inputs.batches import as_numbers
from innspect.inputs.predictor import Network
from innspect.types import Array, BackendTensor, Tensors

Loss = Callable[[BackendTensor, BackendTensor], BackendTensor]  # from the explained tensor and classes to (batch,)

_STEP = 2.5  # of PGD, in shares of eps / steps


class Attack:
    """An attack on the samples of a `Trial`. Arguments as of the metric `adversarial`.

    A model of one unit has two classes, the unit's sign, or for a sigmoid below and above 1/2: an attack drives it to the
    other side.

    Attributes:
        wanted: The class that is wanted of each sample, (samples,), or None.
    """

    def __init__(self, trial: Trial, *, attack: str, eps: float, steps: int, wanted: Any, value_range: Any):
        if not isinstance(trial.predictor, Network):
            raise TypeError("An attack needs the gradient of a Keras model. Received: a function")
        still = [i for i in range(len(trial.arrays)) if not trial.repeatable(i)]
        if still:
            raise ValueError(f"An attack needs inputs of numbers that can be moved. Received: ids or text as input {still[0]}")
        self._trial, self._eps = trial, eps
        self._steps, self._length = (1, eps) if attack == "fgsm" else (steps, _STEP * eps / steps)
        self._bounds = _bounds(value_range)
        self._one = trial.outputs.ndim == 1 or trial.outputs.shape[-1] == 1
        explained = trial.classes  # raises where there is none
        self.wanted = None if wanted is None else self._checked(wanted)
        if self.wanted is None:
            self._of, self._sign = self.classes(trial.arrays) if self._one else explained, 1
        else:
            self._of, self._sign = self.wanted, -1
        self._kind = self._kind_of(trial.predictor)

    def _checked(self, wanted: Any) -> Array:
        given, samples = as_numbers(wanted, "wanted"), self._trial.samples
        classes = 2 if self._one else self._trial.outputs.shape[-1]
        if given.dtype.kind not in "iu" or given.shape not in ((), (samples,)) or given.min() < 0 or given.max() >= classes:
            raise ValueError(
                f"`wanted` must be a class between 0 and {classes - 1}, or one for each of the {samples} samples. "
                f"Received: {wanted!r:.100}"
            )
        return np.broadcast_to(given, (samples,)).astype("int32")

    def _kind_of(self, network: Network) -> str:
        """What the explained tensor holds: logits of a "softmax" or of "sigmoids", of "one" unit, or a "probability"."""
        graph, number = network.opened.graph, self._trial.output
        output = graph.outputs[number]
        head = None if network.explained(number) is output else graph.producer(output)
        if self._one:
            return "one"
        if head is not None:
            return "sigmoids" if head.operation == "Sigmoid" else "softmax"
        return "probability" if self._trial.score("probability").key == "output" else "softmax"

    def classes(self, arrays: list[Array]) -> Array:
        """What the model says of samples, integers (samples,)."""
        explained = self._trial.run("explained", arrays).reshape(self._trial.samples, -1)
        return (explained[:, 0] > 0 if self._one else explained.argmax(axis=1)).astype("int32")

    def samples(self) -> list[Array]:
        """The attacked samples, an array for each input."""
        trial, result = self._trial, [a.copy() for a in self._trial.arrays]
        for rows, count in trial.inputs.batches(trial.given_size):
            clean = [a[rows] for a in trial.arrays]
            ranges = [_ranges(a) for a in clean]
            moved = clean
            for _ in range(self._steps):
                slopes = self._gradient(moved, rows)
                moved = [self._step(*each) for each in zip(moved, clean, ranges, slopes, strict=True)]
                trial.progress.advance(count)
            for array, values in zip(result, moved, strict=True):
                array[rows] = values
        return result

    def _step(self, x: Array, clean: Array, range: Array, slope: Array) -> Array:
        far = x + self._sign * self._length * range * np.sign(slope)
        near = np.clip(far, clean - self._eps * range, clean + self._eps * range)
        return np.clip(near, *self._bounds).astype(clean.dtype)

    def _gradient(self, arrays: list[Array], rows: Array) -> list[Array]:
        trial, look = self._trial, _slopes(self._trial, _LOSSES[self._kind])
        tensors = [ops.convert_to_tensor(a) for a in arrays]
        classes = ops.convert_to_tensor(self._of[rows].astype("int32"))
        found = trial.call(("attack", self._kind), look, tensors, classes)
        return [backend.to_numpy(slope).astype("float64") for slope in found]


def _bounds(value_range: Any) -> tuple[float, float]:
    if value_range is None:
        return -np.inf, np.inf
    if not isinstance(value_range, tuple | list) or len(value_range) != 2 or not all(map(is_number, value_range)):
        raise ValueError(f"`value_range` must be None or two numbers, (low, high). Received: {value_range!r}")
    check_order(*value_range)
    return float(value_range[0]), float(value_range[1])


def _ranges(x: Array) -> Array:
    """The range of each sample, (batch, 1, ...)."""
    axes = tuple(range(1, x.ndim))
    return x.max(axis=axes, keepdims=True).astype("float64") - x.min(axis=axes, keepdims=True)


# Compiled and kept beyond the trial, so this must not hold on to it.
def _slopes(trial: Trial, loss: Loss) -> Callable[[Tensors, BackendTensor], Tensors]:
    evaluate, fed = trial.predictor.evaluator(trial.output, trial.inputs), trial.fed

    def look(xs: Tensors, classes: BackendTensor) -> Tensors:
        losses, pullback = backend.vjp(lambda *xs: [loss(evaluate(fed(list(xs)))[0], classes)], xs)
        return pullback([ops.ones_like(losses[0])])

    return look


# Each has the sign of the cross-entropy's gradient, which is this one's times a positive number that float32 may round to 0
# where the model is sure.
def _of_softmax(y: BackendTensor, classes: BackendTensor) -> BackendTensor:
    own = ops.one_hot(classes, y.shape[-1], dtype="bool")
    rivals = ops.where(own, ops.cast(-np.inf, y.dtype), y)
    return ops.logsumexp(rivals, axis=-1) - _chosen(y, classes)


def _of_each(y: BackendTensor, classes: BackendTensor) -> BackendTensor:
    return -_chosen(y, classes)


def _of_one(y: BackendTensor, classes: BackendTensor) -> BackendTensor:
    return ops.cast(1 - 2 * classes, y.dtype) * ops.reshape(y, (-1,))


def _chosen(values: BackendTensor, classes: BackendTensor) -> BackendTensor:
    return ops.sum(values * ops.one_hot(classes, values.shape[-1], dtype=values.dtype), axis=-1)


_LOSSES: dict[str, Loss] = {"softmax": _of_softmax, "sigmoids": _of_each, "probability": _of_each, "one": _of_one}
