"""Laws of patterns, in float64: every affine layer against unfolded patches, and what must not change the result."""

import keras
import numpy as np
import patterns_oracle as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from models import shake
from networks import drawn

import innspect
from innspect.patterns import PatternStatistics

pytestmark = pytest.mark.usefixtures("double")

ALL = ["linear", "relu", "relu.negative"]
# On PyTorch Keras multiplies matrices in float32 whatever it is given: what its layers computed is as good as that.
KERAS = 2e-6 if keras.backend.backend() == "torch" else 1e-9
seeds = st.integers(0, 10_000)


def normal(seed, *shape, offset=0.0):
    return np.random.default_rng(seed).normal(offset, 1.0, shape)


def network(*layers, shape, seed=1):
    return shake(keras.Sequential([keras.Input(shape), *layers]), seed)


def fit(model, x, types=ALL, **arguments):
    return innspect.patterns.fit(model, x, types, **arguments)


def assert_close(a, b, tolerance=1e-9):
    assert set(a) == set(b)
    for path in a:
        for kind, array in a.layers[path].arrays.items():
            np.testing.assert_allclose(array, b.layers[path].arrays[kind], rtol=0, atol=tolerance * max(1, np.abs(array).max()))


# ------------------------------------------------------------------ every layer, against unfolded patches
@pytest.mark.sweep(keep=["conv2d", "dense", "depthwise2d", "einsum", "transposed2d"], on="tensorflow")
@pytest.mark.parametrize("name", oracle.LAYERS)
def test_every_affine_layer_equals_unfolded_patches(name):
    make, shape, neuron_axes = oracle.LAYERS[name]
    layer = make()
    model = network(layer, shape=shape)
    x = normal(0, 8, *shape, offset=0.7)
    patterns = fit(model, x, batch_size=4)
    for kind, shown in zip(("linear", "positive", "negative"), ALL, strict=True):
        theirs = oracle.expected(layer, x, neuron_axes, kind)
        np.testing.assert_allclose(patterns.select(shown)[layer.name], theirs, rtol=0, atol=KERAS * np.abs(theirs).max())


@pytest.mark.parametrize(("gate", "y_mean"), [("bias_free", "all"), ("activation", "regime")])
def test_gate_and_mean_are_choices(gate, y_mean):
    layer = L.Conv2D(3, 3, padding="same", name="layer")
    model, x = network(layer, shape=(5, 5, 2)), normal(0, 8, 5, 5, 2, offset=2.0)
    ours = fit(model, x, "relu", gate=gate, y_mean=y_mean)["layer"]
    theirs = oracle.expected(layer, x, (3,), "positive", gate=gate, y_mean=y_mean)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=KERAS * np.abs(theirs).max())


@pytest.mark.parametrize("rank", [1, 2])
def test_separable_convolution_has_two_patterns(rank):
    shape = (6, 3) if rank == 1 else (5, 4, 3)
    separable = (L.SeparableConv1D if rank == 1 else L.SeparableConv2D)(4, 2, depth_multiplier=2, name="sep", padding="same")
    model, x = network(separable, shape=shape), normal(0, 8, *shape, offset=0.5)
    depthwise = (L.DepthwiseConv1D if rank == 1 else L.DepthwiseConv2D)(2, depth_multiplier=2, padding="same", use_bias=False)
    pointwise = (L.Conv1D if rank == 1 else L.Conv2D)(4, 1)
    middle = depthwise(x)
    pointwise.build(middle.shape)
    depthwise.kernel.assign(separable.depthwise_kernel)
    pointwise.kernel.assign(separable.pointwise_kernel)
    pointwise.bias.assign(separable.bias)
    middle = keras.ops.convert_to_numpy(depthwise(x))
    patterns = fit(model, x, "relu")
    assert list(patterns) == ["sep/depthwise", "sep/pointwise"]
    for path, layer, data, axes in (
        ("sep/depthwise", depthwise, x, (rank, rank + 1)),
        ("sep/pointwise", pointwise, middle, (rank + 1,)),
    ):
        theirs = oracle.expected(layer, data, axes, "positive")
        np.testing.assert_allclose(patterns[path], theirs, rtol=0, atol=KERAS * np.abs(theirs).max())


def test_a_layer_called_twice_pools_its_statistics():
    shared = L.Dense(3, name="shared")
    a, b = keras.Input((4,)), keras.Input((4,))
    model = shake(keras.Model([a, b], [shared(a), shared(b)]))
    x, z = normal(0, 10, 4), normal(1, 10, 4, offset=1.0)
    patterns = fit(model, [x, z])
    assert list(patterns) == ["shared"]
    theirs = oracle.expected(shared, np.concatenate([x, z]), (1,), "positive")
    np.testing.assert_allclose(patterns.select("relu")["shared"], theirs, rtol=0, atol=KERAS * np.abs(theirs).max())


