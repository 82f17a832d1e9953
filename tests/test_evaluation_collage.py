"""The grid game: mosaics of images of four classes."""

import zlib

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect import evaluation
from innspect.evaluation.maps import Maps, RandomMaps
from innspect.evaluation.mosaic import mosaics_of, unfit
from innspect.evaluation.trial import Trial

CLASSES = 5


def network(size=(8, 8), channels_first=False, sharp=10.0):
    """Of five classes, each of which is a channel: the brightest of an image."""
    shape = (CLASSES, *size) if channels_first else (*size, CLASSES)
    inputs = keras.Input(shape)
    mean = ops.mean(inputs, axis=(2, 3) if channels_first else (1, 2))
    dense = L.Dense(CLASSES, activation="softmax", use_bias=False)
    model = keras.Model(inputs, dense(mean))
    model.set_weights([sharp * np.eye(CLASSES, dtype="float32")])
    return model


def images(classes, size=(8, 8), seed=0):
    """Noise, and a channel brighter than others."""
    x = np.random.default_rng(seed).random((len(classes), *size, CLASSES)).astype("float32") * 0.2
    for n, (image, c) in enumerate(zip(x, classes, strict=True)):
        image[..., c] += 0.5 + 0.05 * n  # the later the surer
    return x


class Channel:
    """An analyzer that shows where the channel of a class is bright, as a perfect one would."""

    def __init__(self, axis=-1, level=0.4):
        self.axis, self.level, self.asked = axis, level, 0

    def analyze(self, x, neuron, **_):
        self.asked += len(x)
        x = np.moveaxis(np.asarray(x), self.axis, -1)
        return np.stack([(image[..., c] > self.level).astype("float64") for image, c in zip(x, neuron, strict=True)])


NINE = [0, 1, 2, 3, 0, 1, 2, 3, 4]


def test_a_perfect_map_has_one_and_a_constant_one_a_quarter():
    model, x = network(), images(NINE)
    result = evaluation.collage(model, x, Channel())
    assert result.values.tolist() == [1, 1]
    assert (result.curves["cells"].shape, result.settings["mosaics"]) == ((2, 4), 2)
    assert evaluation.collage(model, x, Channel(level=-1)).values.tolist() == [0.25, 0.25]
    trial = Trial(model, x)
    assert (abs(evaluation.collage(trial, None, RandomMaps(trial)).values - 0.25) < 0.05).all()
    real = evaluation.collage(model, x, innspect.create_analyzer("input_t_gradient", model)).values
    assert (real > 0.5).all()


