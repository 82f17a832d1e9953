"""`fit`: from a model and data to patterns, in one run, resumed, or in shards."""

import hashlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from innspect.checks import File, Integer, OneOf
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs import sizes
from innspect.inputs.ahead import batches_ahead
from innspect.inputs.batches import Inputs, called, is_stream, of_a_stream
from innspect.inputs.counting import number_of_batches
from innspect.patterns.collection import Patterns
from innspect.patterns.statistics import PatternStatistics
from innspect.types import Array, Path

_LOG = logging.getLogger("innspect.patterns")
_LONG = 10.0  # seconds
_EVEN = 8  # batches of each shard: one more or less is an eighth of its work


def fit(
    model: keras.Layer | OpenedModel,
    data: Any,
    pattern_type: str | Iterable[str] = "auto",
    *,
    batch_size: int | None = None,
    gate: str = "activation",
    y_mean: str = "all",
    verbose: int | str = "auto",
    steps: int | None = None,
    checkpoint: Path | None = None,
    every: int = 100,
    shard: Sequence[int] | None = None,
) -> Patterns:
    """Learn the patterns of every affine layer of a model (Kindermans et al. 2017).

    Args:
        model: A built Keras model. It is only read: fitting runs it in inference.
        data: Inputs, best those it was trained on: an array, a list or dict of arrays (samples first), or a stream of
            batches (tf.data dataset, `keras.utils.PyDataset`, torch DataLoader, generator). Labels are ignored.
        pattern_type: "linear": a = cov[x, y] / var(y). "relu" or "relu.positive": a+, over the samples for which the
            neuron is active. "relu.negative": a-. "auto": a+ for layers that a ReLU follows, linear for the others. Or
            a list of these.
        batch_size: For arrays; a stream's batches are taken as they are. None: by the size of samples and model, so that
            there are some batches for each shard; or that of the checkpoint.
        gate: "activation" calls a neuron active by the layer's real activation, bias included and behind batch
            normalization; "bias_free" where w . x > 0 (Eq. 5).
        y_mean: "all" takes E[y] over all samples (Eq. 8), "regime" over those of the regime.
        verbose: 1 shows progress, 0 does not, "auto" does where more than ten seconds of work are left.
        steps: Take so many batches at most; an endless generator needs it.
        checkpoint: A file to write the statistics to every `every` batches. If it exists, fitting goes on from there;
            the data must come in the same order.
        every: Batches between checkpoints.
        shard: (i, n) takes every n-th batch, from the i-th, so that n runs share the work. Give each a `checkpoint` and
            join these with `innspect.patterns.merge`. All must see the same data.

    Returns:
        A `Patterns` object.

    Raises:
        ValueError: An argument does not fit, or the data is empty or not finite.
    """
    first, count = _checked_shard(shard)
    Integer(1).check("every", every)
    Integer(1, or_none=True).check("batch_size", batch_size)
    Integer(1).check_given("steps", steps)
    File().check_given("checkpoint", checkpoint)
    statistics, done = _begin(model, pattern_type, gate, y_mean, checkpoint)
    opened, _ = statistics._attached()
    if batch_size is None and not is_stream(data):
        batch_size = statistics.progress.get("batch_size") or size_of(data, opened, count)
    total = number_of_batches(data, batch_size, steps)
    bar, mine = _Bar(verbose, total), 0
    progress: dict[str, Any] = {}
    for number, arrays in enumerate(batches(data, opened, batch_size, done, steps)):
        if number == 0:
            progress = {"batch_size": _size(data, batch_size), "shard": [first, count], "first": _digest(arrays)}
            _check_progress(statistics, progress, checkpoint)
            if not done:
                statistics.centre_on(arrays)
        if number >= done and number % count == first:
            statistics.add_arrays(arrays)
            mine += 1
        if number >= done:
            statistics.progress = progress | {"batches": number + 1}
            if checkpoint and number % count == first and mine % every == 0:
                statistics.save(checkpoint, patterns=False)
        bar.show(number + 1)
    if not statistics.progress:
        raise ValueError("`data` must hold at least one sample. Received: none")
    bar.close()
    return _finish(statistics, checkpoint)


def _begin(
    model: keras.Layer | OpenedModel, pattern_type: str | Iterable[str], gate: str, y_mean: str, checkpoint: Path | None
) -> tuple[PatternStatistics, int]:
    """Statistics, new or from the checkpoint, and how many batches they have seen."""
    fresh = PatternStatistics(model, pattern_type, gate=gate, y_mean=y_mean)
    if not checkpoint or not os.path.exists(checkpoint):
        return fresh, 0
    found = PatternStatistics.load(checkpoint, fresh._opened)
    fresh.check_mergeable(found)
    return found, found.progress.get("batches", 0)


