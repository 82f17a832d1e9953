"""Receptive fields: what part of an input a unit of a layer can see.

A field is a box, and contains all that the unit depends on: where a step is not known to look at few positions, the box is the
whole input. Along each axis it is told for every position of the layer, from the layer's output back to the input: what a step
reads of its input is told by its layer (convolutions), or by running the step on positions that are told apart (pooling,
padding, slices, resizing).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.channels import channels_first_at, reads_channels_first
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.graph.views.affine import Dense
from innspect.graph.views.convolutions import Conv, ConvTranspose, PointwiseConv
from innspect.types import Array

Span = tuple[Array, Array]  # for each position of the layer along an axis where the field begins, and where it ends

_ELEMENTWISE = frozenset("Add Subtract Average BatchNormalization Maximum Minimum Multiply Scale Where".split())
_BY_CHANNEL = frozenset("MaxPool AveragePool Resize Repeat".split())
_LARGEST = 1 << 24  # elements of a probe


@dataclass(frozen=True)
class Field:
    """The fields of all positions of a layer in one of the model's inputs.

    Attributes:
        spans: For each axis of the input's positions where the field begins and ends, integers (positions along this axis,).
        shape: A sample's shape.
        channels_first: Whether the sample's first axis is that of channels.
    """

    spans: tuple[Span, ...]
    shape: tuple[int, ...]
    channels_first: bool = False

    def box(self, position: tuple[int, ...]) -> tuple[slice, ...]:
        """What of a sample the units at a position see, a slice for each axis of the sample."""
        if not self.spans:
            return tuple(slice(0, n) for n in self.shape)
        found = [slice(int(low[i]), int(high[i])) for (low, high), i in zip(self.spans, position, strict=True)]
        channels = [slice(0, n) for n in self.shape[:1] if self.channels_first]
        rest = self.shape[len(found) + len(channels) :]
        return (*channels, *found, *(slice(0, n) for n in rest))

    @property
    def extent(self) -> tuple[int, ...]:
        """The largest lengths of boxes along the axes of positions; () where the field is the whole sample."""
        return tuple(int((high - low).max(initial=0)) for low, high in self.spans)


def fields(graph: Graph, tensor: Tensor, inputs: list[Array], whole: bool = False) -> list[Field | None]:
    """The fields of a layer's positions in each of the model's inputs; None for inputs that it does not read.

    Args:
        graph: The model's graph.
        tensor: The layer's output, (samples, *positions, channels) or with channels first.
        inputs: A sample for each input, arrays (1, ...), or of more of which the first is taken.
        whole: Whether positions are not told apart, such as those of frames that the rows hold.
    """
    nodes = graph.ancestors([tensor])
    shapes = _shapes(graph, nodes, tensor, inputs)
    found: dict[Tensor, list[Span] | None] = {}  # None: the whole
    axes = _axes(graph, tensor)
    found[tensor] = (
        [(np.arange(n), np.arange(n) + 1) for n in (shapes[tensor][a] for a in axes)] if axes and not whole else None
    )
    for node in reversed(nodes):
        for made in node.outputs:
            if made not in found:
                continue
            for read in dict.fromkeys(node.inputs):
                seen = _before(graph, node, read, made, found[made], shapes)
                found[read] = _both(found[read], seen) if read in found else seen
    return [_field(graph, number, found, shapes) for number in range(len(graph.inputs))]


def _field(
    graph: Graph, number: int, found: Mapping[Tensor, list[Span] | None], shapes: Mapping[Tensor, tuple[int, ...]]
) -> Field | None:
    tensor = graph.inputs[number]
    if tensor not in found:
        return None
    return Field(tuple(found[tensor] or ()), shapes[tensor][1:], reads_channels_first(graph, number))


def _shapes(graph: Graph, nodes: list[Node], tensor: Tensor, inputs: list[Array]) -> dict[Tensor, tuple[int, ...]]:
    """The shapes of tensors for one sample."""
    tensors = list(dict.fromkeys([*graph.inputs, tensor, *(t for n in nodes for t in (*n.inputs, *n.outputs))]))
    if not any(None in t.shape[1:] for t in tensors):
        given = {t: (1, *a.shape[1:]) for t, a in zip(graph.inputs, inputs, strict=True)}
        return {t: given.get(t, (1, *t.shape[1:])) for t in tensors}
    with backend.inference():
        values = Interpreter(nodes, graph.inputs, tensors)([ops.convert_to_tensor(a[:1]) for a in inputs])
    return {t: tuple(v.shape) if hasattr(v, "shape") else () for t, v in zip(tensors, values, strict=True)}


def _axes(graph: Graph, tensor: Tensor) -> range:
    """The axes of a tensor's positions; an input of ids has no channels."""
    rank = len(tensor.shape)
    if not is_float(tensor.dtype):
        return range(1, rank)
    number = next((i for i, t in enumerate(graph.inputs) if t is tensor), None)
    first = channels_first_at(graph, tensor) if number is None else reads_channels_first(graph, number)
    return range(2, rank) if rank > 2 and first else range(1, max(rank - 1, 1))


