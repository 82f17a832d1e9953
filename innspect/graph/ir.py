"""The flat graph that a model becomes: nodes that compute, tensors between them.

A node is one step that a rule can be given for: the affine part of a layer, an activation, a pooling, a Keras
operation. Its `kind` is the noun of the theory that the rules are chosen by:

    affine         kernel and bias (`node.view` is the affine view)
    reindex        every output is a copy of one input, or a constant: reshape, pad, slice, concatenate, upsample
    sum            a fixed linear map or diagonal affine map: add, average, pool, batch normalization
    pass           elementwise with one input: activations, rescaling
    winner         one input wins: maxima and minima
    product        elementwise product of several tensors
    bilinear       matrix product of two tensors
    quotient       of two tensors
    softmax, normalization, embedding, recurrent
    opaque         anything else: it has a gradient, but no rule
    constant       does not depend differentiably on the model's inputs

Nothing is written to a graph, a node or a tensor once it is made. A tensor is a name that graphs share; what makes it,
who reads it and whether a signal flows through it are a graph's to say. A pass returns another graph.
"""

import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, NamedTuple, ParamSpec, overload

import keras

from innspect import backend
from innspect.types import BackendTensor, Shape, Tensors

P = ParamSpec("P")

KINDS = frozenset(
    "affine reindex sum pass winner product quotient bilinear softmax normalization embedding recurrent opaque constant".split()
)

_HALF = ("float16", "bfloat16")


def widen(dtype: Any) -> str:
    """The dtype that innspect computes in: float32 at least."""
    dtype = keras.backend.standardize_dtype(dtype)
    return "float32" if dtype in _HALF else dtype


def is_float(dtype: Any) -> bool:
    return "float" in keras.backend.standardize_dtype(dtype)


def widened(x: BackendTensor) -> BackendTensor:
    """`x`, a backend tensor, in float32 at least."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.ops.cast(x, "float32") if dtype in _HALF else x


@overload
def live(variable: None) -> None: ...


@overload
def live(variable: BackendTensor) -> BackendTensor: ...


def live(variable: BackendTensor | None) -> BackendTensor | None:
    """The value of a variable now, or of what is computed of variables, in float32 at least; None for None."""
    value = variable() if callable(variable) else variable
    return None if value is None else widened(keras.ops.convert_to_tensor(value))


_BITS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}


def _as_declared(y: BackendTensor, dtype: str) -> BackendTensor:
    """`y` in the dtype that the graph says: layers compute in half precision, and on torch some operations narrow float64."""
    if dtype not in _BITS:
        return y
    given = keras.backend.standardize_dtype(y.dtype)
    return keras.ops.cast(y, dtype) if _BITS.get(given, 64) < _BITS[dtype] else y


def _known_shape(shape: Shape, rows: int | None) -> Shape:
    """A tensor's shape where as many samples as `rows` are computed."""
    return (rows, *shape[1:]) if shape[:1] == (None,) else shape


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value between nodes. `shape` has None where an axis is not known before the input is."""

    shape: Shape
    dtype: str


@dataclass(frozen=True, eq=False)
class Ref:
    """The place of a tensor among a node's arguments."""

    tensor: Tensor


