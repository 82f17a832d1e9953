"""`collect`: reference samples of channels from a stream of any length, in one run, resumed, or in shards."""

import os
import warnings
from collections.abc import Iterable
from typing import Any

from innspect.analyzers.base.analyzer import Analyzer
from innspect.checks import Boolean, File, Integer
from innspect.concepts.batches import batches, digest, number_of_batches, size_of
from innspect.concepts.collection import collection_of
from innspect.concepts.gallery import Gallery, load
from innspect.inputs.batches import called, is_stream, of_a_stream
from innspect.progress import Progress
from innspect.types import Path


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
    Boolean().check("resume", resume)
    Integer(1).check("every", every)
    Integer(1).check_given("steps", steps)
    File().check_given("path", path)
    collection = collection_of(
        analyzer,
        at,
        by=by,
        top=top,
        target=target,
        reduce=reduce,
        normalize=normalize,
        by_class=by_class,
        crops=crops,
        batch_size=batch_size,
        output=output,
        first_id=first_id,
    )
    wanted = collection.targets
    gallery = collection.gallery = _begun(collection.gallery, path, resume)
    if batch_size is None and not is_stream(data):
        batch_size = gallery.progress.get("batch_size") or size_of(data, collection.analyzer.opened)
        collection.batch_size = batch_size
    progress = Progress("Collecting", number_of_batches(data, batch_size, steps)) if verbose else None
    written = done = gallery.progress.get("batches", 0)
    for number, (x, labels) in enumerate(batches(data, collection.analyzer, batch_size, steps, done, wanted)):
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


def _tell(gallery: Gallery) -> None:
    left = {path: each.left_out for path, each in gallery.layers.items() if each.left_out}
    if left:
        told = ", ".join(f"{count} at {path!r}" for path, count in left.items())
        warnings.warn(f"The values of some samples were not finite, and these count nowhere: {told}.", stacklevel=3)
