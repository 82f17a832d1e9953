"""Zip files, and arrays in them: what they declare is compared with their sizes before it is believed.

An npz file is a zip file of npy files. innspect compresses nothing, so that what is declared beyond a file's size is not there.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from innspect.files.reading import readable, reading
from innspect.files.seals import is_sealed_at_end
from innspect.types import Array, Path

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextlib.contextmanager
def opened_archive(path: Path, what: str) -> Iterator[zipfile.ZipFile]:
    """A zip file for reading, its bytes compared with its seal, or where it has none with the checksums of its members.

    In the block may only stand what reads it: see `reading`. `what` is what the file should be, in words.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, or no zip file.
    """
    path = readable(path)
    with reading(path, what):
        sealed = is_sealed_at_end(path)
        with zipfile.ZipFile(path) as archive:
            check_sizes(archive, os.path.getsize(path))
            if not sealed and (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged!r} is not that of its bytes")
            yield archive


def check_sizes(archive: zipfile.ZipFile, size: int) -> None:
    """Raise where the members declare more bytes than there are."""
    declared = sum(member.file_size for member in archive.infolist())
    if declared > size:
        raise ValueError(f"it declares {declared} bytes, and has {size}")


def arrays_of(archive: zipfile.ZipFile) -> dict[str, Array]:
    """The arrays of an npz file, by name."""
    return {name: read_member(archive, name) for name in member_names(archive)}


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """The names of an npz file's arrays."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def shape_of(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    """The shape of an array, of which nothing else is read."""
    with _member(archive, name)[1] as file:
        return _header(file)[0]


def read_member(archive: zipfile.ZipFile, name: str, rows: int | None = None) -> Array:
    """An array of an npz file, or its first rows; nothing that was pickled is read.

    Raises:
        ValueError: It is no array of numbers or text, or its size is not the one declared.
    """
    info, file = _member(archive, name)
    with file:
        shape, by_columns, dtype = _header(file)
        if dtype.hasobject or min(shape, default=0) < 0:
            raise ValueError(f"{name!r} is no array of numbers or text: {dtype} of shape {shape}")
        declared, there = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
        if declared != there:
            raise ValueError(f"{name!r} declares {declared} bytes, {dtype} of shape {shape}, and has {there}")
        if shape and rows is not None and not by_columns:
            shape = (min(rows, shape[0]), *shape[1:])
        bytes_ = _read(file, math.prod(shape) * dtype.itemsize, name)
    values = bytes_.view(dtype) if bytes_.size else np.empty(math.prod(shape), dtype)
    return values.reshape(shape, order="F" if by_columns else "C")[(*[slice(rows)] * bool(shape), ...)]


def _member(archive: zipfile.ZipFile, name: str) -> tuple[zipfile.ZipInfo, IO[bytes]]:
    info = archive.getinfo(f"{name}.npy")
    return info, archive.open(info)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether by columns, and dtype."""
    return _HEADERS[np.lib.format.read_magic(file)](file)


def _read(file: IO[bytes], length: int, name: str) -> Array:
    """So many bytes, piece by piece: a member gives as many at once as it likes."""
    values, at = np.empty(length, "uint8"), 0
    while at < length:
        piece = file.read(min(length - at, 1 << 20))
        if not piece:
            raise ValueError(f"{name!r} is cut short")
        values[at : at + len(piece)] = np.frombuffer(piece, "uint8")
        at += len(piece)
    return values
