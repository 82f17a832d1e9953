"""Heads other than one vector of classes: regression, several outputs, and what an autoencoder makes of an image."""

import functools

import keras
import numpy as np
import pytest
from checks import DIFFERENCES, close, explain, gradient_of, predict, totals
from keras import layers as L
from keras import ops
from models import array, shake

pytestmark = pytest.mark.usefixtures("double", "quick")


# ---------------------------------------------------------------------- regression
@functools.cache
def regression():
    """One unit without an activation, whose value is negative for the first sample; bias-free and ReLU: homogeneous."""
    x = keras.Input((5,))
    model = shake(keras.Model(x, L.Dense(1, use_bias=False)(L.Dense(4, activation="relu", use_bias=False)(x))))
    data = array(6, 5).astype("float64")
    kernel = model.layers[-1].kernel
    kernel.assign(-np.sign(predict(model, data)[0, 0]) * kernel)
    return model, data, predict(model, data)[:, 0]


@functools.cache
def value_explained(method):
    model, data, _ = regression()
    return explain(method, model, data)


@pytest.mark.parametrize("method", ["lrp.z", "input_t_gradient"])
def test_relevance_has_the_sign_of_the_value(method):
    _, _, y = regression()
    assert y[0] < 0
    close(value_explained(method).targets, y)
    close(totals(value_explained(method).attributions), y)


@pytest.mark.parametrize("method", ["lrp.z", "input_t_gradient"])
def test_the_only_unit_is_the_largest(method):
    model, data, _ = regression()
    np.testing.assert_array_equal(value_explained(method).attributions, explain(method, model, data, 0).attributions)


def test_a_loss_is_explained_by_a_callable():
    model, data, y = regression()
    squared = explain("gradient", model, data, lambda y: (y[:, 0] - 3.0) ** 2)
    close(squared.targets, (y - 3) ** 2)
    close(squared.attributions, 2 * (y - 3)[:, None] * explain("gradient", model, data).attributions)


# ---------------------------------------------------------------------- several outputs
@functools.cache
def two_heads():
    x = keras.Input((5,))
    h = L.Dense(6, activation="relu", name="trunk")(x)
    age = L.Dense(1, name="age")(h)
    kind = L.Dense(3, activation="softmax", name="kind")(h)
    return shake(keras.Model(x, {"kind": kind, "age": age}))  # not in the alphabet's order


@functools.cache
def head_explained(output, unit):
    return explain("lrp.z", two_heads(), array(3, 5).astype("float64"), unit, output=output, at="trunk")


@pytest.mark.parametrize(("name", "unit"), [("age", 0), ("kind", 2)])
def test_only_the_chosen_output_is_explained(name, unit):
    model = two_heads()
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer(name).weights)
    h = predict(keras.Model(model.input, model.get_layer("trunk").output), array(3, 5).astype("float64"))
    ours = head_explained(name, unit)
    close(ours.targets, h @ kernel[:, unit] + bias[unit])
    close(ours.signals["trunk"], h * kernel[:, unit])


@pytest.mark.parametrize(("name", "number", "unit"), [("age", 0, 0), ("kind", 1, 2)])
def test_an_output_has_a_name_and_a_number(name, number, unit):
    np.testing.assert_array_equal(head_explained(name, unit).attributions, head_explained(number, unit).attributions)


def test_an_output_that_the_model_has_not_is_refused():
    with pytest.raises(KeyError, match=r"`output` must be one of .*'age', 'kind'.*Received: 'size'"):
        explain("lrp.z", two_heads(), array(3, 5).astype("float64"), output="size")


# ---------------------------------------------------------------------- autoencoders
@functools.cache
def autoencoder():
    x = keras.Input((6, 6, 1))
    code = L.Dense(4, activation="relu", name="code")(L.Flatten()(L.Conv2D(3, 3, strides=2, activation="relu")(x)))
    h = L.Reshape((3, 3, 3))(L.Dense(27, activation="relu")(code))
    y = L.Conv2DTranspose(1, 2, strides=2, activation="sigmoid")(h)
    return shake(keras.Model(x, y)), np.abs(array(2, 6, 6, 1)).astype("float64")


PIXEL = (3, 4, 0)


def logit(model, x):
    """Of the pixel, before the sigmoid."""
    r = predict(model, x)[:, *PIXEL]
    return np.log(r / (1 - r))


def test_the_sigmoid_of_a_reconstruction_is_a_head():
    model, data = autoencoder()
    close(explain("gradient", model, data, PIXEL).targets, logit(model, data))


def test_a_reconstructed_pixel_is_explained_completely():
    """By way of the code, as the change of the pixel's logit from an empty image."""
    model, data = autoencoder()
    ours = explain("deep_lift", model, data, PIXEL, at="code")
    close(totals(ours.attributions), logit(model, data) - logit(model, 0 * data), 1e-5)


def test_the_reconstruction_itself_has_a_gradient():
    model, data = autoencoder()
    ours = explain("gradient", model, data, PIXEL, head="output")
    close(ours.attributions, gradient_of(model, data, lambda y: y[:, *PIXEL]), DIFFERENCES)


def test_the_error_of_a_reconstruction_has_a_gradient():
    model, data = autoencoder()
    ours = explain("gradient", model, data, lambda y: ops.sum(ops.square(y - 0.5), axis=(1, 2, 3)), head="output")
    close(ours.attributions, gradient_of(model, data, lambda y: ((y - 0.5) ** 2).sum((1, 2, 3))), DIFFERENCES)
