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

import inspect
import re
import threading
from typing import Any

import keras

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture import operations
from innspect.graph.capture.dynamic_shapes import known_lengths, with_lengths
from innspect.graph.capture.interception import CannotOpen, intercepting
from innspect.graph.capture.layer_calls import Bound, Call, call_arguments, called, has_symbols, untouched
from innspect.graph.capture.registry import find_lowering, find_opening
from innspect.graph.capture.stand_ins import reading
from innspect.graph.heads import without_head
from innspect.graph.ir import Graph, Node, Ref, Tensor, widen
from innspect.graph.passes.softmax import written_softmax
from innspect.graph.precision import precise


class Trace:
    """What a replay writes down."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.paths: dict[str, list[list[Tensor]]] = {}
        self.layers: dict[str, keras.Layer] = {}
        self.unopened: dict[str, str] = {}  # path of a leaf -> why it could not be opened
        self._tensors: dict[int, tuple[keras.KerasTensor, Tensor]] = {}  # id of a symbolic tensor -> (that tensor, ours)
        self._producers: dict[Tensor, Node] = {}
        self._stack: list[str] = []
        self._used: set[str] = set()
        self.asking = False  # whether a layer is asked for its outputs' shapes, which a backend may find with placeholders
        self.activating = False  # whether an activation function runs, which has one output element for each of its input

    # ------------------------------------------------------------------ tensors
    def input(self, shape, dtype):
        symbol = keras.KerasTensor(shape, dtype=dtype)
        self._tensors[id(symbol)] = (symbol, Tensor(tuple(shape), widen(dtype)))
        return symbol

    def tensor(self, symbol):
        try:
            return self._tensors[id(symbol)][1]
        except KeyError:
            raise CannotOpen("it uses a symbolic tensor of another model") from None

    def before_head(self, symbol):
        """The symbolic tensor that the softmax or sigmoid behind `symbol` reads, or `symbol` itself."""
        tensor = self.tensor(symbol)
        logits = written_softmax(self, self.producer(tensor)) or without_head(self, tensor)
        return next(known for known, ours in self._tensors.values() if ours is logits)

    def producer(self, tensor: Tensor) -> Node | None:
        """The node that makes a tensor; None for an input."""
        return self._producers.get(tensor)

    def _refer(self, structure):
        return keras.tree.map_structure(
            lambda leaf: Ref(self.tensor(leaf)) if isinstance(leaf, keras.KerasTensor) else leaf, structure
        )

    # ------------------------------------------------------------------ nodes
    def emit(self, kind, function, *args, spec=None, name="", layer=None, view=None, operation="", reads=(), **kwargs):
        """Record a node and return its symbolic outputs, of which `spec` gives the shapes and dtypes.

        Without `spec` there is one output, shaped like the first argument.
        """
        spec = args[0] if spec is None else spec
        args, kwargs = self._refer((args, kwargs))
        symbols = keras.tree.map_structure(lambda s: keras.KerasTensor(s.shape, dtype=s.dtype), spec)
        outputs = tuple(Tensor(tuple(s.shape), widen(s.dtype)) for s in keras.tree.flatten(symbols))
        for symbol, ours in zip(keras.tree.flatten(symbols), outputs, strict=True):
            self._tensors[id(symbol)] = (symbol, ours)
        path = self._unique("/".join([*self._stack, *([name] if name else [])]) or "output")
        node = Node(path, kind, function, args, kwargs, outputs, layer, view, operation, reads=reads)
        self.nodes.append(node)
        self._producers.update(dict.fromkeys(outputs, node))
        return symbols

    def _unique(self, path):
        candidate, n = path, 1
        while candidate in self._used:
            candidate, n = f"{path}[{n}]", n + 1
        self._used.add(candidate)
        return candidate

    def activate(self, function, x, layer):
        """Apply an activation function as nodes of its own."""
        if function is None or function is keras.activations.linear:
            return x
        self.activating = True
        try:
            return self.attempt(
                lambda: function(x),
                lambda: self.emit("pass", function, x, name=_name_of(function), operation=_name_of(function)),
            )
        finally:
            self.activating = False

    def attempt(self, run, otherwise):
        """`run()`, or where it fails `otherwise()`, with nothing of the failed attempt left."""
        state = (
            len(self.nodes),
            {p: list(c) for p, c in self.paths.items()},
            dict(self.layers),
            set(self._used),
            dict(self.unopened),
        )
        stack = list(self._stack)
        try:
            return run()
        except NotAnalyzeableModelError:
            raise
        except Exception as error:
            count, self.paths, self.layers, self._used, self.unopened = state
            del self.nodes[count:]
            self._stack = stack
            return otherwise() if not inspect.signature(otherwise).parameters else otherwise(error)

    # ------------------------------------------------------------------ what the interception answers
    def operate(self, operation, args, kwargs):
        """A Keras operation on symbolic tensors."""
        if operations.changes_nothing(operation, args):
            return args[0]
        opening = find_opening(operation)
        opened = opening(self, operation, *args, **kwargs) if opening is not None else None
        if opened is not None:
            return opened
        kind, function, view = operations.describe(operation, args, kwargs)
        spec, more = operation.compute_output_spec, {}
        with_shape = with_lengths(operation, args)
        if with_shape is not None:
            spec, function, more["lengths"] = with_shape
        outputs = spec(*args, **kwargs)
        kwargs = kwargs | more
        name = type(operation).__name__
        return self.emit(
            kind, function, *args, spec=outputs, name=operations.node_name(name), view=view, operation=name, **kwargs
        )

    def call(self, layer, args, kwargs):
        """A layer on symbolic tensors (or, inside an opened layer, on anything)."""
        if not layer.built and type(layer).build is not keras.Layer.build:  # else it has no weights of its own
            raise NotAnalyzeableModelError(
                f"The layer {'/'.join([*self._stack, layer.name])!r} is not built, so it has no weights to explain. "
                "Call the model once on data, or `model.build(input_shape)`, before creating an analyzer."
            )
        path = _layer_path([*self._stack, layer.name])
        calls = len(self.paths.setdefault(path, []))
        self._stack.append(f"{layer.name}[{calls}]" if calls else layer.name)
        self.layers.setdefault(path, layer)
        try:
            call = Call(self, layer, args, kwargs)
            lowering = None if getattr(layer, "quantization_mode", None) else find_lowering(layer)
            if not has_symbols((args, kwargs)):  # such as an embedding of fixed positions
                outputs = self._leaf(layer, call, None, "constant")
            elif lowering is not None:
                outputs = lowering(self, layer, *call.args, **call.kwargs)
            else:
                outputs = self.opened(layer, call)
            call.set_masks(outputs)
        finally:
            self._stack.pop()
        symbols = [y for y in keras.tree.flatten(outputs) if isinstance(y, keras.KerasTensor)]
        self.paths[path].append([self.tensor(y) for y in symbols])
        return outputs

    def opened(self, layer, call):
        """What the layer's own `call` does, at need with stand-ins for variables and unknown lengths; else a leaf."""

        def with_stand_ins(error):
            def run():
                with known_lengths():
                    return reading(self, layer).call(*call.args, **call.kwargs)

            return self.attempt(run, lambda _: self._leaf(layer, call, error))

        return self.attempt(lambda: layer.call(*call.args, **call.kwargs), with_stand_ins)

    def variable(self, variable, dtype):
        """A variable's live value as a symbolic tensor."""
        spec = keras.KerasTensor(variable.shape, dtype=dtype)
        name = variable.name.split("/")[-1]
        return self.emit("constant", _value, variable, spec=spec, name=name, operation="Variable", dtype=widen(dtype))

    def open(self, model, inputs):
        """The outputs of a model whose layers keep their own paths, as at the top."""
        return _open_model(self, model, inputs)

    def leaf(self, layer, *args, kind="opaque", view=None, **kwargs):
        """The layer as one node that calls it, for lowerings of layers that are not to be opened."""
        return self._leaf(layer, Bound(args, kwargs), None, kind, view)

    def _leaf(self, layer, call, error, kind="opaque", view=None):
        path = "/".join(self._stack) or "output"
        if error is not None:
            self.unopened[path] = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        asking, self.asking = self.asking, True
        try:
            spec = layer.compute_output_spec(*call.args, **call.kwargs)
        except Exception as reason:
            raise NotAnalyzeableModelError(
                f"The layer {path!r} (of type {type(layer).__name__}) can neither be opened into Keras operations "
                f"({self.unopened.get(path)}) nor run on a symbolic tensor. Give it a `compute_output_spec` method. "
                f"Received: {reason}"
            ) from reason
        finally:
            self.asking = asking
        return self.emit(
            kind, called(layer), *call.args, spec=spec, layer=layer, view=view, operation=type(layer).__name__, **call.kwargs
        )


