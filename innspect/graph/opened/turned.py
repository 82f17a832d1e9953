"""In which order a tensor has its axes, where a model turns images round or puts their channels elsewhere."""

from collections.abc import Mapping

import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.channels import channels_first_at
from innspect.graph.ir import Graph, Node, Tensor

_TURNS = ("Transpose", "Moveaxis", "Swapaxes")

Order = tuple[int, ...]  # for each axis, which one it was


def turned(graph: Graph) -> Mapping[Tensor, Order]:
    """The tensors whose axes lie otherwise than in the layers before: for each axis the number that it had there.

    Layers with a data format say where the channels are, wherever they have been put before.
    """
    found: dict[Tensor, Order] = {}
    for node in graph.nodes:
        if not any(t in graph.active for t in node.outputs) or not node.active_inputs:
            continue
        given = node.inputs[node.active_inputs[0]]
        order = found.get(given, tuple(range(len(given.shape))))
        if node.operation in _TURNS:
            order = tuple(order[axis] for axis in _moved(node, len(order)))
        elif given in found and getattr(node.layer, "data_format", None) is not None and _channels_moved(graph, given, order):
            continue
        if order != tuple(sorted(order)):
            found |= {t: order for t in node.outputs if len(t.shape) == len(order)}
    return found


def inverse(order: Order) -> Order:
    """The order that turns axes back."""
    return tuple(order.index(axis) for axis in range(len(order)))


def _moved(node: Node, rank: int) -> Order:
    """The axes in a transpose's order, as it does with lengths that tell them apart."""
    lengths = tuple(range(1, rank + 1))
    with backend.inference():
        (y,) = node(ops.convert_to_tensor(np.zeros(lengths, "float32")))
    return tuple(d - 1 for d in y.shape)


def _channels_moved(graph: Graph, tensor: Tensor, order: Order) -> bool:
    axis = 1 if channels_first_at(graph, tensor) else len(order) - 1
    return order[axis] != axis
