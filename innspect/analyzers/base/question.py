"""Asking the model about other inputs: what methods are given that send no signal back through it."""

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.request import Batch, Result
from innspect.inputs.predictor import Predictor, as_it_is
from innspect.inputs.targets import values_of
from innspect.types import Array, BackendTensor, Tensors

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


class Question:
    """One target of a batch.

    Attributes:
        arrays: The model's inputs, NumPy arrays (batch, ...).
        outputs: What the model says of them, (batch, ...).
        target: The explained values, (batch,).
    """

    def __init__(self, predictor: Predictor, batch: Batch, number: int, seen: dict[str, BackendTensor]):
        self.arrays, self._batch, self._number, self._predictor = batch.arrays, batch, number, predictor
        self.outputs, self._weights = backend.to_numpy(seen["outputs"]), seen["weights"][number]
        self.target = backend.to_numpy(seen["targets"][number])

    def value(self, arrays: list[Array]) -> Array:
        """The explained value of other inputs in the place of the samples.

        What is explained stays what it is at the samples: the same output element, where it was the largest.

        Args:
            arrays: For each of the model's inputs (batch, ...), or several versions, (versions * batch, ...), versions
                first.

        Returns:
            An array (batch,), or (versions * batch,).
        """
        request = self._batch.request
        evaluate, target = self._predictor.evaluator(request.output, request.inputs), request.bare.targets[self._number]

        def value(xs: Tensors, weights: BackendTensor) -> BackendTensor:
            return ops.reshape(values_of(target, weights, evaluate(xs)[0]), (-1,))

        dtypes = [x.dtype for x in self._batch.xs]
        xs = [ops.convert_to_tensor(a, dtype=d) for a, d in zip(arrays, dtypes, strict=True)]
        return backend.to_numpy(self._predictor.call(("value", request.key, self._number), value, xs, self._weights))


def ask(analyzer: "Analyzer", batch: Batch) -> Result:
    """What `Analyzer.explain_batch` returns, from an analyzer's `attribute`."""
    request, predictor = batch.request, analyzer.predictor
    if request.at:
        raise ValueError(f"{analyzer.name!r} sends no signal, so there is none at a layer. Received: at={list(request.at)}")
    look = as_it_is(predictor, request.output, predictor.evaluator(request.output, request.inputs), request.bare.targets)
    seen = predictor.call(("as it is", request.key), look, batch.xs, batch.values)
    questions = [Question(predictor, batch, n, seen) for n in range(len(request.targets))]
    maps = [[np.asarray(m) for m in analyzer.attribute(question)] for question in questions]
    targets = backend.to_numpy(seen["targets"])
    if not request.several:
        return {"attributions": maps[0], "outputs": seen["outputs"], "targets": targets[0]}
    stacked = keras.tree.map_structure(lambda *m: np.stack(m), *maps)
    return {"attributions": stacked, "outputs": seen["outputs"], "targets": targets}
