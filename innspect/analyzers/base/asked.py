"""What a call asks for, besides the samples: the arguments of `analyze` and `explain` as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from innspect.inputs.contrast import Contrast
from innspect.inputs.passing import Channels
from innspect.inputs.units import Quantity, Sum, Unit
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
    batch_size: int = 32
    output: int | str = 0
    verbose: int = 0
    contrast: Contrast = None
    through: Channels = None
    at: tuple[Any, ...] | None = None

    @property
    def listed(self) -> list[Any]:
        """What is asked for, one after the other."""
        return [self.neuron] if self.neurons is None or isinstance(self.neurons, str | dict) else list(self.neurons)

    @property
    def has_units(self) -> bool:
        """Whether units of layers are among it."""
        return any(layer_of(neuron) is not None for neuron in self.listed)


def layer_of(neuron: Any) -> str | None:
    """The layer of a unit, or of a list of units with one for each sample; None for a neuron of the output.

    Raises:
        ValueError: The units are of several layers.
        TypeError: It is a sum of units.
    """
    listed = neuron if isinstance(neuron, list | tuple) else [neuron]
    units = [each for each in listed if isinstance(each, Quantity)]
    if not units:
        return None
    if any(isinstance(each, Sum) for each in units):
        raise TypeError(
            "Sums of units are targets of `innspect.synthesize`. To explain one, add the maps of its units, which `neurons` "
            f"takes as a list. Received: {neuron!r}"
        )
    layers = {each.layer for each in listed if isinstance(each, Unit)}
    if len(layers) != 1 or len(units) != len(listed):
        raise ValueError(
            "`neuron_selection` as a list of units has one for each sample, all of one layer; `neurons` takes a list of what "
            f"is to be explained of every sample. Received: {neuron!r}"
        )
    return layers.pop()
