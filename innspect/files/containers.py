"""HDF5 files of innspect's own: written whole or not at all, read only where whole, of a known format and version."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py

from innspect.files.hdf5 import check_apart, check_declared
from innspect.files.reading import UnreadableFileError, readable, reading
from innspect.files.seals import BLOCK, is_sealed_in_front, seal_front
from innspect.files.writing import replacing

if TYPE_CHECKING:
    from innspect.types import Path


@dataclass(frozen=True)
class Format:
    """What a file says that it is.

    Attributes:
        name: The attribute "format" of the file.
        version: The newest version that is known.
        holds: What is in it, in words: "patterns".
    """

    name: str
    version: int
    holds: str

    @contextlib.contextmanager
    def written(self, path: "Path") -> Iterator[h5py.File]:
        """An HDF5 file, with its format and version, that takes the place of `path` once the block has ended well."""
        path = os.fsdecode(path)
        try:
            with replacing(path) as partial:
                with h5py.File(partial, "w", track_order=True, userblock_size=BLOCK) as file:
                    file.attrs.update({"format": self.name, "version": self.version})
                    yield file
                seal_front(partial)
        except (OSError, RuntimeError) as error:
            raise OSError(f"{path!r} could not be written; what was there before is unchanged. Received: {error}") from error

    @contextlib.contextmanager
    def opened(self, path: "Path", *, known: bool = False) -> Iterator[h5py.File]:
        """The file for reading, its bytes compared with its seal, and what it declares, its format and its version checked.

        In the block may only stand what reads it: see `innspect.files.reading`.

        Args:
            path: The file.
            known: True where it was opened before, so that what takes time, with its note, need not be done again.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: It is damaged, no HDF5 file, of another format, or of a newer version.
        """
        path = readable(path)
        with reading(path, "HDF5 file"):
            sealed = known or is_sealed_in_front(path)
        if not sealed:
            check_apart(path)
            warnings.warn(
                f"{path!r} has no digest: an older innspect wrote it, or another program. It is read, but nothing can tell "
                "whether its numbers are those that were written. Load and save it to add one.",
                stacklevel=2,
            )
        with reading(path), h5py.File(path, "r") as file:
            if not known:
                check_declared(file)
                self.check(path, file.attrs)
            yield file

    def check(self, path: str, attributes: Any) -> None:
        """Raise where the attributes of a file say that it is of another format, or of a newer version."""
        found = attributes.get("format")
        found = found.decode(errors="replace") if isinstance(found, bytes) else found
        if found != self.name:
            raise UnreadableFileError(
                f"{path!r} holds no {self.holds}: expected the attribute format={self.name!r}. Received: {found!r}"
            )
        if int(attributes["version"]) > self.version:
            raise UnreadableFileError(
                f"{path!r} was written by a newer innspect ({attributes.get('innspect')}) in version {attributes['version']} "
                f"of the format, and this one reads up to version {self.version}. Update innspect."
            )
