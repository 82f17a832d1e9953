"""What is said of a file that cannot be read."""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for it imports NumPy, which the command line does without until it works
    from innspect.types import Path

_OTHERS_FAULT = (MemoryError, PermissionError, BlockingIOError)  # no fault of what the file holds


class UnreadableFileError(ValueError):
    """A file that cannot be read as what it should be: damaged, cut short, of another kind, or of a newer version.

    The message names the file and the cause. There being no such file is a `FileNotFoundError`.
    """


def readable(path: "Path") -> str:
    """The path as text, where a regular file stands: what else there is may never end, or never begin.

    Raises:
        FileNotFoundError: There is nothing of that name.
        UnreadableFileError: It is a folder, a pipe, a device.
    """
    path = os.fsdecode(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file {path!r}.") from error
    if not stat.S_ISREG(mode):
        raise UnreadableFileError(f"{path!r} cannot be read: expected a regular file. Received: {kind_of(mode)}")
    return path


@contextlib.contextmanager
def reading(path: "Path", what: str = "") -> Iterator[None]:
    """Whatever is raised within, by whichever library, is an `UnreadableFileError` that names the file.

    A damaged file makes its readers fail in every way there is: in this block may only stand what reads it. `what` is what
    the file should be, in words.
    """
    try:
        yield
    except (UnreadableFileError, *_OTHERS_FAULT):
        raise
    except Exception as error:
        told = f"is no {what}, or is damaged" if what else "is damaged"
        cause = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise UnreadableFileError(f"{os.fsdecode(path)!r} {told}. Received: {cause}") from error


def kind_of(mode: int) -> str:
    """What stands at a path, in words."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
