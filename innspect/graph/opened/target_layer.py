"""Which layer a map is made of: by path, or the last one with spatial axes; and where its axes are.

Requirements of the design:

- What is chosen where no layer is named would not be refused if it were named: a signal comes to the output from its
  positions, and its rows are samples or their frames.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import keras

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.activity import sends_nothing
from innspect.graph.channels import channels_first_at
from innspect.graph.heads import behind_moves
from innspect.graph.ir import Graph, Node, Tensor, is_float
from innspect.graph.opened.grids import Tokens, grids, heard
from innspect.graph.opened.layer_paths import inputs_read, tensors_of
from innspect.graph.opened.rows import frames_of
from innspect.graph.opened.turned import Order, inverse, turned
from innspect.types import Shape


@dataclass(frozen=True)
class Place:
    """A layer's output.

    Attributes:
        path: The layer's path, with "[n]" where it is the n-th of several calls.
        tensor: The output, (rows, *spatial axes, channels), or channels first, or (rows, tokens, channels).
        channels_first: Where its channel axis is.
        inputs: Numbers of the model's inputs that it depends on.
        frames: Lengths of the axes that its rows hold beside the samples, as within TimeDistributed.
        tokens: Where the positions of the map are among tokens; None where the tensor has spatial axes.
        order: Where the model turned its axes, the number that each had before; None where they are as they were.
    """

    path: str
    tensor: Tensor
    channels_first: bool
    inputs: tuple[int, ...]
    frames: Shape = ()
    tokens: Tokens | None = None
    order: Order | None = None

    @property
    def positions(self) -> Shape:
        """The shape of the map of one row; None where a length is not known."""
        if self.tokens is not None:
            return self.tokens.grid
        shape = self._shape
        return shape[2:] if self.channels_first else shape[1:-1]

    @property
    def channels(self) -> int | None:
        """How many channels it has; None where that is not known."""
        if self.tokens is not None:
            return self.tensor.shape[-1]
        return self._shape[1 if self.channels_first else -1]

    @property
    def _shape(self) -> Shape:
        """The tensor's shape, its axes where they were before the model turned them."""
        return self.tensor.shape if self.order is None else tuple(self.tensor.shape[i] for i in inverse(self.order))

    @property
    def axes(self) -> int:
        """How many axes the map of a sample has."""
        return len(self.frames) + len(self.positions)


def find_layer(
    graph: Graph,
    explained: Tensor,
    output: Tensor,
    layer: str | None = None,
    tokens: Tokens | None = None,
    fits: Callable[[Place], bool] | None = None,
) -> Place:
    """The place that `layer` names.

    Args:
        graph: The model's graph.
        explained: The tensor that is explained.
        output: The model's output; another tensor where its softmax was stripped.
        layer: A path such as "conv5" or "backbone/conv5", "conv5[1]" for the second call of a layer; None for the last
            layer with spatial axes before the output, if possible one that fits.
        tokens: Where the positions are among the layer's tokens; None: where they are found to be.
        fits: Whether a map of a place is of use; by default whether it has as many axes as one of the inputs.

    Raises:
        KeyError: No layer has this path.
        ValueError: The layer has no spatial axes, is called several times, or has no influence on the output; or it has no
            such tokens.
    """
    if explained not in graph.active:
        raise NotAnalyzeableModelError("The explained output" + sends_nothing(graph, explained))
    found = Places(graph, tokens)
    if layer is None:
        logits = behind_moves(graph, explained)[1] if explained is not output else []
        excluded = {explained, output, *(step.inputs[0] for step in logits)}
        return _last(found, explained, excluded, fits or _as_an_input(graph))
    return _named(found, explained, layer)


class Places:
    """The tensors of a graph as places of maps.

    Args:
        graph: The graph.
        tokens: Where the positions are among tokens, as the user says.
    """

    def __init__(self, graph: Graph, tokens: Tokens | None = None):
        self.graph, self._frames, self._turned, self.given = graph, frames_of(graph), turned(graph), tokens
        self.tokens: Mapping[Tensor, Tokens] = grids(graph, self._frames)
        if tokens is not None:
            self.tokens = dict.fromkeys(filter(self._may_hold, graph.active), tokens)

    def _may_hold(self, tensor: Tensor) -> bool:
        """Whether a tensor may have the tokens that the user says."""
        long = len(tensor.shape) == 3 and is_float(tensor.dtype) and tensor.shape[2] is not None
        return long and self.given is not None and (tensor.shape[1] is None or tensor.shape[1] >= self.given.end)

    def at(self, path: str, tensor: Tensor) -> Place | None:
        """The `Place` of a tensor; None where its rows are no samples."""
        frames, read = self._frames.get(tensor), inputs_read(self.graph, [tensor])
        first, tokens = channels_first_at(self.graph, tensor), self.tokens.get(tensor)
        order = None if tokens else self._turned.get(tensor)
        return None if frames is None else Place(path, tensor, first, read, frames, tokens, order)

    def by_frames(self, path: str, tensor: Tensor) -> Place | None:
        """As `at`, of the rows that were set apart in frames where the tensor is no more than that, as TimeDistributed's is."""
        node, within = self.graph.producer(tensor), tensor
        while node is not None and node.operation == "Reshape" and self._sets_apart(node):
            within = node.inputs[node.active_inputs[0]]
            node = self.graph.producer(within)
        return self.at(path, within)

    def _sets_apart(self, node: Node) -> bool:
        """Whether a reshape returns frames from the rows, which are samples with positions before."""
        before, after = node.inputs[node.active_inputs[0]], node.outputs[0]
        rows, fewer = self._frames.get(before), self._frames.get(after)
        return rows is not None and fewer is not None and len(fewer) < len(rows) and len(before.shape) > 2

    def heard(self, explained: Tensor) -> Iterable[Tensor]:
        """The tensors whose positions send a signal to the explained one, the last first."""
        return heard(self.graph, explained, self.tokens)


