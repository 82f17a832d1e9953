"""`collect`: reference samples of channels from a stream of any length, in one run, resumed, or in shards."""

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.request import paths
from innspect.checks import Boolean, Count, File, Integer, OneOf
from innspect.concepts.batches import batches, digest, number_of_batches, size_of
from innspect.concepts.fingerprint import settings_of
from innspect.concepts.gallery import Gallery, load
from innspect.concepts.measuring import Measured, measure_of, sites_of
from innspect.concepts.references import References
from innspect.concepts.targets import Targets
from innspect.graph.opened.fields import Field, fields
from innspect.graph.opened.layer_paths import inputs_read
from innspect.inputs.batches import Inputs, called, is_stream, of_a_stream
from innspect.inputs.sites import UnitSite
from innspect.inputs.units import layer_of
from innspect.patterns.fingerprint import layer_fingerprints
from innspect.progress import Progress
from innspect.types import Array, Nest, Path

BY, REDUCTIONS = ("relevance", "activation"), ("sum", "max")


def collect(
    analyzer: Analyzer,
    data: Any,
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
    path: Path | None = None,
    resume: bool = True,
    every: int = 100,
    first_id: int = 0,
    steps: int | None = None,
    verbose: int = 0,
) -> Gallery:
    """For each channel of some layers the samples in which it matters most, where in them, and what it is like by class.

    A channel has one value in a sample, v_c = sum_p R_pc or max_p R_pc over the positions p: of its relevance for the target
    (Achtibat et al. 2023, relevance maximization), or of its activation in the place of R. Samples are kept in descending
    order of it, of equal ones the smaller id first.

    Args:
        analyzer: An analyzer; by relevance one that sends a signal, such as "lrp.epsilon_plus_flat".
        data: An array, a list or a dict of arrays (samples first); or a stream of batches (tf.data dataset,
            `keras.utils.PyDataset`, torch DataLoader, generator), of any length: memory does not grow with it.
        at: Paths of layers, such as "conv5" or "backbone/conv5"; "conv5[1]" for a layer's second call.
        by: "relevance", or "activation".
        top: How many samples are kept for each channel.
        target: What is explained, as for `analyze`; its integers, one or one for each sample, are the classes of the
            statistics. None: the labels where the data bring them, (inputs, labels), else the largest output. "predicted": the
            largest output.
        reduce: "sum" or "max" over positions.
        normalize: True divides a sample's values by the sum of their magnitudes over the layer's channels, plus 1e-10.
        by_class: How many samples are kept for each channel and class; None: `top`.
        crops: Of how many of the best samples of each channel what its unit sees is kept: a crop of the receptive field about
            the position, pictures reduced to 64 pixels a side.
        batch_size: Samples computed at once; of arrays also the samples of a batch. None: by their size and the model's, or as
            the file was begun.
        output: Number or name of the output, for a model with several.
        path: A file to keep all in, written every `every` batches and at the end, whole or not at all.
        resume: Whether to go on where that file is there already, with the same data in the same order: what follows is equal
            to the bit to a run that was not interrupted. False begins anew.
        every: Batches between two times of writing.
        first_id: The number of the first sample. Shards need it, so that they can be merged.
        steps: Take so many batches at most; an endless generator needs it.
        verbose: 1 shows progress.

    Returns:
        A `Gallery`: `gallery["conv5"].samples` (channels, top), `.values`, `.positions` (channels, top, axes), `.mean`,
        `.classes`, `.crops(channel)`; `gallery.save`, `gallery.merge`, `gallery.html`.

    Raises:
        KeyError: No layer has one of the paths; near matches are offered.
        ValueError: An argument does not fit; or the file at `path` is of another model, other arguments or other data.

    Warns:
        UserWarning: Values of some samples were not finite; these count nowhere.

    Examples:
        >>> analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", model)
        >>> gallery = innspect.concepts.collect(analyzer, dataset, at=["block4_conv3"], path="concepts.h5")
        >>> gallery["block4_conv3"].samples[12]
        >>> gallery.html("concepts.html")
    """
    _check(by, top, reduce, normalize, by_class, crops, every, steps, first_id, path, resume)
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
    sites = sites_of(opened.graph, listed)
    wanted = Targets(analyzer, target, opened.number(output))
    told = {"at": listed, "by": by, "reduce": reduce, "normalize": bool(normalize), "top": top, "crops": crops}
    told |= {"by_class": top if by_class is None else by_class, "target": wanted.told, "output": opened.number(output)}
    fresh = Gallery(settings_of(analyzer, told), opened.model.name, layer_fingerprints(opened.graph))
    gallery = _begun(fresh, path, resume)
    if batch_size is None and not is_stream(data):
        batch_size = gallery.progress.get("batch_size") or size_of(data, opened)
    collection = Collection(analyzer, gallery, sites, wanted, batch_size, first_id)
    progress = Progress("Collecting", number_of_batches(data, batch_size, steps)) if verbose else None
    written = done = gallery.progress.get("batches", 0)
    for number, (x, labels) in enumerate(batches(data, analyzer, batch_size, steps, done, wanted)):
        if number == 0:
            given = {"batch_size": None if is_stream(data) else batch_size, "first_id": first_id}
            collection.check_same_run(given | {"first": digest(x, labels)}, path)
        if number >= done:
            with called("data"), of_a_stream():
                collection.add(x, labels)
            gallery.progress["batches"] = number + 1
            if path is not None and (number + 1) % every == 0:
                gallery.save(path)
                written = number + 1
        if progress is not None:
            progress.advance()
    if not gallery.samples:
        raise ValueError("`data` must hold at least one sample. Received: none")
    if path is not None and (written < gallery.progress["batches"] or not os.path.exists(path)):
        gallery.save(path)
    if steps is None:
        wanted.check(gallery.samples)
    _tell(gallery)
    return gallery


