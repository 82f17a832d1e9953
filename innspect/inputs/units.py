"""What can be asked of a model beside an output neuron: units of its layers, and sums of what is asked.

Requirements of the design:

- A unit says what is meant, and knows no model: a `UnitSite` is its place in one.
- Sums and differences are new objects: an operand stays what it is, and may stand in several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect.checks import Integer, OneOf, is_number
from innspect.graph.ir import Graph
from innspect.graph.opened.cut import CutModel
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.sites import UnitSite, site_of
from innspect.inputs.targets import Selection
from innspect.types import Array, BackendTensor

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

    def site(self, graph: Graph) -> UnitSite:
        """Where it is in a model.

        Raises:
            KeyError: No layer has this path.
            ValueError: The layer has no such channel or position, makes no numbers, or does not depend on the inputs.
        """
        site = site_of(graph, self.layer)
        site.check(self, site.channels, site.positions)
        return site


def unit(layer: str, channel: int, position: int | Sequence[int] | None = None, reduce: str = "sum") -> Unit:
    """A unit of a layer, as a target: a channel of its output, after the layer's own activation.

    It stands wherever a neuron does, in `analyze`, `explain`, `evaluate` and `synthesize`, and in lists of neurons. It is
    explained as the output of the model up to its layer would be: the seed is its value, or 1, as the method has it at an
    output. Of an attention layer the channels are the heads, each the values that go into the output projection. A unit of
    the layer that makes the model's output is the neuron itself, and `head` decides as it does there.

    Units are added, subtracted and multiplied with numbers: `unit("conv", 3) - 0.5 * unit("conv", 4)` is a target, too.

    Args:
        layer: The layer's path, such as "conv5" or "backbone/conv5"; "conv5[1]" for its second call.
        channel: Its number along the last axis, or the second one where the layer has channels first; from 0. Of attention
            the number of a head.
        position: Where, one integer for each axis between samples and channels, such as (row, column); an integer where there
            is one, such as the time step of a recurrent layer. None: at all of them.
        reduce: What is made of all positions: their "sum", their "max", which is the first in row order where several are
            the largest, or their "mean". The place of the largest is that in the sample as it is.

    Returns:
        A `Unit`. Whether the model has it is known when it is asked for.

    Raises:
        TypeError: `layer` is no string.
        ValueError: Another argument out of its range.

    Examples:
        >>> analyzer.analyze(x, innspect.unit("block4_conv3", 12))
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


def selection_of(units: Sequence[Unit], site: UnitSite, samples: int) -> Selection:
    """Units of one layer, one for all samples or one for each, as a `Selection` of the output of the model up to there.

    Raises:
        ValueError: The layer has no such channel or position, or the units are not taken together alike.
    """
    for asked in units:
        site.check(asked, site.channels, site.positions)
    alike = {(asked.position is None, asked.reduce if asked.position is None else "") for asked in units}
    if len(alike) > 1:
        raise ValueError(
            "The units of a list with one for each sample must all have a position, or all the same `reduce`. Received: "
            + ", ".join(map(repr, units[:4]))
        )
    ((everywhere, reduce),) = alike
    open_ones = (-1,) * len(site.form.places) if everywhere and reduce == "max" else ()
    values: Array = np.array([(asked.channel, *(asked.position or open_ones)) for asked in units], "int32")
    return Selection("unit", np.broadcast_to(values, (samples, values.shape[1])), form=site.form, mean=reduce == "mean")


def layer_of(neuron: Any) -> str | None:
    """The layer of a unit, or of a list of units with one for each sample; None for a neuron of the output.

    Raises:
        ValueError: The units are of several layers.
        TypeError: It is a sum of units.
    """
    listed = neuron if isinstance(neuron, list | tuple) else [neuron]
    units = [each for each in listed if isinstance(each, Quantity)]
    if not units:
        return None
    if any(isinstance(each, Sum) for each in units):
        raise TypeError(
            "Sums of units are targets of `innspect.synthesize`. To explain one, add the maps of its units, which `neurons` "
            f"takes as a list. Received: {neuron!r}"
        )
    layers = {each.layer for each in listed if isinstance(each, Unit)}
    if len(layers) != 1 or len(units) != len(listed):
        raise ValueError(
            "`neuron_selection` as a list of units has one for each sample, all of one layer; `neurons` takes a list of what "
            f"is to be explained of every sample. Received: {neuron!r}"
        )
    return layers.pop()


def cut_at(opened: OpenedModel, layer: str) -> CutModel:
    """A model up to a layer, whose units are then those of its output; of attention the heads.

    Raises:
        KeyError: No layer has this path.
        ValueError: The layer makes no numbers that depend on the inputs.
        NotAnalyzeableModelError: It is not known which sample its rows belong to.
    """
    site = site_of(opened.graph, layer)
    return CutModel(opened, site.tensor, layer, site.frames, site)
