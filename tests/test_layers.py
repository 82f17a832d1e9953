"""Every layer that Keras users build with, in a small model, under the main methods; and what each is expected to do."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect
from innspect.testing.layers import AFFINE_LAYERS

# Deep Taylor has nothing to say where the explained value is not positive, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:'deep_taylor'")

BACKEND = keras.backend.backend()
RELEVANCE = ("lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.z_plus", "lrp.flat", "deep_taylor")
VECTOR, SEQUENCE, IMAGE, VOLUME = (5,), (6, 2), (4, 4, 2), (4, 4, 4, 2)
# One of each kind; all their settings are in test_rules.py.
KERNELS = (
    "dense on sequences",
    "einsum dense with heads",
    "conv1d causal, dilation",
    "conv2d same, strides",
    "conv3d",
    "depthwise conv1d same, strides",
    "depthwise conv2d",
    "separable conv1d",
    "separable conv2d",
    "conv1d transpose",
    "conv2d transpose same, strides",
    "conv3d transpose",
)

LAYERS = {
    # pooling
    "max_pooling1d": (lambda: L.MaxPooling1D(2), SEQUENCE),
    "max_pooling2d": (lambda: L.MaxPooling2D(2), IMAGE),
    "max_pooling2d overlapping, same": (lambda: L.MaxPooling2D(3, strides=1, padding="same"), IMAGE),
    "max_pooling3d": (lambda: L.MaxPooling3D(2), VOLUME),
    "average_pooling1d": (lambda: L.AveragePooling1D(2), SEQUENCE),
    "average_pooling2d": (lambda: L.AveragePooling2D(2), IMAGE),
    "average_pooling2d overlapping, same": (lambda: L.AveragePooling2D(3, strides=1, padding="same"), IMAGE),
    "average_pooling3d": (lambda: L.AveragePooling3D(2), VOLUME),
    "global_max_pooling1d": (lambda: L.GlobalMaxPooling1D(), SEQUENCE),
    "global_max_pooling2d": (lambda: L.GlobalMaxPooling2D(), IMAGE),
    "global_max_pooling3d": (lambda: L.GlobalMaxPooling3D(keepdims=True), VOLUME),
    "global_average_pooling1d": (lambda: L.GlobalAveragePooling1D(), SEQUENCE),
    "global_average_pooling2d": (lambda: L.GlobalAveragePooling2D(keepdims=True), IMAGE),
    "global_average_pooling3d": (lambda: L.GlobalAveragePooling3D(), VOLUME),
    # normalization that is affine
    "batch_normalization": (lambda: L.BatchNormalization(), IMAGE),
    "batch_normalization on another axis": (lambda: L.BatchNormalization(axis=1), IMAGE),
    "batch_normalization without scale and center": (lambda: L.BatchNormalization(scale=False, center=False), VECTOR),
    "rescaling": (lambda: L.Rescaling(0.5, offset=0.1), IMAGE),
    "normalization": (lambda: L.Normalization(mean=[0.1, -0.2], variance=[0.5, 2.0]), IMAGE),
    # activations
    **{
        f"activation {name}": (lambda name=name: L.Activation(name), VECTOR)
        for name in "relu relu6 leaky_relu elu selu gelu silu mish softplus softsign tanh sigmoid hard_sigmoid exponential "
        "linear log_sigmoid hard_silu celu".split()
    },
    "relu": (lambda: L.ReLU(), IMAGE),
    "relu with a maximum": (lambda: L.ReLU(max_value=0.5), IMAGE),
    "relu with slope and threshold": (lambda: L.ReLU(negative_slope=0.1, threshold=0.2), IMAGE),
    "leaky_relu": (lambda: L.LeakyReLU(0.2), IMAGE),
    "prelu": (lambda: L.PReLU(shared_axes=[1, 2]), IMAGE),
    "elu": (lambda: L.ELU(), IMAGE),
    # copies
    "flatten": (lambda: L.Flatten(), IMAGE),
    "reshape": (lambda: L.Reshape((8, 4)), IMAGE),
    "reshape with a free axis": (lambda: L.Reshape((-1, 2)), IMAGE),
    "permute": (lambda: L.Permute((2, 1, 3)), IMAGE),
    "repeat_vector": (lambda: L.RepeatVector(3), VECTOR),
    "zero_padding1d": (lambda: L.ZeroPadding1D((1, 2)), SEQUENCE),
    "zero_padding2d": (lambda: L.ZeroPadding2D(((1, 0), (2, 1))), IMAGE),
    "zero_padding3d": (lambda: L.ZeroPadding3D(1), VOLUME),
    "cropping1d": (lambda: L.Cropping1D((1, 2)), SEQUENCE),
    "cropping2d": (lambda: L.Cropping2D(1), IMAGE),
    "cropping3d": (lambda: L.Cropping3D(1), VOLUME),
    "up_sampling1d": (lambda: L.UpSampling1D(2), SEQUENCE),
    "up_sampling2d": (lambda: L.UpSampling2D((2, 1)), IMAGE),
    "up_sampling2d bilinear": (lambda: L.UpSampling2D(2, interpolation="bilinear"), IMAGE),
    "up_sampling3d": (lambda: L.UpSampling3D(2), VOLUME),
    "resizing bilinear": (lambda: L.Resizing(5, 3), IMAGE),
    "resizing nearest": (lambda: L.Resizing(6, 6, interpolation="nearest"), IMAGE),
    # nothing in inference
    "dropout": (lambda: L.Dropout(0.5), VECTOR),
    "spatial_dropout1d": (lambda: L.SpatialDropout1D(0.5), SEQUENCE),
    "spatial_dropout2d": (lambda: L.SpatialDropout2D(0.5), IMAGE),
    "spatial_dropout3d": (lambda: L.SpatialDropout3D(0.5), VOLUME),
    "alpha_dropout": (lambda: L.AlphaDropout(0.5), VECTOR),
    "gaussian_dropout": (lambda: L.GaussianDropout(0.5), VECTOR),
    "gaussian_noise": (lambda: L.GaussianNoise(1.0), VECTOR),
    "activity_regularization": (lambda: L.ActivityRegularization(l2=0.1), VECTOR),
    "identity": (lambda: L.Identity(), VECTOR),
    "masking": (lambda: L.Masking(), SEQUENCE),
    # wrappers
    "time_distributed dense": (lambda: L.TimeDistributed(L.Dense(3, activation="relu")), SEQUENCE),
    "time_distributed convolution": (lambda: L.TimeDistributed(L.Conv1D(3, 2, activation="relu")), IMAGE),
    "lambda": (lambda: L.Lambda(lambda t: ops.relu(t) * 2.0), VECTOR),
    # layers with a kernel
    **{name: (lambda name=name: AFFINE_LAYERS[name][0](activation="relu"), AFFINE_LAYERS[name][1]) for name in KERNELS},
}

MERGES = {
    "add": lambda: L.Add(),
    "subtract": lambda: L.Subtract(),
    "average": lambda: L.Average(),
    "multiply": lambda: L.Multiply(),
    "maximum": lambda: L.Maximum(),
    "minimum": lambda: L.Minimum(),
    "concatenate": lambda: L.Concatenate(),
    "concatenate on another axis": lambda: L.Concatenate(axis=1),
    "dot": lambda: L.Dot(axes=1),
}


# TensorFlow has no float64 kernels for these on a CPU.
SINGLE = ("max_pooling3d", "average_pooling3d") if BACKEND == "tensorflow" else ()


def with_layer(layer, shape):
    """A dense layer along the channels, then the layer."""
    x = keras.Input(shape)
    return shake(keras.Model(x, layer(L.Dense(shape[-1], name="front")(x)))), array(2, *shape)


def with_merge(layer):
    x = keras.Input((3, 4))
    return shake(keras.Model(x, layer([L.Dense(2)(x), L.Dense(2, activation="relu")(x)]))), array(2, 3, 4)


def own_gradient(model, x, neuron):
    """The backend's own gradient of one output of the model."""
    x = ops.convert_to_tensor(x, dtype=keras.config.floatx())
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(model(x, training=False)[..., neuron])
        return tape.gradient(total, x).numpy()
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: ops.sum(model(x, training=False)[..., neuron]))(x))
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x, training=False)[..., neuron].sum(), x)[0].numpy()


