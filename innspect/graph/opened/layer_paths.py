"""From the path of a layer, as users say it, to the tensors that the layer makes."""

import re
from collections.abc import Iterable, Sequence

from innspect.errors import PlainKeyError, suggest
from innspect.graph.ir import Graph, Tensor


def tensors_of(graph: Graph, layer: str, argument: str = "layer") -> tuple[Tensor, ...]:
    """The outputs of a layer.

    Args:
        graph: The model's graph.
        layer: A path such as "conv5" or "backbone/conv5", "conv5[1]" for the second call of a layer; or the path of a node.
        argument: What the caller's user calls it.

    Raises:
        TypeError: `layer` is no string.
        KeyError: No layer has this path.
        ValueError: The layer is called several times, or not as often as that.
    """
    path, call = _parsed(layer, argument)
    operations = {node.path: (node.outputs,) for node in graph.nodes}
    if path not in graph.paths and layer in operations:  # of a model, which may be chosen where no layer is named
        path, call = layer, 0
    calls = graph.paths.get(path, operations.get(path))
    if calls is None:
        wanted = "be the path of a layer of the model" if argument == "layer" else "name layers of the model by path"
        raise PlainKeyError(f"`{argument}` must {wanted}. Received: {layer!r}. {_near(graph, path)}")
    if call is None and len(calls) > 1:
        told = "; ".join(f"'{path}[{n}]' reads {_told(graph, tensors)}" for n, tensors in enumerate(calls))
        raise ValueError(
            f"The layer {path!r} is called {len(calls)} times, and each call has an output of its own, so name one: {told}. "
            f"Received: {argument}={layer!r}"
        )
    if not -len(calls) <= (call or 0) < len(calls):
        raise ValueError(
            f"`{argument}` must name one of the calls of {path!r}, of which there are {len(calls)}. Received: {layer!r}"
        )
    return calls[call or 0]


def called(graph: Graph, layer: str) -> list[str]:
    """The path of each call of a layer, where none of several is named."""
    calls = len(graph.paths.get(layer, ())) if isinstance(layer, str) else 0
    return [layer] if calls < 2 else [f"{layer}[{number}]" for number in range(calls)]


def inputs_read(graph: Graph, tensors: Iterable[Tensor]) -> tuple[int, ...]:
    """The numbers of the model's inputs that some tensors are made of."""
    read = {t for node in graph.ancestors(tensors) for t in node.inputs} | set(tensors)
    return tuple(i for i, t in enumerate(graph.inputs) if t in read)


def _told(graph: Graph, tensors: Sequence[Tensor]) -> str:
    return "input " + " and ".join(map(str, inputs_read(graph, tensors)))


def _parsed(layer: str, argument: str) -> tuple[str, int | None]:
    if not isinstance(layer, str):
        raise TypeError(f"`{argument}` must be the path of a layer, a string. Received: {layer!r}")
    match = re.fullmatch(r"(.*)\[(-?\d+)\]", layer)
    return (match[1], int(match[2])) if match else (layer, None)


def _near(graph: Graph, path: str) -> str:
    """A hint with the paths that end in what was asked for, else with near matches."""
    ending = [p for p in graph.paths if p.endswith("/" + path)]
    return "Did you mean " + ", ".join(map(repr, ending[:4])) + "?" if ending else suggest(path, graph.paths)
