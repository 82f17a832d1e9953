"""Writing: whole or not at all, with the rights that the file has, or that any new file has.

What is being written stands beside its target under a name that says whose it is: `.innspect-<machine>-<process>-<number>-`
and the target's name. A writer that is killed leaves it there, and the next one in that folder takes it away.
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from innspect.files.reading import kind_of

if TYPE_CHECKING:  # for it imports NumPy, which the command line does without until it works
    from innspect.types import Path

_PARTIAL = re.compile(r"\.innspect-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}-.*", re.DOTALL)
_LONG = 180  # bytes of a name; most file systems allow 255, of which the start of a partial file's takes some
_ABANDONED = 86400  # seconds without a change, after which nobody is writing, whatever process has the number now

_writing: set[str] = set()  # what this process is writing now
_left: dict[str, int] = {}  # the folder written to last, and when it was changed: unchanged, it need not be searched


@contextlib.contextmanager
def replacing(path: "Path") -> Iterator[str]:
    """The name of an empty file beside `path` to write to, which takes its place once all went well.

    Its ending is that of `path`. Links are followed: what they point to is replaced. Where an error is raised within, the
    file that was there stays as it was, and nothing is left beside it.

    Raises:
        OSError: `path` is something other than a file, such as a device or a folder, or its folder is not there.
    """
    target = target_of(path)
    with _beside(target) as partial:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # the system takes what the umask forbids
        yield partial
        with open(partial, "rb") as complete:
            os.fsync(complete.fileno())
        if os.path.exists(target):
            os.chmod(partial, os.stat(target).st_mode & 0o777)
        os.replace(partial, target)


def write(path: "Path", content: str | bytes) -> None:
    """Write bytes, or text in UTF-8, to a file, whole or not at all."""
    with replacing(path) as partial, open(partial, "wb") as file:
        # Names of files that are not UTF-8 are text that has no bytes in it: they are written as they are escaped in Python.
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing_folder(path: "Path") -> Iterator[str]:
    """The name of an empty folder to write to, which becomes `path`, new or empty, once all went well.

    Raises:
        FileExistsError: As by `vacant_folder`.
    """
    target = vacant_folder(path)
    if not os.path.isdir(target):
        with _beside(target) as partial:
            os.mkdir(partial)
            yield partial
            os.replace(partial, target)
        return
    with _beside(_within(target)) as partial:  # a folder that is there may be a disk of its own, which cannot be replaced
        os.mkdir(partial)
        yield partial
        for entry in sorted(os.scandir(partial), key=lambda entry: entry.is_file()):
            os.replace(entry.path, os.path.join(target, entry.name))
        os.rmdir(partial)


def vacant_folder(path: "Path") -> str:
    """Where a path leads to that is new or an empty folder, but for what a killed writer left in it, which is removed.

    Raises:
        FileExistsError: There is something else.
    """
    target = os.path.realpath(os.fsdecode(path))
    if os.path.isdir(target):
        _clean(target)
    if os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        raise FileExistsError(f"`path` must be a new or an empty folder. Received: {os.fsdecode(path)!r}")
    return target


def _within(folder: str) -> str:
    return os.path.join(folder, "export")


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """An empty folder among the system's temporary ones, which only this user sees, and which is gone afterwards."""
    with _beside(os.path.join(os.path.realpath(tempfile.gettempdir()), "scratch")) as folder:
        os.mkdir(folder, 0o700)
        try:
            yield folder
        finally:
            _remove(folder)


# ------------------------------------------------------------------ what is replaced
def target_of(path: "Path") -> str:
    """Where a path leads to, links followed: a regular file, or nothing yet."""
    path = os.fsdecode(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return os.path.realpath(path)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path!r} cannot be written: it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(f"{path!r} cannot be written: expected a regular file, or none yet. Received: {kind_of(mode)}")
    return os.path.realpath(path)


def check_folder(path: "Path") -> None:
    """Raise where a folder cannot be written to, or made.

    Raises:
        OSError: The message names what is in the way.
    """
    path = os.fsdecode(path)
    above = os.path.abspath(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise NotADirectoryError(f"{path!r} cannot be a folder: {above!r} is a file")
    if not os.access(above, os.W_OK):
        raise PermissionError(f"{path!r} cannot be written to: no permission for {above!r}")


# ------------------------------------------------------------------ what is not complete yet
@contextlib.contextmanager
def _beside(target: str) -> Iterator[str]:
    """A name beside a target for what will take its place; where an error is raised within, what is there is removed."""
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{target!r} cannot be written: there is no folder {folder!r}")
    _clean(folder)
    start = f".innspect-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}-"
    partial = os.path.join(folder, start + _shown(target))
    _writing.add(partial)
    try:
        yield partial
    except BaseException:
        _remove(partial)
        raise
    finally:
        _writing.discard(partial)
        with contextlib.suppress(OSError):
            changed = os.stat(folder).st_mtime_ns
            _left.clear()
            _left[folder] = changed


def _clean(folder: str) -> None:
    """Remove what killed writers left in a folder."""
    try:
        if _left.get(folder) == os.stat(folder).st_mtime_ns:  # as this process left it
            return
        entries = os.listdir(folder)
    except OSError:  # a folder that may be written to, but not be read
        return
    for entry in entries:
        found = _PARTIAL.fullmatch(entry)
        path = os.path.join(folder, entry)
        if found and _is_abandoned(path, found[1], int(found[2])):
            _remove(path)


def _is_abandoned(path: str, machine: str, process: int) -> bool:
    """Whether the process that was writing is no more."""
    if machine == _machine() and process == os.getpid():
        return path not in _writing
    if machine == _machine() and os.name == "posix":  # elsewhere asking after a process ends it
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # another user's
            pass
    try:
        return time.time() - os.lstat(path).st_mtime > _ABANDONED
    except OSError:
        return False


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)


def _shown(target: str) -> str:
    """The target's name, or where that is long its digest and its end."""
    name = os.path.basename(target)
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONG else f"{hashlib.sha256(encoded).hexdigest()[:8]}{name[-_LONG // 5 :]}"


@functools.cache
def _machine() -> str:
    """Eight digits for where process numbers mean the same: a machine, or a container."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:8]
