"""The softmax of scores: its rule, every way that users write it out, and what only looks like one."""

import functools

import keras
import numpy as np
import pytest
from attention_networks import METHODS
from checks import explain
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect.graph.opened.opened_model import open_model

pytestmark = pytest.mark.usefixtures("quick")


# ---------------------------------------------------------------------- its rule
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.z"])
@pytest.mark.parametrize("axis", [-1, (1, 2)])
def test_the_softmax_rule(method, axis, double):
    """X4: R_i = x_i (R_i - s_i sum_j R_j)."""
    x = keras.Input((3, 4))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(L.Softmax(axis=axis)(x)))))
    data = array(2, 3, 4).astype("float64")
    e = np.exp(data)
    s = e / e.sum(axis, keepdims=True)
    R = s * ops.convert_to_numpy(model.layers[-1].kernel)[:, 1].reshape(3, 4)
    expected = data * (R - s * R.sum(axis, keepdims=True))
    np.testing.assert_allclose(explain(method, model, data, 1).attributions, expected, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------- written out
def written(numerator, denominator=lambda e: ops.sum(e, axis=-1, keepdims=True)):
    def softmax(x):
        return numerator(x) / denominator(numerator(x))

    return softmax


def highest(x):
    return ops.max(x, axis=-1, keepdims=True)


SOFTMAX = {
    "exp / sum": written(ops.exp),
    "a maximum subtracted": written(lambda x: ops.exp(x - highest(x))),
    "a stopped maximum": written(lambda x: ops.exp(x - ops.stop_gradient(highest(x)))),
    "another shape": written(ops.exp, lambda e: ops.expand_dims(ops.sum(e, axis=-1), -1)),
    "a guarded sum": written(ops.exp, lambda e: ops.maximum(ops.sum(e, -1, keepdims=True), 1e-9) + 1e-12),
    "reciprocal": lambda x: ops.exp(x) * ops.reciprocal(ops.sum(ops.exp(x), -1, keepdims=True)),
    "one over": lambda x: (1 / ops.sum(ops.exp(x), -1, keepdims=True)) * ops.exp(x),
    "logsumexp": lambda x: ops.exp(x - ops.logsumexp(x, axis=-1, keepdims=True)),
    "log_softmax": lambda x: ops.exp(ops.log_softmax(x)),
}
three_on_jax = pytest.mark.sweep(keep=["a stopped maximum*", "another shape*", "a guarded sum*"], on="jax")


def pooled(softmax):
    """Pooling by attention, with the softmax of the scores as the user writes it."""
    x = keras.Input((4, 3))
    p = L.Lambda(softmax, output_shape=(4,), name="weights")(L.Reshape((4,))(L.Dense(1, name="scores")(x)))
    return keras.Model(x, L.Dense(2, name="out")(L.Dot(axes=1)([p, L.Dense(3, name="values")(x)])))


@functools.cache
def whole():
    return shake(pooled(ops.softmax))


def like_the_whole(softmax):
    model = pooled(softmax)
    model.set_weights(whole().get_weights())
    return model


def tokens():
    return array(2, 4, 3).astype("float64")


@functools.cache
def whole_explained(method):
    return explain(method, whole(), tokens(), 1, at="weights")


@functools.cache
def written_explained(kind, method):
    return explain(method, like_the_whole(SOFTMAX[kind]), tokens(), 1, at="weights")


@three_on_jax
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_softmax_that_is_written_out_is_a_softmax(kind, method, double):
    ours, theirs = written_explained(kind, method), whole_explained(method)
    np.testing.assert_allclose(ours.attributions, theirs.attributions, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(ours.signals["weights"], theirs.signals["weights"], rtol=1e-5, atol=1e-9)


@three_on_jax
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.z"])
@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_softmax_takes_relevance(kind, method, double):
    assert written_explained(kind, method).signals["weights"].any()


@three_on_jax
@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_softmax_is_a_constant_for_cp(kind, double):
    assert not written_explained(kind, "lrp.cp").signals["weights"].any()


@three_on_jax
@pytest.mark.parametrize("strip", [lambda model: model, innspect.model_wo_softmax], ids=["by the analyzer", "by hand"])
@pytest.mark.parametrize("kind", SOFTMAX)
def test_a_softmax_that_is_the_head_is_stripped(kind, strip, double):
    x = keras.Input((4,))
    head = shake(keras.Model(x, SOFTMAX[kind](L.Dense(3)(x))))
    logits = ops.convert_to_numpy(head.layers[1](array(2, 4)))
    np.testing.assert_allclose(explain("lrp.z", strip(head), array(2, 4), 1).targets, logits[:, 1], rtol=1e-5)


# ---------------------------------------------------------------------- with a mask
KEPT = np.array([1.0, 1, 1, 0])
MASKED = {
    "multiplied": written(lambda x: ops.multiply(ops.exp(x), KEPT), lambda e: ops.sum(e, -1, keepdims=True) + 1e-15),
    "chosen": written(lambda x: ops.where(KEPT > 0, ops.exp(x), 0.0)),
}


@functools.cache
def without_the_last_token():
    """Attributions by a network that has the same weights."""
    x = keras.Input((3, 3))
    h = L.Softmax()(L.Reshape((3,))(whole().get_layer("scores")(x)))
    short = keras.Model(x, whole().get_layer("out")(L.Dot(axes=1)([h, whole().get_layer("values")(x)])))
    return explain("lrp.attention", short, tokens()[:, :3], 1).attributions


@pytest.mark.parametrize("mask", MASKED)
def test_scores_masked_in_a_softmax_take_no_part(mask, double):
    ours = explain("lrp.attention", like_the_whole(MASKED[mask]), tokens(), 1).attributions
    np.testing.assert_allclose(ours[:, :3], without_the_last_token(), rtol=1e-5, atol=1e-9)
    assert not ours[:, 3].any()


# ---------------------------------------------------------------------- what only looks like one
WRONG = {
    "of other exponents": lambda h: ops.exp(h - highest(h)) / ops.sum(ops.exp(h), -1, keepdims=True),
    "of twice the exponents": lambda h: ops.exp(h) / ops.sum(ops.exp(2 * h), -1, keepdims=True),
    "of the mean": lambda h: ops.exp(h) / ops.mean(ops.exp(h), -1, keepdims=True) * h,
    "logsumexp of others": lambda h: ops.exp(h - ops.logsumexp(2 * h, -1, keepdims=True)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_softmax_is_not_taken_for_one(kind):
    x = keras.Input((4,))
    graph = open_model(keras.Model(x, L.Dense(2)(WRONG[kind](L.Dense(3)(x))))).graph
    assert not any(n.kind == "softmax" for n in graph.nodes)