def _named(places: Places, explained: Tensor, layer: str) -> Place:
    graph = places.graph
    tensors = tensors_of(graph, layer)
    spatial = [t for t in tensors if _spatial(t)]
    if not spatial:
        raise ValueError(
            f"`layer` must have spatial axes, (batch, *spatial axes, channels). Received: layer={layer!r}, whose output has "
            f"shape {tensors[0].shape if tensors else None}"
        )
    tensor, place = spatial[0], places.by_frames(layer, spatial[0])
    if tensor not in graph.active or not any(t is tensor for t in places.heard(explained)):
        if tensor in places.tokens and graph.producer(tensor) in graph.ancestors([explained]):
            raise ValueError(
                f"`layer` must be one whose patches the explained output depends on. Received: layer={layer!r}, behind which "
                "only other tokens are read, such as the class token. Name a layer before the last attention, or none"
            )
        raise ValueError(
            f"`layer` must lie between the model's inputs and the explained output. Received: layer={layer!r}, which the "
            "output does not depend on, or which does not depend on the inputs"
        )
    if place is None:
        raise NotAnalyzeableModelError(
            f"The rows of the layer {layer!r} are not known to be samples, or frames of samples one after the other, so its "
            f"map cannot be told from theirs. Keep the samples the first axis. Received: shape {tensor.shape}"
        )
    if places.given is not None and place.tokens is None:
        raise ValueError(
            f"`tokens` must be (skipped, (rows, columns)) of tokens that the layer has, (samples, tokens, channels). Received: "
            f"{places.given.skipped, places.given.grid} for the layer {layer!r}, of shape {tensor.shape}"
        )
    return place


def _last(places: Places, explained: Tensor, excluded: set[Tensor], fits: Callable[[Place], bool]) -> Place:
    graph = places.graph
    layers = {
        tensor: path if len(calls) == 1 else f"{path}[{number}]"
        for path, calls in reversed(list(graph.paths.items()))
        if not _inside_attention(graph, path)
        for number, tensors in enumerate(calls)
        for tensor in tensors
    }
    operations = {t: node.path for node in graph.nodes for t in node.outputs}
    of_models = {t: path for t, path in operations.items() if _is_of_a_model(graph, path)}
    for named in ({**of_models, **layers}, operations):
        kept: list[Place] = []
        for tensor in places.heard(explained):
            if tensor not in named or tensor in excluded or not _spatial(tensor):
                continue
            place = places.by_frames(named[tensor], tensor)
            if place is None or all(d == 1 for d in place.positions) or (places.given is not None and place.tokens is None):
                continue
            if fits(place):
                return place
            kept.append(place)
        if kept:
            return kept[0]
    raise NotAnalyzeableModelError(
        "No layer before the explained output has spatial axes, (batch, *spatial axes, channels), so there is no map to "
        "make. Use a method without a layer, such as 'gradient' or 'lrp.epsilon'."
        if places.given is None
        else f"No layer before the explained output has {places.given.end} tokens, (batch, tokens, channels). Received: "
        f"tokens={places.given.skipped, places.given.grid}"
    )


def _is_of_a_model(graph: Graph, path: str) -> bool:
    """Whether it is a model, and no layer, whose `call` has an operation, such as the sum of a residual block."""
    return path not in graph.layers and all(isinstance(graph.layers.get(p), keras.Model) for p in _parents(path))


def _as_an_input(graph: Graph) -> Callable[[Place], bool]:
    rank = max(len(t.shape) - 2 for t in graph.inputs)
    return lambda place: place.axes == rank


def _inside_attention(graph: Graph, path: str) -> bool:
    """Whether a layer is part of an attention layer, whose inner axes are heads and pairs of tokens."""
    return any("Attention" in type(graph.layers.get(p)).__name__ for p in _parents(path))


def _parents(path: str) -> list[str]:
    parents = path.split("/")[:-1]
    return ["/".join(parents[: i + 1]) for i in range(len(parents))]


def _spatial(tensor: Tensor) -> bool:
    return len(tensor.shape) > 2 and is_float(tensor.dtype)
