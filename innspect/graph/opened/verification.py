"""The check that a graph computes what its model computes: on one sample, once for a model.

Requirements of the design:

- It costs little: model and graph run as one function. On JAX, where that would have to be compiled, it is not even run
  where the traced program shows that both compute the same. Where a model is what it was when it was compared, it is not
  compared again.
- A difference is an error that names the first layer that differs; only then is anything run layer by layer.
"""

import weakref

import keras
import numpy as np

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.backend.weights import steadily, weights
from innspect.errors import NotAnalyzeableModelError, said
from innspect.graph.capture.interception import recording
from innspect.graph.heads import behind_moves, is_head, moved_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import is_float
from innspect.graph.keras_internals import is_of_keras, layers_of
from innspect.graph.passes.heads import only_rearranges
from innspect.graph.precision import precise

# How far graph and model may differ, relative to the largest output: rounding, and for half precision its own error.
_TOLERANCE = {"float16": 5e-2, "bfloat16": 2e-1}

# model -> (fingerprint of the description that it was compared for, hidden softmaxes)
_compared: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def compare(opened, inputs, again=False):
    """Compare the outputs of model and graph on flat arrays of one sample.

    Args:
        opened: The `OpenedModel`.
        inputs: The arrays.
        again: Whether to do so though the model, as it is, was compared before.

    Returns:
        Dict from the number of an output to the path of the node that makes it, where that returns probabilities though no
        softmax can be seen.

    Raises:
        NotAnalyzeableModelError: They differ.
    """
    described = hash((opened.description, len(opened.graph.nodes)))
    known, hidden = _compared.get(opened.model, (None, {}))
    if known == described and not again:
        return hidden
    with opened.on_its_device():
        tensors = [keras.ops.convert_to_tensor(x) for x in inputs]
    variables, graph = opened.variables(), opened.graph
    suspects, hidden = _may_hide_softmax(graph), _out_of_reach(graph)
    wanted = [*graph.outputs, *(node.outputs[0] for node in suspects.values())]

    def both(values, tensors):
        with read_only(variables, values):
            theirs = _answer(opened, tensors)
        with read_only(variables, values):  # one of its own: the states that the model has moved are as before
            return theirs, _run_graph(opened.graph, tensors, wanted)

    def answers():
        arguments = weights(variables) or [keras.ops.convert_to_tensor(v) for v in variables], tensors
        proved = not suspects and backend.equal_by_construction(both, *arguments)
        return None if proved else backend.once(both, *arguments)

    with opened.on_its_device(), backend.inference(), precise(opened.model, tensors):
        found = steadily(answers)
    if found is None:
        _compared[opened.model] = described, hidden
        return hidden
    theirs, ours = found
    theirs, ours = ([backend.to_numpy(y) for y in ys] for ys in (theirs, ours))
    tolerance = _tolerance(opened.model)
    ours, left = ours[: len(theirs)], ours[len(theirs) :]
    for name, y, mine in zip(opened.output_names, theirs, ours, strict=True):
        if not _close(mine, y, tolerance) and not _close(mine, y, 10 * _unrest(opened, tensors)):
            reason = _first_difference(opened, tensors, tolerance)
            reason = reason or f"the output {name!r} differs. Received: {_distance(mine, y)}"
            raise NotAnalyzeableModelError(
                f"The clone of the model {opened.model.name!r} does not compute what the model computes: {reason}"
            )
    seen = zip(suspects.items(), left, strict=True)
    hidden |= {number: node.path for (number, node), y in seen if _are_probabilities(y)}
    _compared[opened.model] = described, hidden
    return hidden


class DoesNotRun(NotAnalyzeableModelError):
    """A model that raises for what it is given to compare it on."""


def _answer(opened, tensors):
    """The model's own outputs."""
    try:
        return opened.answer(tensors)
    except Exception as error:
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors)
        raise DoesNotRun(
            f"The model {opened.model.name!r} does not run on one sample, of shape {shapes}: {said(error)}. Every sample is "
            "explained by itself; a model whose samples depend on each other is explained by a function from a sample to its "
            "output, with 'occlusion' or 'rise'."
        ) from error


def computes_with_keras(model):
    """Whether all that computes in a model is Keras' own, none of it a function or a class of the user's."""
    return all(_is_known(layer) for layer in layers_of(model))


