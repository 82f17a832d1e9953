"""What theory says of every network (METHODS 2.2, 4, 5.7, 6, 8.4), on networks that hypothesis draws."""

import keras
import numpy as np
import pytest
from hypothesis import given
from keras import layers as L
from law_networks import relu_networks, signed_networks, some_inputs
from models import array, shake
from networks import drawn

import innspect
from innspect.layers import AlphaBeta, Bounded, Epsilon, Flat, Gamma, WSquare, ZPlus

pytestmark = [
    pytest.mark.usefixtures("double", "eager"),
    pytest.mark.filterwarnings("ignore:'deep_taylor", "ignore:.*outside the bounds"),
]

# On JAX and torch Keras takes means in float32, whatever it is given.
ROUNDING = 1e-9 if keras.backend.backend() == "tensorflow" else 1e-5

METHODS = {
    "lrp.z": {},
    "lrp.z_IB": {},
    "lrp.epsilon": {"epsilon": 0.1},
    "lrp.epsilon_IB": {},
    "lrp.gamma": {},
    "lrp.w_square": {},
    "lrp.flat": {},
    "lrp.alpha_beta": {"alpha": 3, "bias": "both"},
    "lrp.alpha_2_beta_1": {},
    "lrp.alpha_2_beta_1_IB": {},
    "lrp.alpha_1_beta_0": {},
    "lrp.z_plus": {},
    "lrp.z_plus_fast": {},
    "lrp.sequential_preset_a_flat": {},
    "lrp.sequential_preset_b": {},
    "lrp.epsilon_plus": {},
    "lrp.epsilon_gamma_box": {"low": -4.0, "high": 4.0},
    "excitation_backprop": {},
    "deep_taylor": {"input_rule": "w_square"},
    "deep_taylor.bounded": {"low": -4.0, "high": 4.0},
}


def explained(name, model, x, selection=None, **arguments):
    return innspect.create_analyzer(name, model, **arguments).analyze(x, selection)


def close(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-3))


# ---------------------------------------------------------------------- conservation
@drawn
@given(signed_networks())
def test_relevance_is_conserved_layer_by_layer_and_in_all(build):
    model = build()
    x = some_inputs(model)
    for name, arguments in METHODS.items():
        analyzer = innspect.create_analyzer(name, model, **arguments)
        books = analyzer.conservation(x, 1)
        assert books.error < 1e-7, name
        lost = sum(books.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
        start = books.columns["received"][0]
        arrived = analyzer.analyze(x, 1).reshape(len(x), -1).sum(1)
        np.testing.assert_allclose(start, arrived + lost, rtol=1e-7, atol=1e-7 * books.magnitude.max(), err_msg=name)


@drawn
@given(relu_networks(bias=False))
def test_without_biases_nothing_is_lost(build):
    """z+ may meet neurons that nothing excites, and flat give to windows of zeros: these are in the books instead."""
    model = build()
    x = some_inputs(model)
    for name in ("lrp.z", "lrp.gamma"):
        explanation = innspect.create_analyzer(name, model).explain(x, 1)
        np.testing.assert_allclose(explanation.delta, 0, atol=1e-5 * np.abs(explanation.attributions).sum())


# ---------------------------------------------------------------------- LRP-0
@drawn
@given(relu_networks(normalized=True))
def test_lrp_0_is_input_times_gradient_on_relu_networks(build):
    model = build()
    x = some_inputs(model)
    close(explained("lrp.z", model, x, 1), explained("input_t_gradient", model, x, 1), 1e-5)


def outputs(model, x):
    return keras.ops.convert_to_numpy(model(x))


@drawn
@given(signed_networks())
def test_lrp_is_linear_in_its_seed(build):
    model = build()
    x = some_inputs(model)
    one, other = array(2, 3, seed=1).astype("float64"), array(2, 3, seed=2).astype("float64")
    for name in ("lrp.epsilon", "lrp.gamma", "lrp.alpha_2_beta_1", "lrp.flat"):
        analyzer = innspect.create_analyzer(name, model, start="one")
        expected = 2 * analyzer.analyze(x, one) - 3 * analyzer.analyze(x, other)
        close(analyzer.analyze(x, 2 * one - 3 * other), expected, ROUNDING)


# ---------------------------------------------------------------------- the two ends of gamma
@drawn
@given(relu_networks(last_bias=20.0, without=["separable", "residual"]))
def test_gamma_goes_from_lrp_0_to_alpha1_beta0(build):
    """Where a ReLU follows, or the value is positive: below zero, as between the halves of a separable layer or at the
    end of a residual branch, gamma favours the other side.
    """
    model = build()
    x = some_inputs(model)
    close(explained("lrp.gamma", model, x, gamma=0, epsilon=0), explained("lrp.z", model, x), 1e-6)
    close(explained("lrp.gamma", model, x, gamma=1e8), explained("lrp.alpha_1_beta_0", model, x), 1e-5)


# ---------------------------------------------------------------------- deep Taylor
def larger_of_two():
    """max(x1, x2) for x >= 0, in the two layers of Montavon et al. 2017."""
    x = keras.Input((2,))
    first, second = L.Dense(3, activation="relu", use_bias=False), L.Dense(1, activation="relu", use_bias=False)
    model = keras.Model(x, second(first(x)))
    first.set_weights([np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])])
    second.set_weights([np.full((3, 1), 0.5)])
    return model


