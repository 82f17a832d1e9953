"""What synthesis says to bad input, and what it does where nothing moves or numbers are not finite any more."""

import json

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import synthesis
from innspect.synthesis import Synthesis, objectives, regularizers, transformations


@pytest.fixture(scope="module")
def model():
    layers = [L.Conv2D(4, 3, activation="tanh", name="conv"), L.Flatten(), L.Dense(3, activation="softmax", name="classes")]
    return shake(keras.Sequential([keras.Input((7, 6, 1)), *layers]))


def of_ids():
    ids = keras.Input((4,), dtype="int32")
    return shake(keras.Model(ids, L.Dense(2)(L.Flatten()(L.Embedding(5, 2)(ids)))))


BAD = {
    "layer": ({"target": innspect.unit("cnv", 0)}, KeyError, "Did you mean 'conv'"),
    "channel": ({"target": innspect.unit("conv", 4)}, ValueError, "between 0 and 3.*Received: 4"),
    "position": ({"target": innspect.unit("conv", 1, (5, 0))}, ValueError, "inside"),
    "axes of a position": ({"target": innspect.unit("conv", 1, 2)}, ValueError, "2 integers"),
    "class": ({"target": 3}, ValueError, "between 0 and 2.*Received: 3"),
    "name": ({"target": "catt", "labels": ["cat", "dog", "cow"]}, ValueError, "Did you mean 'cat'"),
    "no labels": ({"target": "cat"}, ValueError, "labels"),
    "none": ({"target": None}, ValueError, "must say what"),
    "empty": ({"target": []}, ValueError, "at least one"),
    "in a list": ({"target": [0, 7]}, ValueError, "Received: 7"),
    "start": ({"start": "zero"}, ValueError, "must be one of"),
    "shape of a start": ({"start": np.zeros((1, 5, 5, 1))}, ValueError, "wrong shape"),
    "counts": ({"target": [0, 1], "start": np.zeros((3, 7, 6, 1))}, ValueError, "2 of `target` for 3"),
    "steps": ({"steps": 0}, ValueError, "steps"),
    "seed": ({"seed": -1}, ValueError, "seed"),
    "objective": ({"objective": "logits"}, KeyError, "Did you mean 'logit'"),
    "regularizer": ({"regularizers": {"total_varation": 1}}, KeyError, "Did you mean"),
    "strength": ({"regularizers": {"l2": -1}}, ValueError, "not negative"),
    "no dict": ({"regularizers": "l2"}, ValueError, "must be a dict"),
    "argument": ({"regularizers": {"lp": {"strength": 1, "powr": 2}}}, TypeError, "it has: power"),
    "transformation": ({"transformations": ["jiter"]}, KeyError, "Did you mean 'jitter'"),
    "its argument": ({"transformations": [("crop", {"count": 0})]}, ValueError, "count"),
    "mean": ({"mean": 0.5}, ValueError, "regularizers"),
    "shape of a mean": ({"mean": np.zeros(5), "regularizers": {"l2": 1}}, ValueError, "broadcasts"),
    "features": ({"regularizers": {"features": {"strength": 1, "layer": "conv"}}}, ValueError, "start image"),
    "data": ({"start": "maco", "data": np.zeros((3, 5, 5, 1))}, ValueError, "Received: shape"),
    "unused data": ({"data": np.zeros((3, 7, 6, 1))}, ValueError, "is used by"),
    "range": ({"low": 1, "high": 0}, ValueError, "above"),
    "half a range": ({"start": "fourier", "low": 1}, ValueError, "both"),
    "density": ({"density": 3}, TypeError, "density"),
    "what a density returns": ({"density": lambda x: x}, ValueError, "one log-density"),
    "nan": ({"start": np.full((7, 6, 1), np.nan)}, ValueError, "finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(model, name):
    given, error, told = BAD[name]
    with pytest.raises(error, match=f"(?s){told}"):
        innspect.synthesize(model, **{"target": 0, "steps": 2, **given})


def test_sums_leave_their_terms_alone():
    a, b = innspect.unit("conv", 0), synthesis.neuron(1)
    total = a + 2 * b - a
    assert a.terms == ((1.0, a),)
    assert [f for f, _ in total.terms] == [1.0, 2.0, -1.0]
    assert [f for f, _ in (-(a - b) * np.float32(0.5)).terms] == [-0.5, 0.5]
    for wrong in (lambda: a + 3, lambda: 3 - a, lambda: a * "x", lambda: a - np.array([1, 2])):
        with pytest.raises(TypeError):
            wrong()
    for wrong in (("conv", -1), ("conv", 0, (1, -1)), ("conv", 0, None, "median")):
        with pytest.raises(ValueError, match="Received"):
            innspect.unit(*wrong)


def test_a_generator_must_fit(model):
    wrong = keras.Sequential([keras.Input((3,)), L.Dense(42)])
    with pytest.raises(ValueError, match=r"\(7, 6, 1\).*\(42,\)"):
        innspect.synthesize(model, 0, generator=wrong)
    with pytest.raises(TypeError, match="generator"):
        innspect.synthesize(model, 0, generator=lambda z: z)
    right = keras.Sequential([keras.Input((3,)), L.Dense(42), L.Reshape((7, 6, 1))])
    with pytest.raises(ValueError, match="spatial"):
        innspect.synthesize(model, 0, generator=right, regularizers={"total_variation": 1})
    with pytest.raises(ValueError, match="codes"):
        innspect.synthesize(model, 0, generator=right, start=np.zeros(4))


def test_a_target_must_depend_on_the_input(model):
    inputs = keras.Input((7, 6, 1))
    constant = L.Dense(2)(keras.ops.zeros_like(L.Flatten()(inputs)))
    with pytest.raises(ValueError, match="does not depend"):
        innspect.synthesize(shake(keras.Model(inputs, [model(inputs), constant])), 0, output=1, steps=1)


def dead(bias):
    """A sum of inputs behind a ReLU: dead at zero."""
    network = keras.Sequential([keras.Input((6,)), L.Dense(1, activation="relu", name="unit"), L.Dense(1, use_bias=False)])
    network.set_weights([np.eye(6)[:, :1], np.array([bias]), np.ones((1, 1))])
    return network


def test_no_gradient_at_the_start():
    with pytest.warns(UserWarning, match="No gradient at the start for 1 of 1 samples"):
        found = innspect.synthesize(dead(-0.01), 0, steps=4)
    assert found.values > 0
    assert "drawn start" in found.notes[0]
    with pytest.raises(ValueError, match="neither at the start nor at drawn ones"):
        innspect.synthesize(dead(-1e4), 0, steps=4)


def test_it_stops_at_the_last_finite_image():
    """A ReLU's exponential leaves float32 at 88: where it does a sample stops, and the one beside it goes on."""
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.ops.exp(L.Dense(2, use_bias=False)(inputs)))
    model.set_weights([np.diag([40.0, 0.5])])
    with pytest.warns(UserWarning, match=r"Stopped at the last finite image: 1 of 2 samples \(number 0\)"):
        found = innspect.synthesize(model, [0, 1], steps=20, step_size=0.5, start=np.ones((1, 2)))
    assert np.isfinite(found.images).all()
    assert np.isfinite(found.values).all()
    assert np.isnan(found.curve[0, :-1]).any()
    assert np.isfinite(found.curve[1]).all()
    alone = innspect.synthesize(model, 1, steps=20, step_size=0.5, start=np.ones((1, 2)))
    assert np.allclose(alone.images[0], found.images[1], rtol=1e-5)


def test_what_others_register(model):
    @synthesis.register_objective("margin")
    def margin(y, weights, head):
        assert head == "softmax"
        return keras.ops.sum(weights * y, axis=-1) - keras.ops.max(keras.ops.where(weights > 0, -1e9, y), axis=-1)

    @synthesis.register_regularizer("top", spatial=True)
    def top(x, rows=2):
        return keras.ops.sum(x[:, :rows] ** 2, axis=(1, 2, 3))

    @synthesis.register_transformation("flip", moves=True)
    def flip(random, sizes, progress):
        matrix = np.eye(2, 3)
        matrix[1, 1] = -1
        return matrix

    try:
        asked = {"objective": "margin", "steps": 3, "start": array(7, 6, 1), "step_size": 1e-7}
        plain = innspect.synthesize(model, 1, **asked)
        logits = innspect.model_wo_softmax(model).predict(plain.images, verbose=0)[0]
        assert np.isclose(plain.values[0], logits[1] - max(logits[0], logits[2]), atol=1e-4)
        turned = innspect.synthesize(model, 1, **asked, transformations=["flip"])
        flipped = innspect.synthesize(model, 1, **{**asked, "start": array(7, 6, 1)[:, ::-1]})
        assert np.isclose(turned.curve[0, 0], flipped.curve[0, 0], atol=1e-4)
        held = innspect.synthesize(model, 1, **asked, regularizers={"top": {"strength": 0.1, "rows": 1}, _squares: 0.5})
        less = 0.1 * (array(7, 6, 1)[:1] ** 2).sum() + 0.5 * (array(7, 6, 1) ** 2).sum()
        assert np.isclose(plain.curve[0, 0] - held.curve[0, 0], less, rtol=1e-3)
    finally:
        del objectives._known["margin"], regularizers._known["top"], transformations._known["flip"]


def _squares(x):
    return keras.ops.sum(x**2, axis=(1, 2, 3))


def test_a_result_is_kept_and_shown(model, tmp_path):
    found = innspect.synthesize(model, [0, innspect.unit("conv", 1)], start="maco", steps=2)
    found.save(tmp_path / "found.npz")
    again = Synthesis.load(tmp_path / "found.npz")
    assert (again.images == found.images).all()
    assert again.settings == found.settings
    assert again.names == ["output 0", "conv 1"]
    assert json.loads(found.to_json())["settings"]["steps"] == 2
    assert again.pictures().shape == (2, 7, 6, 3)
    assert len(again.show().axes) == 2
    assert "<img" in again._repr_html_()
    assert "conv 1" in repr(again)
    features = innspect.synthesize(dead(1.0), 0, steps=1)
    with pytest.raises(ValueError, match="Only images"):
        features.pictures()


def test_ids_are_drawn_where_nothing_is_an_image():
    with pytest.raises(ValueError, match="spatial"):
        innspect.synthesize(of_ids(), 0, start="fourier")
    assert innspect.synthesize(of_ids(), 0, steps=1).low is None
