"""`innspect.testing` passes every method of innspect, and catches methods and rules that break their promises."""

import numpy as np
import pytest
from keras import ops

import innspect
from innspect.analyzers import ReverseAnalyzer
from innspect.layers import Epsilon
from innspect.testing import check_analyzer, check_rule, example_models

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:'deep_taylor")]

MODELS = example_models()
BACKGROUND = np.random.default_rng(3).normal(size=(2, 6, 6, 2)).astype("float32")

# One name for each class, and for each setting that takes another way through it.
METHODS = {
    "input": {},
    "random": {"seed": 1},
    "gradient": {},
    "input_t_gradient": {},
    "saliency": {},
    "deconvnet": {},
    "guided_backprop": {},
    "integrated_gradients": {"steps": 3},
    "smoothgrad": {"num_samples": 2, "seed": 1},
    "smoothgrad.squared": {"num_samples": 2, "seed": 1},
    "vargrad": {"num_samples": 2, "seed": 1},
    "simple_taylor": {},
    "lrp": {"rule": "Epsilon"},
    "lrp.z": {},
    "lrp.epsilon": {"epsilon": 0.1},
    "lrp.gamma": {},
    "lrp.w_square": {},
    "lrp.flat": {},
    "lrp.alpha_2_beta_1": {},
    "lrp.z_plus": {},
    "lrp.z_plus_fast": {},
    "lrp.sequential_preset_a_flat": {},
    "lrp.epsilon_plus_flat": {},
    "lrp.epsilon_gamma_box": {"low": -5, "high": 5},
    "excitation_backprop": {},
    "lrp.attention": {},
    "lrp.cp": {"epsilon": 0.01},
    "deep_taylor": {},
    "deep_taylor.bounded": {"low": -5, "high": 5},
    "deep_lift": {},
    "deep_shap": {"background": BACKGROUND},
    "grad_cam": {},
    "grad_cam.counterfactual": {},
    "guided_grad_cam": {},
    "grad_cam_plus_plus": {},
    "rsi_grad_cam": {"steps": 2},
    "layer_cam": {},
    "xgrad_cam": {},
    "hires_cam": {},
    "score_cam": {},
    "ablation_cam": {},
    "occlusion": {"window": 2, "stride": 2},
    "rise": {"num_masks": 3, "grid": 2, "seed": 1},
    "pattern.net": {},
    "pattern.attribution": {},
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_promises(name):
    skip = ["target"] if name in ("input", "random") else []
    setup = (lambda analyzer, x: analyzer.fit(x)) if name.startswith("pattern") else None
    models = {"images": MODELS["images"]} if "cam" in name or name == "deep_shap" else MODELS
    check_analyzer(name, models=models, skip=skip, setup=setup, **METHODS[name])


def test_no_method_is_forgotten():
    from innspect.analyzers.registry import _ANALYZERS

    classes = {_ANALYZERS[name][0] for name in innspect.list_analyzers()}
    assert classes - {_ANALYZERS[name][0] for name in METHODS} == {_ANALYZERS["cam"][0]}  # see test_cam.py


# ---------------------------------------------------------------------- a method of one's own
class SquaredGradient(ReverseAnalyzer):
    def rule(self, node):
        return innspect.layers.Gradient()

    def finish(self, signal, x):
        return ops.square(signal)


def test_an_analyzer_of_ones_own():  # a rule: see test_rules.py
    check_analyzer(SquaredGradient)


# ---------------------------------------------------------------------- what is caught
class Forgetful(Epsilon):
    """Gives the inputs too little, and its books do not say so."""

    def backward(self, layer, saved, signals):
        return [r * 0.9 for r in super().backward(layer, saved, signals)]


class OtherOutput(Epsilon):
    def forward(self, layer, inputs):
        (y,), saved = super().forward(layer, inputs)
        return [y + 0.1], saved


class Mixing(Epsilon):
    """Lets samples influence each other."""

    def backward(self, layer, saved, signals):
        return [r + 0.01 * ops.mean(r, axis=0, keepdims=True) for r in super().backward(layer, saved, signals)]


def equal_parts(x, W, b, R):
    return np.full(len(x), R.sum() / len(x))


@pytest.mark.parametrize(
    ("rule", "formula", "message"),
    [
        (Forgetful(), None, "relevance that `shares` does not account for"),
        (OtherOutput(), None, "the output of `forward`"),
        (Mixing(), None, "NaN"),
        (Epsilon(), equal_parts, "formula"),
    ],
)
def test_rules_that_break_the_contract(rule, formula, message):
    with pytest.raises(AssertionError, match=message):
        check_rule(rule, formula)


class Constant(SquaredGradient):
    """The same map whatever is asked for."""

    def finish(self, signal, x):
        return ops.square(x)


class Blurred(SquaredGradient):
    """Lets samples influence each other."""

    def finish(self, signal, x):
        return signal + ops.mean(x, axis=0, keepdims=True)


class Summed(SquaredGradient):
    def finish(self, signal, x):
        return ops.sum(signal, axis=-1)


class Training(SquaredGradient):
    """Moves a weight of the model."""

    def analyze(self, x, *args, **kwargs):
        self.model.trainable_weights[0].assign_add(0.1 * self.model.trainable_weights[0])
        return super().analyze(x, *args, **kwargs)


@pytest.mark.parametrize(
    ("analyzer", "message"),
    [
        (Constant, "whatever neuron is chosen"),
        (Blurred, "changes the map by"),
        (Summed, "must have the shape"),
        (Training, "two equal calls differ"),
    ],
)
def test_methods_that_break_their_promises(analyzer, message):
    with pytest.raises(AssertionError, match=message):
        check_analyzer(analyzer)


def test_a_changed_model_is_noticed():
    with pytest.raises(AssertionError, match="the model was changed"):
        check_analyzer(Training, skip=["deterministic", "samples", "target", "neurons", "outputs"])


def test_bad_arguments():
    with pytest.raises(ValueError, match="`skip` must name checks"):
        check_analyzer("gradient", skip=["taste"])
    with pytest.raises(TypeError, match="`rule` must be an instance"):
        check_rule(Epsilon)