def test_mosaics_hold_the_surest_images_of_four_classes_each_once():
    model, x = network(), images(NINE)
    made = evaluation.mosaics(model, x)
    assert [set(row.tolist()) for row in made.images] == [{8, 7, 6, 5}, {4, 3, 2, 1}]
    assert (made.classes == np.array(NINE)[made.images]).all()
    draws = np.random.default_rng([0, zlib.crc32(b"mosaics")])
    for row, sure in zip(made.images, ([8, 7, 6, 5], [4, 3, 2, 1]), strict=True):
        assert row.tolist() == np.array(sure)[draws.permutation(4)].tolist()
    order = np.random.default_rng(1).permutation(len(x))
    np.testing.assert_array_equal(evaluation.mosaics(model, x[order]).x, made.x)
    assert len(evaluation.mosaics(model, x, limit=1)) == 1
    assert not np.array_equal(evaluation.mosaics(model, x, seed=3).images, made.images)


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_shrunk_images_are_means_over_blocks(size):
    made = evaluation.mosaics(network(size), images(NINE, size))
    x, (first, *_, last) = images(NINE, size), made.images[0]
    mosaic, (h, w) = made.x[0], (size[0] // 2, size[1] // 2)
    blocks = x[first, : 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).mean((1, 3))
    np.testing.assert_allclose(mosaic[:h, :w], blocks, rtol=1e-6)
    assert mosaic.shape == (*size, CLASSES)
    np.testing.assert_allclose(mosaic[-1, -1], x[last, -(2 - size[0] % 2) :, -(2 - size[1] % 2) :].mean((0, 1)), rtol=1e-6)
    assert np.bincount(made.cells().ravel()).tolist() == [a * b for a in (h, size[0] - h) for b in (w, size[1] - w)]


def test_whole_images_for_models_of_any_size():
    x = images(NINE)
    made = evaluation.mosaics(network((None, None)), x, fit="grow")
    assert made.x.shape == (2, 16, 16, CLASSES)
    np.testing.assert_array_equal(made.x[0, 8:, :8], x[made.images[0, 2]])
    assert evaluation.collage(network((None, None)), x, Channel(), fit="grow").values.tolist() == [1, 1]
    with pytest.raises(ValueError, match="takes images of any size"):
        evaluation.mosaics(network(), x, fit="grow")


def test_channels_first():
    model, x = network(channels_first=True), np.moveaxis(images(NINE), -1, 1)
    result = evaluation.collage(model, x, Channel(axis=1), channel_axis=1)
    assert result.values.tolist() == [1, 1]


def test_images_without_a_channel_axis():
    def quarter(x):  # the class is the part of the image that is brightest
        x = np.asarray(x)
        parts = [x[:, i::2, j::2].mean((1, 2)) for i in (0, 1) for j in (0, 1)]
        return np.exp(20 * np.stack(parts, 1)) / np.exp(20 * np.stack(parts, 1)).sum(1, keepdims=True)

    x = np.zeros((4, 8, 8), "float32")
    for n, image in enumerate(x):
        image[n // 2 :: 2, n % 2 :: 2] = 1
    made = evaluation.mosaics(quarter, x, channel_axis=None)
    assert made.x.shape == (1, 8, 8)
    assert sorted(made.images[0].tolist()) == [0, 1, 2, 3]
    assert "made of images" in unfit(Trial(quarter, x))  # whose last axis are channels by default


def test_methods_share_the_mosaics_and_nothing_else_is_explained():
    trial, first = Trial(network(), images(NINE)), Channel()
    made = mosaics_of(trial)
    evaluation.collage(trial, None, Maps(trial, first))
    assert mosaics_of(trial) is made
    assert first.asked == 8  # four cells of two mosaics, and none of the images
    given = evaluation.collage(trial.model, trial.inputs.x, Channel(), mosaics=made)
    assert given.settings["images"] == made.images.tolist()


def test_a_cell_counts_where_the_mosaic_has_its_class_and_the_map_something():
    model, x = network(), images(NINE)
    made = evaluation.mosaics(model, x, limit=1)
    made.counted[0, 1] = False

    class Without(Channel):
        def analyze(self, x, neuron, **_):
            maps = super().analyze(x, neuron)
            maps[neuron == made.classes[0, 2]] = -1  # nothing positive
            return maps

    result = evaluation.collage(model, x, Without(), mosaics=made)
    assert np.isnan(result.curves["cells"]).tolist() == [[False, True, True, False]]
    assert (result.values[0], result.beside["undefined_cells"][0]) == (1, 0.5)
    made.counted[:] = False
    assert evaluation.collage(model, x, Channel(), mosaics=made).undefined.all()


def test_a_class_that_the_mosaic_does_not_show_is_not_counted():
    weights, x = np.eye(CLASSES, dtype="float32") * 10, images([0, 1, 2, 3])
    model = network()
    x[:, :, :, 4] = 0.3 * (x[:, :, :, 0] < 0.3)  # a fifth class is seen in three of them
    x[3, ..., 3] = 0.45
    model.set_weights([weights])
    made = evaluation.mosaics(model, x)
    outputs = made.x.mean((1, 2))
    expected = [(outputs[0] > outputs[0, c]).sum() < 4 for c in made.classes[0]]
    assert made.counted[0].tolist() == expected
    assert sum(expected) == 3


def test_what_is_not_fit_is_said():
    model, x = network(), images(NINE)
    trial = Trial(model, x)
    assert unfit(trial) is None
    assert "3 such classes in 3 images" in unfit(Trial(model, x[:3]))
    assert "at least 0.99" in unfit(Trial(network(sharp=1.0), x), confidence=0.99)
    with pytest.raises(ValueError, match="images of four classes"):
        evaluation.collage(model, x[:3], Channel())
    with pytest.raises(TypeError, match="must be an analyzer"):
        evaluation.collage(model, x, np.ones(x.shape))
    with pytest.raises(ValueError, match="`mosaics` must be what"):
        evaluation.collage(model, x, Channel(), mosaics=x)
    with pytest.raises(ValueError, match="`fit` must be"):
        evaluation.mosaics(model, x, fit="stretch")
    for shape in ((4, 6), (4, 6, 2)):
        with pytest.raises(ValueError, match="made of images"):
            evaluation.mosaics(lambda x: np.asarray(x).reshape(len(x), -1), np.ones(shape, "float32"))
    with pytest.raises(ValueError, match="four classes, with an output"):
        evaluation.mosaics(lambda x: np.asarray(x).mean((1, 2)), np.ones((4, 6, 6, 3), "float32"))
