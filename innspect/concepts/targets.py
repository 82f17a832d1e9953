"""Whose relevance is collected: the targets of each batch, and the classes that statistics are told by."""

from typing import Any

import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.inputs.batches import as_numbers
from innspect.types import Array

PREDICTED = "predicted"


class Targets:
    """The targets of samples that come batch by batch.

    Args:
        analyzer: Whose targets they are; it may know the names of classes.
        target: What `collect` was given.
        number: The number of the model's output.
    """

    def __init__(self, analyzer: Analyzer, target: Any, number: int):
        shape = tuple(analyzer.opened.graph.outputs[number].shape[1:])
        named = isinstance(target, str) and target == PREDICTED
        self._target = target if named else analyzer.numbered(target, shape)
        if isinstance(self._target, list | np.ndarray):
            self._target = as_numbers(self._target, "target")
        self.classes = 1 if not shape else shape[-1] or 0
        self._flat = len(shape) <= 1

    @property
    def told(self) -> Any:
        """What tells one target from another, as text or a number."""
        target = self._target
        if isinstance(target, np.ndarray):
            return "an array"
        if target is None or isinstance(target, str | int):
            return target
        if isinstance(target, tuple | np.integer):
            return [int(i) for i in np.ravel(target)]
        return getattr(target, "__qualname__", str(target))

    def of(self, start: int, count: int, labels: Any) -> tuple[Any, Array | None]:
        """What `analyze` takes for some samples, and their classes; these are None where the model says them.

        Args:
            start: How many samples were before.
            count: How many there are.
            labels: What the data say of them, or None.

        Raises:
            ValueError: There are fewer targets than samples, or labels are no classes.
        """
        target = self._target
        if target is None and labels is not None:
            target = self._of_labels(labels, count)
            return target, target
        if target is None or (isinstance(target, str) and target == PREDICTED):
            return None, None
        if isinstance(target, np.ndarray) and target.dtype.kind in "iu" and target.ndim:
            self.check(start + count, more=True)
            part = target[start : start + count].reshape(count)
            return part, part
        if isinstance(target, int | np.integer) and not isinstance(target, bool):
            return int(target), np.full(count, int(target))
        return target, None

    def check(self, samples: int, more: bool = False) -> None:
        """Raise where there are fewer targets than samples, or more than all of them."""
        target = self._target
        if not (isinstance(target, np.ndarray) and target.dtype.kind in "iu" and target.ndim):
            return
        alone = target.ndim == 1 or (target.ndim == 2 and target.shape[1] == 1)
        if not alone or len(target) < samples or (len(target) > samples and not more):
            raise ValueError(
                "`target` must hold an integer for each sample. "
                f"Received: shape {target.shape}, and {samples} samples{' or more' if more else ''}"
            )

    @property
    def by_class(self) -> bool:
        """Whether the targets are classes, of an output without other axes or chosen by number."""
        target = self._target
        if target is None or (isinstance(target, str) and target == PREDICTED):
            return self._flat
        return isinstance(target, int | np.integer) or (isinstance(target, np.ndarray) and target.dtype.kind in "iu")

    def _of_labels(self, labels: Any, count: int) -> Array:
        """Numbers of classes, of integers or one-hot rows."""
        array = as_numbers(labels, "labels")
        array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
        if array.ndim == 2 and array.shape == (count, self.classes) and _one_hot(array):
            return array.argmax(axis=1)
        whole = array.dtype.kind in "iub" or (array.dtype.kind == "f" and np.array_equal(array, np.round(array)))
        if array.shape != (count,) or not whole:
            raise ValueError(
                "The labels of the data must be numbers of classes, or one-hot; else say what is explained, such as "
                f"target={PREDICTED!r}. Received: labels of shape {array.shape}, dtype {array.dtype}, for {count} samples"
            )
        return array.astype("int64")


def _one_hot(array: Array) -> bool:
    return bool(((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all())
