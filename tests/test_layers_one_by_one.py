"""What single layers do with relevance, by the numbers."""

import functools

import keras
import numpy as np
import pytest
from checks import explain
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect

eager = pytest.mark.usefixtures("eager")


def relevance_through(layer, x, relevance, name="lrp.epsilon", **arguments):
    """The input's relevance (a list for several inputs) where the layer's output has the given relevance."""
    xs = [keras.Input(a.shape[1:]) for a in x] if isinstance(x, list) else keras.Input(x.shape[1:])
    analyzer = innspect.create_analyzer(name, keras.Model(xs, layer(xs)), start="one", **arguments)
    return analyzer.analyze(x, np.asarray(relevance, "float32"))


# ---------------------------------------------------------------------- the largest
# A layer, the shapes of its input and output, and where the first of equal entries are.
POOLS = {
    "windows": (lambda: L.MaxPooling2D(2), (1, 4, 4, 1), (1, 2, 2, 1), np.s_[0, ::2, ::2]),
    "sequence": (lambda: L.MaxPooling1D(2), (1, 4, 1), (1, 2, 1), np.s_[0, ::2]),
    "everywhere": (lambda: L.GlobalMaxPooling2D(), (1, 4, 4, 1), (1, 1), np.s_[0, 0, 0]),
    "everywhere in a sequence": (lambda: L.GlobalMaxPooling1D(), (1, 4, 1), (1, 1), np.s_[0, 0]),
}


@eager
@pytest.mark.parametrize("method", ["lrp.epsilon", "guided_backprop"])
@pytest.mark.parametrize("pool", POOLS)
def test_the_first_of_several_maxima_takes_all(pool, method):
    make, shape, pooled, first = POOLS[pool]
    x = np.ones(shape, "float32")
    expected = np.zeros_like(x)
    expected[first] = 1
    np.testing.assert_array_equal(relevance_through(make(), x, np.ones(pooled), method), expected)


@eager
@pytest.mark.parametrize(("layer", "wins"), [(L.Maximum, [True, False, True]), (L.Minimum, [True, True, False])])
def test_the_first_of_equal_operands_takes_all(layer, wins):
    a, b = np.array([[1.0, 2.0, 3.0]], "float32"), np.array([[1.0, 5.0, 0.0]], "float32")
    first, second = relevance_through(layer(), [a, b], [[4.0, 5.0, 6.0]])
    np.testing.assert_array_equal(first, np.where([wins], [[4, 5, 6]], 0))
    np.testing.assert_array_equal(second, np.where([wins], 0, [[4, 5, 6]]))


@eager
@pytest.mark.parametrize("method", ["gradient", "lrp.z", "deep_lift"])
def test_the_largest_and_what_is_sorted_are_copies(method):
    """As a model that takes the same entries by their places."""
    data = array(2, 5)
    descending, ascending = np.argsort(-data, axis=1)[:, :2], np.argsort(data, axis=1)
    x, places, order = keras.Input((5,)), keras.Input((2,), dtype="int32"), keras.Input((5,), dtype="int32")
    layer = L.Dense(3)

    def make(inputs, largest, ordered):
        return keras.Model(inputs, layer(ops.concatenate([largest, ordered], -1)))

    model = shake(make(x, ops.top_k(x, 2)[0], ops.sort(x)))
    taken = make([x, places, order], *(ops.take_along_axis(x, at, axis=-1) for at in (places, order)))
    expected, *of_places = innspect.create_analyzer(method, taken).analyze(
        [data, descending.astype("int32"), ascending.astype("int32")]
    )
    np.testing.assert_allclose(innspect.create_analyzer(method, model).analyze(data), expected, rtol=1e-5, atol=1e-6)
    assert not any(places.any() for places in of_places)


# ---------------------------------------------------------------------- copies
@eager
def test_relevance_of_copies_in_an_image_adds_up():
    relevance = array(1, 4, 4, 1)
    summed = relevance.reshape(1, 2, 2, 2, 2, 1).sum((2, 4))
    np.testing.assert_allclose(relevance_through(L.UpSampling2D(2), array(1, 2, 2, 1), relevance), summed, rtol=1e-6)


