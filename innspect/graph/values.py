"""What no input of the model changes: numbers, arrays, weights, and what is computed of them, such as a normalized kernel."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Ref, live
from innspect.types import BackendTensor, Shape


class Value:
    """A tensor that no input of the model changes, computed anew from live weights each time it is asked for.

    Args:
        compute: A function that gives it.
        shape: Its shape.
        variables: Those that it is computed of.
    """

    def __init__(self, compute: Callable[[], BackendTensor], shape: Shape, variables: tuple[keras.Variable, ...] = ()):
        self.compute, self.shape, self.variables = compute, tuple(shape), variables

    def __call__(self) -> BackendTensor:
        return self.compute()

    def then(self, function: Callable[[BackendTensor], BackendTensor], shape: Shape | None = None) -> "Value":
        """What a function makes of it, of the same shape if no other is given."""
        return Value(lambda: function(self()), self.shape if shape is None else shape, self.variables)

    def beside(self, other: "Value", function: Callable[[BackendTensor, BackendTensor], BackendTensor]) -> "Value":
        """What a function makes of two values, element by element."""
        shape = np.broadcast_shapes(self.shape, other.shape)  # type: ignore[arg-type]  # all of whose lengths are known
        return Value(lambda: function(self(), other()), shape, (*self.variables, *other.variables))


def value_of(graph: Graph, operand: Any, dtype: str) -> Value | None:
    """An argument of a node as a `Value` of some dtype; None where an input of the model has a part in it."""
    if not isinstance(operand, Ref):
        shape = getattr(operand, "shape", ())
        variables = (operand,) if isinstance(operand, keras.Variable) else ()
        return Value(lambda: _in(live(operand) if shape else operand, dtype), shape, variables)
    tensor = operand.tensor
    steps = graph.ancestors([tensor])
    if tensor in graph.inputs or None in tensor.shape or any(t in graph.inputs for step in steps for t in step.inputs):
        return None
    run = Interpreter(steps, [], [tensor])
    variables = tuple(v for step in steps for v in (*step.variables, *getattr(step.layer, "variables", ())))
    return Value(lambda: _in(run([])[0], dtype), tensor.shape, variables)


def _in(value: Any, dtype: str) -> BackendTensor:
    return ops.cast(value, dtype) if hasattr(value, "dtype") else ops.convert_to_tensor(value, dtype)
