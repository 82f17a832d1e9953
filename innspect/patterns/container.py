"""The HDF5 file itself: written whole or not at all, and read only where its format and version are known."""

import contextlib
import os

import h5py

from innspect.files import replacing

FORMAT, VERSION = "innspect-patterns", 1


@contextlib.contextmanager
def written(path):
    """An HDF5 file that takes the place of `path` once the block has ended well."""
    path = os.path.abspath(path)
    try:
        with replacing(path) as partial, h5py.File(partial, "w", track_order=True) as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise OSError(f"{path!r} could not be written; what was there before is unchanged. Received: {error}") from error


@contextlib.contextmanager
def opened(path):
    """The file for reading, its format and version checked."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file {path!r}.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path!r} is damaged, cut short, or no HDF5 file. Received: {error}") from error
    with file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(
                f"{path!r} holds no patterns: expected the attribute format={FORMAT!r}. Received: {file.attrs.get('format')!r}"
            )
        if int(file.attrs["version"]) > VERSION:
            raise ValueError(
                f"{path!r} was written by a newer innspect ({file.attrs.get('innspect')}) in version {file.attrs['version']} "
                f"of the format, and this one reads up to version {VERSION}. Update innspect."
            )
        try:
            yield file
        except (OSError, KeyError, RuntimeError) as error:
            raise ValueError(f"{path!r} is damaged. Received: {error}") from error
