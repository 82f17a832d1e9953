"""The work of a request, batch by batch, and what is said of it meanwhile."""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import keras

from innspect import backend
from innspect.analyzers.base.request import Batch, Request, Result
from innspect.backend.weights import steadily
from innspect.progress import LOG, LONG, duration
from innspect.types import Array

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


def done(analyzer: "Analyzer", request: Request, verbose: int) -> list[Result]:
    """What a method finds for each batch of a request, NumPy arrays, and how many of its samples count."""
    return [part for _, part in found(analyzer, request, verbose)]


def found(
    analyzer: "Analyzer", request: Request, verbose: int = 0, skip: int = 0, end: int | None = None
) -> Iterator[tuple[Array, Result]]:
    """As `done`, one batch after the other, each with the numbers of its samples, (samples,).

    Args:
        analyzer, request, verbose: As for `done`.
        skip: How many samples need not be told of: batches of no others are not computed.
        end: The number of a sample before which to end; None: all are computed.
    """
    request = replace(request, context=analyzer.begin(request))
    steps = analyzer.work(request)
    work = Work(analyzer.name, request.inputs.samples if steps is None else steps, verbose)
    if steps is not None:
        request = replace(request, advance=work.add)
    for rows, count in request.inputs.batches(request.batch_size):
        if rows[count - 1] < skip:
            continue
        if end is not None and rows[0] >= end:
            return
        batch = Batch.of(request, rows)
        result = steadily(functools.partial(analyzer.explain_batch, batch))
        for target in request.targets:
            target.check(result["outputs"].shape[1:])
        part = keras.tree.map_structure(backend.to_numpy, result) | {"count": count}
        if steps is None:
            work.add(count)
        yield rows[:count], part


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
