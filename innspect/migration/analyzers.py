"""Analyzers by the names of iNNvestigate's classes, as in `innspect.analyzer.LRPEpsilon(model)`; where each is found, too."""

from typing import Any

from innspect.analyzers import create_analyzer
from innspect.errors import NotAnalyzeableModelError
from innspect.migration.classes import (
    AnalyzerBase,
    AnalyzerNetworkBase,
    OneEpochTrainerMixin,
    ReverseAnalyzerBase,
    TrainerMixin,
    class_of,
)

NotAnalyzeableModelException = NotAnalyzeableModelError

# iNNvestigate's module -> name of a class -> the method's name, and what may be given by position after the model
_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "misc": {"Input": ("input",), "Random": ("random", "stddev")},
    "gradient_based": {
        "BaselineGradient": ("gradient.baseline", "postprocess"),
        "Gradient": ("gradient", "postprocess"),
        "InputTimesGradient": ("input_t_gradient",),
        "Deconvnet": ("deconvnet",),
        "GuidedBackprop": ("guided_backprop",),
        "IntegratedGradients": ("integrated_gradients", "steps", "neuron_selection_mode", "postprocess"),
        "SmoothGrad": ("smoothgrad", "augment_by_n", "neuron_selection_mode", "postprocess"),
    },
    "relevance_based.relevance_analyzer": {
        "BaselineLRPZ": ("input_t_gradient",),
        "LRP": ("lrp",),
        "LRPZ": ("lrp.z",),
        "LRPZIgnoreBias": ("lrp.z_IB",),
        "LRPEpsilon": ("lrp.epsilon", "epsilon", "bias"),
        "LRPEpsilonIgnoreBias": ("lrp.epsilon_IB", "epsilon"),
        "LRPWSquare": ("lrp.w_square",),
        "LRPFlat": ("lrp.flat",),
        "LRPAlphaBeta": ("lrp.alpha_beta", "alpha", "beta", "bias"),
        "LRPAlpha2Beta1": ("lrp.alpha_2_beta_1",),
        "LRPAlpha2Beta1IgnoreBias": ("lrp.alpha_2_beta_1_IB",),
        "LRPAlpha1Beta0": ("lrp.alpha_1_beta_0",),
        "LRPAlpha1Beta0IgnoreBias": ("lrp.alpha_1_beta_0_IB",),
        "LRPZPlus": ("lrp.z_plus",),
        "LRPZPlusFast": ("lrp.z_plus_fast",),
        "LRPSequentialPresetA": ("lrp.sequential_preset_a", "epsilon"),
        "LRPSequentialPresetB": ("lrp.sequential_preset_b", "epsilon"),
        "LRPSequentialPresetAFlat": ("lrp.sequential_preset_a_flat",),
        "LRPSequentialPresetBFlat": ("lrp.sequential_preset_b_flat",),
        "LRPSequentialPresetBFlatUntilIdx": ("lrp.sequential_preset_b_flat_until_idx",),
    },
    "deeptaylor": {"DeepTaylor": ("deep_taylor",), "BoundedDeepTaylor": ("deep_taylor.bounded", "low", "high")},
    "deeplift": {"DeepLIFT": ("deep_lift",), "DeepLIFTWrapper": ("deep_lift.wrapper",)},
    "pattern_based": {
        "PatternNet": ("pattern.net", "patterns", "pattern_type"),
        "PatternAttribution": ("pattern.attribution", "patterns", "pattern_type"),
    },
}
_BASES = {
    "base": (
        AnalyzerBase,
        AnalyzerNetworkBase,
        NotAnalyzeableModelException,
        OneEpochTrainerMixin,
        ReverseAnalyzerBase,
        TrainerMixin,
    ),
    "network_base": (AnalyzerNetworkBase,),
    "reverse_base": (ReverseAnalyzerBase,),
}
_WRAPPERS = (
    class_of("WrapperBase", "wrapper", of_analyzer=True),
    class_of("AugmentReduceBase", "wrapper.augment_reduce", of_analyzer=True),
    class_of("GaussianSmoother", "smoothgrad", of_analyzer=True, augment_by_n=2, noise_scale=1),
    class_of("PathIntegrator", "integrated_gradients", of_analyzer=True, steps=16),
)

# module -> name -> class
PLACES: dict[str, dict[str, Any]] = {
    **{place: {name: class_of(name, *given) for name, given in classes.items()} for place, classes in _METHODS.items()},
    **{place: {cls.__name__: cls for cls in classes} for place, classes in _BASES.items()},
    "wrapper": {cls.__name__: cls for cls in _WRAPPERS},
}
PLACES["base"]["NotAnalyzeableModelException"] = NotAnalyzeableModelException

analyzers = {given[0]: PLACES[place][name] for place, names in _METHODS.items() for name, given in names.items()}
analyzers["input_t_gradient"] = PLACES["gradient_based"]["InputTimesGradient"]

CLASSES = {name: cls for classes in PLACES.values() for name, cls in classes.items()}
globals().update(CLASSES)

__all__ = ["analyzers", "create_analyzer", *sorted(CLASSES)]


def classes_at(place: str) -> dict[str, type]:
    """The classes that a module of iNNvestigate has, by name."""
    return PLACES[place]
