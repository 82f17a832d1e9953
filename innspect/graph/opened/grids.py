"""Where the patches of an image are among tokens, and which tensors an output still learns of them from.

Requirements of the design:

- A grid is found where a reshape makes tokens (batch, tokens, channels) of positions (batch, rows, columns, ...), and is
  followed by numbering the positions: what only moves values about is run on the numbers, whatever it is.
- Behind the last attention a class token alone is read. Tensors whose patches are not read any more have no map.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.graph.opened.rows import Frames
from innspect.graph.views.affine import Affine
from innspect.types import Array, Shape

_ELEMENTWISE = ("pass", "normalization", "sum", "product", "quotient")


@dataclass(frozen=True)
class Tokens:
    """Patches among the tokens of a tensor (batch, tokens, channels).

    Attributes:
        skipped: How many tokens come before them, such as a class token.
        grid: Their rows and columns, in as many axes as there are.
    """

    skipped: int
    grid: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.skipped + math.prod(self.grid)


def grids(graph: Graph, frames: Mapping[Tensor, Frames]) -> dict[Tensor, Tokens]:
    """The tensors of tokens whose patches have a known place."""
    found: dict[Tensor, Tokens] = {}
    for node in graph.nodes:
        for p in node.active_inputs:
            for tensor in node.outputs:
                if tensor in graph.active and tensor not in found and is_float(tensor.dtype) and _of_tokens(tensor):
                    tokens = _behind(node, p, tensor, found, frames)
                    found |= {} if tokens is None else {tensor: tokens}
    return found


def _of_tokens(tensor: Tensor) -> bool:
    return len(tensor.shape) == 3 and None not in tensor.shape[1:]


def _behind(
    node: Node, p: int, tensor: Tensor, found: Mapping[Tensor, Tokens], frames: Mapping[Tensor, Frames]
) -> Tokens | None:
    given = node.inputs[p]
    if node.kind != "reindex":
        same = given in found and given.shape[1] == tensor.shape[1]
        return found[given] if same else None
    if frames.get(given) != frames.get(tensor) or None in given.shape[1:]:
        return None
    grid = found[given].grid if given in found else _made(node, given.shape, tensor.shape)
    if not grid:
        return None
    seen = _numbers_behind(node, p, tensor, _numbered(given.shape, found.get(given), grid))
    starts = np.flatnonzero(seen[0, :, 0] == 1)
    if not len(starts) or np.ptp(seen, axis=2).any():
        return None
    tokens = Tokens(int(starts[0]), grid)
    in_order = np.array_equal(seen[0, tokens.skipped : tokens.end, 0], np.arange(1, math.prod(grid) + 1))
    return tokens if in_order else None


def _made(node: Node, before: Shape, after: Shape) -> tuple[int, ...]:
    """The positions that a reshape makes tokens of; () where it makes none."""
    if node.operation != "Reshape":
        return ()
    for axes in range(3, len(before)):
        grid = tuple(d for d in before[1:axes] if d is not None)
        if math.prod(grid) == after[1] and math.prod(grid) > 1:
            return grid
    return ()


def _numbered(shape: Shape, tokens: Tokens | None, grid: tuple[int, ...]) -> Array:
    """The patches by number from 1 in a tensor (1, ...), the same along all other axes; 0 elsewhere."""
    numbers = np.arange(1, math.prod(grid) + 1, dtype="float32")
    if tokens is None:
        numbers = numbers.reshape(*grid, *[1] * (len(shape) - 1 - len(grid)))
    else:
        numbers = np.pad(numbers, (tokens.skipped, (shape[1] or 0) - tokens.end))[:, None]
    return np.broadcast_to(numbers, tuple(d or 1 for d in shape[1:]))[None]


def _numbers_behind(node: Node, p: int, tensor: Tensor, numbers: Array) -> Array:
    """The numbers as a node moves them; 0 for what it brings itself, which does not turn with their sign."""
    with backend.inference():
        found = []
        for sign in (1, -1):
            given = [np.zeros([d or 1 for d in t.shape], keras.backend.standardize_dtype(t.dtype)) for t in node.inputs]
            given[p] = sign * numbers
            outputs = node(*map(ops.convert_to_tensor, given))
            found.append(backend.to_numpy(outputs[node.outputs.index(tensor)]))
    return (found[0] - found[1]) / 2


# ---------------------------------------------------------------------- backward
def heard(graph: Graph, explained: Tensor, tokens: Mapping[Tensor, Tokens]) -> Iterator[Tensor]:
    """The tensors that send a signal to the explained one, the last first; those of tokens only if their patches do."""
    reached, of_patches = {explained}, {explained}
    yield explained
    for node in reversed(graph.nodes):
        yield from (t for t in node.outputs if t in of_patches and t is not explained)
        outputs = [t for t in node.outputs if t in reached]
        if not outputs or node.kind == "constant":
            continue
        for p in node.active_inputs:
            given = node.inputs[p]
            reached.add(given)
            if given not in of_patches and (given not in tokens or _reads_patches(node, p, outputs, of_patches, tokens)):
                of_patches.add(given)


def _reads_patches(node: Node, p: int, outputs: list[Tensor], of_patches: set[Tensor], tokens: Mapping[Tensor, Tokens]) -> bool:
    given = node.inputs[p]
    for tensor in outputs:
        if tensor in tokens and (tensor in of_patches or _each_alone(node)):
            if tensor in of_patches:
                return True
        elif node.kind == "reindex" and None not in given.shape[1:]:
            if _numbers_behind(node, p, tensor, _numbered(given.shape, tokens[given], tokens[given].grid)).any():
                return True
        else:
            return True
    return False


def _each_alone(node: Node) -> bool:
    """Whether a node from tokens to as many computes each of them from itself alone."""
    if node.kind in (*_ELEMENTWISE, "reindex"):
        return True
    if node.kind != "affine" or not isinstance(node.view, Affine) or node.view.family != "dense":
        return False
    x = np.zeros((2, *(d or 1 for d in node.inputs[0].shape[1:])), "float32")
    x[1, 0] = np.random.default_rng(0).normal(size=x.shape[2:])
    with backend.inference():
        y = backend.to_numpy(node(ops.convert_to_tensor(x))[0])
    return not np.any(y[0, 1:] != y[1, 1:])
