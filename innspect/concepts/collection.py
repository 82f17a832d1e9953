"""The work of collecting: batches come, and a gallery grows."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.request import paths
from innspect.checks import Boolean, Count, Integer, OneOf
from innspect.concepts.fingerprint import settings_of
from innspect.concepts.gallery import Gallery
from innspect.concepts.measuring import Measured, measure_of, sites_of
from innspect.concepts.references import References
from innspect.concepts.targets import Targets
from innspect.graph.opened.fields import Field, fields
from innspect.graph.opened.layer_paths import inputs_read
from innspect.inputs.batches import Inputs
from innspect.inputs.units import layer_of
from innspect.patterns.fingerprint import layer_fingerprints
from innspect.types import Array, Nest, Path

BY, REDUCTIONS = ("relevance", "activation"), ("sum", "max")


def collection_of(
    analyzer: Analyzer,
    at: str | Iterable[str],
    *,
    by: str = "relevance",
    top: int = 16,
    target: Any = None,
    reduce: str = "sum",
    normalize: bool = False,
    by_class: int | None = None,
    crops: int = 8,
    batch_size: int | None = None,
    output: int | str = 0,
    first_id: int = 0,
) -> "Collection":
    """The `Collection` of a gallery without samples. Arguments as of `collect`, which are checked."""
    OneOf(*BY).check("by", by)
    OneOf(*REDUCTIONS).check("reduce", reduce)
    Boolean().check("normalize", normalize)
    Count().check("top", top)
    Integer().check_given("by_class", by_class)
    Integer().check("crops", crops)
    Integer(0, 1 << 62).check("first_id", first_id)
    Integer(1, or_none=True).check("batch_size", batch_size)
    if not isinstance(analyzer, Analyzer):
        raise TypeError(f"`analyzer` must be what `innspect.create_analyzer` returns. Received: {type(analyzer).__name__}")
    opened = analyzer.opened
    if opened is None:
        raise TypeError("`analyzer` must be of a Keras model, whose layers can be seen. Received: one of a function")
    listed = list(dict.fromkeys(paths(at, opened)))
    if not listed:
        raise ValueError("`at` must name at least one layer. Received: an empty list")
    inner = layer_of(target)  # of a unit, which is an output of the model up to its layer
    if inner is not None:
        analyzer, output = analyzer.up_to(inner), 0
        opened = analyzer.opened
    wanted = Targets(analyzer, target, opened.number(output))
    told = {"at": listed, "by": by, "reduce": reduce, "normalize": bool(normalize), "top": top, "crops": crops}
    told |= {"by_class": top if by_class is None else by_class, "target": wanted.told, "output": opened.number(output)}
    fresh = Gallery(settings_of(analyzer, told), opened.model.name, layer_fingerprints(opened.graph))
    return Collection(analyzer, fresh, listed, wanted, batch_size, first_id)


class Collection:
    """What takes batches for a gallery.

    Args:
        analyzer: The analyzer.
        gallery: The `Gallery`, which is written to; another one of its settings may take its place.
        at: Paths of layers.
        targets: The `Targets`.
        batch_size: Samples computed at once; None: as many as fit.
        first_id: The number of the first sample.
    """

    def __init__(
        self, analyzer: Analyzer, gallery: Gallery, at: Iterable[str], targets: Targets, batch_size: int | None, first_id: int
    ):
        self.analyzer, self.gallery, self.targets = analyzer, gallery, targets
        self._sites = sites_of(analyzer.opened.graph, at)
        self.batch_size, self._first = batch_size, first_id
        told = gallery.settings
        self._measure = measure_of(analyzer, self._sites, told["by"], told["reduce"], told["normalize"], told["output"])
        self._fields: dict[Any, dict[str, tuple[int, Field] | None]] = {}

    def check_same_run(self, given: dict[str, Any], path: Path | None) -> None:
        """Raise where a run is continued with other data."""
        before = self.gallery.progress
        for name, value in given.items():
            if before.get(name, value) != value:
                what = "first batch of data" if name == "first" else f"`{name}`"
                raise ValueError(
                    f"The file {str(path)!r} was begun with another {what}, so it cannot be gone on with: give another "
                    f"`path`, or resume=False to begin anew. Received: {value!r}, there {before[name]!r}"
                )
        before.update(given)

    def add(self, x: Nest, labels: Any, ids: Array | None = None) -> None:
        """Take the samples of a batch, which are numbered on where no `ids` are given, integers (samples,)."""
        inputs = Inputs(x, self.analyzer.opened)
        if not inputs.samples:
            return
        start = self.gallery.samples
        target, classes = self.targets.of(start, inputs.samples, labels)
        numbers = np.arange(inputs.samples) + start + self._first if ids is None else ids
        seen = self._seen(inputs)
        row = 0
        for found in self._measure(x, target, self.batch_size):
            count = len(found.outputs)
            part = classes[row : row + count] if classes is not None else found.largest if self.targets.by_class else None
            self._take(found, numbers[row : row + count], part, inputs, row, seen)
            row += count
        for first, count in _runs(numbers):
            self.gallery.take(first, count)

    def _take(
        self,
        found: Measured,
        ids: Array,
        classes: Array | None,
        inputs: Inputs,
        row: int,
        seen: dict[str, tuple[int, Field] | None],
    ) -> None:
        told = self.gallery.settings
        for path, values in found.values.items():
            positions, viewed = found.positions[path], seen.get(path)
            if path not in self.gallery.layers:
                channels, axes = positions.shape[1:]
                number = self.targets.classes if self.targets.by_class else 0
                self.gallery.layers[path] = References.none(
                    path, channels, axes, str(values.dtype), told["top"], told["by_class"], number, told["crops"]
                )
            part = None if viewed is None else _as_seen(inputs, viewed)[row : row + len(ids)]
            field = None if viewed is None else viewed[1]
            self.gallery.layers[path].add(values, ids, positions, classes, part, field)

    def _seen(self, inputs: Inputs) -> dict[str, tuple[int, Field] | None]:
        """For each layer the input that it reads, by number, and what its positions see of it; known by the inputs' shapes."""
        if not self.gallery.settings["crops"]:
            return {}
        key = tuple(a.shape[1:] for a in inputs.arrays)
        if key not in self._fields:
            graph = self.analyzer.opened.graph
            found: dict[str, tuple[int, Field] | None] = {}
            for path, site in self._sites.items():
                read = inputs_read(graph, [site.tensor])
                of_inputs = fields(graph, site.tensor, inputs.arrays, whole=bool(site.frames) or site.heads)
                pictures = [i for i in read if inputs.arrays[i].ndim > 2] or list(read)
                viewed = of_inputs[pictures[0]] if pictures else None
                found[path] = None if viewed is None else (pictures[0], viewed)
            self._fields[key] = found
        return self._fields[key]


def _as_seen(inputs: Inputs, viewed: tuple[int, Field]) -> Array:
    """The samples of an input, in the shape that the model takes; bytes where they were given as these."""
    given, taken = inputs.given[viewed[0]], inputs.arrays[viewed[0]]
    return given.reshape(taken.shape) if given.dtype == np.uint8 else taken


def _runs(numbers: Array) -> Iterator[tuple[int, int]]:
    """Numbers as runs, each by its first and its length."""
    ordered = np.sort(numbers)
    for run in np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1):
        yield int(run[0]), len(run)