def _check(
    by: Any,
    top: Any,
    reduce: Any,
    normalize: Any,
    by_class: Any,
    crops: Any,
    every: Any,
    steps: Any,
    first_id: Any,
    path: Any,
    resume: Any,
) -> None:
    OneOf(*BY).check("by", by)
    OneOf(*REDUCTIONS).check("reduce", reduce)
    Boolean().check("normalize", normalize)
    Boolean().check("resume", resume)
    Count().check("top", top)
    Integer().check_given("by_class", by_class)
    Integer().check("crops", crops)
    Integer(1).check("every", every)
    Integer(1).check_given("steps", steps)
    Integer(0, 1 << 62).check("first_id", first_id)
    File().check_given("path", path)


def _begun(fresh: Gallery, path: Path | None, resume: bool) -> Gallery:
    """A gallery, new or from its file."""
    if path is None or not resume or not os.path.exists(path):
        return fresh
    found = load(path)
    try:
        fresh.check_mergeable(found)
    except ValueError as error:
        raise ValueError(
            f"The file {os.fsdecode(path)!r} cannot be gone on with: give another `path`, or resume=False. {error}"
        ) from None
    return found


class Collection:
    """The work of `collect`: batches come, and a gallery grows.

    Args:
        analyzer: The analyzer.
        gallery: The `Gallery`, which is written to.
        sites: Dict from path to where the layer's channels are.
        targets: The `Targets`.
        batch_size: Samples computed at once; None: as many as fit.
        first_id: The number of the first sample.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        gallery: Gallery,
        sites: dict[str, UnitSite],
        targets: Targets,
        batch_size: int | None,
        first_id: int,
    ):
        self._analyzer, self._gallery, self._sites, self._targets = analyzer, gallery, sites, targets
        self._batch_size, self._first = batch_size, first_id
        told = gallery.settings
        self._measure = measure_of(analyzer, sites, told["by"], told["reduce"], told["normalize"], told["output"])
        self._fields: dict[Any, dict[str, tuple[int, Field] | None]] = {}

    def check_same_run(self, given: dict[str, Any], path: Path | None) -> None:
        """Raise where a run is continued with other data."""
        before = self._gallery.progress
        for name, value in given.items():
            if before.get(name, value) != value:
                what = "first batch of data" if name == "first" else f"`{name}`"
                raise ValueError(
                    f"The file {str(path)!r} was begun with another {what}, so it cannot be gone on with: give another "
                    f"`path`, or resume=False to begin anew. Received: {value!r}, there {before[name]!r}"
                )
        before.update(given)

    def add(self, x: Nest, labels: Any) -> None:
        """Take the samples of a batch."""
        inputs = Inputs(x, self._analyzer.opened)
        if not inputs.samples:
            return
        start = self._gallery.samples
        target, classes = self._targets.of(start, inputs.samples, labels)
        seen = self._seen(inputs)
        row = 0
        for found in self._measure(x, target, self._batch_size):
            count = len(found.outputs)
            part = classes[row : row + count] if classes is not None else found.largest if self._targets.by_class else None
            self._take(found, np.arange(count) + row + start + self._first, part, inputs, row, seen)
            row += count
        self._gallery.take(start + self._first, inputs.samples)

    def _take(
        self,
        found: Measured,
        ids: Array,
        classes: Array | None,
        inputs: Inputs,
        row: int,
        seen: dict[str, tuple[int, Field] | None],
    ) -> None:
        told = self._gallery.settings
        for path, values in found.values.items():
            positions, viewed = found.positions[path], seen.get(path)
            if path not in self._gallery.layers:
                channels, axes = positions.shape[1:]
                number = self._targets.classes if self._targets.by_class else 0
                self._gallery.layers[path] = References.none(
                    path, channels, axes, str(values.dtype), told["top"], told["by_class"], number, told["crops"]
                )
            part = None if viewed is None else _as_seen(inputs, viewed)[row : row + len(ids)]
            field = None if viewed is None else viewed[1]
            self._gallery.layers[path].add(values, ids, positions, classes, part, field)

    def _seen(self, inputs: Inputs) -> dict[str, tuple[int, Field] | None]:
        """For each layer the input that it reads, by number, and what its positions see of it; known by the inputs' shapes."""
        if not self._gallery.settings["crops"]:
            return {}
        key = tuple(a.shape[1:] for a in inputs.arrays)
        if key not in self._fields:
            graph = self._analyzer.opened.graph
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


def _tell(gallery: Gallery) -> None:
    left = {path: each.left_out for path, each in gallery.layers.items() if each.left_out}
    if left:
        told = ", ".join(f"{count} at {path!r}" for path, count in left.items())
        warnings.warn(f"The values of some samples were not finite, and these count nowhere: {told}.", stacklevel=3)
