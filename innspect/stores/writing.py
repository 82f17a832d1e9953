"""The run that fills a store: begun, gone on with where it was interrupted, ended.

What is found waits, compressed meanwhile, until some seconds have passed; then it becomes part of the file in one change.
"""

import json
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import keras

from innspect import labels as names_of_neurons
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.assembly import plain
from innspect.analyzers.base.described import facts_of, settings_of
from innspect.analyzers.base.identity import digest, identity_of, told
from innspect.files.growing import Growing
from innspect.inputs.units import layer_of
from innspect.patterns.fingerprint import combined, layer_fingerprints
from innspect.stores.pieces import Pieces
from innspect.stores.writer import Writer
from innspect.types import Path


def run(
    analyzer: Analyzer,
    data: Any,
    path: Path,
    asked: Asked,
    *,
    names: Any,
    classes: Any,
    resume: bool,
    dtype: str,
    compress: bool,
    first_id: int,
    steps: int | None,
) -> None:
    """What `Analyzer.store` does, its arguments checked; `names` and `classes` are its `labels`."""
    analyzer, asked = _for_units(analyzer, asked)
    asked = replace(asked, at=() if analyzer.family == "baseline" else None)  # which else say nothing of the outputs
    pieces = Pieces(analyzer, asked, data, classes, steps)
    header = _header(analyzer, asked, pieces, data, names, dtype, first_id)
    growing = Growing(path, fresh=not resume)
    try:
        with ThreadPoolExecutor(_processors()) as pool:
            writer = Writer(growing, header, pool, compress, os.fsdecode(path), dtype)
            bar = keras.utils.Progbar(_left(pieces, steps), unit_name="batch") if asked.verbose else None
            try:
                for piece in pieces.pieces(writer.done):
                    for found, request, numbers in pieces.found(piece, writer.done):
                        writer.add(analyzer, found, request, numbers, piece.labels_of(numbers))
                        if bar is not None:
                            bar.add(1)
                    writer.seen = piece.first + piece.count
            finally:
                writer.commit(last=True)
            _end(writer, pieces, steps, os.fsdecode(path))
    finally:
        growing.close()
    if writer.vanished:
        warnings.warn(
            f"In float16 the maps of {writer.vanished} samples are all 0, for their numbers are below 6e-8. Store float32. "
            "Received: dtype='float16'",
            stacklevel=3,
        )


def _for_units(analyzer: Analyzer, asked: Asked) -> tuple[Analyzer, Asked]:
    """The analyzer of the model up to the layer of the units that are asked for."""
    if getattr(analyzer.opened, "site", None) is not None or not asked.has_units:
        return analyzer, asked
    layers = {layer_of(neuron) for neuron in asked.listed}
    if len(layers) > 1:
        raise ValueError(
            f"`neurons` must be units of one layer to be stored together. Received: units of {sorted(map(str, layers))}"
        )
    return analyzer.up_to(str(layers.pop())), replace(asked, output=0)


def _processors() -> int:
    """How many threads compress."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, 8)


def _left(pieces: Pieces, steps: int | None) -> int | None:
    return pieces.batches if steps is None or pieces.batches is None else min(steps, pieces.batches)


def _end(writer: "Writer", pieces: Pieces, steps: int | None, path: str) -> None:
    """Say that all is there, or what is missing."""
    if writer.seen < writer.done:
        raise ValueError(
            f"`data` ended after {writer.seen} samples, and {path!r} has {writer.done} already: it was begun with other data. "
            f"What is in the file is unchanged. Received: {writer.seen} samples"
        )
    if not pieces.ended:
        return
    if pieces.streams and pieces.batches is not None and pieces.taken < pieces.batches:
        raise ValueError(
            f"`data` ended early: it declares {pieces.batches} batches. Those that came are in {path!r}, "
            f"{writer.done} samples, and the same call goes on. Received: {pieces.taken} batches"
        )
    writer.complete()


# ------------------------------------------------------------------ what the file says of itself
def _header(
    analyzer: Analyzer, asked: Asked, pieces: Pieces, data: Any, names: Any, dtype: str, first_id: int
) -> dict[str, Any]:
    settings = settings_of(analyzer, asked) | facts_of(analyzer, pieces.request, data)
    if names is not None:
        settings["labels"] = list(names_of_neurons.read(names, analyzer._explained(pieces.request.output).shape[-1]) or ())
    if asked.neurons is not None:
        settings["neurons"] = plain(list(asked.neurons))
    each = isinstance(asked.neuron, list) or getattr(asked.neuron, "ndim", 0) > 0
    several = any(isinstance(n, list) or getattr(n, "ndim", 0) > 0 for n in asked.neurons or ())
    run = identity_of(analyzer) | {
        "neuron_selection": "of each sample" if each else told(asked.neuron),
        "neurons": "of each sample" if several else told(asked.neurons),
        "contrast": told(asked.contrast),
        "through": told(asked.through),
        "output": pieces.request.output,
        "batch_size": pieces.batch_size,
        "dtype": dtype,
        "backend": keras.backend.backend(),
        "samples": pieces.samples,
        "batches": pieces.batches if pieces.streams else None,
        "first": pieces.first_digest,
        "first_id": first_id,
        "selected": digest([asked.neuron, asked.neurons]) if each or several else None,
        "labels": None if pieces.labels is None else digest(pieces.labels),
    }
    layers = {} if analyzer.opened is None else layer_fingerprints(analyzer.opened.graph)
    texts = {"settings": settings, "run": run, "layers": layers}
    texts = {name: json.loads(json.dumps(text, default=repr)) for name, text in texts.items()}  # as they are read
    return texts | {"model": settings["model"], "method": analyzer.name, "fingerprint": combined(layers)}
