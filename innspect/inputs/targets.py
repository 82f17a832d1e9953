"""Which output neuron is explained: from what the user says to a weight for every output element."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.ir import is_float
from innspect.inputs.batches import as_numbers
from innspect.inputs.sites import Form
from innspect.layers.program import per_sample
from innspect.types import Array, BackendTensor, Neuron, Shape

MODES = ("max_activation", "index", "all", None)


@dataclass(frozen=True)
class Selection:
    """What is explained, for a whole set of samples.

    Attributes:
        kind: "max", "index", "element", "place", "weights", "all", "callable" or "unit"; a compiled function is made for each.
        values: For "index" and "element" the positions, (samples,); for "max" None, or positions in the flattened output
            of which a negative one stands for the largest; for "place", an element of an output whose shape is not known
            before the input is, (samples, axes); for "weights" an array of the output's shape; for "unit" the channel, and
            its position where there is one, of which negative numbers stand for the largest, (samples, 1 + axes).
        function: For "callable".
        form: For "unit": where the output's axes are.
        mean: For "unit": whether all positions share a weight of 1.
    """

    kind: str
    values: Array | None = None
    function: Callable[[BackendTensor], BackendTensor] | None = None
    form: Form | None = None
    mean: bool = False

    @property
    def key(self) -> Hashable:
        return (self.kind, self.function, self.form, self.mean)

    def of(self, samples: Array) -> "Selection":
        """The selection of some samples, by number."""
        return self if self.values is None else replace(self, values=self.values[samples])

    def rows(self, rows: Array) -> Array:
        """The values of some samples, an array that may be empty."""
        return np.full((len(rows),), -1, "int32") if self.values is None else self.values[rows]

    def weights(self, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        """Weights of the elements of y, a tensor (batch, ...), from the rows' values."""
        if self.kind == "weights":
            return ops.cast(values, y.dtype)
        if self.kind == "all":
            return ops.ones_like(y)
        if self.function is not None:
            return _slope(self.function, y)
        if self.kind == "place":
            return self._at_place(values, y)
        if self.form is not None:
            return self._of_unit(self.form, values, y)
        batch, size = y.shape[0], int(np.prod(y.shape[1:]))
        if self.kind == "index" and len(y.shape) == 1:  # one neuron, number 0
            return ops.ones_like(y)
        if self.kind == "index":
            hot = ops.one_hot(values, y.shape[-1], dtype=y.dtype)
            return ops.broadcast_to(ops.reshape(hot, (batch, *[1] * (len(y.shape) - 2), y.shape[-1])), y.shape)
        if self.kind == "max":
            values = self.settled(values, y)
        return ops.reshape(ops.one_hot(values, size, dtype=y.dtype), y.shape)

    def settled(self, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        """The rows' values with the largest element of y, a tensor (batch, ...), where these leave it open."""
        if self.form is not None and values.shape[1] > 1:
            return ops.concatenate([values[:, :1], self._position(self.form, values, y)], axis=1)
        if self.kind != "max":
            return values
        largest = ops.argmax(ops.reshape(y, (y.shape[0], -1)), axis=-1)
        return ops.where(values < 0, ops.cast(largest, values.dtype), values)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise where the place is outside the output's shape, now that it is known."""
        if 0 in shape:  # a method that does not run the model
            return
        places = self.values if self.kind == "place" else None
        if places is not None and len(places) and any(places[0] >= shape):
            raise ValueError(_outside(tuple(shape), tuple(map(int, places[0]))))
        if self.form is not None and self.values is not None and len(self.values):
            known = [shape[axis - 1] for axis in (self.form.channel, *self.form.places)][: self.values.shape[1]]
            if (self.values >= np.array(known)).any():
                raise ValueError(
                    f"A unit must be inside what its layer has, channels and positions {tuple(known)}. Received: "
                    f"{tuple(map(int, self.values.max(axis=0)))}"
                )

    @staticmethod
    def _position(form: Form, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        """The position of a unit, (samples, axes), where its channel is largest unless that was settled."""
        given = values[:, 1:]
        return ops.where(given < 0, ops.cast(form.largest(values[:, 0], y), given.dtype), given)

    def _of_unit(self, form: Form, values: BackendTensor, y: BackendTensor) -> BackendTensor:
        weights = form.hot(values[:, 0], y)
        if values.shape[1] > 1:
            weights = weights * form.placed(self._position(form, values, y), y)
        elif self.mean:
            weights = weights / float(np.prod([y.shape[axis] for axis in form.places]))
        return ops.broadcast_to(weights, y.shape)

    @staticmethod
    def _at_place(values: BackendTensor, y: BackendTensor) -> BackendTensor:
        weights = ops.ones_like(y)
        for axis, size in enumerate(y.shape[1:]):
            shape = [y.shape[0], *(size if a == axis else 1 for a in range(len(y.shape) - 1))]
            hot = values[:, axis, None] == ops.arange(size, dtype="int32")[None]
            weights = weights * ops.reshape(ops.cast(hot, y.dtype), shape)
        return weights


def _slope(function: Callable[[BackendTensor], BackendTensor], y: BackendTensor) -> BackendTensor:
    outputs, pullback = backend.vjp(lambda t: [_asked(function, t)], [y])
    return pullback([ops.ones_like(outputs[0])])[0]


def _asked(function: Callable[[BackendTensor], BackendTensor], y: BackendTensor) -> BackendTensor:
    """What the user's function explains of y, (batch,)."""
    value = function(y)
    known = backend.is_tensor(value) and is_float(keras.backend.standardize_dtype(value.dtype))
    if not known or len(value.shape) != 1 or value.shape[0] != y.shape[0]:
        received = f"shape {tuple(value.shape)}, dtype {value.dtype}" if backend.is_tensor(value) else type(value).__name__
        raise ValueError(
            "A callable `neuron_selection` must return one value per sample, a floating-point tensor of shape (batch,). "
            f"Received: {received} for an output of shape {tuple(y.shape)}"
        )
    return value


def weighed(weights: BackendTensor, y: BackendTensor) -> BackendTensor:
    """weights * y, and 0 where a weight is 0, whatever y is there, such as -inf for what is ruled out."""
    return ops.where(weights == 0, ops.zeros((), y.dtype), weights * y)


def explained_value(chosen: Selection, weights: BackendTensor, y: BackendTensor) -> BackendTensor:
    """What a selection explains of y, (batch,)."""
    return per_sample(weighed(weights, y), y.shape[0]) if chosen.function is None else _asked(chosen.function, y)


def resolve(neuron: Neuron, mode: str | None, shape: Shape, samples: int) -> Selection:
    """A `Selection` from the arguments of `analyze`.

    Args:
        neuron: What the user gave as `neuron_selection`.
        mode: The analyzer's `neuron_selection_mode`.
        shape: Shape of one sample's output; None where an axis is not known; () for one neuron, as (1,).
        samples: Number of samples.
    """
    if mode == "max_activation" and neuron is not None:
        raise ValueError(
            "`neuron_selection` must be None with neuron_selection_mode='max_activation'; use "
            f"neuron_selection_mode='index' to choose a neuron. Received: neuron_selection={neuron!r}"
        )
    if mode == "all" and neuron is not None and not (isinstance(neuron, str) and neuron == "all"):
        raise ValueError(
            f"`neuron_selection` must be None with neuron_selection_mode='all'. Received: neuron_selection={neuron!r}"
        )
    if mode == "index" and neuron is None:
        raise ValueError("`neuron_selection` must be given with neuron_selection_mode='index'. Received: None")
    if isinstance(neuron, Selection):
        return neuron
    if neuron is None:
        return Selection("all" if mode == "all" else "max")
    if isinstance(neuron, str):
        if neuron != "all":
            raise ValueError(
                "`neuron_selection` as a string can only be 'all', or a name where the analyzer has the names of the classes, "
                f"`labels`. Received: {neuron!r}"
            )
        return Selection("all")
    if callable(neuron) and not hasattr(neuron, "__array__"):
        return Selection("callable", function=neuron)
    if isinstance(neuron, tuple):
        return _element(neuron, shape, samples)
    values = as_numbers(neuron, "neuron_selection")
    if values.dtype.kind in "iu":
        return _index(values, shape, samples)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"`neuron_selection` as a float array must hold finite weights. Received: {neuron!r}")
    if values.dtype.kind == "f":
        return _weights(values, shape, samples)
    raise ValueError(
        "`neuron_selection` must be None, an integer, an integer array (batch,), a tuple for one element, a float array "
        f"of the output's shape, a callable or 'all'. Received: {neuron!r}"
    )


def resolve_all(
    neuron: Neuron, neurons: Sequence[Neuron] | None, mode: str | None, shape: Shape, samples: int
) -> list[Selection]:
    """The list of selections from the arguments `neuron_selection` and `neurons` of `analyze`; see `resolve`."""
    if neurons is None:
        return [resolve(neuron, mode, shape, samples)]
    if neuron is not None:
        raise ValueError("Give either `neuron_selection` or `neurons`. Received: both")
    if isinstance(neurons, str | dict) or not np.iterable(neurons):
        raise ValueError(
            "`neurons` must be a list, of what `neuron_selection` may be; every output element is `neuron_selection='all'`. "
            f"Received: {neurons!r}"
        )
    if not len(neurons):
        raise ValueError("`neurons` must name at least one neuron. Received: an empty list")
    return [_resolved(number, n, shape, samples) for number, n in enumerate(neurons)]


def _resolved(number: int, neuron: Neuron, shape: Shape, samples: int) -> Selection:
    try:
        return resolve(neuron, None, shape, samples)
    except ValueError as error:
        raise ValueError(f"`neurons`, number {number}: {error}") from None


def _index(values: Array, shape: Shape, samples: int) -> Selection:
    values = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    if values.ndim and values.shape != (samples,):
        raise ValueError(
            f"`neuron_selection` must be one integer, or one for each of the {samples} samples. "
            f"Received: an integer array of shape {values.shape}"
        )
    count = shape[-1] if shape else 1
    if count is not None and values.size and (values.min() < 0 or values.max() >= count):
        raise ValueError(
            f"`neuron_selection` must be between 0 and {count - 1}: the output has {count} neurons along its last axis. "
            f"Received: {int(values[(values < 0) | (values >= count)][0])}"
        )
    return Selection("index", np.broadcast_to(values, (samples,)).astype("int32"))


def _element(place: tuple[Any, ...], shape: Shape, samples: int) -> Selection:
    if not shape and place == (0,):
        place = ()
    if len(place) != len(shape) or not all(isinstance(i, int | np.integer) for i in place):
        raise ValueError(
            f"`neuron_selection` as a tuple must hold {len(shape)} integers, one for each axis of the output "
            f"{tuple(shape)}. Received: {place!r}"
        )
    if any(i < 0 or (n is not None and i >= n) for i, n in zip(place, shape, strict=True)):
        raise ValueError(_outside(tuple(shape), place))
    known = tuple(n for n in shape if n is not None)
    if len(known) < len(shape):
        return Selection("place", np.tile(np.array(place, "int32"), (samples, 1)))
    return Selection("element", np.full((samples,), int(np.ravel_multi_index(place, known)) if known else 0, "int32"))


def _outside(shape: Shape, place: tuple[Any, ...]) -> str:
    return f"`neuron_selection` must be inside the output's shape {shape}. Received: {place!r}"


def _weights(values: Array, shape: Shape, samples: int) -> Selection:
    def fits(candidate: Shape, expected: Shape) -> bool:
        return len(candidate) == len(expected) and all(e in (None, c) for c, e in zip(candidate, expected, strict=True))

    if not shape and values.shape in ((1,), (samples, 1)):
        values = values[..., 0]
    if fits(values.shape, shape):
        values = np.broadcast_to(values, (samples, *values.shape))
    elif not fits(values.shape, (samples, *shape)):
        raise ValueError(
            f"`neuron_selection` as a float array holds a weight for every output element: expected shape {tuple(shape)} "
            f"or {(samples, *shape)}. Received: shape {values.shape}"
        )
    return Selection("weights", values.astype("float64" if values.dtype == "float64" else "float32"))


def values_of(selection: Selection, weights: BackendTensor, y: BackendTensor) -> BackendTensor:
    """The explained values of several versions of each sample.

    Args:
        selection: The `Selection`.
        weights: Its weights at the samples as they are, (batch, *output axes).
        y: Outputs for the versions, (versions * batch, *output axes), versions first.

    Returns:
        (versions, batch).
    """
    batch = weights.shape[0]
    if selection.function is not None:
        return ops.reshape(_asked(selection.function, y), (-1, batch))
    weighted = weighed(weights[None], ops.reshape(y, (-1, *weights.shape)))
    return ops.sum(ops.reshape(weighted, (weighted.shape[0], batch, -1)), axis=2)


def repeated(x: BackendTensor, versions: int) -> BackendTensor:
    """`x` (batch, ...) as (versions * batch, ...), versions first."""
    return ops.reshape(ops.broadcast_to(x[None], (versions, *x.shape)), (versions * x.shape[0], *x.shape[1:]))
