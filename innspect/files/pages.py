"""A file as a change makes it: what is new goes to the file, what is there is changed in memory, page by page."""

import io
import math
import os

PAGE = 4096


class Pages(io.RawIOBase):
    """A file as it is, and what a change makes of it, which is not in the file yet.

    HDF5 reads and writes it, and crashes where that fails: so nothing is raised, but kept as `error`, and what cannot be
    written is in memory until the change is given up.

    Args:
        fd: The file.
        base: How many of its bytes count: what is written before that is kept aside, what is written behind it is not.
        pages: Pages that stand in for the file's, by number.

    Attributes:
        length: Of the file, as it is changed.
        error: What was raised by writing or reading, or None.
    """

    def __init__(self, fd: int, base: int, pages: dict[int, bytes] | None = None):
        super().__init__()
        self._fd, self._base, self.length, self._at = fd, base, base, 0
        self._pages = {number: bytearray(page) for number, page in (pages or {}).items()}
        self._aside: float = base  # what is written before that is kept aside
        self.error: BaseException | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.length}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self.length - self._at))
        try:
            buffer[:count] = self._read(self._at, count)
        except BaseException as error:
            self._give_up(error)
            buffer[:count] = bytes(count)
        self._at += count
        return count

    def write(self, data: "memoryview") -> int:  # type: ignore[override]
        view, start = memoryview(data).cast("B"), self._at
        try:
            self._write(view, start)
        except BaseException as error:
            self._give_up(error)
            self._write(view, start)
        self._at = start + len(view)
        self.length = max(self.length, self._at)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.length = self._at if size is None else size
        try:
            if self.error is None and self.length > self._base:
                os.ftruncate(self._fd, self.length)
        except BaseException as error:
            self._give_up(error)
        return self.length

    def changed(self) -> dict[int, bytes]:
        """The pages that are not in the file yet, by number, as far as they count."""
        end = self._base
        return {number: bytes(page[: end - number * PAGE]) for number, page in self._pages.items() if number * PAGE < end}

    def _write(self, view: memoryview, start: int) -> None:
        aside = int(min(len(view), max(0, self._aside - start)))
        place = start
        while place < start + aside:
            number, inner = divmod(place, PAGE)
            count = min(PAGE - inner, start + aside - place)
            if number not in self._pages:
                self._pages[number] = bytearray(read_at(self._fd, PAGE, number * PAGE).ljust(PAGE, b"\0"))
            self._pages[number][inner : inner + count] = view[place - start : place - start + count]
            place += count
        if aside < len(view):
            write_at(self._fd, view[aside:], start + aside)

    def _give_up(self, error: BaseException) -> None:
        """Write nothing more to the file."""
        if self.error is not None:
            return
        self.error, self._aside = error, math.inf
        for number, page in self._pages.items():  # what was written behind the base went to the file
            kept = max(0, min(PAGE, self._base - number * PAGE))
            page[kept:] = read_at(self._fd, PAGE, number * PAGE).ljust(PAGE, b"\0")[kept:]

    def _read(self, start: int, count: int) -> bytes:
        found = bytearray(read_at(self._fd, count, start).ljust(count, b"\0"))
        if self._pages:
            for number in range(start // PAGE, -(-(start + count) // PAGE)):
                page, at = self._pages.get(number, b""), number * PAGE
                first, last = max(start, at), int(min(start + count, at + len(page), self._aside))
                if first < last:
                    found[first - start : last - start] = page[first - at : last - at]
        return bytes(found)


def read_at(fd: int, count: int, place: int) -> bytes:
    """Bytes from a place on, fewer where the file ends."""
    os.lseek(fd, place, os.SEEK_SET)
    parts: list[bytes] = []
    while count > 0 and (part := os.read(fd, count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_at(fd: int, data: memoryview, place: int) -> None:
    """Write all of some bytes to a place."""
    while len(data):
        os.lseek(fd, place, os.SEEK_SET)
        done = os.write(fd, data)
        data, place = data[done:], place + done
