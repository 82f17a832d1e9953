"""What users hand to `analyze`: arrays, nested arrays, tensors, datasets; and batches of few shapes made of it."""

import contextlib
import copy
import inspect
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.checks import Integer
from innspect.graph.ir import Tensor, is_float, widen
from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.opened.structure import knows_its_inputs, of_strings
from innspect.graph.opened.taking import batch_taken, taken
from innspect.inputs import sizes
from innspect.inputs.structure import Pack, flattened
from innspect.types import Array, Nest, Tensors


class OneSample(ValueError):
    """An array would fit if it had an axis of samples."""


def is_stream(x: Any) -> bool:
    """Whether `x` yields batches (a dataset, loader or generator) rather than being one array or nest of arrays."""
    whole = np.ndarray | list | tuple | dict | str | bytes | int | float
    if isinstance(x, whole) or hasattr(x, "__array__") or backend.is_tensor(x):
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__getitem__") or inspect.isgenerator(x)


def batches_of(stream: Any) -> Iterator[Nest]:
    """The inputs of every batch of a tf.data dataset, `keras.utils.PyDataset`, torch DataLoader or generator.

    A batch that is a tuple is (inputs, labels) or (inputs, labels, weights), as in `model.fit`; only inputs are used.
    """
    for inputs, _ in labelled_batches(stream):
        yield inputs


def labelled_batches(stream: Any) -> Iterator[tuple[Nest, Any]]:
    """As `batches_of`, the inputs with the labels of every batch, which are None where it has none."""
    if isinstance(stream, keras.utils.PyDataset):
        stream = map(stream.__getitem__, range(stream.num_batches))
    for batch in stream:
        if isinstance(batch, tuple) or _is_torch_pair(batch):
            yield batch[0], batch[1] if len(batch) > 1 else None
        else:
            yield batch, None


def _is_torch_pair(batch: Any) -> bool:
    """A DataLoader's default collation makes a list of (inputs, labels)."""
    return isinstance(batch, list) and len(batch) == 2 and all(hasattr(b, "shape") for b in batch) and len(batch[1].shape) < 2


@contextlib.contextmanager
def of_a_stream() -> Iterator[None]:
    """Where what a stream yields is read: an array without an axis of samples is said to come of a stream without batches."""
    try:
        yield
    except OneSample as error:
        *_, received = str(error).rpartition("Received: ")
        raise ValueError(
            "A stream must yield batches, and this one yields single samples. Batch it, such as by `dataset.batch(32)`. "
            f"Received: {received}"
        ) from None


@contextlib.contextmanager
def called(name: str) -> Iterator[None]:
    """Where inputs are an argument of another name: an error about them says that one."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("`x`", f"`{name}`")) from error


class Inputs:
    """The checked inputs of an analysis: flat arrays with the samples first.

    They are as the model takes them; what has a sample's shape goes back to the user in that of `given`, where a last axis of
    1 may be missing or be too many.

    Attributes:
        arrays: One NumPy array for each input of the model.
        given: The same as the user gave them, of other dtypes and shapes perhaps.
        samples: Number of samples.
        elements: How many numbers a sample's working set has, see `sizes`.
    """

    arrays: list[Array]
    given: list[Array]
    samples: int
    elements: int
    _packed: Pack
    _fixed: int | None  # the only number of samples that the model takes at once

    def __init__(self, x: Nest, opened: OpenedModel):
        flat, self._packed = flattened(x, opened)
        self.given = [as_numbers(array) for array in flat]
        expected = zip(self.given, opened.specs, opened.graph.inputs, strict=True)
        self.arrays = [_check(array, spec, tensor, opened) for array, spec, tensor in expected]
        counts = {len(a) for a in self.arrays}
        if len(counts) > 1:
            raise ValueError(
                f"All inputs must hold the same number of samples. Received: {[len(a) for a in self.arrays]} samples"
            )
        self.samples = counts.pop()
        self._fixed = opened.batch
        self.elements = sizes.elements(opened.graph, self.arrays)

    @property
    def x(self) -> Nest:
        """What the user gave, NumPy arrays in its structure."""
        return self._packed(self.given)

    def pack(self, arrays: list[Array]) -> Nest:
        """A flat list, one for each input, in the structure that the user's inputs had."""
        return self._packed(arrays)

    def restore(self, arrays: list[Array], lead: int = 1) -> Nest:
        """As `pack`, and an array that has a sample's shape in the shape that the user gave it in.

        Args:
            arrays: One for each input, (..., *shape of a sample), or of another shape, which is kept.
            lead: How many axes are before the sample's.
        """
        return self._packed([self._as_given(array, i, lead) for i, array in enumerate(arrays)])

    def _as_given(self, array: Array, i: int, lead: int) -> Array:
        taken, given = self.arrays[i].shape[1:], self.given[i].shape[1:]
        if given == taken or array.shape[lead:] != taken:
            return array
        return array.reshape(*array.shape[:lead], *given)

    def shapes(self, i: int) -> list[tuple[int, ...]]:
        """The shapes in which a sample of an input may be given, first that of the user's own, then that of the model."""
        taken = self.arrays[i].shape[1:]
        shorter = [taken[:-1]] if taken[-1:] == (1,) else []
        return list(dict.fromkeys([self.given[i].shape[1:], taken, *shorter, (*taken, 1)]))

    def holding(self, arrays: Iterable[Array]) -> "Inputs":
        """These inputs with other samples in their place, flat arrays."""
        other = copy.copy(self)
        other.arrays = list(arrays)
        other.samples = len(other.arrays[0])
        return other

    def checked_size(self, batch_size: int | None, maps: int = 1) -> int:
        """How many samples may be computed at once, from the argument of that name; None: as many as fit, see `sizes`.

        Args:
            batch_size: The argument.
            maps: How many maps are made of each sample.

        Raises:
            ValueError: It is no positive integer.
        """
        Integer(1, or_none=True).check("batch_size", batch_size)
        if self._fixed:
            return self._fixed
        if batch_size is not None:
            return int(batch_size)
        return sizes.fitting(self.elements + (maps - 1) * sum(a[:1].size for a in self.arrays))

    def batches(self, batch_size: int | None, maps: int = 1) -> Iterator[tuple[Array, int]]:
        """Index arrays of each batch, padded to a power of two by repeating the last sample, and their real length."""
        most = self.checked_size(batch_size, maps)
        if batch_size is None and not self._fixed:
            most = sizes.of_little_padding(self.samples, most, self.elements)
        for start in range(0, self.samples, most):
            rows = np.arange(start, min(start + most, self.samples))
            size = self._fixed or min(1 << (len(rows) - 1).bit_length(), most)
            yield np.concatenate([rows, np.full(size - len(rows), rows[-1])]), len(rows)