def check_methods(model, x):
    """Gradient and signal methods run and the gradient is right; relevance methods run and their books close."""
    gradient = innspect.create_analyzer("gradient", model, head="output").analyze(x, 1)
    np.testing.assert_allclose(gradient, own_gradient(model, x, 1), rtol=1e-5, atol=1e-6)
    guided = innspect.create_analyzer("guided_backprop", model, head="output").analyze(x, 1)
    assert guided.shape == x.shape
    assert np.isfinite(guided).all()
    for name in RELEVANCE:
        analyzer = innspect.create_analyzer(name, model, head="output")
        relevance = analyzer.analyze(x, 1)
        assert relevance.shape == x.shape
        assert np.isfinite(relevance).all()
        assert analyzer.conservation(x, 1).error < (1e-9 if keras.config.floatx() == "float64" else 1e-5), name


def _once(name):
    """JAX compiles every operation for every shape: there a kind in other ranks waits for the slow tests."""
    another_rank = "1d" in name or "3d" in name
    return pytest.param(name, marks=pytest.mark.slow if BACKEND == "jax" and another_rank else ())


@pytest.mark.usefixtures("double", "eager")
@pytest.mark.parametrize("name", [_once(name) for name in LAYERS if name not in SINGLE])
def test_methods_on_layer(name):
    make, shape = LAYERS[name]
    check_methods(*with_layer(make(), shape))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", SINGLE)
