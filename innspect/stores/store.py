"""A store for reading: rows are read when they are asked for."""

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from innspect.analyzers.base.explanation import Explanation
from innspect.checks import File, Integer
from innspect.files.reading import reading
from innspect.stores.file import arrays_of, header_of, opened, read_rows
from innspect.stores.layout import Form
from innspect.types import Array, Path


class Store:
    """The maps of many samples in a file that `Analyzer.store` wrote; made by `innspect.open_store`.

    `store[10:20]` is an `Explanation` of these samples: attributions in the structure and shape that `analyze` returns,
    channels last, with outputs, targets, neurons and settings; `store[7]` one of a single sample, `store[[3, 1]]` of some.
    `len(store)` is how many samples are done. The file is opened for each reading, or once, `with innspect.open_store(path) as
    store:`, which is faster for many small ones.

    Attributes:
        path: The file.
        settings: As `Explanation.settings`: what is needed to compute the same again.
        fingerprint: A digest of the model's layers and weights.
        complete: Whether all of the data is there.
        shapes: Dict from path in the file to the shape of its array, samples first.
    """

    def __init__(self, path: Path):
        self.path = os.fsdecode(File().check("path", path))
        self._file: h5py.File | None = None
        self._stack = contextlib.ExitStack()
        with self._opened() as file:
            header = header_of(file)
            self._form, self._rows = Form.of_json(header["form"]), int(file.attrs["rows"])
            self.complete = bool(file.attrs["complete"])
            self.shapes = {path: tuple(dataset.shape) for path, dataset in arrays_of(file).items()}
        self.settings, self.fingerprint = header["settings"], header["fingerprint"]
        self.header = header

    @contextlib.contextmanager
    def _opened(self) -> Iterator[h5py.File]:
        if self._file is None:
            with opened(self.path) as file:
                yield file
        else:
            with reading(self.path, "store of maps"):
                yield self._file

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(opened(self.path))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file = None
        self._stack.close()

    # ------------------------------------------------------------------ what is in it
    def __len__(self) -> int:
        return self._rows

    @property
    def done(self) -> Array:
        """For each sample whether it is there, truth values; as long as the data where that is known."""
        return self._whole("done", slice(None))

    @property
    def index(self) -> Array:
        """The number of each sample in the data, integers (samples,)."""
        return self._whole("index", slice(self._rows))

    @property
    def labels(self) -> Array:
        """The class of each sample, integers (samples,), -1 where none is known; or truth values (samples, classes)."""
        return self._whole("label", slice(self._rows))

    def _whole(self, name: str, rows: slice) -> Array:
        with self._opened() as file:
            found: Array = file[name][rows]
        return found

    def __getitem__(self, samples: Any) -> Explanation:
        """The explanation of some samples: an integer, a slice, or a list of integers.

        Raises:
            IndexError: There is no such sample, or it is not done.
            UnreadableFileError: The file is damaged.
        """
        if isinstance(samples, slice):
            start, stop, step = samples.indices(self._rows)
            numbers = np.arange(start, stop, step)
        else:
            numbers = np.atleast_1d(np.asarray(samples))
            if numbers.dtype == bool and numbers.shape == (self._rows,):
                numbers = np.flatnonzero(numbers)
            whole = numbers.dtype.kind in "iu" and numbers.ndim == 1
            if not whole and numbers.size:
                raise IndexError(f"A store takes an integer, a slice or a list of integers. Received: {samples!r}")
            numbers = numbers.astype("int64")
            outside = (numbers >= self._rows) | (numbers < -self._rows)
            if outside.any():
                raise IndexError(f"{self.path!r} has {self._rows} samples that are done. Received: {int(numbers[outside][0])}")
            numbers = np.where(numbers < 0, numbers + self._rows, numbers)
        return self._read(numbers)

    def _read(self, numbers: Array) -> Explanation:
        runs = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1) if len(numbers) else [numbers]
        with self._opened() as file:
            parts = [read_rows(file, slice(int(r[0]), int(r[-1]) + 1) if len(r) else slice(0)) for r in runs]
        rows = {path: np.concatenate([part[path] for part in parts]) for path in parts[0]}
        several = self._form.several
        return Explanation(
            attributions=self._form.maps(rows),
            outputs=rows.get("prediction", np.zeros((len(numbers), 0), "float32")),
            targets=rows["target"].T if several else rows["target"],
            neurons=rows["neuron"].T if several else rows["neuron"],
            settings=self.settings,
        )

    def batches(self, batch_size: int = 32) -> Iterator[Explanation]:
        """The explanations of all samples, so many at once."""
        Integer(1).check("batch_size", batch_size)
        for start in range(0, self._rows, batch_size):
            yield self[start : start + batch_size]

    def __repr__(self) -> str:
        state = "" if self.complete else ", not complete"
        return f"Store({self.path!r}, {self.settings.get('method')!r}, {self._rows} samples{state})"


def open_store(path: Path) -> Store:
    """Open a file that `Analyzer.store` wrote, for reading.

    Args:
        path: The file. It may hold a part of the data, where a run was interrupted.

    Returns:
        A `Store`: `store[10:20]`, `len(store)`, `store.batches(256)`, `store.settings`, `store.done`.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, no store, or of a newer version.
        BlockingIOError: A run is writing it.

    Examples:
        >>> with innspect.open_store("maps.h5") as store:
        ...     for explanation in store.batches(256):
        ...         print(explanation.attributions.shape)
    """
    return Store(path)
