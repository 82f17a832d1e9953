"""What users hand to `analyze`: arrays, nested arrays, tensors, datasets; and batches of few shapes made of it."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import Integer
from innspect.graph.ir import Tensor, is_float, widen
from innspect.graph.opened.opened_model import OpenedModel
from innspect.types import Array, Nest, Tensors

Restore = Callable[[list[Array]], Nest]  # from flat arrays to the structure that the user's inputs had


def is_stream(x: Any) -> bool:
    """Whether `x` yields batches (a dataset, loader or generator) rather than being one array or nest of arrays."""
    whole = np.ndarray | list | tuple | dict | str | int | float
    if isinstance(x, whole) or hasattr(x, "__array__") or backend.is_tensor(x):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__getitem__") or inspect.isgenerator(x)


def batches_of(stream: Any) -> Iterator[Nest]:
    """The inputs of every batch of a tf.data dataset, `keras.utils.PyDataset`, torch DataLoader or generator.

    A batch that is a tuple is (inputs, labels) or (inputs, labels, weights), as in `model.fit`; only inputs are used.
    """
    if isinstance(stream, keras.utils.PyDataset):
        stream = map(stream.__getitem__, range(stream.num_batches))
    for batch in stream:
        yield batch[0] if isinstance(batch, tuple) or _is_torch_pair(batch) else batch


def _is_torch_pair(batch: Any) -> bool:
    """A DataLoader's default collation makes a list of (inputs, labels)."""
    return isinstance(batch, list) and len(batch) == 2 and all(hasattr(b, "shape") for b in batch) and len(batch[1].shape) < 2


class Inputs:
    """The checked inputs of an analysis: flat arrays with the samples first.

    Attributes:
        arrays: One NumPy array for each input of the model.
        samples: Number of samples.
        restore: From a flat list of arrays to the structure the user's inputs had.
    """

    arrays: list[Array]
    samples: int
    restore: Restore
    _fixed: int | None  # the only number of samples that the model takes at once

    def __init__(self, x: Nest, opened: OpenedModel):
        flat, self.restore = _flatten(x, opened)
        expected = zip(flat, opened.specs, opened.graph.inputs, strict=True)
        self.arrays = [_check(array, spec, tensor, opened) for array, spec, tensor in expected]
        counts = {len(a) for a in self.arrays}
        if len(counts) > 1:
            raise ValueError(
                f"All inputs must hold the same number of samples. Received: {[len(a) for a in self.arrays]} samples"
            )
        self.samples = counts.pop()
        self._fixed = opened.batch

    def holding(self, arrays: Iterable[Array]) -> "Inputs":
        """These inputs with other samples in their place, flat arrays."""
        other = copy.copy(self)
        other.arrays = list(arrays)
        other.samples = len(other.arrays[0])
        return other

    def checked_size(self, batch_size: int) -> int:
        """How many samples may be computed at once, from the argument of that name."""
        return self._fixed or int(Integer(1).check("batch_size", batch_size))

    def batches(self, batch_size: int) -> Iterator[tuple[Array, int]]:
        """Index arrays of each batch, padded to a power of two by repeating the last sample, and their real length."""
        batch_size = self.checked_size(batch_size)
        for start in range(0, self.samples, batch_size):
            rows = np.arange(start, min(start + batch_size, self.samples))
            size = self._fixed or min(1 << (len(rows) - 1).bit_length(), batch_size)
            yield np.concatenate([rows, np.full(size - len(rows), rows[-1])]), len(rows)


