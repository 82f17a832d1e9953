"""How many samples are computed at once where nobody says: as many as keep the working set in bounds.

The working set of a sample is what the model makes of it: all tensors of its graph. For speed it should stay near the
processor, so that many samples go at once only where they are small; the few that go at once in any case, since that is what
a device needs to have enough to do, must fit into memory. The same model and inputs always give the same number, whatever
memory is free, so that the same call gives the same numbers.
"""

import math
import weakref
from collections.abc import Mapping, Sequence

from innspect.graph.ir import Graph, Node, Tensor
from innspect.graph.opened.rows import Frames, frames_of
from innspect.types import Array

USUAL = 32  # samples of ordinary size
_MOST = 1024  # of small ones
# Numbers of the working set, 64 MiB in float32: a convolutional network was as fast with it as with a quarter of it, and half
# as fast with sixteen times of it.
_NEAR = 2**24
_FAR = 2**30  # 4 GiB
_LITTLE = 2**20  # numbers that may be computed for nothing: they take as long as some calls of compiled functions
_OF_UNKNOWN = 16  # times what is given to it: the working set of a function that cannot be looked into
_GATES = 8  # numbers that a recurrent cell makes for each of its outputs

_known: "weakref.WeakKeyDictionary[Graph, dict[tuple[Sequence[int | None], ...], int]]" = weakref.WeakKeyDictionary()


def elements(graph: Graph | None, arrays: Sequence[Array]) -> int:
    """How many numbers a model makes of a sample, those of the sample among them.

    Args:
        graph: Of the model; None: of what it makes nothing is known.
        arrays: Its inputs, (samples, ...). Lengths that the graph leaves open are no longer than the longest of theirs.
    """
    return of_shapes(graph, tuple(a.shape[1:] for a in arrays))


def of_shapes(graph: Graph | None, shapes: tuple[Sequence[int | None], ...]) -> int:
    """As `elements`, for samples of some shapes."""
    if graph is None:
        return _OF_UNKNOWN * sum(_size(shape, 1) for shape in shapes)
    known = _known.setdefault(graph, {})
    if shapes not in known:
        known[shapes] = _counted(graph, shapes)
    return known[shapes]


def _counted(graph: Graph, shapes: tuple[Sequence[int | None], ...]) -> int:
    pairs = zip(graph.inputs, shapes, strict=False)
    left_open = [n or 1 for t, shape in pairs for n, m in zip(shape, t.shape[1:], strict=False) if m is None]
    length = max(left_open, default=1)
    given, frames = sum(_size(shape, length) for shape in shapes), frames_of(graph)
    return max(1, given + sum(_made(node, frames, length) for node in graph.nodes if node.kind != "constant"))


def _made(node: Node, frames: Mapping[Tensor, Frames], length: int) -> int:
    """How many numbers a node makes of a sample, those that it keeps to itself among them."""
    made = sum(_size((*(frames.get(t) or ()), *t.shape[1:]), length) for t in node.outputs)
    if node.kind == "recurrent" and node.inputs:  # a state for each step
        steps, units = node.inputs[0].shape[1:2], node.outputs[0].shape[-1:]
        made += _GATES * _size((*steps, *units), length)
    return made


def _size(shape: Sequence[int | None], length: int) -> int:
    return math.prod(length if n is None else n for n in shape)


def fitting(elements: int) -> int:
    """The power of two of samples that keep the working set in bounds.

    Args:
        elements: Numbers of one sample's working set.
    """
    near, far = (bound // max(1, elements) for bound in (_NEAR, _FAR))
    return _power(min(_MOST, max(near, min(USUAL, far)), max(1, far)))


def of_little_padding(samples: int, most: int, elements: int) -> int:
    """How many of some samples are computed at once, `most` or a power of two below it, so that little is made for nothing.

    All batches have one size, for which one function is compiled; the last is padded to it. Where they would be padded by more
    than an eighth they are made smaller, but not below the usual size.
    """
    size = min(most, _power(2 * samples - 1)) if samples else most
    while size > USUAL and -samples % size * elements > max(samples * elements / 8, _LITTLE):
        size //= 2
    return size


def _power(number: int) -> int:
    """The largest power of two that is no larger."""
    return 1 << max(1, number).bit_length() - 1
