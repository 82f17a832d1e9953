"""Occlusion: slide a window over the input and see what the model no longer sees."""

from dataclasses import dataclass, replace

import keras
import numpy as np
from keras import ops

from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import Request
from innspect.analyzers.perturbation.base import Perturbation, Seen
from innspect.checks import Integer, OneOf, Sizes
from innspect.inputs.windows import Windows


@dataclass
class Sweep:
    """What a model said at every position of the window (Zeiler and Fergus 2014, fig. 6); the maps lie on the grid.

    Attributes:
        drops: How much the explained value falls, (samples, *grid).
        scores: The explained value, (samples, *grid).
        classes: The most probable class, (samples, *grid).
        responses: The sum of the feature map, (samples, *grid), or None where no layer was named.
        feature_map: Which feature map, (samples,), or None.
        starts: For each spatial axis the pixel where each window begins.
    """

    drops: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    responses: np.ndarray | None
    feature_map: np.ndarray | None
    starts: list


@register_analyzer("occlusion")
class Occlusion(Perturbation):
    """Occlusion sensitivity (Zeiler and Fergus 2014, sec. 4.2): how much the explained value falls under a window.

    For a linear model the map of a 1x1 window is input minus `value`, times the weight.

    Args:
        model: A Keras model or a function, see `Perturbation`.
        window: Size of the window, an integer or one for each spatial axis; None: an eighth of the shortest axis.
        stride: Its step, in the same form; None: half the window.
        overlap: "mean" gives a pixel the mean over the windows that cover it, "sum" their sum.
        border: "clip" lets the last window reach over the border, so that every pixel is covered; "valid" does not.

    `sweep` returns more: the maps on the grid of positions, the most probable classes, a feature map's response.
    """

    paper = "Zeiler and Fergus 2014"
    ranges = {"window": Sizes(), "stride": Sizes(), "overlap": OneOf("mean", "sum"), "border": OneOf("clip", "valid")}

    def __init__(self, model, *, window=None, stride=None, overlap="mean", border="clip", **arguments):
        super().__init__(model, **arguments)
        self.window, self.stride, self.overlap, self.border = window, stride, overlap, border

    def plan(self, size):
        return Windows(size, self.window, self.stride, self.border)

    @staticmethod
    def hide(x, mask, filling):
        return ops.where(mask, x, filling)

    def map(self, plan, sights, targets):
        scores = np.concatenate([seen["scores"] for _, seen in sights], axis=1).astype("float64")
        total = plan.spread(np.moveaxis(targets[:, None] - scores, 1, -1))
        return total if self.overlap == "sum" else total / np.maximum(plan.spread(np.ones(len(plan))), 1)

    def sweep(self, x, neuron_selection=None, *, layer=None, feature_map=None, batch_size=None, output=0, verbose=0):
        """Everything that is seen while the window moves.

        Args:
            x: As for `analyze`; one input.
            neuron_selection: As for `analyze`.
            layer: Path of a layer, one of whose feature maps is watched.
            feature_map: Its number; None: in each sample the one with the largest sum while nothing is hidden.
            batch_size: As for `analyze`.
            output: As for `analyze`.
            verbose: As for `analyze`.

        Returns:
            A `Sweep`.
        """
        number = self._output_number(output)
        inputs = self.filled(self._inputs(x), number)
        if len(inputs.arrays) > 1:
            raise ValueError(f"`sweep` is for models of one input. Received: {len(inputs.arrays)} inputs")
        if not inputs.samples:
            raise ValueError("`x` must hold at least one sample. Received: none")
        targets, (plan,) = self._selections(Asked(neuron_selection), number, inputs), self._plans(inputs)
        progress = keras.utils.Progbar(inputs.samples * len(plan)) if verbose else None
        inputs.checked_size(batch_size)
        request = Request(inputs, tuple(targets), output=number, batch_size=batch_size)
        request = replace(request, advance=progress.add) if progress else request
        place = None if layer is None else self.predictor.place(number, layer)
        parts = []
        for batch, count in request.batches():
            here = Seen(self.predictor, batch, place)
            seen = [found for _, found in self._sights(here, 0, plan)]
            scores = np.concatenate([s["scores"][0] for s in seen])
            part = {"drops": here.targets - scores, "scores": scores, "classes": np.concatenate([s["classes"] for s in seen])}
            if here.responses is not None:
                watched = here.responses.argmax(axis=1) if feature_map is None else _map_number(feature_map, here.responses)
                samples = np.arange(len(watched))
                part["responses"] = np.concatenate([s["responses"][watched, :, samples].T for s in seen])
                part["feature_map"] = watched[None]
            parts.append({k: v.T[:count] for k, v in part.items()})
        whole = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
        watched = whole.pop("feature_map", None)
        grids = {k: v.reshape(len(v), *plan.grid) for k, v in whole.items()}
        return Sweep(
            drops=grids["drops"],
            scores=grids["scores"],
            classes=grids["classes"],
            responses=grids.get("responses"),
            feature_map=None if watched is None else watched[:, 0],
            starts=plan.starts,
        )


def _map_number(feature_map, responses):
    maps = responses.shape[1]
    Integer(0, maps - 1).check("feature_map", feature_map)
    return np.full(len(responses), feature_map)
