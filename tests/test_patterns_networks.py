"""Patterns and attributions of whole networks of every kind of layer against float64 NumPy."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake
from patterns_networks import Network, build

import innspect
from innspect import patterns as P


def strided_and_dilated():
    c = L.Conv2D
    return (9, 8, 3), [
        (c(4, 3, strides=2, padding="same", activation="relu", name="strided"), "x"),
        (c(4, 2, dilation_rate=2, padding="same", use_bias=False, name="dilated"), "strided"),
        (L.ReLU(name="relu"), "dilated"),
        (c(6, 2, groups=2, activation="relu", name="grouped"), "relu"),
        (L.Flatten(name="flat"), "grouped"),
        (L.Dense(3, activation="softmax", name="out"), "flat"),
    ]


def branches():
    c = L.Conv2D
    return (6, 6, 3), [
        (c(4, 3, padding="same", activation="relu", name="a"), "x"),
        (c(4, 1, padding="same", name="b"), "a"),
        (L.Add(name="sum"), "a", "b"),
        (L.Activation("relu", name="act"), "sum"),
        (L.AveragePooling2D(2, strides=2, padding="same", name="average"), "act"),
        (L.MaxPooling2D(2, name="largest"), "act"),
        (L.Concatenate(name="join"), "average", "largest"),
        (c(5, 2, activation="relu", name="c"), "join"),
        (L.GlobalAveragePooling2D(name="global"), "c"),
        (L.Dense(6, activation="relu", name="hidden"), "global"),
        (L.Dense(3, name="out"), "hidden"),
    ]


def normalized():
    def bn(name):
        return L.BatchNormalization(name=name)

    return (6, 6, 2), [
        (bn("first"), "x"),
        (L.Conv2D(4, 3, padding="same", use_bias=False, name="a"), "first"),
        (bn("after"), "a"),
        (L.ReLU(name="relu"), "after"),
        (L.Conv2D(4, 3, activation="relu", name="b"), "relu"),
        (bn("behind"), "b"),
        (L.Conv2D(3, 2, name="c"), "behind"),
        (bn("last"), "c"),
        (L.Activation("relu", name="act"), "last"),
        (L.Flatten(name="flat"), "act"),
        (L.Dense(3, activation="softmax", name="out"), "flat"),
    ]


def channel_wise():
    return (7, 6, 3), [
        (L.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu", name="depthwise"), "x"),
        (L.SeparableConv2D(5, 2, strides=2, padding="same", activation="relu", name="separable"), "depthwise"),
        (L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu", name="transposed"), "separable"),
        (L.MaxPooling2D(2, name="pool"), "transposed"),
        (L.Flatten(name="flat"), "pool"),
        (L.Dense(3, name="out"), "flat"),
    ]


def series():
    return (11, 3), [
        (L.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu", name="causal"), "x"),
        (L.MaxPooling1D(2, name="pool"), "causal"),
        (L.Conv1DTranspose(3, 3, strides=2, activation="relu", name="transposed"), "pool"),
        (L.Dense(4, activation="relu", name="each"), "transposed"),
        (L.EinsumDense("abc,cd->abd", output_shape=(11, 5), bias_axes="d", name="einsum"), "each"),
        (L.ReLU(name="relu"), "einsum"),
        (L.AveragePooling1D(2, name="average"), "relu"),
        (L.Flatten(name="flat"), "average"),
        (L.Dense(3, name="out"), "flat"),
    ]


NETWORKS = [strided_and_dilated, branches, normalized, channel_wise, series]


def gated(network, path):
    return not (path in ("out", "separable/depthwise") or (network is branches and path == "b"))


@pytest.mark.sweep(keep=["branches"], on="jax")
@pytest.mark.parametrize("make", NETWORKS)
def test_networks_equal_numpy(make):
    shape, steps = make()
    model = shake(build(shape, steps), seed=3)
    x = array(24, *shape, seed=4) + 0.3
    oracle, few = Network(steps, x), Network(steps, x[:4])
    fitted = P.fit(model, x, ["auto", "linear", "relu", "relu.negative"], batch_size=16)
    assert list(fitted) == list(oracle.kernels)
    kinds = {"linear": "linear", "relu": "positive", "relu.negative": "negative"}
    learned = {t: {p: oracle.pattern(p, kind) for p in oracle.kernels} for t, kind in kinds.items()}
    learned["auto"] = {p: learned["relu" if gated(make, p) else "linear"][p] for p in oracle.kernels}
    for shown, arrays in learned.items():
        ours = fitted.select(shown)
        for path, part in oracle.kernels.items():
            theirs = part.restore(arrays[path])
            np.testing.assert_allclose(ours[path], theirs, rtol=0, atol=1e-4 * np.abs(theirs).max(), err_msg=f"{shown} {path}")
        for name in ("pattern.net", "pattern.attribution"):
            mine = innspect.create_analyzer(name, model, patterns=ours).analyze(x[:4], 1)
            theirs = few.explained(1, arrays, name == "pattern.attribution")
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-3 * np.abs(theirs).max(), err_msg=f"{shown} {name}")


def test_the_oracle_computes_what_keras_does():
    for make in NETWORKS:
        shape, steps = make()
        steps[-1][0].activation = keras.activations.linear
        model, x = shake(build(shape, steps), seed=3), array(3, *shape)
        np.testing.assert_allclose(Network(steps, x).output, model.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
