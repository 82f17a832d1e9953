"""Which methods a model allows, with what is known of each before it is tried."""

from dataclasses import dataclass
from typing import Any

from innspect import study
from innspect.analyzers import list_analyzers
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.parameters import same_value
from innspect.analyzers.base.registry import describe, find, fixed_arguments, name_of
from innspect.errors import NotAnalyzeableModelError, PlainKeyError, said
from innspect.spelling import pair

# About so many gradients does a method cost: only in which order methods are timed, and which are too dear to be timed.
_FAMILIES = {
    "class activation": 0.6,
    "gradient": 1,
    "signal": 1.2,
    "patterns": 1.5,
    "Taylor decomposition": 2,
    "relevance propagation": 2.5,
    "difference to a reference": 3,
    "averaged gradient": 60,
    "perturbation": 100,
}
_DEAR = {"ablation_cam": 30, "rsi_grad_cam": 30, "deep_shap": 30, "score_cam": 300, "rise": 1000}

# What answers another question, and is tried only where it is named.
_OTHER = {"grad_cam.counterfactual": "it shows what speaks against the class"}

# Taken for granted by many: where one of them is no better than random maps, that is worth a word.
WELL_KNOWN = (
    "gradient",
    "saliency",
    "input_t_gradient",
    "smoothgrad",
    "integrated_gradients",
    "guided_backprop",
    "deconvnet",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_grad_cam",
    "lrp.z",
    "lrp.epsilon",
    "lrp.alpha_2_beta_1",
    "lrp.alpha_1_beta_0",
    "deep_taylor",
    "deep_lift",
    "deep_shap",
    "occlusion",
    "rise",
    "pattern.net",
    "pattern.attribution",
)


@dataclass
class Offer:
    """A method that the model allows.

    Attributes:
        analyzer: It.
        name, arguments: With which `create_analyzer` makes it again.
    """

    analyzer: Any
    name: str
    arguments: dict[str, Any]

    @property
    def expected(self) -> float:
        """About how many gradients it costs."""
        return _DEAR.get(self.name, _FAMILIES.get(_family(self.name), 1.0))


def offers(opened: Any, methods: Any, fit_data: Any, output: int | str) -> tuple[dict[str, Offer], dict[str, str]]:
    """The methods that a model allows, those first that should be cheapest, and why others are none.

    Args:
        opened: The model, opened where that can be.
        methods: As for `innspect.evaluate`, or None: all that can be made by their names alone, without the baselines.
        fit_data: For those that learn from data; None: these are left out.
        output: What is explained must be one.
    """
    usual = [name for name in list_analyzers() if _family(name) != "baseline" and name not in _OTHER]
    asked = {name: name for name in usual} if methods is None else study.named(methods)
    found: dict[str, Offer] = {}
    out = dict(_OTHER) if methods is None else {}
    for label, one in asked.items():
        try:
            offer = _offer(opened, one)
            check = getattr(offer.analyzer, "check_output", None)
            if check is not None:
                check(output)
        except NotAnalyzeableModelError as error:
            out[label] = said(error)
            continue
        except (TypeError, ValueError) as error:
            if methods is not None:
                raise
            needs = describe(label)["needs"]
            out[label] = f"it needs {needs}: give it with that in `methods`" if needs else said(error)
            continue
        found[label] = offer
    learning = study.unfitted({label: offer.analyzer for label, offer in found.items()})
    if fit_data is None:
        out |= {label: "it learns from data: give `fit_data`" for label in learning}
        found = {label: offer for label, offer in found.items() if label not in learning}
    else:
        study.fit({label: offer.analyzer for label, offer in found.items()}, learning, fit_data)
    # Of methods with the same maps the first is tried, so the well-known ones stand before others of their cost.
    return dict(sorted(found.items(), key=lambda item: (item[1].expected, item[0] not in WELL_KNOWN))), out


def _offer(opened: Any, one: Any) -> Offer:
    analyzer = study.make(opened, one)
    if analyzer is one:
        known = isinstance(one, Analyzer)
        name = name_of(one) if known else getattr(one, "name", type(one).__name__)
        return Offer(one, name, _arguments(one, name) if known else {})
    return Offer(analyzer, *pair(one, "methods"))


def _arguments(analyzer: Analyzer, name: str) -> dict[str, Any]:
    """The arguments of an analyzer that are not those of its name."""
    usual = type(analyzer).defaults() | fixed_arguments(type(analyzer), name)
    config = {k: v for k, v in analyzer.get_config().items() if k != "name"}
    return {k: v for k, v in config.items() if k not in usual or not same_value(v, usual[k])}


def _family(name: str) -> str:
    try:
        find(name)
    except PlainKeyError:
        return ""
    return describe(name)["family"]