def as_numbers(x: Any, name: str = "x") -> Array:
    """A NumPy array of an array, a tensor or nested lists; of numbers where it holds only those, as objects or not.

    Raises:
        ValueError: It is none, such as lists of several lengths; or it has masked values, which no model knows.
    """
    if any(np.ma.is_masked(each) for each in (x if isinstance(x, list | tuple) else [x])):
        raise ValueError(
            f"`{name}` has masked values, which mean nothing to a model: put numbers there, as by `{name}.filled(0)`. "
            f"Received: {np.ma.count_masked(x)} masked values"
        )
    try:
        array = backend.to_numpy(x) if backend.is_tensor(x) else np.asarray(x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be an array, or what makes one ({error}). Received: {type(x).__name__}") from error
    objects = array.dtype == object and array.size
    return array.astype("float64") if objects and all(isinstance(v, numbers.Real) for v in array.flat) else array


def _check(array: Array, spec: keras.KerasTensor, tensor: Tensor, opened: OpenedModel) -> Array:
    name = getattr(spec, "name", "x")
    if array.dtype.kind not in "fiub" and not (array.dtype.kind in "OSU" and spec.dtype == "string"):
        if str(array.dtype) not in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
            raise ValueError(
                f"`x` must hold numbers.{_hint_for_strings(array, opened)} Received: dtype {array.dtype} for the input {name!r}"
            )
        array = array.astype("float32")
    array = array.reshape(_shape_taken(array.shape, spec, name))
    target = widen(spec.dtype)
    if is_float(target) and not is_float(tensor.dtype):
        return array.astype(tensor.dtype)  # ids, in an input of the default dtype
    whole = is_float(target) or target == "string" or array.dtype.kind != "f" or np.array_equal(array, np.round(array))
    if not whole:
        raise ValueError(f"The input {name!r} takes integers (dtype {target}). Received: fractions, dtype {array.dtype}")
    return array if target == "string" else array.astype(target)


def _shape_taken(shape: tuple[int, ...], spec: keras.KerasTensor, name: str) -> tuple[int, ...]:
    """The shape in which the model takes an array."""
    expected = tuple(spec.shape)
    found = batch_taken(shape, expected)
    if found is not None:
        return found
    alone = taken((1, *shape), (None, *expected[1:])) is not None
    hint = " Add the axis of samples: `x[None]`." if alone else ""
    raise (OneSample if alone else ValueError)(
        f"`x` has the wrong shape for the input {name!r}: expected {('samples', *expected[1:])}.{hint} Received: shape {shape}"
    )


def _hint_for_strings(array: Array, opened: OpenedModel) -> str:
    strings = array.dtype.kind in "SU" or (array.dtype == object and any(isinstance(v, str | bytes) for v in array.flat))
    return "" if not strings or knows_its_inputs(opened.model) else f" {of_strings(opened.model)}"


def on_device(arrays: Iterable[Any], opened: OpenedModel) -> Tensors:
    """A model's inputs as tensors; numbers that can be moved, such as pixels, in floating point."""
    tensors = [backend.batch(a) for a in arrays]
    counted = [opened.moves(t) and not is_float(x.dtype) for t, x in zip(opened.graph.inputs, tensors, strict=True)]
    return [ops.cast(x, opened.dtype) if c else x for x, c in zip(tensors, counted, strict=True)]
