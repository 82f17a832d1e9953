"""Networks drawn by hypothesis: which layers, which weights, which input."""

import keras
import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from keras import layers as L
from models import shake

# Few on JAX, which compiles for each; the same in every run; a failure is told as it was found, for shrinking takes long.
# The `quick` fixture lasts for all examples of a test, as it should.
drawn = settings(
    max_examples=2 if keras.backend.backend() == "jax" else 6,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SMOOTH = ["tanh", "sigmoid", "softplus", "silu", "gelu"]
KINKED = ["relu", "leaky_relu", "elu", "hard_sigmoid"]


@st.composite
def dense_networks(draw, activations=tuple(SMOOTH + KINKED), bias=True, outputs=3):
    """A dense network, with concatenations perhaps: a function that builds it, and the width of its input."""
    width, seed = draw(st.integers(2, 5)), draw(st.integers(0, 10**6))
    layer = st.tuples(st.integers(2, 6), st.sampled_from(activations), st.booleans())
    layers = draw(st.lists(layer, min_size=1, max_size=3))

    def build():
        x = h = keras.Input((width,))
        for units, activation, joined in layers:
            y = L.Dense(units, activation=activation, use_bias=bias)(h)
            h = L.Concatenate()([h, y]) if joined else y
        return shake(keras.Model(x, L.Dense(outputs, use_bias=bias)(h)), seed)

    return build, width


@st.composite
def convolutional_networks(draw, activations=tuple(SMOOTH + KINKED)):
    """A function that builds a small convolutional network: normalization, pooling, a residual or gated branch."""
    seed, activation = draw(st.integers(0, 10**6)), st.sampled_from(activations)
    merge = st.sampled_from(["Add", "Multiply", "Maximum", "Subtract"])
    block = st.tuples(st.integers(2, 3), st.booleans(), st.booleans(), activation, activation, merge)
    blocks = draw(st.lists(block, min_size=1, max_size=2))
    pool, size = draw(st.sampled_from(["MaxPooling2D", "AveragePooling2D"])), draw(st.integers(2, 3))
    end = draw(st.sampled_from(["Flatten", "GlobalMaxPooling2D", "GlobalAveragePooling2D"]))

    def build():
        x = h = keras.Input((6, 6, 2))
        for channels, bias, norm, first, second, merged in blocks:
            h = L.Conv2D(channels, 3, padding="same", use_bias=bias)(h)
            h = L.BatchNormalization()(h) if norm else h
            h = L.Activation(first)(h)
            h = getattr(L, merged)()([h, L.Conv2D(channels, 1, activation=second)(h)])
        h = getattr(L, end)()(getattr(L, pool)(size, strides=2)(h))
        return shake(keras.Model(x, L.Dense(3)(h)), seed)

    return build


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(keras.config.floatx())


def outputs(model, x):
    """The model's outputs as NumPy arrays."""
    return keras.ops.convert_to_numpy(model(x))
