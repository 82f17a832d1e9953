"""A model up to one of its inner tensors, as a model whose output that is."""

from typing import Any

from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.heads import is_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Node, Ref, Tensor
from innspect.graph.opened.opened_model import OpenedModel
from innspect.types import Array, BackendTensor, Shape, Tensors


class CutModel(OpenedModel):
    """A user's model up to one of its tensors. It shares the model, and what is known of it.

    Args:
        whole: The opened model.
        tensor: Of its graph.
        name: What the output is called.
        frames: Lengths of the axes that the tensor's rows hold beside the samples; the output has them apart.
        site: Whatever tells where units of the output are.

    Attributes:
        whole: The opened model.
        name: What the output is called.
        site: As given.
    """

    def __init__(self, whole: OpenedModel, tensor: Tensor, name: str, frames: Shape = (), site: Any = None):
        self.whole, self.name, self.site = whole, name, site
        self.model, self.description = whole.model, whole.description
        self.structure, self.specs, self.unopened = whole.structure, whole.specs, whole.unopened
        self.graph = _up_to(whole.graph, tensor, name, frames)
        self.output_names = [name]
        self._tensor = tensor
        self.compiled = None
        vars(self)["dtype"] = whole.dtype

    @property
    def hidden_softmax(self) -> dict[int, str]:  # type: ignore[override]
        """Of the whole model, where the tensor is its output."""
        known, outputs = self.whole.hidden_softmax, self.whole.graph.outputs
        hidden = [path for number, path in known.items() if outputs[number] is self._tensor]
        return dict(enumerate(hidden[:1]))

    def verify(self, inputs: list[Array] | None = None) -> None:
        self.whole.verify(inputs)

    def confirm(self, inputs: list[Array]) -> None:
        self.whole.confirm(inputs)

    def answer(self, tensors: Tensors) -> Tensors:
        return Interpreter.of(self.graph, *self.graph.outputs)(tensors)


def _up_to(graph: Graph, tensor: Tensor, name: str, frames: Shape) -> Graph:
    nodes = graph.ancestors([tensor])
    active, output = graph.active, tensor
    inner_head = tensor not in graph.outputs and is_head(graph.producer(tensor))  # which is not to be taken off
    if frames or inner_head:
        node = _frames_apart(tensor, name, frames) if frames else _as_it_is(tensor, name)
        nodes, output = [*nodes, node], node.outputs[0]
        active = active | {output}
    return Graph(tuple(nodes), graph.inputs, (output,), graph.paths, graph.layers, active, graph.name)


def _as_it_is(tensor: Tensor, name: str) -> Node:
    made = Tensor(tensor.shape, tensor.dtype)
    node = Node(f"{name}/unit", "reindex", lambda x: x, (Ref(tensor),), {}, (made,), operation="Identity")
    return node.among({tensor})


def _frames_apart(tensor: Tensor, name: str, frames: Shape) -> Node:
    """The node that makes (samples, *frames, ...) of rows (samples * frames, ...)."""
    if None in frames:
        raise NotAnalyzeableModelError(
            f"The rows of the layer {name!r} hold axes {frames} beside the samples, and one of unknown length cannot be told "
            "from them. Call the model on a `keras.Input` of a known length."
        )

    def apart(rows: BackendTensor) -> BackendTensor:
        return ops.reshape(rows, (-1, *frames, *rows.shape[1:]))

    made = Tensor((None, *frames, *tensor.shape[1:]), tensor.dtype)
    node = Node(f"{name}/frames", "reindex", apart, (Ref(tensor),), {}, (made,), operation="Reshape")
    return node.among({tensor})
