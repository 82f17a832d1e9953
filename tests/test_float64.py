"""Models in float64 are explained in float64, though Keras narrows it on JAX and PyTorch: values and maps to ten digits."""

import threading

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import shake
from networks import normal

import innspect
from innspect.analyzers.base.registry import example_arguments

pytestmark = [pytest.mark.usefixtures("double", "eager"), pytest.mark.filterwarnings("ignore:'deep_taylor'")]

KERNEL = np.random.default_rng(1).normal(size=(4, 3))
OPERATIONS = {
    "tanh": (ops.tanh, np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sin": (ops.sin, np.sin, np.cos),
    "arctan": (ops.arctan, np.arctan, lambda x: 1 / (1 + x**2)),
    "maximum": (lambda x: ops.maximum(x, 0.3), lambda x: np.maximum(x, 0.3), lambda x: (x > 0.3) * 1.0),
    "leaky_relu": (lambda x: ops.leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x), lambda x: np.where(x > 0, 1, 0.3)),
    "hard_sigmoid": (ops.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: (np.abs(x) < 3) / 6),
    "rescaling": (lambda x: L.Rescaling(1 / 3, 0.1)(x), lambda x: x / 3 + 0.1, lambda x: 0 * x + 1 / 3),
    "mean": (lambda x: ops.mean(x, axis=1), lambda x: x.mean(1), lambda x: 0 * x + 1 / 4),
    "variance": (lambda x: ops.var(x, axis=1), lambda x: x.var(1), lambda x: (x - x.mean(1, keepdims=True)) / 2),
    "matmul": (lambda x: ops.matmul(x, KERNEL), lambda x: x @ KERNEL, lambda x: 0 * x + KERNEL.sum(1)),
    "tensordot": (lambda x: ops.tensordot(x, KERNEL, 1), lambda x: x @ KERNEL, lambda x: 0 * x + KERNEL.sum(1)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_have_the_value_and_slope_of_numpy(name):
    function, value, slope = OPERATIONS[name]
    x, given = keras.Input((4,)), normal(5, 4)
    explanation = innspect.create_analyzer("gradient", keras.Model(x, function(x))).explain(given, "all")
    np.testing.assert_allclose(explanation.outputs, value(given), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(explanation.attributions, slope(given), rtol=1e-12, atol=1e-14)


def differences(function, x, step=1e-3):
    """Central differences of the fourth order of a function's values, (samples,)."""
    moves = step * np.eye(x[0].size).reshape(-1, 1, *x.shape[1:])
    points = np.stack([x + n * moves for n in (1, -1, 2, -2)])
    up, down, far_up, far_down = function(points.reshape(-1, *x.shape[1:])).reshape(4, -1, len(x))
    return ((8 * (up - down) - (far_up - far_down)) / (12 * step)).T.reshape(x.shape)


LAYERS = {
    "normalization": lambda: L.LayerNormalization(),
    "group_normalization": lambda: L.GroupNormalization(2),
    "lstm": lambda: L.LSTM(3),
    "gru": lambda: L.GRU(3, return_sequences=True),
    "attention": lambda: lambda x: L.Attention(use_scale=True)([x, x]),
    "additive_attention": lambda: lambda x: L.AdditiveAttention()([x, x]),
    "pooling": lambda: L.GlobalAveragePooling1D(),
    "convolution": lambda: L.Conv1D(3, 2, padding="same", activation="gelu"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_have_the_gradient_of_their_differences(name):
    x, given = keras.Input((3, 4)), normal(2, 3, 4)
    analyzer = innspect.create_analyzer("gradient", shake(keras.Model(x, LAYERS[name]()(x))))
    wanted = differences(lambda points: analyzer.explain(points, "all", batch_size=len(points)).targets, given)
    np.testing.assert_allclose(analyzer.analyze(given, "all"), wanted, rtol=0, atol=1e-9)


def convolutional():
    x = keras.Input((6, 6, 2))
    h = L.MaxPooling2D(2)(L.Conv2D(4, 3, padding="same", activation="relu")(x))
    h = L.GlobalAveragePooling2D()(L.Conv2D(4, 2, activation="relu")(h))
    return shake(keras.Model(x, L.Dense(3, activation="softmax")(h)))


@pytest.mark.sweep(keep=["gradient", "lrp.epsilon", "integrated_gradients", "grad_cam", "occlusion", "rise"])
@pytest.mark.parametrize("method", sorted(set(innspect.list_analyzers()) - {"lrp.attention", "lrp.cp"}))
def test_maps_are_float64(method):
    x = np.abs(normal(2, 6, 6, 2))
    model = convolutional()
    arguments = example_arguments(method, x)
    analyzer = innspect.create_analyzer(method, model, **arguments)
    if hasattr(analyzer, "fit") and method.startswith("pattern"):
        analyzer.fit(x)
    explanation = analyzer.explain(x, 1)
    assert explanation.attributions.dtype == "float64"
    assert analyzer.analyze(x[:0], 1).dtype == "float64"


def test_hiding_is_exact():
    x, given = keras.Input((4,)), normal(3, 4)
    model = shake(keras.Model(x, L.Dense(2)(x)))
    kernel, bias = model.get_weights()
    found = innspect.create_analyzer("occlusion", model, window=1).analyze(given, 1)
    np.testing.assert_allclose(found, given * kernel[:, 1], rtol=1e-12)
    masks = np.random.default_rng(0).uniform(size=(5, 4))
    values = (masks[None] * given[:, None]) @ kernel[:, 1] + bias[1]
    for explained in (model, lambda x: x @ kernel + bias):  # a function is given float64, too
        found = innspect.create_analyzer("rise", explained, masks=masks).analyze(given, 1)
        np.testing.assert_allclose(found, values @ masks / (5 * masks.mean()), rtol=1e-12)


def test_whole_numbers_are_explained_in_float64():
    x, dense = keras.Input((4,), dtype="int32"), L.Dense(2)
    model, given = shake(keras.Model(x, dense(ops.cast(x, "float64") / 3))), np.arange(1, 9).reshape(2, 4)
    wanted = given * ops.convert_to_numpy(dense.kernel)[:, 1] / 3
    for method in ("input_t_gradient", "integrated_gradients", "deep_lift"):
        found = innspect.create_analyzer(method, model).analyze(given, 1)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_keras_narrows_as_before_elsewhere_and_afterwards():
    told = {}

    def promoted():
        return keras.backend.result_type("float64", "float32")

    def look(y):
        thread = threading.Thread(target=lambda: told.update(elsewhere=promoted()))
        thread.start()
        thread.join()
        told["here"] = promoted()
        return y[:, 0]

    before, x = promoted(), keras.Input((4,))
    innspect.create_analyzer("gradient", keras.Model(x, ops.tanh(x))).analyze(normal(1, 4), look)
    assert told == {"here": "float64", "elsewhere": before}
    assert promoted() == before
