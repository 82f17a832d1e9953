"""Maps as the file has them: samples first, then the neurons where there are several, then the channels."""

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.request import Request
from innspect.graph.channels import reads_channels_first
from innspect.nests import packed, unpacked
from innspect.types import Array, Nest

_KEPT, _MOVED, _ADDED = "kept", "moved", "added"  # channels: as they were, from the last axis to the first, an axis of 1


@dataclass(frozen=True)
class Form:
    """How rows of the file are made of a nest of maps, and the nest of these.

    Attributes:
        paths: Of the arrays, one for each input.
        axes: What is done to the axes of each.
        structure: The nest, as `packed` tells it.
        numbers: For each leaf of it, by the name that it has there, which input it is of.
        order: The inputs in the order of the leaves as Keras has it.
        several: Whether there is an axis of neurons.
    """

    paths: list[str]
    axes: list[str]
    structure: Any
    numbers: dict[str, int]
    order: list[int]
    several: bool

    @classmethod
    def of(cls, analyzer: Analyzer, request: Request, maps: Nest) -> "Form":
        """That of what was found for a request."""
        inputs, leaves = request.inputs, keras.tree.flatten(maps)
        numbered = inputs.pack([np.array(n) for n in range(len(leaves))])
        order, arrays = [int(n) for n in keras.tree.flatten(numbered)], dict[str, Array]()
        structure = packed(numbered, arrays)
        lead = 2 if request.several else 1
        axes = [_axes(analyzer, request, number, leaves[order.index(number)].ndim - lead) for number in range(len(leaves))]
        numbers = {name: int(number) for name, number in arrays.items()}
        return cls(_paths(analyzer, len(leaves)), axes, structure, numbers, order, request.several)

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> "Form":
        return cls(**told)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self, maps: Nest) -> dict[str, Array]:
        """The arrays (samples, ...) of the file, by path."""
        leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(maps)]
        found = {}
        for number, path in enumerate(self.paths):
            array = leaves[self.order.index(number)]
            array = np.moveaxis(array, 0, 1) if self.several else array
            at, axes = 2 if self.several else 1, self.axes[number]
            found[path] = (
                np.moveaxis(array, -1, at) if axes == _MOVED else np.expand_dims(array, at) if axes == _ADDED else array
            )
        return found

    def maps(self, rows: dict[str, Array]) -> Nest:
        """What `rows` was given."""
        arrays = []
        for number, path in enumerate(self.paths):
            at, axes, array = 2 if self.several else 1, self.axes[number], rows[path]
            array = np.moveaxis(array, at, -1) if axes == _MOVED else np.squeeze(array, at) if axes == _ADDED else array
            arrays.append(np.ascontiguousarray(np.moveaxis(array, 1, 0) if self.several else array))
        return unpacked(self.structure, {name: arrays[number] for name, number in self.numbers.items()})


def _axes(analyzer: Analyzer, request: Request, number: int, axes: int) -> str:
    """What is done to a sample's axes, of which there are so many in its map."""
    opened, taken = analyzer.opened, request.inputs.arrays[number].ndim - 1
    if axes < 2 or (opened is not None and opened.takes_ids(opened.graph.inputs[number])):
        return _KEPT
    if axes < taken:  # a map of positions, or an image without its axis of channels
        return _ADDED
    return _KEPT if opened is not None and reads_channels_first(opened.graph, number) else _MOVED


def _paths(analyzer: Analyzer, count: int) -> list[str]:
    """Where the maps of each input are in the file."""
    if count == 1:
        return ["attribution"]
    known = list(analyzer.opened.names) if analyzer.opened is not None else []
    names = [str(name).replace("/", "_").replace(".", "_") for name in known]
    usable = len(set(names)) == count and all(names)
    return [f"attribution/{name}" for name in (names if usable else [f"input {number}" for number in range(count)])]