def test_nested_models_and_time_distributed_layers_have_paths():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu", name="d")], name="inner")
    model = network(L.TimeDistributed(inner, name="steps"), shape=(5, 4))
    x = normal(0, 6, 5, 4)
    (path,) = patterns = fit(model, x, "relu")
    assert path.endswith("inner/d")
    linear = L.Dense(3)
    linear.build((None, 4))
    linear.set_weights(inner.layers[-1].get_weights())
    theirs = oracle.expected(linear, x.reshape(-1, 4), (1,), "positive")
    np.testing.assert_allclose(patterns[path], theirs, rtol=0, atol=KERAS * np.abs(theirs).max())


# ------------------------------------------------------------------ laws
def small_networks(seed):
    """A model of a few kinds of layers, and data: of few shapes, so that little is compiled."""
    random = np.random.default_rng(seed)
    if seed % 2:
        layers = [L.Dense(4, activation="relu"), L.Dense(3, activation="relu"), L.Dense(2)]
        return network(*layers, shape=(5,), seed=seed), normal(seed, 24, 5, offset=random.normal())
    layers = [
        L.Conv2D(3, 3, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.DepthwiseConv2D(2, padding="same"),
        L.ReLU(),
        L.Flatten(),
        L.Dense(2),
    ]
    return network(*layers, shape=(6, 6, 2), seed=seed), normal(seed, 24, 6, 6, 2, offset=random.normal())


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_filter_times_pattern_is_one_and_the_regimes_add_up_to_the_covariance(seed):
    model, x = small_networks(seed)
    statistics = PatternStatistics(model, ALL)
    statistics.update(x)
    patterns = statistics.patterns()
    for path, layer in patterns.layers.items():
        known = statistics.layers[path]
        for kind, array in layer.arrays.items():
            products = known.moments.layout.per_neuron(known.kernel * array)
            np.testing.assert_allclose(products, np.where(layer.degenerate[kind], 0.0, 1.0), atol=1e-9)
    for layer in statistics.layers.values():
        moments = layer.moments
        share = moments.layout.over_kernel(moments.active / moments.count)
        both = share * moments.numerator("positive") + (1 - share) * moments.numerator("negative")
        covariance = moments.numerator("linear")
        np.testing.assert_allclose(both, covariance, rtol=0, atol=1e-11 * np.abs(covariance).max())


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds, st.lists(st.sampled_from([8, 16]), max_size=2))
def test_any_split_into_batches_gives_the_same(seed, cuts):
    model, x = small_networks(seed)
    whole, parts = PatternStatistics(model, ALL), PatternStatistics(model, ALL)
    whole.update(x)
    for part in np.split(x, sorted(cuts)):  # an empty part too
        parts.update(part)
    assert parts.samples == whole.samples == len(x)
    assert_close(whole.patterns(), parts.patterns())


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_merging_is_commutative_and_associative(seed):
    model, x = small_networks(seed)
    x[:8] += 5.0  # the parts have other means
    a, b, c = (PatternStatistics(model, ALL) for _ in range(3))
    for statistics, part in zip((a, b, c), np.array_split(x, 3), strict=True):
        statistics.update(part)
    before = a.patterns()
    whole = a.merge(b).merge(c)
    for other in (a.merge(b.merge(c)), c.merge(a).merge(b), b.merge(a).merge(c)):
        for path, layer in whole.layers.items():
            for regime in ("linear", "positive", "negative"):
                mine, theirs = layer.moments.numerator(regime), other.layers[path].moments.numerator(regime)
                summed = sum(map(np.abs, layer.moments._terms(regime, "all"))).max()
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12 * max(1.0, summed))
        assert other.samples == len(x)
    together = PatternStatistics(model, ALL)
    together.update(x)
    assert_close(together.patterns(), whole.patterns())
    assert a.patterns() == before  # operands do not change


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_an_offset_of_the_inputs_does_not_change_the_linear_pattern(seed):
    model = network(L.Dense(4, activation="relu"), shape=(5,), seed=seed)
    convolution = network(L.Conv2D(3, 3), shape=(6, 6, 2), seed=seed)
    for m, x in ((model, normal(seed, 24, 5)), (convolution, normal(seed, 24, 6, 6, 2))):
        near, far = (fit(m, data, "linear", batch_size=16) for data in (x, x + 1000.0))
        assert_close(near, far, 1e-6)


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_the_pattern_of_a_convolution_is_that_of_a_dense_layer_on_patches(seed):
    model = network(L.Conv2D(3, 2, strides=2, name="c", activation="relu"), shape=(4, 4, 2), seed=seed)
    x = normal(seed, 12, 4, 4, 2, offset=0.5)
    cut = x.reshape(12, 2, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 8)
    dense = keras.Sequential([keras.Input((8,)), L.Dense(3, name="c", activation="relu")])
    kernel, bias = model.get_weights()
    dense.set_weights([kernel.reshape(8, 3), bias])
    ours, theirs = fit(model, x), fit(dense, cut)
    for kind in ALL:
        np.testing.assert_allclose(ours.select(kind)["c"].reshape(8, 3), theirs.select(kind)["c"], rtol=1e-8, atol=1e-9)


