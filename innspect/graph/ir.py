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
    softmax, normalization, embedding, recurrent
    opaque         anything else: it has a gradient, but no rule
    constant       does not depend differentiably on the model's inputs
"""

from dataclasses import dataclass, field

import keras

_HALF = ("float16", "bfloat16")


def widen(dtype):
    """The dtype that innspect computes in: float32 at least."""
    dtype = keras.backend.standardize_dtype(dtype)
    return "float32" if dtype in _HALF else dtype


def is_float(dtype):
    return "float" in keras.backend.standardize_dtype(dtype)


def widened(x):
    """`x`, a backend tensor, in float32 at least."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.ops.cast(x, "float32") if dtype in _HALF else x


def live(variable):
    """The value of a variable now, in float32 at least; None for None."""
    return None if variable is None else widened(keras.ops.convert_to_tensor(variable))


_BITS = {"float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}


def _as_declared(y, dtype):
    """`y` in the dtype that the graph says: layers compute in half precision, and on torch some operations narrow float64."""
    if dtype not in _BITS:
        return y
    given = keras.backend.standardize_dtype(y.dtype)
    return keras.ops.cast(y, dtype) if _BITS.get(given, 64) < _BITS[dtype] else y


@dataclass(eq=False)
class Tensor:
    """A value between nodes. `shape` has None where an axis is not known before the input is."""

    shape: tuple
    dtype: str
    producer: "Node | None" = None
    active: bool = False  # depends on the model's inputs, differentiably

    def __repr__(self):
        return f"Tensor({self.shape}, {self.dtype}, from {self.producer.path if self.producer else 'an input'})"


@dataclass(eq=False)
class Ref:
    """The place of a tensor among a node's arguments."""

    tensor: Tensor


@dataclass(eq=False)
class Node:
    """One step of the graph: `function(*args, **kwargs)`, with a `Ref` wherever a tensor enters."""

    path: str
    kind: str
    function: object
    args: tuple
    kwargs: dict
    outputs: list
    layer: object = None  # the user's layer this came from, if any
    view: object = None  # the affine view, or what else the rules of this kind need
    operation: str = ""  # the name of the Keras operation or layer class
    inputs: list = field(init=False)
    variables: list = field(init=False)  # those among the arguments

    def __post_init__(self):
        leaves = keras.tree.flatten((self.args, self.kwargs))
        self.inputs = [leaf.tensor for leaf in leaves if isinstance(leaf, Ref)]
        self.variables = [leaf for leaf in leaves if isinstance(leaf, keras.Variable)]
        for tensor in self.outputs:
            tensor.producer = self

    def bind(self, values):
        """The arguments and keyword arguments of `function`, from the values of `inputs`."""
        supply = iter(values)
        return keras.tree.map_structure(lambda leaf: next(supply) if isinstance(leaf, Ref) else leaf, (self.args, self.kwargs))

    def __call__(self, *values):
        """Compute the outputs, a list, from the values of `inputs`."""
        args, kwargs = self.bind(values)
        outputs = [y for y in keras.tree.flatten(self.function(*args, **kwargs)) if y is not None]
        return [_as_declared(y, t.dtype) for y, t in zip(outputs, self.outputs, strict=True)]

    @property
    def active_inputs(self):
        """Positions of the inputs that a signal can flow to; what is kept whole sends none to integers, such as a mask."""
        whole = self.kind in ("opaque", "recurrent")
        return [i for i, t in enumerate(self.inputs) if t.active and not (whole and not is_float(t.dtype))]

    def __repr__(self):
        return f"<{self.kind} {self.path}>"


def channels_first(graph):
    """Whether the layers of a graph hold the channels before the spatial axes."""
    formats = (getattr(node.layer, "data_format", None) for node in graph.nodes)
    return next((f for f in formats if f), "channels_last") == "channels_first"


@dataclass(eq=False)
class Graph:
    """A model as a flat list of nodes in the order of computation."""

    nodes: list
    inputs: list  # tensors
    outputs: list  # tensors
    paths: dict  # path of every layer of the model -> its output tensors, one list for each call
    layers: dict  # path -> the user's layer
    name: str = "model"

    def consumers(self):
        """Tensor -> the (node, position) pairs that read it."""
        table = {}
        for node in self.nodes:
            for position, tensor in enumerate(node.inputs):
                table.setdefault(tensor, []).append((node, position))
        return table

    def variables(self):
        """Every variable that computing the graph may read, once."""
        found = {}
        for node in self.nodes:
            for variable in [*node.variables, *getattr(node.layer, "variables", ())]:
                found[id(variable)] = variable
        return list(found.values())

    def ancestors(self, tensors):
        """The nodes that `tensors` depend on, in order."""
        wanted, kept = set(tensors), []
        for node in reversed(self.nodes):
            if any(t in wanted for t in node.outputs):
                kept.append(node)
                wanted.update(node.inputs)
        return kept[::-1]
