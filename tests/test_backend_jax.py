"""What only the JAX backend has: to see from a program, without running it, that two of its outputs are equal."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import drawn

import innspect
from innspect import backend

if keras.backend.backend() != "jax":
    pytest.skip("of the JAX backend", allow_module_level=True)

import jax
import jax.numpy as jnp

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
