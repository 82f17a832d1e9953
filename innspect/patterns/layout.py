"""Where the neurons and the inputs of an affine layer are: in its kernel, in its input and in its output.

A pattern has the kernel's shape, but its mathematics is per output neuron. A `Layout` takes quantities per neuron, or
per input channel, to shapes that broadcast over the kernel, and back.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.ir import Node
from innspect.graph.views import affine, convolutions
from innspect.types import Array, BackendTensor


@dataclass(frozen=True)
class Layout:
    """Axes of a kernel and of what it is applied to.

    Attributes:
        shape: The kernel's shape.
        neuron_axes: Axes of the kernel that number the output neurons, in rising order.
        output_axes: The matching axes of the layer's output, or one axis where the neurons lie along it flattened.
        centre_axes: Axes of the kernel that number the input channels, in rising order.
        input_axes: The matching axes of the layer's input.
        groups: Groups of a grouped convolution.
        padded: True where the layer reads zeros beyond its input's border.
    """

    shape: tuple[int, ...]
    neuron_axes: tuple[int, ...]
    output_axes: tuple[int, ...]
    centre_axes: tuple[int, ...]
    input_axes: tuple[int, ...]
    groups: int = 1
    padded: bool = False

    @property
    def neurons(self) -> tuple[int, ...]:
        """The shape of a quantity per neuron."""
        return tuple(self.shape[a] for a in self.neuron_axes)

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of a quantity per input channel."""
        sizes = tuple(self.shape[a] for a in self.centre_axes)
        return (sizes[0] * self.groups,) if self.groups > 1 else sizes

    @property
    def fan_in(self) -> int:
        """Number of inputs of one neuron."""
        return math.prod(self.shape) // math.prod(self.neurons)

    # ------------------------------------------------------------------ over the kernel: `xp` is NumPy or `keras.ops`
    def over_kernel(self, per_neuron: Any, xp: Any = np) -> Any:
        """A quantity per neuron in a shape that broadcasts over the kernel."""
        return xp.reshape(per_neuron, [n if i in self.neuron_axes else 1 for i, n in enumerate(self.shape)])

    def inputs_over_kernel(self, per_input: Any, xp: Any = np) -> Any:
        """A quantity per input channel in a shape that broadcasts over the kernel."""
        if self.groups > 1:
            by_group = xp.transpose(xp.reshape(per_input, (self.groups, self.shape[-2])))
            shape = (*[1] * (len(self.shape) - 2), self.shape[-2], self.groups)
            return self.expand(xp.reshape(by_group, shape), xp)
        return xp.reshape(per_input, [n if i in self.centre_axes else 1 for i, n in enumerate(self.shape)])

    def expand(self, small: Any, xp: Any = np) -> Any:
        """What was measured with one neuron a group, in a shape that broadcasts over the kernel."""
        return xp.repeat(small, self.shape[-1] // self.groups, axis=-1) if self.groups > 1 else small

    def small(self, over_kernel: Any) -> Any:
        """One neuron a group of a tensor over the kernel: enough for what does not depend on the neuron."""
        if self.groups > 1:
            return over_kernel[..., :: self.shape[-1] // self.groups]
        return over_kernel[tuple(slice(0, 1) if i in self._free_axes else slice(None) for i in range(len(self.shape)))]

    def per_neuron(self, over_kernel: Array) -> Array:
        """Sums over each neuron's inputs, NumPy."""
        others = tuple(i for i in range(len(self.shape)) if i not in self.neuron_axes)
        return np.sum(over_kernel, axis=others)

    # ------------------------------------------------------------------ neurons one by one
    @property
    def _free_axes(self) -> tuple[int, ...]:
        """The neuron axes along which neurons share their inputs."""
        return tuple(a for a in self.neuron_axes if a not in self.centre_axes)

    def neuron_groups(self) -> list[list[tuple[int, ...]]]:
        """The neurons' indices, one list for all neurons with the same inputs."""
        groups: dict[Hashable, list[tuple[int, ...]]] = {}
        for neuron in np.ndindex(*self.neurons):
            if self.groups > 1:
                key: Hashable = neuron[-1] * self.groups // self.shape[-1]
            else:
                key = tuple(i for i, a in zip(neuron, self.neuron_axes, strict=True) if a in self.centre_axes)
            groups.setdefault(key, []).append(neuron)
        return list(groups.values())

    def inputs_of(self, over_kernel: Array, neuron: tuple[int, ...]) -> Array:
        """One neuron's part of a quantity over the kernel, flat: (inputs,)."""
        place: list[slice | int] = [slice(None)] * len(self.shape)
        for axis, i in zip(self.neuron_axes, neuron, strict=True):
            place[axis] = i
        return over_kernel[tuple(place)].ravel()

    def patch_kernel(self) -> Array:
        """A kernel whose neurons copy the inputs, so that the layer's output holds its patches."""
        first, *others = self._free_axes
        shape = [1 if a in others else n for a, n in enumerate(self.shape)]
        shape[first] = self.fan_in * self.groups
        kernel, inputs = np.zeros(shape, "float32"), [n for a, n in enumerate(self.shape) if a not in self.neuron_axes]
        for number, index in enumerate(np.ndindex(*inputs)):
            place: list[slice | int] = [slice(None)] * len(shape)
            rest = iter(index)
            for axis in range(len(shape)):
                if axis not in self.neuron_axes:
                    place[axis] = next(rest)
            place[first] = slice(number, None, self.fan_in)
            kernel[tuple(place)] = 1
        return kernel

    def patches_of(self, y: Array) -> Array:
        """The patches, (samples and positions, groups, inputs), from the output y for `patch_kernel`, NumPy."""
        kept = [a % y.ndim for a in self.output_axes]
        others = [i for i in range(y.ndim) if i not in kept]
        if len(kept) > 1:  # the axes that number groups come before the one along which the copies lie
            kept = sorted(kept, key=lambda a: self.neuron_axes[kept.index(a)] in self._free_axes)
        moved = np.transpose(y, (*others, *kept))
        return moved.reshape(int(np.prod([y.shape[i] for i in others])), -1, self.fan_in)

    def neurons_last(self, y: Array) -> Array:
        """An output as (samples and positions, *neurons), NumPy."""
        kept = [a % y.ndim for a in self.output_axes]
        others = [i for i in range(y.ndim) if i not in kept]
        return np.transpose(y, (*others, *kept)).reshape(-1, *self.neurons)

    # ------------------------------------------------------------------ backend tensors
    def sum_output(self, y: BackendTensor) -> BackendTensor:
        """Sums of the output over samples and positions, per neuron."""
        rank = len(y.shape)
        kept = [a % rank for a in self.output_axes]
        total = ops.sum(y, axis=tuple(i for i in range(rank) if i not in kept))
        ranks = [sorted(kept).index(a) for a in kept]
        return ops.reshape(ops.transpose(total, ranks) if len(kept) > 1 else total, self.neurons)

    def over_output(self, per_neuron: BackendTensor, rank: int) -> BackendTensor:
        """A quantity per neuron in a shape that broadcasts over an output of that rank."""
        kept = [a % rank for a in self.output_axes]
        shape = [1] * rank
        if len(kept) == 1:
            shape[kept[0]] = -1
            return ops.reshape(per_neuron, shape)
        for axis, size in zip(kept, self.neurons, strict=True):
            shape[axis] = size
        return ops.reshape(ops.transpose(per_neuron, np.argsort(kept).tolist()), shape)

    def mean_input(self, x: BackendTensor) -> BackendTensor:
        """Means of the input over samples and positions, per input channel."""
        rank = len(x.shape)
        kept = [a % rank for a in self.input_axes]
        mean = ops.mean(x, axis=tuple(i for i in range(rank) if i not in kept))
        return ops.transpose(mean, [sorted(kept).index(a) for a in kept]) if len(kept) > 1 else mean

    def over_input(self, per_input: BackendTensor, rank: int) -> BackendTensor:
        """A quantity per input channel in a shape that broadcasts over an input of that rank."""
        kept = [a % rank for a in self.input_axes]
        shape = [1] * rank
        for axis, size in zip(kept, self.inputs, strict=True):
            shape[axis] = size
        moved = ops.transpose(per_input, np.argsort(kept).tolist()) if len(kept) > 1 else per_input
        return ops.reshape(moved, shape)


def layout_of(node: Node) -> Layout:
    """The `Layout` of an affine node.

    Raises:
        NotAnalyzeableModelError: It cannot be told which axes of the kernel number the neurons.
    """
    view = node.view
    shape = tuple(int(n) for n in view.kernel().shape)
    rank = len(shape)
    if isinstance(view, affine.Dense):
        return Layout(shape, (1,), (-1,), (0,), (-1,))
    if isinstance(view, affine.EinsumDense):
        return _einsum_layout(view, shape)
    if isinstance(view, convolutions.DepthwiseConv):
        padded = view.layer.padding != "valid"
        return Layout(shape, (rank - 2, rank - 1), (view.output_axis,), (rank - 2,), (view.input_axis,), padded=padded)
    if isinstance(view, convolutions.ConvTranspose):
        return Layout(shape, (rank - 2,), (view.output_axis,), (rank - 1,), (view.input_axis,), padded=True)
    if isinstance(view, convolutions.PointwiseConv):
        return Layout(shape, (rank - 1,), (view.output_axis,), (rank - 2,), (view.input_axis,))
    if isinstance(view, convolutions.Conv):
        axes = (rank - 1,), (view.output_axis,), (rank - 2,), (view.input_axis,)
        return Layout(shape, *axes, groups=view.layer.groups, padded=view.layer.padding != "valid")
    raise NotAnalyzeableModelError(
        f"Patterns need to know which axes of a kernel number the output neurons, and for {node.path!r} (a {node.operation}) "
        "they cannot be told. Write it as a Dense, EinsumDense or convolution layer."
    )


def _einsum_layout(view: affine.EinsumDense, shape: tuple[int, ...]) -> Layout:
    """Letters of kernel and output number neurons; letters of kernel and input number input channels."""
    x, w, y = (_positions(term) for term in (view._x, view._w, view._y))
    neurons = [a for a in w if a in y]
    channels = [a for a in w if a in x]
    return Layout(
        shape,
        tuple(w[a] for a in neurons),
        tuple(y[a] for a in neurons),
        tuple(w[a] for a in channels),
        tuple(x[a] for a in channels),
    )


def _positions(term: str) -> dict[str, int]:
    """Letter -> axis, counted from the end behind an ellipsis."""
    before, dots, after = term.partition("...")
    axes = {letter: i for i, letter in enumerate(before)}
    axes.update({letter: i - len(after) if dots else i for i, letter in enumerate(after)})
    return axes
