"""AttnLRP and CP-LRP keep the scale of a normalization as it is, whoever wrote the normalization."""

import keras
import numpy as np
import pytest
from attention_networks import METHODS, one_on_jax
from checks import explain, predict, totals
from keras import layers as L
from keras import ops
from models import array, shake

pytestmark = pytest.mark.usefixtures("double", "quick")


# ---------------------------------------------------------------------- without a mean
def root_mean_square(x):
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)


def divided_by_its_root(x):
    return x / ops.sqrt(ops.maximum(ops.mean(x**2, axis=-1, keepdims=True), 1e-6))


def sum_of_sizes(x):
    return x / (ops.sum(ops.abs(x), axis=-1, keepdims=True) + 1e-9)


class Scaled(L.Layer):
    """As in Gemma: the scale is read by itself, outside an operation on the input."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.built = True

    def call(self, x):
        scale = ops.cast(self.scale, x.dtype)
        return x * ops.reciprocal(ops.sqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)) * (1 + scale)


UNCENTRED = {
    "layer": lambda x: L.RMSNormalization()(x),
    "unit": lambda x: L.UnitNormalization()(x),
    "operation": lambda x: ops.rms_normalization(x, ops.ones((6,), x.dtype)),
    "normalize": lambda x: ops.normalize(x, axis=-1, order=2),
    "sizes": sum_of_sizes,
    "by hand": root_mean_square,
    "by hand, divided": divided_by_its_root,
    "a layer of the user's": lambda x: Scaled()(x),
}
HARD = ["layer", "by hand, divided", "a layer of the user's"]
CASES = [(norm, "lrp.attention") for norm in UNCENTRED] + [(norm, method) for method in ("lrp.cp", "lrp.z") for norm in HARD]


@pytest.mark.sweep(keep=[f"{norm}-lrp.attention" for norm in HARD], on="jax")
@pytest.mark.parametrize(("norm", "method"), CASES)
def test_normalization_without_a_mean_passes_relevance_unchanged(norm, method):
    """X3."""
    x = keras.Input((4, 6))
    h = L.Activation("linear", name="before")(L.Dense(6)(x))
    n = L.Activation("linear", name="after")(UNCENTRED[norm](h))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(n))))
    kernel, bias = (ops.convert_to_numpy(w)[..., 1] for w in model.layers[-1].weights)
    data = array(2, 4, 6).astype("float64")
    ours = explain(method, model, data, 1, at=["before"])
    normalized = ours.targets - bias  # LRP-0: the relevance of a feature is feature times weight
    np.testing.assert_allclose(totals(ours.signals["before"]), normalized, rtol=1e-4)
    values = predict(keras.Model(x, n), data).reshape(2, -1) * kernel
    np.testing.assert_allclose(ours.signals["before"].reshape(2, -1), values, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- with a mean
def centred(x, axes, q):
    """The relevance of y = (x - mean(x)) r gamma + beta with r as it is: x (q - mean(q)), q = R gamma r / y."""
    return x * (q - q.mean(axes, keepdims=True))


# How it is made, and along which axes of which shape it takes the mean.
CENTRED = {
    "layer": (lambda: L.LayerNormalization(), (2,), (2, 4, 6)),
    "group": (lambda: L.GroupNormalization(3), (1, 3), (2, 4, 3, 2)),
}


@one_on_jax
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", CENTRED)
def test_normalization_with_a_mean_keeps_its_scale_and_centres(kind, method):
    make, axes, shape = CENTRED[kind]
    x, norm = keras.Input((4, 6)), make()
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(norm(x)))))
    data = array(2, 4, 6).astype("float64")
    gamma = ops.convert_to_numpy(norm.gamma)
    g = ops.convert_to_numpy(model.layers[-1].kernel)[:, 1].reshape(4, 6)  # R / y
    z = data.reshape(shape)
    r = 1 / np.sqrt(z.var(axes, keepdims=True) + norm.epsilon)
    expected = centred(z, axes, np.broadcast_to(g * gamma, data.shape).reshape(shape) * r).reshape(data.shape)
    np.testing.assert_allclose(explain(method, model, data, 1).attributions, expected, rtol=1e-4, atol=1e-6)
