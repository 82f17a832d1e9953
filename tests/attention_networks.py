"""Small transformers for the tests of attention, and which of their methods run on which backend."""

import numpy as np
import pytest
from keras import layers as L
from keras import ops

METHODS = ["lrp.attention", "lrp.cp", "lrp.z"]
one_on_jax = pytest.mark.sweep(keep=["*lrp.attention"], on="jax")  # which compiles each for a second or two


def read_out(tokens):
    return L.Dense(3, name="logits")(L.GlobalAveragePooling1D()(tokens))


def block(x, activation="relu", heads=2, norm=L.LayerNormalization, **attention):
    """A transformer block that normalizes first."""
    n = norm()(x)
    h = L.Add()([x, L.MultiHeadAttention(heads, 3, **attention)(n, n)])
    return L.Add()([h, L.Dense(x.shape[-1])(L.Dense(7, activation=activation)(norm()(h)))])


def block_causal(x):
    return L.Add()([x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)])


def without_biases(model):
    for variable in model.weights:
        if variable.path.endswith(("bias", "beta")):
            variable.assign(np.zeros(variable.shape))
    return model


class Own(L.Layer):
    """Attention as users write it, of a length known at run time only, with rotary positions."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.project = L.Dense(18)

    def build(self, shape):
        self.project.build(shape)
        self.temperature = self.add_weight(shape=(), name="temperature")
        self.built = True

    def rotate(self, x):
        angle = ops.cast(ops.arange(ops.shape(x)[1]), x.dtype)[None, :, None] * 0.3
        left, right = ops.split(x, 2, axis=-1)
        return ops.concatenate(
            [left * ops.cos(angle) - right * ops.sin(angle), right * ops.cos(angle) + left * ops.sin(angle)], -1
        )

    def call(self, x):
        q, k, v = ops.split(self.project(x), 3, axis=-1)
        scores = ops.matmul(self.rotate(q), ops.transpose(self.rotate(k), (0, 2, 1)))
        return ops.matmul(ops.softmax((1 + self.temperature) * scores), v)