def _both(first: list[Span] | None, second: list[Span] | None) -> list[Span] | None:
    if first is None or second is None or len(first) != len(second):
        return None
    return [_hull(a, b) for a, b in zip(first, second, strict=True)]


def _hull(first: Span, second: Span) -> Span:
    """Spans that hold both; one that is empty holds nothing."""
    (low, high), (lower, higher) = first, second
    none, nothing = low >= high, lower >= higher
    begin = np.where(none, lower, np.where(nothing, low, np.minimum(low, lower)))
    return begin, np.where(none, higher, np.where(nothing, high, np.maximum(high, higher)))


# ------------------------------------------------------------------ one step back
def _before(
    graph: Graph, node: Node, read: Tensor, made: Tensor, spans: list[Span] | None, shapes: Mapping[Tensor, tuple[int, ...]]
) -> list[Span] | None:
    """The spans at what a step reads, from those at what it makes."""
    after, before = _axes(graph, made), _axes(graph, read)
    if spans is None or len(after) != len(before):
        return None
    moved = []
    for number, (a, b) in enumerate(zip(after, before, strict=True)):
        size, length = shapes[read][b], shapes[made][a]
        steps = _steps(node, read, number, b, a, size, length, shapes[read])
        if steps is None:
            return None
        moved.append(_moved(spans[number], steps, size))
    return moved


def _moved(span: Span, steps: Span, size: int) -> Span:
    """Where the spans of a step's output begin and end in its input."""
    (low, high), (begins, ends) = span, steps
    result = np.zeros_like(low), np.zeros_like(high)
    for i in range(len(low)):
        begin, end = begins[low[i] : high[i]], ends[low[i] : high[i]]
        some = begin < end
        if some.any():
            result[0][i], result[1][i] = max(begin[some].min(), 0), min(end[some].max(), size)
    return result


def _steps(
    node: Node, read: Tensor, number: int, axis: int, after: int, size: int, length: int, shape: tuple[int, ...]
) -> Span | None:
    """For each position of a step's output along an axis where what it reads begins and ends; None: not known."""
    same = np.arange(length), np.arange(length) + 1
    view = node.view
    if isinstance(view, PointwiseConv | Dense) or node.kind == "embedding":
        return same if size == length else None
    if isinstance(view, Conv):
        return _window(view, number, size, length)
    if _is_elementwise(node, axis):
        if size == length:
            return same
        return (np.zeros(length, int), np.ones(length, int)) if size == 1 else None
    if len(node.inputs) != 1 or node.kind not in ("reindex", "winner", "sum"):
        return None
    by_channel = node.operation in _BY_CHANNEL
    if by_channel:
        shape = (*shape[:1], *(1 if a == _other(shape, axis, node) else n for a, n in enumerate(shape[1:], 1)))
    if node.kind == "sum":
        return _probed(node, axis, after, shape) if by_channel else None
    return _ramped(node, read, axis, after, shape)


