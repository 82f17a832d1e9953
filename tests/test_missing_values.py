"""NaN and infinities: what the model takes in their place is explained; warnings tell whose output is not finite."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import shake
from networks import normal

import innspect

pytestmark = [pytest.mark.usefixtures("eager"), pytest.mark.filterwarnings("ignore:'deep_taylor'")]

METHODS = {
    "gradient": {},
    "input_t_gradient": {},
    "lrp.epsilon": {},
    "lrp.alpha_2_beta_1": {},
    "deep_taylor": {},
    "integrated_gradients": {"steps": 4},
    "smoothgrad": {"num_samples": 3},
    "simple_taylor": {},
    "deep_lift": {},
    "occlusion": {},
    "rise": {"num_masks": 8},
}
some_on_jax = pytest.mark.sweep(on="jax", keep=["input_t_gradient", "integrated_gradients", "deep_lift", "rise"])
MEANS = np.array([0.1, -0.2, 0.3, 0.4], "float32")


def network(*stages, shape=(4,)):
    x = y = keras.Input(shape)
    for stage in (*stages, L.Flatten(), L.Dense(6, activation="relu"), L.Dense(2)):
        y = stage(y)
    return shake(keras.Model(x, y))


def maps(method, model, x, **arguments):
    return innspect.create_analyzer(method, model, **METHODS[method], **arguments).analyze(x, 1)


def with_gaps(value=np.nan):
    x = normal(3, 4)
    x[0, 1] = x[2, 3] = x[2, 0] = value
    return x


# ---------------------------------------------------------------------- what the model replaces
REPLACED = {
    "by 0": (ops.nan_to_num, np.nan, 0.0),
    "by -1": (lambda x: ops.nan_to_num(x, nan=-1.0), np.nan, -1.0),
    "by a condition": (lambda x: ops.where(ops.isnan(x), 5.0, x), np.nan, 5.0),
    "by means": (lambda x: ops.where(ops.isnan(x), MEANS, x), np.nan, MEANS),
    "after scaling": (lambda x: ops.nan_to_num(x / 2), np.nan, 0.0),
    "by a bound": (lambda x: ops.clip(x, -3.0, 3.0), np.inf, 3.0),
    "by a number and a bound": (lambda x: ops.clip(ops.nan_to_num(x), -3.0, 3.0), -np.inf, -3.0),
}


@some_on_jax
@pytest.mark.parametrize("method", METHODS)
def test_what_the_model_replaces_is_explained_as_what_it_takes(method):
    for stage, value, taken in REPLACED.values():
        model, x = network(stage), with_gaps(value)
        wanted = maps(method, model, np.where(np.isfinite(x), x, taken).astype("float32"))
        np.testing.assert_allclose(maps(method, model, x), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_so_it_is_for_functions(method):
    def function(x):
        return np.nan_to_num(x) @ np.arange(8).reshape(4, 2)

    np.testing.assert_allclose(maps(method, function, with_gaps()), maps(method, function, np.nan_to_num(with_gaps())))


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_so_it_is_for_references(method):
    model, x = network(lambda x: ops.nan_to_num(x, nan=2.0)), normal(3, 4)
    wanted = maps(method, model, x, reference_inputs=2.0)
    np.testing.assert_allclose(maps(method, model, x, reference_inputs=np.nan), wanted, rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------------- where a gap says something of its own
@some_on_jax
@pytest.mark.parametrize("method", METHODS)
def test_a_gap_that_is_told_apart_counts_as_0(method):
    def indicated(x):
        return ops.concatenate([ops.nan_to_num(x), ops.cast(ops.isnan(x), "float32")], axis=1)

    model, x = network(indicated), with_gaps()
    found, gap = maps(method, model, x), np.isnan(x)
    assert np.isfinite(found).all()
    if method in ("input_t_gradient", "integrated_gradients", "deep_lift", "simple_taylor", "lrp.epsilon"):
        assert not found[gap].any()
        assert found[~gap].all()
    untouched = maps(method, model, x[1:2])
    np.testing.assert_allclose(found[1:2], untouched, rtol=1e-5, atol=1e-6)


INNER = {
    "log": lambda x: ops.where(x > 0, ops.log(x), 0.0),
    "sqrt": lambda x: ops.where(x > 0, ops.sqrt(x), 0.0),
    "reciprocal": lambda x: ops.where(x > 0, 1 / x, 0.0),
}


@pytest.mark.parametrize("name", INNER)
def test_the_branch_that_a_condition_leaves_out_sends_nothing(name):
    model, x = network(INNER[name]), np.abs(normal(3, 4)) + 0.5
    x[0, 1] = 0.0
    for method in ("gradient", "input_t_gradient", "lrp.epsilon"):
        found = maps(method, model, x)
        assert np.isfinite(found).all()
        assert found[0, 1] == 0
        np.testing.assert_allclose(found[1:], maps(method, model, x[1:]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_a_constant_image_has_a_contrast(method):
    model, x = network(L.AutoContrast(value_range=(0, 255)), shape=(4, 4, 3)), 50 + normal(1, 4, 4, 3)
    assert np.isfinite(maps(method, model, x)).all()  # compared with the reference 0, where the layer divides by 0


def test_several_neurons_and_signals_are_explained_again_too():
    model, x = network(INNER["sqrt"]), np.abs(normal(3, 4)) + 0.5
    x[1, 2] = 0.0
    analyzer = innspect.create_analyzer("gradient", model)
    found = analyzer.explain(x, neurons=[0, 1], at=[model.layers[-2].name])
    for number in (0, 1):
        np.testing.assert_allclose(found.attributions[number], analyzer.analyze(x, number), rtol=1e-6)
    assert np.isfinite(found.attributions).all()
    assert found.signals[model.layers[-2].name].shape == (2, 3, 6)


# ---------------------------------------------------------------------- warnings
@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon", "integrated_gradients", "occlusion"])
def test_a_sample_without_an_output_is_named(method):
    with pytest.warns(UserWarning, match=r"own output is not finite for 2 of 3 samples \(number 0, 2\)") as told:
        found = maps(method, network(), with_gaps())
    assert np.isfinite(found[1]).all()
    assert not any("float32" in str(w.message) or "`epsilon`" in str(w.message) for w in told)


@pytest.mark.parametrize("method", ["integrated_gradients", "deep_lift"])
def test_a_reference_without_an_output_is_named(method):
    model, x = network(lambda x: ops.log(x)[:, :1]), np.abs(normal(3, 4)) + 1
    references = np.ones_like(x)
    references[1] = -1.0
    with pytest.warns(UserWarning, match=r"output at the reference is not finite for 1 of 3 samples \(number 1\).* Give"):
        found = maps(method, model, x, reference_inputs=references)
    assert np.isfinite(found[[0, 2]]).all()


def test_finite_outputs_are_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", innspect.IncompleteAttributionWarning)  # few steps
        for method in ("gradient", "input_t_gradient", "integrated_gradients"):
            unread = np.concatenate([normal(2, 3), np.full((2, 1), np.nan)], axis=1).astype("float32")
            found = maps(method, network(lambda x: x[:, :3]), unread)
            assert np.isfinite(found).all()
            assert not found[:, 3].any()


def test_the_input_is_shown_as_it_is():
    np.testing.assert_array_equal(innspect.create_analyzer("input", network(ops.nan_to_num)).analyze(with_gaps()), with_gaps())
