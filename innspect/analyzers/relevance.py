"""Layer-wise relevance propagation (Bach et al. 2015): rules, presets, and the composites of the literature."""

import warnings

from innspect.analyzers.composites import Composite, bounded, fitted_box, make_rule
from innspect.analyzers.conservation import Conserving
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.signal import winner_rule
from innspect.graph.folding import fold
from innspect.graph.freezing import freeze
from innspect.graph.gates import gates
from innspect.graph.heads import is_head
from innspect.graph.ir import channels_first
from innspect.layers import flow
from innspect.layers.affine import BatchNorm
from innspect.layers.attention import Softmax
from innspect.layers.recurrent import RecurrentView
from innspect.layers.relevance import Flat, WSquare


class RelevanceAnalyzer(Conserving, ReverseAnalyzer):
    """Base of the methods in relevance form: a composite for the kernel layers, fixed rules for everything else.

    Args:
        stabiliser: Of weightless sums: additions, average pooling, batch normalization that cannot be folded.
    """

    form = "relevance"
    default_start = "value"
    conserves = True
    stabiliser = 1e-7
    explains_attention = True  # deep Taylor's theory has no rule for softmax and normalization
    _box = None

    def composite(self):
        """The `Composite` of this method."""
        raise NotImplementedError

    def prepare(self, graph):
        graph = freeze(graph) if self.explains_attention else graph
        rules = {node: self._in_input_units(rule) for node, rule in self.composite().assign(graph).items()}
        data_free = {node for node, rule in rules.items() if isinstance(rule, Flat | WSquare)}
        everywhere = data_free and data_free == set(rules)
        self._passing_norms = set(graph.nodes) if everywhere else _neighbours(graph, data_free)
        self._kernel_rules = {node.path: rule for node, rule in rules.items()}
        return fold(graph, keep=graph.outputs, apart=data_free)

    def _in_input_units(self, rule):
        """The z-box rule with its bounds in a shape that broadcasts over the model's input."""
        if not rule.needs_bounds:
            return rule
        boxes = [fitted_box(rule, spec, channels_first(self._clone.graph)) for spec in self._clone.specs]
        self._box = boxes[0]
        return boxes[0]

    def check(self, inputs):
        super().check(inputs)
        box = self._box
        if box is None:
            return
        for x in inputs.arrays:
            if x.size and x.dtype.kind == "f" and ((x < box.low).any() or (x > box.high).any()):
                warnings.warn(
                    f"{self.name!r}: some inputs are outside the bounds `low` and `high`, where the z-box rule may give "
                    f"relevance of the wrong sign. Received: values from {x.min():.4g} to {x.max():.4g}",
                    stacklevel=4,
                )

    def rule(self, node):
        if node.path in self._kernel_rules:
            return self._kernel_rules[node.path]
        registered = getattr(node.view, "relevance_rule", None)
        if registered is not None:
            return registered
        if is_head(node) and node.outputs[0] in self._clone.graph.outputs:
            return flow.Pass()  # only reached with head="output"
        return self._flow_rule(node)

    def _no_rule(self, node):
        if not isinstance(node.view, RecurrentView):
            return super()._no_rule(node)
        name = node.layer.name
        return (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation}): recurrent layers have the epsilon rule only "
            f"(Arras et al. 2017). Use 'lrp.epsilon', 'lrp.z' or a preset, or name it in 'lrp': rule={{'default': ..., "
            f"{name!r}: 'Epsilon'}}; or bring a rule with `innspect.register_reverse_mapping(LayerClass, rule=...)`."
        )

    def _flow_rule(self, node):
        if node.kind == "pass":
            return flow.Pass()
        if node.kind == "reindex":
            return flow.Reindex()
        if node.kind == "sum":
            passes = isinstance(node.view, BatchNorm) and node in self._passing_norms
            return flow.Pass() if passes else flow.Proportional(self.stabiliser)
        if node.kind == "winner":
            return winner_rule(node) or flow.Reindex()
        if node.kind == "product":
            return flow.Product(gates(node))
        if node.kind == "bilinear":
            return flow.Bilinear(self.stabiliser)
        if node.kind == "embedding":
            return flow.SumOverEmbedding()
        if node.kind == "softmax" and self.explains_attention:
            return Softmax()
        return None


def _neighbours(graph, nodes):
    """The nodes right before and right after some nodes."""
    after = {reader for reader in graph.nodes if any(t.producer in nodes for t in reader.inputs)}
    return after | {t.producer for node in nodes for t in node.inputs if t.producer is not None}


