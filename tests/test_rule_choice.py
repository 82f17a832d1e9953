"""The rule argument of "lrp": lists in the model's order and (condition, rule) pairs, as in iNNvestigate."""

import copy
import warnings

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzer.relevance_based import relevance_analyzer, relevance_rule
from innspect.utils.keras import checks

pytestmark = pytest.mark.filterwarnings("ignore:The first rule of the list `rule`")

DENSE = (checks.is_dense_layer, "Epsilon")
CONVOLUTION = (checks.is_conv_layer, "Alpha1Beta0")


def network():
    parts = [L.Conv2D(3, 3, activation="relu", name="c"), L.SeparableConv2D(3, 2, activation="relu", name="s"), L.Flatten()]
    parts += [L.BatchNormalization(), L.Dense(4, activation="relu", name="d"), L.Dense(3, name="out")]
    return shake(keras.Sequential([keras.Input((6, 6, 2)), *parts]))


MODEL, X = network(), array(2, 6, 6, 2)


def lrp(rule, **arguments):
    return innspect.create_analyzer("lrp", MODEL, rule=rule, **arguments).analyze(X)


def test_a_list_serves_layers_in_order():
    expected = lrp({"c": "Flat", "s": "ZPlus", "d": "Epsilon", "out": "Z"})
    np.testing.assert_array_equal(expected, lrp(["Flat", "ZPlus", "Epsilon", "Z"]))
    np.testing.assert_array_equal(expected, lrp(["ZPlus", "Epsilon", "Z"], input_layer_rule="Flat"))
    np.testing.assert_array_equal(expected, lrp(["Gamma", "ZPlus", "Epsilon", "Z"], input_layer_rule="Flat"))
    assert np.abs(expected - lrp(["Flat", "Epsilon", "ZPlus", "Z"])).max() > 1e-4


def test_a_list_is_told_of_once():
    """iNNvestigate takes its lists from their ends. Copies and files of an analyzer are silent."""
    with pytest.warns(UserWarning, match="turn around one that was written for it") as told:
        analyzer = innspect.create_analyzer("lrp", MODEL, rule=["Flat", "ZPlus", "Epsilon", "Z"])
    assert [w.filename for w in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)  # Keras' own
        copy.copy(analyzer).analyze(X)
        lrp([DENSE, CONVOLUTION])
        lrp("Epsilon", input_layer_rule=(-3, 3))


def test_the_first_condition_that_holds_decides():
    expected = lrp({"dense": "Epsilon", "convolution": "Alpha1Beta0"})
    np.testing.assert_array_equal(expected, lrp([DENSE, CONVOLUTION]))
    np.testing.assert_array_equal(expected, lrp([DENSE, (lambda layer: True, "Alpha1Beta0")]))
    np.testing.assert_array_equal(expected, lrp([DENSE, (lambda layer, state: state["layer"] is layer, "Alpha1Beta0")]))
    box = lrp({"dense": "Epsilon", "convolution": "Alpha1Beta0"}, input_layer_rule=(-3, 3))
    np.testing.assert_array_equal(box, lrp([DENSE, CONVOLUTION], input_layer_rule=(-3, 3)))
    assert np.abs(expected - lrp([(lambda layer: True, "Alpha1Beta0"), DENSE])).max() > 1e-4


def test_a_separable_first_layer_keeps_a_rule_for_its_second_half():
    model = shake(keras.Sequential([keras.Input((5, 5, 2)), L.SeparableConv2D(3, 2), L.Flatten(), L.Dense(3)]))
    analyzer = innspect.create_analyzer("lrp", model, rule=["Epsilon"], input_layer_rule=(-3, 3))
    expected = innspect.create_analyzer("lrp", model, rule="Epsilon", input_layer_rule=(-3, 3))
    np.testing.assert_array_equal(analyzer.analyze(array(1, 5, 5, 2)), expected.analyze(array(1, 5, 5, 2)))


@pytest.mark.parametrize("name", relevance_analyzer.LRP_RULES)
def test_rules_as_classes_are_those_by_name(name):
    class Settled(getattr(relevance_rule, f"{name}Rule")):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **SETTINGS.get(name, {}), **kwargs)

    by_name = {"low": -3, "high": 3} if name == "Bounded" else SETTINGS.get(name, {})
    rest = ["Epsilon", "Epsilon", "Epsilon"]
    np.testing.assert_array_equal(lrp([Settled, *rest]), lrp({"c": name, "default": "Epsilon"}, **by_name))


SETTINGS = {
    "Bounded": {"low": np.float32(-3), "high": np.float32(3)},
    "AlphaBeta": {"alpha": 3, "beta": 2},
    "AlphaBetaIgnoreBias": {"alpha": 3, "beta": 2},
}


def test_lists_are_saved_with_the_analyzer(tmp_path):
    rules = ["Flat", relevance_rule.ZPlusRule, innspect.layers.Epsilon(0.1), "Z"]
    analyzer = innspect.create_analyzer("lrp", MODEL, rule=rules)
    analyzer.save(tmp_path / "analyzer")
    np.testing.assert_allclose(innspect.load_analyzer(tmp_path / "analyzer").analyze(X), analyzer.analyze(X), rtol=1e-6)
    with pytest.raises(TypeError, match="'rule' of the analyzer cannot be saved"):
        innspect.create_analyzer("lrp", MODEL, rule=[(lambda layer: True, "Z")]).save(tmp_path / "other")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (["Z"], r"each of the 4 kernel layers \['c', 's', 'd', 'out'\]. Received: 1 rules"),
        ([], "must not be empty"),
        ([DENSE], "none that holds for 'c'"),
        ([DENSE, "Z"], "Received: a mix"),
    ],
)
def test_lists_that_do_not_fit(rule, said):
    with pytest.raises(ValueError, match=said):
        lrp(rule)


def test_conditions_know_layers():
    relu, batch = L.Dense(2, activation="relu"), L.BatchNormalization()
    assert checks.contains_activation(relu)
    assert checks.contains_activation(relu, "relu")
    assert not checks.contains_activation(relu, "tanh")
    assert checks.contains_activation(L.Softmax(), "softmax")
    assert checks.only_relu_activation(relu)
    assert not checks.only_relu_activation(L.Activation("tanh"))
    assert checks.contains_kernel(MODEL.get_layer("s"))
    assert not checks.contains_kernel(batch)
    assert checks.is_batch_normalization_layer(batch)
    assert checks.is_conv_layer(L.Conv1DTranspose(2, 2), {})
    assert not checks.is_conv_layer(relu)
    assert checks.is_average_pooling(L.GlobalAveragePooling1D())
    assert checks.is_max_pooling(L.MaxPooling2D())
    assert checks.is_add_layer(L.Add())
    assert checks.is_embedding_layer(L.Embedding(2, 2))
