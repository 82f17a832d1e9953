"""Neurons by the names of their classes, for an analyzer that knows them."""

from typing import Any

import numpy as np

from innspect import labels as names_of_neurons
from innspect.analyzers.base.config import Configured
from innspect.labels import Labels
from innspect.types import Shape


class Named(Configured):
    """Base of `Analyzer`: labels, and what a name stands for."""

    _labels: Labels | None = None

    @property
    def labels(self) -> Labels | None:
        """The names of the output's classes; set to a list, a file or another form that `innspect.labels.read` takes.

        A model with several outputs has labels for those with as many neurons.
        """
        return self._labels

    @labels.setter
    def labels(self, given: Any) -> None:
        outputs = self.opened.graph.outputs if self.opened is not None else []
        shape = tuple(outputs[0].shape[1:]) if len(outputs) == 1 else (None,)
        self._labels = names_of_neurons.read(given, shape[-1] if shape else 1)

    def numbered(self, neuron: Any, shape: Shape | None = None) -> Any:
        """What is explained, with a name, or a list of names with one for each sample, as numbers; the rest as it is.

        Args:
            neuron: As for `analyze`.
            shape: Of one sample's output, which the labels must fit; None where that was looked at before.

        Raises:
            ValueError: No class, or several, are called so; or the labels are not those of an output of this shape.
        """
        names = [neuron] if isinstance(neuron, str) else neuron
        if self._labels is None or not _are_names(names):
            return neuron
        labels = self._labels if shape is None else self._labels.fitting(shape[-1] if shape else 1)
        numbers = [labels.find(str(name)) for name in names]
        return numbers[0] if isinstance(neuron, str) else np.array(numbers)


def _are_names(listed: Any) -> bool:
    """Whether these are names of classes, not the word for all of them."""
    if not isinstance(listed, list | np.ndarray) or np.ndim(listed) != 1 or not len(listed):
        return False
    return all(isinstance(n, str) for n in listed) and list(listed) != ["all"]
