"""The presets and composites of the literature: a rule for convolutions, another for dense layers, maybe one for the first."""

from innspect.analyzers.composites import Composite, until_layer
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.relevance import RelevanceAnalyzer
from innspect.analyzers.rules import bounded, make_rule, rule_beside


class _Preset(RelevanceAnalyzer):
    """Base of the presets: epsilon for dense layers, another rule for convolutions.

    Args:
        epsilon: Of the dense layers.
        bias: True keeps the bias in the denominators, False leaves it out, "both" is iNNvestigate's alpha-beta.
        input_layer_rule: Rule of the first kernel layers, or a (low, high) pair.
        until_layer_idx: The kernel layers up to this one get the flat rule.
    """

    def __init__(
        self,
        model,
        *,
        convolution,
        convolution_settings=(),
        first=None,
        first_convolution=None,
        epsilon=1e-6,
        bias=True,
        input_layer_rule=None,
        until_layer_idx=None,
        **arguments,
    ):
        settings = {"epsilon": epsilon, "bias": bias}
        self._composite = Composite(
            default=make_rule("Epsilon", epsilon=epsilon, bias=bool(bias)),
            convolution=make_rule(convolution, bias=bias, **dict(convolution_settings)),
            first=rule_beside(first if input_layer_rule is None else input_layer_rule, settings),
            first_convolution=first_convolution,
            until=until_layer(until_layer_idx, None, settings),
        )
        super().__init__(model, **arguments)

    def composite(self):
        return self._composite


@register_analyzer("lrp.sequential_preset_a", convolution="Alpha1Beta0")
@register_analyzer("lrp.sequential_preset_b", convolution="Alpha2Beta1")
@register_analyzer("lrp.sequential_preset_a_flat", convolution="Alpha1Beta0", first="Flat")
@register_analyzer("lrp.sequential_preset_b_flat", convolution="Alpha2Beta1", first="Flat")
@register_analyzer("lrp.sequential_preset_b_flat_until_idx", convolution="Alpha2Beta1", first="Flat")
class SequentialPreset(_Preset):
    """Presets A and B (Kohlbrenner et al. 2020): alpha-beta for convolutions, epsilon=0.1 for dense layers."""

    paper = "Kohlbrenner et al. 2020"

    def __init__(self, model, *, epsilon=0.1, **arguments):
        super().__init__(model, epsilon=epsilon, **arguments)


@register_analyzer("lrp.epsilon_plus", convolution="Alpha1Beta0")
@register_analyzer("lrp.epsilon_plus_flat", convolution="Alpha1Beta0", first="Flat")
@register_analyzer("lrp.epsilon_alpha_2_beta_1", convolution="Alpha2Beta1")
@register_analyzer("lrp.epsilon_alpha_2_beta_1_flat", convolution="Alpha2Beta1", first="Flat")
class EpsilonPlus(_Preset):
    """zennit's composites: alpha-beta with the bias split by sign for convolutions, epsilon=1e-6 for dense layers."""

    paper = "Anders et al. 2021"
    stabiliser = 1e-6

    def __init__(self, model, **arguments):
        super().__init__(model, convolution_settings={"epsilon": self.stabiliser}, **arguments)


@register_analyzer("lrp.epsilon_gamma_box")
class EpsilonGammaBox(_Preset):
    """zennit's composite: z-box at the first convolution, gamma for the others, epsilon for dense layers.

    Args:
        low, high: Bounds of the model's input: a number, one number a channel, or an array of the input's shape.
        gamma: Of the convolutions.
    """

    paper = "Anders et al. 2021"
    stabiliser = 1e-6

    def __init__(self, model, *, low=None, high=None, gamma=0.25, **arguments):
        box = bounded(low, high, self.stabiliser)
        super().__init__(
            model,
            convolution="Gamma",
            convolution_settings={"epsilon": self.stabiliser, "gamma": gamma},
            first_convolution=box,
            **arguments,
        )
