"""Cloning by replay: run a model's own `call` on symbolic tensors and write down what computes what.

Requirements of the design:

- While the model's `call` runs, `Layer.__call__` is answered by the replay, in this thread only: a layer with a reverse
  mapping is *lowered* to nodes; any other is *opened*, its own `call` runs in turn; Keras operations are recorded as
  they are met. What cannot be opened becomes one opaque node.
- The user's model is only read. Its layers are never called on symbolic tensors, so they gain no nodes. Variables
  keep their values (a stateless scope catches assignments). Keras counts automatic names per thread, so the replay
  runs in a thread of its own and the names of the user's next layers stay what they would have been.
- A layer that reads a variable's value outside an operation on its input would bake that value in. The scope refuses
  such reads, and the layer becomes a leaf that is called, with its live variables, at run time.
"""

import threading
from typing import Any

import keras

from innspect.graph.capture.interception import intercepting
from innspect.graph.capture.trace import Trace
from innspect.graph.capture.untouched import untouched
from innspect.graph.ir import Graph
from innspect.graph.precision import precise
from innspect.nests import leaves


def replay(model: keras.Layer, input_specs: Any) -> tuple[Graph, dict[str, str], Any]:
    """The flat graph of `model`.

    Args:
        model: A built Keras model or layer.
        input_specs: What the model's `call` is given, with a `keras.KerasTensor` (or anything that has a `shape` and
            a `dtype`) for every input.

    Returns:
        A `Graph` as it was written down, a dict from the path of every layer that could not be opened to the reason, and
        the structure that the
        model's `call` returns, of symbolic tensors.
    """
    trace = Trace()
    result: dict[str, Any] = {}
    policy = keras.config.dtype_policy()

    def run():
        try:
            keras.config.set_dtype_policy(policy)
            with untouched(model), precise(model, input_specs), intercepting(trace):
                symbols = keras.tree.map_structure(lambda s: trace.input(s.shape, s.dtype), input_specs)
                result["inputs"] = keras.tree.flatten(symbols)
                result["outputs"] = trace.open(model, symbols)
        except BaseException as error:
            result["error"] = error

    thread = threading.Thread(target=run, name="innspect-replay")
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    returned = [y for _, y in leaves(result["outputs"]) if isinstance(y, keras.KerasTensor)]  # beside None and numbers
    outputs = tuple(map(trace.tensor, returned))
    inputs = tuple(trace.tensor(x) for x in result["inputs"])
    paths = {path: tuple(map(tuple, calls)) for path, calls in trace.paths.items()}
    graph = Graph(tuple(trace.nodes), inputs, outputs, paths, trace.layers, model.name)
    return graph, trace.unopened, result["outputs"]
