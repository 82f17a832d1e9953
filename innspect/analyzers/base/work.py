"""The work of a request, batch by batch, and what is said of it meanwhile."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import keras

from innspect import backend
from innspect.analyzers.base.request import Request, Result
from innspect.backend.weights import steadily
from innspect.progress import LOG, LONG, duration
from innspect.types import Array

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer

T = TypeVar("T")


def found(
    analyzer: "Analyzer", request: Request, verbose: int = 0, skip: int = 0, end: int | None = None
) -> Iterator[tuple[Array, Result]]:
    """What a method finds for each batch of a request: the numbers of its samples, (samples,), and NumPy arrays, "count" of
    whose samples count.

    What was found for a batch is fetched when the next one is at work, where a device works by itself.

    Args:
        analyzer: The `Analyzer`.
        request: The `Request`.
        verbose: Whether there is a bar.
        skip: How many samples need not be told of: batches of no others are not computed.
        end: The number of a sample before which to end; None: all are computed.
    """
    with _on_its_device(analyzer):
        request = replace(request, context=analyzer.begin(request))
        steps = analyzer.work(request)
    work = Work(analyzer.name, request.inputs.samples if steps is None else steps, verbose)
    if steps is not None:
        request = replace(request, advance=work.add)
    for rows, result, count in one_behind(_begun(analyzer, request, skip, end)):
        part = keras.tree.map_structure(backend.to_numpy, result) | {"count": count}
        if steps is None:
            work.add(count)
        yield rows[:count], part


def _begun(analyzer: "Analyzer", request: Request, skip: int, end: int | None) -> Iterator[tuple[Array, Result, int]]:
    """The numbers of a batch's samples, what is found, tensors that may still be computed, and how many samples count."""
    batches = request.batches(skip, end)
    while True:
        with _on_its_device(analyzer):  # not beyond a batch: what the caller does between two is its own affair
            batch, count = next(batches, (None, 0))
            if batch is None:
                return
            result = steadily(functools.partial(analyzer.explain_batch, batch))
        for target in request.targets:
            target.check(result["outputs"].shape[1:])
        yield batch.rows, result, count


def _on_its_device(analyzer: "Analyzer") -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if analyzer.opened is None else analyzer.opened.on_its_device()


def one_behind(items: Iterable[T]) -> Iterator[T]:
    """Each item once the next one has been made."""
    held: list[T] = []
    for item in items:
        held.append(item)
        if len(held) > 1:
            yield held.pop(0)
    yield from held


class Work:
    """The steps of a method: a bar where it is `verbose`, and, where much is left, an estimate of how long it takes.

    The estimate is told once, after the second step that is told of; the first compiles. It goes to the log
    "innspect.progress", level INFO, and where it is `verbose` to the terminal, a line above the bar.

    Args:
        name: The method's.
        total: How many steps there are.
        verbose: Whether there is a bar.
        clock: A function that returns seconds.
    """

    def __init__(self, name: str, total: int, verbose: int, clock: Callable[[], float] = time.monotonic):
        self._name, self._total, self._clock, self._verbose = name, total, clock, verbose
        self._bar = keras.utils.Progbar(total) if verbose else None
        self._done, self._first, self._estimated = 0, 0.0, False

    def add(self, count: int) -> None:
        """Take notice of so many steps that are done."""
        now, before = self._clock(), self._done
        self._done += count
        if not before:
            self._first = now
        elif not self._estimated:
            self._estimated = True
            self._tell((now - self._first) / count * (self._total - self._done))
        if self._bar is not None and (before or self._done >= self._total):  # not before the estimate, which stands above it
            self._bar.update(self._done)

    def _tell(self, seconds: float) -> None:
        if seconds <= LONG:
            return
        text = f"{self._name}: about {duration(seconds)} for {self._total - self._done} more of {self._total} steps"
        LOG.info(text)
        if self._verbose:
            print(text, flush=True)
