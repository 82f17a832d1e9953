"""DeepSHAP: DeepLIFT averaged over a background, and how far that mean may be from that of more references."""

import keras
import numpy as np

from innspect.analyzers.base import sampling
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import few_at_once
from innspect.analyzers.deep_lift import DeepLift
from innspect.checks import Elsewhere
from innspect.inputs.references import Background


@register_analyzer("deep_shap")
class DeepShap(DeepLift):
    """DeepSHAP (Lundberg and Lee 2017): DeepLIFT averaged over a background set of references.

    The attributions sum to f(x) minus the mean of f over the background.

    Args:
        background: (references, *input shape), a list or dict of these for several inputs. Ids of an embedding are
            compared with the background's ids.
        rule, maxpool, normalize_logits, head: See `DeepLift`.
        tolerance: Stop where the error is at most this share of the map, both in Euclidean norm over a sample's inputs, asked
            after 8, 16, 32, ... references, for each sample by itself; None: always all. References are then taken in a
            random order, always the same, and the sum is f(x) minus the mean of f over those that were taken.

    In `explain(...).details` are "error", the standard error of the map as a mean over references drawn from what the
    background stands for, in the map's shape and units (NaN for one reference), and "draws", how many were taken.
    """

    paper = "Lundberg and Lee 2017"
    needs = "background"
    zero_vectors = False
    without = ("reference_inputs",)
    ranges = {"background": Elsewhere("Background"), "tolerance": sampling.TOLERANCE}

    def __init__(self, model, *, background, tolerance=None, **arguments):
        if "reference_inputs" in arguments:
            raise TypeError("'deep_shap' takes `background`, not `reference_inputs`.")
        super().__init__(model, **arguments)
        self.background, self.tolerance = background, tolerance

    masks = True

    @property
    def one_graph(self):  # type: ignore[override]  # it depends on an argument
        return self.tolerance is None

    @few_at_once
    def explain_batch(self, batch):
        several, limit = batch.request.several, len(batch.request.context)
        error = batch.request.explained or self.tolerance is not None
        order = np.arange(limit) if self.tolerance is None else sampling.shuffled(limit)

        def draw(part, first, last):
            return self._compared(part, order[first:last], error)

        def conclude(state, count, here):
            sums = {k: v for k, v in state.items() if k != "moments"}
            if count < limit:  # each was weighed as one of all
                sums = keras.tree.map_structure(lambda s: s * (limit / count), sums)
            found = self._with_delta(sums, here, several)
            errors = [sampling.of_mean(moments) for moments in state.get("moments", ())]
            return found | ({"details": {"error": errors}} if error else {})

        return sampling.drawn(sampling.Drawing(draw, conclude, several), batch, limit, self.tolerance, several)

    def compared_with(self, request):
        background = Background(self.background, request.inputs, self.opened, name="background")
        return self.filled_references(background, request.output)

    @classmethod
    def needed(cls, x, **fixed):
        return super().needed(x, **fixed) | {"background": keras.tree.map_structure(lambda a: a[:2], x)}