@eager
def test_relevance_of_repetitions_adds_up():
    repeated = relevance_through(L.RepeatVector(3), array(2, 4), array(2, 3, 4))
    np.testing.assert_allclose(repeated, array(2, 3, 4).sum(1), rtol=1e-6)


@eager
def test_relevance_of_padding_is_dropped():
    relevance = array(1, 4, 4, 1)
    padded = relevance_through(L.ZeroPadding2D(1), array(1, 2, 2, 1), relevance)
    np.testing.assert_array_equal(padded, relevance[:, 1:-1, 1:-1])


@eager
def test_what_is_cropped_gets_nothing():
    cropped = relevance_through(L.Cropping1D(1), array(1, 4, 2), array(1, 2, 2))
    np.testing.assert_array_equal(cropped, np.pad(array(1, 2, 2), ((0, 0), (1, 1), (0, 0))))


@pytest.mark.parametrize("method", ["lrp.epsilon", "deep_lift"])
def test_a_crop_by_a_backend_of_its_own_is_a_crop(method):
    x = keras.Input((6, 6, 2))
    head = L.Dense(3)
    model = shake(keras.Model(x, head(L.Flatten()(L.CenterCrop(4, 4)(x)))))
    known = keras.Model(x, head(L.Flatten()(L.Cropping2D(1)(x))))
    ours, theirs = (explain(method, m, array(2, 6, 6, 2), 1).attributions for m in (model, known))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------------- sums and products
@eager
@pytest.mark.parametrize(("layer", "sign"), [(L.Add, 1), (L.Subtract, -1), (L.Average, 1)])
def test_operands_of_a_sum_share_in_proportion(layer, sign):
    a, b, relevance = array(2, 3, seed=1), array(2, 3, seed=2), array(2, 3, seed=3)
    first, second = relevance_through(layer(), [a, b], relevance)
    np.testing.assert_allclose(first, a / (a + sign * b) * relevance, rtol=1e-4)
    np.testing.assert_allclose(second, sign * b / (a + sign * b) * relevance, rtol=1e-4)


@eager
def test_pixels_of_a_mean_share_in_proportion():
    x = array(1, 4, 4, 1)
    mean = relevance_through(L.GlobalAveragePooling2D(), x, [[2.0]])
    np.testing.assert_allclose(mean, 2 * x / x.sum(), rtol=1e-4)


@eager
def test_factors_of_a_product_get_halves():
    relevance = array(2, 3, seed=3)
    first, second = relevance_through(L.Multiply(), [array(2, 3, seed=1), array(2, 3, seed=2)], relevance)
    np.testing.assert_allclose(first, relevance / 2)
    np.testing.assert_allclose(second, relevance / 2)


@eager
def test_a_gate_gets_nothing():
    def gated(xs):
        return L.Multiply()([L.Activation("sigmoid")(xs[0]), xs[1]])

    relevance = array(2, 3, seed=3)
    gate, signal = relevance_through(gated, [array(2, 3, seed=1), array(2, 3, seed=2)], relevance)
    np.testing.assert_array_equal(gate, 0 * relevance)
    np.testing.assert_array_equal(signal, relevance)


@eager
def test_an_inner_product_gives_half_to_each_operand():
    a, b = array(2, 3, 1, seed=1), array(2, 3, 1, seed=2)
    half = (a * b / (a * b).sum(1, keepdims=True) * np.array([[[2.0]], [[3.0]]])) / 2
    for ours in relevance_through(L.Dot(axes=1), [a, b], [[[2.0]], [[3.0]]]):
        np.testing.assert_allclose(ours, half, rtol=1e-4)


# ---------------------------------------------------------------------- spectra
@functools.cache
def fourier():
    """A Fourier transform in a network, and the same network with the dense layers that it is."""
    x, head = keras.Input((6,)), L.Dense(3)
    model = shake(keras.Model(x, head(ops.concatenate([ops.relu(part) for part in ops.rfft(x)], -1))))
    parts = [L.Dense(4, use_bias=False, activation="relu", name=name) for name in ("real", "imaginary")]
    dense = keras.Model(x, head(ops.concatenate([part(x) for part in parts], -1)))
    for part, kernel in zip(parts, (np.fft.rfft(np.eye(6)).real, np.fft.rfft(np.eye(6)).imag), strict=True):
        part.set_weights([kernel])
    return model, dense