def _flatten(x: Nest, opened: OpenedModel) -> tuple[list[Any], Restore]:
    count, structure, names = len(opened.specs), opened.structure, opened.names
    if isinstance(structure, dict) or (isinstance(x, dict) and count >= 1):
        return _flatten_dict(x, opened)
    if count == 1:
        if (
            isinstance(x, list | tuple)
            and len(x) == 1
            and hasattr(x[0], "shape")
            and len(x[0].shape) == len(opened.specs[0].shape)
        ):
            kind: Callable[[list[Array]], Nest] = type(x)
            return [x[0]], lambda arrays: kind(arrays)
        return [x], lambda arrays: arrays[0]
    if not isinstance(x, list | tuple) or len(x) != count:
        received = f"{type(x).__name__} of {len(x)}" if isinstance(x, list | tuple) else type(x).__name__
        raise ValueError(f"`x` must be a list of {count} arrays, one for each input {names}. Received: {received}")
    flat = keras.tree.flatten(structure)
    if len(flat) == len(structure):
        return list(x), list
    return keras.tree.flatten(x), lambda arrays: keras.tree.pack_sequence_as(structure, arrays)


def _flatten_dict(x: Nest, opened: OpenedModel) -> tuple[list[Any], Restore]:
    structure = opened.structure
    names = list(structure) if isinstance(structure, dict) else opened.names
    if isinstance(x, dict):
        missing, unknown = [n for n in names if n not in x], [k for k in x if k not in names]
        if missing or unknown:
            raise ValueError(f"`x` must be a dict with the inputs {names}. Received: a dict with {list(x)}")
        order = keras.tree.flatten({n: n for n in names}) if isinstance(structure, dict) else names
        return [x[n] for n in order], lambda arrays: dict(zip(order, arrays, strict=True))
    order = keras.tree.flatten({n: n for n in names})
    values = [x] if len(order) == 1 and not isinstance(x, list | tuple) else x
    if not isinstance(values, list | tuple) or len(values) != len(order):
        raise ValueError(f"`x` must be a dict with the inputs {names}. Received: {type(x).__name__}")
    return [values[names.index(n)] for n in order], lambda arrays: [arrays[order.index(n)] for n in names]


def _check(x: Any, spec: keras.KerasTensor, tensor: Tensor, opened: OpenedModel) -> Array:
    name = getattr(spec, "name", "x")
    array = backend.to_numpy(x) if backend.is_tensor(x) else np.asarray(x)
    if array.dtype.kind not in "fiub" and not (array.dtype.kind in "OSU" and spec.dtype == "string"):
        if str(array.dtype) not in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            raise ValueError(f"`x` must hold numbers. Received: dtype {array.dtype} for the input {name!r}")
        array = array.astype("float32")
    expected = tuple(spec.shape)
    fits = array.ndim == len(expected) and all(e in (None, n) for e, n in zip(expected[1:], array.shape[1:], strict=True))
    if not fits:
        hint = ""
        if array.ndim == len(expected) - 1 and all(e in (None, n) for e, n in zip(expected[1:], array.shape, strict=True)):
            hint = " Add the axis of samples: `x[None]`."
        raise ValueError(
            f"`x` has the wrong shape for the input {name!r}: expected {('samples', *expected[1:])}.{hint} "
            f"Received: shape {array.shape}"
        )
    target = widen(spec.dtype)
    if is_float(target) and opened.takes_ids(tensor):
        target = "int32" if array.dtype.kind in "iub" else target
    whole = is_float(target) or target == "string" or array.dtype.kind != "f" or np.array_equal(array, np.round(array))
    if not whole:
        raise ValueError(f"The input {name!r} takes integers (dtype {target}). Received: fractions, dtype {array.dtype}")
    return array if target == "string" else array.astype(target)


def on_device(arrays: Iterable[Any], opened: OpenedModel) -> Tensors:
    """A model's inputs as tensors; numbers that can be moved, such as pixels, in floating point."""
    tensors = [ops.convert_to_tensor(a) for a in arrays]
    counted = [opened.moves(t) and not is_float(x.dtype) for t, x in zip(opened.graph.inputs, tensors, strict=True)]
    return [ops.cast(x, opened.dtype) if c else x for x, c in zip(tensors, counted, strict=True)]
