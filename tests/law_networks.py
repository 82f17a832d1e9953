"""Random small networks on images, for laws that hold on every network: residual, shared, nested, normalized, pooled."""

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers as L
from models import shake


# Every block takes and gives (4, 4, 3), so that what was compiled for one network serves the next.
def conv(h, bias, activation="relu", filters=3):
    return L.Conv2D(filters, 3, padding="same", activation=activation, use_bias=bias)(h)


def shared(h, bias):
    layer = L.Conv2D(3, 3, padding="same", activation="relu", use_bias=bias)
    return layer(layer(h))


def nested(h, bias):
    x = keras.Input((4, 4, 3))
    inner = keras.Model(x, conv(L.ReLU()(L.Conv2D(3, 1, use_bias=bias)(x)), bias))
    return L.Add()([inner(h), inner(L.ReLU()(h))])


RECTIFIED = {
    "convolution": conv,
    "max pooling": lambda h, bias: L.MaxPooling2D(2, strides=1, padding="same")(h),
    "shared": shared,
    "nested": nested,
    "residual": lambda h, bias: L.ReLU()(L.Add()([h, conv(h, bias, None)])),
    "concatenation": lambda h, bias: L.Concatenate()([conv(h, bias, filters=2), conv(h, bias, filters=1)]),
    "separable": lambda h, bias: L.SeparableConv2D(3, 2, padding="same", activation="relu", use_bias=bias)(h),
    "depthwise": lambda h, bias: L.DepthwiseConv2D(2, padding="same", activation="relu", use_bias=bias)(h),
    "average pooling": lambda h, bias: L.AveragePooling2D(2, strides=1, padding="same")(h),
}
NORMALIZED = {
    "normalized after": lambda h, bias: L.ReLU()(L.BatchNormalization()(conv(h, bias, None))),
    "normalized before": lambda h, bias: conv(L.BatchNormalization()(h), bias),
}
SIGNED = {
    "linear": lambda h, bias: conv(h, bias, None),
    "smooth": lambda h, bias: conv(h, bias, "tanh"),
    "maximum": lambda h, bias: L.Maximum()([conv(h, bias, None), conv(h, bias)]),
    "difference": lambda h, bias: L.Subtract()([h, conv(h, bias)]),
    "gate": lambda h, bias: L.Multiply()([h, conv(h, bias, "sigmoid")]),
    "padding": lambda h, bias: L.Cropping2D(1)(L.ZeroPadding2D(1)(h)),
}


@st.composite
def _networks(draw, blocks, bias=True, last_bias=0.0):
    names = draw(st.lists(st.sampled_from(sorted(blocks)), min_size=1, max_size=3))
    pooled, seed = draw(st.booleans()), draw(st.integers(0, 1000))

    def build():
        x = keras.Input((4, 4, 2))
        h = conv(x, bias)
        for name in names:
            h = blocks[name](h, bias)
        h = L.GlobalAveragePooling2D()(h) if pooled else L.Flatten()(h)
        h = L.Dense(4, activation="relu", use_bias=bias)(h)
        model = shake(keras.Model(x, L.Dense(3, use_bias=bias, name="last")(h)), seed)
        if bias and last_bias:
            last = model.get_layer("last")
            last.bias.assign(last.bias + last_bias)
        return model

    return build


def relu_networks(normalized=False, bias=True, last_bias=0.0, without=()):
    """Affine layers, ReLU and max pooling only."""
    blocks = RECTIFIED | (NORMALIZED if normalized else {})
    return _networks({name: block for name, block in blocks.items() if name not in without}, bias, last_bias)


def signed_networks():
    """With all kinds of merges and activations that relevance methods have rules for."""
    return _networks(RECTIFIED | NORMALIZED | SIGNED)


def some_inputs(model, samples=2, seed=0):
    """Signed inputs in the model's dtype."""
    return np.random.default_rng(seed).normal(size=(samples, *model.inputs[0].shape[1:])).astype(keras.config.floatx())
