"""The HDF5 file itself: written whole or not at all, and read only where it is whole, its format and version known."""

import contextlib
import os
import warnings

import h5py

from innspect.files import UnreadableFileError, readable, reading, replacing
from innspect.files.hdf5 import check_apart, check_declared
from innspect.files.seals import BLOCK, is_sealed_in_front, seal_front

FORMAT, VERSION = "innspect-patterns", 1


@contextlib.contextmanager
def written(path):
    """An HDF5 file that takes the place of `path` once the block has ended well."""
    path = os.fsdecode(path)
    try:
        with replacing(path) as partial:
            with h5py.File(partial, "w", track_order=True, userblock_size=BLOCK) as file:
                yield file
            seal_front(partial)
    except (OSError, RuntimeError) as error:
        raise OSError(f"{path!r} could not be written; what was there before is unchanged. Received: {error}") from error


@contextlib.contextmanager
def opened(path, *, known=False):
    """The file for reading, its bytes compared with its seal, and what it declares, its format and its version checked.

    In the block may only stand what reads it: see `innspect.files.reading`.

    Args:
        path: The file.
        known: True where it was opened before, so that what takes time, with its note, need not be done again.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, no HDF5 file, holds no patterns, or is of a newer version.
    """
    path = readable(path)
    with reading(path, "HDF5 file"):
        sealed = known or is_sealed_in_front(path)
    if not sealed:
        check_apart(path)
        warnings.warn(
            f"{path!r} has no digest: an older innspect wrote it, or another program. It is read, but nothing can tell whether "
            "its numbers are those that were written. Load and save it to add one.",
            stacklevel=2,
        )
    with reading(path), h5py.File(path, "r") as file:
        if not known:
            check_declared(file)
            _check_format(path, file.attrs)
        yield file


def _check_format(path, attributes):
    if attributes.get("format") != FORMAT:
        raise UnreadableFileError(
            f"{path!r} holds no patterns: expected the attribute format={FORMAT!r}. Received: {attributes.get('format')!r}"
        )
    if int(attributes["version"]) > VERSION:
        raise UnreadableFileError(
            f"{path!r} was written by a newer innspect ({attributes.get('innspect')}) in version {attributes['version']} "
            f"of the format, and this one reads up to version {VERSION}. Update innspect."
        )
