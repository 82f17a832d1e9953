"""`innspect.testing` passes every method of innspect, and catches methods and rules that break their promises."""

import numpy as np
import pytest
from groups import ONE_OF_EACH
from keras import ops

import innspect
from innspect.analyzers import ReverseAnalyzer
from innspect.analyzers.base.config import parameters
from innspect.analyzers.base.registry import describe, example_arguments, find, names_of
from innspect.layers import Epsilon
from innspect.testing import check_analyzer, check_rule, example_models

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:'deep_taylor")]

MODELS = example_models()
NAMES = [name for name in innspect.list_analyzers() if not name.startswith("test.")]
CLASSES = {find(name)[0] for name in NAMES} - {find("cam")[0]}  # which needs a model of its own, see test_cam.py
# Beside one name for each class, those that take another way through theirs.
OTHERS = "lrp.z lrp.gamma lrp.w_square lrp.flat lrp.alpha_2_beta_1 lrp.z_plus lrp.z_plus_fast".split()
METHODS = sorted({next(iter(names_of(cls))) for cls in CLASSES} | set(OTHERS))
SETTINGS = {"lrp.cp": {"epsilon": 0.01}}


@pytest.mark.sweep(keep=ONE_OF_EACH, on="jax tensorflow")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_keeps_the_promises(name):
    cls, _ = find(name)
    skip = ["target"] if cls.family == "baseline" else []
    setup = (lambda analyzer, x: analyzer.fit(x)) if cls.learned else None
    alone = cls.family == "class activation" or "background" in cls.needs
    models = {"images": MODELS["images"]} if alone else MODELS
    x = MODELS["images"][1] if alone else [x for _, x in MODELS.values()]
    check_analyzer(name, models=models, skip=skip, setup=setup, **example_arguments(name, x), **SETTINGS.get(name, {}))


def test_every_method_tells_what_is_known_of_it():
    for name in NAMES:
        cls, fixed = find(name)
        told = describe(name)
        assert told["family"], name
        assert told["paper"] or told["family"] == "baseline", name
        ranged = cls.all_ranges()
        assert set(ranged) <= set(parameters(cls)), name
        unranged = {k for k, v in cls.defaults().items() if isinstance(v, str) and k not in (*ranged, *fixed)}
        assert unranged <= {"name", "of", "rule", "value", "pattern_type", "convolution"}, name


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
