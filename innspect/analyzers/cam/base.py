"""Class activation maps: the channels of one layer, weighted by what they mean to the explained value.

Every method here is one formula from the layer's activations A and the gradient G of the explained value with respect
to them, both (batch, *spatial axes, channels), to a map (batch, *spatial axes). The model runs forward once; the
gradient runs only from the output back to the layer.
"""

import math

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.warned import warn
from innspect.analyzers.gradient import GradientRules
from innspect.checks import Boolean, Elsewhere, Integer, OneOf
from innspect.errors import some_of
from innspect.graph.channels import reads_channels_first
from innspect.graph.opened.grids import Tokens
from innspect.graph.opened.layer_names import path_of
from innspect.graph.opened.target_layer import find_layer
from innspect.inputs.layout import by_samples, with_positions
from innspect.inputs.upsampling import CONVENTIONS, no_input_to_cover, resized, spatial_size
from innspect.layers.base import safe_divide
from innspect.layers.partial import CutProgram


class LayerMap(GradientRules):
    """Base of the methods that make a map of one layer's activations.

    Args:
        layer: Path of the layer, such as "conv5" or, in a nested model, "backbone/conv5"; "conv5[1]" for the second call of
            a shared layer; or the layer itself; or its number in `model.layers`, -1 the last. None: the last layer with
            spatial axes, or tokens known to be patches, which the output learns of and whose map lies on an input.
        tokens: For a layer of tokens, (batch, tokens, channels), such as in a vision transformer: (skipped, (rows,
            columns)), how many come before the patches, and how the patches lie. None: as the model makes them of an
            image, where that can be seen.
        upsample: True resizes the map to the input's spatial axes, linearly; False returns it as it is.
        relu: True keeps only what speaks for the explained value.
        resize: "half_pixel" or "align_corners", see `innspect.inputs.upsampling`.

    The result is (samples, *spatial axes). A layer within TimeDistributed has a map for each frame, (samples, frames,
    *spatial axes), whose channels are weighted frame by frame. With several inputs it is one map, on the first input that
    has as many spatial axes and that the layer depends on.

    Raises:
        KeyError: No layer has this path; near matches are offered.
        ValueError: The layer has no spatial axes, or the output does not depend on it; or it has not so many tokens.
    """

    family = "class activation"
    needs = "a layer with spatial axes"
    scale = "regions"
    default_relu = True
    composable = False
    ranges = {
        "layer": Elsewhere("find_layer"),
        "tokens": Elsewhere("find_layer"),
        "upsample": Boolean(),
        "relu": Boolean(),
        "resize": OneOf(*CONVENTIONS),
    }

    def __init__(self, model, *, layer=None, tokens=None, upsample=True, relu=None, resize="half_pixel", **arguments):
        super().__init__(model, **arguments)
        self.layer, self.tokens, self.upsample, self.resize = path_of(self.opened, layer), tokens, upsample, resize
        self.relu = self.default_relu if relu is None else relu
        self._places = {}

    @property
    def signed(self):
        return not self.relu

    def check_output(self, output):
        super().check_output(output)
        self.place(output)

    def place(self, output=0):
        """The `Place` of the map for an output: the layer's path, its tensor and where its channels are."""
        number = self._output_number(output)
        if number not in self._places:
            self._places[number] = self._find(number)
        return self._places[number]

    def chosen(self, output):
        return {"layer": self.place(output).path}

    def _find(self, number):
        graph, explained = self.opened.graph, self._explained(number)
        return find_layer(graph, explained, graph.outputs[number], self.layer, self._given_tokens(), self._fits)

    def _given_tokens(self):
        if self.tokens is None:
            return None
        try:
            skipped, [*grid] = self.tokens
        except (TypeError, ValueError):
            skipped, grid = None, []
        if not Integer(0).holds(skipped) or skipped is None or not grid or not all(map(Integer(1).holds, grid)):
            raise ValueError(
                "`tokens` must be (skipped, (rows, columns)), such as (1, (14, 14)) for a class token before 196 patches. "
                f"Received: {self.tokens!r}"
            )
        return Tokens(int(skipped), tuple(map(int, grid)))

    def _fits(self, place):
        """Whether a place that nobody named is of use to the method: whether its map lies on an input."""
        return self._covered(place, [t.shape for t in self.opened.graph.inputs])[0] is not None

    def _may_be_covered(self, i):
        """Whether a map may lie on an input, given by its number."""
        return True

    def make_program(self, number, stops, plan):
        every = tuple(dict.fromkeys([*self.stops(number), *stops]))
        return CutProgram(plan.graph, self._explained(number), every, self.rules_for(number, plan), ends=self.stops(number))

    def stops(self, number):
        """The tensors whose values and signals the map is made of."""
        return [self.place(number).tensor]

    def _aligned(self, values, number):
        """The layer's values as (rows, *positions, channels), where rows are samples or their frames."""
        return with_positions(values, self.place(number))

    def _shown(self, maps, number, samples, input_shapes):
        """Maps (rows, *positions) as they are returned: rectified, frames apart, and resized as asked."""
        maps = by_samples(ops.relu(maps) if self.relu else maps, self.place(number), samples)
        return resized(maps, self._target_size(number, maps.shape[1:], input_shapes), self.resize) if self.upsample else maps

    def _covered(self, place, input_shapes):
        """Number and spatial size of the input that a place's map lies on; None, None where there is none."""
        for i in filter(self._may_be_covered, place.inputs):
            size = spatial_size(input_shapes[i], place.axes, reads_channels_first(self.opened.graph, i))
            if size is not None:
                return i, size
        return None, None

    def _target_size(self, number, map_shape, input_shapes):
        place = self.place(number)
        _, size = self._covered(place, input_shapes)
        if size is None:
            raise no_input_to_cover(place.path, map_shape, input_shapes, self._remedy(place, input_shapes))
        return size

    def _remedy(self, place, input_shapes):
        """What is said of a layer that may have patches of an image as its tokens."""
        if place.tokens is not None or len(place.positions) > 1 or all(len(input_shapes[i]) < 4 for i in place.inputs):
            return ""
        return (
            f"If its {place.positions[0] or ''} tokens are patches of an image, say how they lie: tokens=(skipped, (rows, "
            "columns)), with 1 skipped for a class token in front. "
        )

    # ------------------------------------------------------------------ one array, whatever the inputs
    def _restore(self, inputs, arrays, lead):
        return inputs.pack(arrays) if len(inputs.arrays) == 1 else arrays[0]

    def _attribution_shapes(self, shapes):
        number, place = next(iter(self._places.items()))
        inner = (*place.frames, *place.positions)
        size = self._target_size(number, inner, shapes) if self.upsample else inner
        return [(shapes[0][0], *(d or 0 for d in size))]


