"""Does a map change when input and model are shifted against each other, so that all outputs stay? (METRICS 6)

Requirements of the design:

- Neither the user's model nor the analyzer is touched: where the shift can be folded into the first bias exactly, other values
  are handed in for that; else an analyzer of the same arguments explains the opened model with a subtraction before it.
- The shift is a value that compiled functions are handed, so that samples with other shifts compile nothing.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.backend.weights import handing
from innspect.checks import Finite
from innspect.evaluation.maps import Maps, RandomMaps, as_they_are
from innspect.evaluation.neighbours import movable, span
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.weights import Pairs
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.types import Array

_EXACT = 1e-6  # of the largest value: how far the shift's share may differ between positions


@metric("input_invariance", "axioms", higher=False, range=(0, np.inf), again=True)
def input_invariance(trial: Trial, maps: Maps, *, shift: float | None = None) -> Result:
    """How much the map changes when the input is shifted and the model takes the shift off again: ||R' - R|| / ||R||.

    Kindermans et al. 2019. The output is the same for every input, so a map of what the output depends on should be, too.
    The gradient's does not change; gradient times input, and differences to a fixed reference, do. The shift is taken off by
    the first bias where that is exact, which it is not behind zero padding; else it is subtracted before the first layer.

    Args:
        shift: What is added to every element; None: the sample's range, its largest value minus its smallest.

    Undefined where the map is zero. It costs two explanations, the second sample by sample where the shifts differ.
    """
    if shift is not None and (isinstance(shift, bool) or np.ndim(shift) or not Finite().holds(shift)):
        raise ValueError(f"`shift` must be a finite number, or None. Received: {shift!r}")
    moving = movable(trial)
    shifts = np.zeros((trial.samples, len(trial.arrays)))
    for i in moving:
        shifts[:, i] = [span(x) for x in trial.arrays[i]] if shift is None else shift
    shifted, said = _shifted(trial, maps, moving)
    rows_of: dict[tuple[float, ...], list[int]] = {}
    for row, own in enumerate(shifts):
        rows_of.setdefault(tuple(own.tolist()), []).append(row)
    r = as_they_are(maps.full)
    again = np.full(r.shape, np.nan)
    for each, listed in rows_of.items():
        rows = np.array(listed)
        arrays = [a[rows] if i not in moving else (a[rows] + each[i]).astype(a.dtype) for i, a in enumerate(trial.arrays)]
        with handing(shifted.pairs(each)):
            again[rows] = as_they_are(shifted.maps.again(arrays, rows, turn=1))
    norms = [np.sqrt((v * v).sum(axis=1)) for v in (again - r, r)]
    values = np.divide(norms[0], norms[1], out=np.full(trial.samples, np.nan), where=norms[1] > 0)
    return Result(values, settings={"shift": shift if shift is not None else "range of the sample", "taken_off": said})


@dataclass
class _Shifted:
    """What explains shifted inputs.

    Attributes:
        maps: The `Maps` that explain again.
        pairs: From the shift of each input to the values that are handed in.
    """

    maps: Maps
    pairs: Callable[[tuple[float, ...]], Pairs]


def _shifted(trial: Trial, maps: Maps, moving: list[int]) -> tuple[_Shifted, str]:
    if isinstance(maps, RandomMaps):
        return _Shifted(maps, lambda shifts: []), "not"
    if maps.analyzer is None:
        raise maps.given_error()
    opened = getattr(maps.analyzer, "opened", None)
    if not isinstance(opened, OpenedModel) or not hasattr(maps.analyzer, "_made_anew"):
        raise TypeError(
            "`maps` must be an analyzer of innspect that explains a Keras model: the model must be shifted. "
            f"Received: {type(maps.analyzer).__name__}"
        )
    biases = {i: _bias(opened.graph, opened.graph.inputs[i], trial.arrays[i].shape[1:]) for i in moving}
    folded = [b for b in biases.values() if b is not None]
    if len(folded) == len(moving) and len({id(variable) for variable, _ in folded}) == len(moving):

        def pairs(shifts: tuple[float, ...]) -> Pairs:
            found = []
            for i, bias in biases.items():
                assert bias is not None
                variable, share = bias
                value = backend.to_numpy(variable.value).astype("float64") - shifts[i] * share
                found.append((variable, ops.convert_to_tensor(value, variable.dtype)))
            return found

        return _Shifted(maps, pairs), "by the first bias"
    before, variables = _with_subtraction(opened, moving)
    other = copy.copy(maps)
    other.analyzer = maps.analyzer._made_anew(before, maps.analyzer.untaught(), maps.analyzer.state())

    def handed(shifts: tuple[float, ...]) -> Pairs:
        return [(v, ops.convert_to_tensor(shifts[i], v.dtype)) for i, v in variables.items()]

    return _Shifted(other, handed), "before the first layer"


# ---------------------------------------------------------------------- the first bias
def _bias(graph: Graph, tensor: Tensor, shape: tuple[int, ...]) -> tuple[keras.Variable, Array] | None:
    """The bias that a shift of an input can be folded into, and the share of a shift of 1 that arrives there; or None."""
    chain = _until_kernel(graph, tensor)
    if chain is None:
        return None
    node = chain[-1]
    bias = getattr(node.layer, "bias", None)
    alone = sum(n.layer is node.layer for n in graph.nodes if n.kind == "affine") == 1
    if not isinstance(bias, keras.Variable) or not alone or not bias.shape:
        return None
    run = Interpreter(chain, [tensor], [node.outputs[0]])
    with backend.inference():
        given = (ops.full((1, *shape), v, tensor.dtype) for v in (0.0, 1.0))
        none, one = (backend.to_numpy(run([x])[0]).astype("float64") for x in given)
    share = np.moveaxis(one - none, node.view.output_axis, -1).reshape(-1, one.shape[node.view.output_axis])
    if tuple(bias.shape) != share.shape[1:] or np.ptp(share, axis=0).max() > _EXACT * np.abs(share).max():
        return None
    return bias, share[0]


def _until_kernel(graph: Graph, tensor: Tensor) -> list[Node] | None:
    """The nodes from an input to the first kernel, where each is affine and the only reader of the one before; or None."""
    chain: list[Node] = []
    while True:
        readers = graph.readers(tensor)
        if len(readers) != 1 or tensor in graph.outputs:
            return None
        node = readers[0][0]
        if node.kind not in ("affine", "reindex", "sum") or node.inputs != (tensor,) or len(node.outputs) != 1:
            return None
        chain.append(node)
        if node.kind == "affine":
            return chain
        tensor = node.outputs[0]


# ---------------------------------------------------------------------- a subtraction before the first layer
class _TakenOff(keras.Layer):
    """Takes a number off all that it is given."""

    def build(self, input_shape: Any) -> None:
        self.number = self.add_weight(shape=(), initializer="zeros", trainable=False, name="number")

    def call(self, x: Any) -> Any:
        return x - self.number


def _with_subtraction(opened: OpenedModel, moving: list[int]) -> tuple[OpenedModel, dict[int, keras.Variable]]:
    """An opened model that takes a number off some inputs first, and the variable of each that holds it."""
    graph, nodes, inputs = opened.graph, [], list(opened.graph.inputs)
    variables: dict[int, keras.Variable] = {}
    for i in moving:
        tensor = graph.inputs[i]
        layer = _TakenOff(dtype=tensor.dtype)
        entry = keras.Input(tensor.shape[1:], dtype=tensor.dtype)
        own = open_model(keras.Model(entry, layer(entry))).graph
        (node,) = own.nodes
        node.view.learned = False  # so it prepares the input, and is folded into nothing
        nodes.append(node.but(path=f"taken_off_{i}", outputs=(tensor,), layer=None))
        inputs[i], variables[i] = own.inputs[0], layer.number
    active = graph.active | {inputs[i] for i in moving}
    other = copy.copy(opened)
    for name in ("_moving", "_ids", "_mixed"):  # found from the graph
        vars(other).pop(name, None)
    other.graph = replace(graph, nodes=(*nodes, *graph.nodes), inputs=tuple(inputs), active=active)
    other.verified = other._confirmed = True
    return other, variables
