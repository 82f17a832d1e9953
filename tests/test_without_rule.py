"""Layers that a method has no rule for: named, with the remedy; the gradient explains them all the same."""

import functools

import keras
import numpy as np
import pytest
from checks import own_gradient
from keras import layers as L
from keras import ops
from models import array, shake

import innspect

pytestmark = pytest.mark.usefixtures("eager")


class Cumulative(L.Layer):
    """A layer that cannot be opened: it needs values."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("values are needed here")
        return ops.cumsum(x, axis=-1) ** 2

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


UNRULY = {
    "layer normalization": lambda: L.LayerNormalization(name="unruly"),
    "hidden softmax": lambda: L.Softmax(name="unruly"),
    "closed": lambda: Cumulative(name="unruly"),
}


@functools.cache
def with_layer(kind):
    inner = keras.Sequential([keras.Input((4, 3)), UNRULY[kind]()], name="block")
    x = keras.Input((4, 3))
    return shake(keras.Model(x, L.Dense(2)(L.Flatten()(inner(L.Dense(3)(x))))))


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("layer normalization", "deep_taylor"),  # LRP has a rule, see test_attention_norms.py
        ("hidden softmax", "deep_taylor"),
        ("closed", "deep_taylor"),
        ("closed", "lrp.epsilon"),
        ("closed", "lrp.flat"),
    ],
)
def test_what_has_no_rule_is_named_with_the_remedy(kind, method):
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'block/unruly.*register_reverse_mapping"):
        innspect.create_analyzer(method, with_layer(kind))


@pytest.mark.parametrize("kind", ["layer normalization", "hidden softmax"])
def test_deep_taylor_says_what_its_theory_is_of(kind):
    with pytest.raises(innspect.NotAnalyzeableModelError, match="its theory decomposes affine layers"):
        innspect.create_analyzer("deep_taylor", with_layer(kind))


@pytest.mark.parametrize("kind", UNRULY)
def test_what_has_no_rule_has_a_gradient(kind):
    gradient = innspect.create_analyzer("gradient", with_layer(kind)).analyze(array(2, 4, 3), 1)
    np.testing.assert_allclose(gradient, own_gradient(with_layer(kind), array(2, 4, 3), 1), rtol=1e-4, atol=1e-5)
