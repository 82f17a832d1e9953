"""What the HDF5 file of a store holds.

(512 bytes)         see innspect.files.growing
/                   format, version, innspect, keras, backend, model, method, fingerprint (of the weights); as JSON: settings
                    (of the explanations), run (what a run that goes on must have alike), layers (fingerprints), form
                    (structure and axes of the maps); digest of all these; rows (that are done), complete
attribution         (samples, channels, ...) maps; with several neurons (samples, neurons, channels, ...); for several inputs a
                    group with an array for each
prediction          (samples, ...) the explained output of the model
target              (samples,), or (samples, neurons): the explained values
neuron              the same shape: the number of the explained neuron, or -1
label               (samples,) numbers of classes, -1 where none is known; or (samples, classes) of truth values
index               (samples,) the number of the sample in the data, -1 where it is not done
done                (samples,) truth values

Its structures are those of HDF5 1.10, which all have checksums; so have the chunks.
"""

import contextlib
import hashlib
import io
import json
import math
import os
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np

from innspect._version import __version__
from innspect.files.containers import Format
from innspect.files.growing import Pages, grown
from innspect.files.hdf5 import check_kinds
from innspect.files.reading import UnreadableFileError, reading
from innspect.files.seals import BLOCK
from innspect.stores.chunks import rows_of_chunk
from innspect.types import Array, Path

FORMAT = Format("innspect-store", 1, "store of maps")
HDF5: dict[str, Any] = {"libver": "latest"}  # structures with checksums
TEXTS = ("settings", "run", "layers", "form")
_NAMES = ("innspect", "keras", "backend", "model", "method", "fingerprint")
_SMALL = 1024  # rows a chunk of numbers, of which each sample has one or few
_INFLATED = 1100  # bytes at most that a compressed byte may stand for

Header = dict[str, Any]  # "model", "method", "fingerprint" and TEXTS, of which each is JSON
Shapes = dict[str, tuple[tuple[int, ...], str]]  # of arrays: path -> (shape of a row, dtype)


def compressed(path: str) -> bool:
    """Whether an array is one of those that are large."""
    return path.startswith("attribution") or path == "prediction"


def create(pages: Pages, header: Header, shapes: Shapes, total: int | None) -> None:
    """Write a store without rows.

    Args:
        pages: Where to.
        header: See `Header`.
        shapes: Of the arrays.
        total: How many samples there will be, where that is known.
    """
    image = io.BytesIO()
    with h5py.File(image, "w", userblock_size=BLOCK, **HDF5) as file:
        told = {"innspect": __version__, "keras": keras.__version__, "backend": keras.backend.backend()}
        told |= {name: header[name] for name in ("model", "method", "fingerprint")}
        told |= {name: json.dumps(header[name]) for name in TEXTS}
        for name, text in {"format": FORMAT.name, **told, "digest": _digest(told)}.items():
            encoded = text.encode() or b" "
            file.attrs.create(name, encoded, dtype=h5py.string_dtype("utf-8", len(encoded)))
        file.attrs.update({"version": FORMAT.version, "rows": 0, "complete": False})
        for path, (row, dtype) in shapes.items():
            chunk = rows_of_chunk(row, dtype) if compressed(path) else _SMALL
            # Level 0 packs nothing, so that a chunk keeps its place when rows are added; but it has gzip's checksum, where
            # that of "fletcher32" does not tell the bytes 00 00 from ff ff.
            how: dict[str, Any] = {"compression": "gzip", "compression_opts": 1 if compressed(path) else 0}
            how |= {"shuffle": True} if compressed(path) else {}
            how |= {"fillvalue": -1} if path in ("index", "neuron") or (path == "label" and not row) else {}
            file.create_dataset(path, (total or 0, *row), dtype, chunks=(chunk, *row), maxshape=(None, *row), **how)
    content = image.getbuffer()
    pages.seek(BLOCK)
    pages.write(content[BLOCK:])


def write_chunks(dataset: h5py.Dataset, chunks: list[tuple[int, bytes]]) -> None:
    """Put chunks that are compressed already in their places, by the number of their first row."""
    for row, content in chunks:
        dataset.id.write_direct_chunk((row, *[0] * (dataset.ndim - 1)), content)


def resize(file: h5py.File, rows: int) -> None:
    """Make room for so many rows in all arrays."""
    for dataset in arrays_of(file).values():
        if dataset.shape[0] < rows:
            dataset.resize(rows, axis=0)


def arrays_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """The arrays of a store, by path."""
    inner = file["attribution"]
    named = {f"attribution/{name}": inner[name] for name in inner} if isinstance(inner, h5py.Group) else {"attribution": inner}
    return named | {name: file[name] for name in ("prediction", "target", "neuron", "label", "index", "done") if name in file}


# ------------------------------------------------------------------ reading
@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file for reading, what it says of itself checked. In the block may only stand what reads it: see `reading`.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, no store, or of a newer version.
        BlockingIOError: A run is writing it.
    """
    name = os.fsdecode(path)
    with grown(path) as pages, reading(path, "store of maps"), h5py.File(name if pages is None else pages, "r") as file:
        check(name, file)
        yield file


def check(path: str, file: h5py.File) -> None:
    """Raise where a file is no store, or not as it was written."""
    check_kinds(file)
    FORMAT.check(path, file.attrs)
    if _text(file, "digest") != _digest({name: _text(file, name) for name in (*_NAMES, *TEXTS)}):
        raise UnreadableFileError(f"{path!r} is damaged: what it says of itself is not what was written.")
    rows, arrays = int(file.attrs["rows"]), arrays_of(file)
    lengths = {dataset.shape[0] for dataset in arrays.values()}
    if len(lengths) != 1 or not 0 <= rows <= min(lengths):
        raise UnreadableFileError(f"{path!r} is damaged: its arrays have {sorted(lengths)} rows, and {rows} are done.")
    for name, dataset in arrays.items():
        declared, there = rows * math.prod(dataset.shape[1:]) * dataset.dtype.itemsize, dataset.id.get_storage_size()
        chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        if declared > there * _INFLATED or (rows and chunk > there * _INFLATED):
            raise UnreadableFileError(f"{path!r} is damaged: {name!r} declares {declared} bytes, and has {there}.")


def header_of(file: h5py.File) -> Header:
    """What `create` was given, and "innspect", "keras" and "backend"."""
    names = {name: _text(file, name) for name in _NAMES}
    return names | {name: json.loads(_text(file, name)) for name in TEXTS}


def shapes_of(file: h5py.File) -> Shapes:
    return {path: (dataset.shape[1:], str(dataset.dtype)) for path, dataset in arrays_of(file).items()}


def read_rows(file: h5py.File, rows: slice) -> dict[str, Array]:
    """Some rows of all arrays, by path."""
    return {path: np.asarray(dataset[rows]) for path, dataset in arrays_of(file).items()}


def _text(file: h5py.File, name: str) -> str:
    """An attribute: text of a fixed length, for HDF5 keeps other text where there are no checksums."""
    return str(bytes(file.attrs[name]).decode())


def _digest(told: dict[str, str]) -> str:
    return hashlib.sha256("\0".join(told[name] for name in (*_NAMES, *TEXTS)).encode()).hexdigest()
