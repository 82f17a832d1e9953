"""Functions that bring a gradient of their own, such as a gradient reversal: each call on symbolic tensors is one node.

Opened into the operations of its forward pass, such a function would have their gradient instead of its own. Relevance
methods have no rule for it, except where it is an activation.
"""

import keras

from innspect.graph.capture.recognition import Tried


def emit_call(trace, function, args, kwargs, name="custom_gradient"):
    """The symbolic outputs of a function with a gradient of its own."""
    call, nodes = _Call(function), len(trace.nodes)
    asking, trace.asking = trace.asking, True
    try:
        spec = call.compute_output_spec(*args, **kwargs)
    finally:
        trace.asking = asking
    if len(trace.nodes) > nodes:
        raise ValueError("it has a gradient of its own with respect to some tensors, and reads others")
    kind = "pass" if trace.activating and _is_elementwise(trace, function, args, kwargs) else "opaque"
    reads, operation = tuple(call.read.values()), name.title().replace("_", "")
    return trace.emit(kind, function, *args, spec=spec, name=name, operation=operation, reads=reads, **kwargs)


def _is_elementwise(trace, function, args, kwargs):
    """Whether a function of one tensor is seen to be elementwise."""
    given = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, keras.KerasTensor)]
    if len(given) > 1:
        return False

    def of_one(x):
        filled, named = keras.tree.map_structure(lambda leaf: x if leaf is given[0] else leaf, (args, kwargs))
        return function(*filled, **named)

    return Tried(of_one, given[0].shape, trace.tensor(given[0]).dtype).elementwise


class _Call(keras.Operation):
    """Tells the shapes and dtypes of what a function returns, and the variables that it reads."""

    def __init__(self, function):
        super().__init__()
        self._function, self.read = function, {}

    def call(self, *args, **kwargs):
        with _Reading(self.read):
            return self._function(*args, **kwargs)


class _Reading(keras.StatelessScope):
    """Writes down which variables are read."""

    def __init__(self, read):
        super().__init__(initialize_variables=False)
        self._read = read

    def get_current_value(self, variable):
        self._read[id(variable)] = variable
