"""Deep Taylor decomposition (Montavon et al. 2017): z+ everywhere, another rule where the input's domain asks for it."""

import functools

import numpy as np
from keras import ops

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.warned import warn
from innspect.analyzers.relevance.base import RelevanceAnalyzer
from innspect.analyzers.relevance.composites import Composite
from innspect.analyzers.relevance.presets import Boxed
from innspect.checks import OneOf
from innspect.errors import some_of
from innspect.layers.names import bounded, make_rule


@register_analyzer("deep_taylor")
class DeepTaylor(RelevanceAnalyzer):
    """Deep Taylor decomposition: relevance max(0, logit), z+ on every kernel layer.

    Args:
        input_rule: "z_plus", or "w_square" at the first kernel layers for inputs without bounds.

    Where the explained logit is not positive there is no evidence to decompose: the map is all zero, and a warning
    names the samples.
    """

    family = "Taylor decomposition"
    paper = "Montavon et al. 2017"
    explains_attention = False
    linear_seed = False  # max(0, value)
    ranges = {"input_rule": OneOf("z_plus", "w_square")}

    def __init__(self, model, *, input_rule="z_plus", **arguments):
        super().__init__(model, **arguments)
        self.input_rule = input_rule

    def first(self):
        """The rule of the first kernel layers, or None."""
        return make_rule("WSquare") if self.input_rule == "w_square" else None

    @functools.cached_property
    def _composite(self):
        return Composite(default=make_rule("ZPlus"), first=self.first())

    def composite(self):
        return self._composite

    def _no_rule(self, node):
        if node.kind not in ("softmax", "normalization"):
            return super()._no_rule(node)
        return (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation or node.kind}): its theory decomposes affine "
            "layers, activations, pooling and sums only (Montavon et al. 2017). Use 'lrp.epsilon' or 'lrp.attention', a "
            "gradient method, or bring a rule with `innspect.register_reverse_mapping(LayerClass, rule=...)`."
        )

    def seed(self, weights, y):
        return weights * ops.relu(y) if self.start == "value" else weights * ops.cast(y > 0, y.dtype)

    def _assemble(self, request, parts, settings):
        explanation = super()._assemble(request, parts, settings)
        empty = np.flatnonzero(explanation.targets <= 0) if not request.several else ()
        if len(empty):
            warn(
                f"{self.name!r} decomposes positive evidence only: the explained value is not positive, and so the map all "
                f"zero, for {some_of(empty, request.inputs.samples, request.first)}.",
            )
        return explanation


@register_analyzer("deep_taylor.bounded")
class BoundedDeepTaylor(Boxed, DeepTaylor):
    """Deep Taylor decomposition with the z-box rule at the first kernel layers.

    Args:
        low, high: Bounds of the model's input: a number, one number a channel, or an array of the input's shape.
    """

    def __init__(self, model, *, low=None, high=None, **arguments):
        super().__init__(model, **arguments)
        self.low, self.high = low, high

    def first(self):
        return bounded(self.low, self.high)
