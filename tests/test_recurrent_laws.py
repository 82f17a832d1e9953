"""Laws of relevance through time, N1 to N4 of METHODS 14: what is conserved, what padding and directions get."""

import functools

import keras
import numpy as np
import pytest
from checks import close, explain, totals
from keras import layers as L
from models import shake
from recurrent_networks import FEATURES, LAYERS, STACKS, STEPS, UNITS, network, padded, sequences

import innspect

pytestmark = [pytest.mark.usefixtures("double", "quick"), pytest.mark.filterwarnings("ignore:.*destroy the mask")]


# ---------------------------------------------------------------------- conservation
cells_on_jax = pytest.mark.sweep(keep=["cells"], on="jax")  # which compiles each for a second or two


@functools.cache
def distributed(name):
    return explain("lrp.epsilon", network(L.Masking(), *STACKS[name]()), padded(), 1, bias="distribute", epsilon=0.01)


@cells_on_jax
@pytest.mark.parametrize("name", STACKS)
def test_distributed_relevance_sums_to_the_logit(name):
    """N1."""
    close(totals(distributed(name).attributions), distributed(name).targets, 1e-6)


@cells_on_jax
@pytest.mark.parametrize("name", STACKS)
def test_padding_and_nothing_else_gets_no_relevance(name):
    """N3."""
    assert ((distributed(name).attributions == 0) == (padded() == 0)).all()


SETTINGS = {
    "epsilon": {"epsilon": 0.1},
    "no epsilon": {"epsilon": 0.0},
    "no bias": {"bias": False},
    "bias distributed": {"bias": "distribute", "epsilon": 0.1},
}
IN_TURN = [(name, list(SETTINGS)[i % 4]) for i, name in enumerate(STACKS)]


@pytest.mark.sweep(keep=["cells-bias distributed"], on="jax")
@pytest.mark.parametrize(("name", "settings"), IN_TURN)
def test_the_books_close(name, settings):
    """With what is dropped where a sequence at the end of the network starts with padding."""
    model = network(L.Masking(), *STACKS[name](), L.RepeatVector(2), L.LSTM(UNITS, return_sequences=True))
    analyzer = innspect.create_analyzer("lrp", model, rule="Epsilon", **SETTINGS[settings])
    assert analyzer.conservation(padded(), 1).error < 1e-9


@pytest.mark.sweep(keep=["epsilon"], on="jax")
@pytest.mark.parametrize("settings", SETTINGS)
def test_the_shares_are_what_is_missing(settings):
    model = network(L.Masking(), L.RNN(L.GRUCell(UNITS), return_sequences=True))
    analyzer = innspect.create_analyzer("lrp", model, rule="Epsilon", **SETTINGS[settings])
    books, ours = analyzer.conservation(padded(), 1), analyzer.explain(padded(), 1)
    lost = sum(books.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
    close(totals(ours.attributions) + lost, ours.targets, 1e-9)


def without_biases(model):
    for layer in model._flatten_layers():
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(0 * layer.bias)
    return model


@pytest.mark.sweep(keep=["gru"], on="jax")
@pytest.mark.parametrize("name", ["gru", "gru, reset before", "lstm", "simple", "bidirectional"])
def test_without_biases_nothing_is_lost(name):
    """N2, and the same for all cells whose candidates have no bias."""
    ours = explain("lrp.z", without_biases(network(*STACKS[name](), bias=False)), sequences(), 1)
    close(totals(ours.attributions), ours.targets, 1e-8)


@pytest.mark.sweep(on="jax")
def test_ignored_biases_take_nothing():
    ours = explain("lrp.z_IB", network(L.GRU(UNITS)), sequences(), 1)
    close(totals(ours.attributions), ours.targets, 1e-8)


# ---------------------------------------------------------------------- padding
@pytest.mark.sweep(keep=["lstm"], on="jax")
@pytest.mark.parametrize("kind", LAYERS)
def test_padding_changes_nothing(kind):
    """N3: a padded sequence has the relevance of the sequence itself."""
    x = sequences(1)
    x[:, 3:] = 0
    model = network(L.Masking(), LAYERS[kind](UNITS, return_sequences=True), LAYERS[kind](UNITS))
    h = short = keras.Input((3, FEATURES))
    for layer in model.layers[1:]:
        h = layer(h)
    ours = explain("lrp.epsilon", model, x, 1, epsilon=0.01).attributions
    theirs = explain("lrp.epsilon", keras.Model(short, h), x[:, :3], 1, epsilon=0.01).attributions
    close(ours[:, :3], theirs, 1e-9)


# ---------------------------------------------------------------------- two directions
def test_bidirectional_slices():
    """N4: each half is explained by its own slice of the relevance, the second one backwards in time."""
    both = L.Bidirectional(L.LSTM(UNITS), name="both")
    model = network(both)
    W, _ = model.get_layer("out").get_weights()
    expected = 0
    for half, rows in ((both.forward_layer, slice(0, UNITS)), (both.backward_layer, slice(UNITS, None))):
        part = keras.Input((STEPS, FEATURES))
        dense = L.Dense(2, use_bias=False)
        part = keras.Model(part, dense(half(part)))
        dense.set_weights([W[rows]])
        expected = expected + explain("lrp.z", part, sequences(), 1).attributions
    close(explain("lrp.z", model, sequences(), 1).attributions, expected, 1e-8)


MERGES = {mode: lambda h: h for mode in ("concat", "sum", "ave", "mul")} | {None: lambda h: L.Concatenate()(h)}


@functools.cache
def merged(mode):
    x = sequences()
    x[1, 3:] = 0
    whole = keras.Input((STEPS, FEATURES))
    h = L.Bidirectional(L.GRU(UNITS, return_sequences=True), merge_mode=mode)(L.Masking()(whole))
    model = shake(keras.Model(whole, L.Dense(2)(L.GRU(UNITS)(MERGES[mode](h)))))
    return explain("lrp.epsilon", model, x, 1, bias="distribute", epsilon=0.01)


@pytest.mark.sweep(keep=["ave"], on="jax")
@pytest.mark.parametrize("mode", MERGES)
def test_every_merge_of_two_directions_conserves(mode):
    close(totals(merged(mode).attributions), merged(mode).targets, 1e-4)  # the stabiliser of the sum


@pytest.mark.sweep(keep=["ave"], on="jax")
@pytest.mark.parametrize("mode", MERGES)
def test_padding_in_two_directions_and_nothing_else_gets_no_relevance(mode):
    np.testing.assert_array_equal(merged(mode).attributions[1] == 0, [[n >= 3] * FEATURES for n in range(STEPS)])
