"""A softmax or sigmoid that is then reshaped, permuted, cast or clipped: the moves come first, the head is last.

What `TimeDistributed(Dense(n, "softmax"))` or a softmax before a `Reshape` returns are probabilities, and their logits are
explained as those of any other head. So the moves are made of the logits, and the head is what then makes the model's output:

    logits -> head -> moves -> output      becomes      logits -> moves -> head' -> output

head' is the head itself where it commutes with the moves: a sigmoid always does, a softmax where they keep its axis whole.
Else the logits are moved back before it, and its output is moved again.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.heads import moved_head
from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor
from innspect.graph.views.activations import Along
from innspect.types import BackendTensor, Shape

_RESHAPES = frozenset("Reshape Squeeze ExpandDims Ravel".split())
_PERMUTES = frozenset("Transpose Moveaxis Swapaxes".split())
_PRIMES = (2, 3, 5, 7, 11, 13, 17)
_MOST = 2**20  # numbers that a move is tried on

Function = Callable[[BackendTensor], BackendTensor]


def heads_last(graph: Graph) -> Rewritten:
    """The graph with every head that is followed by moves behind them, where it can be told what it is there."""
    nodes, moved = list(graph.nodes), {}
    for output in graph.outputs:
        behind = moved_head(graph, output)
        found = None if behind is None else _behind(*behind)
        if found is not None:
            made, stand_ins = found
            nodes = [n for n in nodes if output not in n.outputs] + made
            moved.update(stand_ins)
    if not moved:
        return Rewritten(graph)
    paths = {p: tuple(tuple(moved.get(t, t) for t in call) for call in calls) for p, calls in graph.paths.items()}
    graph = dataclasses.replace(graph, nodes=tuple(nodes), paths=paths)
    return Rewritten(dataclasses.replace(graph, nodes=tuple(graph.ancestors(graph.outputs))))


def _behind(head: Node, steps: list[Node]) -> tuple[list[Node], dict[Tensor, Tensor]] | None:
    """The moves of the logits and the head behind them; and what of these stands for what of the moves of probabilities."""
    if len(head.inputs) > 1:
        return None
    logits, values = head.inputs[0], _Values(head)
    made: list[Node] = []
    stand_ins = {head.outputs[0]: logits}
    for step in steps:
        if step.kind == "reindex":
            if not values.moved(step, logits.shape):
                return None
            last, logits = logits, Tensor(step.outputs[0].shape, logits.dtype)
            args = (Ref(last), *step.args[1:])
            made.append(dataclasses.replace(step, args=args, outputs=(logits,)))
        else:
            values.then(step)
        stand_ins[step.outputs[0]] = logits
    output = steps[-1].outputs[0]
    del stand_ins[output]
    node = dataclasses.replace(head, function=values, args=(Ref(logits),), kwargs={}, outputs=(output,), view=None)
    return [*made, node], stand_ins


class _Values:
    """What a head makes of moved logits."""

    def __init__(self, head: Node):
        self._head: Function = lambda z: head(z)[0]
        self._elementwise = head.operation == "Sigmoid"
        self._axis = head.view.axis if isinstance(head.view, Along) else None
        self._softmax = ops.log_softmax if head.operation == "LogSoftmax" else ops.softmax
        self._after: list[Node] = []

    def __call__(self, z: BackendTensor) -> BackendTensor:
        y = self._head(z)
        for step in self._after:
            (y,) = step(y)
        return y

    def then(self, step: Node) -> None:
        """A function of each probability follows."""
        self._after.append(step)

    def moved(self, step: Node, shape: Shape) -> bool:
        """The logits, of this shape, are moved by a step; returns whether it can be told what the head is then."""
        if self._elementwise:
            return True
        axis = None if self._axis is None else _kept(step, shape, self._axis % len(shape))
        if axis is not None:
            self._axis, softmax = axis, self._softmax
            self._head = lambda z: softmax(z, axis=axis)
            return True
        back = _inverse(step, shape)
        if back is None or len(step.inputs) > 1:
            return False
        head, self._axis = self._head, None
        self._head = lambda z: step(head(back(z)))[0]
        return True


def only_rearranges(step: Node) -> bool:
    """Whether a step keeps every number, in another shape or order, or as another dtype."""
    return step.kind != "reindex" or step.operation in _RESHAPES | _PERMUTES


def _kept(step: Node, shape: Shape, axis: int) -> int | None:
    """Which axis of what a step makes is the whole of an axis of what it is given, in order; None where none is."""
    if step.operation in _RESHAPES:
        made = step.outputs[0].shape
        behind = shape[axis:]
        for k in range(1, len(made)):
            known = None not in behind and None not in made[k:]
            if known and made[k] == shape[axis] and math.prod(made[k:]) == math.prod(behind):  # type: ignore[arg-type]
                return k
        return None
    if step.operation in _PERMUTES:
        return _order(step, len(shape)).index(axis)
    sizes = tuple(3 if d is None else d for d in (2, *shape[1:]))
    return None if math.prod(sizes) > _MOST or len(step.inputs) > 1 else _tried(step, sizes, axis)


def _tried(step: Node, sizes: tuple[int, ...], axis: int) -> int | None:
    """As `_kept`, of any step, by what it does to numbered places."""
    places = np.arange(math.prod(sizes), dtype="float32").reshape(sizes)
    found = np.unravel_index(backend.to_numpy(step(ops.convert_to_tensor(places))[0]).astype(int), sizes)
    along, others = found[axis], [f for i, f in enumerate(found) if i != axis]
    for k in range(1, along.ndim):
        lines = np.moveaxis(along, k, -1)
        whole = lines.shape[-1] == sizes[axis] and (lines == np.arange(sizes[axis])).all()
        if whole and all((np.moveaxis(f, k, -1) == np.moveaxis(f, k, -1)[..., :1]).all() for f in others):
            return k
    return None


def _order(step: Node, rank: int) -> tuple[int, ...]:
    """The axes of the input in the order in which a permutation has them."""
    sizes = _PRIMES[:rank]
    made = step(ops.zeros(sizes))[0].shape
    return tuple(sizes.index(int(size)) for size in made)


def _inverse(step: Node, shape: Shape) -> Function | None:
    """What undoes a step, or None."""
    if step.operation in _RESHAPES and None not in shape[1:]:
        return lambda z: ops.reshape(z, (-1, *shape[1:]))
    if step.operation in _PERMUTES:
        back = tuple(np.argsort(_order(step, len(shape))).tolist())
        return functools.partial(ops.transpose, axes=back)
    return None
