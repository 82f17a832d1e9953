"""The presets and composites of the literature: a rule for convolutions, another for dense layers, maybe one for the first."""

import functools

import keras
import numpy as np

from innspect.analyzers.base.facts import Facts
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.relevance.base import RelevanceAnalyzer
from innspect.analyzers.relevance.composites import Composite, check_until, until_layer
from innspect.checks import Elsewhere, Finite, Integer, Number, OneOf
from innspect.layers.names import RuleLike, bounded, make_rule, rule_beside


class _Preset(RelevanceAnalyzer):
    """Base of the presets: epsilon for dense layers, another rule for convolutions.

    Args:
        epsilon: Of the dense layers.
        bias: True keeps the bias in the denominators, False leaves it out, "both" is iNNvestigate's alpha-beta.
        input_layer_rule: Rule of the first kernel layers, or a (low, high) pair.
        until_layer_idx: The kernel layers up to this one get `until_layer_rule`, where `input_layer_rule` gives them none.
        until_layer_rule: Default "Flat".
    """

    first: RuleLike | None = None
    ranges = {
        "epsilon": Number(),
        "bias": OneOf(True, False, "both"),
        "input_layer_rule": Elsewhere("make_rule"),
        "until_layer_idx": Integer(),
        "until_layer_rule": Elsewhere("make_rule"),
    }

    def __init__(
        self,
        model,
        *,
        epsilon=1e-6,
        bias=True,
        input_layer_rule=None,
        until_layer_idx=None,
        until_layer_rule=None,
        **arguments,
    ):
        super().__init__(model, **arguments)
        self.epsilon, self.bias = epsilon, bias
        self.input_layer_rule = input_layer_rule
        self.until_layer_idx, self.until_layer_rule = until_layer_idx, until_layer_rule

    def check_arguments(self):
        super().check_arguments()
        check_until(self)

    def of_convolutions(self):
        """The rule of convolutions."""
        raise NotImplementedError

    def of_first_convolution(self):
        """The rule of the first convolution, or None."""
        return None

    @functools.cached_property
    def _composite(self):
        settings = {"epsilon": self.epsilon, "bias": self.bias}
        return Composite(
            default=make_rule("Epsilon", epsilon=self.epsilon, bias=bool(self.bias)),
            convolution=self.of_convolutions(),
            first=self._of_first_layers(settings),
            first_convolution=self.of_first_convolution(),
            until=until_layer(self.until_layer_idx, self.until_layer_rule, settings),
        )

    def _of_first_layers(self, settings):
        if self.input_layer_rule is None:
            return rule_beside(self.first, settings, "first")
        return rule_beside(self.input_layer_rule, settings, "input_layer_rule")

    def composite(self):
        return self._composite


class _AlphaBetaPreset(_Preset):
    """Base of the presets with an alpha-beta rule for convolutions.

    Args:
        convolution: Name of the rule of convolutions, "Alpha1Beta0" or "Alpha2Beta1".
        first: Name of the rule of the first kernel layers, or None.
    """

    convolution_settings: dict = {}
    ranges = {"convolution": OneOf("Alpha1Beta0", "Alpha2Beta1"), "first": Elsewhere("make_rule")}

    def __init__(self, model, *, convolution, first=None, **arguments):
        super().__init__(model, **arguments)
        self.convolution, self.first = convolution, first

    def of_convolutions(self):
        return make_rule(self.convolution, bias=self.bias, **self.convolution_settings)

    @classmethod
    def needed(cls, x, **fixed):
        return super().needed(x, **fixed) | ({} if "convolution" in fixed else {"convolution": "Alpha1Beta0"})


@register_analyzer("lrp.sequential_preset_b_flat_until_idx", convolution="Alpha2Beta1", first="Flat")
@register_analyzer("lrp.sequential_preset_b_flat", convolution="Alpha2Beta1", first="Flat")
@register_analyzer("lrp.sequential_preset_a_flat", convolution="Alpha1Beta0", first="Flat")
@register_analyzer("lrp.sequential_preset_b", convolution="Alpha2Beta1")
@register_analyzer("lrp.sequential_preset_a", convolution="Alpha1Beta0")
class SequentialPreset(_AlphaBetaPreset):
    """Presets A and B (Kohlbrenner et al. 2020): alpha-beta for convolutions, epsilon=0.1 for dense layers."""

    paper = "Kohlbrenner et al. 2020"

    def __init__(self, model, *, epsilon=0.1, **arguments):
        super().__init__(model, epsilon=epsilon, **arguments)


@register_analyzer("lrp.epsilon_alpha_2_beta_1_flat", convolution="Alpha2Beta1", first="Flat")
@register_analyzer("lrp.epsilon_alpha_2_beta_1", convolution="Alpha2Beta1")
@register_analyzer("lrp.epsilon_plus_flat", convolution="Alpha1Beta0", first="Flat")
@register_analyzer("lrp.epsilon_plus", convolution="Alpha1Beta0")
class EpsilonPlus(_AlphaBetaPreset):
    """zennit's composites: alpha-beta with the bias split by sign for convolutions, epsilon=1e-6 for dense layers."""

    paper = "Anders et al. 2021"
    stabiliser = 1e-6
    convolution_settings = {"epsilon": stabiliser}


class Boxed(Facts):
    """What methods share that are told the bounds of the model's input."""

    needs = "low, high"
    ranges = {"low": Finite(), "high": Finite()}

    @classmethod
    def needed(cls, x, **fixed):
        floats = [a for a in map(np.asarray, keras.tree.flatten(x)) if a.dtype.kind == "f"]
        low, high = min((a.min() for a in floats), default=0.0), max((a.max() for a in floats), default=1.0)
        return super().needed(x, **fixed) | {"low": float(low), "high": float(high)}


class _GammaPreset(_Preset):
    """Base of the composites with the gamma rule for convolutions, epsilon for dense layers.

    Args:
        gamma: Of the convolutions.
    """

    paper = "Anders et al. 2021"
    stabiliser = 1e-6
    ranges = {"gamma": Number(), "bias": OneOf(True, False)}

    def __init__(self, model, *, gamma=0.25, **arguments):
        super().__init__(model, **arguments)
        self.gamma = gamma

    def of_convolutions(self):
        return make_rule("Gamma", bias=self.bias, epsilon=self.stabiliser, gamma=self.gamma)


@register_analyzer("lrp.epsilon_gamma_box")
class EpsilonGammaBox(Boxed, _GammaPreset):
    """zennit's composite: z-box at the first convolution, gamma for the others, epsilon for dense layers.

    Args:
        low, high: Bounds of the model's input: a number, one number a channel, or an array of the input's shape.
    """

    def __init__(self, model, *, low=None, high=None, **arguments):
        super().__init__(model, **arguments)
        self.low, self.high = low, high

    def of_first_convolution(self):
        return bounded(self.low, self.high, self.stabiliser)


@register_analyzer("lrp.epsilon_gamma_flat")
class EpsilonGammaFlat(_GammaPreset):
    """As `EpsilonGammaBox`, with the flat rule at the first kernel layers in the place of z-box: it needs no bounds."""

    first = "Flat"
