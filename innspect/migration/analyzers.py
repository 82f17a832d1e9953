"""Analyzers by the names of iNNvestigate's classes, as in `innspect.analyzer.LRPEpsilon(model)`.

Each name is a function that creates the analyzer; the classes themselves are in `innspect.analyzers`.
"""

from functools import partial

from innspect.analyzers import Analyzer, create_analyzer
from innspect.errors import NotAnalyzeableModelError

AnalyzerBase = Analyzer
NotAnalyzeableModelException = NotAnalyzeableModelError

_NAMES = {
    "Input": "input",
    "Random": "random",
    "BaselineGradient": "gradient.baseline",
    "Gradient": "gradient",
    "InputTimesGradient": "input_t_gradient",
    "Deconvnet": "deconvnet",
    "GuidedBackprop": "guided_backprop",
    "IntegratedGradients": "integrated_gradients",
    "SmoothGrad": "smoothgrad",
    "LRP": "lrp",
    "LRPZ": "lrp.z",
    "LRPZIgnoreBias": "lrp.z_IB",
    "LRPEpsilon": "lrp.epsilon",
    "LRPEpsilonIgnoreBias": "lrp.epsilon_IB",
    "LRPWSquare": "lrp.w_square",
    "LRPFlat": "lrp.flat",
    "LRPAlphaBeta": "lrp.alpha_beta",
    "LRPAlpha2Beta1": "lrp.alpha_2_beta_1",
    "LRPAlpha2Beta1IgnoreBias": "lrp.alpha_2_beta_1_IB",
    "LRPAlpha1Beta0": "lrp.alpha_1_beta_0",
    "LRPAlpha1Beta0IgnoreBias": "lrp.alpha_1_beta_0_IB",
    "LRPZPlus": "lrp.z_plus",
    "LRPZPlusFast": "lrp.z_plus_fast",
    "LRPSequentialPresetA": "lrp.sequential_preset_a",
    "LRPSequentialPresetB": "lrp.sequential_preset_b",
    "LRPSequentialPresetAFlat": "lrp.sequential_preset_a_flat",
    "LRPSequentialPresetBFlat": "lrp.sequential_preset_b_flat",
    "LRPSequentialPresetBFlatUntilIdx": "lrp.sequential_preset_b_flat_until_idx",
    "DeepTaylor": "deep_taylor",
    "BoundedDeepTaylor": "deep_taylor.bounded",
    "DeepLIFT": "deep_lift",
    "DeepLIFTWrapper": "deep_lift.wrapper",
    "PatternNet": "pattern.net",
    "PatternAttribution": "pattern.attribution",
}

__all__ = ["AnalyzerBase", "NotAnalyzeableModelException", "create_analyzer"]


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"module 'innspect.analyzer' has no attribute {name!r}")
    return partial(create_analyzer, _NAMES[name])


def __dir__():
    return sorted({*__all__, *_NAMES})