def test_deep_taylor_of_a_maximum():
    x = np.array([[3.0, 2.0], [2.0, 3.0], [4.0, 0.0], [1.0, 1.0]])
    expected = [[2, 1], [1, 2], [4, 0], [0.5, 0.5]]
    np.testing.assert_allclose(explained("deep_taylor", larger_of_two(), x), expected, atol=1e-9)
    np.testing.assert_allclose(explained("gradient", larger_of_two(), x)[:3], [[1, 0], [0, 1], [1, 0]], atol=1e-9)


@drawn
@given(relu_networks(last_bias=20.0))
def test_deep_taylor_is_positive(build):
    model = build()
    x = some_inputs(model)
    for name, arguments in (("deep_taylor", {}), ("deep_taylor.bounded", {"low": -5.0, "high": 5.0})):
        relevance = explained(name, model, x, **arguments)
        assert relevance.min() >= 0
        assert np.all(explained(name, model, x, -np.abs(outputs(model, x)), **arguments) <= 0)


def test_deep_taylor_has_nothing_to_say_of_what_is_not_there():
    model = keras.Sequential([keras.Input((2,)), L.Dense(2, use_bias=False)])
    model.set_weights([np.array([[1.0, -1.0], [1.0, -1.0]])])
    assert np.all(explained("deep_taylor", model, np.ones((1, 2)), 1) == 0)


# ---------------------------------------------------------------------- deconvnet and guided backpropagation
def relu_chain(signs=None):
    """Dense layers with ReLU layers between, all weights of one sign if one is given."""
    x = keras.Input((4,))
    h = L.ReLU(name="relu1")(L.Dense(5, name="dense1")(x))
    h = L.ReLU(name="relu2")(L.Dense(4, name="dense2")(h))
    model = shake(keras.Model(x, L.Dense(3, name="dense3")(h)), 3)
    if signs:
        model.set_weights([signs * np.abs(w) for w in model.get_weights()])
    return model


def test_guided_signals_are_positive_and_only_where_a_relu_is_open():
    model, x = relu_chain(), array(6, 4).astype("float64")
    guided = innspect.create_analyzer("guided_backprop", model).explain(x, 1, at=["dense1", "dense2"])
    deconv = innspect.create_analyzer("deconvnet", model).explain(x, 1, at=["dense1", "dense2"])
    for name in ("dense1", "dense2"):
        z = outputs(keras.Model(model.inputs[0], model.get_layer(name).output), x)
        assert np.all(guided.signals[name] >= 0)
        assert np.all(guided.signals[name][z <= 0] == 0)
        assert np.all(deconv.signals[name] >= 0)
    z = outputs(keras.Model(model.inputs[0], model.get_layer("dense2").output), x)
    gated = np.where(z > 0, deconv.signals["dense2"], 0)
    np.testing.assert_allclose(guided.signals["dense2"], gated)  # the first ReLU from above sees the same signal


def test_guided_is_the_gradient_where_all_signals_are_positive_and_deconvnet_where_all_relus_are_open():
    x = array(6, 4).astype("float64")
    seen = {name: explained(name, relu_chain(signs=1), x, 1, start="one") for name in ("gradient", "guided_backprop")}
    np.testing.assert_allclose(seen["guided_backprop"], seen["gradient"])
    seen = {name: explained(name, relu_chain(signs=1), np.abs(x), 1) for name in ("deconvnet", "guided_backprop")}
    np.testing.assert_allclose(seen["guided_backprop"], seen["deconvnet"])


def test_signal_methods_are_the_gradient_of_a_linear_network():
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(5), L.Dense(3)]))
    x = array(3, 4).astype("float64")
    for name in ("deconvnet", "guided_backprop"):
        np.testing.assert_allclose(explained(name, model, x, 1, start="one"), explained("gradient", model, x, 1))


