"""A receptive field holds all that a unit depends on; of steps that are windows, and nothing else."""

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.concepts.measuring import sites_of
from innspect.graph.opened.fields import fields


def _net(size, *layers, channels=2, first=False):
    x = keras.Input((channels, *size) if first else (*size, channels))
    y = x
    for layer in layers:
        y = layer(y)
    model = keras.Model(x, y)
    random = np.random.default_rng(0)
    model.set_weights([np.abs(random.normal(size=v.shape)) + 0.1 for v in model.get_weights()])  # no path cancels another
    return model


def _branched():
    x = keras.Input((13, 9, 2))
    a = L.Conv2D(3, 3, padding="same")(x)
    b = L.Conv2D(3, (1, 5), padding="same", dilation_rate=1)(x)
    y = L.Concatenate()([L.Add()([a, b]), a])
    y = L.Conv2D(2, 2, strides=2)(y)
    model = keras.Model(x, y)
    model.set_weights([np.abs(v) + 0.1 for v in model.get_weights()])
    return model


EXACT = {
    "windows": lambda: _net(
        (17, 14), L.Conv2D(3, 3, strides=2), L.DepthwiseConv2D((2, 3), padding="same"), L.AveragePooling2D(2)
    ),
    "dilated": lambda: _net((15, 16), L.Conv2D(3, 3, dilation_rate=(2, 1), padding="same"), L.SeparableConv2D(2, 3)),
    "padded": lambda: _net(
        (11, 12), L.ZeroPadding2D(((1, 2), (0, 3))), L.Conv2D(2, 3, strides=2, padding="same"), L.Cropping2D(1)
    ),
    "enlarged": lambda: _net((7, 6), L.Conv2D(2, 2), L.UpSampling2D(2), L.Conv2D(2, 3, padding="same")),
    "smooth": lambda: _net((6, 5), L.UpSampling2D(2, interpolation="bilinear"), L.Conv2D(2, 1)),
    "branched": _branched,
    "causal": lambda: _net((19,), L.Conv1D(3, 3, padding="causal", dilation_rate=2), L.Conv1D(2, 2, strides=2)),
    "solid": lambda: _net((7, 8, 6), L.Conv3D(2, (2, 3, 1), strides=(1, 2, 1)), L.AveragePooling3D((2, 1, 2))),
}


def _seen(model, tensor_shape, position, x):
    """Where the gradient of a position of the output is not 0, summed over channels."""
    spatial = tensor_shape[1:-1]
    weights = np.zeros((*spatial, tensor_shape[-1]), "float32")
    weights[position] = 1
    return innspect.create_analyzer("gradient", model, head="output").analyze(x, weights) != 0


@pytest.mark.parametrize("name", EXACT)
def test_a_field_is_where_the_gradient_is(name):
    model = EXACT[name]()
    x = np.random.default_rng(1).uniform(0.5, 1, (1, *model.inputs[0].shape[1:])).astype("float32")
    opened = innspect.open_model(model)
    site = sites_of(opened.graph, [model.layers[-1].name])[model.layers[-1].name]
    (field,) = fields(opened.graph, site.tensor, [x])
    shape = model.output_shape
    for position in [tuple(0 for _ in shape[1:-1]), tuple(n // 2 for n in shape[1:-1]), tuple(n - 1 for n in shape[1:-1])]:
        seen = _seen(model, shape, position, x)[0].any(axis=-1)
        box = field.box(position)[:-1]
        where = np.argwhere(seen)
        assert [(s.start, s.stop) for s in box] == list(zip(where.min(0), where.max(0) + 1, strict=True)), position


def test_maxima_transposed_convolutions_and_shortcuts_stay_inside():
    x = keras.Input((16, 12, 2))
    y = L.MaxPooling2D(3, 2, padding="same")(L.Conv2D(3, 3, activation="relu", padding="same")(x))
    z = L.Conv2DTranspose(3, 3, strides=2, padding="same")(y)
    z = L.LayerNormalization()(z)
    model = keras.Model(x, L.Activation("gelu")(z))
    opened = innspect.open_model(model)
    site = sites_of(opened.graph, [model.layers[-1].name])[model.layers[-1].name]
    sample = np.random.default_rng(0).normal(size=(1, 16, 12, 2)).astype("float32")
    (field,) = fields(opened.graph, site.tensor, [sample])
    for position in ((0, 0), (7, 5), (15, 11)):
        outside = _seen(model, model.output_shape, position, sample)[0]
        outside[field.box(position)] = False
        assert not outside.any()
        assert np.prod([s.stop - s.start for s in field.box(position)[:2]]) < 16 * 12


def test_what_is_mixed_is_seen_whole():
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(4, 3, padding="same")(x)
    gate = L.Dense(4, activation="sigmoid", name="gate")(L.GlobalAveragePooling2D(keepdims=True)(y))
    model = keras.Model(x, [L.Multiply(name="gated")([y, gate]), L.Dense(2, name="dense")(L.Flatten()(y))])
    graph = innspect.open_model(model).graph
    for layer, position in (("gated", (3, 3)), ("dense", ())):
        (field,) = fields(graph, sites_of(graph, [layer])[layer].tensor, [np.zeros((1, 8, 8, 3), "float32")])
        assert field.box(position) == (slice(0, 8), slice(0, 8), slice(0, 3))


def test_ids_and_lengths_that_are_not_known_beforehand():
    x = keras.Input((None,), dtype="int32")
    model = keras.Model(x, L.Conv1D(4, 3, strides=2, name="conv")(L.Embedding(11, 5)(x)))
    graph = innspect.open_model(model).graph
    (field,) = fields(graph, sites_of(graph, ["conv"])["conv"].tensor, [np.zeros((1, 9), "int32")])
    assert field.box((2,)) == (slice(4, 7),)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="which has no such convolutions on a CPU")
def test_channels_first():
    model = _net((9, 8), L.Conv2D(3, 3, data_format="channels_first"), L.Conv2D(2, 2, data_format="channels_first"), first=True)
    graph, name = innspect.open_model(model).graph, model.layers[-1].name
    (field,) = fields(graph, sites_of(graph, [name])[name].tensor, [np.zeros((1, 2, 9, 8), "float32")])
    assert field.box((1, 2)) == (slice(0, 2), slice(1, 5), slice(2, 6))
