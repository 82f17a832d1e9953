"""What a call asks for, besides the samples: the arguments of `analyze` and `explain` as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.inputs.contrast import Contrast
from innspect.inputs.passing import Channels
from innspect.inputs.units import layer_of
from innspect.types import Neuron


@dataclass(frozen=True)
class Asked:
    """The arguments of a call.

    Attributes:
        neuron, neurons, batch_size, output, verbose, contrast, through: See `Analyzer.analyze`.
        at: The layers whose signals are wanted; None: only the attributions are.
    """

    neuron: Neuron = None
    neurons: Sequence[Neuron] | None = None
    batch_size: int | None = None
    output: int | str = 0
    verbose: int = 0
    contrast: Contrast = None
    through: Channels = None
    at: tuple[Any, ...] | None = None

    @property
    def listed(self) -> list[Any]:
        """What is asked for, one after the other."""
        return list(self.neurons) if isinstance(self.neurons, list | tuple | np.ndarray) else [self.neuron]

    @property
    def has_units(self) -> bool:
        """Whether units of layers are among it."""
        return any(layer_of(neuron) is not None for neuron in self.listed)