@dataclass(frozen=True, eq=False)
class Node:
    """One step of the graph: `function(*args, **kwargs)`, with a `Ref` wherever a tensor enters.

    Attributes:
        path: Its name, unique in the graph.
        kind: See above.
        outputs: The tensors that it makes.
        layer: The user's layer that it came from, if any.
        view: The affine view, or what else the rules of this kind need.
        operation: The name of the Keras operation or layer class.
        active_inputs: Positions of the inputs that a signal can flow to.
        reads: Variables that the function reads, besides those among the arguments.
        inputs: The tensors among the arguments, in order.
        variables: The variables that computing the node reads, less its layer's.
    """

    path: str
    kind: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Tensor, ...]
    layer: keras.Layer | None = None
    view: Any = None
    operation: str = ""
    active_inputs: tuple[int, ...] = ()
    reads: tuple[keras.Variable, ...] = ()
    inputs: tuple[Tensor, ...] = field(init=False)
    variables: tuple[keras.Variable, ...] = field(init=False)

    def __post_init__(self) -> None:
        leaves = keras.tree.flatten((self.args, self.kwargs))
        among = (leaf for leaf in leaves if isinstance(leaf, keras.Variable))
        made = {
            "outputs": tuple(self.outputs),
            "inputs": tuple(leaf.tensor for leaf in leaves if isinstance(leaf, Ref)),
            "variables": (*among, *self.reads),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def bind(self, values: Iterable[BackendTensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments and keyword arguments of `function`, from the values of `inputs`."""
        supply = iter(values)
        if sum(isinstance(a, Ref) for a in self.args) == len(self.inputs):  # in no list: trees take their time
            return tuple(next(supply) if isinstance(a, Ref) else a for a in self.args), dict(self.kwargs)
        return keras.tree.map_structure(lambda leaf: next(supply) if isinstance(leaf, Ref) else leaf, (self.args, self.kwargs))

    def __call__(self, *values: BackendTensor) -> Tensors:
        """Compute the outputs, a list, from the values of `inputs`."""
        args, kwargs = self.bind(values)
        outputs = [y for y in keras.tree.flatten(self.function(*args, **kwargs)) if y is not None]
        made = [_as_declared(y, t.dtype) for y, t in zip(outputs, self.outputs, strict=True)]
        if not backend.LOSES_SHAPES:
            return made
        rows = next((v.shape[0] for v, t in zip(values, self.inputs, strict=True) if t.shape[:1] == (None,)), None)
        return [backend.with_shape(y, _known_shape(t.shape, rows)) for y, t in zip(made, self.outputs, strict=True)]

    def among(self, active: Collection[Tensor]) -> "Node":
        """The node as it is where the tensors of `active` are those that a signal flows through."""
        positions = active_positions(self, active)
        return self if positions == self.active_inputs else self.but(active_inputs=positions)

    def but(self, **changes: Any) -> "Node":
        """The node with other attributes, its arguments being what they are (which `dataclasses.replace` looks through)."""
        made = object.__new__(Node)
        vars(made).update(vars(self) | changes)
        return made

    def __repr__(self) -> str:
        return f"<{self.kind} {self.path}>"


def active_positions(node: Node, active: Collection[Tensor]) -> tuple[int, ...]:
    """Positions of a node's inputs that are in `active`; what is kept whole sends no signal to integers, such as a mask."""
    whole = node.kind in ("opaque", "recurrent")
    return tuple(i for i, t in enumerate(node.inputs) if t in active and not (whole and not is_float(t.dtype)))


Reader = tuple[Node, int]  # a node that reads a tensor, and as which of its inputs
Calls = tuple[tuple[Tensor, ...], ...]  # the output tensors of a layer, for each call


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as a flat sequence of nodes in the order of computation.

    Attributes:
        nodes: The nodes.
        inputs, outputs: Tensors.
        paths: Path of every layer of the model -> its output tensors, a tuple for each call.
        layers: Path -> the user's layer.
        active: The tensors that depend differentiably on the model's inputs.
        producers: Tensor -> the node that makes it.
        consumers: Tensor -> the (node, position) pairs that read it.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    paths: Mapping[str, Calls] = field(default_factory=dict)
    layers: Mapping[str, keras.Layer] = field(default_factory=dict)
    active: frozenset[Tensor] = frozenset()
    name: str = "model"
    producers: Mapping[Tensor, Node] = field(init=False)
    consumers: Mapping[Tensor, tuple[Reader, ...]] = field(init=False)

    def __post_init__(self) -> None:
        read: dict[Tensor, list[Reader]] = {}
        for node in self.nodes:
            for position, tensor in enumerate(node.inputs):
                read.setdefault(tensor, []).append((node, position))
        made = {
            "nodes": tuple(self.nodes),
            "inputs": tuple(self.inputs),
            "outputs": tuple(self.outputs),
            "active": frozenset(self.active),
            "paths": _fixed(self.paths),
            "layers": _fixed(self.layers),
            "producers": types.MappingProxyType({t: node for node in self.nodes for t in node.outputs}),
            "consumers": types.MappingProxyType({t: tuple(pairs) for t, pairs in read.items()}),
        }
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def producer(self, tensor: Tensor) -> Node | None:
        """The node that makes a tensor; None for an input."""
        return self.producers.get(tensor)

    def readers(self, tensor: Tensor) -> tuple[Reader, ...]:
        """The (node, position) pairs that read a tensor."""
        return self.consumers.get(tensor, ())

    def variables(self) -> list[keras.Variable]:
        """Every variable that computing the graph may read, once."""
        found = {}
        for node in self.nodes:
            for variable in [*node.variables, *getattr(node.layer, "variables", ())]:
                found[id(variable)] = variable
        return list(found.values())

    def ancestors(self, tensors: Iterable[Tensor]) -> list[Node]:
        """The nodes that `tensors` depend on, in order."""
        wanted, kept = set(tensors), []
        for node in reversed(self.nodes):
            if any(t in wanted for t in node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        return kept[::-1]


def _fixed(table: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(table, types.MappingProxyType):  # of a graph that this one was made from
        return table
    return types.MappingProxyType(dict(table))


class Rewritten(NamedTuple):
    """What a pass returns.

    Attributes:
        graph: The new graph.
        moved: The tensors that it has no more -> those that carry their signals now.
    """

    graph: Graph
    moved: Mapping[Tensor, Tensor] = types.MappingProxyType({})

    def then(self, rewrite: Callable[Concatenate[Graph, P], "Rewritten"], *args: P.args, **kwargs: P.kwargs) -> "Rewritten":
        """What it is after another pass."""
        graph, moved = rewrite(self.graph, *args, **kwargs)
        return Rewritten(graph, types.MappingProxyType({**self.moved, **moved}))

    def find(self, tensor: Tensor) -> Tensor:
        """The tensor of the new graph that carries the signal of one of the old."""
        while tensor in self.moved:
            tensor = self.moved[tensor]
        return tensor
