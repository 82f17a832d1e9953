"""Every LRP rule against its dense matrix formula (METHODS 4), through the Jacobian of every affine layer kind."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect.layers import (
    AffineRule,
    AlphaBeta,
    Bounded,
    Epsilon,
    Flat,
    Gamma,
    ScaledEpsilon,
    WSquare,
    ZPlus,
    ZPlusFast,
    make_term,
)
from innspect.testing import check_rule

pytestmark = pytest.mark.usefixtures("double")


# ------------------------------------------------------------------ the formulas, for one sample, written out
def share(messages, denominator, R):
    """R_i = sum_j messages_ij / denominator_j R_j, where 0/0 is 0."""
    ratio = np.divide(R, denominator, out=np.zeros_like(R), where=denominator != 0)
    return messages @ ratio


def stabilised(z, epsilon):
    return z + epsilon * np.where(z >= 0, 1, -1)


def above(t):
    return np.where(t > 0, t, 0)


def below(t):
    return np.where(t < 0, t, 0)


def epsilon_formula(epsilon, bias=True):
    def formula(x, W, b, R):
        messages = x[:, None] * W
        return share(messages, stabilised(messages.sum(0) + bias * b, epsilon), R)

    return formula


def scaled_epsilon_formula(factor, bias=True):
    def formula(x, W, b, R):
        z = x @ W + bias * b
        return epsilon_formula(factor * np.sqrt((z**2).mean()), bias)(x, W, b, R)

    return formula


def gamma_formula(gamma, epsilon, bias=True):
    """Andeol et al. 2021: the side that agrees with the sign of the layer's own output, bias and all, is enlarged."""

    def formula(x, W, b, R):
        messages = x[:, None] * W
        z = messages.sum(0) + b
        result = 0
        for part, side in ((above, z > 0), (below, z < 0)):
            enlarged = messages + gamma * part(messages)
            denominator = enlarged.sum(0) + bias * (b + gamma * part(b))
            result = result + share(enlarged, stabilised(denominator, epsilon), np.where(side, R, 0))
        return result

    return formula


def alpha_beta_formula(alpha, beta, bias=True):
    def formula(x, W, b, R):
        messages = x[:, None] * W
        biases = {True: (above(b), below(b)), "both": (b, b), False: (0, 0)}[bias]
        positive = share(above(messages), above(messages).sum(0) + biases[0], R)
        return alpha * positive - beta * share(below(messages), below(messages).sum(0) + biases[1], R)

    return formula


def z_plus_fast_formula(x, W, b, R):
    messages = x[:, None] * above(W)
    return share(messages, messages.sum(0), R)


def w_square_formula(x, W, b, R):
    return share(W**2, (W**2).sum(0), R)


def flat_formula(x, W, b, R):
    reached = (W != 0).astype(W.dtype)
    return share(reached, reached.sum(0), R)


def bounded_formula(low, high):
    def formula(x, W, b, R):
        messages = x[:, None] * W - low * above(W) - high * below(W)
        return share(messages, messages.sum(0), R)

    return formula


class Magnitude(AffineRule):
    """A rule of one's own: relevance in proportion to |x_i w_ij|."""

    def terms(self, layer, x, y):
        return [make_term(layer, [(ops.absolute(x), ops.absolute(layer.view.kernel()))])]


def magnitude_formula(x, W, b, R):
    shares = np.abs(x)[:, None] * np.abs(W)
    return share(shares, shares.sum(0), R)


# Each on every kind of affine layer.
RULES = {
    "z": (Epsilon(0), epsilon_formula(0)),
    "epsilon": (Epsilon(0.25), epsilon_formula(0.25)),
    "epsilon without bias": (Epsilon(0.25, bias=False), epsilon_formula(0.25, bias=False)),
    "gamma": (Gamma(0.25), gamma_formula(0.25, 1e-7)),
    "alpha2beta1": (AlphaBeta(2, 1), alpha_beta_formula(2, 1)),
    "alpha1beta0": (AlphaBeta(1, 0), alpha_beta_formula(1, 0)),
    "z_plus": (ZPlus(), alpha_beta_formula(1, 0, bias=False)),
    "z_plus_fast": (ZPlusFast(), z_plus_fast_formula),
    "w_square": (WSquare(), w_square_formula),
    "flat": (Flat(), flat_formula),
    "bounded": (Bounded(-1.0, 1.5), bounded_formula(-1.0, 1.5)),
    "one's own": (Magnitude(), magnitude_formula),
}

