"""What is said of one explained neuron, in notebooks, reports and files: its name, its output, the explained value."""

from typing import TYPE_CHECKING

import numpy as np

from innspect.labels import Labels
from innspect.types import Array

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation


def share_told(value: float) -> str:
    """A share in percent; one that is not 0 or not 1 is not said to be so."""
    if 0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 < value < 1:
        return ">99.9%"
    return f"{value:.1%}"


def are_shares(outputs: Array, explains: str | None = None) -> bool:
    """Whether outputs, such as of one sample, are probabilities.

    Args:
        outputs: (..., neurons).
        explains: "logit" where there is a softmax or a sigmoid that was stripped; else they are if they add up to 1.
    """
    if not outputs.size or not ((outputs >= 0) & (outputs <= 1)).all():
        return False
    add_up = outputs.ndim > 0 and outputs.shape[-1] > 1 and np.allclose(outputs.sum(axis=-1), 1, atol=0.01)
    return explains == "logit" or bool(add_up)


def output_of(outputs: Array, neuron: int) -> float:
    """The output of a neuron for one sample, (..., neurons): where there are positions, the mean over them."""
    return float(np.mean(outputs[..., neuron])) if np.ndim(outputs) else float(outputs)


def output_told(outputs: Array, neuron: int, explains: str | None = None) -> str:
    """As `output_of` in words, probabilities in percent; `explains` as for `are_shares`."""
    value = output_of(outputs, neuron)
    said = share_told(value) if are_shares(outputs, explains) else f"{value:.4g}"
    return f"{said} on average" if np.ndim(outputs) > 1 else said


def target_told(target: float, explains: str | None) -> str:
    """The explained value in words, such as "logit 10.16"."""
    return f"{ {'logit': 'logit', 'output': 'explains'}.get(explains or '', 'target') } {target:.4g}"


def captions_of(explanation: "Explanation", neuron: int | None = None, between: str = ", ") -> list[str]:
    """A caption for each sample: the class that was explained, and the one that was predicted where it is another.

    Args:
        explanation: The `Explanation`.
        neuron: Which of several neurons; None where it is of one.
        between: What stands between its parts, such as a line's end.
    """
    outputs, settings = np.asarray(explanation.outputs), explanation.settings
    targets = np.ravel(explanation.targets if neuron is None else explanation.targets[neuron])
    given = explanation.neurons
    numbers = None if given is None else np.asarray(given if neuron is None else given[neuron])
    names = settings.get("labels")
    labels = None if names is None or not outputs.ndim or len(names) != outputs.shape[-1] else Labels(names)

    def called(number: int) -> str:
        return f"class {number}" if labels is None else labels.short(number)

    classes = outputs.ndim == 2 and outputs.shape[1] > 1 and len(outputs) == len(targets)
    told, explains = [], settings.get("explains")
    for i, target in enumerate(targets):
        parts = []
        chosen = -1 if numbers is None else int(numbers[i])
        several = outputs.ndim > 1 and outputs.shape[-1] > 1
        if chosen >= 0 and several:
            parts.append(f"{called(chosen)} {output_told(outputs[i], chosen, explains)}")
        elif chosen >= 0 and outputs.ndim == 2 and are_shares(outputs[i], explains):
            parts.append(f"output {output_told(outputs[i], 0, explains)}")
        if settings.get("contrast") is not None:
            parts.append("in contrast")
        said_already = explains == "output" and chosen >= 0 and np.isclose(target, outputs[i].ravel()[chosen])
        if not (said_already and parts and outputs.ndim <= 2):
            parts.append(target_told(target, explains))
        if classes and numbers is not None:
            first = int(np.nan_to_num(outputs[i], nan=-np.inf).argmax())
            if chosen not in (first, -1) and outputs[i, chosen] < outputs[i, first]:
                parts.append(f"predicted {called(first)} {output_told(outputs[i], first, explains)}")
        told.append(between.join(parts))
    return told
