"""Files that grow in place: each change is there whole, or not at all, whatever happens while it is made.

Requirements of the design:

- What is large is written once: a change appends, and puts nothing of what is there at risk.
- A process that is killed at any moment, or a machine that is switched off, leaves the file as one of its changes left it.
- The file is an ordinary file of its format, which other programs read.

A file begins with a block that holds its name, a number drawn for it, and its length. What a change writes beyond that length
goes to its place at once, where nothing refers to it yet. What it writes before that stays in memory, page by page, until the
change is complete; then these pages go to a journal beside the file, then to the file, and the journal is removed. So a journal
is always whole; where one is found, its pages are written again.
"""

import contextlib
import errno
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator

from innspect.files.pages import PAGE, Pages, read_at, write_at
from innspect.files.reading import UnreadableFileError, readable
from innspect.files.seals import BLOCK
from innspect.files.writing import replacing, target_of
from innspect.types import Path

try:  # not on Windows, where nothing tells that two processes write one file
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_MARK = b"innspect growing"
_HEADER = struct.Struct("<16s16sQ")  # mark, number, length; then the CRC-32 of these
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # what some network disks say
_FLAGS = getattr(os, "O_BINARY", 0)


class Growing:
    """A file that is open for changes, by nobody else.

    Args:
        path: The file; where there is none, one of no bytes but its first block.
        fresh: Whether what is there is given up.

    Attributes:
        new: Whether nothing was ever changed in it.

    Raises:
        UnreadableFileError: There is a file, and it is of another kind, or was cut short.
        OSError: It cannot be opened, or is open elsewhere.
    """

    def __init__(self, path: Path, fresh: bool = False):
        self.path = target_of(path)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o666)
        try:
            _lock(self._fd, self.path, alone=True)
            if fresh or self._is_unborn():
                self._begin()
            else:
                self._number, self._length = _recovered(self._fd, self.path)
        except BaseException:
            os.close(self._fd)
            raise
        self.new = self._length == BLOCK

    def _is_unborn(self) -> bool:
        """Whether nothing is there, or a block that was not written to its end."""
        start = read_at(self._fd, BLOCK, 0)
        return len(start) < BLOCK and _MARK.startswith(start[: len(_MARK)])

    def _begin(self) -> None:
        os.ftruncate(self._fd, 0)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_journal(self.path))
        self._number, self._length = os.urandom(16), BLOCK
        write_at(self._fd, memoryview(_header(self._number, BLOCK)), 0)

    @contextlib.contextmanager
    def changing(self) -> Iterator[Pages]:
        """The file for a change, which is made when the block ends well, and not at all where an error is raised."""
        pages = Pages(self._fd, self._length)
        try:
            yield pages
            pages.seek(0)
            pages.write(memoryview(_header(self._number, pages.length)))
            if pages.error is not None:
                raise pages.error  # in whatever HDF5 made of it
            os.fsync(self._fd)
            changed = pages.changed()
            _write_journal(self.path, self._number, pages.length, changed)
        except BaseException:
            os.ftruncate(self._fd, self._length)
            raise
        _apply(self._fd, self.path, pages.length, changed)
        self._length, self.new = pages.length, False

    def pages(self) -> Pages:
        """The file for reading, as its last change left it."""
        return Pages(self._fd, self._length)

    def close(self) -> None:
        """Let others open the file; where nothing was ever written to it, there is none afterwards."""
        if self._fd >= 0:
            if self.new:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
            os.close(self._fd)
            self._fd = -1


@contextlib.contextmanager
def grown(path: Path) -> Iterator[Pages | None]:
    """For reading: the file as its last change left it, where the file itself is not that yet; else None.

    Nobody changes it within.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is of another kind, or was cut short.
        BlockingIOError: It is being written.
    """
    path = readable(path)
    fd = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _lock(fd, path, alone=False)
        number, length = _read_header(fd, path)
        found = _read_journal(path, number)
        length = length if found is None else found[0]
        _check_length(fd, path, length if found is None else 0)
        if length == BLOCK:
            raise UnreadableFileError(f"{path!r} holds nothing yet: its writer was stopped before the first rows were done.")
        yield None if found is None else Pages(fd, length, found[1])
    finally:
        os.close(fd)


def is_growing(path: Path) -> bool:
    """Whether a file begins as those of this module do."""
    with open(path, "rb") as file:
        return file.read(len(_MARK)) == _MARK


# ------------------------------------------------------------------ the first block, and the journal
def _header(number: bytes, length: int) -> bytes:
    packed = _HEADER.pack(_MARK, number, length)
    return (packed + struct.pack("<I", zlib.crc32(packed))).ljust(BLOCK, b"\0")


def _read_header(fd: int, path: str) -> tuple[bytes, int]:
    """The number and the length of a file."""
    start = read_at(fd, BLOCK, 0)
    mark, number, length = _HEADER.unpack(start[: _HEADER.size].ljust(_HEADER.size, b"\0"))
    if mark != _MARK:
        raise UnreadableFileError(f"{path!r} is of another kind, or its start is damaged: it does not begin as a store does.")
    if start != _header(number, length):
        raise UnreadableFileError(f"{path!r} is damaged: its first {BLOCK} bytes are not those that were written.")
    return number, length


def _check_length(fd: int, path: str, length: int) -> None:
    size = os.fstat(fd).st_size
    if size < length:
        raise UnreadableFileError(f"{path!r} is damaged: it was cut short, to {size} bytes of {length}.")


def _recovered(fd: int, path: str) -> tuple[bytes, int]:
    """Bring a file to the state in which its last change left it; its number and its length."""
    number, length = _read_header(fd, path)
    found = _read_journal(path, number)
    if found is not None:
        length, pages = found
        _apply(fd, path, length, pages)
    _check_length(fd, path, length)
    os.ftruncate(fd, length)  # what a change left that was not made
    return number, length


def _journal(path: str) -> str:
    return f"{path}.journal"


def _write_journal(path: str, number: bytes, length: int, pages: dict[int, bytes]) -> None:
    parts = [struct.pack("<16sQQ", number, length, len(pages))]
    for page, content in pages.items():
        parts += [struct.pack("<QQ", page, len(content)), content]
    whole = b"".join(parts)
    with replacing(_journal(path)) as partial, open(partial, "wb") as file:
        file.write(hashlib.sha256(whole).digest() + whole)


def _read_journal(path: str, number: bytes) -> tuple[int, dict[int, bytes]] | None:
    """The length and the pages that a change leaves, where it is in the journal of a file with this number."""
    try:
        with open(_journal(path), "rb") as file:
            digest, whole = file.read(32), file.read()
    except OSError:
        return None
    if hashlib.sha256(whole).digest() != digest or whole[:16] != number:
        return None
    (_, length, count), at, pages = struct.unpack_from("<16sQQ", whole), 32, {}
    for _ in range(count):
        page, size = struct.unpack_from("<QQ", whole, at)
        pages[page] = whole[at + 16 : at + 16 + size]
        at += 16 + size
    return length, pages


def _apply(fd: int, path: str, length: int, pages: dict[int, bytes]) -> None:
    """Write what is in the journal to the file."""
    for number, content in pages.items():
        write_at(fd, memoryview(content), number * PAGE)
    os.ftruncate(fd, length)
    os.fsync(fd)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_journal(path))


def _lock(fd: int, path: str, alone: bool) -> None:
    """Keep others from a file while it is open: all, or those that would write."""
    if fcntl is None:
        return
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        who = "written, or read, by another program or an open store" if alone else "written by another process"
        raise BlockingIOError(f"{path!r} is being {who}: wait until that has ended, or close it.") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
