"""The true class of every sample, of labels as `fit` is given them, and knowledge of the other classes."""

from typing import Any

from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.heads import is_head
from innspect.graph.opened.opened_model import OpenedModel
from innspect.types import BackendTensor

_SMALLEST = 1e-30  # of a probability whose logarithm is taken


def true_class(y: Any, explained: BackendTensor) -> BackendTensor:
    """The weights of the explained tensor's elements (batch, classes): 1 at the true class, 0 elsewhere.

    Of a single unit that says yes or no they are 1 for yes and -1 for no, what speaks for the truth.

    Args:
        y: Labels: whole numbers (batch,) or (batch, 1), or one for each class, (batch, classes), of which the largest is true.
        explained: The explained tensor, (batch, classes).

    Raises:
        ValueError: They are no such labels.
    """
    classes = explained.shape[-1]
    labels = None if isinstance(y, dict | list | tuple) or y is None else ops.convert_to_tensor(y)
    shape = None if labels is None else tuple(labels.shape)
    if shape is None or len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] not in (1, classes)):
        received = type(y).__name__ if shape is None else f"shape {shape}"
        raise ValueError(
            f"`y` must be labels, whole numbers of shape (batch,), or of shape (batch, {classes}) with one for each class, "
            f"since the maps that are compared are those of the true class. Received: {received}"
        )
    if classes == 1:
        yes = ops.cast(ops.reshape(labels, (-1, 1)), explained.dtype) > 0.5
        return ops.where(yes, ops.ones_like(explained), -ops.ones_like(explained))
    one_each = len(shape) == 2 and shape[1] == classes
    numbers = ops.argmax(labels, axis=-1) if one_each else ops.cast(ops.reshape(labels, (-1,)), "int32")
    return ops.one_hot(numbers, classes, dtype=explained.dtype)


def classes_of(opened: OpenedModel, name: str) -> int:
    """The number of classes of a model that tells the class of each sample.

    Raises:
        NotAnalyzeableModelError: It tells something else.
    """
    outputs = opened.graph.outputs
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or outputs[0].shape[-1] is None:
        raise NotAnalyzeableModelError(
            f"`{name}` must have one output, (batch, classes), since the maps that are compared are those of the true class. "
            f"Received: outputs of shapes {[tuple(t.shape) for t in outputs]}"
        )
    return outputs[0].shape[-1]


class Knowledge:
    """What a teacher knows of all classes (Hinton, Vinyals and Dean 2015, eq. 1 and sec. 2.1).

    The squared temperature times the divergence of the student's softened probabilities from the teacher's: up to a constant
    their cross-entropy, and 0 where both say the same.

    Args:
        student: The student.
        temperature: What logits are divided by.

    Raises:
        NotAnalyzeableModelError: The student ends in one sigmoid for each of several classes.
    """

    def __init__(self, student: OpenedModel, temperature: float):
        self.temperature = temperature
        (output,) = student.graph.outputs
        node = student.graph.producer(output)
        self._head = (node.operation if node.operation in ("Sigmoid", "LogSoftmax") else "Softmax") if is_head(node) else ""
        if self._head == "Sigmoid" and output.shape[-1] != 1:
            raise NotAnalyzeableModelError(
                "`base` must be None where the student ends in a sigmoid for each class: softened probabilities are those of a "
                f"softmax. Received: {student.model.name!r}, whose output has shape {tuple(output.shape)}"
            )

    def __call__(self, y_pred: BackendTensor, logits: BackendTensor) -> BackendTensor:
        """The term of every sample, (batch,), of the student's predictions and the teacher's logits, (batch, classes)."""
        told = ops.log_softmax(_of_two(logits) / self.temperature, axis=-1)
        said = ops.log_softmax(_of_two(self._logits(ops.cast(y_pred, logits.dtype))) / self.temperature, axis=-1)
        return self.temperature**2 * ops.sum(ops.exp(told) * (told - said), axis=-1)

    def _logits(self, y: BackendTensor) -> BackendTensor:
        if self._head == "Softmax":
            return ops.log(ops.maximum(y, _SMALLEST))  # up to a constant for each sample
        if self._head == "Sigmoid":
            return ops.log(ops.maximum(y, _SMALLEST)) - ops.log(ops.maximum(1 - y, _SMALLEST))
        return y


def _of_two(logits: BackendTensor) -> BackendTensor:
    """The logits of yes and no, where there is one unit for both."""
    return ops.concatenate([ops.zeros_like(logits), logits], axis=-1) if logits.shape[-1] == 1 else logits
