"""Units as targets: each is explained by this method for the model up to its layer.

So a unit is an output like any other, for every method: its rules, its folding and its layers are those of the model that
ends there. The analyzers of such models are made when they are first asked for, and kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.analyzers.base.asked import Asked, layer_of
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.explanation import Explanation
from innspect.graph.opened.cut import CutModel
from innspect.inputs.sites import UnitSite, site_of
from innspect.inputs.units import Unit, selection_of
from innspect.types import Nest

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


class Inside(Configured):
    """Part of `Analyzer`: what lies between the inputs and the outputs."""

    neuron_selection_mode: str | None
    _inner_ones: "dict[str, Analyzer]"

    def up_to(self, layer: str) -> "Analyzer":
        """This analyzer for the model up to a layer, whose output is the layer's; of attention the heads.

        Args:
            layer: The layer's path; "conv5[1]" for its second call.

        Raises:
            KeyError: No layer has this path.
            ValueError: The model is a function, or the layer makes no numbers that depend on the inputs.
        """
        made = vars(self).setdefault("_inner_ones", {})
        if layer not in made:
            made[layer] = self._made_up_to(layer)
        return made[layer]

    def _forget_inside(self) -> None:
        """What was learned has changed: the analyzers up to a layer are made anew."""
        vars(self).pop("_inner_ones", None)

    def _made_up_to(self, layer: str) -> Any:
        if self.opened is None:
            raise ValueError(
                f"A unit needs a Keras model that can be opened, whose layers can be seen. Received: a unit of the layer "
                f"{layer!r}, and the model {self.model!r}"
            )
        site = site_of(self.opened.graph, layer)
        model = CutModel(self.opened, site.tensor, layer, site.frames)
        model.site = site
        return self._made_anew(model, self.arguments_up_to(layer, site), self.state())

    def arguments_up_to(self, layer: str, site: UnitSite) -> dict[str, Any]:
        """The arguments of the analyzer for the model up to a layer: a head is taken off the model's own output only."""
        arguments = self.untaught() | {"labels": None, "neuron_selection_mode": None, "name": self.name}
        if site.tensor not in self.opened.graph.outputs and "head" in arguments:
            arguments["head"] = "output"
        return arguments

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
            some = [asked.listed[i] for i in numbers]
            mine = replace(asked, neurons=some) if asked.neurons is not None else replace(asked, neuron=some[0])
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
