"""Relevance through time (METHODS 14) in numbers: those of formulas written out step by step, for one sequence."""

import functools

import keras
import numpy as np
import pytest
from checks import BACKEND, close, explain, predict
from keras import layers as L
from keras import ops
from models import shake
from recurrent_networks import FEATURES, LAYERS, STEPS, UNITS, network, padded, sequences

import innspect

pytestmark = [pytest.mark.usefixtures("double", "quick"), pytest.mark.filterwarnings("ignore:.*destroy the mask")]

# Keras' tanh gives float32 on JAX, whatever it is given, so that a SimpleRNN with it cannot run in float64 there.
ROUNDING = 1e-5 if BACKEND == "jax" else 1e-9


# ---------------------------------------------------------------------- the formulas
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


def expected(model, x, arriving, epsilon):
    """By the formulas, for the output 1 of `model` of a layer named "layer"; `arriving` says which steps the output reads."""
    layer, (W, b) = model.get_layer("layer"), model.get_layer("out").get_weights()
    result = []
    for sample in x:
        steps = forward(layer, sample)
        h = np.array([s["after"] for s in steps])[arriving]
        logit = h.ravel() @ W[:, 1] + b[1]
        R = np.zeros((STEPS, UNITS))
        R[arriving] = shares(h.ravel() * W[:, 1], logit, logit, epsilon).reshape(h.shape)
        result.append(backward(layer, steps, R, epsilon))
    return np.array(result)


@pytest.mark.sweep(on="jax")
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_which_the_last_step_is_read_gives_the_formulas_numbers(kind):
    model = network(LAYERS[kind](UNITS, name="layer"))
    ours = explain("lrp.epsilon", model, sequences(), 1, epsilon=0.0).attributions
    for one, theirs in zip(ours, expected(model, sequences(), slice(STEPS - 1, None), 0.0), strict=True):
        close(one, theirs, ROUNDING)


@pytest.mark.sweep(keep=["lstm", "gru", "simple"], on="jax")  # which compiles each for a second or two
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_of_which_every_step_is_read_gives_the_formulas_numbers(kind):
    model = network(LAYERS[kind](UNITS, return_sequences=True, name="layer"))
    ours = explain("lrp.epsilon", model, sequences(), 1, epsilon=0.05).attributions
    for one, theirs in zip(ours, expected(model, sequences(), slice(None), 0.05), strict=True):
        close(one, theirs, ROUNDING)


# ---------------------------------------------------------------------- what the rule recomputes
@pytest.mark.sweep(on="jax")
def test_another_direction_is_the_reversed_sequence():
    x = sequences()
    ahead, back = (network(L.GRU(UNITS, return_sequences=True, go_backwards=b)) for b in (False, True))
    back.set_weights(ahead.get_weights())
    ours, theirs = (explain("lrp.epsilon", m, data, 1).attributions for m, data in ((back, x), (ahead, x[:, ::-1])))
    close(ours, theirs[:, ::-1], 1e-9)


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


@functools.cache
def varied(name):
    x = keras.Input((STEPS, FEATURES))
    h = VARIANTS[name](x, L.Masking()(x))
    return shake(keras.Model(x, L.Dense(2)(L.Flatten()(h) if len(h.shape) > 2 else h)))


two_on_jax = pytest.mark.sweep(keep=["zeros where masked, backwards", "given states"], on="jax")


@two_on_jax
@pytest.mark.parametrize("name", VARIANTS)
def test_the_rule_computes_what_the_layer_computes(name):
    close(explain("lrp.epsilon", varied(name), padded(), 1).outputs, predict(varied(name), padded()), 1e-6)


@two_on_jax
@pytest.mark.parametrize("name", VARIANTS)
def test_the_books_of_every_variant_close(name):
    assert innspect.create_analyzer("lrp.epsilon", varied(name)).conservation(padded(), 1).error < 1e-9
