"""Convolutional networks for the tests of maps, and what the formulas of maps are made of."""

import keras
import models
import numpy as np
from keras import layers as L
from keras import ops

import innspect

SIZES = {1: (11,), 2: (8, 10), 3: (5, 6, 7)}


def pooled(rank=2, first=False, seed=1, pooling="Average"):
    """A network that ends in global pooling and a dense layer, and inputs for it."""
    kind = {"data_format": "channels_first" if first else "channels_last"}
    shape = (2, *SIZES[rank]) if first else (*SIZES[rank], 2)
    conv, pool = getattr(L, f"Conv{rank}D"), getattr(L, f"Global{pooling}Pooling{rank}D")
    body = [
        conv(4, 3, activation="relu", padding="same", name="early", **kind),
        conv(5, 3, activation="relu", name="late", **kind),
    ]
    model = keras.Sequential([keras.Input(shape), *body, pool(**kind), L.Dense(3, activation="softmax", name="out")])
    return models.shake(model, seed), models.array(3, *shape, seed=seed)


def flattened(seed=1):
    """A network with a dense layer on all positions, so that every position's gradient differs."""
    body = [
        L.Conv2D(4, 3, activation="relu", name="early"),
        L.MaxPooling2D(name="pool"),
        L.Conv2D(5, 2, activation="relu", name="late"),
    ]
    head = [L.Flatten(), L.Dense(6, activation="tanh"), L.Dense(3, activation="softmax", name="out")]
    return models.shake(keras.Sequential([keras.Input((9, 10, 2)), *body, *head]), seed), models.array(3, 9, 10, 2, seed=seed)


def raw(name, model, x, *neuron, **kwargs):
    """The map as it is, before ReLU and resizing."""
    return innspect.create_analyzer(name, model, upsample=False, relu=False, **kwargs).analyze(x, *neuron)


def activations(model, layer, x):
    return ops.convert_to_numpy(keras.Model(model.inputs, model.get_layer(layer).output)([x]))


def gradients(model, layer, x, neuron, **kwargs):
    return innspect.create_analyzer("gradient", model, **kwargs).explain(x, neuron, at=layer).signals[layer]


def logits(model, x):
    return ops.convert_to_numpy(innspect.model_wo_softmax(model)(x))


def close(ours, theirs, tolerance=1e-5):
    """Apart by no more than this part of the largest, however small a map is."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-12))