def test_methods_on_layer_in_float32(name):
    make, shape = LAYERS[name]
    check_methods(*with_layer(make(), shape))


@pytest.mark.usefixtures("double", "eager")
@pytest.mark.parametrize("name", MERGES)
def test_methods_on_merge(name):
    check_methods(*with_merge(MERGES[name]()))


# ---------------------------------------------------------------------- what single layers are expected to do
def relevance_through(layer, x, relevance, name="lrp.epsilon", **arguments):
    """The input's relevance (a list for several inputs) where the layer's output has the given relevance."""
    xs = [keras.Input(a.shape[1:]) for a in x] if isinstance(x, list) else keras.Input(x.shape[1:])
    analyzer = innspect.create_analyzer(name, keras.Model(xs, layer(xs)), start="one", **arguments)
    return analyzer.analyze(x, np.asarray(relevance, "float32"))


POOLS = {
    "windows": (lambda: L.MaxPooling2D(2), (1, 2, 2, 1)),
    "sequence": (lambda: L.MaxPooling1D(2), (1, 2, 1)),
    "everywhere": (lambda: L.GlobalMaxPooling2D(), (1, 1)),
    "everywhere in a sequence": (lambda: L.GlobalMaxPooling1D(), (1, 1)),
}


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("method", ["lrp.epsilon", "guided_backprop"])
@pytest.mark.parametrize("pool", POOLS)
def test_the_first_of_several_maxima_takes_all(pool, method):
    make, shape = POOLS[pool]
    x = np.ones((1, 4, 4, 1) if len(shape) == 4 or pool == "everywhere" else (1, 4, 1), "float32")
    expected = np.zeros_like(x)
    expected[
        (0, slice(0, None, 2), slice(0, None, 2))
        if pool == "windows"
        else (0, slice(0, None, 2))
        if pool == "sequence"
        else (0, 0)
    ] = 1
    if pool == "everywhere":
        expected[:] = 0
        expected[0, 0, 0] = 1
    np.testing.assert_array_equal(relevance_through(make(), x, np.ones(shape), method), expected)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("layer", [L.Maximum, L.Minimum])
def test_the_first_of_equal_operands_takes_all(layer):
    a, b = np.array([[1.0, 2.0, 3.0]], "float32"), np.array([[1.0, 5.0, 0.0]], "float32")
    first, second = relevance_through(layer(), [a, b], [[4.0, 5.0, 6.0]])
    wins = np.array([[True, False, True]]) if layer is L.Maximum else np.array([[True, True, False]])
    np.testing.assert_array_equal(first, np.where(wins, [[4, 5, 6]], 0))
    np.testing.assert_array_equal(second, np.where(wins, 0, [[4, 5, 6]]))


@pytest.mark.usefixtures("eager")
def test_copies_add_up():
    relevance = array(1, 4, 4, 1)
    summed = relevance.reshape(1, 2, 2, 2, 2, 1).sum((2, 4))
    np.testing.assert_allclose(relevance_through(L.UpSampling2D(2), array(1, 2, 2, 1), relevance), summed, rtol=1e-6)
    repeated = relevance_through(L.RepeatVector(3), array(2, 4), array(2, 3, 4))
    np.testing.assert_allclose(repeated, array(2, 3, 4).sum(1), rtol=1e-6)
    padded = relevance_through(L.ZeroPadding2D(1), array(1, 2, 2, 1), relevance)
    np.testing.assert_array_equal(padded, relevance[:, 1:-1, 1:-1])
    cropped = relevance_through(L.Cropping1D(1), array(1, 4, 2), array(1, 2, 2))
    np.testing.assert_array_equal(cropped, np.pad(array(1, 2, 2), ((0, 0), (1, 1), (0, 0))))


