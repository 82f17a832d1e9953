"""Recurrent cells of the user's own, in Keras operations, are opened step by step; what cannot be opened stays whole."""

import functools

import keras
import numpy as np
import pytest
from checks import close, explain, totals
from keras import layers as L
from keras import ops
from models import shake
from recurrent_networks import FEATURES, STEPS, UNITS, network, sequences

import innspect
from innspect.graph.opened.opened_model import open_model

pytestmark = [pytest.mark.usefixtures("double", "quick"), pytest.mark.filterwarnings("ignore:.*destroy the mask")]


@keras.saving.register_keras_serializable(package="innspect_tests")
class LeakyCell(L.Layer):
    """h = relu(x W + h U) + h / 2, in Keras operations."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.write, self.read = L.Dense(units, name="write"), L.Dense(units, use_bias=False, name="read")

    def build(self, shape):
        self.write.build(shape)
        self.read.build((shape[0], self.units))
        self.built = True

    def call(self, x, states):
        h = ops.relu(self.write(x) + self.read(states[0])) + states[0] / 2
        return h, [h]


class GatedCell(LeakyCell):
    """h = z h + (1 - z) tanh(x W + h U), with z from a dense layer."""

    def call(self, x, states):
        z = ops.sigmoid(self.read(states[0]) + 0.3)
        h = z * states[0] + (1 - z) * ops.tanh(self.write(x))
        return h, [h]


class ClosedCell(LeakyCell):
    """One that needs values."""

    def call(self, x, states):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("values are needed here")
        return super().call(x, states)


# ---------------------------------------------------------------------- that open
@functools.cache
def leaky(every_step):
    return network(L.Masking(), L.RNN(LeakyCell(UNITS), return_sequences=every_step, go_backwards=True, name="own"))


def padded():
    x = sequences()
    x[1, 3:] = 0
    return x


@functools.cache
def leaky_explained(every_step):
    return explain("lrp.epsilon", leaky(every_step), padded(), 1, bias=False, epsilon=1e-9)


def steady(paths):
    """Paths without the numbers that Keras gives to layers that have no name."""
    return {"/".join(part.rstrip("0123456789_") for part in path.split("/")) for path in paths}


the_last_step_on_jax = pytest.mark.sweep(keep=["False"], on="jax")  # which compiles each for a second or two


@the_last_step_on_jax
@pytest.mark.parametrize("every_step", [False, True])
def test_layers_of_a_cell_are_found(every_step):
    paths = steady(open_model(leaky(every_step)).graph.paths)
    assert {"own/cell/write"} <= {path.replace("leaky_cell", "cell") for path in paths}


@the_last_step_on_jax
@pytest.mark.parametrize("every_step", [False, True])
def test_a_cell_conserves(every_step):
    close(totals(leaky_explained(every_step).attributions), leaky_explained(every_step).targets, 1e-4)


@the_last_step_on_jax
@pytest.mark.parametrize("every_step", [False, True])
def test_padding_of_a_cell_gets_nothing(every_step):
    assert (leaky_explained(every_step).attributions[1, 3:] == 0).all()


@the_last_step_on_jax
@pytest.mark.parametrize("every_step", [False, True])
def test_a_cell_has_the_rules_of_its_layers(every_step):
    assert innspect.create_analyzer("lrp.alpha_2_beta_1", leaky(every_step)).conservation(padded(), 1).error < 1e-9


@functools.cache
def gated():
    model = network(L.RNN(GatedCell(UNITS), name="own"), bias=False)
    cell = model.get_layer("own").cell
    cell.write.bias.assign(0 * cell.write.bias)
    return model


@pytest.mark.sweep(on="jax")
def test_a_gated_cell_without_biases_conserves():
    ours = explain("lrp.z", gated(), sequences(), 1)
    close(totals(ours.attributions), ours.targets, 1e-5)


@pytest.mark.sweep(on="jax")
def test_gates_of_a_cell_take_nothing():
    books = innspect.create_analyzer("lrp.z", gated()).conservation(sequences(), 1)
    read = gated().get_layer("own").cell.read.name
    gates = [path for path in books.layers if path.endswith(read) or read + "[" in path]
    assert gates
    assert all((books[path]["received"] == 0).all() for path in gates)


# ---------------------------------------------------------------------- that do not
def closed():
    layer = L.RNN(ClosedCell(UNITS), name="closed")
    layer.build((None, STEPS, FEATURES))
    return shake(keras.Sequential([keras.Input((STEPS, FEATURES)), layer, L.Dense(2)]))


def test_a_cell_that_cannot_be_opened_has_no_rule():
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'closed'.*register_reverse_mapping"):
        innspect.create_analyzer("lrp.epsilon", closed())


def test_a_cell_that_cannot_be_opened_has_a_gradient():
    assert np.abs(innspect.create_analyzer("gradient", closed()).analyze(sequences())).max() > 0
