"""The vectors of embeddings as what is moved: every embedding of a graph gets one more input, which tells how.

Requirements of the design:

- On their way to an embedding ids may be reshaped, sliced, turned, repeated and joined, as within TimeDistributed, so that
  the rows there are no samples. Places travel the same way in the ids' stead, and tell of each vector which id of which
  sample it belongs to.
- The vectors of ids that are constants of the model, such as padding, stay what they are.
- An id is moved alike wherever one embedding looks it up.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from keras import ops

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Ref, Rewritten, Tensor
from innspect.graph.views.ids import Lookup
from innspect.types import BackendTensor, Shape, Tensors

_CASTS = ("Cast", "SaturateCast", "ConvertToTensor", "Copy")


@dataclass(frozen=True, eq=False)
class Moved:
    """One embedding, and the ids that it looks up.

    Attributes:
        given: The input that tells how its vectors are moved.
        sources: The tensors, (samples, ...), that its ids come from.
        width: The shape of a vector.
    """

    given: Tensor
    sources: tuple[Tensor, ...]
    width: Shape

    def shape(self, known: Mapping[Tensor, Shape]) -> Shape:
        """The shape of one sample's vectors, (ids, *width).

        Args:
            known: The shapes of the model's inputs, as they are given.
        """
        shapes = [known.get(t, t.shape)[1:] for t in self.sources]
        sizes = [[d for d in shape if d is not None] for shape in shapes]
        if any(len(size) < len(shape) for size, shape in zip(sizes, shapes, strict=True)):
            raise ValueError(f"The number of an embedding's ids, of shapes {shapes}, is not known from the inputs' shapes.")
        return (sum(map(math.prod, sizes)), *self.width)


# ---------------------------------------------------------------------- where ids come from
def moved_embeddings(graph: Graph) -> dict[Node, Moved]:
    """What each embedding of a graph is moved by; those that look up the same ids in the same matrix are moved by one."""
    found: dict[Node, Moved] = {}
    alike: dict[tuple, Moved] = {}
    for node in graph.nodes:
        if node.kind == "embedding":
            sources, _ = _way(graph, _ids(node))
            y = node.outputs[0]
            new = Moved(Tensor((None,), y.dtype), sources, y.shape[len(_ids(node).shape) :])
            found[node] = alike.setdefault((_matrix(node), *sources), new)
    return found


def _matrix(node: Node) -> object:
    """What is the same where two nodes look up in one matrix."""
    return id(node.variables[0]) if node.variables else node.layer or node


def _ids(node: Node) -> Tensor:
    return node.inputs[node.active_inputs[0]]


def _way(graph: Graph, ids: Tensor) -> tuple[tuple[Tensor, ...], list[Node]]:
    """The tensors that ids come from, and the nodes that only move them about since then."""
    reached, way = {ids}, []
    sources = [ids] if graph.producer(ids) is None else []
    for node in reversed(graph.ancestors([ids])):
        if not any(t in reached for t in node.outputs):
            continue
        if not _moves_about(node):
            sources += [t for t in node.outputs if t in reached]
            continue
        way.append(node)
        reads = [node.inputs[p] for p in node.active_inputs]
        sources += [t for t in reads if graph.producer(t) is None]
        reached.update(reads)
    order = {t: i for i, t in enumerate([*graph.inputs, *graph.producers])}
    return tuple(sorted(set(sources), key=order.__getitem__)), way[::-1]


def _moves_about(node: Node) -> bool:
    crossed = isinstance(node.view, Lookup) and len(node.active_inputs) > 1
    return node.kind in ("reindex", "pass") and bool(node.active_inputs) and not crossed


def _placed(node: Node, values: Tensors) -> Tensors:
    """A node at work on places: what gives another id for an id leaves them."""
    if node.kind == "pass" or node.operation in _CASTS:
        return [values[node.active_inputs[0]]]
    return node(*values)


# ---------------------------------------------------------------------- the graph
def with_moved_vectors(graph: Graph, embeddings: Mapping[Node, Moved], move: Callable[..., BackendTensor]) -> Rewritten:
    """The graph with one more input for every embedding, by which its vectors are moved.

    Args:
        graph: The graph.
        embeddings: What `moved_embeddings` made of it.
        move: A function from `InOrder` or `Scattered` vectors and such an input to the vectors.
    """
    nodes: list[Node] = []
    for node in graph.nodes:
        if node not in embeddings:
            nodes.append(node)
            continue
        places = _places(graph, node)
        nodes += [] if places is None else [places]
        nodes.append(_with_moved(node, embeddings[node].given, () if places is None else places.outputs, move))
    given = dict.fromkeys(each.given for each in embeddings.values())
    return Rewritten(replace(graph, nodes=tuple(nodes), inputs=(*graph.inputs, *given)))


def _with_moved(node, given, places, move):
    count = len(node.inputs)

    def moved(*values):
        (vectors,) = node(*values[:count])
        *placed, given = values[count:]
        return move(Scattered(vectors, placed, given.shape[0]) if placed else InOrder(vectors), given)

    args = tuple(Ref(t) for t in (*node.inputs, *places, given))
    return replace(node, function=moved, args=args, kwargs={}, reads=node.variables)


def _places(graph, node):
    """A node that tells of each of an embedding's ids its sample and its place, both from 1; None where they are in order.

    A constant of the model has 0 for both. It is known by what it does: it stays where the places are negated.
    """
    ids = _ids(node)
    sources, way = _way(graph, ids)
    if len(sources) == 1 and all(n.kind == "pass" or n.operation in _CASTS for n in way):
        return None
    made = {t for n in way for t in n.outputs}
    beside = tuple(dict.fromkeys(t for n in way for t in n.inputs if t not in made and t not in sources))
    run = Interpreter(way, (*sources, *beside), [ids])

    def places(*values):
        numbered, count = _numbered(values[: len(sources)])
        there, negated = (run([*(sign * n for n in numbered), *values[len(sources) :]], _placed)[0] for sign in (1, -1))
        place = ops.cast((there - negated) // 2, "int32")
        return [(place + count - 1) // count, place]

    outputs = tuple(Tensor(ids.shape, "int32") for _ in range(2))
    args = tuple(Ref(t) for t in (*sources, *beside))
    return Node(f"{node.path}/places", "constant", places, args, {}, outputs, operation="Places")


def _numbered(sources):
    """The ids of all samples by number from 1, those of a sample together; and how many a sample has."""
    shapes = [ops.shape(x) for x in sources]
    counts = [math.prod(shape[1:]) for shape in shapes]
    total, numbered = sum(counts), []
    for i, shape in enumerate(shapes):
        starts = total * ops.arange(shape[0], dtype="int32") + sum(counts[:i]) + 1
        numbers = starts[:, None] + ops.arange(counts[i], dtype="int32")
        numbered.append(ops.reshape(numbers, shape))
    return numbered, total


# ---------------------------------------------------------------------- vectors
class InOrder:
    """Vectors (samples, *ids, *width) of which each sample has its own."""

    def __init__(self, vectors):
        self.vectors = vectors

    def of_samples(self, values, fixed):
        """Values (samples,), and `fixed` for the model's constants, so that they broadcast over the vectors."""
        return ops.cast(ops.reshape(values, (-1, *[1] * (len(self.vectors.shape) - 1))), self.vectors.dtype)

    def of_ids(self, values):
        """Values (samples, ids, *width), and 0 for the model's constants, where the vectors are."""
        return ops.cast(ops.reshape(values, self.vectors.shape), self.vectors.dtype)

    def range(self):
        """The difference of the largest and the smallest number of each sample's vectors, which broadcasts over them."""
        axes = tuple(range(1, len(self.vectors.shape)))
        return ops.max(self.vectors, axis=axes, keepdims=True) - ops.min(self.vectors, axis=axes, keepdims=True)


