"""AttnLRP and CP-LRP: what they conserve, what products and gates get, their books, and what they refuse."""

import functools

import keras
import numpy as np
import pytest
from attention_networks import METHODS, block, one_on_jax, read_out, without_biases
from checks import explain, totals
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect

pytestmark = pytest.mark.usefixtures("double", "quick")


# ---------------------------------------------------------------------- conservation
@pytest.mark.parametrize("norm", [L.LayerNormalization, L.RMSNormalization])
def test_cp_conserves_exactly_without_biases(norm):
    """X1: with attention and scale as constants a bias-free ReLU transformer is linear in its input."""
    x = keras.Input((4, 6))
    model = without_biases(shake(keras.Model(x, read_out(block(block(x, norm=norm), norm=norm, use_bias=False)))))
    ours = explain("lrp.cp", model, array(3, 4, 6).astype("float64"), 1)
    np.testing.assert_allclose(totals(ours.attributions), ours.targets, rtol=1e-9)
    np.testing.assert_allclose(ours.delta, 0, atol=1e-9)


def test_tokens_sum_to_the_logit():
    """X5: relevance of ids, with learned positions; what the positions take is known."""
    tokens = keras.Input((5,), dtype="int32")
    h = L.Embedding(9, 6, name="words")(tokens)
    model = without_biases(shake(keras.Model(tokens, read_out(block(h, use_bias=False)))))
    ours = explain("lrp.cp", model, ids(3, 5, below=9), 1)
    assert ours.attributions.shape == (3, 5)
    np.testing.assert_allclose(ours.attributions.sum(1), ours.targets, rtol=1e-9)


BOOKS = pytest.mark.parametrize(("method", "epsilon"), [("lrp.attention", 0.3), ("lrp.cp", 0)])


@functools.cache
def booked(method, epsilon):
    """An explanation and its books."""
    x = keras.Input((4, 6))
    model = shake(keras.Model(x, read_out(block(x, activation="gelu"))))
    data = array(2, 4, 6).astype("float64")
    analyzer = innspect.create_analyzer(method, model, epsilon=epsilon)
    return analyzer.explain(data, 1, at=["logits"]), analyzer.conservation(data, 1)


@BOOKS
def test_the_books_close(method, epsilon):
    _, books = booked(method, epsilon)
    assert books.error < 1e-9


@BOOKS
def test_what_is_lost_is_in_the_books(method, epsilon):
    ours, books = booked(method, epsilon)
    lost = sum(books.columns[column].sum(0) for column in ("bias", "stabiliser", "dropped"))
    np.testing.assert_allclose(ours.delta, ours.targets - totals(ours.attributions), rtol=1e-9)
    np.testing.assert_allclose(lost, ours.delta, rtol=1e-7, atol=1e-9)


@BOOKS
def test_the_logit_is_relevance_of_its_layer(method, epsilon):
    ours, _ = booked(method, epsilon)
    np.testing.assert_allclose(totals(ours.signals["logits"]), ours.targets, rtol=1e-9)


def test_epsilon_takes_a_share():
    _, books = booked("lrp.attention", 0.3)
    assert np.abs(books.columns["stabiliser"]).sum() > 1e-3


def test_without_epsilon_there_is_no_share_of_it():
    _, books = booked("lrp.cp", 0)
    assert np.abs(books.columns["stabiliser"]).sum() == 0


@pytest.mark.parametrize("method", ["lrp.attention", "lrp.z"])
def test_the_books_find_the_samples_where_another_axis_is_first(method):
    """Queries, keys and values apart along the first axis, and a largest score that becomes exactly 0."""
    x = keras.Input((4, 6))
    q, k, v = ops.unstack(ops.transpose(ops.reshape(L.Dense(18)(x), (-1, 4, 3, 6)), (2, 0, 1, 3)), 3)
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1)))
    scores = scores - ops.max(scores, axis=-1, keepdims=True)
    model = shake(keras.Model(x, read_out(ops.matmul(ops.softmax(scores), v))))
    assert innspect.create_analyzer(method, model).conservation(array(2, 4, 6), 1).error < 1e-6


# ---------------------------------------------------------------------- products and gates
PRODUCTS = {
    "matmul": lambda u, v: ops.matmul(u, ops.transpose(v, (0, 2, 1))),
    "einsum": lambda u, v: ops.einsum("btd,bsd->bts", u, v),
    "SwiGLU": lambda u, v: ops.silu(u) * v,
}


@one_on_jax
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_product_gives_half_to_each_operand(product, method):
    """X2."""
    a, b = keras.Input((3, 4)), keras.Input((4, 3))
    u, v = L.Dense(4, use_bias=False)(a), L.Dense(4, use_bias=False)(ops.transpose(b, (0, 2, 1)))
    model = shake(keras.Model([a, b], L.Dense(2, use_bias=False)(L.Flatten()(PRODUCTS[product](u, v)))))
    ours = explain(method, model, [array(2, 3, 4).astype("float64"), array(2, 4, 3, seed=1).astype("float64")], 1)
    for R in ours.attributions:
        np.testing.assert_allclose(totals(R), ours.targets / 2, rtol=1e-5)


