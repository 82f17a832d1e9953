"""Heads that are laid out like their images: the classes of pixels, and boxes around objects."""

import functools

import keras
import numpy as np
import pytest
from checks import DIFFERENCES, close, explain, gradient_of, predict, totals
from keras import layers as L
from keras import ops
from models import array, shake

import innspect

pytestmark = [
    pytest.mark.usefixtures("double", "quick"),
    pytest.mark.filterwarnings("ignore:.*gradient of .* does not exist"),
]


# ---------------------------------------------------------------------- segmentation
@functools.cache
def unet(up):
    """Two levels, with a skip connection each; logits of three classes a pixel."""
    x = keras.Input((8, 8, 1))

    def block(h, filters, name):
        return L.Conv2D(filters, 3, padding="same", activation="relu", name=name)(h)

    def upward(h, filters, name):
        if up == "transposed":
            return L.Conv2DTranspose(filters, 2, strides=2, name=name)(h)
        return L.UpSampling2D(2, interpolation=up, name=name)(h)

    one = block(x, 3, "one")
    two = block(L.MaxPooling2D(2)(one), 4, "two")
    three = block(L.MaxPooling2D(2)(two), 5, "three")
    h = block(L.Concatenate(name="skip_two")([upward(three, 4, "up_two"), two]), 4, "back_two")
    h = block(L.Concatenate(name="skip_one")([upward(h, 3, "up_one"), one]), 3, "back_one")
    return shake(keras.Model(x, L.Conv2D(3, 1, name="classes")(h)))


def images():
    return array(2, 8, 8, 1).astype("float64")


PIXEL = (2, 5, 1)
UPS = ["transposed", "nearest", "bilinear"]
some_on_jax = pytest.mark.sweep(keep=["nearest"], on="jax")  # which compiles each for a second or two


@some_on_jax
@pytest.mark.parametrize("up", ["transposed", "nearest"])  # TensorFlow computes the bilinear one in float32
def test_the_gradient_of_a_pixel_is_that_of_its_score(up):
    model, data = unet(up), images()
    ours = explain("gradient", model, data, PIXEL)
    close(ours.targets, predict(model, data)[:, *PIXEL])
    close(ours.attributions, gradient_of(model, data, lambda y: y[:, *PIXEL]), DIFFERENCES)


@some_on_jax
@pytest.mark.parametrize("up", UPS)
def test_deep_lift_of_a_pixel_is_complete(up):
    model, data = unet(up), images()
    change = (predict(model, data) - predict(model, 0 * data))[:, *PIXEL]
    close(totals(explain("deep_lift", model, data, PIXEL).attributions), change, 1e-5)