@register_analyzer("lrp")
class LRP(RelevanceAnalyzer):
    """Layer-wise relevance propagation with any rules.

    Args:
        rule: Rule of the kernel layers: a name ("Epsilon", "ZPlus", "Alpha2Beta1IgnoreBias", ...), a `Rule` class or
            instance, or a mapping from a layer's name or path, "convolution" or "dense", or "default", to these.
        input_layer_rule: Rule of the first kernel layers, or a (low, high) pair for the z-box rule there.
        until_layer_idx: The kernel layers up to this one, counted from 0 in the model's order, get
            `until_layer_rule`.
        until_layer_rule: Default "Flat".
        epsilon, gamma, alpha, beta, low, high: Settings of the rules that take them. For the epsilon rule epsilon may be
            ("rms", factor): factor times the root mean square of the layer's own outputs (Montavon et al. 2019).
        bias: True, False, for alpha-beta "both" (iNNvestigate's form), for epsilon "distribute" (shared among the
            inputs, so that nothing is lost: a check).
        head, start: See `ReverseAnalyzer`.
    """

    paper = "Bach et al. 2015"

    def __init__(
        self,
        model,
        *,
        rule=None,
        input_layer_rule=None,
        until_layer_idx=None,
        until_layer_rule=None,
        epsilon=None,
        gamma=None,
        alpha=None,
        beta=None,
        bias=None,
        low=None,
        high=None,
        **arguments,
    ):
        if rule is None:
            raise ValueError("`rule` must be given: a rule's name, a `Rule` class or instance, or a mapping. Received: None")
        if bias not in (None, True, False, "both", "distribute"):
            raise ValueError(f"`bias` must be True, False, 'both' or 'distribute'. Received: {bias!r}")
        settings = {"epsilon": epsilon, "gamma": gamma, "alpha": alpha, "beta": beta, "bias": bias, "low": low, "high": high}
        mapping = dict(rule) if isinstance(rule, dict) else {"default": rule}
        default = mapping.pop("default", None)
        self._composite = Composite(
            default=make_rule(default if default is not None else "Epsilon", **settings),
            convolution=_optional(mapping.pop("convolution", None), settings),
            dense=_optional(mapping.pop("dense", None), settings),
            first=_optional(input_layer_rule, settings),
            named={name: _optional(r, settings) for name, r in mapping.items()},
            until=_until(until_layer_idx, until_layer_rule, settings),
        )
        super().__init__(model, **arguments)

    def composite(self):
        return self._composite


def _optional(rule, settings):
    """A rule beside the main one. Of the shared settings an epsilon is meant for the rules that are named after one."""
    if rule is None:
        return None
    if not isinstance(rule, str) or rule not in ("Epsilon", "EpsilonIgnoreBias", "Gamma"):
        settings = settings | {"epsilon": None}
    return make_rule(rule, **settings)


def _until(index, rule, settings):
    if index is None:
        return None
    if not isinstance(index, int) or index < 0:
        raise ValueError(f"`until_layer_idx` must be an integer that is not negative. Received: {index!r}")
    return index + 1, _optional(rule or "Flat", settings)


for _name, _fixed in {
    "lrp.z": {"rule": "Z"},
    "lrp.z_IB": {"rule": "ZIgnoreBias"},
    "lrp.epsilon": {"rule": "Epsilon"},
    "lrp.epsilon_IB": {"rule": "EpsilonIgnoreBias"},
    "lrp.gamma": {"rule": "Gamma"},
    "lrp.w_square": {"rule": "WSquare"},
    "lrp.flat": {"rule": "Flat"},
    "lrp.alpha_beta": {"rule": "AlphaBeta"},
    "lrp.alpha_2_beta_1": {"rule": "Alpha2Beta1"},
    "lrp.alpha_2_beta_1_IB": {"rule": "Alpha2Beta1IgnoreBias"},
    "lrp.alpha_1_beta_0": {"rule": "Alpha1Beta0"},
    "lrp.alpha_1_beta_0_IB": {"rule": "Alpha1Beta0IgnoreBias"},
    "lrp.z_plus": {"rule": "ZPlus"},
    "lrp.z_plus_fast": {"rule": "ZPlusFast"},
    "excitation_backprop": {"rule": "ZPlus"},
}.items():
    register_analyzer(_name, **_fixed)(LRP)


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
            first=_optional(first if input_layer_rule is None else input_layer_rule, settings),
            first_convolution=first_convolution,
            until=_until(until_layer_idx, None, settings),
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
