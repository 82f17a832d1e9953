"""Sequences of a length that is known at run time only: as a model of that length would be explained, or an error."""

import functools

import keras
import numpy as np
import pytest
from attention_networks import Own, block_causal, read_out
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect

pytestmark = pytest.mark.usefixtures("double", "quick")


# ---------------------------------------------------------------------- any length
class Distances(L.Layer):
    """Mixes tokens by how far apart they are, with everything that lengths are written into: shapes, repeats, slices."""

    def call(self, x):
        batch, length = ops.shape(x)[:2]
        rows = ops.repeat(ops.arange(length)[None], length, axis=0)
        far = ops.cast(ops.abs(rows - ops.transpose(rows)), x.dtype)
        near = ops.exp(-ops.tile(far, (1, 2))[None, :, :length])
        return ops.matmul(ops.broadcast_to(near, (batch, length, length)), x) * ops.ones((batch, length, 1))


def attention():
    own, heads, out = Own(), L.MultiHeadAttention(2, 3), L.Dense(3)
    return lambda x: out(L.GlobalAveragePooling1D()(heads(*[own(x)] * 2, use_causal_mask=True)))


def distances():
    mix, out = Distances(), L.Dense(3)
    return lambda x: out(L.GlobalAveragePooling1D()(mix(x)))


@pytest.mark.parametrize(("made", "method"), [(attention, "lrp.attention"), (distances, "lrp.z")])
def test_one_analyzer_explains_sequences_of_any_length(made, method):
    """Each as a model of that length, where only the number of samples is not known."""
    network = made()
    x = keras.Input((None, 6))
    analyzer = innspect.create_analyzer(method, shake(keras.Model(x, network(x))))
    assert not analyzer.opened.unopened
    for length in (3, 5):
        data, x = array(2, length, 6).astype("float64"), keras.Input((length, 6))
        known = innspect.create_analyzer(method, keras.Model(x, network(x)))
        assert not known.opened.unopened
        np.testing.assert_allclose(analyzer.analyze(data, 1), known.analyze(data, 1), rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------- where the length must be known
class Mixed(L.Layer):
    """Mixes tokens as FNet does, which Keras does symbolically for known lengths only."""

    def call(self, x):
        return ops.fft2((x, ops.zeros_like(x)))[0]

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


def mixing():
    x = keras.Input((None, 6))
    return shake(keras.Model(x, read_out(Mixed()(x))))


def test_where_a_length_must_be_known_the_error_says_so():
    with pytest.raises(
        innspect.NotAnalyzeableModelError, match=r"has no rule for 'mixed.*call the model on a `keras.Input` of"
    ):
        innspect.create_analyzer("lrp.attention", mixing())


def test_the_remedy_of_that_error_works():
    x = keras.Input((4, 6))
    analyzer = innspect.create_analyzer("lrp.attention", keras.Model(x, mixing()(x)))
    assert analyzer.conservation(array(2, 4, 6).astype("float64"), 1).error < 1e-9


# ---------------------------------------------------------------------- a generated token
@functools.cache
def generator():
    tokens = keras.Input((None,), dtype="int32")
    model = shake(keras.Model(tokens, L.Dense(9)(block_causal(L.Embedding(9, 6)(tokens)))))
    return innspect.create_analyzer("lrp.attention", model)


def test_a_generated_token_is_a_target():
    """(place, id), as a tuple."""
    data = ids(2, 5, below=9)
    ours = generator().explain(data, (2, 7))
    np.testing.assert_allclose(ours.targets, ours.outputs[:, 2, 7], rtol=1e-9)
    np.testing.assert_array_equal(ours.attributions, generator().analyze(data, lambda y: y[:, 2, 7]))
    assert not ours.attributions[:, 3:].any()


@pytest.mark.parametrize("outside", [(5, 7), (2, 9)])
def test_a_token_outside_the_sequence_is_refused(outside):
    with pytest.raises(ValueError, match=r"`neuron_selection` must be inside the output's shape .* Received: "):
        generator().analyze(ids(2, 5, below=9), outside)
