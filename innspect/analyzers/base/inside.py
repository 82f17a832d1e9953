"""Units as targets: each is explained by this method for the model up to its layer.

So a unit is an output like any other, for every method: its rules, its folding and its layers are those of the model that
ends there. The analyzers of such models are made when they are first asked for, and kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.assembly import some
from innspect.analyzers.base.concepts import Concepts, concepts_of, one_by_one
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.explanation import Explanation
from innspect.inputs.batches import batches_of, is_stream
from innspect.inputs.contrast import Contrast
from innspect.inputs.passing import Passing
from innspect.inputs.units import Unit, cut_at, layer_of, selection_of
from innspect.types import Nest, Neuron

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


class Inside(Configured):
    """Part of `Analyzer`: what lies between the inputs and the outputs."""

    neuron_selection_mode: str | None
    _inner_ones: "dict[str, Analyzer]"

    def up_to(self, layer: str) -> "Analyzer":
        """An analyzer like this one for the model up to a layer, whose output is the layer's; of attention the heads.

        Args:
            layer: The layer's path; "conv5[1]" for its second call.

        Raises:
            KeyError: No layer has this path.
            ValueError: The model is a function, or the layer makes no numbers that depend on the inputs.
        """
        if getattr(self.opened, "name", None) == layer:
            return self  # type: ignore[return-value]
        made = vars(self).setdefault("_inner_ones", {})
        if layer not in made:
            made[layer] = self._made_up_to(layer)
        return made[layer]

    def concepts(
        self,
        x: Nest,
        neuron_selection: Neuron = None,
        *,
        at: str,
        top: int = 5,
        normalize: bool = False,
        batch_size: int | None = None,
        output: int | str = 0,
        contrast: Contrast = None,
    ) -> Concepts:
        """The channels of a layer that weigh most in what is explained, and a map through each (Achtibat et al. 2023).

        The relevance of a channel is the sum of the signal over its positions; of attention the channels are the heads. A map
        through a channel is that of `analyze` with `through={at: channel}`.

        Args:
            x, neuron_selection, batch_size, output, contrast: As for `analyze`.
            at: The layer's path.
            top: How many channels, those of the largest relevance first; at ties the smaller number.
            normalize: Whether relevances are shares of the sum of all channels' magnitudes.

        Returns:
            `Concepts`, with `ids`, `relevances` and `maps`, samples first, then the channels.

        Raises:
            KeyError: No layer has this path.
            ValueError: The method sends no signal, no signal passes the layer, or it has not so many channels.

        Examples:
            >>> found = analyzer.concepts(x, 3, at="block4_conv3", top=5)
            >>> found.ids[0], found.relevances[0], found.maps[0].shape
        """
        asked = Asked(neuron_selection, None, batch_size, output, 0, contrast)

        def found(batch: Nest) -> Concepts:
            if getattr(self.opened, "site", None) is None and asked.has_units:
                inner = self.up_to(str(layer_of(neuron_selection)))
                return concepts_of(inner, batch, replace(asked, output=0), at, top, normalize)
            return concepts_of(self, batch, asked, at, top, normalize)  # type: ignore[arg-type]

        return Concepts.join(some(map(found, batches_of(x)))) if is_stream(x) else found(x)

    def concepts_found(self, x: Nest, asked: Asked, layer: Passing, top: int) -> dict[str, Any]:
        """What `concepts_of` needs: see `one_by_one`."""
        return one_by_one(self, x, asked, layer, top)  # type: ignore[arg-type]

    def _forget_inside(self) -> None:
        """What was learned has changed: the analyzers up to a layer are made anew."""
        vars(self).pop("_inner_ones", None)

    def _made_up_to(self, layer: str) -> Any:
        if self.opened is None:
            raise ValueError(
                f"A unit needs a Keras model that can be opened, whose layers can be seen. Received: a unit of the layer "
                f"{layer!r}, and the model {self.model!r}"
            )
        return self._made_anew(cut_at(self.opened, layer), self.arguments_up_to(layer), self.state())

    def arguments_up_to(self, layer: str) -> dict[str, Any]:
        """The arguments of the analyzer for the model up to a layer."""
        return self.untaught() | {"labels": None, "neuron_selection_mode": None, "name": self.name}

    def of_units(self, neuron: Any, samples: int) -> Any:
        """Units of the layer that this analyzer's model ends at, as a `Selection`; all else as it is."""
        site = getattr(self.opened, "site", None)
        if site is None or layer_of(neuron) is None:
            return neuron
        units = [neuron] if isinstance(neuron, Unit) else list(neuron)
        if len(units) != 1 and len(units) != samples:
            raise ValueError(
                f"`neuron_selection` must be one unit, or one for each of the {samples} samples. Received: {len(units)} units"
            )
        return selection_of(units, site, samples)

    def _of_layers(self, x: Nest, asked: Asked) -> Explanation:
        """What is asked for where units are among it: for each layer by the analyzer of the model up to there."""
        if self.neuron_selection_mode in ("max_activation", "all"):
            raise ValueError(
                f"Units cannot be chosen with neuron_selection_mode={self.neuron_selection_mode!r}. Received: {asked.listed!r}"
            )
        groups: dict[str | None, list[int]] = {}
        for number, neuron in enumerate(asked.listed):
            groups.setdefault(layer_of(neuron), []).append(number)
        found = {}
        for layer, numbers in groups.items():
            these = [asked.listed[i] for i in numbers]
            mine = replace(asked, neurons=these) if asked.neurons is not None else replace(asked, neuron=these[0])
            analyzer: Any = self if layer is None else self.up_to(layer)
            found[layer] = analyzer._run(x, mine if layer is None else replace(mine, output=0))
        return _together(list(found.values()), list(groups.values())) if len(found) > 1 else found.popitem()[1]


def _together(parts: Sequence[Explanation], places: Sequence[Sequence[int]]) -> Explanation:
    """Explanations of several neurons each as one, whose neurons stand at the places given.

    The model's own output is that of the first part.
    """
    order = np.argsort([place for group in places for place in group])

    def whole(name: str) -> Any:
        found = [getattr(part, name) for part in parts]
        if name == "delta" and any(delta is None for delta in found):
            return None
        return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays)[order], *found)

    details = [part.details for part in parts]
    alike = all(list(each) == list(details[0]) for each in details)
    changed = {name: whole(name) for name in ("attributions", "targets", "delta", "signals")}
    return replace(parts[0], **changed, details=whole("details") if alike else {})
