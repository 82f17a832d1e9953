"""An analyzer around another one, as iNNvestigate's wrappers are: what it finds, or the mean over copies of the input."""

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.averaging.base import Averaging
from innspect.analyzers.averaging.on_host import HostPoints
from innspect.analyzers.base.registry import register_unlisted
from innspect.analyzers.base.request import Batch, few_at_once
from innspect.checks import Count
from innspect.nests import joined


@register_unlisted("wrapper")
class Wrapper(Averaging):
    """What another analyzer finds. A subclass may change it in `analyze`.

    Args:
        of: The other analyzer, or the name of a method, with its arguments beside it.
    """

    moves_inputs = False

    def begin(self, request):
        return self.inner.begin(request)

    def explain_batch(self, batch):
        return self.inner.explain_batch(batch)

    def guarded(self):
        return None

    @property
    def one_graph(self):  # type: ignore[override]  # as for its base
        return False

    def place(self, xs, moves, count):
        return [ops.repeat(x, count, axis=0) for x in xs]


@register_unlisted("wrapper.augment_reduce")
class AugmentReduce(Wrapper):
    """The mean of another analyzer's maps over copies of the input, which a subclass makes different.

    What is explained is the neuron chosen at the input itself.

    Args:
        augment_by_n: Number of copies, at most a million.
        of: See `Wrapper`.
    """

    ranges = {"augment_by_n": Count()}
    small = {"augment_by_n": 2}

    def __init__(self, model, *, augment_by_n=2, **arguments):
        super().__init__(model, **arguments)
        self.augment_by_n = augment_by_n

    def begin(self, request):
        return None  # the inner analyzer is asked for each batch of copies

    @few_at_once
    def explain_batch(self, batch):
        at_once = max(1, batch.request.at_once // self.augment_by_n)
        rows = [batch.rows[i : i + at_once] for i in range(0, len(batch), at_once)]
        parts = [self._of_rows(Batch.of(batch.request, some)) for some in rows]
        if len(parts) == 1:
            return parts[0]
        parts = keras.tree.map_structure(backend.to_numpy, parts)
        outputs = [part.pop("outputs") for part in parts]
        return {**joined(parts, 1 if batch.request.several else 0), "outputs": np.concatenate(outputs)}

    def _of_rows(self, batch):
        points = HostPoints(self, batch, "mean")
        points.look(None)
        maps, _ = points.step(None, np.ones(self.augment_by_n, "float32"))
        found = {"attributions": maps["attributions"], "outputs": points.outputs, "targets": points.targets}
        return found | ({"signals": maps["signals"]} if batch.request.at else {})

    # ------------------------------------------------------------------ what a subclass may change
    def place(self, xs, moves, count):
        return [ops.convert_to_tensor(x) for x in keras.tree.flatten(self._augment(list(xs)))]

    def mean(self, maps, ws):
        """The maps (batch, count, ...) of an input as one (batch, ...)."""
        together = ops.reshape(maps, (-1, *maps.shape[2:]))
        return keras.tree.flatten(self._reduce([together]))[0]

    def reduce(self, maps, ws):
        return ops.mean(maps, axis=1)

    def _augment(self, Xs):
        """The copies: from a list of tensors (batch, ...) one of tensors (batch * augment_by_n, ...), a sample's together."""
        return [ops.repeat(x, self.augment_by_n, axis=0) for x in Xs]

    def _reduce(self, Xs):
        """The way back, of maps: from (batch * augment_by_n, ...) to (batch, ...)."""
        return [ops.mean(ops.reshape(x, (-1, self.augment_by_n, *x.shape[1:])), axis=1) for x in Xs]
