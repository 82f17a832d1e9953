"""What can be asked of a model beside an output neuron: units of its layers, and sums of what is asked.

Requirements of the design:

- A unit says what is meant, and knows no model: `UnitSite` is its place in one.
- Sums and differences are new objects: an operand stays what it is, and may stand in several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect.checks import Integer, OneOf, is_number
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.activity import sends_nothing
from innspect.graph.channels import channels_first_at
from innspect.graph.ir import Graph, Tensor, is_float
from innspect.graph.opened.layer_paths import tensors_of
from innspect.graph.opened.rows import frames_of
from innspect.types import BackendTensor, Shape

REDUCTIONS = ("sum", "max", "mean")


class Quantity:
    """A number that a model computes of each sample. Quantities are added, subtracted, and multiplied with numbers."""

    @property
    def terms(self) -> "tuple[tuple[float, Quantity], ...]":
        """Pairs of a factor and a quantity that is no sum."""
        return ((1.0, self),)

    def __add__(self, other: "Quantity") -> "Sum":
        return Sum((*self.terms, *_checked(other).terms))

    def __sub__(self, other: "Quantity") -> "Sum":
        return self + -1.0 * _checked(other)

    def __mul__(self, factor: float) -> "Sum":
        if not is_number(factor):
            raise TypeError(f"A target is multiplied with a finite number. Received: {factor!r}")
        return Sum(tuple((float(factor) * f, quantity) for f, quantity in self.terms))

    def __neg__(self) -> "Sum":
        return self * -1.0

    __rmul__ = __mul__

    # What is no quantity stands on the left of a sum.
    def __radd__(self, other: Any) -> "Sum":
        return _checked(other) + self

    def __rsub__(self, other: Any) -> "Sum":
        return _checked(other) - self

    __array_ufunc__ = None  # NumPy's numbers, too, ask for `__rmul__`


def _checked(other: Any) -> Quantity:
    if not isinstance(other, Quantity):
        raise TypeError(
            "A target is added to another one: `innspect.unit(...)`, or `innspect.synthesis.neuron(...)` for a neuron of the "
            f"output, which as a bare number could be any number. Received: {other!r}"
        )
    return other


@dataclass(frozen=True)
class Sum(Quantity):
    """A sum of quantities with factors."""

    parts: tuple[tuple[float, Quantity], ...]

    @property
    def terms(self) -> tuple[tuple[float, Quantity], ...]:
        return self.parts

    def __str__(self) -> str:
        texts = [f"{'-' if f < 0 else '+'} {'' if abs(f) == 1 else f'{abs(f):g} '}{q}" for f, q in self.parts]
        return " ".join(texts).removeprefix("+ ")


@dataclass(frozen=True)
class Unit(Quantity):
    """A channel of a layer, at one position or at all of them. `innspect.unit` makes it."""

    layer: str
    channel: int
    position: tuple[int, ...] | None = None
    reduce: str = "sum"

    def __str__(self) -> str:
        where = f" at {', '.join(map(str, self.position))}" if self.position is not None else ""
        return f"{self.layer} {self.channel}{where}"

    def site(self, graph: Graph) -> "UnitSite":
        """Where it is in a model.

        Raises:
            KeyError: No layer has this path.
            ValueError: The layer has no such channel or position, makes no numbers, or does not depend on the inputs.
        """
        made = [t for t in tensors_of(graph, self.layer) if is_float(t.dtype)]
        if len(made) != 1 or len(made[0].shape) < 2:
            shapes = [t.shape for t in made]
            raise ValueError(
                f"`layer` must make one tensor with channels, (samples, ..., channels). Received: layer={self.layer!r}, which "
                f"makes floating-point tensors of shapes {shapes}"
            )
        tensor = made[0]
        if tensor not in graph.active:
            raise ValueError(f"The layer {self.layer!r}{sends_nothing(graph, tensor)}")
        frames = frames_of(graph).get(tensor)
        if frames is None:
            raise NotAnalyzeableModelError(
                f"The rows of the layer {self.layer!r} are not known to be samples, so it is not known whose a unit there is. "
                f"Keep the samples the first axis. Received: shape {tensor.shape}"
            )
        site = UnitSite(self.layer, tensor, len(tensor.shape) > 2 and channels_first_at(graph, tensor), frames)
        site.check(self, site.channels, site.positions)
        return site


def unit(layer: str, channel: int, position: int | Sequence[int] | None = None, reduce: str = "sum") -> Unit:
    """A unit of a layer, as a target: a channel of its output, after the layer's own activation.

    Units are added, subtracted and multiplied with numbers: `unit("conv", 3) - 0.5 * unit("conv", 4)` is a target, too.

    Args:
        layer: The layer's path, such as "conv5" or "backbone/conv5"; "conv5[1]" for its second call.
        channel: Its number along the last axis, or the second one where the layer has channels first; from 0.
        position: Where, one integer for each axis between samples and channels, such as (row, column); an integer where there
            is one. None: at all of them.
        reduce: What is made of all positions: their "sum", their "max", which is the first in row order where several are
            the largest, or their "mean".

    Returns:
        A `Unit`. Whether the model has it is known when it is asked for.

    Raises:
        TypeError: `layer` is no string.
        ValueError: Another argument out of its range.

    Examples:
        >>> innspect.synthesize(model, innspect.unit("block4_conv3", 12, reduce="mean"))
    """
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer, a string. Received: {layer!r}")
    Integer().check("channel", channel)
    OneOf(*REDUCTIONS).check("reduce", reduce)
    place: tuple[int, ...] | None = None
    if position is not None:
        listed = (position,) if isinstance(position, int | np.integer) else position
        if not isinstance(listed, list | tuple | np.ndarray) or not all(map(Integer().holds, listed)):
            raise ValueError(f"`position` must hold integers that are not negative. Received: {position!r}")
        place = tuple(map(int, listed))
    return Unit(layer, int(channel), place, reduce)


@dataclass(frozen=True)
class UnitSite:
    """Where units of one layer are.

    Attributes:
        layer: The layer's path.
        tensor: Its output in the model's graph.
        channels_first: Whether the channels are the second axis.
        frames: Lengths of the axes that the tensor's rows hold beside the samples, as within TimeDistributed.
    """

    layer: str
    tensor: Tensor
    channels_first: bool
    frames: Shape

    @property
    def channels(self) -> int | None:
        """How many there are; None where that is not known before the input is."""
        return self.tensor.shape[1 if self.channels_first else -1]

    @property
    def positions(self) -> Shape:
        """The lengths of the axes of positions."""
        shape = self.tensor.shape
        return (*self.frames, *(shape[2:] if self.channels_first else shape[1:-1]))

    def arranged(self, values: BackendTensor, samples: int) -> BackendTensor:
        """The layer's output as (samples, *positions, channels)."""
        values = ops.moveaxis(values, 1, -1) if self.channels_first else values
        if not self.frames:
            return values
        known = [-1 if d is None else d for d in self.frames]
        return ops.reshape(values, (samples, *known, *values.shape[1:]))

    def check(self, asked: Unit, channels: int | None, positions: Shape) -> None:
        """Raise where a unit is outside what the layer has; None is a length that is not known."""
        if channels is not None and asked.channel >= channels:
            raise ValueError(
                f"`channel` must be between 0 and {channels - 1} for the layer {self.layer!r}. Received: {asked.channel}"
            )
        if asked.position is None:
            return
        if len(asked.position) != len(positions):
            raise ValueError(
                f"`position` must hold {len(positions)} integers for the layer {self.layer!r}, whose positions are "
                f"{positions}. Received: {asked.position}"
            )
        if any(n is not None and i >= n for i, n in zip(asked.position, positions, strict=True)):
            raise ValueError(
                f"`position` must be inside {positions}, the positions of the layer {self.layer!r}. Received: {asked.position}"
            )


def reduced(values: BackendTensor, reduce: str) -> BackendTensor:
    """(samples, *positions, channels) with the positions taken together, (samples, channels).

    Where several positions are the largest, "max" is the first in row order, and the signal goes to it alone.
    """
    flat = ops.reshape(values, (values.shape[0], -1, values.shape[-1]))
    if reduce == "max":
        winners = ops.one_hot(ops.argmax(flat, axis=1), flat.shape[1], axis=1, dtype=flat.dtype)
        return ops.sum(ops.where(winners > 0, flat, ops.zeros((), flat.dtype)), axis=1)
    total = ops.sum(flat, axis=1)
    return total / flat.shape[1] if reduce == "mean" else total
