"""The data of a run, piece by piece: of arrays one piece with all samples, of a stream a piece for each batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.identity import digest
from innspect.analyzers.base.request import Request
from innspect.analyzers.base.work import found
from innspect.inputs.batches import called, is_stream, labelled_batches, of_a_stream
from innspect.inputs.counting import number_of_batches
from innspect.stores.labels import checked, classes
from innspect.types import Array


@dataclass(frozen=True)
class Piece:
    """Some samples, with what is asked of them.

    Attributes:
        request: The `Request`; None where all of them are done.
        first: The number of the first.
        count: How many.
        labels: Their classes, as the file has them, or None.
    """

    request: Request | None
    first: int
    count: int
    labels: Array | None = None

    def labels_of(self, numbers: Array) -> Array | None:
        """The classes of some samples, by their numbers in the data."""
        return None if self.labels is None else self.labels[numbers - self.first]


class Pieces:
    """Data, checked as far as it is known.

    Args:
        analyzer, asked: What is to be computed.
        data: As for `Analyzer.store`.
        labels: The classes of all samples, or None.
        steps: How many batches are taken at most.

    Attributes:
        samples, batches: How many there are; None where that is not known.
        batch_size: Samples of a batch; of a stream, what is computed at once.
        request: What is asked of all samples, or of the first batch.
        taken: How many batches of a stream were seen.
        ended: Whether all of the data was seen.
    """

    def __init__(self, analyzer: Analyzer, asked: Asked, data: Any, labels: Any, steps: int | None):
        self._analyzer, self._asked, self._data, self._steps = analyzer, asked, data, steps
        self.streams = is_stream(data)
        self.batches: int | None
        if self.streams:
            self.samples, self.batches = None, number_of_batches(data, 1, None)
            self._stream = enumerate(labelled_batches(data))
            self._begun = next(self._stream, None)
            if self._begun is None:
                raise ValueError("`data` must hold at least one batch. Received: an empty stream")
            _, (x, _) = self._begun
            self.request = self._asked_of(x)
            self.labels = None if labels is None else checked(labels, len(labels))
        else:
            with called("data"):
                self.request = analyzer.request(data, asked)
            self.samples = self.request.inputs.samples
            if not self.samples:
                raise ValueError("`data` must hold at least one sample. Received: none")
            self.batches = -(-self.samples // self.request.at_once)
            self.labels = checked(labels, self.samples)
        self.batch_size = self.request.at_once
        self.taken, self.ended = 0, False

    @property
    def first_digest(self) -> str:
        """Of the first batch."""
        return digest([np.asarray(a[: self.batch_size]) for a in self.request.inputs.given])

    def pieces(self, done: int) -> Iterator[Piece]:
        """All pieces; those with no sample beyond the first so many without a request."""
        if not self.streams:
            yield Piece(self.request, 0, self.request.inputs.samples, self.labels)
            self.ended = self._steps is None or self._steps * self.batch_size >= self.request.inputs.samples
            return
        start = 0
        while self._begun is not None:
            number, (x, labels) = self._begun
            if self._steps is not None and number >= self._steps:
                return
            glance = _count(x)
            needed = glance is None or start + glance > done
            request = self.request if number == 0 else self._asked_of(x) if needed else None
            count = request.inputs.samples if request is not None else int(glance or 0)
            yield Piece(request if start + count > done else None, start, count, self._labels_of(labels, start, count))
            start, self.taken = start + count, number + 1
            self._begun = next(self._stream, None)
        self.ended = True

    def found(self, piece: Piece, done: int) -> Iterator[tuple[Explanation, Request, Array]]:
        """What is found for each batch of a piece, what was asked of it, and the numbers of its samples in the data."""
        request, analyzer = piece.request, self._analyzer
        if request is None:
            return
        end = None if self.streams or self._steps is None else self._steps * self.batch_size
        for rows, part in found(analyzer, request, skip=max(0, done - piece.first), end=end):
            mine = replace(request.of(rows), first=piece.first + int(rows[0]))
            yield analyzer._assemble(mine, [part], {}), mine, piece.first + rows

    def _asked_of(self, x: Any) -> Request:
        with called("data"), of_a_stream():
            return self._analyzer.request(x, self._asked)

    def _labels_of(self, labels: Any, start: int, count: int) -> Array | None:
        if self.labels is not None:
            if len(self.labels) < start + count:
                raise ValueError(
                    f"`labels` must have one for each sample, and `data` goes on after {start}. Received: {len(self.labels)}"
                )
            return self.labels[start : start + count]
        known = None if labels is None else classes(labels)
        return known if known is not None and len(known) == count else None


def _count(x: Any) -> int | None:
    """How many samples a batch has, where that can be told at a glance."""
    leaves = keras.tree.flatten(x) if isinstance(x, list | tuple | dict) else [x]
    shape = getattr(leaves[0], "shape", None) if leaves else None
    return int(shape[0]) if shape is not None and len(shape) else None