@pytest.mark.usefixtures("eager")
def test_sums_share_in_proportion():
    a, b, relevance = array(2, 3, seed=1), array(2, 3, seed=2), array(2, 3, seed=3)
    for layer, signs in ((L.Add(), (1, 1)), (L.Subtract(), (1, -1)), (L.Average(), (1, 1))):
        total = signs[0] * a + signs[1] * b
        for ours, x, sign in zip(relevance_through(layer, [a, b], relevance), (a, b), signs, strict=True):
            np.testing.assert_allclose(ours, sign * x / total * relevance, rtol=1e-4)
    x = array(1, 4, 4, 1)
    mean = relevance_through(L.GlobalAveragePooling2D(), x, [[2.0]])
    np.testing.assert_allclose(mean, 2 * x / x.sum(), rtol=1e-4)


@pytest.mark.usefixtures("eager")
def test_a_gate_gets_nothing_and_equals_get_halves():
    a, b, relevance = array(2, 3, seed=1), array(2, 3, seed=2), array(2, 3, seed=3)
    first, second = relevance_through(L.Multiply(), [a, b], relevance)
    np.testing.assert_allclose(first, relevance / 2)
    np.testing.assert_allclose(second, relevance / 2)

    def gated(xs):
        return L.Multiply()([L.Activation("sigmoid")(xs[0]), xs[1]])

    gate, signal = relevance_through(gated, [a, b], relevance)
    np.testing.assert_array_equal(gate, 0 * relevance)
    np.testing.assert_array_equal(signal, relevance)


@pytest.mark.usefixtures("eager")
def test_an_inner_product_gives_half_to_each_operand():
    a, b = array(2, 3, 1, seed=1), array(2, 3, 1, seed=2)
    half = (a * b / (a * b).sum(1, keepdims=True) * np.array([[[2.0]], [[3.0]]])) / 2
    for ours in relevance_through(L.Dot(axes=1), [a, b], [[[2.0]], [[3.0]]]):
        np.testing.assert_allclose(ours, half, rtol=1e-4)


def text_model(**arguments):
    words = keras.Input((5,), dtype="int32", name="words")
    h = L.Embedding(7, 4, name="embedding", **arguments)(words)
    return shake(keras.Model(words, L.Dense(3)(L.GlobalAveragePooling1D()(h)))), ids(2, 5, below=7)


@pytest.mark.usefixtures("eager")
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


@pytest.mark.parametrize("method", ["lrp.epsilon", "deep_lift"])
def test_a_fourier_transform_is_the_linear_map_that_it_is(method):
    x = keras.Input((6,))
    head = L.Dense(3)
    model = shake(keras.Model(x, head(ops.concatenate([ops.relu(part) for part in ops.rfft(x)], -1))))
    parts = [L.Dense(4, use_bias=False, activation="relu", name=name) for name in ("real", "imaginary")]
    dense = keras.Model(x, head(ops.concatenate([part(x) for part in parts], -1)))
    for part, kernel in zip(parts, (np.fft.rfft(np.eye(6)).real, np.fft.rfft(np.eye(6)).imag), strict=True):
        part.set_weights([kernel])
    data = array(2, 6)
    expected = innspect.create_analyzer(method, dense).analyze(data, 1)
    analyzer = innspect.create_analyzer(method, model)
    np.testing.assert_allclose(analyzer.analyze(data, 1), expected, rtol=1e-4, atol=1e-5)
    if method == "lrp.epsilon":
        assert analyzer.conservation(data, 1).error < 1e-5


def test_preprocessing_that_computes_with_a_backend_of_its_own_opens():
    """A crop is a copy, and a spectrogram is made of linear maps and elementwise functions."""
    x = keras.Input((6, 6, 2))
    head = L.Dense(3)
    model = shake(keras.Model(x, head(L.Flatten()(L.CenterCrop(4, 4)(x)))))
    known = keras.Model(x, head(L.Flatten()(L.Cropping2D(1)(x))))
    data = array(2, 6, 6, 2)
    for method in ("lrp.epsilon", "deep_lift"):
        expected = innspect.create_analyzer(method, known).analyze(data, 1)
        np.testing.assert_allclose(innspect.create_analyzer(method, model).analyze(data, 1), expected, rtol=1e-5, atol=1e-7)

    sound = keras.Input((64,))
    spectrogram = L.MelSpectrogram(
        fft_length=16, sequence_stride=8, sampling_rate=1000, num_mel_bins=4, min_freq=10, max_freq=500
    )
    model = shake(keras.Model(sound, L.Dense(3)(L.Flatten()(spectrogram(sound)))))
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    assert not analyzer.opened.unopened
    assert np.abs(analyzer.analyze(array(2, 64), 1)).max() > 0
    assert analyzer.conservation(array(2, 64), 1).error < 1e-4


