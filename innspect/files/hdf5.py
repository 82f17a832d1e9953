"""What an HDF5 file declares, looked at before anything of it is read.

A file may say that its numbers are in another file, which may be any of the machine's; that an array is larger than any memory,
in a few bytes; or that a group is within itself. None of this is in what innspect writes: groups, arrays of numbers as they
are, and text.

A damaged file makes the HDF5 library fail in worse ways: it hangs, it crashes. Where no seal tells that a file is whole, a
process of its own reads it first.
"""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import h5py

from innspect.files.reading import UnreadableFileError

_SECONDS, _BYTES_A_SECOND = 30, 10_000_000  # what reading may take at most
_REHEARSAL = "import sys; sys.path[:] = sys.argv[2:]; from innspect.files.hdf5 import rehearse; rehearse(sys.argv[1])"


def check_declared(file: h5py.File) -> None:
    """Raise where a file declares what innspect does not write, or more bytes than it has.

    Raises:
        ValueError: The message names the entry.
    """
    size = os.path.getsize(file.filename)
    declared = 0
    for name, count in _declared(file):
        declared += count
        if declared > size:
            raise ValueError(f"up to {name!r} it declares {declared} bytes, and has {size}")


def check_kinds(file: h5py.File) -> None:
    """As `check_declared`, of a file whose arrays are compressed, or not filled yet: how large they are is not looked at.

    Nor may it hold text of any length: HDF5 keeps that where there are no checksums, and reading it may never end.
    """
    for name, _ in _declared(file):
        item = file[name]
        types = [item.attrs.get_id(attribute).dtype for attribute in item.attrs]
        for dtype in [*types, *([item.dtype] if isinstance(item, h5py.Dataset) else [])]:
            told = h5py.check_string_dtype(dtype)
            if told is not None and told.length is None:
                raise ValueError(f"{name!r} holds text of any length")


def _declared(file: h5py.File) -> Iterator[tuple[str, int]]:
    """How many bytes each group and array declares, itself and its attributes."""
    for name, item in _items(file):
        count = 0
        if isinstance(item, h5py.Dataset):
            _check_dataset(name, item)
            count = math.prod(item.shape or ()) * item.dtype.itemsize
        for attribute in item.attrs:
            found = item.attrs.get_id(attribute)
            _check_dtype(f"{name}@{attribute}", found.dtype, found.shape)
            count += math.prod(found.shape or ()) * found.dtype.itemsize
        yield name, count


def _items(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every group and array with its path, each once."""
    waiting, seen = [("/", file["/"])], set()
    while waiting:
        path, item = waiting.pop()
        info = h5py.h5o.get_info(item.id)
        if (info.fileno, info.addr) in seen:
            raise ValueError(f"{path!r} is in the file twice")
        seen.add((info.fileno, info.addr))
        yield path, item
        if not isinstance(item, h5py.Group):
            continue
        for name in item:
            inner = f"{path.rstrip('/')}/{name}"
            link = item.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{inner!r} is elsewhere: a {type(link).__name__}")
            found = item[name]
            if not isinstance(found, h5py.Group | h5py.Dataset):
                raise ValueError(f"{inner!r} is a {type(found).__name__}, and no group or array")
            waiting.append((inner, found))


def _check_dataset(name: str, dataset: h5py.Dataset) -> None:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} keeps its numbers in another file")
    _check_dtype(name, dataset.dtype, dataset.shape)


def _check_dtype(name: str, dtype: Any, shape: tuple[int, ...] | None) -> None:
    """Numbers, and text: as it is, or of any length."""
    if dtype.kind not in "biufSU" and h5py.check_string_dtype(dtype) is None:
        raise ValueError(f"{name!r} holds neither numbers nor text, but {dtype} of shape {shape}")


# ------------------------------------------------------------------ in a process of its own
def check_apart(path: str) -> None:
    """Have another process read a whole file, and raise where it fails, crashes, or does not come to an end.

    Raises:
        UnreadableFileError: The message says what happened.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # there is no Python that could be started
        return
    command = [sys.executable, "-c", _REHEARSAL, path, *sys.path]
    seconds = _SECONDS + os.path.getsize(path) / _BYTES_A_SECOND
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise UnreadableFileError(f"{path!r} is damaged: reading it does not come to an end.") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        cause = said[-1] if done.returncode > 0 and said else f"the HDF5 library crashed ({done.returncode})"
        raise UnreadableFileError(f"{path!r} is damaged. Received: {cause}")


def rehearse(path: str) -> None:
    """Read everything of a file, and forget it."""
    with h5py.File(path, "r") as file:
        check_declared(file)
        for _, item in _items(file):
            dict(item.attrs)
            if isinstance(item, h5py.Dataset):
                item[()]
