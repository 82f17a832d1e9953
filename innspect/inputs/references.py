"""Reference inputs, in every form users give them: what an input is compared with."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from innspect.graph.ir import is_float
from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.opened.taking import taken
from innspect.inputs.batches import Inputs, as_numbers, on_device
from innspect.inputs.missing import has_gaps
from innspect.types import Array, Nest


class References:
    """One or several references for the samples of an analysis.

    Args:
        given: A number; an array that broadcasts to the input's shape; an array (1, *shape); one reference for each
            sample, (samples, *shape); or several, whose attributions are averaged: (references, 1 or samples, *shape),
            or a list of any of these. For a model with several inputs a list with, or a dict by name of, one of these
            for each input; several references are then a list of such lists or dicts.
        inputs: The `Inputs` of the analysis; what has a sample's shape may have that of `Inputs.given`.
        opened: The `OpenedModel`. Where an input is ids of an embedding its reference is the zero vector. What no signal
            flows back to, such as a mask, stays as it is.
        name: The argument's name, for errors.

    Attributes:
        sets: A list with, for each reference, a list with an array (1 or samples, *shape) for each input; None for
            what is no number that moves.
        still: For each input, whether it stays what it is.
    """

    def __init__(self, given: Nest, inputs: Inputs, opened: OpenedModel, name: str = "reference_inputs"):
        self._inputs, self._opened, self._name = inputs, opened, name
        self.still = [not opened.moves(t) for t in opened.graph.inputs]
        self.sets: list[list[Array | None]] = [s for one in self._listed(given) for s in self._expanded(self._per_input(one))]
        if not self.sets:
            raise ValueError(f"`{name}` must hold at least one reference. Received: {given!r}")
        for number, arrays in enumerate(self.sets):
            self._check_finite(number, arrays)

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def shared(self) -> bool:
        """Whether every reference serves all samples."""
        return all(a is None or len(a) == 1 for one in self.sets for a in one)

    def take(self, number: int, rows: Array) -> list[Array | None]:
        """The arrays of one reference for some samples: (1 or rows, *shape) each, or None."""
        return [a if a is None or len(a) == 1 else a[rows] for a in self.sets[number]]

    def as_inputs(self, rows: Array) -> Iterator[Inputs]:
        """For each reference, inputs with it in the place of some samples."""
        for number in range(len(self)):
            taken = zip(self.take(number, rows), (x[rows] for x in self._inputs.arrays), strict=True)
            yield self._inputs.holding(
                x[rows] if a is None else np.broadcast_to(a, (len(rows), *a.shape[1:])) for a, x in taken
            )

    def through(self, fill: Callable[[Inputs], Inputs]) -> "References":
        """The references with what a function of inputs makes of those that hold what is not finite."""
        other, rows = copy.copy(self), np.arange(self._inputs.samples)
        other.sets = [
            [None if a is None else array for a, array in zip(one, fill(inputs).arrays, strict=True)]
            if has_gaps([a for a in one if a is not None])
            else one
            for one, inputs in zip(self.sets, self.as_inputs(rows), strict=True)
        ]
        return other

    def _check_finite(self, number: int, arrays: list[Array | None]) -> None:
        """Refuse a reference that is not finite, unless the model knows what to make of it."""
        if all(a is None or np.isfinite(a).all() for a in arrays):
            return
        count = max(len(a) for a in arrays if a is not None)
        own = zip(arrays, self._inputs.arrays, strict=True)
        filled = [x[:count] if a is None else np.broadcast_to(a, (count, *a.shape[1:])) for a, x in own]
        outputs = self._opened.outputs(on_device(filled, self._opened))
        if not all(np.isfinite(y).all() for y in outputs):
            raise ValueError(
                f"`{self._name}` must be finite, or what the model gives a finite output for. Received: reference number "
                f"{number} is not finite, and neither is the output there"
            )

    def _listed(self, given: Nest) -> list[Nest]:
        """A list of references, each of which covers all inputs."""
        if not isinstance(given, list | tuple):
            return [given]
        count = len(self._inputs.arrays)
        nested = bool(given) and all(isinstance(g, list | tuple | dict) for g in given)
        return list(given) if count == 1 or nested else [given]

    def _per_input(self, given: Nest) -> list[Any]:
        """What is given for each input."""
        arrays, structure = self._inputs.arrays, self._opened.structure
        names = keras.tree.flatten({n: n for n in structure}) if isinstance(structure, dict) else self._opened.names
        if isinstance(given, dict):
            if set(given) != set(names):
                raise ValueError(f"`{self._name}` must be a dict with the inputs {names}. Received: a dict with {list(given)}")
            return [given[n] for n in names]
        if isinstance(given, list | tuple):
            if len(given) != len(arrays):
                raise ValueError(
                    f"`{self._name}` must hold one reference for each of the {len(arrays)} inputs {names}. "
                    f"Received: {len(given)}"
                )
            return list(given)
        if len(arrays) > 1 and as_numbers(0.0 if given is None else given, self._name).ndim:
            raise ValueError(
                f"`{self._name}` must be a number, or a list with one reference for each of the inputs {names}. "
                f"Received: one array of shape {np.shape(given)}"
            )
        return [0.0 if still and not all(self.still) else given for still in self.still]

    def _expanded(self, per_input: list[Any]) -> list[list[Array | None]]:
        """One list of arrays for each reference."""
        stacks = [self._stack(g, i) for i, g in enumerate(per_input)]
        counts = {len(s) for s in stacks if s is not None and len(s) != 1}
        if len(counts) > 1:
            raise ValueError(f"`{self._name}` must hold equally many references for every input. Received: {sorted(counts)}")
        count = counts.pop() if counts else 1
        return [[None if s is None else s[r if len(s) > 1 else 0] for s in stacks] for r in range(count)]

    def _stack(self, given: Any, i: int) -> Array | None:
        """The references of one input, (references, 1 or samples, *shape), or None."""
        x = self._inputs.arrays[i]
        array = as_numbers(0.0 if given is None else given, self._name)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"`{self._name}` must hold numbers. Received: {given!r}")
        if self.still[i]:
            self._check_still(array, i)
            return None
        with np.errstate(over="ignore"):  # what is too large is infinite
            array = array.astype(x.dtype if is_float(x.dtype) else self._opened.dtype)
        shape, samples = x.shape[1:], len(x)
        for other in self._inputs.shapes(i):
            stack = _as_stack(array, other, samples)
            if stack is not None:
                return stack.reshape(*stack.shape[:2], *shape)
        raise ValueError(
            f"`{self._name}` has the wrong shape for the input {self._opened.names[i]!r}: expected a number, {shape}, "
            f"{(1, *shape)} or, one for each sample, {(samples, *shape)}; for several references "
            f"{('references', '1 or ' + str(samples), *shape)}. Received: shape {array.shape}"
        )

    def _check_still(self, array: Array, i: int) -> None:
        """A reference that is not used may be 0, and that of a mask the mask itself."""
        ids = self._opened.takes_ids(self._opened.graph.inputs[i])
        x = self._inputs.arrays[i]
        if array.any() and (ids or not (_broadcasts(array.shape, x.shape) and (x == array).all())):
            what = "ids, is the zero vector of its embedding" if ids else "which no signal flows back to, is the input itself"
            raise ValueError(
                f"The reference of the input {self._opened.names[i]!r}, {what}: `{self._name}` must be 0 or None there. "
                f"Received: {array!r}"
            )


class Background(References):
    """Several references that serve all samples: (references, *shape) for each input, ids included."""

    def _listed(self, given: Nest) -> list[Nest]:
        return [given]

    def _stack(self, given: Any, i: int) -> Array | None:
        x = self._inputs.arrays[i]
        array = as_numbers(given, self._name)
        found = taken(array.shape, (None, *x.shape[1:]))
        if array.dtype.kind not in "fiub" or found is None or not len(array):
            raise ValueError(
                f"`{self._name}` must hold at least one reference for the input {self._opened.names[i]!r}: expected shape "
                f"{('references', *x.shape[1:])}. Received: {'shape ' + str(array.shape) if array.ndim else repr(given)}"
            )
        with np.errstate(over="ignore"):
            return array.reshape(found).astype(x.dtype)[:, None]

    def _per_input(self, given: Nest) -> list[Any]:
        if not isinstance(given, list | tuple | dict) and len(self._inputs.arrays) == 1:
            return [given]
        return super()._per_input(given)


def _as_stack(array: Array, shape: tuple[int, ...], samples: int) -> Array | None:
    """References of a shape, (references, 1 or samples, *shape); None where the array holds none."""
    if array.ndim <= len(shape) and _broadcasts(array.shape, shape):
        return np.broadcast_to(array, (1, 1, *shape))
    lead = array.shape[: array.ndim - len(shape)]
    if array.shape[len(lead) :] == shape and len(lead) <= 2 and lead[-1:] in ((1,), (samples,)) and lead[0]:
        return array if len(lead) == 2 else array[None]
    return None


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == tuple(to)
    except ValueError:
        return False


def even_chunks(count: int, limit: int) -> Iterator[tuple[Array, Array]]:
    """Cut `range(count)` into chunks of one size, at most `limit`, so that one compiled shape serves them all.

    Yields:
        Index arrays, the last padded by repetition, and arrays of 1 for what counts and 0 for padding.
    """
    pieces = -(-count // max(1, limit))
    size = -(-count // pieces) if pieces else 0
    for start in range(0, count, size or 1):
        numbers = np.arange(start, start + size)
        yield np.minimum(numbers, count - 1), (numbers < count).astype("float32")
