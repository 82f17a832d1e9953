"""Why this neuron rather than others: a neuron's weight of 1 with weights below zero at what it is compared with.

The sum of these weights is 0 where the others are all of one axis: what speaks for every class alike, such as an edge, is gone.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from keras import ops

from innspect.inputs.targets import Selection
from innspect.types import BackendTensor, Shape

Contrast: TypeAlias = str | int | Sequence[int] | None
"""What a neuron is compared with: "rest", "runner_up", an index of the last axis, or several."""

WORDS = ("rest", "runner_up")
_NEURONS = ("max", "index", "element", "place")


@dataclass(frozen=True, kw_only=True)
class Contrasted(Selection):
    """A neuron with others against it.

    Its values are, for each sample, what tells the neuron, `width` integers, then the classes that it is compared with: a
    negative one stands for the largest other, which is settled at the sample as it is; none for all others alike.

    Attributes:
        neuron: The `Selection` of the neuron, without values.
        width: How many integers tell it.
    """

    neuron: Selection
    width: int

    @property
    def key(self) -> Hashable:
        return (self.kind, self.neuron.key, self.width)

    def weights(self, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        neuron, others = self._parts(self.settled(values, y))
        chosen = self.neuron.weights(neuron, y)
        where = ops.max(chosen, axis=-1, keepdims=True)
        classes = y.shape[-1]
        if not others.shape[1]:
            return chosen - (where - chosen) / (classes - 1)
        against = ops.mean(ops.one_hot(others, classes, dtype=y.dtype), axis=1)
        return chosen - where * ops.reshape(against, (-1, *[1] * (len(y.shape) - 2), classes))

    def settled(self, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        neuron, others = self._parts(values)
        neuron = self.neuron.settled(neuron, y)
        if others.shape[1]:
            others = ops.where(others < 0, self._runner_up(neuron, y, others.dtype), others)
        return ops.concatenate([neuron if self.neuron.kind == "place" else neuron[:, None], others], axis=1)

    def _runner_up(self, neuron: BackendTensor, y: BackendTensor, dtype: Any) -> BackendTensor:
        """The class of the largest other value, (batch, 1); of a neuron that is summed over places, of the largest sum."""
        chosen = self.neuron.weights(neuron, y)
        of_classes = (y.shape[0], -1, y.shape[-1])
        sums = ops.sum(ops.reshape(y * ops.max(chosen, axis=-1, keepdims=True), of_classes), axis=1)
        own = ops.max(ops.reshape(chosen, of_classes), axis=1)
        return ops.cast(ops.argmax(ops.where(own > 0, float("-inf"), sums), axis=-1, keepdims=True), dtype)

    def _parts(self, values: BackendTensor) -> tuple[BackendTensor, BackendTensor]:
        neuron = values[:, : self.width]
        return neuron if self.neuron.kind == "place" else neuron[:, 0], values[:, self.width :]

    def check(self, shape: tuple[int, ...]) -> None:
        if self.neuron.kind == "place" and self.values is not None:
            replace(self.neuron, values=self.values[:, : self.width]).check(shape)


def contrasted(chosen: Selection, contrast: Contrast, shape: Shape, samples: int) -> Selection:
    """What is explained of a neuron in contrast to others.

    Args:
        chosen: The neuron.
        contrast: "rest": every other index of the last axis, in equal parts. "runner_up": the largest other. An integer, or
            several: these, in equal parts.
        shape: Shape of one sample's output; None where an axis is not known.
        samples: Number of samples.

    Raises:
        ValueError: It is none of these; there is no other neuron; or what is explained is no neuron.
    """
    if chosen.kind not in _NEURONS:
        raise ValueError(
            "`contrast` compares a neuron with others: `neuron_selection` must then be None, an integer, an integer for each "
            f"sample, or a tuple. Received: contrast={contrast!r} with what selects by {chosen.kind!r}"
        )
    classes = shape[-1] if shape else 1
    if classes == 1:
        raise ValueError(
            "`contrast` needs an output of several neurons along its last axis. "
            f"Received: contrast={contrast!r} for an output of shape {tuple(shape)}"
        )
    others = {"rest": np.empty(0, "int32"), "runner_up": np.array([-1])}.get(contrast) if isinstance(contrast, str) else None
    others = _indices(contrast, classes) if others is None else others
    neuron = np.full((samples, 1), -1) if chosen.values is None else chosen.values.reshape(samples, -1)
    values = np.concatenate([neuron, np.tile(others, (samples, 1))], axis=1).astype("int32")
    return Contrasted(kind="contrast", values=values, neuron=replace(chosen, values=None), width=neuron.shape[1])


def _indices(contrast: Any, classes: int | None) -> Any:
    """The classes that are named, checked."""
    given = np.asarray(contrast) if not isinstance(contrast, str) else np.empty(0)
    if given.dtype.kind not in "iu" or given.ndim > 1 or not given.size:
        raise ValueError(
            f'`contrast` must be None, "rest", "runner_up", an integer, or a list of integers. Received: {contrast!r}'
        )
    outside = given[(given < 0) | (given >= (np.inf if classes is None else classes))]
    if outside.size:
        raise ValueError(
            f"`contrast` must be between 0 and {'the last index' if classes is None else classes - 1}: the output has "
            f"{classes or 'so many'} neurons along its last axis. Received: {int(outside.flat[0])}"
        )
    return given.reshape(-1)
