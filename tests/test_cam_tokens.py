"""Maps of tokens that are patches of an image: found by following them, or told by `tokens=`."""

import functools

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import activations, close

import innspect

pytestmark = pytest.mark.usefixtures("quick")

ROWS, COLUMNS, WIDTH = 3, 4, 8
VALUES = models.array(2, 6, 8, 3)


class ClassToken(L.Layer):
    """A learned token in front of the others, or behind them."""

    def __init__(self, first, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="normal", name="token")

    def call(self, x):
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x] if self.first else [x, token], axis=1)


def by_convolution(x):
    return L.Reshape((ROWS * COLUMNS, WIDTH), name="tokens")(L.Conv2D(WIDTH, 2, strides=2, name="patches")(x))


def by_extraction(x):
    return L.Dense(WIDTH)(ops.reshape(ops.image.extract_patches(x, 2), (-1, ROWS * COLUMNS, 12)))


def by_reshaping(x):
    patches = ops.transpose(ops.reshape(x, (-1, ROWS, 2, COLUMNS, 2, 3)), (0, 1, 3, 2, 4, 5))
    return L.Dense(WIDTH)(ops.reshape(patches, (-1, ROWS * COLUMNS, 12)))


def block(h, name):
    a = L.LayerNormalization(name=f"{name}_before")(h)
    h = L.Add(name=f"{name}_attended")([L.MultiHeadAttention(2, 4)(a, a), h])
    a = L.Dense(WIDTH)(L.Dense(6, activation="gelu")(L.LayerNormalization()(h)))
    return L.Add(name=f"{name}_out")([a, h])


def mixer(h, name):
    a = L.Permute((2, 1))(L.LayerNormalization()(h))
    h = h + L.Permute((2, 1))(L.Dense(ROWS * COLUMNS)(a))
    return L.Add(name=f"{name}_out")([L.Dense(WIDTH)(L.LayerNormalization()(h)), h])


@functools.cache
def transformer(patches=by_convolution, token=None, blocks=block, head="mean"):
    x = keras.Input((6, 8, 3))
    h = patches(x)
    h = h if token is None else ClassToken(token == "front")(h)
    h = blocks(blocks(h, "one"), "two")
    h = L.LayerNormalization(name="final")(h)
    read = {"mean": L.GlobalAveragePooling1D(), "flat": L.Flatten(), "class": lambda h: h[:, 0 if token == "front" else -1]}
    return models.shake(keras.Model(x, L.Dense(3)(read[head](h))))


def grad_cam(model, **arguments):
    return innspect.create_analyzer("grad_cam", model, relu=False, **arguments)


# Networks, the layer that their map is of, and how many tokens come before the patches.
NETWORKS = {
    "convolution": (transformer(), "final", 0),
    "extraction": (transformer(by_extraction, head="flat"), "final", 0),
    "reshaping": (transformer(by_reshaping), "final", 0),
    "mixer": (transformer(blocks=mixer), "final", 0),
    "averaged with a class token": (transformer(token="front"), "final", 1),
    "class token in front": (transformer(token="front", head="class"), "two_before", 1),
    "class token behind": (transformer(by_extraction, token="behind", head="class"), "two_before", 0),
}


some = pytest.mark.sweep(on="jax tensorflow", keep=["mixer", "class token in front"])


@some
@pytest.mark.parametrize("name", NETWORKS)
def test_patches_are_found_and_have_a_map(name):
    model, layer, skipped = NETWORKS[name]
    found = grad_cam(model)
    assert found.place().path == layer
    told = grad_cam(model, layer=layer, tokens=(skipped, (ROWS, COLUMNS)))
    maps = found.analyze(VALUES, 1)
    assert maps.shape == (2, 6, 8)
    assert maps.any()
    close(maps, told.analyze(VALUES, 1))


@some
@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_of_tokens_is_that_of_their_signals(name):
    """Grad-CAM from the activations and signals at the layer, as arrays."""
    model, layer, skipped = NETWORKS[name]
    g = innspect.create_analyzer("gradient", model).explain(VALUES, 1, at=layer).signals[layer]
    a, g = (v[:, skipped : skipped + ROWS * COLUMNS] for v in (activations(model, layer, VALUES), g))
    wanted = (a * g.mean(axis=1, keepdims=True)).sum(-1).reshape(2, ROWS, COLUMNS)
    close(grad_cam(model, upsample=False).analyze(VALUES, 1), wanted, 1e-4)