@drawn
@given(relu_networks())
def test_signal_methods_scale_with_the_seed_but_are_not_odd(build):
    model = build()
    x = some_inputs(model)
    weights = np.array([[0.0, 1.0, 0.0]] * len(x))
    for name in ("deconvnet", "guided_backprop"):
        analyzer = innspect.create_analyzer(name, model, start="one")
        map_ = analyzer.analyze(x, weights)
        np.testing.assert_allclose(analyzer.analyze(x, 3 * weights), 3 * map_, rtol=1e-4, atol=1e-6)
        if np.abs(map_).max() > 0:
            assert not np.allclose(analyzer.analyze(x, -weights), -map_)


# ---------------------------------------------------------------------- residuals in closed form (METHODS 4)
def above(t):
    return np.maximum(t, 0)


def below(t):
    return np.minimum(t, 0)


def one_layer(bias=True):
    layer = L.Dense(6, use_bias=bias, name="layer")
    model = shake(keras.Sequential([keras.Input((5,)), layer]))
    x, relevance = array(4, 5).astype("float64"), array(4, 6, seed=1).astype("float64")
    kernel, *rest = layer.get_weights()
    messages = x[:, :, None] * kernel
    b = rest[0] if rest else np.zeros(6)
    return model, x, relevance, messages, b


def residual(model, x, relevance, rule):
    """Sum of the relevance at the outputs less that at the inputs, and the books of the layer."""
    analyzer = innspect.create_analyzer("lrp", model, rule=rule, start="one")
    lost = relevance.sum(1) - analyzer.analyze(x, relevance).sum(1)
    return lost, analyzer.conservation(x, relevance)["layer"]


def test_residual_of_epsilon():
    model, x, relevance, messages, b = one_layer()
    z = messages.sum(1) + b
    for epsilon in (0, 0.3):
        stab = z + epsilon * np.where(z >= 0, 1, -1)
        lost, books = residual(model, x, relevance, Epsilon(epsilon))
        np.testing.assert_allclose(books["bias"], (relevance * b / stab).sum(1), rtol=1e-6)
        np.testing.assert_allclose(books["stabiliser"], (relevance * (stab - z) / stab).sum(1), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(lost, (relevance * (b + stab - z) / stab).sum(1), rtol=1e-6)


def test_residual_of_alpha_beta():
    model, x, relevance, messages, b = one_layer()
    up, down = above(messages).sum(1) + above(b), below(messages).sum(1) + below(b)
    expected = (relevance * (2 * above(b) / up - below(b) / down)).sum(1)
    lost, books = residual(model, x, relevance, AlphaBeta(2, 1))
    np.testing.assert_allclose(lost, expected, rtol=1e-6)
    np.testing.assert_allclose(books["bias"], expected, rtol=1e-6)


def test_residual_of_gamma():
    model, x, relevance, messages, b = one_layer()
    z = messages.sum(1) + b
    favoured = np.where(z > 0, above(b), below(b))
    parts = np.where((z > 0)[:, None], above(messages), below(messages))
    denominator = (messages + 0.5 * parts).sum(1) + b + 0.5 * favoured
    lost, _ = residual(model, x, relevance, Gamma(0.5, epsilon=0))
    np.testing.assert_allclose(lost, (relevance * (b + 0.5 * favoured) / denominator).sum(1), rtol=1e-6)


@pytest.mark.parametrize("rule", [WSquare(), Flat(), Bounded(-4.0, 4.0), Epsilon(0, bias=False), AlphaBeta(2, 1, bias=False)])
def test_rules_without_bias_lose_nothing(rule):
    model, x, relevance, _, _ = one_layer()
    lost, books = residual(model, x, relevance, rule)
    np.testing.assert_allclose(lost, 0, atol=1e-6 * np.abs(relevance).sum())
    assert books["bias"] == pytest.approx(0)


def test_alpha_beta_of_a_neuron_without_one_side_gives_alpha_or_beta_times_its_relevance():
    """What is given too much is booked as dropped, with its sign (METHODS 4.4)."""
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, use_bias=False, name="layer")])
    model.set_weights([np.array([[1.0, -1.0], [2.0, -1.0], [0.5, -3.0]])])
    x, relevance = np.ones((1, 3)), np.array([[5.0, 7.0]])
    lost, books = residual(model, x, relevance, AlphaBeta(2, 1))
    np.testing.assert_allclose(lost, [5 + 7 - (2 * 5 - 7)])
    np.testing.assert_allclose(books["dropped"], lost)


def test_z_plus_drops_the_relevance_of_a_neuron_that_nothing_excites():
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, name="layer")])
    model.set_weights([np.array([[1.0, -1.0], [2.0, -1.0], [0.5, -3.0]]), np.array([1.0, 9.0])])
    lost, books = residual(model, np.ones((1, 3)), np.array([[5.0, 7.0]]), ZPlus())
    np.testing.assert_allclose(lost, [7])
    np.testing.assert_allclose(books["dropped"], [7])
