import warnings

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from models import ZOO, shake
from networks import SMOOTH, dense_networks, drawn, normal, outputs

import innspect

ROOTS = ("origin", "segment", "newton")


def taylor(model, **arguments):
    return innspect.create_analyzer("simple_taylor", model, **arguments)


@drawn
@given(
    network=dense_networks(activations=("relu", "leaky_relu", *SMOOTH)), seed=st.integers(0, 99), root=st.sampled_from(ROOTS)
)
def test_value_is_attributions_plus_remainder_plus_value_at_the_root(quick, network, seed, root):
    build, width = network
    model, x = build(), normal(4, width, seed=seed)
    reference = {} if root == "origin" else {"reference_inputs": normal(width, seed=seed + 1)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # not every f has a root there
        explanation = taylor(model, root=root, **reference).explain(x, 1)
    found = explanation.details
    assert np.isfinite(explanation.attributions).all()
    at_root = outputs(model, found["root"])[:, 1]
    np.testing.assert_allclose(found["root_value"], at_root, atol=1e-4)
    total = explanation.attributions.sum(1) + found["remainder"] + found["root_value"]
    np.testing.assert_allclose(total, outputs(model, x)[:, 1], atol=1e-5)
    np.testing.assert_allclose(explanation.delta, explanation.targets - explanation.attributions.sum(1), atol=1e-6)
    limit = 1e-5 * np.maximum(1, np.abs(explanation.targets))
    assert np.all(np.abs(at_root[found["converged"]]) <= limit[found["converged"]])


def test_newton_finds_the_nearest_root_of_an_affine_function_in_one_step(quick):
    model = shake(keras.Sequential([keras.Input((5,)), L.Dense(3)]))
    x, w = normal(4, 5), None
    explanation = taylor(model, root="newton", iterations=1).explain(x, 1)
    w = model.get_weights()[0][:, 1]
    np.testing.assert_allclose(explanation.attributions, w**2 / (w @ w) * explanation.targets[:, None], atol=1e-5)
    np.testing.assert_allclose(explanation.details["remainder"], 0, atol=1e-5)
    np.testing.assert_allclose(outputs(model, explanation.details["root"])[:, 1], 0, atol=1e-5)
    assert explanation.details["converged"].all()


@pytest.mark.parametrize("root", ["newton", "segment"])
def test_roots_of_a_curved_function(root, quick):
    """f = x1^2 + x2^2 - 1: the root of (3, 4) on the way to 0 is (0.6, 0.8)."""
    x = keras.Input((2,))
    model = keras.Model(x, keras.ops.sum(x * x, axis=-1, keepdims=True) - 1.0)
    explanation = taylor(model, root=root).explain(np.array([[3.0, 4.0]], "float32"))
    np.testing.assert_allclose(explanation.details["root"], [[0.6, 0.8]], atol=1e-5)
    np.testing.assert_allclose(explanation.attributions, [[(3 - 0.6) * 2 * 0.6, (4 - 0.8) * 2 * 0.8]], rtol=1e-4)
    np.testing.assert_allclose(explanation.details["remainder"], 24 - explanation.attributions.sum(1), rtol=1e-4)


@drawn
@given(network=dense_networks(activations=("relu",), bias=False), seed=st.integers(0, 99))
def test_origin_is_a_root_without_remainder_of_networks_without_biases(quick, network, seed):
    build, width = network
    explanation = taylor(build()).explain(normal(3, width, seed=seed), 0)
    np.testing.assert_allclose(explanation.details["remainder"], 0, atol=1e-5)
    np.testing.assert_allclose(explanation.attributions.sum(1), explanation.targets, atol=1e-5)
    assert explanation.details["converged"].all()


def test_bounds_are_kept(quick):
    model, x = ZOO["functional"]()
    x = np.clip(x, -1, 1)
    explanation = taylor(model, root="newton", low=-1, high=1).explain(x, 1)
    assert explanation.details["converged"].all()
    assert np.abs(explanation.details["root"]).max() <= 1


@pytest.mark.parametrize("root", ["segment", "newton"])
def test_where_there_is_no_root_it_says_so(root, quick):
    model = keras.Sequential([keras.Input((2,)), L.Dense(1, activation="relu"), L.Dense(1)])
    model.set_weights([np.array([[1.0], [1.0]]), np.zeros(1), np.array([[1.0]]), np.array([2.0])])  # relu(x1 + x2) + 2
    x = np.array([[1.0, 1.0], [-1.0, -1.0]], "float32")
    analyzer = taylor(model, root=root, iterations=5) if root == "newton" else taylor(model, root=root)
    with pytest.warns(UserWarning, match=f"root='{root}' found no root point for 2 of 2"):
        explanation = analyzer.explain(x)
    assert not explanation.details["converged"].any()
    assert np.isfinite(explanation.attributions).all()


@pytest.mark.parametrize("root", ROOTS)
def test_samples_do_not_meet_and_several_neurons_are_each_explained(root, quick):
    model, x = ZOO["functional"]()
    x = np.clip(x, -1, 1)
    bounds = {"low": -1, "high": 1} if root == "newton" else {}
    reference = {"reference_inputs": x[::-1] * -2} if root == "segment" else {}
    analyzer = taylor(model, root=root, **bounds, **reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        several = analyzer.explain(x, neurons=[0, 1])
        assert several.attributions.shape == (2, *x.shape)
        assert several.details["root"].shape == (2, *x.shape)
        assert several.details["converged"].shape == several.delta.shape == (2, 3)
        assert np.abs(several.attributions[0] - several.attributions[1]).max() > 1e-3
        if root == "segment":
            analyzer.reference_inputs = x[:1] * -2
        alone = analyzer.analyze(x[2:], 1)
    np.testing.assert_allclose(alone, several.attributions[1, 2:], atol=1e-5)


def test_ids_are_expanded_at_their_vectors(quick):
    model, x = ZOO["masked_embedding"]()
    product = innspect.create_analyzer("input_t_gradient", model).analyze(x)
    np.testing.assert_allclose(taylor(model).analyze(x), product, atol=1e-6)
    with pytest.raises(ValueError, match="Newton's steps cannot move ids"):
        taylor(model, root="newton")


def test_details_are_saved(quick, tmp_path):
    model, x = ZOO["functional"]()
    explanation = taylor(model).explain(x)
    explanation.save(tmp_path / "e.npz")
    loaded = innspect.Explanation.load(tmp_path / "e.npz")
    np.testing.assert_array_equal(loaded.details["remainder"], explanation.details["remainder"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"root": "bisection"}, "`root` must be.*Received: 'bisection'"),
        ({"damping": 0}, "`damping`.*Received: 0"),
        ({"iterations": 0}, "`iterations`.*Received: 0"),
    ],
)
def test_errors(arguments, message, quick):
    with pytest.raises(ValueError, match=message):
        taylor(ZOO["functional"]()[0], **arguments)


def test_a_segment_has_one_end(quick):
    model, x = ZOO["functional"]()
    with pytest.raises(ValueError, match=r"one reference for a segment. Received: 2"):
        taylor(model, root="segment", reference_inputs=[0, 1]).analyze(x)