def _is_known(layer):
    functions = (getattr(layer, name, None) for name in ("activation", "recurrent_activation"))
    cls = type(layer)
    known = is_of_keras(cls) or cls.__module__.startswith("innspect.")
    plain = not isinstance(layer, keras.layers.Lambda) and "call" not in vars(layer)
    return known and plain and all(f is None or is_of_keras(f) for f in functions)


def _tolerance(model):
    return max(_TOLERANCE.get(layer.compute_dtype, 1e-3) for layer in layers_of(model))


def _unrest(opened, tensors):
    """How far the model's outputs move, relative to the largest, where its inputs are rounded otherwise."""
    random = np.random.default_rng(0)

    def run(values):
        with read_only(), backend.inference():
            return [backend.to_numpy(y).astype("float64") for y in opened.answer(values)]

    def nudged(x):
        signs = random.choice([-1.0, 1.0], x.shape)
        return x * keras.ops.cast(1 + signs * np.finfo("float32").eps, x.dtype) if is_float(x.dtype) else x

    pairs = zip(run(tensors), run([nudged(x) for x in tensors]), strict=True)
    return max(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-6) for a, b in pairs)


def _run_graph(graph, tensors, wanted):
    """The values of some tensors, from the inputs'."""

    def visit(node, inputs):
        try:
            return node(*inputs)
        except Exception as reason:
            raise NotAnalyzeableModelError(
                f"{node.path!r} (a {node.operation}) cannot run on data: its layer's `call` behaves differently on symbolic "
                "tensors. Register a reverse mapping for the layer's class with `innspect.register_reverse_mapping`, which "
                f"keeps the layer whole. Received: {reason}"
            ) from reason

    return Interpreter(graph.nodes, graph.inputs, wanted)(tensors, visit)


def _close(ours, theirs, tolerance):
    ours, theirs = np.asarray(ours, "float64"), np.asarray(theirs, "float64")
    if ours.shape != theirs.shape:
        return False
    finite = theirs[np.isfinite(theirs)]
    scale = np.abs(finite).max() if finite.size else 0.0
    return np.allclose(ours, theirs, rtol=0, atol=tolerance * max(scale, 1e-6), equal_nan=True)


def _distance(ours, theirs):
    if ours.shape != theirs.shape:
        return f"shape {ours.shape} instead of {theirs.shape}"
    return f"a largest difference of {np.nanmax(np.abs(ours - theirs)):.3g}"


def _may_hide_softmax(graph):
    """Number of an output -> the leaf it comes from, perhaps moved, inside which a softmax can be neither seen nor stripped."""
    found = {}
    for number, tensor in enumerate(graph.outputs):
        node, _ = behind_moves(graph, tensor)
        if node is not None and node.kind == "opaque" and any(d != 1 for d in node.outputs[0].shape[1:]):
            found[number] = node
    return found


def _out_of_reach(graph):
    """Number of an output -> path of its head, where that is moved so that it cannot be told what it is of the moved logits."""
    behind = ((number, moved_head(graph, t)) for number, t in enumerate(graph.outputs) if not is_head(graph.producer(t)))
    return {number: found[0].path for number, found in behind if found is not None and all(map(only_rearranges, found[1]))}


def _are_probabilities(y):
    """Whether the numbers along an axis are not negative, and sum to 1."""
    axes = [axis for axis in range(1, y.ndim) if y.shape[axis] > 1]
    return (y >= 0).all() and any(np.allclose(y.sum(axis), 1, atol=1e-3) for axis in axes)


def _first_difference(opened, tensors, tolerance):
    """A sentence about the first layer whose output differs, or None."""
    every = [*opened.graph.inputs, *(t for node in opened.graph.nodes for t in node.outputs)]
    with read_only(), backend.inference():
        ours = dict(zip(every, _run_graph(opened.graph, tensors, every), strict=True))
    with read_only(), backend.inference(), recording() as recorded:
        opened.answer(tensors)
    for path, calls in recorded.items():  # in the order of completion: inner layers before what holds them
        for known, values in zip(opened.graph.paths.get(path, ()), calls, strict=False):
            for tensor, value in zip(known, values, strict=False):
                if tensor in ours and not _close(backend.to_numpy(ours[tensor]), backend.to_numpy(value), tolerance):
                    return (
                        f"the layer {path!r} (of type {type(opened.graph.layers[path]).__name__}) is the first that "
                        "differs. Its `call` behaves differently on symbolic tensors. Register a reverse mapping for its "
                        "class with `innspect.register_reverse_mapping`, which keeps the layer whole."
                    )
    return None
