"""Layer-wise relevance propagation (Bach et al. 2015): the method with one rule, or any rules, for the kernel layers."""

import functools
from typing import Any

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.relevance.base import RelevanceAnalyzer
from innspect.analyzers.relevance.composites import check_until
from innspect.analyzers.relevance.spec import composite_of, is_in_order, rules_in_use
from innspect.checks import Elsewhere, Finite, Integer, Number, OneOf, Stabiliser
from innspect.layers.names import rule_paper, takes_both


@register_analyzer("lrp")
class LRP(RelevanceAnalyzer):
    """Layer-wise relevance propagation with any rules.

    Args:
        rule: Rule of the kernel layers: a name ("Epsilon", "ZPlus", "Alpha2Beta1IgnoreBias", ...), a `Rule` class or
            instance, or a mapping from a layer's name or path, "convolution" or "dense", or "default", to these. As in
            iNNvestigate also a list of them, one for each kernel layer in the model's order (less those that
            `input_layer_rule` serves), or a list of (condition, rule) pairs, where a condition is a function of the layer
            and the first that holds decides.
        input_layer_rule: Rule of the first kernel layers, or a (low, high) pair for the z-box rule there.
        until_layer_idx: The kernel layers up to this one, counted from 0 in the model's order, get
            `until_layer_rule`, where `input_layer_rule` gives them none.
        until_layer_rule: Default "Flat".
        epsilon, gamma, alpha, beta, low, high: Settings of the rules that take them. For the epsilon rule epsilon may be
            ("rms", factor): factor times the root mean square of the layer's own outputs (Montavon et al. 2019).
        bias: True, False, for alpha-beta "both" (iNNvestigate's form), for epsilon "distribute" (shared among the
            inputs, so that nothing is lost: a check).
        head, start: See `ReverseAnalyzer`.
    """

    paper = "Bach et al. 2015"
    ranges = {
        "rule": Elsewhere("composite_of"),
        "input_layer_rule": Elsewhere("make_rule"),
        "until_layer_idx": Integer(),
        "until_layer_rule": Elsewhere("make_rule"),
        "epsilon": Stabiliser(),
        "gamma": Number(),
        "alpha": Number(signed=True),
        "beta": Number(signed=True),
        "bias": OneOf(True, False, "both", "distribute"),
        "low": Finite(),
        "high": Finite(),
    }
    rule: Any  # an argument: the method has `rows`, and no use for the hook of this name

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
        super().__init__(model, **arguments)
        self.rule, self.input_layer_rule = rule, input_layer_rule
        self.until_layer_idx, self.until_layer_rule = until_layer_idx, until_layer_rule
        self.epsilon, self.gamma, self.alpha, self.beta, self.bias = epsilon, gamma, alpha, beta, bias
        self.low, self.high = low, high

    @property
    def _settings_given(self):
        given = {k: getattr(self, k) for k in ("epsilon", "gamma", "alpha", "beta", "bias", "low", "high")}
        return {k: v for k, v in given.items() if v is not None}

    @functools.cached_property
    def _composite(self):
        rules = self.rule, self.input_layer_rule, self.until_layer_idx, self.until_layer_rule
        return composite_of(*rules, self._settings_given)

    def check_arguments(self):
        super().check_arguments()
        check_until(self)
        _ = self._composite  # raises for what is no rule
        until_rule = None if self.until_layer_idx is None else self.until_layer_rule
        used = rules_in_use(self.rule, self.input_layer_rule, until_rule)
        taken = sorted({name for _, names in used for name in names} & {*LRP.ranges})
        listed = ", ".join(dict.fromkeys(repr(rule) for rule, _ in used))
        for name in self._settings_given:
            if name not in taken:
                told = f"These take {', '.join(map(repr, taken))}" if taken else "These take no settings"
                raise TypeError(f"{self.name!r} takes no argument {name!r} with the rules in use, {listed}. {told}.")
        if self.bias == "both" and not any(takes_both(rule) for rule, _ in used):
            raise ValueError(f"`bias='both'` goes with the alpha-beta rules. Received: the rules {listed}")

    def composite(self):
        return self._composite

    @classmethod
    def cautions(cls, **arguments):
        if not is_in_order(arguments.get("rule")):
            return []
        return [
            "The first rule of the list `rule` is that of the model's first kernel layer. iNNvestigate takes such a list from "
            "its end: turn around one that was written for it, or name the layers, rule={'conv1': ..., 'default': ...}."
        ]

    @classmethod
    def describe(cls, **fixed):
        if "rule" not in fixed:
            return {**super().describe(), "needs": "rule"}
        return {**super().describe(), "paper": rule_paper(fixed["rule"]) or cls.paper}

    @classmethod
    def needed(cls, x, **fixed):
        return super().needed(x, **fixed) | ({} if "rule" in fixed else {"rule": "Epsilon"})


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
}.items():
    register_analyzer(_name, **_fixed)(LRP)


@register_analyzer("excitation_backprop", rule="ZPlus")
class ExcitationBackprop(LRP):
    """Excitation backpropagation (Zhang et al. 2016): the z+ rule, whose relevance of positive evidence has no sign.

    Args:
        (as for `LRP`)
    """

    paper = "Zhang et al. 2016"
    signed = False

    @classmethod
    def describe(cls, **fixed):
        return {**super().describe(**fixed), "paper": cls.paper}