def _finish(statistics: PatternStatistics, checkpoint: Path | None) -> Patterns:
    if not statistics.samples:  # more shards than batches
        if checkpoint:
            statistics.save(checkpoint, patterns=False)
        raise ValueError("This shard got no batches: there are more shards than batches. Take smaller batches or fewer shards.")
    patterns = statistics.patterns()
    if checkpoint:
        statistics.save(checkpoint)
    if patterns.degenerate:
        told = ", ".join(f"{path}: {n}" for path, n in patterns.degenerate.items())
        _LOG.info("Neurons without a pattern, since they are never active or never vary: %s.", told)
    return patterns


# ------------------------------------------------------------------ batches
def size_of(data: Any, opened: OpenedModel, shards: int = 1) -> int:
    """How many samples of arrays are a batch where nobody says: as many as fit, and few enough that shards are of one length.

    It is the same for all shards.
    """
    with called("data"):
        inputs = Inputs(data, opened)
    size = inputs.checked_size(None)
    while shards > 1 and size > sizes.USUAL and inputs.samples < _EVEN * shards * size:
        size //= 2
    return size


def batches(
    data: Any, opened: OpenedModel, batch_size: int | None, done: int = 0, steps: int | None = None
) -> Iterator[list[Array]]:
    """Flat arrays of each batch. Of a stream's batches before `done` only the first is given, and no arrays of the others."""
    if is_stream(data):
        for number, batch in enumerate(batches_ahead(data, whole=steps is None)):
            if steps is not None and number >= steps:
                return
            with called("data"), of_a_stream():
                arrays = [] if 0 < number < done else Inputs(batch, opened).arrays
            yield arrays
        return
    with called("data"):
        inputs = Inputs(data, opened)
    size = inputs.checked_size(batch_size) if batch_size is None else batch_size
    for number, start in enumerate(range(0, inputs.samples, size)):
        if steps is not None and number >= steps:
            return
        yield [a[start : start + size] for a in inputs.arrays]


def _size(data: Any, batch_size: int | None) -> int | None:
    return None if is_stream(data) or batch_size is None else int(batch_size)


def _checked_shard(shard: Sequence[int] | None) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    whole = isinstance(shard, list | tuple) and len(shard) == 2 and all(map(Integer().holds, shard))
    if not whole or not shard[0] < shard[1]:
        raise ValueError(f"`shard` must be (i, n) with 0 <= i < n. Received: {shard!r}")
    return int(shard[0]), int(shard[1])


def _digest(arrays: list[Array]) -> str:
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return hasher.hexdigest()[:32]


def _check_progress(statistics: PatternStatistics, progress: dict[str, Any], checkpoint: Path | None) -> None:
    """The run that is continued must have been given the same work."""
    for name, value in progress.items():
        before = statistics.progress.get(name, value)
        if before != value:
            what = "first batch of data" if name == "first" else f"`{name}`"
            raise ValueError(
                f"The checkpoint {str(checkpoint)!r} was begun with another {what}, so it cannot be continued. Delete the "
                f"file to begin anew. Received: {value!r}, there {before!r}"
            )


class _Bar:
    """A progress bar, for long work only where `verbose` is "auto"."""

    def __init__(self, verbose: int | str | None, total: int | None):
        if not OneOf(0, 1, 2, True, False, None, "auto").holds(verbose):
            raise ValueError(f"`verbose` must be 0, 1 or 'auto'. Received: {verbose!r}")
        self._verbose, self._total = verbose, total
        self._bar: Any = None
        self._last = 0
        self._first: tuple[float, int] | None = None

    def show(self, done: int) -> None:
        if not self._verbose or (self._bar is None and self._verbose == "auto" and not self._is_long(done)):
            return
        self._bar = self._bar or keras.utils.Progbar(self._total, unit_name="batch")
        self._bar.update(done)
        self._last = done

    def _is_long(self, done: int) -> bool:
        """Whether much is left, told from the batches after the first, which compiles."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        seconds, batches = now - self._first[0], done - self._first[1]
        if self._total is None:
            return seconds > _LONG
        return batches > 0 and seconds / batches * (self._total - done) > _LONG

    def close(self) -> None:
        if self._bar is not None and self._total is None:
            self._bar.update(self._last, finalize=True)