def _value(variable, dtype):
    return keras.ops.cast(keras.ops.convert_to_tensor(variable), dtype)


def _layer_path(names):
    """The path of a layer, whichever of its calls, and of its parents' calls, this is."""
    return re.sub(r"\[\d+\]", "", "/".join(names))


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
                result["outputs"] = _open_model(trace, model, symbols)
        except BaseException as error:
            result["error"] = error

    thread = threading.Thread(target=run, name="innspect-replay")
    thread.start()
    thread.join()
    if "error" in result:
        raise result["error"]
    outputs = tuple(trace.tensor(y) for y in keras.tree.flatten(result["outputs"]))
    inputs = tuple(trace.tensor(x) for x in result["inputs"])
    paths = {path: tuple(map(tuple, calls)) for path, calls in trace.paths.items()}
    graph = Graph(tuple(trace.nodes), inputs, outputs, paths, trace.layers, model.name)
    return graph, trace.unopened, result["outputs"]


def _open_model(trace: Trace, model: keras.Layer, symbols: Any) -> Any:
    call = Call(trace, model, *call_arguments(model, symbols))
    lowering = find_lowering(model)
    if lowering is not None:
        return lowering(trace, model, *call.args, **call.kwargs)
    return trace.opened(model, call)


def _name_of(function):
    return getattr(function, "__name__", type(function).__name__).strip("<>")