def test_an_id_gets_what_its_vector_gets():
    model, x = text_model()
    vectors = keras.Input((5, 4))
    after = keras.Model(vectors, model.layers[-1](L.GlobalAveragePooling1D()(vectors)))
    embedded = keras.ops.convert_to_numpy(model.get_layer("embedding")(x))
    gradient = innspect.create_analyzer("gradient", after).analyze(embedded, 1)
    expected = {
        "lrp.epsilon": innspect.create_analyzer("lrp.epsilon", after).analyze(embedded, 1).sum(-1),
        "gradient": np.sqrt((gradient**2).sum(-1)),
        "input_t_gradient": (gradient * embedded).sum(-1),
    }
    for name, theirs in expected.items():
        ours = innspect.create_analyzer(name, model).analyze(x, 1)
        assert ours.shape == x.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["gradient", "lrp.epsilon"])
def test_masked_steps_get_nothing(name):
    model, _ = text_model(mask_zero=True)
    x = np.array([[1, 2, 0, 0, 0], [3, 0, 5, 0, 6]], "int32")
    analysis = innspect.create_analyzer(name, model).analyze(x, 1)
    assert np.all(analysis[x == 0] == 0)
    assert np.all(analysis[x != 0] != 0)


@pytest.mark.usefixtures("eager")
def test_time_distributed_is_its_layer_at_every_step():
    dense, x, relevance = L.Dense(2), array(2, 3, 4), array(2, 3, 2, seed=1)
    ours = relevance_through(L.TimeDistributed(dense), x, relevance, "lrp.alpha_2_beta_1")
    step = [relevance_through(dense, x[:, i], relevance[:, i], "lrp.alpha_2_beta_1") for i in range(3)]
    np.testing.assert_allclose(ours, np.stack(step, 1), rtol=1e-5)


@pytest.mark.usefixtures("eager")
def test_a_lambda_is_opened():
    x = keras.Input((5,))
    first, second = L.Dense(4), L.Dense(3)
    written, layer = (keras.Model(x, second(relu(first(x)))) for relu in (L.Lambda(lambda t: ops.maximum(t, 0.0)), L.ReLU()))
    for name in ("guided_backprop", "lrp.alpha_2_beta_1"):
        ours, theirs = (innspect.create_analyzer(name, m).analyze(array(2, 5), 1) for m in (written, layer))
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


# ---------------------------------------------------------------------- batch normalization
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


@pytest.mark.usefixtures("double", "eager")
@pytest.mark.parametrize("place", NORMS)
@pytest.mark.parametrize("name", ["lrp.z", "lrp.alpha_2_beta_1"])
def test_folded_normalization_is_the_network_without_it(place, name):
    """Put the scale and shift into the weights by hand, and compare."""
    x = array(3, 6)
    normed = keras.Sequential([keras.Input((6,)), *NORMS[place](L.BatchNormalization), L.Flatten(), L.Dense(3)])
    shake(normed)
    plain = keras.Sequential([keras.Input((6,)), *NORMS[place](L.Identity), L.Flatten(), L.Dense(3)])
    layers = list(zip(normed.layers, plain.layers, strict=True))
    for with_norm, without in layers:
        if not isinstance(with_norm, L.BatchNormalization):
            without.set_weights(with_norm.get_weights())
    for position, (norm, _) in enumerate(layers):
        if isinstance(norm, L.BatchNormalization):
            _fold(norm, [b for _, b in layers], position)
    same = [ops.convert_to_numpy(m(x)) for m in (normed, plain)]
    np.testing.assert_allclose(*same, rtol=1e-4, atol=1e-5)
    ours, theirs = (innspect.create_analyzer(name, m).analyze(x, 1) for m in (normed, plain))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def _fold(norm, layers, position):
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