METHODS = "cam ablation_cam grad_cam_plus_plus guided_grad_cam layer_cam rsi_grad_cam score_cam xgrad_cam".split()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(keep=["cam", "score_cam", "rsi_grad_cam"])
def test_tokens_may_be_the_image_that_they_are_made_of(method):
    """The map of the reshape is that of the convolution before it, whatever comes after."""
    few = {"steps": 2} if method == "rsi_grad_cam" else {}
    x = keras.Input((6, 8, 3))
    out = L.Dense(3)(L.GlobalAveragePooling1D()(by_convolution(x)))
    model = models.shake(keras.Model(x, out))
    ours = innspect.create_analyzer(method, model, **few)
    assert ours.place().path == "tokens"
    x = keras.Input((6, 8, 3))
    image = keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D()(L.Conv2D(WIDTH, 2, strides=2, name="patches")(x))))
    image.set_weights(model.get_weights())
    close(ours.analyze(VALUES, 1), innspect.create_analyzer(method, image, **few).analyze(VALUES, 1))


def test_frames_of_a_transformer_have_maps():
    x = keras.Input((2, 6, 8, 3))
    inner = transformer(token="front", head="class")
    model = models.shake(keras.Model(x, L.Dense(2)(L.LSTM(3)(L.TimeDistributed(inner)(x)))))
    maps = grad_cam(model).analyze(models.array(2, 2, 6, 8, 3), 1)
    assert maps.shape == (2, 2, 6, 8)
    assert maps.any()


def without_residuals():
    x = keras.Input((6, 8, 3))
    h = by_convolution(x)
    h = L.MultiHeadAttention(2, 4, name="attention")(h, h)
    return models.shake(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(h))))


def test_what_cannot_be_followed_is_asked_for():
    model = without_residuals()
    with pytest.raises(
        innspect.NotAnalyzeableModelError, match=r"12 tokens are patches.*tokens=\(skipped, \(rows, columns\)\)"
    ):
        grad_cam(model, layer="attention").analyze(VALUES, 1)
    assert grad_cam(model).place().path == "tokens"
    told = grad_cam(model, tokens=(0, (ROWS, COLUMNS)))
    assert told.place().path == "attention"
    assert told.analyze(VALUES, 1).shape == (2, 6, 8)
    assert innspect.create_analyzer("cam", model, tokens=(0, (ROWS, COLUMNS))).analyze(VALUES, 1).shape == (2, 6, 8)


def test_images_of_any_size_have_tokens_that_are_told():
    x = keras.Input((None, None, 3))
    h = L.Reshape((-1, WIDTH))(L.Conv2D(WIDTH, 2, strides=2, name="patches")(x))
    h = L.Add(name="added")([L.MultiHeadAttention(2, 4)(h, h), h])
    model = models.shake(keras.Model(x, L.Dense(3)(L.GlobalAveragePooling1D()(h))))
    assert grad_cam(model).place().path == "patches"
    told = grad_cam(model, tokens=(0, (ROWS, COLUMNS)))
    assert told.place().path == "added"
    assert told.analyze(VALUES, 1).shape == (2, 6, 8)
    with pytest.raises(ValueError, match="of 12 tokens"):
        grad_cam(model, tokens=(0, (5, 5))).analyze(VALUES, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"tokens": 5}, ValueError, r"such as \(1, \(14, 14\)\)"),
        ({"tokens": (1, 12)}, ValueError, "Received: "),
        ({"tokens": (-1, (3, 4))}, ValueError, "must be .skipped"),
        ({"tokens": (1, (3, 0))}, ValueError, "must be .skipped"),
        ({"tokens": (2, (3, 4))}, innspect.NotAnalyzeableModelError, "has 14 tokens"),
        ({"layer": "patches", "tokens": (1, (3, 4))}, ValueError, "that the layer has"),
        ({"layer": "two_out"}, ValueError, "only other tokens are read"),
    ],
)
def test_tokens_that_a_layer_does_not_have_are_refused(arguments, error, message):
    model, *_ = NETWORKS["class token in front"]
    with pytest.raises(error, match=message):
        grad_cam(model, **arguments)


def test_an_image_that_is_turned_has_its_map_upright():
    """As text is read: columns become steps of a sequence."""

    def reader(turn):
        x = keras.Input((6, 8, 3))
        h = L.Conv2D(4, 3, padding="same", activation="relu", name="maps")(x)
        h = L.Permute((2, 1, 3), name="turned")(h) if turn else ops.transpose(h, (0, 2, 1, 3))
        return models.shake(keras.Model(x, L.Dense(2)(L.LSTM(3)(L.Reshape((8, 24))(h)))))

    turned = grad_cam(reader(True))
    assert turned.place().path == "turned"
    for model in (reader(True), reader(False)):
        close(turned.analyze(VALUES, 1), grad_cam(model, layer="maps").analyze(VALUES, 1))
    ours, maps = (
        innspect.create_analyzer("ablation_cam", reader(True), layer=layer).analyze(VALUES, 1) for layer in ("turned", "maps")
    )
    assert np.abs(maps).max() > 0
    close(ours, maps)
