"""What only the JAX backend has: to see that two outputs of a program are equal, and gradients of kernels of its own."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from networks import drawn

import innspect
from innspect import backend
from innspect.graph.views import affine, convolutions

if keras.backend.backend() != "jax":
    pytest.skip("of the JAX backend", allow_module_level=True)

import jax
import jax.numpy as jnp

from innspect.backend import jax_kernels

X = np.arange(1, 10, dtype="float32").reshape(3, 3)
Y = X[::-1] - 2.5

# Each takes two 3 x 3 matrices.
STEPS = [
    lambda x, y: x + y,
    lambda x, y: y - x,
    lambda x, y: x - y,
    lambda x, y: x @ y,
    lambda x, y: jnp.einsum("ij,kj->ik", x, y),
    lambda x, y: x.T,
    lambda x, y: x[:, None].transpose(2, 1, 0)[:, 0],
    lambda x, y: x[:, None][:, 0],
    lambda x, y: x.reshape(-1).reshape(3, 3),
    lambda x, y: x.sum(0) + y,
    lambda x, y: x.sum(1, keepdims=True) + y,
    lambda x, y: x[None].max((0, 1)) * y,
    lambda x, y: jnp.broadcast_to(x[0, :, None], (3, 3)),
    lambda x, y: jnp.broadcast_to(x[0], (3, 3)),
    lambda x, y: jax.nn.relu(x) + 0.0 * y,
    lambda x, y: jnp.where(x > 0, x, -0.0),
    lambda x, y: jnp.where(x > 0, x, 0.0),
    lambda x, y: jnp.concatenate([x[:1], y[1:]]),
    lambda x, y: jax.lax.fori_loop(0, 2, lambda i, z: z * y, x),
    lambda x, y: jax.lax.fori_loop(0, 2, lambda i, z: z + y, x),
]


def program(steps):
    def run(x, y):
        for step in steps:
            x, y = y, STEPS[step](x, y)
        return y

    return run


def proved_equal(first, second):
    return backend.equal_by_construction(lambda x, y: ([first(x, y)], [second(x, y)]), X, Y)


@pytest.mark.parametrize("step", range(len(STEPS)))
def test_a_program_is_equal_to_itself(step):
    assert proved_equal(program([step, step]), program([step, step]))


@drawn
@given(st.lists(st.integers(0, len(STEPS) - 1), min_size=1, max_size=4), st.data())
def test_programs_that_are_proved_equal_give_the_same_bits(steps, data):
    changed = list(steps)
    changed[data.draw(st.integers(0, len(steps) - 1))] = data.draw(st.integers(0, len(STEPS) - 1))
    first, second = program(steps), program(changed)
    if proved_equal(first, second):
        assert np.asarray(first(X, Y)).tobytes() == np.asarray(second(X, Y)).tobytes()


@pytest.mark.parametrize("first", range(len(STEPS)))
def test_no_two_steps_are_taken_for_each_other(first):
    for second in range(len(STEPS)):
        if proved_equal(STEPS[first], STEPS[second]):
            assert np.asarray(STEPS[first](X, Y)).tobytes() == np.asarray(STEPS[second](X, Y)).tobytes()


def test_axes_of_length_one_make_no_difference():
    assert proved_equal(lambda x, y: x + y[0], lambda x, y: (x[None] + y[0][None, None])[0])
    assert proved_equal(lambda x, y: x @ y, lambda x, y: (x[None] @ y[None])[0])
    assert not backend.equal_by_construction(lambda x, y: ([x], [x[None]]), X, Y)  # but for what is returned


def test_an_effect_proves_nothing():
    def printed(x, y):
        jax.debug.print("{}", x[0, 0])
        return x

    assert not proved_equal(printed, printed)


def networks():
    L = keras.layers
    x = keras.Input((8, 8, 3))
    h = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x))
    h = L.Concatenate()([L.Activation("relu")(h), L.SeparableConv2D(4, 3, padding="same", activation="swish")(h)])
    yield keras.Model(x, L.Dense(2, activation="softmax")(L.GlobalAveragePooling2D()(h)))
    x = keras.Input((5, 8))
    h = L.LayerNormalization()(L.Dense(8, activation="gelu")(x))
    h = L.Add()([h, L.MultiHeadAttention(2, 4)(h, h)])
    yield keras.Model(x, L.Dense(2)(h[:, 0]))


def test_clones_of_convolutional_networks_and_transformers_are_proved_equal(monkeypatch):
    def refuse(*args):
        raise AssertionError("the clone was compiled and run to compare it")

    monkeypatch.setattr(backend, "once", refuse)
    for model in networks():
        innspect.create_analyzer("gradient", model)


# ------------------------------------------------------------------ gradients of kernels
FIRST = {"data_format": "channels_first"}
LAYERS = {
    "dense": (affine.Dense, lambda: L.Dense(3), (5,)),
    "dense, a sequence": (affine.Dense, lambda: L.Dense(3), (4, 5)),
    "valid, with a rest": (convolutions.Conv, lambda: L.Conv2D(3, (2, 3), strides=(3, 2)), (8, 9, 2)),
    "strides as long as the window": (convolutions.Conv, lambda: L.Conv2D(3, 2, strides=2, padding="same"), (5, 6, 2)),
    "strides longer than the window": (convolutions.Conv, lambda: L.Conv2D(3, 1, strides=2, padding="same"), (5, 6, 2)),
    "same, dilated": (convolutions.Conv, lambda: L.Conv2D(3, (3, 4), dilation_rate=(2, 1), padding="same"), (6, 5, 2)),
    "a large window": (convolutions.Conv, lambda: L.Conv2D(2, 9, strides=2, padding="same"), (7, 6, 2)),
    "groups": (convolutions.Conv, lambda: L.Conv2D(6, 2, groups=2, padding="same"), (4, 4, 4)),
    "channels first": (convolutions.Conv, lambda: L.Conv2D(3, 3, padding="same", **FIRST), (2, 5, 6)),
    "causal": (convolutions.Conv, lambda: L.Conv1D(3, 3, padding="causal", dilation_rate=2), (7, 2)),
    "causal, strided": (convolutions.Conv, lambda: L.Conv1D(3, 4, padding="causal", strides=3), (9, 2)),
    "3 axes": (convolutions.Conv, lambda: L.Conv3D(2, 2, strides=(1, 2, 1), padding="same"), (3, 4, 3, 2)),
    "pointwise": (convolutions.PointwiseConv, lambda: L.SeparableConv2D(3, 2, strides=2, padding="same"), (4, 5, 2)),
    "depthwise": (
        convolutions.DepthwiseConv,
        lambda: L.DepthwiseConv2D(2, strides=2, depth_multiplier=3, padding="same"),
        (5, 4, 3),
    ),
    "depthwise, 1 axis": (convolutions.DepthwiseConv, lambda: L.DepthwiseConv1D(3, dilation_rate=2), (9, 2)),
    "depthwise, channels first": (
        convolutions.DepthwiseConv,
        lambda: L.DepthwiseConv2D(3, depth_multiplier=2, **FIRST),
        (3, 5, 4),
    ),
    "transposed": (convolutions.ConvTranspose, lambda: L.Conv2DTranspose(3, 3, strides=2), (3, 4, 2)),
    "transposed, same": (
        convolutions.ConvTranspose,
        lambda: L.Conv2DTranspose(3, (4, 2), strides=(3, 2), padding="same"),
        (3, 4, 2),
    ),
    "transposed, dilated": (
        convolutions.ConvTranspose,
        lambda: L.Conv2DTranspose(3, 3, dilation_rate=2, padding="same"),
        (3, 4, 2),
    ),
    "transposed, strides longer than the window": (
        convolutions.ConvTranspose,
        lambda: L.Conv1DTranspose(3, 2, strides=4),
        (5, 2),
    ),
    "transposed, same, with long strides": (
        convolutions.ConvTranspose,
        lambda: L.Conv1DTranspose(3, 2, strides=5, padding="same"),
        (4, 2),
    ),
    "transposed, more output": (
        convolutions.ConvTranspose,
        lambda: L.Conv1DTranspose(3, 3, strides=3, output_padding=2),
        (4, 2),
    ),
    "transposed, same, more output": (
        convolutions.ConvTranspose,
        lambda: L.Conv1DTranspose(3, 4, strides=3, padding="same", output_padding=1),
        (4, 2),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_kernels_are_those_of_jax(name, double, monkeypatch):
    kind, make, shape = LAYERS[name]
    layer, rng = make(), np.random.default_rng(0)
    x = rng.normal(size=(4, *shape))
    layer.build((None, *shape))
    view = kind(layer, x.ndim)
    signal = rng.normal(size=view(x).shape)

    def run(x, signal):
        found = []
        for at_once in (1, 2**20):
            monkeypatch.setattr(jax_kernels, "_NUMBERS_AT_ONCE", at_once)
            y, pullback = view.kernel_vjp(x, view.kernel())
            found.append((y, pullback(signal)))
        y, pullback = affine.Affine.kernel_vjp(view, x, view.kernel())
        return [*found, (y, pullback(signal))]

    *found, (y, expected) = backend.once(run, x, signal)
    for ours, gradient in found:
        np.testing.assert_array_equal(ours, y)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12)