class Scattered:
    """Vectors (*ids, *width) that lie otherwise.

    Args:
        vectors: The vectors.
        placed: The number of the sample and the place of each id, from 1; 0 for the model's constants.
        count: Number of samples.
    """

    def __init__(self, vectors, placed, count):
        self.vectors, self._count = vectors, count
        self._samples, self._places = placed
        self._within = tuple(range(len(self._places.shape), len(vectors.shape)))

    def of_samples(self, values, fixed):
        values = ops.cast(values, self.vectors.dtype)
        values = ops.take(ops.concatenate([ops.full((1,), fixed, dtype=values.dtype), values]), self._samples, axis=0)
        return ops.reshape(values, (*ops.shape(self._samples), *[1] * len(self._within)))

    def of_ids(self, values):
        values = ops.cast(ops.reshape(values, (-1, *values.shape[2:])), self.vectors.dtype)
        return ops.take(ops.concatenate([ops.zeros_like(values[:1]), values]), self._places, axis=0)

    def range(self):
        largest = self._largest(self.vectors) + self._largest(-self.vectors)
        return self.of_samples(largest, 0)

    def _largest(self, vectors):
        """Of each sample's vectors, (samples,)."""
        largest = ops.reshape(ops.max(vectors, axis=self._within), (-1,))
        return ops.segment_max(largest, ops.reshape(self._samples, (-1,)), num_segments=self._count + 1)[1:]
