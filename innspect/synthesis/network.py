"""What runs: a model from what is synthesized, which is its inputs or, for ids, the vectors that they are looked up as."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from innspect.errors import NotAnalyzeableModelError
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Node, Tensor, is_float
from innspect.graph.opened.layer_paths import inputs_read
from innspect.graph.opened.opened_model import OpenedModel, check_no_mixture
from innspect.types import Array, BackendTensor, Tensors


class Source:
    """A model with some of its inputs free.

    Args:
        opened: The model.

    Attributes:
        free: Numbers of the inputs that are synthesized.
        embeddings: Number of an input of ids -> the node that looks them up.
    """

    def __init__(self, opened: OpenedModel):
        self.opened = opened
        check_no_mixture(opened, "synthesize")
        if opened.batch is not None:
            raise NotAnalyzeableModelError(
                f"The model {opened.model.name!r} is stateful, and takes {opened.batch} samples at once. Synthesize with "
                "a copy of it that is not."
            )
        self.embeddings = {i: self._embedding(i) for i, t in enumerate(opened.graph.inputs) if opened.takes_ids(t)}
        self.free = [i for i, t in enumerate(opened.graph.inputs) if opened.moves(t) or i in self.embeddings]
        if not self.free:
            raise NotAnalyzeableModelError(
                f"No input of the model {opened.model.name!r} can be synthesized: no output depends on one differentiably."
            )

    def _embedding(self, number: int) -> Node:
        graph = self.opened.graph
        found = [
            node
            for node in graph.nodes
            if node.kind == "embedding"
            and node.outputs[0] in graph.active
            and inputs_read(graph, [node.inputs[-1]]) == (number,)
        ]
        if len(found) != 1:
            raise NotAnalyzeableModelError(
                f"The ids of the input {self.opened.names[number]!r} are looked up {len(found)} times, so there is no one "
                "vector for each to be synthesized. Synthesize the inputs of a model that begins behind the embeddings."
            )
        return found[0]

    def built(self, number: int, axes: Sequence[int]) -> list[int]:
        """The lengths with which the model was built, of axes of an input that it leaves open; empty where none is known."""
        inputs = getattr(self.opened.model, "inputs", None) or []
        shape = inputs[number].shape[1:] if number < len(inputs) else ()
        found = [shape[axis] for axis in axes if axis < len(shape)]
        return [int(n) for n in found] if None not in found else []

    def tensor(self, number: int) -> Tensor:
        """What is synthesized of an input: its tensor, or what an embedding makes of it."""
        graph = self.opened.graph
        return self.embeddings[number].outputs[0] if number in self.embeddings else graph.inputs[number]

    def dtype(self, number: int) -> str:
        """Its dtype: a number that the model takes as an integer, such as a pixel, is moved by degrees."""
        dtype = self.tensor(number).dtype
        return dtype if is_float(dtype) else self.opened.dtype

    def reader(self, tensors: Sequence[Tensor]) -> Interpreter[Node]:
        """From all inputs, and then the vectors of those that are ids, to some tensors."""
        graph, looked_up = self.opened.graph, {id(node) for node in self.embeddings.values()}
        nodes = [node for node in graph.ancestors(tensors) if id(node) not in looked_up]
        vectors = [node.outputs[0] for node in self.embeddings.values()]
        return Interpreter(nodes, [*graph.inputs, *vectors], tensors)

    def given(self, free: Tensors, fixed: dict[int, BackendTensor]) -> Tensors:
        """What a `reader` is given, from what is synthesized, and the inputs that are not, which includes ids."""
        values = dict(zip(self.free, free, strict=True))
        inputs = [fixed[i] if i in fixed else values[i] for i in range(len(self.opened.graph.inputs))]
        return [*inputs, *(values[i] for i in self.embeddings)]

    def vocabulary(self, number: int) -> int:
        """How many ids an input may hold."""
        node = self.embeddings[number]
        size: Any = getattr(node.layer, "input_dim", None)
        if size is None:
            size = node.outputs[0].shape[-1] if node.operation == "OneHot" else node.args[0].shape[0]
        return int(size)

    def look_up(self, number: int, ids: BackendTensor) -> BackendTensor:
        """The vectors of ids, (..., elements)."""
        node = self.embeddings[number]
        (found,) = node(ops.cast(ids, node.inputs[-1].dtype))
        return found


def nearest(vectors: Array, table: Array) -> Array:
    """The ids of the rows of a table that are nearest to vectors (..., elements), in Euclidean distance."""
    flat = vectors.reshape(-1, vectors.shape[-1]).astype("float64")
    table = table.astype("float64")
    distances = (table**2).sum(-1) - 2 * flat @ table.T
    return (
        distances.argmin(-1).reshape(vectors.shape[:-1]).astype("int32") if len(flat) else np.zeros(vectors.shape[:-1], "int32")
    )
