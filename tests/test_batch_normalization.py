"""Batch normalization is folded into the layer that it belongs to; where there is none it is a diagonal map."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect

pytestmark = pytest.mark.usefixtures("double", "eager")

NORMS = {
    "after dense": lambda norm: [L.Dense(4), norm()],
    "after dense, before relu": lambda norm: [L.Dense(4), norm(), L.ReLU()],
    "before dense": lambda norm: [L.ReLU(), norm(), L.Dense(4)],
    "two in a row": lambda norm: [L.Dense(4), norm(), norm(), L.ReLU()],
    "after convolution": lambda norm: [L.Reshape((3, 2)), L.Conv1D(3, 2, padding="same"), norm()],
    "before convolution": lambda norm: [L.Reshape((3, 2)), norm(), L.Conv1D(3, 2)],
    "after depthwise": lambda norm: [L.Reshape((3, 2)), L.DepthwiseConv1D(2, depth_multiplier=2), norm()],
    "before groups": lambda norm: [L.Reshape((3, 2)), norm(), L.DepthwiseConv1D(2)],
    "after separable": lambda norm: [L.Reshape((3, 2)), L.SeparableConv1D(3, 2), norm()],
    "after transpose": lambda norm: [L.Reshape((3, 2)), L.Conv1DTranspose(3, 2, strides=2), norm()],
}


def network(place, norm):
    return keras.Sequential([keras.Input((6,)), *NORMS[place](norm), L.Flatten(), L.Dense(3)])


def fold(norm, layers, position):
    """Its scale and shift into the weights of the layer before it, or else of the one behind it."""
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    shift = beta - mean * scale
    before = next((layer for layer in layers[position - 1 :: -1] if layer.weights or not isinstance(layer, L.Identity)), None)
    if before is not None and before.weights:
        *kernels, bias = before.get_weights()
        if isinstance(before, L.DepthwiseConv1D):
            kernels[-1] = kernels[-1] * scale.reshape(kernels[-1].shape[-2:])
        elif isinstance(before, L.Conv1DTranspose):
            kernels[-1] = kernels[-1] * scale[:, None]
        else:
            kernels[-1] = kernels[-1] * scale
        before.set_weights([*kernels, bias * scale + shift])
        return
    after = layers[position + 1]
    kernel, bias = after.get_weights()
    moved = kernel * shift[:, None]
    added = moved.sum(0) if isinstance(after, L.DepthwiseConv1D) else moved.reshape(-1, kernel.shape[-1]).sum(0)
    after.set_weights([kernel * scale[:, None], bias + added.reshape(-1)])


def folded_by_hand(place):
    """A network with normalization, and one without that computes the same."""
    normed, plain = shake(network(place, L.BatchNormalization)), network(place, L.Identity)
    for with_norm, without in zip(normed.layers, plain.layers, strict=True):
        if not isinstance(with_norm, L.BatchNormalization):
            without.set_weights(with_norm.get_weights())
    for position, layer in enumerate(normed.layers):
        if isinstance(layer, L.BatchNormalization):
            fold(layer, plain.layers, position)
    return normed, plain


@pytest.mark.sweep(keep=["lrp.alpha_2_beta_1-after convolution", "*after separable", "lrp.z-before groups"], on="jax")
@pytest.mark.parametrize("place", NORMS)
@pytest.mark.parametrize("method", ["lrp.z", "lrp.alpha_2_beta_1"])
def test_folded_normalization_is_the_network_without_it(place, method):
    normed, plain = folded_by_hand(place)
    x = array(3, 6)
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(x)) for m in (normed, plain)), rtol=1e-4, atol=1e-5)
    ours, theirs = (innspect.create_analyzer(method, m).analyze(x, 1) for m in (normed, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_normalization_that_cannot_be_folded_shares_as_a_diagonal_map():
    norm, x, relevance = L.BatchNormalization(), array(2, 3, 4), array(2, 3, 4, seed=1)
    model = keras.Sequential([keras.Input((3, 4)), norm])
    shake(model)
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    y = scale * x + beta - scale * mean
    ours = innspect.create_analyzer("lrp.epsilon", model, start="one").analyze(x, relevance)
    np.testing.assert_allclose(ours, scale * x / y * relevance, rtol=1e-4)