class GradientMap(LayerMap):
    """Base of the maps that are a formula of activations and their gradient."""

    def formula(self, a, g):
        """The map (batch, *spatial axes) from A and G, (batch, *spatial axes, channels)."""
        raise NotImplementedError

    def slope(self, weights, y):
        """The signal at the explained tensor whose gradient G is."""
        return self.seed(weights, y)

    def map_of(self, number, values, signals, samples):
        """The map (rows, *positions) of so many samples."""
        tensor = self.place(number).tensor
        return self.formula(self._aligned(values[tensor], number), self._aligned(signals[tensor], number))

    def attributed(self, passage, weights):
        return self._attributed(passage, weights, passage.tape.values)

    def _attributed(self, passage, weights, values):
        """As `attributed`, from the values of the tensors where signals stop."""
        number, shapes = passage.request.output, [x.shape for x in passage.xs]
        signals = passage.back(self.slope(weights, passage.y))
        samples = shapes[0][0]
        shown = self._shown(self.map_of(number, values, signals, samples), number, samples, shapes)
        return {"attributions": [shown], **({"signals": passage.at_layers(signals)} if passage.request.at else {})}


def spatial_axes(a):
    return tuple(range(1, len(a.shape) - 1))


def weighted(a, weights):
    """The channels of A, (batch, *spatial axes, channels), summed with a weight each, (batch, *1s or axes, channels)."""
    return ops.sum(a * weights, axis=-1)


