"""Which layer a map is made of: by path, or the last one with spatial axes; and where its axes are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from innspect.errors import NotAnalyzeableModelError, PlainKeyError, suggest
from innspect.graph.channels import channels_first_at
from innspect.graph.ir import Graph, Node, Tensor, is_float


@dataclass(frozen=True)
class Place:
    """A layer's output.

    Attributes:
        path: The layer's path, with "[n]" where it is the n-th of several calls.
        tensor: The output, (batch, *spatial axes, channels), or channels first.
        channels_first: Where its channel axis is.
        inputs: Numbers of the model's inputs that it depends on.
    """

    path: str
    tensor: Tensor
    channels_first: bool
    inputs: tuple[int, ...]


def find_layer(graph: Graph, explained: Tensor, output: Tensor, layer: str | None = None) -> Place:
    """The place that `layer` names.

    Args:
        graph: The model's graph.
        explained: The tensor that is explained.
        output: The model's output; another tensor where its softmax was stripped.
        layer: A path such as "conv5" or "backbone/conv5", "conv5[1]" for the second call of a layer; None for the last
            layer with spatial axes before the output, if possible with as many of them as an input has.

    Raises:
        KeyError: No layer has this path.
        ValueError: The layer has no spatial axes, is called several times, or has no influence on the output.
    """
    nodes = graph.ancestors([explained])
    if layer is None:
        path, tensor = _last(graph, nodes, {explained, output})
    else:
        path, tensor = _named(graph, nodes, explained, layer)
    return place_of(graph, path, tensor)


def place_of(graph: Graph, path: str, tensor: Tensor) -> Place:
    """The `Place` of a tensor."""
    read = _numbers_read(graph, graph.ancestors([tensor]), [tensor])
    return Place(path, tensor, channels_first_at(graph, tensor), read)


def _numbers_read(graph: Graph, before: Iterable[Node], tensors: Iterable[Tensor]) -> tuple[int, ...]:
    read = {t for node in before for t in node.inputs} | set(tensors)
    return tuple(i for i, t in enumerate(graph.inputs) if t in read)


def _inputs_read(graph: Graph, tensors: Sequence[Tensor]) -> str:
    return "input " + " and ".join(map(str, _numbers_read(graph, graph.ancestors(tensors), tensors)))


def _named(graph: Graph, nodes: list[Node], explained: Tensor, layer: str) -> tuple[str, Tensor]:
    path, call = _parsed(layer)
    if path not in graph.paths:
        raise PlainKeyError(f"`layer` must be the path of a layer of the model. Received: {layer!r}. {_near(graph, path)}")
    calls = graph.paths[path]
    if call is None and len(calls) > 1:
        told = "; ".join(f"'{path}[{n}]' reads {_inputs_read(graph, tensors)}" for n, tensors in enumerate(calls))
        raise ValueError(
            f"The layer {path!r} is called {len(calls)} times, and each call has a map of its own, so name one: {told}. "
            f"Received: layer={layer!r}"
        )
    if not -len(calls) <= (call or 0) < len(calls):
        raise ValueError(
            f"`layer` must name one of the calls of {path!r}, of which there are {len(calls)}. Received: layer={layer!r}"
        )
    tensors = calls[call or 0]
    spatial = [t for t in tensors if _spatial(t)]
    if not spatial:
        raise ValueError(
            f"`layer` must have spatial axes, (batch, *spatial axes, channels). Received: layer={layer!r}, whose output has "
            f"shape {tensors[0].shape if tensors else None}"
        )
    if spatial[0] not in graph.active or spatial[0] not in {t for n in nodes for t in n.outputs} | {explained}:
        raise ValueError(
            f"`layer` must lie between the model's inputs and the explained output. Received: layer={layer!r}, which the "
            "output does not depend on, or which does not depend on the inputs"
        )
    return layer, spatial[0]


def _parsed(layer: str) -> tuple[str, int | None]:
    if not isinstance(layer, str):
        raise TypeError(f"`layer` must be the path of a layer, a string, or None. Received: {layer!r}")
    match = re.fullmatch(r"(.*)\[(-?\d+)\]", layer)
    return (match[1], int(match[2])) if match else (layer, None)


def _near(graph: Graph, path: str) -> str:
    """A hint with the paths that end in what was asked for, else with near matches."""
    ending = [p for p in graph.paths if p.endswith("/" + path)]
    return "Did you mean " + ", ".join(map(repr, ending[:4])) + "?" if ending else suggest(path, graph.paths)


def _last(graph: Graph, nodes: list[Node], excluded: set[Tensor]) -> tuple[str, Tensor]:
    order = {t: i for i, node in enumerate(nodes) for t in node.outputs}
    layers = [
        (path if len(calls) == 1 else f"{path}[{number}]", tensor)
        for path, calls in graph.paths.items()
        if not _inside_attention(graph, path)
        for number, tensors in enumerate(calls)
        for tensor in tensors
    ]
    operations = [(node.path, t) for node in nodes for t in node.outputs]  # for a model of bare operations
    for listed in (layers, operations):
        known = [(p, t) for p, t in listed if t in order and t not in excluded and t in graph.active and _spatial(t)]
        found = [(p, t) for p, t in sorted(known, key=lambda f: order[f[1]], reverse=True) if _has_positions(graph, t)]
        if found:
            rank = max(len(t.shape) - 2 for t in graph.inputs)
            return next((f for f in found if len(f[1].shape) - 2 == rank), found[0])
    raise NotAnalyzeableModelError(
        "No layer before the explained output has spatial axes, (batch, *spatial axes, channels), so there is no map to "
        "make. Use a method without a layer, such as 'gradient' or 'lrp.epsilon'."
    )


def _inside_attention(graph: Graph, path: str) -> bool:
    """Whether a layer is part of an attention layer, whose inner axes are heads and pairs of tokens."""
    parents = path.split("/")[:-1]
    above = ["/".join(parents[: i + 1]) for i in range(len(parents))]
    return any("Attention" in type(graph.layers.get(p)).__name__ for p in above)


def _spatial(tensor: Tensor) -> bool:
    return len(tensor.shape) > 2 and is_float(tensor.dtype)


def _has_positions(graph: Graph, tensor: Tensor) -> bool:
    """Whether the map would have more than one position."""
    inner = tensor.shape[1:]
    return any(d != 1 for d in (inner[1:] if channels_first_at(graph, tensor) else inner[:-1]))