@pytest.mark.usefixtures("double", "eager")
def test_normalization_that_cannot_be_folded_shares_as_a_diagonal_map():
    norm, x, relevance = L.BatchNormalization(), array(2, 3, 4), array(2, 3, 4, seed=1)
    model = keras.Sequential([keras.Input((3, 4)), norm])
    shake(model)
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + norm.epsilon)
    y = scale * x + beta - scale * mean
    ours = innspect.create_analyzer("lrp.epsilon", model, start="one").analyze(x, relevance)
    np.testing.assert_allclose(ours, scale * x / y * relevance, rtol=1e-4)


# ---------------------------------------------------------------------- formats and precisions
@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has no channels_first convolutions on a CPU")
@pytest.mark.usefixtures("eager")
def test_channels_first_is_channels_last_transposed():
    def model(data_format):
        shape = (6, 6, 2) if data_format == "channels_last" else (2, 6, 6)
        axis = -1 if data_format == "channels_last" else 1
        x = keras.Input(shape)
        h = L.Conv2D(3, 3, padding="same", data_format=data_format)(x)
        h = L.ReLU()(L.BatchNormalization(axis=axis)(h))
        h = L.MaxPooling2D(2, data_format=data_format)(h)
        h = L.SeparableConv2D(4, 2, activation="relu", data_format=data_format)(h)
        return keras.Model(x, L.Dense(3)(L.GlobalAveragePooling2D(data_format=data_format)(h)))

    last, first = shake(model("channels_last")), model("channels_first")
    first.set_weights(last.get_weights())
    x = array(2, 6, 6, 2)
    for name in ("guided_backprop", "lrp.alpha_2_beta_1", "lrp.flat"):
        expected = innspect.create_analyzer(name, last).analyze(x, 1)
        ours = innspect.create_analyzer(name, first).analyze(np.moveaxis(x, -1, 1), 1)
        np.testing.assert_allclose(np.moveaxis(ours, 1, -1), expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())
    saliency = innspect.create_analyzer("saliency", first).analyze(np.moveaxis(x, -1, 1), 1)
    np.testing.assert_allclose(saliency, innspect.create_analyzer("saliency", last).analyze(x, 1), rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision_is_explained_in_float32(policy):
    def model(dtype):
        x = keras.Input((6, 6, 2))
        h = L.Conv2D(3, 3, activation="relu", dtype=dtype)(x)
        h = L.Flatten(dtype=dtype)(L.MaxPooling2D(2, dtype=dtype)(L.BatchNormalization(dtype=dtype)(h)))
        return keras.Model(x, L.Dense(3, activation="softmax", dtype=dtype)(h))

    full, mixed = shake(model("float32")), model(policy)
    mixed.set_weights(full.get_weights())
    full.set_weights([np.asarray(w, "float32") for w in mixed.get_weights()])  # as they were rounded
    x = array(2, 6, 6, 2)
    for name in ("gradient", "guided_backprop", *RELEVANCE):
        expected = innspect.create_analyzer(name, full).analyze(x, 1)
        ours = innspect.create_analyzer(name, mixed).analyze(x, 1)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


# ---------------------------------------------------------------------- what has no rule
class Cumulative(L.Layer):
    """A layer that cannot be opened: it needs values."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("values are needed here")
        return ops.cumsum(x, axis=-1) ** 2

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


WITHOUT_RULE = {
    "layer normalization": lambda: L.LayerNormalization(name="unruly"),
    "hidden softmax": lambda: L.Softmax(name="unruly"),
    "closed": lambda: Cumulative(name="unruly"),
}


@pytest.mark.parametrize("kind", WITHOUT_RULE)
def test_what_has_no_rule_is_named_with_the_remedy_and_has_a_gradient(kind, eager):
    inner = keras.Sequential([keras.Input((4, 3)), WITHOUT_RULE[kind]()], name="block")
    x = keras.Input((4, 3))
    h = inner(L.Dense(3)(x))
    model = shake(keras.Model(x, L.Dense(2)(L.Flatten()(h) if len(h.shape) > 2 else h)))
    names = ("lrp.epsilon", "lrp.flat", "deep_taylor") if kind == "closed" else ("deep_taylor",)  # see test_attention.py
    for name in names:
        with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'block/unruly.*register_reverse_mapping"):
            innspect.create_analyzer(name, model)
    if kind != "closed":
        with pytest.raises(innspect.NotAnalyzeableModelError, match="its theory decomposes affine layers"):
            innspect.create_analyzer("deep_taylor", model)
    gradient = innspect.create_analyzer("gradient", model).analyze(array(2, 4, 3), 1)
    np.testing.assert_allclose(gradient, own_gradient(model, array(2, 4, 3), 1), rtol=1e-4, atol=1e-5)