@register_analyzer("grad_cam")
class GradCam(GradientMap):
    """Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2): channels weighted by their mean gradient.

    On a network that ends in global average pooling and a dense layer it is CAM divided by the number of positions.
    """

    paper = "Selvaraju et al. 2017"
    sign = 1

    def formula(self, a, g):
        return weighted(a, self.sign * backend.mean(g, axis=spatial_axes(a), keepdims=True))


@register_analyzer("grad_cam.counterfactual")
class CounterfactualGradCam(GradCam):
    """Counterfactual Grad-CAM (Selvaraju et al. 2017, sec. 3.3): what would make the network change its decision.

    Where nothing at the layer speaks against the explained value the map is all zero, and a warning names the samples.
    """

    sign = -1

    def _assemble(self, request, parts, settings):
        explanation = super()._assemble(request, parts, settings)
        (maps,) = keras.tree.flatten(explanation.attributions)
        lead = 2 if request.several else 1
        empty = ~maps.reshape(*maps.shape[:lead], math.prod(maps.shape[lead:])).any(axis=-1)
        empty = np.flatnonzero(empty.any(axis=0) if request.several else empty)
        if len(empty):
            warn(
                f"{self.name!r}: at {self.place(request.output).path!r} nothing speaks against what is explained, and so the "
                f"map is all zero, for {some_of(empty, request.inputs.samples, request.first)}. Ask for a class that "
                "the network decided against, or compare two: 'grad_cam' with `contrast`.",
            )
        return explanation


@register_analyzer("grad_cam_plus_plus")
class GradCamPlusPlus(GradientMap):
    """Grad-CAM++ (Chattopadhay et al. 2018, eq. 10 and 19): channels weighted by their positive gradients.

    Each position's share is alpha = 1 / (2 + g sum(A)), with the sum over the whole channel, which is exact where all
    behind the layer is piecewise linear. The paper's factor exp(score), the same for all channels, is left out.

    Args:
        normalize_alpha: True makes the alphas of each channel sum to 1, as other libraries do and the paper does not.
    """

    paper = "Chattopadhay et al. 2018"
    ranges = {"normalize_alpha": Boolean()}

    def __init__(self, model, *, normalize_alpha=False, **arguments):
        super().__init__(model, **arguments)
        self.normalize_alpha = normalize_alpha

    def formula(self, a, g):
        axes = spatial_axes(a)
        denominator = 2 + ops.sum(a, axis=axes, keepdims=True) * g
        defined = ops.logical_and(g != 0, ops.absolute(denominator) > 1e-12)
        alpha = ops.where(defined, safe_divide(ops.ones_like(g), denominator), ops.zeros_like(g))
        if self.normalize_alpha:
            alpha = safe_divide(alpha, ops.sum(alpha, axis=axes, keepdims=True))
        return weighted(a, ops.sum(alpha * ops.relu(g), axis=axes, keepdims=True))


@register_analyzer("layer_cam")
class LayerCam(GradientMap):
    """LayerCAM (Jiang et al. 2021, eq. 6 and 7): every element weighted by its own positive gradient."""

    paper = "Jiang et al. 2021"

    def formula(self, a, g):
        return weighted(a, ops.relu(g))


@register_analyzer("hires_cam")
class HiResCam(GradientMap):
    """HiResCAM (Draelos and Carin 2020): every element weighted by its own gradient."""

    paper = "Draelos and Carin 2020"

    def formula(self, a, g):
        return weighted(a, g)


@register_analyzer("xgrad_cam")
class XGradCam(GradientMap):
    """XGrad-CAM (Fu et al. 2020, eq. 8): channels weighted by their gradients' mean over their own activation."""

    paper = "Fu et al. 2020"

    def formula(self, a, g):
        axes = spatial_axes(a)
        return weighted(a, safe_divide(ops.sum(g * a, axis=axes, keepdims=True), ops.sum(a, axis=axes, keepdims=True) + 1e-7))