@pytest.mark.sweep(on="jax")
def test_integrated_gradients_of_a_pixel_are_the_mean_along_the_path():
    model, data = unet("nearest"), images()
    integrated = explain("integrated_gradients", model, data, PIXEL, steps=4, quadrature="midpoint")
    points = [explain("gradient", model, t * data, PIXEL).attributions for t in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
    close(integrated.attributions, data * np.mean(points, axis=0))


@some_on_jax
@pytest.mark.parametrize(("up", "tolerance"), [("transposed", 1e-9), ("nearest", 1e-9), ("bilinear", 1e-5)], ids=UPS)
def test_the_books_of_a_pixel_close(up, tolerance):
    assert innspect.create_analyzer("lrp.epsilon_plus", unet(up)).conservation(images(), PIXEL).error < tolerance


@some_on_jax
@pytest.mark.parametrize("up", UPS)
def test_a_pixel_has_relevance_only_where_it_looks(up):
    """Its last block sees 3 x 3 pixels of the skip connection."""
    model = unet(up)
    ours = explain("lrp.epsilon_plus", model, images(), PIXEL, at="skip_one").signals["skip_one"]
    assert ours.shape == (2, *model.get_layer("skip_one").output.shape[1:])
    outside = np.ones((8, 8), bool)
    outside[1:4, 4:7] = False
    assert not ours[:, outside].any()


def two_pixels():
    mask = np.zeros((8, 8, 3))
    mask[1, 2, 1], mask[4, 4, 1] = 1, 0.5
    return mask


@functools.cache
def mask_explained(method):
    return explain(method, unet("transposed"), images(), two_pixels())


gradient_on_jax = pytest.mark.sweep(keep=["gradient"], on="jax")


@gradient_on_jax
@pytest.mark.parametrize("method", ["gradient", "lrp.z"])
def test_a_mask_weighs_pixels(method):
    close(mask_explained(method).targets, (predict(unet("transposed"), images()) * two_pixels()).sum((1, 2, 3)))


@gradient_on_jax
@pytest.mark.parametrize("method", ["gradient", "lrp.z"])
def test_a_mask_is_a_callable_that_weighs_pixels(method):
    def weighed(y):
        return ops.sum(y * ops.convert_to_tensor(two_pixels(), dtype=y.dtype), axis=(1, 2, 3))

    called = explain(method, unet("transposed"), images(), weighed)
    close(called.attributions, mask_explained(method).attributions)


@gradient_on_jax
@pytest.mark.parametrize("method", ["gradient", "lrp.z"])
def test_a_mask_is_a_sum_of_pixels(method):
    one, another = explain(method, unet("transposed"), images(), neurons=[(1, 2, 1), (4, 4, 1)]).attributions
    close(one + 0.5 * another, mask_explained(method).attributions)


@pytest.mark.sweep(on="jax")
def test_every_sample_may_have_a_mask_of_its_own():
    model, data, mask = unet("transposed"), images(), two_pixels()
    ours = explain("gradient", model, data, np.stack([mask, mask[::-1]])).attributions
    close(ours[0], mask_explained("gradient").attributions[0])
    close(ours[1], explain("gradient", model, data, mask[::-1]).attributions[1])


@pytest.mark.sweep(on="jax")  # the same operations; it compiles for long
def test_an_index_is_the_class_of_all_pixels():
    model, data = unet("transposed"), images()
    ours = explain("gradient", model, data, 1)
    close(ours.targets, predict(model, data)[..., 1].sum((1, 2)))
    every = np.zeros((8, 8, 3))
    every[..., 1] = 1
    close(ours.attributions, explain("gradient", model, data, every).attributions)


def square():
    mask = np.zeros((8, 8, 3))
    mask[2:5, 2:5, 2] = 1
    return mask


def test_grad_cam_of_a_mask_is_that_of_its_formula():
    """At the bottom of the network."""
    model, data = unet("nearest"), images()
    cam = explain("grad_cam", model, data, square(), layer="three", upsample=False)
    at_layer = explain("gradient", model, data, square(), at="three").signals["three"]
    activations = predict(keras.Model(model.input, model.get_layer("three").output), data)
    close(cam.attributions, np.maximum((activations * at_layer.mean((1, 2), keepdims=True)).sum(-1), 0))


def test_occlusion_of_a_mask_is_what_hiding_changes():
    """With a window as wide as the stride, so that each pixel is hidden once."""
    model, data = unet("nearest"), images()
    ours = explain("occlusion", model, data, square(), window=4, stride=4, value=0.0)

    def score(x):
        return (predict(model, x) * square()).sum((1, 2, 3))

    for row, column in ((0, 0), (0, 4), (4, 4)):
        hidden = data.copy()
        hidden[:, row : row + 4, column : column + 4] = 0
        close(ours.attributions[:, row, column], score(data) - score(hidden))


# ---------------------------------------------------------------------- detection
@functools.cache
def detector():
    """A grid of boxes: (left, top, width, height, objectness, two classes) for each of 2 x 2 cells."""
    x = keras.Input((8, 8, 1))
    h = L.MaxPooling2D(4)(L.Conv2D(4, 3, padding="same", activation="relu")(x))
    boxes = L.Conv2D(4, 1, name="boxes")(h)
    scores = L.Conv2D(3, 1, name="scores")(h)
    return shake(keras.Model(x, L.Reshape((4, 7))(L.Concatenate()([boxes, scores])))), array(3, 8, 8, 1).astype("float64")


def best_boxes():
    """The number of the box of each sample that holds an object most probably."""
    model, data = detector()
    return predict(model, data)[:, :, 4].argmax(1)


def score_of_the_best_box(y):
    """Its objectness times its second class."""
    rows = np.arange(len(y)), y[:, :, 4].argmax(1)
    return 1 / (1 + np.exp(-y[*rows, 4])) * y[*rows, 6]


@functools.cache
def box_explained():
    def same_score(y):
        hot = ops.one_hot(ops.argmax(y[:, :, 4], axis=1), 4, dtype=y.dtype)
        return ops.sum(hot * ops.sigmoid(y[:, :, 4]) * y[:, :, 6], axis=1)

    return explain("gradient", *detector(), same_score)


def test_a_callable_chooses_another_box_for_each_sample():
    model, data = detector()
    close(box_explained().targets, score_of_the_best_box(predict(model, data)))
    close(box_explained().attributions, gradient_of(model, data, score_of_the_best_box), DIFFERENCES)


def test_a_box_has_a_gradient_only_where_its_cell_looks():
    for attribution, cell in zip(box_explained().attributions, best_boxes(), strict=True):
        outside = np.ones((8, 8), bool)
        row, column = 4 * (cell // 2), 4 * (cell % 2)
        outside[max(row - 1, 0) : row + 5, max(column - 1, 0) : column + 5] = False
        assert not attribution[outside].any()


def test_weights_choose_the_side_of_a_box():
    model, data = detector()
    rows = np.arange(3), best_boxes()
    weights = np.zeros((3, 4, 7))
    weights[*rows, 2] = 1
    close(explain("lrp.z", model, data, weights).targets, predict(model, data)[*rows, 2])