# Other settings of the same rules, on a few layers.
SETTINGS = {
    "z without bias": (Epsilon(0, bias=False), epsilon_formula(0, bias=False)),
    "epsilon in proportion to the outputs": (ScaledEpsilon(0.25), scaled_epsilon_formula(0.25)),
    "epsilon in proportion, without bias": (ScaledEpsilon(0.5, bias=False), scaled_epsilon_formula(0.5, bias=False)),
    "gamma without bias": (Gamma(0.5, epsilon=0.1, bias=False), gamma_formula(0.5, 0.1, bias=False)),
    "gamma of zero": (Gamma(0, epsilon=0), epsilon_formula(0)),
    "alpha2beta1 without bias": (AlphaBeta(2, 1, bias=False), alpha_beta_formula(2, 1, bias=False)),
    "alpha2beta1, bias in both": (AlphaBeta(2, 1, bias="both"), alpha_beta_formula(2, 1, bias="both")),
    "alpha1beta0, bias in both": (AlphaBeta(1, 0, bias="both"), alpha_beta_formula(1, 0, bias="both")),
    "alpha1beta0 without bias": (AlphaBeta(1, 0, bias=False), alpha_beta_formula(1, 0, bias=False)),
    "alpha given, beta follows": (AlphaBeta(alpha=1.5), alpha_beta_formula(1.5, 0.5)),
    "beta given, alpha follows": (AlphaBeta(beta=1), alpha_beta_formula(2, 1)),
    "bounds of one channel each": (
        Bounded([-1.0, -2.0], [1.0, 3.0]),
        lambda x, W, b, R: bounded_formula(np.resize([-1, -2], len(x))[:, None], np.resize([1, 3], len(x))[:, None])(
            x, W, b, R
        ),
    ),
}


@pytest.mark.sweep(keep=["alpha2beta1", "bounded"], on="jax tensorflow")
@pytest.mark.parametrize("name", RULES)
def test_rule_equals_its_dense_formula_on_every_layer_kind(name):
    check_rule(*RULES[name])


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_rule_equal_their_dense_formula(name):
    layers = {"dense": (L.Dense(3), (4, 2)), "convolution": (L.Conv2D(3, 2, strides=2, padding="same"), (3, 4, 2))}
    check_rule(*SETTINGS[name], layers=layers)


def test_flat_counts_the_inputs_that_an_output_reaches_and_no_padding():
    """At a corner of a 3x3 'same' convolution on one channel four inputs share the relevance, inside nine do."""
    check_rule(Flat(), flat_formula, layers={"same": (L.Conv2D(1, 3, padding="same"), (3, 3, 1))})
    layer = keras.Sequential([keras.Input((3, 3, 1)), L.Conv2D(1, 3, padding="same")])
    weights = np.zeros((1, 3, 3, 1))
    weights[0, 0, 0, 0] = 1
    analyzer = innspect.create_analyzer("lrp.flat", layer, start="one")
    expected = np.zeros((3, 3))
    expected[:2, :2] = 1 / 4
    np.testing.assert_allclose(analyzer.analyze(np.ones((1, 3, 3, 1)), weights)[0, :, :, 0], expected, atol=1e-12)


@pytest.mark.parametrize("settings", [{"alpha": 2, "beta": 2}, {"alpha": 0.5, "beta": -0.5}, {"alpha": 0.5}])
def test_alpha_and_beta_that_do_not_conserve_are_refused(settings):
    with pytest.raises(ValueError, match="alpha - beta = 1"):
        AlphaBeta(**settings)
