"""What mypy found where it first read the annotations, each once wrong. What it reads of a user's code is in typed_user.py."""

from fractions import Fraction

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect.checks import Number
from innspect.graph.views.affine import Affine
from innspect.layers import Gradient
from innspect.nests import unpacked
from innspect.testing import check_rule


class Halved(keras.layers.Layer):
    """x W / 2."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), name="kernel")

    def call(self, x):
        return ops.matmul(x, self.kernel) / 2

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], 3), dtype=x.dtype)


class HalvedView(Affine):
    """With what the documentation asks of a view, and no more."""

    def __init__(self, layer, input_rank):
        self.layer = layer

    def kernel(self):
        return ops.convert_to_tensor(self.layer.kernel)

    def bias(self):
        return None

    def linear(self, x, kernel):
        return ops.matmul(x, kernel) / 2


@pytest.mark.parametrize("before", [True, False], ids=["normalization before", "normalization after"])
def test_a_view_of_ones_own_beside_batch_normalization(before):
    """The base said that it folds, so the normalization asked it for kernels that nobody had written."""
    innspect.register_reverse_mapping(Halved, kind="affine", view=HalvedView)
    halved = Halved(name="halved")
    norm = L.BatchNormalization()
    model = keras.Sequential([keras.Input((4,)), *((norm, halved) if before else (halved, norm))])
    shake(model)
    for variable in (norm.beta, norm.moving_mean):
        variable.assign(np.zeros(variable.shape, "float32"))
    x = array(5, 4)
    explanation = innspect.create_analyzer("lrp.z", model).explain(x, 1)
    np.testing.assert_allclose(explanation.attributions.sum(1), explanation.targets, rtol=1e-4, atol=1e-5)
    gradient = innspect.create_analyzer("gradient", model).analyze(x, 1)
    np.testing.assert_allclose(explanation.attributions, x * gradient, rtol=1e-4, atol=1e-5)  # a linear model


@pytest.mark.once
def test_numbers_of_every_kind_are_in_a_range_or_not():
    """A fraction, and a complex number, made NumPy raise."""
    assert all(Number().holds(n) for n in (0, 0.5, Fraction(1, 2), np.float32(2), np.int64(3)))
    assert not any(Number().holds(n) for n in (True, None, "1", 1j, np.complex64(1), np.nan, np.inf, Fraction(-1, 2)))
    with pytest.raises(ValueError, match="must be a number"):
        Number().check("epsilon", 1j)


@pytest.mark.once
def test_a_description_of_what_nobody_can_unpack():
    with pytest.raises(TypeError, match="numbers, strings, arrays"):
        unpacked({"rule": "Flat"}, {})


def test_the_plain_gradient_fails_the_check_of_rules_with_a_reason():
    """It is no step of its own, and has no books: the check fell over that."""
    with pytest.raises(AssertionError, match="does not account for"):
        check_rule(Gradient())
