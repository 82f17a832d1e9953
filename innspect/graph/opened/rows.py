"""What the rows of a tensor are: samples, or as within TimeDistributed the frames of samples, one sample after the other."""

import math
from collections.abc import Mapping

import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.ir import Graph, Node, Tensor
from innspect.types import Shape

Frames = Shape | None  # the lengths of the axes that rows have taken in; None: the rows are not known to be samples' at all


def frames_of(graph: Graph) -> Mapping[Tensor, Frames]:
    """For each tensor that a signal flows through, the axes that its rows hold behind that of the samples.

    They are () for rows that are samples. Reshaping takes axes into the rows, and out again; where samples are not the first
    axis, nothing is known.
    """
    found: dict[Tensor, Frames] = dict.fromkeys(graph.inputs, ())
    for node in graph.nodes:
        read = {found[t] for p in node.active_inputs if (t := node.inputs[p]) in found}
        for tensor in node.outputs:
            if tensor in graph.active and read:
                found[tensor] = _behind(node, tensor, read.pop()) if len(read) == 1 else None
    return found


def _behind(node: Node, tensor: Tensor, frames: Frames) -> Frames:
    if frames is None or not node.active_inputs:
        return None
    before, after = node.inputs[node.active_inputs[0]].shape, tensor.shape
    if not after or (before[0] is None and after[0] is not None):
        return None
    return _reshaped(node, frames, before, after) if node.operation == "Reshape" else frames


def _reshaped(node: Node, frames: Shape, before: Shape, after: Shape) -> Frames:
    """The frames after a reshape: those that it takes in come last, and go first."""
    if _open(before) == _open(after) and _size(before) == _size(after):
        return frames
    taken = len(before) - len(after)
    if taken > 0 and before[taken + 1 :] == after[1:]:
        return (*frames, *before[1 : taken + 1]) if _changes_rows(node, before) else frames
    if taken < 0 and after[1 - taken :] == before[1:]:
        returned = after[1 : 1 - taken]
        fits = all(a is None or b is None or a == b for a, b in zip(frames[taken:], returned, strict=False))
        return frames[:taken] if fits and len(frames) >= -taken else None
    if _open(before) or _open(after):
        return frames  # what cannot be seen beforehand is compared with the number of rows later
    more, less = divmod(_size(before), _size(after) or 1)
    return None if less else (*frames, more)


def _changes_rows(node: Node, before: Shape) -> bool:
    """Whether a reshape takes axes into the rows, not into one another, which is tried where a length is not known."""
    if not _open(before):
        return True
    lengths = [2, *(3 if d is None else d for d in before[1:])]
    with backend.inference():
        (y,) = node(ops.convert_to_tensor(np.zeros(lengths, "float32")))
    return y.shape[0] != 2


def _open(shape: Shape) -> int:
    return sum(d is None for d in shape[1:])


def _size(shape: Shape) -> int:
    return math.prod(d for d in shape[1:] if d is not None)
