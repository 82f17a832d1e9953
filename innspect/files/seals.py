"""Seals: a digest of a file's bytes within the file, where other readers of its format pass over it.

An HDF5 file may begin with a user block, and a zip file, such as an npz file, may end with a comment. The seal stands there:
`innspect sha256 ` and the SHA-256 of all other bytes. It is looked at before any library reads the file, and tells of
damage; who forges a file forges its seal.
"""

import hashlib
import os
from typing import BinaryIO

from innspect.types import Path

BLOCK = 512  # bytes of a user block, the fewest there can be
_MARK = b"innspect sha256 "
_LENGTH = len(_MARK) + 64
_HDF5 = b"\x89HDF\r\n\x1a\n"
_END, _END_LENGTH = b"PK\x05\x06", 22  # a zip file's last record, which closes with the length of the comment behind it


def seal_front(path: Path) -> None:
    """Seal an HDF5 file that has a user block of `BLOCK` bytes."""
    with open(path, "r+b") as file:
        file.seek(BLOCK)
        seal = _seal(file, os.path.getsize(path) - BLOCK)
        file.seek(0)
        file.write(_block(seal))


def is_sealed_in_front(path: str) -> bool:
    """Whether an HDF5 file has a seal.

    Raises:
        ValueError: The seal is not that of the file; or it is no HDF5 file.
    """
    with open(path, "rb") as file:
        start = file.read(BLOCK)
        if start.startswith(_HDF5):
            return False
        if not start.startswith(_MARK):
            raise ValueError("its start is not that of an HDF5 file")
        _check(start, _block(_seal(file, os.path.getsize(path) - BLOCK)))
        return True


def seal_end(path: Path) -> None:
    """Seal a zip file that ends without a comment."""
    with open(path, "r+b") as file:
        file.seek(-2, os.SEEK_END)
        file.write(_LENGTH.to_bytes(2, "little"))
        length = file.tell()
        file.seek(0)
        seal = _seal(file, length)
        file.write(seal)


def is_sealed_at_end(path: str) -> bool:
    """Whether a zip file has a seal.

    Raises:
        ValueError: The seal is not that of the file; or it is no zip file.
    """
    with open(path, "rb") as file:
        length = os.path.getsize(path)
        file.seek(-min(length, _LENGTH), os.SEEK_END)
        end = file.read()
        if end[-_END_LENGTH:].startswith(_END) and end.endswith(b"\0\0"):
            return False
        if not end.startswith(_MARK):
            raise ValueError("its end is not that of a zip file")
        file.seek(0)
        _check(end, _seal(file, length - _LENGTH))
        return True


def _check(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise ValueError("its bytes are not those that its digest was made of: it was damaged, or changed by another program")


def _seal(file: BinaryIO, length: int) -> bytes:
    """The seal of the bytes that follow in a file."""
    hasher = hashlib.sha256()
    while length > 0 and (piece := file.read(min(length, 1 << 20))):
        hasher.update(piece)
        length -= len(piece)
    return _MARK + hasher.hexdigest().encode()


def _block(seal: bytes) -> bytes:
    return seal.ljust(BLOCK, b"\0")
