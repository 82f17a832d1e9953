"""Which methods are taken where none are named."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.defaults import SUITED, kind_of


def image():
    i = keras.Input((8, 8, 3))
    x = L.Conv2D(4, 3, activation="relu")(i)
    return keras.Model(i, L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def series():
    i = keras.Input((12, 2))
    x = L.Conv1D(4, 3, activation="relu")(i)
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(x)))


def text():
    i = keras.Input((6,), dtype="int32")
    x = L.Conv1D(4, 3, activation="relu")(L.Embedding(20, 5)(i))
    return keras.Model(i, L.Dense(3)(L.GlobalMaxPooling1D()(x)))


def recurrent():
    i = keras.Input((6,), dtype="int32")
    return keras.Model(i, L.Dense(3)(L.LSTM(4)(L.Embedding(20, 5)(i))))


def attention():
    i = keras.Input((6, 4))
    x = L.LayerNormalization()(i + L.MultiHeadAttention(2, 2)(i, i))
    return keras.Model(i, L.Dense(3, activation="softmax")(L.GlobalAveragePooling1D()(x)))


def table():
    i = keras.Input((5,))
    return keras.Model(i, L.Dense(3, activation="softmax")(L.Dense(4, activation="relu")(i)))


NETWORKS = {"image": image, "series": series, "text": text, "recurrent": recurrent, "attention": attention, "table": table}


def some(model):
    x = np.random.default_rng(0).uniform(0, 5, (2, *model.input_shape[1:]))
    return x.astype(model.inputs[0].dtype)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_gets_what_suits_it_and_each_method_explains_it(kind):
    model = NETWORKS[kind]()
    x = some(model)
    assert kind_of(innspect.open_model(model)) == kind
    names = innspect.default_methods(model, x)
    assert 3 <= len(names) <= 4
    assert names == [name for name in SUITED[kind] if name in names]
    assert names[0] == SUITED[kind][0]
    for name in names:
        assert np.isfinite(innspect.create_analyzer(name, model).analyze(x)).all()


def test_a_function_gets_what_only_calls_it():
    assert innspect.default_methods(lambda x: x.sum((1, 2)), np.ones((2, 4, 4, 3))) == ["occlusion", "rise"]
    assert innspect.default_methods(lambda x: x) == ["occlusion"]


def test_the_composite_without_bounds_is_its_three_rules():
    i = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, activation="relu", name="first")(i)
    x = L.Conv2D(4, 3, activation="relu")(x)
    model = keras.Model(i, L.Dense(3)(L.Flatten()(x)))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    rules = {"convolution": "Gamma", "dense": "Epsilon", "first": "Flat"}
    expected = innspect.create_analyzer("lrp", model, rule=rules, epsilon=1e-6, gamma=0.25).analyze(x)
    np.testing.assert_allclose(innspect.create_analyzer("lrp.epsilon_gamma_flat", model).analyze(x), expected, rtol=1e-5)


def test_reports_take_them():
    model = image()
    found = innspect.report(model, some(model)).explained.methods
    assert list(found) == innspect.default_methods(model)


def test_the_methods_to_begin_with_are_those_that_won_where_all_were_measured():
    measured = json.loads((Path(__file__).parent.parent / "docs" / "choosing.json").read_text())["defaults"]
    assert measured.keys() == SUITED.keys() - {"function"}
    for kind, names in measured.items():
        assert SUITED[kind][: len(names)] == tuple(names), kind
