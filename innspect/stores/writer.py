"""Rows on their way into a store: compressed while others are computed, then written some seconds' worth at a time."""

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import h5py
import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.described import neurons_asked
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.request import Request
from innspect.files.growing import Growing
from innspect.files.reading import reading
from innspect.patterns.fingerprint import check_of_one_model, check_same_settings
from innspect.stores.chunks import Rows, rows_of_chunk
from innspect.stores.file import HDF5, Shapes, arrays_of, check, compressed, create, header_of, resize, shapes_of, write_chunks
from innspect.stores.layout import Form
from innspect.types import Array

_SECONDS = 2.0  # between two changes of the file: what is computed again at most after a kill
_HELD = 64 << 20  # bytes that may wait for it
_CALLED = {"first": "first batch of data", "samples": "number of samples", "batches": "number of batches"}


class Writer:
    """A file that takes what is found for samples, in their order.

    Args:
        growing: The file.
        header: What it says of itself, without "form".
        pool: What compresses.
        compress: Whether to.
        path: As the user gave it.
        dtype: Of the maps.

    Attributes:
        done: How many samples are in the file, for good.
        seen: How many samples the data had.
        vanished: How many maps became all 0 in float16.

    Raises:
        ValueError: The file was begun with something else.
    """

    def __init__(self, growing: Growing, header: dict[str, Any], pool: Executor, compress: bool, path: str, dtype: str):
        self._growing, self._header, self._pool, self._compress = growing, header, pool, compress
        self._path, self._dtype = path, dtype
        self._form: Form | None = None
        self._shapes: Shapes = {}
        self._rows: dict[str, Rows] = {}
        self._small: dict[str, list[Array]] = {}
        self.done = self.seen = self.vanished = self._added = 0
        self._bytes, self._last, self._failed = 0, time.monotonic(), False
        if not growing.new:
            self._go_on()

    def _go_on(self) -> None:
        """Take up what is in the file."""
        with reading(self._path, "store of maps"), h5py.File(self._growing.pages(), "r") as file:
            check(self._path, file)
            header, shapes = header_of(file), shapes_of(file)
            self.done = self._added = int(file.attrs["rows"])
            begun = {name: _begun(dataset, self.done) for name, dataset in arrays_of(file).items() if compressed(name)}
            form = Form.of_json(header["form"])
        _check_same(self._path, self._header, header)
        self._begin(form, shapes, begun)

    def _begin(self, form: Form, shapes: Shapes, begun: Mapping[str, tuple[int, Array]]) -> None:
        self._form, self._shapes = form, shapes
        for name, (row, dtype) in shapes.items():
            if compressed(name):
                first, rows = begun.get(name, (0, None))
                self._rows[name] = Rows(rows_of_chunk(row, dtype), self._pool, self._compress, rows, first)
            else:
                self._small[name] = []

    # ------------------------------------------------------------------ what is found
    def add(self, analyzer: Analyzer, found: Explanation, request: Request, numbers: Array, labels: Array | None) -> None:
        """Take what was found for some samples; those that are there already are left aside.

        Args:
            analyzer, request: Who found it, and what was asked.
            found: What was found.
            numbers: The numbers of the samples in the data.
            labels: Their classes, as the file has them, or None.
        """
        keep = int(np.searchsorted(numbers, self._added))
        if keep >= len(numbers):
            return
        form = self._form or Form.of(analyzer, request, found.attributions)
        outputs, targets = np.asarray(found.outputs), np.moveaxis(np.asarray(found.targets), 0, -1)
        rows = {path: self._stored(array, numbers) for path, array in form.rows(found.attributions).items()}
        rows |= {"prediction": _floats(outputs)} if outputs.size else {}
        rows |= {
            "target": _floats(targets if request.several else np.asarray(found.targets)),
            "neuron": neurons_asked(request, outputs).T.astype("int32"),
            "label": self._labels(labels, len(numbers)),
            "index": numbers.astype("int64") + self._header["run"]["first_id"],
            "done": np.ones(len(numbers), bool),
        }
        shapes: Shapes = {name: (each.shape[1:], str(each.dtype)) for name, each in rows.items()}
        if self._form is None:
            self._header = self._header | {"form": form.as_json()}
            self._begin(form, shapes, {})
        self._check_shapes(shapes)
        for name, each in rows.items():
            (self._rows[name].add if name in self._rows else self._small[name].append)(each[keep:])
        self._added = int(numbers[-1]) + 1
        self._bytes += sum(rows[name][keep:].nbytes for name in self._rows)
        for name, waiting in self._rows.items():
            waiting.wait(max(8, _HELD // max(1, rows[name][:1].nbytes)))
        if time.monotonic() - self._last > _SECONDS or self._bytes > _HELD:
            self.commit()

    def _stored(self, array: Array, numbers: Array) -> Array:
        """Maps in the dtype of the file."""
        with np.errstate(over="ignore"):
            made = array.astype(self._dtype)
        if self._dtype != "float16":
            return made
        flat, kept = array.reshape(len(array), -1), made.reshape(len(array), -1)
        lost = np.flatnonzero((np.isinf(kept) & np.isfinite(flat)).any(axis=1))
        if len(lost):
            raise ValueError(
                f"`dtype` 'float16' holds numbers up to 65504, and the map of sample {numbers[lost[0]]} has "
                f"{np.abs(flat[lost[0]]).max():.4g}: store float32. Received: dtype='float16'"
            )
        self.vanished += int((~kept.any(axis=1) & flat.any(axis=1)).sum())
        return made

    def _labels(self, labels: Array | None, count: int) -> Array:
        if labels is not None:
            return labels
        row, dtype = self._shapes.get("label", ((), "int32"))
        return np.full((count, *row), 0 if row else -1, dtype)

    def _check_shapes(self, shapes: Shapes) -> None:
        for name, shape in shapes.items():
            if shape != self._shapes.get(name):
                raise ValueError(
                    f"`data` must have samples of one shape and labels of one kind in all batches. Expected: {name!r} of "
                    f"{self._shapes.get(name)}. Received: {shape}"
                )

    # ------------------------------------------------------------------ into the file
    def commit(self, last: bool = False) -> None:
        """Make what was taken a part of the file; but for the last time only whole chunks, of which others may be begun."""
        done = self._added if last else min(rows.complete for rows in self._rows.values())
        self._last, self._bytes = time.monotonic(), 0
        if done <= self.done or self._failed:
            return
        self._failed = True  # what is taken from the rows now is lost where this fails
        self._change(done, last)
        self._failed, self.done = False, done

    def _change(self, done: int, last: bool) -> None:
        chunks = {name: rows.taken(last) for name, rows in self._rows.items()}
        with self._growing.changing() as pages:
            if self._growing.new:
                create(pages, self._header, self._shapes, self._header["run"]["samples"])
            with h5py.File(pages, "r+", **HDF5) as file:
                resize(file, max(done, self._added))
                arrays = arrays_of(file)
                for name, parts in chunks.items():
                    write_chunks(arrays[name], parts)
                for name, waiting in self._small.items():
                    whole = np.concatenate(waiting)
                    arrays[name][self.done : done] = whole[: done - self.done]
                    self._small[name] = [whole[done - self.done :]]
                file.attrs.modify("rows", done)

    def complete(self) -> None:
        """Say in the file that all of the data is there."""
        if self._growing.new:
            return
        with self._growing.changing() as pages, h5py.File(pages, "r+", **HDF5) as file:
            if not file.attrs["complete"]:
                file.attrs.modify("complete", True)


def _begun(dataset: h5py.Dataset, done: int) -> tuple[int, Array]:
    """The first row of the chunk that the next row is in, and what of it is there."""
    first = done // dataset.chunks[0] * dataset.chunks[0]
    return first, dataset[first:done]


def _floats(array: Array) -> Array:
    return array if array.dtype == "float64" else array.astype("float32")


def _check_same(path: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise where a file was begun with something else."""
    runs = [{_CALLED.get(name, name): value for name, value in header["run"].items()} for header in (mine, theirs)]
    try:
        check_of_one_model("Stores", "gone on with", (mine["model"], mine["layers"]), (theirs["model"], theirs["layers"]))
        check_same_settings("Stores", "gone on with", *runs)
    except ValueError as error:
        raise ValueError(
            f"The file {path!r} cannot be gone on with: give another `path`, or resume=False to begin anew. {error}"
        ) from None
