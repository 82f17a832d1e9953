"""Ids that are moved about on their way to an embedding are explained as if they were looked up first."""

import math

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import close

import innspect

pytestmark = pytest.mark.usefixtures("quick")

VALUES = models.ids(3, 4, 6, below=9)


def turned(function, ids):
    """A function of ids, of which samples are not the first axis."""
    return ops.transpose(function(ops.transpose(ids, (2, 0, 1))), (1, 2, 0, 3))


def constants(ids):
    """For each sentence three ids that the model brings itself."""
    return 7 * ops.ones_like(ids[..., :3])


# What is done with an embedding and ids (batch, 4, 6): before looking up, and after.
WAYS = {
    "within TimeDistributed": (lambda e, x: L.TimeDistributed(e)(x), lambda e, x: e(x)),
    "within TimeDistributed, twice": (
        lambda e, x: L.TimeDistributed(L.TimeDistributed(e))(x[..., None])[..., 0, :],
        lambda e, x: e(x),
    ),
    "reshaped": (lambda e, x: ops.reshape(e(ops.reshape(x, (-1, 3))), (-1, 4, 6, 3)), lambda e, x: e(x)),
    "transposed": (turned, lambda e, x: e(x)),
    "repeated": (lambda e, x: e(ops.repeat(x, 2, axis=1)), lambda e, x: ops.repeat(e(x), 2, axis=1)),
    "sliced": (lambda e, x: e(x[:, 1:3, ::2]), lambda e, x: e(x)[:, 1:3, ::2]),
    "in parts": (lambda e, x: ops.concatenate([e(x[:, :1]), e(x[:, 1:])], axis=1), lambda e, x: e(x)),
    "looked up twice": (lambda e, x: e(x) + 2 * e(ops.flip(x, 1)), lambda e, x: e(x) + 2 * ops.flip(e(x), 1)),
    "padded": (
        lambda e, x: e(ops.pad(x, ((0, 0), (0, 0), (2, 1)), constant_values=5)),
        lambda e, x: ops.concatenate([e(5 * ops.ones_like(x[..., :2])), e(x), e(5 * ops.ones_like(x[..., :1]))], axis=2),
    ),
    "beside constants": (
        lambda e, x: e(ops.concatenate([constants(x), x], axis=2)),
        lambda e, x: ops.concatenate([e(constants(x)), e(x)], axis=2),
    ),
}
NOISE = {"num_samples": 3, "of": "input_t_gradient"}  # a sum over an id's vectors, however often it is looked up
METHODS = {
    "integrated_gradients": {"steps": 4},
    "simple_taylor": {},
    "smoothgrad": NOISE | {"noise_scale": 0.5},
    "vargrad": NOISE | {"noise_scale": 0.5},
}


def of_words(way):
    """A network of the vectors that `way` looks up."""
    x = keras.Input((4, 6), dtype="int32")
    h = L.Dense(4, activation="tanh")(way(L.Embedding(9, 3), x))
    h = ops.reshape(ops.mean(h * h, axis=-1), (-1, math.prod(h.shape[1:-1])))
    return models.shake(keras.Model(x, L.Dense(2)(h)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.sweep(
    on="jax tensorflow", keep=["within TimeDistributed-*", "beside constants-integrated_gradients", "transposed-smoothgrad"]
)
def test_ids_may_be_looked_up_before_or_after(way, method):
    before, after = (
        innspect.create_analyzer(method, of_words(each), **METHODS[method]).explain(VALUES, 1) for each in WAYS[way]
    )
    close(before.outputs, after.outputs)
    assert np.abs(after.attributions).max() > 0
    close(before.attributions, after.attributions)


@pytest.mark.parametrize("way", ["within TimeDistributed", "transposed", "repeated"])
def test_the_level_of_noise_is_that_of_a_sample(way):
    before, after = (innspect.create_analyzer("smoothgrad", of_words(each), **NOISE).analyze(VALUES, 1) for each in WAYS[way])
    close(before, after)
    alone = innspect.create_analyzer("smoothgrad", of_words(WAYS[way][0]), **NOISE).analyze(VALUES[1:2], 1)
    close(alone, before[1:2])


def test_a_path_is_complete_beside_constants():
    model = of_words(WAYS["beside constants"][0])
    explained = innspect.create_analyzer("integrated_gradients", model, steps=200).explain(VALUES, 1)
    assert np.abs(explained.attributions).max() > 0.01
    assert np.abs(explained.delta).max() < 1e-3 * np.abs(explained.attributions).max()


def test_ids_of_two_inputs_may_be_looked_up_together():
    def joined(together):
        question, answer = (keras.Input((n,), dtype="int32") for n in (3, 5))
        embedding, join = L.Embedding(9, 3), L.Concatenate(axis=1)
        vectors = embedding(join([question, answer])) if together else join([embedding(question), embedding(answer)])
        h = L.Dense(4, activation="tanh")(vectors)
        return models.shake(keras.Model([question, answer], L.Dense(2)(L.Flatten()(h))))

    x = [models.ids(2, 3, below=9), models.ids(2, 5, below=9, seed=1)]
    one, two = (innspect.create_analyzer("integrated_gradients", joined(t), steps=5).analyze(x, 0) for t in (True, False))
    for a, b in zip(one, two, strict=True):
        close(a, b)
    assert innspect.create_analyzer("smoothgrad", joined(True), num_samples=3).analyze(x, 0)[1].any()
