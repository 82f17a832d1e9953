"""Rows of a compressed array, gathered to chunks that are compressed beside the work.

HDF5 would compress in the thread that computes. The bytes are those of its filters "shuffle" and "gzip", so that every
reader of HDF5 takes them. Of gzip only runs and the code of single bytes are used (Z_RLE): in floating-point numbers there is
nothing else to find, and the search for it takes longer than most maps to compute.
"""

import zlib
from collections import deque
from concurrent.futures import Executor, Future

import numpy as np

from innspect.types import Array

_CHUNK = 1 << 14  # bytes: a chunk is one sample, or where samples are small as many as make this
_MOST = 1024  # samples a chunk


def rows_of_chunk(shape: tuple[int, ...], dtype: str) -> int:
    """How many samples of a shape share a chunk."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return int(np.clip(_CHUNK // max(size, 1), 1, _MOST))


def deflated(chunk: Array, compress: bool) -> bytes:
    """The bytes of a chunk, as the filters shuffle and gzip leave them; not compressed still with a checksum."""
    numbers = np.ascontiguousarray(chunk).reshape(-1)
    shuffled = numbers.view("uint8").reshape(-1, numbers.itemsize).T.tobytes()
    if not compress:
        return zlib.compress(shuffled, 0)
    made = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_RLE)
    return made.compress(shuffled) + made.flush()


class Rows:
    """The rows of one array on their way to the file.

    Args:
        chunk: How many rows a chunk has.
        pool: What compresses.
        compress: Whether to.
        begun: The rows of the chunk that the next row is in, which are in the file already.
        first: The number of the first of these, or of the next row.
    """

    def __init__(self, chunk: int, pool: Executor, compress: bool, begun: Array | None = None, first: int = 0):
        self._size, self._pool, self._compress = chunk, pool, compress
        self._rest = [] if begun is None or not len(begun) else [begun]
        self._next = first  # row that the next chunk begins with
        self._chunks: deque[tuple[int, Future[bytes]]] = deque()

    @property
    def complete(self) -> int:
        """Up to which row chunks are complete."""
        return self._next

    @property
    def waiting(self) -> int:
        """How many chunks are not compressed yet."""
        return sum(not future.done() for _, future in self._chunks)

    def add(self, rows: Array) -> None:
        """Take further rows."""
        held = sum(map(len, self._rest))
        if held + len(rows) < self._size:
            self._rest.append(rows)
            return
        rows = np.concatenate([*self._rest, rows]) if held else rows
        whole = len(rows) // self._size * self._size
        for start in range(0, whole, self._size):
            self._submit(rows[start : start + self._size])
        self._rest = [rows[whole:]] if whole < len(rows) else []

    def taken(self, last: bool) -> list[tuple[int, bytes]]:
        """The chunks that are complete, by the number of their first row; `last`: the one that is begun, too."""
        if last and self._rest:
            begun = np.concatenate(self._rest)
            missing = np.zeros((self._size - len(begun), *begun.shape[1:]), begun.dtype)
            self._chunks.append((self._next, self._pool.submit(deflated, np.concatenate([begun, missing]), self._compress)))
        found = [(row, future.result()) for row, future in self._chunks]
        self._chunks.clear()
        return found

    def wait(self, most: int) -> None:
        """Wait until no more than so many chunks are not compressed yet."""
        for _, future in list(self._chunks):
            if self.waiting <= most:
                return
            future.result()

    def _submit(self, chunk: Array) -> None:
        self._chunks.append((self._next, self._pool.submit(deflated, chunk, self._compress)))
        self._next += self._size
