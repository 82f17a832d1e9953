"""Sequences and images of a size that is known at run time only: as a model of that size would be explained, or an error."""

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


# ---------------------------------------------------------------------- any size
class Resized(L.Layer):
    """Brings an image to the size of another, which Keras on TensorFlow does for known sizes only."""

    def call(self, x, like):
        return ops.image.resize(x, ops.shape(like)[1:3], interpolation="bilinear")

    def compute_output_spec(self, x, like):
        return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), dtype=x.dtype)


class Padded(L.Layer):
    """Surrounds an image with zeros up to the size of another."""

    def call(self, x, like):
        (h, w), (a, b) = ops.shape(like)[1:3], ops.shape(x)[1:3]
        return ops.pad(x, [[0, 0], [0, h - a], [0, w - b], [0, 0]])

    def compute_output_spec(self, x, like):
        return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), dtype=x.dtype)


class Doubled(L.UpSampling2D):
    def call(self, x, like):
        return super().call(x)[:, : ops.shape(like)[1] * 1, : ops.shape(like)[2] * 1]

    def compute_output_spec(self, x, like):
        return keras.KerasTensor((x.shape[0], *like.shape[1:3], x.shape[3]), dtype=x.dtype)


ENLARGED = {
    "bilinear": lambda: functools.partial(lambda up, x, like: up(x), L.UpSampling2D(interpolation="bilinear")),
    "bicubic": lambda: functools.partial(lambda up, x, like: up(x), L.UpSampling2D(interpolation="bicubic")),
    "resized": Resized,
    "padded": Padded,
    "cropped": functools.partial(Doubled, interpolation="bilinear"),
}


def segmenting(enlarge):
    """A network that makes images smaller, and large again beside what was before."""
    first, small, out = (
        L.Conv2D(3, 3, padding="same", activation="relu"),
        L.Conv2D(4, 2, strides=2, padding="same"),
        L.Conv2D(2, 1),
    )

    def network(x):
        wide = first(x)
        return L.GlobalAveragePooling2D()(out(L.Concatenate()([enlarge(small(wide), wide), wide])))

    return network


@pytest.mark.parametrize("method", ["lrp.epsilon", "lrp.z_plus", "deep_lift"])
@pytest.mark.parametrize("name", ENLARGED)
def test_one_analyzer_explains_images_of_any_size(name, method):
    network, x = segmenting(ENLARGED[name]()), keras.Input((None, None, 3))
    analyzer = innspect.create_analyzer(method, shake(keras.Model(x, network(x))))
    assert not analyzer.opened.unopened
    for size in ((8, 6), (4, 10)):
        data, x = array(2, *size, 3).astype("float64"), keras.Input((*size, 3))
        known = innspect.create_analyzer(method, keras.Model(x, network(x)))
        np.testing.assert_allclose(analyzer.analyze(data, 1), known.analyze(data, 1), rtol=1e-6, atol=1e-9)


class Asking(L.Layer):
    """Does one thing or another by a length: neither is known beforehand."""

    def call(self, x):
        return x * 2.0 if ops.shape(x)[1] > 5 else ops.sort(x, axis=1)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="there Keras itself cannot run it for unknown lengths")
def test_what_asks_how_large_a_length_is_stays_whole():
    x = keras.Input((None, 3))
    opened = innspect.open_model(shake(keras.Model(x, L.GlobalAveragePooling1D()(Asking()(x)))))
    assert list(opened.unopened) == ["asking"]


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
