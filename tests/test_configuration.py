"""Arguments are attributes: an analyzer can be made again from what it says of itself, whoever made it."""

import copy
import gc
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from keras import layers as L
from keras import ops
from models import array, network, shake
from versions import needs_keras

import innspect
from innspect.analyzers import Analyzer
from innspect.analyzers.base.registry import example_arguments, find
from innspect.analyzers.gradient import GradientAnalyzer
from innspect.analyzers.relevance import presets
from innspect.analyzers.relevance.lrp import LRP
from innspect.layers import Epsilon, Flat
from innspect.layers.weightless import Proportional

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.filterwarnings("ignore:.deep_taylor", "ignore:.*outside the bounds"),
]

METHODS = [name for name in innspect.list_analyzers() if not name.startswith("test.")]
ON_ALL = keras.backend.backend() == "tensorflow"
SOME = ["gradient", "lrp.epsilon", "smoothgrad", "grad_cam", "deep_lift", "pattern.attribution", "rise", "lrp.attention"]


@pytest.fixture(scope="module")
def model():
    return network()


X = array(3, 6, 6, 2)


def made(name, model, **more):
    analyzer = innspect.create_analyzer(name, model, **{**example_arguments(name, X), **more})
    return analyzer.fit(X) if name.startswith("pattern.") else analyzer


def maps(analyzer):
    return keras.tree.flatten(analyzer.analyze(X, 1))


def same(ours, theirs):
    for a, b in zip(maps(ours), maps(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.sweep(keep=ONE_OF_EACH, on="tensorflow")
@pytest.mark.parametrize("name", METHODS)
def test_every_class_can_be_made_again_from_its_configuration(name, model):
    analyzer = made(name, model)
    config = analyzer.get_config()
    assert config["name"] == name
    again = type(analyzer)(model, **config)
    assert again.name == name
    assert again.arguments().keys() == analyzer.arguments().keys()
    same(again, analyzer)


@pytest.mark.parametrize("name", METHODS if ON_ALL else SOME)
def test_and_from_its_file_a_pickle_and_a_copy(name, model, tmp_path):
    analyzer = made(name, model)
    analyzer.save(tmp_path / "a.innspect")
    loaded = innspect.load_analyzer(tmp_path / "a.innspect")
    for again in (loaded, pickle.loads(pickle.dumps(analyzer)), Analyzer.load(*analyzer.save())):
        assert again.name == name
        same(again, analyzer)


@pytest.mark.parametrize("name", SOME)
def test_a_copy_explains_a_model_of_its_own(name):
    analyzer = made(name, network())
    before = maps(analyzer)
    copied = copy.deepcopy(analyzer)
    assert copied.model is not analyzer.model
    same(copied, analyzer)
    copied.model.set_weights([1.5 * w for w in copied.model.get_weights()])
    assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(maps(copied), before, strict=True))
    for a, b in zip(maps(analyzer), before, strict=True):
        np.testing.assert_array_equal(a, b)


DIRECT = {
    "postprocess": lambda m: GradientAnalyzer(m, postprocess="abs"),
    "preset": lambda m: presets.EpsilonPlus(m, convolution="Alpha1Beta0"),
    "rule": lambda m: LRP(m, rule="ZPlus"),
    "rule class": lambda m: LRP(m, rule=Epsilon, epsilon=0.3),
    "rules": lambda m: LRP(m, rule="Epsilon", rules=[("pool", Proportional(0.2)), ("conv", Flat())]),
    "name": lambda m: GradientAnalyzer(m, postprocess="square", name="mine"),
    "numbers of NumPy": lambda m: find("smoothgrad")[0](
        m, num_samples=np.int64(2), noise_scale=np.float32(0.5), seed=np.int32(3)
    ),
    "of an analyzer": lambda m: find("smoothgrad")[0](m, of=LRP(m, rule="Epsilon"), num_samples=2),
    "of a name": lambda m: find("integrated_gradients")[0](m, steps=3, postprocess="abs", start="value"),
}


@pytest.mark.parametrize("case", DIRECT)
def test_an_analyzer_made_without_the_factory_is_saved_with_every_argument(case, model, tmp_path):
    analyzer = DIRECT[case](model)
    analyzer.save(tmp_path / "a.innspect")
    loaded = innspect.load_analyzer(tmp_path / "a.innspect")
    assert loaded.name == analyzer.name
    same(loaded, analyzer)
    same(type(analyzer)(model, **analyzer.get_config()), analyzer)
    same(copy.deepcopy(analyzer), analyzer)


def test_a_class_is_called_by_the_name_whose_arguments_it_has(model):
    assert presets.EpsilonPlus(model, convolution="Alpha1Beta0").name == "lrp.epsilon_plus"
    assert presets.EpsilonPlus(model, convolution="Alpha2Beta1", first="Flat").name == "lrp.epsilon_alpha_2_beta_1_flat"
    assert LRP(model, rule={"default": "Flat", "out": "Epsilon"}).name == "lrp"
    assert LRP(model, rule="Flat").name == "lrp.flat"
    assert GradientAnalyzer(model).name == "gradient"
    assert GradientAnalyzer(model, name="mine").name == "mine"


def test_arguments_are_those_that_are_not_the_names_own(model):
    assert innspect.create_analyzer("lrp.epsilon", model).arguments() == {}
    assert innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1, head="logit").arguments() == {"epsilon": 0.1}
    averaged = innspect.create_analyzer("smoothgrad", model, of="lrp.epsilon", epsilon=0.1, augment_by_n=3)
    assert averaged.arguments() == {"of": "lrp.epsilon", "epsilon": 0.1, "num_samples": 3}


