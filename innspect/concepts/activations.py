"""What a layer makes of samples, a number for each channel."""

import functools
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.backend.weights import steadily
from innspect.concepts.measuring import sites_of
from innspect.graph.interpreter import Interpreter
from innspect.graph.opened.opened_model import OpenedModel
from innspect.graph.precision import PreciseCompiler
from innspect.inputs.batches import Inputs, batches_of, called, is_stream, of_a_stream
from innspect.types import Array, BackendTensor, Tensors


class Activations:
    """A layer's output, compiled.

    Args:
        opened: The opened model.
        layer: The layer's path.
    """

    def __init__(self, opened: OpenedModel, layer: str):
        self._opened, self.site = opened, sites_of(opened.graph, [layer], "layer")[layer]
        self._run = Interpreter.of(opened.graph, self.site.tensor)
        self._compiler = PreciseCompiler(opened.variables())

    def _look(self, xs: Tensors) -> BackendTensor:
        (z,) = self._run(xs)
        z = self.site.arranged(z, xs[0].shape[0])
        return ops.mean(ops.reshape(z, (z.shape[0], -1, z.shape[-1])), axis=1)

    def means(self, data: Any, name: str, batch_size: int | None) -> Array:
        """Means over positions, float64 (samples, channels).

        Args:
            data: Inputs as for `analyze`, or a stream of batches of these.
            name: What the argument is called.
            batch_size: Samples computed at once; None: by their size and the model's.
        """
        if is_stream(data):
            with called(name), of_a_stream():
                found = [self._of(Inputs(batch, self._opened), batch_size) for batch in batches_of(data)]
        else:
            with called(name):
                inputs = Inputs(data, self._opened)
            found = [self._of(inputs, batch_size)]
        return np.concatenate(found) if found else np.zeros((0, 1))

    def _of(self, inputs: Inputs, batch_size: int | None) -> Array:
        parts = [np.zeros((0, self.site.channels or 1))]
        for rows, count in inputs.batches(batch_size):
            xs = [ops.convert_to_tensor(a[rows]) for a in inputs.arrays]
            z = steadily(functools.partial(self._compiler, "means", self._look, xs))
            parts.append(backend.to_numpy(z)[:count].astype("float64"))
        return np.concatenate(parts)
