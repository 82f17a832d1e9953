"""Recurrent layers in models and methods (METHODS 14): their states, text, presets, and rules that mean nothing there."""

import functools

import keras
import numpy as np
import pytest
from checks import close, explain, totals
from keras import layers as L
from keras import ops
from models import array, ids, shake
from recurrent_networks import FEATURES, STEPS, UNITS, network, sequences

import innspect

pytestmark = [pytest.mark.usefixtures("double", "quick"), pytest.mark.filterwarnings("ignore:.*destroy the mask")]


# ---------------------------------------------------------------------- states
@functools.cache
def translator():
    """With inputs for it."""
    x, y = keras.Input((STEPS, FEATURES), name="x"), keras.Input((3, 2), name="y")
    _, h, c = L.LSTM(UNITS, return_state=True, name="encoder")(x)
    h = L.LSTM(UNITS, return_sequences=True, name="decoder")(y, initial_state=[h, c])
    return shake(keras.Model([x, y], L.Dense(2)(L.Flatten()(h)))), [sequences(), sequences(seed=1)[:, :3, :2]]


def test_relevance_flows_through_states():
    ours = explain("lrp.epsilon", *translator(), 1, bias="distribute", epsilon=0.01)
    close(totals(ours.attributions), ours.targets, 1e-6)
    assert all((r != 0).all() for r in ours.attributions)


def test_the_books_close_with_states():
    model, x = translator()
    assert innspect.create_analyzer("lrp.epsilon", model, bias=False).conservation(x, 1).error < 1e-9


@functools.cache
def stateful(bias):
    """The books of a stateful layer, and its states before they were kept and after."""
    x = keras.Input(batch_shape=(2, STEPS, FEATURES))
    model = shake(keras.Model(x, L.Dense(2)(L.LSTM(UNITS, stateful=True, name="lstm")(x))))
    model(sequences(seed=1))
    before = [ops.convert_to_numpy(s).copy() for s in model.get_layer("lstm").states]
    analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.01, bias=bias)
    books = analyzer.conservation(sequences(), 1, batch_size=2)
    return books, before, [ops.convert_to_numpy(s) for s in model.get_layer("lstm").states]


distributed_on_jax = pytest.mark.sweep(keep=["distribute"], on="jax")  # which compiles each for a second or two


@distributed_on_jax
@pytest.mark.parametrize("bias", [True, "distribute"])
def test_a_stateful_layer_does_not_advance(bias):
    _, before, after = stateful(bias)
    for one, another in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, another)


@distributed_on_jax
@pytest.mark.parametrize("bias", [True, "distribute"])
def test_the_state_of_a_stateful_layer_takes_a_share(bias):
    books, *_ = stateful(bias)
    assert books.error < 1e-9
    assert (np.abs(books["lstm"]["dropped"]) > 1e-6).all()


# ---------------------------------------------------------------------- text
def words():
    """Of which the second is padded, and the third is padding only."""
    numbers = ids(3, STEPS, below=6) + 1
    numbers[1, 3:], numbers[2, :] = 0, 0
    return numbers


@functools.cache
def classifier():
    x = keras.Input((STEPS,), dtype="int32")
    h = L.Embedding(7, FEATURES, mask_zero=True, name="embedding")(x)
    h = L.Bidirectional(L.LSTM(UNITS, return_sequences=True))(h)
    model = shake(keras.Model(x, L.Dense(3, activation="softmax")(L.GRU(UNITS)(h))))
    return innspect.create_analyzer("lrp.epsilon", model, bias="distribute", epsilon=0.01)


@functools.cache
def words_explained():
    return classifier().explain(words(), 1)


def test_tokens_get_relevance_and_padding_none():
    assert words_explained().attributions.shape == words().shape
    assert ((words_explained().attributions == 0) == (words() == 0)).all()


def test_relevance_of_tokens_sums_to_the_logit():
    close(words_explained().attributions[:2].sum(1), words_explained().targets[:2], 1e-6)


def test_a_text_is_explained_as_alone():
    alone = [classifier().analyze(words()[i : i + 1], 1) for i in range(3)]
    close(words_explained().attributions, np.concatenate(alone), 1e-7)


# ---------------------------------------------------------------------- methods
PRESETS = ["lrp.z", "lrp.epsilon_IB", "lrp.epsilon_plus", "lrp.epsilon_plus_flat", "lrp.sequential_preset_b_flat"]


@pytest.mark.sweep(keep=["lrp.epsilon_plus_flat"], on="jax")
@pytest.mark.parametrize("method", PRESETS)
def test_presets_give_recurrent_layers_the_rule_of_dense_ones(method):
    analyzer = innspect.create_analyzer(method, network(L.Conv1D(FEATURES, 2, activation="relu"), L.LSTM(UNITS)))
    assert np.abs(analyzer.analyze(sequences())).max() > 0
    assert "Recurrent" in str(analyzer.summary())


@pytest.mark.parametrize("method", ["lrp.gamma", "lrp.z_plus", "lrp.w_square", "lrp.flat", "lrp.alpha_2_beta_1", "deep_taylor"])
def test_rules_that_mean_nothing_there_say_what_does(method):
    model = network(L.LSTM(UNITS, name="memory"))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'memory'.*'Epsilon'.*register_reverse_mapping"):
        innspect.create_analyzer(method, model)


def test_the_remedy_works():
    model, x = network(L.LSTM(UNITS, name="memory")), sequences()
    ours = innspect.create_analyzer("lrp", model, rule={"default": "ZPlus", "memory": "Epsilon"}, epsilon=0.1).analyze(x, 1)
    assert 0 < np.abs(ours).max() < np.inf


def test_sharing_biases_is_for_epsilon():
    with pytest.raises(ValueError, match=r"`bias='distribute'`.*Received: the rule 'Alpha2Beta1'"):
        innspect.create_analyzer("lrp", network(L.LSTM(UNITS)), rule="Alpha2Beta1", bias="distribute")


def convolutional():
    x = keras.Input((3, 6, 2))
    return shake(keras.Model(x, L.Dense(2)(L.Flatten()(L.ConvLSTM1D(2, 3, name="memory")(x)))))


@pytest.mark.sweep(on="jax")
def test_convolutional_memory_has_no_rule():
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'memory'.*register_reverse_mapping"):
        innspect.create_analyzer("lrp.epsilon", convolutional())


@pytest.mark.sweep(on="jax")
def test_convolutional_memory_has_a_gradient():
    assert np.abs(innspect.create_analyzer("gradient", convolutional()).analyze(array(2, 3, 6, 2))).max() > 0


def test_several_neurons_are_explained_as_one_by_one():
    model, x = network(L.LSTM(UNITS, return_sequences=True, name="first"), L.GRU(UNITS, name="second")), sequences()
    analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.01)
    both = analyzer.explain(x, neurons=[0, 1], at=["first", "second"])
    assert both.signals["second"].shape == (2, 2, UNITS)
    for neuron in (0, 1):
        one = analyzer.explain(x, neuron, at=["first"])
        close(both.attributions[neuron], one.attributions, 1e-9)
        assert one.signals["first"].shape == (2, STEPS, UNITS)
