"""Where the channels of a layer are: of its output, and of attention the heads before they are put together."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.activity import sends_nothing
from innspect.graph.channels import channels_first_at
from innspect.graph.ir import Graph, Tensor, is_float
from innspect.graph.opened.layer_paths import called, tensors_of
from innspect.graph.opened.rows import frames_of
from innspect.types import Array, BackendTensor, Shape


@dataclass(frozen=True)
class UnitSite:
    """Where units of one layer are.

    Attributes:
        layer: The layer's path.
        tensor: Its output in the model's graph; of attention the heads, (samples, ..., heads, width).
        channels_first: Whether the channels are the second axis.
        frames: Lengths of the axes that the tensor's rows hold beside the samples, as within TimeDistributed.
        heads: Whether a channel is a head, all along the last axis.
    """

    layer: str
    tensor: Tensor
    channels_first: bool
    frames: Shape
    heads: bool = False

    @property
    def axis(self) -> int:
        """The axis of the channels."""
        return 1 if self.channels_first else len(self.tensor.shape) - 1 - self.heads

    @property
    def channels(self) -> int | None:
        """How many there are; None where that is not known before the input is."""
        return self.tensor.shape[self.axis]

    @property
    def positions(self) -> Shape:
        """The lengths of the axes of positions."""
        return self.positions_of(self.tensor.shape)

    def positions_of(self, shape: Shape) -> Shape:
        """The lengths of the axes of positions in a tensor of this shape, rows among them."""
        inner = shape[1:-1] if self.heads else shape[1:]
        at = self.axis - 1
        return (*self.frames, *inner[:at], *inner[at + 1 :])

    @property
    def form(self) -> "Form":
        """Where the axes are in the tensor with its frames apart."""
        rank, axis = len(self.tensor.shape) + len(self.frames), self.axis + len(self.frames)
        within = range(1, rank - self.heads)
        return Form(axis, tuple(a for a in within if a != axis))

    def arranged(self, values: BackendTensor, samples: int) -> BackendTensor:
        """The layer's output as (samples, *positions, channels); of a head the sum of its values."""
        values = ops.sum(values, axis=-1) if self.heads else values
        values = ops.moveaxis(values, 1, -1) if self.channels_first else values
        if not self.frames:
            return values
        known = [-1 if d is None else d for d in self.frames]
        return ops.reshape(values, (samples, *known, *values.shape[1:]))

    def spread(self, mask: BackendTensor, values: BackendTensor) -> BackendTensor:
        """A mask of channels, (samples, channels), in a shape that broadcasts over the layer's output.

        Args:
            mask: For each sample.
            values: The output, whose rows may be frames, or versions, of each sample, one sample after the other.
        """
        copies = values.shape[0] // mask.shape[0]
        mask = ops.repeat(mask, copies, axis=0) if copies > 1 else mask
        shape = [1] * len(values.shape)
        shape[0], shape[self.axis] = mask.shape
        return ops.reshape(mask, shape)

    def of_channels(self, values: BackendTensor, samples: int) -> BackendTensor:
        """The sums over all that is no channel, (samples, channels)."""
        arranged = self.arranged(values, samples)
        return ops.sum(ops.reshape(arranged, (samples, -1, arranged.shape[-1])), axis=1)

    def check(self, asked: "Asked", channels: int | None, positions: Shape) -> None:
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


class Asked(Protocol):
    """What is asked of a layer, a unit."""

    @property
    def channel(self) -> int: ...

    @property
    def position(self) -> tuple[int, ...] | None: ...