# ------------------------------------------------------------------ batch normalization
def folded_and_not(seed, padding):
    """The same function with batch normalization, and with it folded into the convolution before it."""
    random = np.random.default_rng(seed)
    conv, norm = L.Conv2D(3, 3, padding=padding, name="c"), L.BatchNormalization(name="bn", epsilon=1e-3)
    model = network(conv, norm, L.ReLU(), L.Flatten(), L.Dense(3, name="out"), shape=(5, 5, 2), seed=seed)
    gamma, beta, mean, variance = norm.get_weights()
    gamma = gamma * random.choice([-1.0, 1.0], gamma.shape)  # the gate must look behind a scale that turns the sign
    norm.set_weights([gamma, beta, mean, variance])
    scale = gamma / np.sqrt(variance + 1e-3)
    kernel, bias = conv.get_weights()
    folded = network(
        L.Conv2D(3, 3, padding=padding, activation="relu", name="c"), L.Flatten(), L.Dense(3, name="out"), shape=(5, 5, 2)
    )
    folded.set_weights([kernel * scale, (bias - mean) * scale + beta, *model.layers[-1].get_weights()])
    return model, folded, scale


@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_folded_and_unfolded_batch_normalization_agree(seed):
    model, folded, scale = folded_and_not(seed, "same")
    x = normal(seed, 12, 5, 5, 2, offset=0.4)
    ours, theirs = fit(model, x, [*ALL, "auto"]), fit(folded, x, [*ALL, "auto"])
    for kind in ("linear", "auto"):
        a, b = ours.select(kind), theirs.select(kind)
        np.testing.assert_allclose(a["c"] / scale, b["c"], rtol=0, atol=1e-8 * np.abs(b["c"]).max())
        for name in ("pattern.net", "pattern.attribution"):
            mine = innspect.create_analyzer(name, model, patterns=a).analyze(x[:3])
            other = innspect.create_analyzer(name, folded, patterns=b).analyze(x[:3])
            np.testing.assert_allclose(mine, other, rtol=0, atol=1e-8 * np.abs(other).max())


def test_normalization_before_a_layer_is_a_diagonal_pattern():
    """y = w (s x + t) and y = (w s) x + w t are explained alike (a+ depends on t: see METHODS 13.3)."""
    norm, dense = L.BatchNormalization(name="bn"), L.Dense(3, name="d", activation="relu")
    model = network(L.Rescaling(0.5), norm, dense, L.Dense(2, name="out"), shape=(4,))
    gamma, beta, mean, variance = norm.get_weights()
    scale = gamma / np.sqrt(variance + 1e-3)
    kernel, bias = dense.get_weights()
    folded = network(L.Dense(3, name="d", activation="relu"), L.Dense(2, name="out"), shape=(4,))
    shift = beta - mean * scale
    folded.set_weights([kernel * scale[:, None] * 0.5, bias + shift @ kernel, *model.layers[-1].get_weights()])
    x = normal(3, 30, 4)
    for name in ("pattern.net", "pattern.attribution"):
        mine, other = (innspect.create_analyzer(name, m, pattern_type="linear").fit(x).analyze(x[:4]) for m in (model, folded))
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9 * np.abs(other).max())


# ------------------------------------------------------------------ attributions
@pytest.mark.usefixtures("eager")
@drawn
@given(seeds)
def test_attribution_keeps_what_reaches_active_neurons(seed):
    """One affine step and its gate: sum_i R_i = sum_j [y_j > 0] R_j; a linear model keeps all."""
    model = network(L.Dense(6, activation="relu", name="h"), L.Dense(2, name="out"), shape=(5,), seed=seed)
    x = normal(seed, 24, 5)
    analyzer = innspect.create_analyzer("pattern.attribution", model).fit(x)
    explanation = analyzer.explain(x[:8], 1, at=["h"])
    opened = keras.ops.convert_to_numpy(model.layers[0](x[:8])) > 0
    alive = ~analyzer.patterns.layers["h"].degenerate["positive"]
    np.testing.assert_allclose(
        explanation.attributions.sum(1), (explanation.signals["h"] * opened * alive).sum(1), rtol=0, atol=1e-9
    )
    linear = network(L.Dense(1), shape=(5,), seed=seed)
    y = keras.ops.convert_to_numpy(linear(x))[:, 0]
    total = innspect.create_analyzer("pattern.attribution", linear).fit(x).analyze(x).sum(1)
    np.testing.assert_allclose(total, y, atol=KERAS)
    signal = innspect.create_analyzer("pattern.net", linear).fit(x).analyze(x)
    np.testing.assert_allclose(signal @ linear.get_weights()[0][:, 0], y, atol=KERAS)
