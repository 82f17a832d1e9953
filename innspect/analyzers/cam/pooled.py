"""CAM: networks that end in global pooling and an affine layer explain themselves."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.cam.base import GradientMap, weighted
from innspect.checks import Integer
from innspect.errors import NotAnalyzeableModelError
from innspect.graph.heads import without_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Tensor
from innspect.graph.opened.grids import Tokens
from innspect.graph.opened.opened_model import open_model
from innspect.graph.opened.target_layer import Place, Places

_CHAIN = ("affine", "reindex", "sum")


@dataclass(frozen=True)
class Pooling:
    """Global pooling before the output: the `Place` it reads, its result, and the affine nodes from there on."""

    place: Place
    pooled: Tensor
    nodes: list[Node]


def find_pooling(graph: Graph, explained: Tensor, tokens: Tokens | None = None, fits: Callable = lambda _: True) -> Pooling:
    """The global pooling that only affine nodes separate from the explained tensor.

    Args:
        graph: The graph.
        explained: The explained tensor.
        tokens: Where the positions are among tokens; None: where they are found to be.
        fits: Whether a `Place` is of use. A mean over what does not fit, such as frames, is one of the affine nodes.

    Raises:
        NotAnalyzeableModelError: The model is not built so; the message says what stands in the way.
    """
    places, tensor, nodes = Places(graph, tokens), explained, list[Node]()
    found: Pooling | None = None
    problem: NotAnalyzeableModelError | None = None
    while True:
        try:
            node, read, place = _step_back(places, tensor)
            if any(d != 1 for d in place.positions):
                pools, of_use = _pools_all(node, place), fits(place)
                if pools and (of_use or found is None):
                    found = Pooling(place, tensor, nodes[::-1])
                if pools and of_use:
                    break
                if not pools and (of_use or node.kind not in _CHAIN):
                    raise _unfit(f"{node.path!r} reads the positions of {place.path!r}, and it is no global pooling")
            elif node.kind not in _CHAIN:
                raise _not_affine(places, node)
        except NotAnalyzeableModelError as why:
            problem = why
            break
        nodes.append(node)
        tensor = read
    if found is None:
        raise problem or _unfit("there is no pooling before it")
    return found


def _step_back(places, tensor):
    """The node that makes a tensor, the one tensor that it reads, and the `Place` of that."""
    node = places.graph.producer(tensor)
    if node is None:
        raise _unfit("there is no pooling before it")
    active = [node.inputs[i] for i in node.active_inputs]
    if len(active) != 1:
        raise _unfit(f"{node.path!r} joins several branches")
    place = places.at(_path_of(places.graph, active[0]), active[0])
    if place is None:
        raise _unfit(f"the rows that {node.path!r} reads are not known to be samples")
    return node, active[0], place


def _not_affine(places, node):
    (made,) = node.outputs
    if len(made.shape) > 2 and not _behind_pooling(places, made):  # such as (batch, 1, 1, channels)
        return _unfit(f"the maps before the output have a single position, {made.shape}: give larger inputs")
    return _unfit(f"{node.path!r} ({node.operation or node.kind}) stands before the output and is not affine")


def _behind_pooling(places, tensor):
    """Whether it is by global pooling that a tensor has a single position."""
    while True:
        try:
            node, tensor, place = _step_back(places, tensor)
        except NotAnalyzeableModelError:
            return False
        if any(d != 1 for d in place.positions):
            return _pools_all(node, place)


def _unfit(reason):
    return NotAnalyzeableModelError(
        "'cam' needs a model whose output is an affine layer on a global pooling of feature maps, such as Conv2D, "
        f"GlobalAveragePooling2D, Dense. Here {reason}. 'grad_cam' has no such condition, and where 'cam' is possible it "
        "gives the same map up to a factor."
    )


def _path_of(graph, tensor):
    """The shortest path of a layer that returns the tensor."""
    paths = [p for p, calls in graph.paths.items() if any(tensor in tensors for tensors in calls)]
    node = graph.producer(tensor)
    return min(paths, key=len) if paths else (node.path if node else "input")


def _pools_all(node, place):
    """Whether a node takes the mean, or the maximum, over all positions: tried on drawn numbers."""
    shape, rank = place.tensor.shape, len(place.tensor.shape)
    order = place.order or tuple(range(rank))
    axes = tuple(order.index(axis) for axis in (range(2, rank) if place.channels_first else range(1, rank - 1)))
    channels = shape[order.index(1 if place.channels_first else rank - 1)]
    if len(node.inputs) != 1 or [d for d in node.outputs[0].shape[1:] if d != 1] != [d for d in [channels] if d != 1]:
        return False
    x = np.random.default_rng(0).normal(size=(2, *(d or 4 for d in shape[1:]))).astype("float32")
    with backend.inference():
        y = backend.to_numpy(node(ops.convert_to_tensor(x))[0]).reshape(2, -1)
    pools = (x.mean(axis=axes), x.max(axis=axes))
    return y.shape == pools[0].shape and any(np.allclose(y, pooled, atol=1e-5) for pooled in pools)


@register_analyzer("cam")
class Cam(GradientMap):
    """Class activation mapping (Zhou et al. 2016): channels weighted by the class's weights in the last layer.

    With average pooling, the mean of the map (as it is, without ReLU and resizing) plus the bias is the logit. The
    paper has no ReLU, so `relu` is False by default. Where frames are pooled one by one, as within TimeDistributed, their
    weights are multiplied with their number, so that this holds for the mean over all frames.

    Raises:
        NotAnalyzeableModelError: The model does not end in global pooling and affine layers.
    """

    paper = "Zhou et al. 2016"
    default_relu = False
    needs = "global average pooling before a dense layer"

    def __init__(self, model, **arguments):
        super().__init__(model, **arguments)
        self._poolings = {}

    def _find(self, number):
        pooling = self._poolings[number] = find_pooling(
            self.opened.graph, self._explained(number), self._given_tokens(), self._fits
        )
        if self.layer is not None and super()._find(number).tensor is not pooling.place.tensor:
            raise ValueError(
                f"`layer` must be the one that global pooling reads, {pooling.place.path!r}; the weights of the last layer "
                f"belong to no other. Received: layer={self.layer!r}"
            )
        return pooling.place

    def stops(self, number):
        return [self.place(number).tensor, self._poolings[number].pooled]

    def map_of(self, number, values, signals, samples):
        (tensor, pooled), frames = self.stops(number), self.place(number).frames
        a = self._aligned(values[tensor], number)
        rows = a.shape[0] // samples if None in frames else math.prod(frames)
        w = signals[pooled] * rows  # the class's weights, since all behind the pooling is affine
        return weighted(a, ops.reshape(w, (-1, *[1] * (len(a.shape) - 2), a.shape[-1])))


class ClassUnits(NamedTuple):
    """The channels of the layer before global pooling, the one that speaks most for the class first.

    Attributes:
        units: Channel numbers, (channels,).
        weights: The class's weight of each.
        specific: Whether each channel's weight for this class is larger than for all others.
    """

    units: np.ndarray
    weights: np.ndarray
    specific: np.ndarray


def class_specific_units(model, class_index, *, output=0):
    """The units that detect a class (Zhou et al. 2016, sec. 5), ranked by the class's weights in the last layer.

    Args:
        model: A built Keras model that ends in global pooling and a dense layer.
        class_index: Number of the class.
        output: Number of the output, for a model with several.

    Returns:
        `ClassUnits`: `units`, `weights` and `specific`, arrays (channels,).

    Raises:
        NotAnalyzeableModelError: The model is not built so; the message says why.
        ValueError: There is no such class.
    """
    opened = open_model(model)
    graph = opened.graph
    explained = without_head(graph, graph.outputs[opened.number(output)])
    pooling = find_pooling(graph, explained)
    affine = Interpreter(pooling.nodes, [pooling.pooled], [explained])
    width = int(np.prod([d for d in pooling.pooled.shape[1:] if d]))
    probes = np.concatenate([np.zeros((1, width)), np.eye(width)]).reshape(-1, *pooling.pooled.shape[1:])
    with backend.inference():
        (y,) = affine([ops.convert_to_tensor(probes.astype(pooling.pooled.dtype))])
    y = backend.to_numpy(y).reshape(width + 1, -1)
    table = y[1:] - y[0]  # (channels, classes)
    Integer(0, table.shape[1] - 1).check("class_index", class_index)
    order = np.argsort(-table[:, class_index], kind="stable")
    return ClassUnits(order, table[order, class_index], (table.argmax(axis=1) == class_index)[order])
