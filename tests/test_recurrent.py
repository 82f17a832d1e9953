"""Relevance through time (METHODS 14): the rule against a formula written out step by step, and the laws N1 to N4."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect
from innspect.graph.opened.opened_model import open_model

pytestmark = [pytest.mark.usefixtures("double", "quick"), pytest.mark.filterwarnings("ignore:.*destroy the mask")]

STEPS, FEATURES, UNITS = 5, 3, 4


def some(cases, *numbers):
    """All cases; on JAX, which compiles for a second or two whatever it runs, only the cases of these numbers."""
    cases = list(cases)
    return [cases[n] for n in numbers] if keras.backend.backend() == "jax" else cases


def sequences(samples=2, seed=0):
    return np.random.default_rng(seed).normal(size=(samples, STEPS, FEATURES))


elsewhere = pytest.mark.skipif(keras.backend.backend() == "jax", reason="the same operations; see `some`")


def padded(samples=4):
    """Sequences of which the second is padded at its end, the third and fourth at the start and in the middle."""
    x = sequences(samples)
    x[1, 3:] = x[2, [0, 2]] = x[3, :4] = 0
    return x


def network(*layers, bias=True):
    x = h = keras.Input((STEPS, FEATURES))
    for layer in layers:
        h = layer(h)
    h = L.Flatten()(h) if len(h.shape) > 2 else h
    return shake(keras.Model(x, L.Dense(2, use_bias=bias, name="out")(h)))


def explained(model, x, method="lrp.epsilon", selection=1, **arguments):
    return innspect.create_analyzer(method, model, **arguments).explain(x, selection)


def relevance(model, x, **arguments):
    return explained(model, x, **arguments).attributions


def close(ours, theirs, tolerance=1e-9):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-3))


# ---------------------------------------------------------------------- one sample, step by step
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def shares(parts, z, arrived, epsilon):
    """The epsilon rule: what arrived at z, shared in proportion to the rows of `parts`."""
    return parts * (arrived / (z + epsilon * np.where(z >= 0, 1, -1)))


def forward(layer, x):
    """What each step of a layer computes for one sequence, as a list of dicts."""
    W, U, b = [w.astype("float64") for w in layer.get_weights()]
    n, h, c, steps = layer.units, np.zeros(layer.units), np.zeros(layer.units), []
    for x_t in x:
        if isinstance(layer, L.LSTM):
            i, f, g, o = np.split(x_t @ W + h @ U + b, 4)
            i, f, o, pre = sigmoid(i), sigmoid(f), sigmoid(o), g
            new = f * c + i * np.tanh(pre)
            steps.append({"x": x_t, "h": h, "pre": pre, "old": f * c, "new": i * np.tanh(pre), "c": new})
            c, h = new, o * np.tanh(new)
        elif isinstance(layer, L.GRU):
            after = layer.reset_after
            (b_i, b_r), U_h = (b if after else (b, 0 * b)), U[:, 2 * n :]
            z, r = np.split(sigmoid((x_t @ W + h @ U + b_i + b_r)[: 2 * n]), 2)
            q = h @ U_h + b_r[2 * n :]
            pre = (x_t @ W + b_i)[2 * n :] + (r * q if after else (r * h) @ U_h)
            old, new = z * h, (1 - z) * np.tanh(pre)
            steps.append({"x": x_t, "h": h, "pre": pre, "old": old, "new": new, "r": r, "q": q})
            h = old + new
        else:
            pre = x_t @ W + h @ U + b
            steps.append({"x": x_t, "h": h, "pre": pre})
            h = pre / (1 + np.abs(pre))
        steps[-1]["after"] = h
    return steps


def backward(layer, steps, arriving, epsilon):
    """R(x_t) of every step, from the relevance that arrives at every h_t."""
    W, U, _ = layer.get_weights()
    n = layer.units
    R_h, R_c, result = np.zeros(n), np.zeros(n), []
    for s, R in reversed(list(zip(steps, arriving, strict=True))):
        R_h = R_h + R
        if isinstance(layer, L.LSTM):
            W_g, U_g = W[:, 2 * n : 3 * n], U[:, 2 * n : 3 * n]
            R_c = R_c + R_h
            R_g, R_c = shares(s["new"], s["c"], R_c, epsilon), shares(s["old"], s["c"], R_c, epsilon)
            result.append(shares(s["x"][:, None] * W_g, s["pre"], R_g, epsilon).sum(1))
            R_h = shares(s["h"][:, None] * U_g, s["pre"], R_g, epsilon).sum(1)
        elif isinstance(layer, L.GRU):
            W_h, U_h = W[:, 2 * n :], U[:, 2 * n :]
            R_hh, stays = (shares(s[part], s["after"], R_h, epsilon) for part in ("new", "old"))
            result.append(shares(s["x"][:, None] * W_h, s["pre"], R_hh, epsilon).sum(1))
            if layer.reset_after:
                R_q = shares(s["r"] * s["q"], s["pre"], R_hh, epsilon)
                R_h = stays + shares(s["h"][:, None] * U_h, s["q"], R_q, epsilon).sum(1)
            else:
                R_h = stays + shares((s["r"] * s["h"])[:, None] * U_h, s["pre"], R_hh, epsilon).sum(1)
        else:
            result.append(shares(s["x"][:, None] * W, s["pre"], R_h, epsilon).sum(1))
            R_h = shares(s["h"][:, None] * U, s["pre"], R_h, epsilon).sum(1)
    return np.array(result[::-1])


# Keras' tanh gives float32 on JAX, whatever it is given, so that a SimpleRNN with it cannot run in float64 there.
ROUNDING = 1e-5 if keras.backend.backend() == "jax" else 1e-9

LAYERS = {
    "lstm": L.LSTM,
    "gru": L.GRU,
    "gru, reset before": lambda *args, **kwargs: L.GRU(*args, reset_after=False, **kwargs),
    "simple": lambda *args, **kwargs: L.SimpleRNN(*args, activation="softsign", **kwargs),
}


@pytest.mark.parametrize(("every_step", "epsilon"), some([(False, 0.0), (True, 0.05)], 1))
@pytest.mark.parametrize("kind", some(LAYERS, 0, 1, 3))
def test_one_layer_gives_the_formulas_numbers(kind, every_step, epsilon):
    x = sequences()
    layer = LAYERS[kind](UNITS, return_sequences=every_step, name="layer")
    model = network(layer)
    W, b = model.get_layer("out").get_weights()
    for sample, ours in zip(x, relevance(model, x, epsilon=epsilon), strict=True):
        steps = forward(layer, sample)
        h = np.array([s["after"] for s in steps]) if every_step else steps[-1]["after"]
        logit = h.ravel() @ W[:, 1] + b[1]
        R = shares(h.ravel() * W[:, 1], logit, logit, epsilon).reshape(h.shape)
        arriving = R if every_step else [*[0 * R] * (STEPS - 1), R]
        close(ours, backward(layer, steps, arriving, epsilon), ROUNDING)


@elsewhere
def test_another_direction_is_the_reversed_sequence():
    x = sequences()
    ahead, back = (network(L.GRU(UNITS, return_sequences=True, go_backwards=b)) for b in (False, True))
    back.set_weights(ahead.get_weights())
    close(relevance(back, x), relevance(ahead, x[:, ::-1])[:, ::-1])


VARIANTS = {
    "masked": lambda x, h: L.LSTM(UNITS, return_sequences=True)(h),
    "zeros where masked, backwards": lambda x, h: L.GRU(
        UNITS, return_sequences=True, zero_output_for_mask=True, go_backwards=True
    )(h),
    "given states": lambda x, h: L.LSTM(UNITS, return_sequences=True)(
        h, initial_state=[L.Dense(UNITS)(x[:, 1]), L.Dense(UNITS)(x[:, 2])], mask=ops.any(x != 0, axis=-1)
    ),
    "unrolled": lambda x, h: L.GRU(UNITS, unroll=True, reset_after=False, return_sequences=True)(h),
    "dropout": lambda x, h: L.LSTM(UNITS, dropout=0.5, recurrent_dropout=0.5, recurrent_activation="hard_sigmoid")(h),
    "without biases": lambda x, h: L.Bidirectional(L.GRU(UNITS, use_bias=False, return_sequences=True))(h),
    "cells": lambda x, h: L.RNN([L.GRUCell(UNITS), L.LSTMCell(3, use_bias=False)], return_sequences=True)(h),
    "all states": lambda x, h: L.Concatenate()(L.RNN([L.LSTMCell(UNITS), L.GRUCell(3)], return_state=True)(h)[:1]),
    "last state": lambda x, h: L.LSTM(UNITS, return_state=True)(h)[2],
}


@pytest.mark.parametrize("name", some(VARIANTS, 1, 2))
def test_the_rule_computes_what_the_layer_computes(name):
    x = keras.Input((STEPS, FEATURES))
    h = VARIANTS[name](x, L.Masking()(x))
    model = shake(keras.Model(x, L.Dense(2)(L.Flatten()(h) if len(h.shape) > 2 else h)))
    result = explained(model, padded())
    close(result.outputs, ops.convert_to_numpy(model(padded())), 1e-6)
    assert innspect.create_analyzer("lrp.epsilon", model).conservation(padded(), 1).error < 1e-9


# ---------------------------------------------------------------------- laws
STACKS = {
    "lstm": lambda: [L.LSTM(UNITS)],
    "gru": lambda: [L.GRU(UNITS)],
    "gru, reset before": lambda: [L.GRU(UNITS, reset_after=False)],
    "simple": lambda: [L.SimpleRNN(UNITS, activation="softsign")],
    "backwards": lambda: [L.LSTM(UNITS, go_backwards=True)],
    "stacked": lambda: [L.LSTM(UNITS, return_sequences=True), L.GRU(UNITS, activation="relu")],
    "bidirectional": lambda: [L.Bidirectional(L.LSTM(UNITS, return_sequences=True)), L.Bidirectional(L.GRU(UNITS))],
    "cells": lambda: [L.RNN([L.LSTMCell(UNITS), L.GRUCell(3), L.SimpleRNNCell(2, activation="softsign")])],
    "one cell": lambda: [L.RNN(L.GRUCell(UNITS), return_sequences=True), L.LSTM(UNITS)],
}


@pytest.mark.parametrize("name", some(STACKS, 7))
def test_distributed_relevance_sums_to_the_logit_and_padding_gets_none(name):
    """N1 and N3."""
    x = padded()
    result = explained(network(L.Masking(), *STACKS[name]()), x, bias="distribute", epsilon=0.01)
    close(result.attributions.sum((1, 2)), result.targets, 1e-6)
    assert ((result.attributions == 0) == (x == 0)).all()


SETTINGS = [{"epsilon": 0.1}, {"epsilon": 0.0}, {"bias": False}, {"bias": "distribute", "epsilon": 0.1}]


@pytest.mark.parametrize(("name", "settings"), some([(name, SETTINGS[i % 4]) for i, name in enumerate(STACKS)], 7))
def test_the_books_close(name, settings):
    """With what is dropped where a sequence at the end of the network starts with padding."""
    x = padded()
    model = network(L.Masking(), *STACKS[name](), L.RepeatVector(2), L.LSTM(UNITS, return_sequences=True))
    assert innspect.create_analyzer("lrp", model, rule="Epsilon", **settings).conservation(x, 1).error < 1e-9


@pytest.mark.parametrize("settings", some(SETTINGS, 0))
def test_the_shares_are_what_is_missing(settings):
    x = padded()
    analyzer = innspect.create_analyzer("lrp", network(L.Masking(), *STACKS["one cell"]()[:1]), rule="Epsilon", **settings)
    books, result = analyzer.conservation(x, 1), analyzer.explain(x, 1)
    lost = sum(books.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
    close(result.attributions.sum((1, 2)) + lost, result.targets)


@pytest.mark.parametrize("name", some(["gru", "gru, reset before", "lstm", "simple", "bidirectional"], 0))
def test_without_biases_nothing_is_lost(name):
    """N2, and the same for all cells whose candidates have no bias."""
    model = network(*STACKS[name](), bias=False)
    for layer in model._flatten_layers():
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(0 * layer.bias)
    result = explained(model, sequences(), "lrp.z")
    close(result.attributions.sum((1, 2)), result.targets, 1e-8)


@elsewhere
def test_ignored_biases_take_nothing():
    result = explained(network(L.GRU(UNITS)), sequences(), "lrp.z_IB")
    close(result.attributions.sum((1, 2)), result.targets, 1e-8)


@pytest.mark.parametrize("kind", some(LAYERS, 0))
def test_padding_changes_nothing(kind):
    """N3: a padded sequence has the relevance of the sequence itself."""
    x = sequences(1)
    x[:, 3:] = 0
    model = network(L.Masking(), LAYERS[kind](UNITS, return_sequences=True), LAYERS[kind](UNITS))
    h = short = keras.Input((3, FEATURES))
    for layer in model.layers[1:]:
        h = layer(h)
    close(relevance(model, x, epsilon=0.01)[:, :3], relevance(keras.Model(short, h), x[:, :3], epsilon=0.01))


def test_bidirectional_slices():
    """N4: each half is explained by its own slice of the relevance, the second one backwards in time."""
    x = sequences()
    both = L.Bidirectional(L.LSTM(UNITS), name="both")
    model = network(both)
    W, _ = model.get_layer("out").get_weights()
    expected = 0
    for half, rows in ((both.forward_layer, slice(0, UNITS)), (both.backward_layer, slice(UNITS, None))):
        part = keras.Input((STEPS, FEATURES))
        dense = L.Dense(2, use_bias=False)
        part = keras.Model(part, dense(half(part)))
        dense.set_weights([W[rows]])
        expected = expected + relevance(part, x, method="lrp.z")
    close(relevance(model, x, method="lrp.z"), expected, 1e-8)


@pytest.mark.parametrize("mode", some(["concat", "sum", "ave", "mul", None], 2))
def test_every_merge_of_two_directions(mode):
    x = sequences()
    x[1, 3:] = 0
    whole = keras.Input((STEPS, FEATURES))
    h = L.Bidirectional(L.GRU(UNITS, return_sequences=True), merge_mode=mode)(L.Masking()(whole))
    h = L.Concatenate()(h) if mode is None else h
    model = shake(keras.Model(whole, L.Dense(2)(L.GRU(UNITS)(h))))
    result = explained(model, x, bias="distribute", epsilon=0.01)
    close(result.attributions.sum((1, 2)), result.targets, 1e-4)  # the stabiliser of the sum
    np.testing.assert_array_equal(result.attributions[1] == 0, [[n >= 3] * FEATURES for n in range(STEPS)])


# ---------------------------------------------------------------------- states
def translator():
    x, y = keras.Input((STEPS, FEATURES), name="x"), keras.Input((3, 2), name="y")
    _, h, c = L.LSTM(UNITS, return_state=True, name="encoder")(x)
    h = L.LSTM(UNITS, return_sequences=True, name="decoder")(y, initial_state=[h, c])
    return shake(keras.Model([x, y], L.Dense(2)(L.Flatten()(h))))


def test_relevance_flows_through_states():
    model, x, y = translator(), sequences(), sequences(seed=1)[:, :3, :2]
    result = explained(model, [x, y], bias="distribute", epsilon=0.01)
    close(sum(r.sum((1, 2)) for r in result.attributions), result.targets, 1e-6)
    assert all((r != 0).all() for r in result.attributions)
    assert innspect.create_analyzer("lrp.epsilon", model, bias=False).conservation([x, y], 1).error < 1e-9


@pytest.mark.parametrize("bias", some([True, "distribute"], 1))
def test_a_stateful_layer_does_not_advance_and_its_state_takes_a_share(bias):
    x = keras.Input(batch_shape=(2, STEPS, FEATURES))
    model = shake(keras.Model(x, L.Dense(2)(L.LSTM(UNITS, stateful=True, name="lstm")(x))))
    model(sequences(seed=1))
    states = [ops.convert_to_numpy(s) for s in model.get_layer("lstm").states]
    analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.01, bias=bias)
    books = analyzer.conservation(sequences(), 1, batch_size=2)
    assert books.error < 1e-9
    assert (np.abs(books["lstm"]["dropped"]) > 1e-6).all()
    for before, now in zip(states, model.get_layer("lstm").states, strict=True):
        np.testing.assert_array_equal(before, ops.convert_to_numpy(now))


# ---------------------------------------------------------------------- text
def classifier():
    x = keras.Input((STEPS,), dtype="int32")
    h = L.Embedding(7, FEATURES, mask_zero=True, name="embedding")(x)
    h = L.Bidirectional(L.LSTM(UNITS, return_sequences=True))(h)
    return shake(keras.Model(x, L.Dense(3, activation="softmax")(L.GRU(UNITS)(h))))


def test_tokens_get_relevance_and_padding_none():
    model, words = classifier(), ids(3, STEPS, below=6) + 1
    words[1, 3:], words[2, :] = 0, 0
    analyzer = innspect.create_analyzer("lrp.epsilon", model, bias="distribute", epsilon=0.01)
    result = analyzer.explain(words, 1)
    assert result.attributions.shape == words.shape
    assert ((result.attributions == 0) == (words == 0)).all()
    close(result.attributions[:2].sum(1), result.targets[:2], 1e-6)
    close(result.attributions, np.concatenate([analyzer.analyze(words[i : i + 1], 1) for i in range(3)]), 1e-7)


# ---------------------------------------------------------------------- methods
PRESETS = ["lrp.z", "lrp.epsilon_IB", "lrp.epsilon_plus", "lrp.epsilon_plus_flat", "lrp.sequential_preset_b_flat"]


@pytest.mark.parametrize("method", some(PRESETS, 3))
def test_presets_give_recurrent_layers_the_rule_of_dense_ones(method):
    model, x = network(L.Conv1D(FEATURES, 2, activation="relu"), L.LSTM(UNITS)), sequences()
    analyzer = innspect.create_analyzer(method, model)
    assert np.abs(analyzer.analyze(x)).max() > 0
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


@elsewhere
def test_convolutional_memory_has_gradients_only():
    x = keras.Input((3, 6, 2))
    model = shake(keras.Model(x, L.Dense(2)(L.Flatten()(L.ConvLSTM1D(2, 3, name="memory")(x)))))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'memory'.*register_reverse_mapping"):
        innspect.create_analyzer("lrp.epsilon", model)
    assert np.abs(innspect.create_analyzer("gradient", model).analyze(array(2, 3, 6, 2))).max() > 0


def test_sharing_biases_is_for_epsilon():
    with pytest.raises(ValueError, match=r"`bias='distribute'`.*Received: the rule 'Alpha2Beta1'"):
        innspect.create_analyzer("lrp", network(L.LSTM(UNITS)), rule="Alpha2Beta1", bias="distribute")


def test_several_neurons_and_signals_inside():
    model, x = network(L.LSTM(UNITS, return_sequences=True, name="first"), L.GRU(UNITS, name="second")), sequences()
    analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.01)
    both = analyzer.explain(x, neurons=[0, 1], at=["first", "second"])
    for neuron in (0, 1):
        one = analyzer.explain(x, neuron, at=["first"])
        close(both.attributions[neuron], one.attributions)
        assert one.signals["first"].shape == (2, STEPS, UNITS)
    assert both.signals["second"].shape == (2, 2, UNITS)


# ---------------------------------------------------------------------- cells of the user's own
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


@pytest.mark.parametrize("every_step", some([False, True], 0))
def test_cells_of_the_users_own_are_opened_step_by_step(every_step):
    x = sequences()
    x[1, 3:] = 0
    model = network(L.Masking(), L.RNN(LeakyCell(UNITS), return_sequences=every_step, go_backwards=True, name="own"))
    assert {"own/cell/write"} <= {p.replace("leaky_cell", "cell") for p in _steady(open_model(model).graph.paths)}
    result = explained(model, x, bias=False, epsilon=1e-9)
    close(result.attributions.sum((1, 2)), result.targets, 1e-4)
    assert (result.attributions[1, 3:] == 0).all()
    assert innspect.create_analyzer("lrp.alpha_2_beta_1", model).conservation(x, 1).error < 1e-9


class GatedCell(LeakyCell):
    """h = z h + (1 - z) tanh(x W + h U), with z from a dense layer."""

    def call(self, x, states):
        z = ops.sigmoid(self.read(states[0]) + 0.3)
        h = z * states[0] + (1 - z) * ops.tanh(self.write(x))
        return h, [h]


@elsewhere
def test_gates_of_such_cells_take_nothing():
    model = network(L.RNN(GatedCell(UNITS), name="own"), bias=False)
    cell = model.get_layer("own").cell
    cell.write.bias.assign(0 * cell.write.bias)
    result = explained(model, sequences(), "lrp.z")
    close(result.attributions.sum((1, 2)), result.targets, 1e-5)
    books = innspect.create_analyzer("lrp.z", model).conservation(sequences(), 1)
    gates = [path for path in books.layers if path.endswith(cell.read.name) or cell.read.name + "[" in path]
    assert gates
    assert all((books[path]["received"] == 0).all() for path in gates)


def _steady(paths):
    """Paths without the numbers that Keras gives to layers that have no name."""
    return {"/".join(part.rstrip("0123456789_") for part in path.split("/")) for path in paths}


class ClosedCell(LeakyCell):
    """One that needs values."""

    def call(self, x, states):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("values are needed here")
        return super().call(x, states)


def test_cells_that_cannot_be_opened_leave_the_layer_whole():
    x = keras.Input((STEPS, FEATURES))
    layer = L.RNN(ClosedCell(UNITS), name="closed")
    layer.build((None, STEPS, FEATURES))
    model = keras.Sequential([x, layer, L.Dense(2)])
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'closed'.*register_reverse_mapping"):
        innspect.create_analyzer("lrp.epsilon", shake(model))
    assert np.abs(innspect.create_analyzer("gradient", model).analyze(sequences())).max() > 0
