"""Models in half precision, and with their channels first: explained as those in float32 with their channels last."""

import functools

import keras
import numpy as np
import pytest
from checks import BACKEND
from keras import layers as L
from models import array, shake

import innspect

pytestmark = [pytest.mark.usefixtures("eager"), pytest.mark.filterwarnings("ignore:'deep_taylor'")]


# ---------------------------------------------------------------------- channels first
def convolutional(shape, axis, data_format):
    x = keras.Input(shape)
    h = L.Conv2D(3, 3, padding="same", data_format=data_format)(x)
    h = L.ReLU()(L.BatchNormalization(axis=axis)(h))
    h = L.MaxPooling2D(2, data_format=data_format)(h)
    h = L.SeparableConv2D(4, 2, activation="relu", data_format=data_format)(h)
    return keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D(data_format=data_format)(h)))


@functools.cache
def both_formats():
    last, first = shake(convolutional((6, 6, 2), -1, "channels_last")), convolutional((2, 6, 6), 1, "channels_first")
    first.set_weights(last.get_weights())
    return last, first


no_channels_first = pytest.mark.skipif(BACKEND == "tensorflow", reason="which has no such convolutions on a CPU")


@no_channels_first
@pytest.mark.parametrize("method", ["guided_backprop", "lrp.alpha_2_beta_1", "lrp.flat"])
def test_channels_first_is_channels_last_transposed(method):
    last, first = both_formats()
    x = array(2, 6, 6, 2)
    expected = innspect.create_analyzer(method, last).analyze(x, 1)
    ours = innspect.create_analyzer(method, first).analyze(np.moveaxis(x, -1, 1), 1)
    np.testing.assert_allclose(np.moveaxis(ours, 1, -1), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@no_channels_first
def test_saliency_has_no_channels():
    last, first = both_formats()
    x = array(2, 6, 6, 2)
    ours = innspect.create_analyzer("saliency", first).analyze(np.moveaxis(x, -1, 1), 1)
    np.testing.assert_allclose(ours, innspect.create_analyzer("saliency", last).analyze(x, 1), rtol=1e-3, atol=1e-5)


# ---------------------------------------------------------------------- half precision
def classifier(dtype):
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="relu", dtype=dtype)(x)
    h = L.Flatten(dtype=dtype)(L.MaxPooling2D(2, dtype=dtype)(L.BatchNormalization(dtype=dtype)(h)))
    return keras.Model(x, L.Dense(3, activation="softmax", dtype=dtype)(h))


@functools.cache
def both_precisions(policy):
    full, half = shake(classifier("float32")), classifier(policy)
    half.set_weights(full.get_weights())
    full.set_weights([np.asarray(w, "float32") for w in half.get_weights()])  # as they were rounded
    return full, half


METHODS = ["gradient", "guided_backprop", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.z_plus", "lrp.flat", "deep_taylor"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision_is_explained_in_float32(policy, method):
    expected, ours = (innspect.create_analyzer(method, m).analyze(array(2, 6, 6, 2), 1) for m in both_precisions(policy))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
