"""What a replay writes down: the nodes of the graph, and what layers and operations answer on symbolic tensors."""

import inspect
import re

import keras

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.capture import operations
from innspect.graph.capture.dynamic_shapes import known_lengths, with_lengths
from innspect.graph.capture.interception import CannotOpen
from innspect.graph.capture.layer_calls import Bound, Call, call_arguments, has_symbols
from innspect.graph.capture.recognition import Tried
from innspect.graph.capture.registry import find_lowering, find_opening
from innspect.graph.capture.stand_ins import reading, stands_for
from innspect.graph.capture.training import differs_in_training
from innspect.graph.capture.untouched import called
from innspect.graph.heads import behind_moves, is_head
from innspect.graph.ir import Node, Ref, Tensor, is_float, widen, widened
from innspect.graph.passes.softmax import written_softmax
from innspect.graph.views.activations import Unopened


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
        self.training = False  # whether a layer around this one was called with `training=True`
        self.asking = False  # whether a layer is asked for its outputs' shapes, which a backend may find with placeholders

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
        """The symbolic tensor that the softmax or sigmoid behind `symbol` reads, moved as that is; or `symbol` itself."""
        head, steps = behind_moves(self, self.tensor(symbol))
        logits = written_softmax(self, head) or (head.inputs[0] if is_head(head) else None)
        if logits is None:
            return symbol
        y = self._symbol(logits)
        for step in steps:
            if step.kind == "reindex":
                others = [self._symbol(a.tensor) if isinstance(a, Ref) else a for a in step.args[1:]]
                (made,) = step.outputs
                known = {"spec": keras.KerasTensor(made.shape, dtype=y.dtype), "operation": step.operation}
                name = operations.node_name(step.operation)
                y = self.emit("reindex", step.function, y, *others, name=name, **known, **step.kwargs)
        return y

    def _symbol(self, tensor: Tensor) -> keras.KerasTensor:
        """The symbolic tensor of one of ours."""
        return next(known for known, ours in self._tensors.values() if ours is tensor)

    def producer(self, tensor: Tensor) -> Node | None:
        """The node that makes a tensor; None for an input."""
        return self._producers.get(tensor)

    def _refer(self, structure):
        return keras.tree.map_structure(
            lambda leaf: Ref(self.tensor(leaf)) if isinstance(leaf, keras.KerasTensor) else leaf, structure
        )

    # ------------------------------------------------------------------ nodes
    def emit(self, kind, function, *args, spec=None, name="", layer=None, view=None, operation="", **kwargs):
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
        node = Node(path, kind, function, args, kwargs, outputs, layer, view, operation)
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
        return self.attempt(lambda: function(x), lambda: self._tried(function, x))

    def _tried(self, function, x):
        """An activation that does not run on symbolic tensors, as what it is seen to compute."""
        tried = Tried(function, x.shape, self.tensor(x).dtype)
        if tried.known is not None:
            return self._recognised(tried.known, function, x)
        kind, name = "pass" if tried.elementwise else "opaque", _name_of(function)
        return self.emit(kind, function, x, name=name, view=None if tried.smooth else Unopened(), operation=name)

    def _recognised(self, known, function, x):
        """The operation that a function is known to compute, computed by the function."""
        y = known(x)
        node = self.nodes[-1].but(function=lambda x, *_, **__: widened(function(x)))
        self.nodes[-1] = node
        self._producers.update(dict.fromkeys(node.outputs, node))
        return y

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
        outputs = operations.as_computed(operation, spec(*args, **kwargs), (args, kwargs))
        kwargs = kwargs | more
        name = type(operation).__name__
        return self.emit(
            kind, function, *args, spec=outputs, name=operations.node_name(name), view=view, operation=name, **kwargs
        )

    def call(self, layer, args, kwargs):
        """A layer on symbolic tensors (or, inside an opened layer, on anything)."""
        layer = stands_for(layer)
        if not layer.built and type(layer).build is not keras.Layer.build:  # else it has no weights of its own
            raise NotAnalyzeableModelError(
                f"The layer {'/'.join([*self._stack, layer.name])!r} is not built, so it has no weights to explain. "
                "Call the model once on data, or `model.build(input_shape)`, before creating an analyzer."
            )
        path = _layer_path([*self._stack, layer.name])
        calls = len(self.paths.setdefault(path, []))
        self._stack.append(f"{layer.name}[{calls}]" if calls else layer.name)
        self.layers.setdefault(path, layer)
        around = self.training
        try:
            call = Call(self, layer, args, kwargs)
            self.training = call.training
            self._check(layer, path)
            lowering = find_lowering(layer)
            if not has_symbols((args, kwargs)):  # such as an embedding of fixed positions
                outputs = self._leaf(layer, call, None, "constant")
            elif lowering is not None:
                outputs = lowering(self, layer, *call.args, **call.kwargs)
            else:
                outputs = self.opened(layer, call)
            call.set_masks(outputs)
        finally:
            self.training = around
            self._stack.pop()
        symbols = [y for y in keras.tree.flatten(outputs) if isinstance(y, keras.KerasTensor)]
        self.paths[path].append([self.tensor(y) for y in symbols])
        return outputs

    def _check(self, layer, path):
        """Raise where a layer computes what no method can explain."""
        if getattr(layer, "quantization_mode", None):
            raise NotAnalyzeableModelError(
                f"The layer {path!r} (a {type(layer).__name__}) is quantized ({layer.quantization_mode!r}): it rounds what it "
                "is given and its kernel to integers, which has no gradient and no rule. Explain the model as it was before "
                "`quantize`."
            )
        if self.training and differs_in_training(layer):
            raise _in_training(layer, path)

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
        call = Call(self, model, *call_arguments(model, inputs))
        lowering = find_lowering(model)
        return self.opened(model, call) if lowering is None else lowering(self, model, *call.args, **call.kwargs)

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
        if self.training and error is not None and call.kwargs.get("training"):
            raise _in_training(layer, path) from error
        if error is not None and kind == "opaque":
            known = self._known(layer, call, spec)
            if known is not None:
                return self._recognised(known, called(layer), call.first)
            view = Unopened()
        return self.emit(
            kind, called(layer), *call.args, spec=spec, layer=layer, view=view, operation=type(layer).__name__, **call.kwargs
        )

    def _known(self, layer, call, spec):
        """The function of Keras that a layer without weights computes, or None."""
        x, single = call.first, isinstance(spec, keras.KerasTensor) and isinstance(call.first, keras.KerasTensor)
        others = [leaf for leaf in keras.tree.flatten((call.args, call.kwargs)) if has_symbols(leaf)]
        if not single or len(others) > 1 or layer.variables or x.shape != spec.shape or not is_float(x.dtype):
            return None
        asking, self.asking = self.asking, True  # so that the layer is called itself, on numbers
        try:
            return Tried(called(layer), x.shape, self.tensor(x).dtype).known
        finally:
            self.asking = asking


def _value(variable, dtype):
    return keras.ops.cast(keras.ops.convert_to_tensor(variable), dtype)


def _in_training(layer, path):
    return NotAnalyzeableModelError(
        f"The layer {path!r} (a {type(layer).__name__}) is called with `training=True`, also in inference: what it computes is "
        "drawn anew at each call, or depends on the other samples of the batch, so there is no one function to explain. Hand "
        "on the `training` that `call` is given (`training=training`), and explain the model's inference."
    )


def _layer_path(names):
    """The path of a layer, whichever of its calls, and of its parents' calls, this is."""
    return re.sub(r"\[\d+\]", "", "/".join(names))


def _name_of(function):
    return getattr(function, "__name__", type(function).__name__).strip("<>")