def _other(shape: tuple[int, ...], axis: int, node: Node) -> int:
    """The axis of channels of what is computed channel by channel."""
    first = _data_format(node) == "channels_first"
    return 1 if first else len(shape) - 1


def _data_format(node: Node) -> str | None:
    return getattr(getattr(node.function, "__self__", None), "data_format", None) or node.kwargs.get("data_format")


def _is_elementwise(node: Node, axis: int) -> bool:
    if node.kind in ("pass", "product", "quotient", "constant") or node.operation in _ELEMENTWISE:
        return node.kind != "constant"
    if node.operation == "Concatenate":
        at = getattr(getattr(node.function, "__self__", None), "axis", None)
        return isinstance(at, int) and at % len(node.outputs[0].shape) != axis
    if node.kind == "normalization":
        axes = getattr(node.layer, "axis", None)
        rank = len(node.inputs[0].shape)
        listed = [axes] if isinstance(axes, int) else axes
        return bool(listed) and all(isinstance(a, int) and a % rank != axis for a in listed or ())
    return False


def _window(view: Conv, number: int, size: int, length: int) -> Span:
    """Of a convolution, from the settings of its layer."""
    layer, at = view.layer, np.arange(length)

    def setting(name: str) -> int:
        value = getattr(layer, name)
        return int(value) if isinstance(value, int) else int(value[number])

    stride, extent = setting("strides"), (setting("kernel_size") - 1) * setting("dilation_rate") + 1
    if isinstance(view, ConvTranspose):
        # Output o is made of the inputs i with o = i stride + k - padding for some k below the extent.
        padding = 0 if layer.padding == "valid" else max(extent - stride, 0)
        return (at - extent + 1) // stride, (at + padding) // stride + 1
    if layer.padding == "causal":
        padding = extent - 1
    else:
        padding = 0 if layer.padding == "valid" else max((length - 1) * stride + extent - size, 0) // 2
    begin = at * stride - padding
    return np.maximum(begin, 0), np.minimum(begin + extent, size)


def _run(node: Node, x: Array) -> Array:
    dtype = node.inputs[0].dtype
    with backend.inference():
        (y, *_) = node(ops.cast(ops.convert_to_tensor(x), dtype))
    return keras.ops.convert_to_numpy(y).astype("float64")


def _ramped(node: Node, read: Tensor, axis: int, after: int, shape: tuple[int, ...]) -> Span | None:
    """Of a step whose outputs are copies of inputs, perhaps the largest of several: the first and the last that it copies."""
    if math.prod(shape) > _LARGEST:
        return None
    ramp = np.broadcast_to((1 + np.arange(shape[axis])).reshape([-1 if a == axis else 1 for a in range(len(shape))]), shape)
    last, first = _run(node, ramp.astype("float32")), -_run(node, -ramp.astype("float32"))
    others = tuple(a for a in range(last.ndim) if a != after)
    first = np.where((first >= 1) & (first <= shape[axis]), first, np.inf).min(others)
    last = np.where((last >= 1) & (last <= shape[axis]), last, 0).max(others)
    none = ~np.isfinite(first) | (last < 1)
    return np.where(none, 0, first - 1).astype(int), np.where(none, 0, last).astype(int)


def _probed(node: Node, axis: int, after: int, shape: tuple[int, ...]) -> Span | None:
    """Of a linear step that treats channels alike: where it answers to an input that is 0 but at one position."""
    size, one = shape[axis], math.prod(shape[1:])
    if one * size > _LARGEST * 8:
        return None
    some = max(1, _LARGEST // one)
    answers = []
    for start in range(0, size, some):
        rows = np.arange(start, min(start + some, size))
        x = np.zeros((len(rows), *shape[1:]), "float32")
        np.moveaxis(x, axis, 1)[np.arange(len(rows)), rows] = 1
        y = _run(node, x)
        answers.append((y != 0).any(tuple(a for a in range(1, y.ndim) if a != after)))
    seen = np.concatenate(answers)  # (positions before, positions after)
    none = ~seen.any(axis=0)
    return np.where(none, 0, seen.argmax(axis=0)), np.where(none, 0, size - seen[::-1].argmax(axis=0))