def test_a_sigmoid_gate_gets_nothing():
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], L.Dense(2, use_bias=False)(ops.sigmoid(L.Dense(4)(a)) * L.Dense(4, use_bias=False)(b)))
    ours = explain("lrp.attention", shake(model), [array(2, 4), array(2, 4, seed=1)], 1)
    assert not ours.attributions[0].any()
    np.testing.assert_allclose(totals(ours.attributions[1]), ours.targets, rtol=1e-5)


def test_a_gated_linear_unit_gives_all_to_its_signal():
    x = keras.Input((6,))
    halves = L.Concatenate()([L.Dense(4, use_bias=False)(x), L.Dense(4, name="gate")(x)])
    model = shake(keras.Model(x, L.Dense(2, use_bias=False)(keras.activations.glu(halves))))
    ours = explain("lrp.attention", model, array(3, 6), 1, at="gate")
    assert not ours.signals["gate"].any()
    np.testing.assert_allclose(totals(ours.attributions), ours.targets, rtol=1e-5, atol=1e-7)


def pair():
    return [array(2, 4, 3), array(2, 4, 3, seed=1)]


@one_on_jax
@pytest.mark.parametrize("method", METHODS)
def test_a_gate_and_what_it_leaves_of_the_rest_get_nothing(method):
    x, y = keras.Input((4, 3)), keras.Input((4, 3))
    h, other, gate = L.Dense(3, use_bias=False)(x), L.Dense(3, use_bias=False)(x), ops.sigmoid(L.Dense(3)(y))
    model = shake(keras.Model([x, y], L.Dense(2, use_bias=False)(L.Flatten()(gate * h + (1 - gate) * other))))
    ours = explain(method, model, pair(), 1)
    assert not ours.attributions[1].any()
    np.testing.assert_allclose(totals(ours.attributions[0]), ours.targets, rtol=1e-5, atol=1e-6)


def weighted():
    """A mean weighted by a softmax: as a product that is summed, and the same network with a matrix product."""
    x, y = keras.Input((4, 3)), keras.Input((4, 3))
    p = L.Softmax()(L.Reshape((4,))(L.Dense(1, name="scores")(y)))
    h, out = L.Dense(3, use_bias=False)(x), L.Dense(2, use_bias=False)
    product = shake(keras.Model([x, y], out(ops.sum(p[..., None] * h, axis=1))))
    return product, keras.Model([x, y], out(L.Dot(axes=1)([p, h])))


@one_on_jax
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp"])
def test_a_softmax_that_weighs_takes_what_a_matrix_product_gives_it(method):
    """In the LRP of transformers."""
    ours, theirs = (explain(method, model, pair(), 1).attributions for model in weighted())
    for one, another in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-5, atol=1e-7)


@pytest.mark.sweep(on="jax")
def test_a_softmax_that_weighs_is_a_gate_of_lrp():
    """METHODS 14.1."""
    product, _ = weighted()
    ours = explain("lrp.z", product, pair(), 1)
    assert not ours.attributions[1].any()
    np.testing.assert_allclose(totals(ours.attributions[0]), ours.targets, rtol=1e-5, atol=1e-6)


def test_what_prepares_the_input_hands_relevance_on():
    """A pixel of 0 that is rescaled to -1 keeps its relevance."""
    x = keras.Input((4, 4, 1))
    h = L.Reshape((16, 1))(L.Rescaling(1 / 2, offset=-1)(x))
    model = shake(keras.Model(x, read_out(L.Dense(6)(h))))
    data = np.random.default_rng(0).integers(0, 2, (2, 4, 4, 1)).astype("float64")
    ours = explain("lrp.attention", model, data, 1).attributions
    assert np.abs(ours[data == 0]).min() > 0
    np.testing.assert_allclose(ours, explain("lrp.z", model, data, 1).attributions, rtol=1e-4, atol=1e-7)


# ---------------------------------------------------------------------- refusals
@pytest.mark.parametrize("epsilon", [-1, "small"])
def test_an_epsilon_that_is_none_is_named(epsilon):
    x = keras.Input((4, 6))
    with pytest.raises(ValueError, match=r"`epsilon` must be a number that is not negative.*Received: "):
        innspect.create_analyzer("lrp.attention", keras.Model(x, read_out(block(x))), epsilon=epsilon)


def test_deep_taylor_has_no_rule_for_a_transformer():
    x = keras.Input((4, 6))
    with pytest.raises(innspect.NotAnalyzeableModelError, match="layer_normalization"):
        innspect.create_analyzer("deep_taylor", keras.Model(x, read_out(block(x))))


@pytest.mark.parametrize(
    ("method", "message"), [("lrp.attention", "quotient .* keras.ops.stop_gradient"), ("lrp.z", "lambda.*quotient")]
)
def test_a_quotient_that_is_no_normalization_has_no_rule(method, message):
    x = keras.Input((4, 6))
    ratio = L.Lambda(lambda t: ops.tanh(t) / ops.softplus(t), name="lambda")(x)
    with pytest.raises(innspect.NotAnalyzeableModelError, match=message):
        innspect.create_analyzer(method, keras.Model(x, L.Dense(2)(L.Flatten()(ratio))))