@dataclass(frozen=True)
class Form:
    """Axes of a tensor (samples, ...).

    Attributes:
        channel: The axis of the channels.
        places: The axes of the positions. What is left belongs to a channel, as the width of a head.
    """

    channel: int
    places: tuple[int, ...]

    def hot(self, channel: BackendTensor, values: BackendTensor) -> BackendTensor:
        """1 at a channel of each sample, (samples,) integers, and else 0, in a shape that broadcasts over values."""
        return _hot(channel, values, self.channel)

    def placed(self, places: BackendTensor, values: BackendTensor) -> BackendTensor:
        """The same for a position of each sample, (samples, axes)."""
        hot = ops.ones([1] * len(values.shape), values.dtype)
        for number, axis in enumerate(self.places):
            hot = hot * _hot(places[:, number], values, axis)
        return hot

    def largest(self, channel: BackendTensor, values: BackendTensor) -> BackendTensor:
        """Where a channel is largest, (samples, axes) integers; the first in row order where several are."""
        alone = ops.where(self.hot(channel, values) > 0, values, ops.zeros((), values.dtype))
        summed = ops.sum(alone, axis=tuple(a for a in range(1, len(values.shape)) if a not in self.places))
        sizes = summed.shape[1:]
        flat = ops.cast(ops.argmax(ops.reshape(summed, (summed.shape[0], -1)), axis=1), "int32")
        found: list[BackendTensor] = []
        for size in reversed(sizes):
            found.insert(0, flat % size)
            flat = flat // size
        return ops.stack(found, axis=1) if found else ops.zeros((summed.shape[0], 0), "int32")


def _hot(numbers: BackendTensor, values: BackendTensor, axis: int) -> BackendTensor:
    hot = numbers[:, None] == ops.arange(values.shape[axis], dtype="int32")[None]
    shape = [1] * len(values.shape)
    shape[0], shape[axis] = hot.shape
    return ops.reshape(ops.cast(hot, values.dtype), shape)


def site_of(graph: Graph, layer: str, argument: str = "layer") -> UnitSite:
    """Where the channels of a layer are, or of one of its calls.

    Args:
        graph: The model's graph.
        layer: The layer's path, see `tensors_of`.
        argument: What the caller's user calls it.

    Raises:
        KeyError: No layer has this path.
        ValueError: The layer makes no numbers, or does not depend on the inputs.
        NotAnalyzeableModelError: It is not known which sample its rows belong to.
    """
    outputs = tensors_of(graph, layer, argument)
    made = [t for t in outputs if is_float(t.dtype)]
    heads = _heads(graph, outputs)
    tensor = heads or (made[0] if len(made) == 1 else None)
    if tensor is None or len(tensor.shape) < 2:
        shapes = [t.shape for t in made]
        raise ValueError(
            f"`{argument}` must name a layer that makes one tensor with channels, (samples, ..., channels). Received: "
            f"{layer!r}, which makes floating-point tensors of shapes {shapes}"
        )
    if tensor not in graph.producers and tensor not in graph.inputs:  # of a model that ends before it
        raise ValueError(f"`{argument}` must name a layer before the unit that is explained. Received: {layer!r}")
    if tensor not in graph.active:
        raise ValueError(f"The layer {layer!r}{sends_nothing(graph, tensor)}")
    frames = frames_of(graph).get(tensor)
    if frames is None:
        raise NotAnalyzeableModelError(
            f"The rows of the layer {layer!r} are not known to be samples, so it is not known whose a unit there is. "
            f"Keep the samples the first axis. Received: shape {tensor.shape}"
        )
    first = heads is None and len(tensor.shape) > 2 and channels_first_at(graph, tensor)
    return UnitSite(layer, tensor, first, frames, heads is not None)


def sites_of(graph: Graph, layer: str, argument: str = "layer") -> list[UnitSite]:
    """The same for each call of a layer, or the one that is named."""
    return [site_of(graph, each, argument) for each in called(graph, layer)]


def _heads(graph: Graph, outputs: tuple[Tensor, ...]) -> Tensor | None:
    """The heads of an attention layer that makes some tensors, as its output projection reads them; None for another layer."""
    for path, calls in graph.paths.items():
        if outputs not in calls or "Attention" not in type(graph.layers.get(path)).__name__:
            continue
        inside = [n for n in graph.ancestors(outputs) if n.path.startswith(path + "/") and n.kind == "affine"]
        read = [inside[-1].inputs[p] for p in inside[-1].active_inputs] if inside else []
        if len(read) == 1 and len(read[0].shape) == len(outputs[0].shape) + 1:
            return read[0]
    return None


def mask_of(site: UnitSite, channels: Array) -> Array:
    """1 at some channels and else 0, (channels,); of several rows of channels, (rows, channels)."""
    channels = np.asarray(channels, "int64")
    mask = np.zeros((*channels.shape[:-1], site.channels or 0), "float32")
    np.put_along_axis(mask, channels, 1.0, axis=-1)
    return mask
