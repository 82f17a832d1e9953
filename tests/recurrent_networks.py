"""Small recurrent networks, and sequences for them."""

import keras
import numpy as np
from keras import layers as L
from models import shake

STEPS, FEATURES, UNITS = 5, 3, 4

LAYERS = {
    "lstm": L.LSTM,
    "gru": L.GRU,
    "gru, reset before": lambda *args, **kwargs: L.GRU(*args, reset_after=False, **kwargs),
    "simple": lambda *args, **kwargs: L.SimpleRNN(*args, activation="softsign", **kwargs),
}
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


def network(*layers, bias=True):
    x = h = keras.Input((STEPS, FEATURES))
    for layer in layers:
        h = layer(h)
    h = L.Flatten()(h) if len(h.shape) > 2 else h
    return shake(keras.Model(x, L.Dense(2, use_bias=bias, name="out")(h)))


def sequences(samples=2, seed=0):
    return np.random.default_rng(seed).normal(size=(samples, STEPS, FEATURES))


def padded(samples=4):
    """Sequences of which the second is padded at its end, the third and fourth at the start and in the middle."""
    x = sequences(samples)
    x[1, 3:] = x[2, [0, 2]] = x[3, :4] = 0
    return x
