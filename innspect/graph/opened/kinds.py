"""What a model's inputs are to people: an image, a volume, a series, a table, tokens. Pictures follow it.

A shape alone does not tell (28, 28) of an image from 28 steps of a series: what reads the input does.
"""

from typing import Any

from innspect.graph.ir import Graph, Node, Tensor
from innspect.graph.opened.opened_model import OpenedModel

KINDS = ("image", "volume", "series", "table", "tokens")
_OF_AXES = {1: "series", 2: "image", 3: "volume"}  # of a convolution
_LED_ON = ("pass", "reindex", "sum", "constant", "normalization")
_CHANNELS = (1, 2, 3, 4)
_SMALLEST = 8  # pixels a side of what may be an image without an axis of channels


def input_kinds(opened: Any) -> list[str] | None:
    """The kind of each of a model's inputs, one of `KINDS`; None for a model that has no opened form.

    Args:
        opened: An `OpenedModel`, or anything else.
    """
    if not isinstance(opened, OpenedModel):
        return None
    return ["tokens" if opened.takes_ids(t) else _kind(opened.graph, t) for t in opened.graph.inputs]


def kind_of_shape(shape: tuple[int | None, ...]) -> str:
    """The kind of an input of which only a sample's shape is known."""
    if len(shape) < 2:
        return "table"
    if len(shape) == 2:
        return "image" if all(n is None or n >= _SMALLEST for n in shape) else "series"
    if len(shape) == 3:
        return "image" if {shape[0], shape[-1]} & {None, *_CHANNELS} else "volume"
    return "volume"


def _kind(graph: Graph, tensor: Tensor) -> str:
    """By the first layer that reads the input and knows of axes; else by its shape."""
    shape = tuple(tensor.shape[1:])
    reader = _first_reader(graph, tensor)
    if reader is not None and reader.kind == "recurrent" and len(shape) <= 2:
        return "series"
    axes = _axes(reader)
    if axes is not None:
        kind = _OF_AXES[axes]
        least = {"series": (1, 2), "image": (1, 2, 3), "volume": (3, 4)}[kind]  # axes that a sample may then have
        if len(shape) in least:
            return kind
    elif reader is not None and len(shape) == 2 and reader.inputs and len(reader.inputs[0].shape) == 3:
        return "series"  # a dense layer, or attention, at every step
    return "table" if len(shape) == 1 else kind_of_shape(shape)


def _first_reader(graph: Graph, tensor: Tensor) -> Node | None:
    """The first node behind an input that neither moves nor rescales what is in it."""
    reached = {tensor}
    for node in graph.nodes:
        if not any(t in reached for t in node.inputs):
            continue
        if node.kind not in _LED_ON or _axes(node) is not None:
            return node
        reached.update(node.outputs)
    return None


def _axes(node: Node | None) -> int | None:
    """The spatial axes of a convolution."""
    if node is None or getattr(node.view, "family", "") != "convolution":
        return None
    axes = len(node.inputs[0].shape) - 2
    return axes if axes in _OF_AXES else None
