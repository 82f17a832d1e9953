"""Where the spatial axes and the channels of what is synthesized lie."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from innspect.graph.channels import reads_channels_first
from innspect.graph.ir import Graph
from innspect.types import Array, BackendTensor


@dataclass(frozen=True)
class Layout:
    """The axes of one sample.

    Attributes:
        shape: The sample's shape.
        axes: How many spatial axes it has: 1 for a series (steps, channels), 2 for an image, 3 for a volume; 0 for features.
        channels_first: Whether the channels are before them.
        gray: Whether an image has no axis of channels.
    """

    shape: tuple[int, ...]
    axes: int
    channels_first: bool = False
    gray: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """The lengths of the spatial axes."""
        return self.shape[1:] if self.channels_first else self.shape[: self.axes]

    @property
    def channels(self) -> int:
        """How many there are; for features their number."""
        if self.gray or not self.shape:
            return 1
        return self.shape[0] if self.channels_first else math.prod(self.shape[self.axes :])

    def last(self, x: BackendTensor) -> BackendTensor:
        """(samples, *sample) as (samples, *spatial axes, channels)."""
        x = ops.moveaxis(x, 1, -1) if self.channels_first else x
        return ops.reshape(x, (x.shape[0], *self.sizes, self.channels))

    def own(self, x: BackendTensor) -> BackendTensor:
        """(samples, *spatial axes, channels) as (samples, *sample)."""
        x = ops.moveaxis(x, -1, 1) if self.channels_first else x
        return ops.reshape(x, (x.shape[0], *self.shape))

    def array_last(self, x: Array) -> Array:
        """As `last`, of an array."""
        x = np.moveaxis(x, 1, -1) if self.channels_first else x
        return x.reshape(len(x), *self.sizes, self.channels)


def layout_of(graph: Graph, number: int, shape: tuple[int, ...]) -> Layout:
    """The layout of an input of a model, of which a sample has the given shape."""
    if len(shape) < 2:
        return Layout(shape, 0)
    if len(shape) == 2 and _becomes_image(graph, number):
        return Layout(shape, 2, gray=True)
    return Layout(shape, len(shape) - 1, reads_channels_first(graph, number))


def _becomes_image(graph: Graph, number: int) -> bool:
    """Whether what reads an input gives it an axis for one channel."""
    readers = [node for node, _ in graph.readers(graph.inputs[number]) if node.operation in ("Reshape", "ExpandDims")]
    return any(len(node.outputs[0].shape) == 4 and node.outputs[0].shape[-1] == 1 for node in readers)
