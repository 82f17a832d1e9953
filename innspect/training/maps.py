"""Maps within training: of a model whose weights are trained, and of one whose weights are held."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from innspect import backend
from innspect.analyzers.differentiable import MapFormula, formula_of
from innspect.analyzers.gradient import GradientRules
from innspect.backend.compiling import read_only
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Node, is_float
from innspect.graph.keras_promotion import keeping_float64
from innspect.graph.precision import in_float64
from innspect.inputs.structure import flattened
from innspect.layers.partial import split
from innspect.types import BackendTensor, Nest, Tensors

Seed = Callable[[BackendTensor], BackendTensor]


class TrainedMap:
    """The maps of a model, as functions of its inputs and its weights that can be differentiated.

    The model computes as for `analyze`: without dropout, with the moving statistics of batch normalization, and in
    float32 at least.

    Args:
        analyzer: Whose maps they are.

    Attributes:
        formula: The `MapFormula`.
        variables: What the maps depend on.
        float64: Whether they are computed in float64.
    """

    def __init__(self, analyzer: GradientRules):
        self.formula: MapFormula = formula_of(analyzer)
        self.opened, graph = self.formula.opened, self.formula.opened.graph
        self.relu = bool(getattr(analyzer, "relu", False))
        self.variables = self.opened.variables()
        self.float64 = in_float64((*self.variables, *graph.inputs))
        stem, rest = split(graph, self.formula.explained, self.formula.moved)
        self._handed = rest.inputs
        self._stem = Interpreter(stem, graph.inputs, tuple(dict.fromkeys((*rest.inputs, *self.formula.read))))
        self._rest = Interpreter(rest.nodes, rest.inputs, [self.formula.explained])

    def values(self) -> Tensors:
        """The weights as they are now, in their place in the graph of who trains."""
        return [ops.convert_to_tensor(v.value) for v in self.variables]

    def __call__(self, x: Nest, seed: Seed, values: Sequence[BackendTensor]) -> tuple[Tensors, BackendTensor]:
        """The maps, a list of (samples, ...), and the explained tensor.

        Args:
            x: Inputs of the model, as it is given them in training.
            seed: A function of the explained tensor: the weights of its elements.
            values: Those of `variables`.
        """
        with keeping_float64(self.float64), read_only(self.variables, values):
            known = dict(zip(self._stem.outputs, self._stem(self._inputs(x)), strict=True))
            moved = self.formula.moved
            fixed = [known[t] for t in self._handed[len(moved) :]]
            outputs, back = backend.differentiable_vjp(lambda *at: self._rest([*at, *fixed]), [known[t] for t in moved])
            (y,) = outputs
            signals = back([self.formula.seed(seed(y), y)])
            maps = self.formula.maps(known, dict(zip(moved, signals, strict=True)))
            return [ops.relu(m) for m in maps] if self.relu else maps, y

    def differentiated(self, x: Nest, values: Sequence[BackendTensor]) -> list[tuple[Node, Tensors]]:
        """The nodes whose gradients the maps are made of, in order, each with the values of its inputs."""
        met: list[tuple[Node, Tensors]] = []

        def visit(node: Node, given: Tensors) -> Tensors:
            met.append((node, given))
            return node(*given)

        with keeping_float64(self.float64), read_only(self.variables, values), backend.inference():
            known = dict(zip(self._stem.outputs, self._stem(self._inputs(x)), strict=True))
            self._rest([known[t] for t in self._handed], visit)
        return met

    def _inputs(self, x: Nest) -> Tensors:
        given, _ = flattened(x, self.opened)
        found = []
        for t, value in zip(self.opened.graph.inputs, given, strict=True):
            value = ops.convert_to_tensor(value)
            if len(value.shape) == len(t.shape) - 1 and t.shape[-1] == 1:  # as Keras takes grey images
                value = ops.expand_dims(value, -1)
            as_ids = self.opened.takes_ids(t) and not is_float(value.dtype)
            found.append(value if as_ids else ops.cast(value, "int32" if self.opened.takes_ids(t) else t.dtype))
        return found


class HeldMap:
    """The maps of a model as it is now, whatever becomes of it: constants for who trains another.

    Args:
        analyzer: Whose maps they are.

    Attributes:
        trained: The `TrainedMap`.
        copies: Its weights, variables that nothing trains. JAX is handed their values, like all weights, so that no step has
            them baked in; the model's own are never touched.
    """

    def __init__(self, analyzer: GradientRules):
        self.trained = TrainedMap(analyzer)
        self.copies = [
            keras.Variable(backend.snapshot(v.value), dtype=v.dtype, trainable=False, name=f"held_{i}")
            for i, v in enumerate(self.trained.variables)
        ]

    def values(self) -> Tensors:
        return [ops.convert_to_tensor(v.value) for v in self.copies]

    def __call__(self, x: Nest, seed: Seed) -> tuple[Tensors, BackendTensor]:
        with backend.inference():
            maps, y = self.trained(x, seed, self.values())
            return [ops.stop_gradient(m) for m in maps], ops.stop_gradient(y)