def test_what_cannot_be_saved_cannot_be_pickled_and_says_so(model):
    class Unregistered(GradientAnalyzer):
        pass

    for analyzer, text in (
        (Unregistered(model), "register_analyzer"),
        (LRP(model, rule=[(lambda layer: True, "Epsilon")]), "argument 'rule'"),
        (LRP(model, rule="Epsilon", rules=[(lambda node: True, Epsilon())]), "argument 'rules'"),
    ):
        with pytest.raises(TypeError, match=text):
            analyzer.save()
        with pytest.raises(TypeError, match=text):
            pickle.dumps(analyzer)


def test_a_constructor_that_keeps_no_argument_is_told_so(model):
    class Forgetful(GradientAnalyzer):
        def __init__(self, model, *, factor=2, **arguments):
            super().__init__(model, **arguments)

    with pytest.raises(AttributeError, match=r"Forgetful takes the argument 'factor'.*self\.factor = factor"):
        Forgetful(model)


def test_a_class_that_hands_nothing_on_takes_no_name():
    class Plain(GradientAnalyzer):
        def __init__(self, model, *, factor=2):
            super().__init__(model)
            self.factor = factor

    from innspect.analyzers.base.registry import _ANALYZERS

    innspect.register_analyzer("test.plain")(Plain)
    try:
        analyzer = innspect.create_analyzer("test.plain", network(), factor=3)
        assert (analyzer.name, analyzer.get_config()) == ("test.plain", {"factor": 3})
        with pytest.raises(TypeError, match="takes no argument 'head'"):
            innspect.create_analyzer("test.plain", network(), head="output")
    finally:
        del _ANALYZERS["test.plain"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("integrated_gradients", {"steps": 0}, "`steps` must be a positive integer or 'auto'. Received: 0"),
        ("integrated_gradients", {"steps": True}, "`steps` must be a positive integer or 'auto'. Received: True"),
        ("gradient", {"postprocess": "sum"}, "`postprocess` must be None, 'abs' or 'square'. Received: 'sum'"),
        ("gradient", {"head": "softmax"}, "`head` must be 'logit' or 'output'. Received: 'softmax'"),
        ("rise", {"probability": 2}, "`probability` must be above 0 and at most 1. Received: 2"),
        ("random", {"seed": -1}, "`seed` must be None or an integer that is not negative. Received: -1"),
    ],
)
def test_an_argument_out_of_its_range_is_refused_in_the_same_words(name, arguments, message, model):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        innspect.create_analyzer(name, model, **arguments)


# ---------------------------------------------------------------------- files of before
REFERENCES = Path(__file__).parent / "references"


@needs_keras("3.15", "Keras cannot read the model in these files, which 3.15 wrote")
@pytest.mark.parametrize("kind", ["analyzer", "patterns"])
def test_a_file_of_the_first_version_still_loads(kind):
    known = np.load(REFERENCES / "analyzers_of_version_1.npz")
    analyzer = innspect.load_analyzer(REFERENCES / f"{kind}_of_version_1.innspect")
    expected = known["lrp" if kind == "analyzer" else "patterns"]
    np.testing.assert_allclose(analyzer.analyze(known["x"], 0), expected, rtol=1e-4, atol=1e-6)


def test_rules_are_saved_by_name_and_not_by_where_they_stand(model, tmp_path):
    import json
    import zipfile

    LRP(model, rule=Epsilon, input_layer_rule=Flat()).save(tmp_path / "a.innspect")
    with zipfile.ZipFile(tmp_path / "a.innspect") as archive:
        text = archive.read("analyzer.json").decode()
    assert "innspect.layers" not in text
    assert json.loads(text)["analyzer"]["config"]["rule"] == {"class": "Epsilon"}


def test_a_model_that_was_deep_copied_with_its_analyzer_is_the_copys_model():
    model = network()
    copied_model, analyzer = copy.deepcopy((model, GradientAnalyzer(model)))
    assert analyzer.model is copied_model
    gc.collect()


# ---------------------------------------------------------------------- methods of one's own, without a way back
def test_a_method_that_sends_no_signal_has_one_method_to_write():
    class Ablation(innspect.Analyzer):
        """What the explained value loses where a feature is 0."""

        def attribute(self, question):
            (x,) = question.arrays
            hidden = np.stack([np.where(np.arange(x.shape[1]) == i, 0, x) for i in range(x.shape[1])])
            values = question.value([hidden.reshape(-1, x.shape[1])])
            return [(question.target - values.reshape(len(hidden), -1)).T]

    from innspect.analyzers.base.registry import _ANALYZERS
    from innspect.testing import check_analyzer

    innspect.register_analyzer("test.ablation")(Ablation)
    try:
        x = keras.Input((5,))
        linear = shake(keras.Model(x, L.Dense(3)(x)))
        data = array(4, 5)
        ours = innspect.create_analyzer("test.ablation", linear).explain(data, neurons=[0, 2])
        kernel = ops.convert_to_numpy(linear.layers[-1].kernel)
        expected = np.stack([data * kernel[:, 0], data * kernel[:, 2]])
        np.testing.assert_allclose(ours.attributions, expected, rtol=1e-4, atol=1e-5)
        largest = ops.convert_to_numpy(linear(data)).max(axis=1)
        np.testing.assert_allclose(innspect.create_analyzer("test.ablation", linear).explain(data).targets, largest, rtol=1e-5)
        check_analyzer("test.ablation", models={"linear": (linear, data)})
        with pytest.raises(ValueError, match="sends no signal"):
            innspect.create_analyzer("test.ablation", linear).explain(data, at="dense")
    finally:
        del _ANALYZERS["test.ablation"]


def test_a_shallow_copy_explains_the_same_model(model):
    analyzer = made("pattern.net", model)
    copied = copy.copy(analyzer)
    assert copied.model is analyzer.model
    assert copied.opened is analyzer.opened
    same(copied, analyzer)