@pytest.mark.parametrize("method", ["lrp.epsilon", "deep_lift"])
def test_a_fourier_transform_is_the_linear_map_that_it_is(method):
    ours, theirs = (explain(method, model, array(2, 6), 1).attributions for model in fourier())
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_books_of_a_fourier_transform_close():
    assert innspect.create_analyzer("lrp.epsilon", fourier()[0]).conservation(array(2, 6), 1).error < 1e-5


def test_a_spectrogram_opens():
    """Into linear maps and elementwise functions, though it computes with a backend of its own."""
    sound = keras.Input((64,))
    spectrogram = L.MelSpectrogram(
        fft_length=16, sequence_stride=8, sampling_rate=1000, num_mel_bins=4, min_freq=10, max_freq=500
    )
    model = shake(keras.Model(sound, L.Dense(3)(L.Flatten()(spectrogram(sound)))))
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    assert not analyzer.opened.unopened
    assert np.abs(analyzer.analyze(array(2, 64), 1)).max() > 0
    assert analyzer.conservation(array(2, 64), 1).error < 1e-4


# ---------------------------------------------------------------------- text
def text_model(**arguments):
    words = keras.Input((5,), dtype="int32", name="words")
    h = L.Embedding(7, 4, name="embedding", **arguments)(words)
    return shake(keras.Model(words, L.Dense(3)(L.GlobalAveragePooling1D()(h))))


# A method, the method that is asked about the vectors, and what an id gets then.
OF_VECTORS = {
    "lrp.epsilon": ("lrp.epsilon", lambda R, vectors: R.sum(-1)),
    "gradient": ("gradient", lambda g, vectors: np.sqrt((g**2).sum(-1))),
    "input_t_gradient": ("gradient", lambda g, vectors: (g * vectors).sum(-1)),
}


@pytest.mark.parametrize("method", OF_VECTORS)
def test_an_id_gets_what_its_vector_gets(method):
    asked, gathered = OF_VECTORS[method]
    model, x, vectors = text_model(), ids(2, 5, below=7), keras.Input((5, 4))
    after = keras.Model(vectors, model.layers[-1](L.GlobalAveragePooling1D()(vectors)))
    embedded = ops.convert_to_numpy(model.get_layer("embedding")(x))
    expected = gathered(innspect.create_analyzer(asked, after).analyze(embedded, 1), embedded)
    ours = innspect.create_analyzer(method, model).analyze(x, 1)
    assert ours.shape == x.shape
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


@eager
@pytest.mark.parametrize("name", ["gradient", "lrp.epsilon"])
def test_masked_steps_get_nothing(name):
    x = np.array([[1, 2, 0, 0, 0], [3, 0, 5, 0, 6]], "int32")
    analysis = innspect.create_analyzer(name, text_model(mask_zero=True)).analyze(x, 1)
    assert np.all(analysis[x == 0] == 0)
    assert np.all(analysis[x != 0] != 0)


# ---------------------------------------------------------------------- wrappers
@eager
def test_time_distributed_is_its_layer_at_every_step():
    dense, x, relevance = L.Dense(2), array(2, 3, 4), array(2, 3, 2, seed=1)
    ours = relevance_through(L.TimeDistributed(dense), x, relevance, "lrp.alpha_2_beta_1")
    step = [relevance_through(dense, x[:, i], relevance[:, i], "lrp.alpha_2_beta_1") for i in range(3)]
    np.testing.assert_allclose(ours, np.stack(step, 1), rtol=1e-5, atol=1e-6)  # its kernel is drawn anew in every run


@eager
@pytest.mark.parametrize("method", ["guided_backprop", "lrp.alpha_2_beta_1"])
def test_a_lambda_is_opened(method):
    x = keras.Input((5,))
    first, second = L.Dense(4), L.Dense(3)
    written, layer = (keras.Model(x, second(relu(first(x)))) for relu in (L.Lambda(lambda t: ops.maximum(t, 0.0)), L.ReLU()))
    ours, theirs = (innspect.create_analyzer(method, m).analyze(array(2, 5), 1) for m in (written, layer))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
