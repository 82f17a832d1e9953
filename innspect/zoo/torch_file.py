"""A PyTorch file of named tensors, read without PyTorch.

Of the format that `torch.save` wrote before version 1.6, which is no archive: pickles one after another, the last but one a
dict of tensors, then for each storage its length and its bytes. A pickle may ask for any function to be called, so what it
may name is a list: a dict, and what stands for tensors.
"""

import collections
import math
import os
import pickle
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from innspect.files import readable, reading
from innspect.types import Array, Path

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_TYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


class _Storage(NamedTuple):
    """Numbers that tensors share: which ones follow in the file, of what type, and how many."""

    key: str
    dtype: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, Array]:
    """Dict from name to array, of a file that holds named tensors.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, of another format, or holds more than tensors.
    """
    path = readable(path)
    with open(path, "rb") as file, reading(path, "PyTorch file of tensors"):
        if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
            raise ValueError("its start is not that of such a file")
        order: Literal["<", ">"] = "<" if _Unpickler(file).load()["little_endian"] else ">"
        tensors = _Unpickler(file).load()
        if not isinstance(tensors, dict) or not all(isinstance(t, _Tensor) for t in tensors.values()):
            raise ValueError("expected a dict of tensors")
        needed = {t.storage.key: t.storage for t in tensors.values()}
        storages = {key: _read(file, needed[key], order) for key in _Unpickler(file).load()}
        return {str(name): _view(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Reads one pickle; what it names is a dict, a tensor, or a type of storage."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise ValueError(f"it asks for {module}.{name}, which is no tensor")

    def persistent_load(self, described: Any) -> _Storage:
        kind, dtype, key, _, size, view = described
        if kind != "storage" or dtype not in _TYPES.values() or view is not None:
            raise ValueError(f"it refers to {kind!r}, which is no storage of its own")
        return _Storage(str(key), dtype, int(size))


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _read(file: BinaryIO, storage: _Storage, order: Literal["<", ">"]) -> Array:
    """The numbers of the storage that stands next in the file."""
    dtype = np.dtype(storage.dtype).newbyteorder(order)
    size = int.from_bytes(file.read(8), "little" if order == "<" else "big", signed=True)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if size != storage.size or not 0 <= size * dtype.itemsize <= left:
        raise ValueError(f"expected {storage.size} numbers of storage {storage.key!r}, {left} bytes are left")
    return np.frombuffer(file.read(size * dtype.itemsize), dtype).astype(storage.dtype, copy=False)


def _view(tensor: _Tensor, storage: Array) -> Array:
    """The array of a tensor, its own copy."""
    count = math.prod(list(tensor.shape))
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    inside = min((tensor.offset, *tensor.shape, *tensor.strides)) >= 0 and last < len(storage)
    if count > len(storage) or (count and not inside):
        raise ValueError(f"a tensor of shape {tensor.shape} is no part of its storage of {len(storage)} numbers")
    if not count:
        return np.zeros(tensor.shape, storage.dtype)
    steps = [step * storage.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, steps, writeable=False).copy()
