"""PatternNet and PatternAttribution: a float64 oracle's numbers, and the public contract."""

import os

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import patterns as P
from innspect.errors import NotAnalyzeableModelError

HERE = os.path.dirname(__file__)
BOTH = ["pattern.net", "pattern.attribution"]


# ------------------------------------------------------------------ measured elsewhere
@pytest.fixture(scope="module")
def measured():
    with np.load(os.path.join(HERE, "references", "patterns_digits.npz")) as file:
        return dict(file)


def digits_model(name, measured):
    """The nets that the oracle was run on: with pooling, and with batch normalization."""
    if name == "cnn_digits":
        layers = [L.Conv2D(8, 3, activation="relu", name="c1"), L.MaxPooling2D(), L.Conv2D(12, 3, padding="same", name="c2")]
        layers += [L.ReLU(), L.Flatten(), L.Dense(24, activation="relu", name="d1"), L.Dense(10, name="out")]
    else:
        layers = [L.Conv2D(6, 3, padding="same", use_bias=False, name="c1"), L.BatchNormalization(name="bn1"), L.ReLU()]
        layers += [L.Conv2D(6, 3, name="c2"), L.BatchNormalization(name="bn2"), L.Activation("relu"), L.Flatten()]
        layers += [L.Dense(10, name="out")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    for layer in model.layers:
        keys = sorted(k for k in measured if k.startswith(f"{name}/weights/{layer.name}/"))
        if keys:
            layer.set_weights([measured[k] for k in keys])
    return model


def close(ours, theirs, tolerance):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


@pytest.mark.parametrize("name", ["cnn_digits", "cnn_bn"])
def test_patterns_and_attributions_equal_the_oracle(measured, name):
    model, x = digits_model(name, measured), measured["x"].astype("float32") / 16
    patterns = P.fit(model, x, ["relu", "linear", "relu.negative"], batch_size=64)
    for ours, theirs in (("relu", "plus"), ("linear", "linear"), ("relu.negative", "minus")):
        for layer, array_ in patterns.select(ours).items():
            close(array_, measured[f"{name}/patterns/{theirs}/{layer}"], 1e-4)
    for key in (k for k in measured if k.startswith(f"{name}/analysis/")):
        method, options = key.rsplit("/", 1)[1][:-1].split("[")
        shown = patterns.select(options.split(",")[0])
        neuron = 3 if "index3" in options else None
        ours = innspect.create_analyzer(method, model, patterns=shown).analyze(measured[f"{name}/inputs"], neuron)
        close(ours, measured[key], 1e-3)


def test_the_gate_of_the_papers_equation_5(measured):
    model, x = digits_model("cnn_digits", measured), measured["x"].astype("float32") / 16
    patterns = P.fit(model, x, "relu", gate="bias_free", batch_size=64)
    for layer, array_ in patterns.items():
        close(array_, measured[f"cnn_digits/bias_free/{layer}"], 1e-4)


def test_quality_equals_the_oracle(measured):
    model = digits_model("cnn_digits", measured)
    x, x_v, x_eval = (measured[k].astype("float32") / 16 for k in ("x", "x_v", "x_eval"))
    patterns = P.fit(model, x, ["linear", "relu", "relu.negative"], batch_size=64)
    quality = P.quality(model, None, x_v, x_eval, patterns=patterns, layers=["d1", "out"], batch_size=64)
    for estimator, theirs in (("filter", "S_w"), ("linear", "S_a"), ("two_component", "S_a+-")):
        for layer in quality:
            assert quality[layer][estimator].mean() == pytest.approx(measured[f"rho/{layer}/{theirs}"], abs=2e-3)


# ------------------------------------------------------------------ the toy example of the paper, section 2
def toy(samples, seed):
    random = np.random.default_rng(seed)
    y, e = random.uniform(-1, 1, samples), random.normal(size=samples)
    return (np.outer(y, [1, 0]) + np.outer(e, [1, 1])).astype("float32")


def test_the_toy_example(tmp_path):
    model = keras.Sequential([keras.Input((2,)), L.Dense(1, use_bias=False, name="n")])
    model.set_weights([np.array([[1.0], [-1.0]])])
    x = toy(100_000, 0)
    patterns = P.fit(model, x, ["linear", "relu"], batch_size=10_000)
    for shown in ("linear", "relu"):
        np.testing.assert_allclose(patterns.select(shown)["n"][:, 0], [1, 0], atol=0.01)
    attribution = innspect.create_analyzer("pattern.attribution", model, patterns=patterns).analyze(np.array([[2.5, 2.0]]))
    np.testing.assert_allclose(attribution, [[0.5, 0.0]], atol=0.01)
    quality = P.quality(model, None, x, toy(100_000, 1), patches=100_000, batch_size=10_000)
    assert quality["n"]["filter"] == pytest.approx(0.7226, abs=0.01)
    assert quality["n"]["linear"] == pytest.approx(1, abs=0.01)
    assert quality["n"]["two_component"] == pytest.approx(1, abs=0.01)
    assert quality["n"]["identity"] == 1
    assert quality.degenerate["n"]["identity"].all()
    assert quality["n"]["random"] < 0.95
    figure = quality.plot(tmp_path / "rho.png")
    assert len(figure.axes[0].patches) == 4  # the identity leaves nothing to draw
    assert (tmp_path / "rho.png").stat().st_size > 5000
    assert "two_component" in quality.summary(None)


def test_quality_says_what_it_needs():
    model = keras.Sequential([keras.Input((2,)), L.Dense(1)])
    with pytest.raises(ValueError, match="both be given"):
        P.quality(model, None, toy(10, 0))
    with pytest.raises(ValueError, match="best"):
        P.quality(model, ["best"], toy(10, 0), toy(10, 1))
    with pytest.raises(KeyError, match="layers"):
        P.quality(model, None, toy(10, 0), toy(10, 1), layers=["d7"])


# ------------------------------------------------------------------ the contract
def residual():
    x = keras.Input((6, 6, 3), name="x")
    h = L.Conv2D(4, 3, padding="same", activation="relu", name="c1")(x)
    h = L.Add(name="add")([h, L.Conv2D(4, 1, name="c2")(h)])
    h = L.AveragePooling2D(2, name="pool")(L.ReLU(name="relu")(h))
    h = L.Concatenate(name="join")([L.Flatten()(h), L.GlobalMaxPooling2D()(h)])
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="out")(h)))


@pytest.mark.parametrize("name", BOTH)
def test_branches_pooling_and_softmax(name):
    """The gradient with other weights: with the weights themselves it is the gradient times the value."""
    model, x = residual(), array(5, 6, 6, 3)
    analyzer = innspect.create_analyzer(name, model).fit(array(16, 6, 6, 3, seed=2))
    assert list(analyzer.patterns) == ["c1", "c2", "out"]
    assert analyzer.analyze(x).shape == x.shape
    weights = {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}
    ones = {k: np.ones_like(w) for k, w in weights.items()}
    given = weights if name == "pattern.net" else ones
    ours = innspect.create_analyzer(name, model, patterns=given, start="one").analyze(x, 1)
    close(ours, innspect.create_analyzer("gradient", model).analyze(x, 1), 1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_analyzing_before_fitting_says_what_to_call(name):
    analyzer = innspect.create_analyzer(name, residual())
    with pytest.raises(RuntimeError, match=r"analyzer\.fit\(.*patterns="):
        analyzer.analyze(array(1, 6, 6, 3))


def test_refitting_changes_the_result_without_compiling_again():
    model, x = residual(), array(4, 6, 6, 3)
    analyzer = innspect.create_analyzer("pattern.net", model, pattern_type="linear")
    first = analyzer.fit(array(16, 6, 6, 3, seed=2)).analyze(x)
    passes = dict(analyzer._passes)
    second = analyzer.fit(array(16, 6, 6, 3, seed=3) + 1).analyze(x)
    assert analyzer._passes == passes
    expected = innspect.create_analyzer("pattern.net", model, patterns=analyzer.patterns).analyze(x)
    np.testing.assert_array_equal(second, expected)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("name", BOTH)
def test_an_analyzer_keeps_its_patterns_when_saved(name, tmp_path):
    analyzer = innspect.create_analyzer(name, residual(), pattern_type="relu").fit(array(16, 6, 6, 3, seed=2))
    analyzer.save(tmp_path / "analyzer.zip")
    loaded, x = innspect.load_analyzer(tmp_path / "analyzer.zip"), array(3, 6, 6, 3)
    np.testing.assert_allclose(loaded.analyze(x), analyzer.analyze(x), rtol=1e-5, atol=1e-6)
    assert loaded.patterns == analyzer.patterns
    assert loaded.pattern_type == "relu"


def test_projection_scales_each_sample_to_one():
    model, x = residual(), array(3, 6, 6, 3)
    patterns = P.fit(model, array(16, 6, 6, 3, seed=2))
    plain = innspect.create_analyzer("pattern.net", model, patterns=patterns).analyze(x)
    scaled = innspect.create_analyzer("pattern.net", model, patterns=patterns, reverse_project_bottleneck_layers=True).analyze(
        x
    )
    np.testing.assert_allclose(np.abs(scaled).max((1, 2, 3)), 1, rtol=1e-6)
    close(scaled, plain / np.abs(plain).max((1, 2, 3), keepdims=True), 1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_growth_is_named_with_its_factor(name):
    """A sum of two, 3: the signal is 3e4 at inputs of at most 2, and so is the relevance of each. The other sum is 0."""
    x = np.array([[1.0, 2.0], [1.0, -1.0]])
    model = keras.Sequential([keras.Input((2,)), L.Dense(2, use_bias=False, name="a"), L.Dense(1, use_bias=False, name="b")])
    model.set_weights([np.eye(2), np.ones((2, 1))])
    given = {"a": 1e2 * np.eye(2), "b": 1e2 * np.ones((2, 1))}
    analyzer = innspect.create_analyzer(name, model, patterns=given)
    factor = {"pattern.net": "1.5e[+]04", "pattern.attribution": "2.0e[+]04"}[name]
    with pytest.warns(UserWarning, match=rf"up to {factor}, for 1 of 2 samples \(number 0\): .*reverse_project"):
        analyzer.analyze(x)
    with pytest.warns(UserWarning, match=rf"up to {factor}, for 1 of 2 samples"):
        analyzer.analyze(x, neurons=[0, 0], batch_size=1)
    innspect.create_analyzer(name, model, patterns=given, reverse_project_bottleneck_layers=True).analyze(x)
    innspect.create_analyzer(name, model, patterns={"a": np.eye(2), "b": np.ones((2, 1))}).analyze(x)


def test_given_patterns_are_checked():
    model = residual()
    with pytest.raises(ValueError, match="3 layers"):
        innspect.create_analyzer("pattern.net", model, patterns=[np.ones((3, 3, 3, 4))])
    with pytest.raises(ValueError, match="'c1'"):
        innspect.create_analyzer("pattern.net", model, patterns={"c2": np.ones((1, 1, 4, 4))})
    with pytest.raises(TypeError, match="int"):
        innspect.create_analyzer("pattern.net", model, patterns=3)
    with pytest.raises(ValueError, match="'a\\+'"):
        innspect.create_analyzer("pattern.net", model, pattern_type="a+")
    linear = P.fit(model, array(8, 6, 6, 3), "linear")
    with pytest.raises(ValueError, match="not fitted"):
        innspect.create_analyzer("pattern.net", model, patterns=linear, pattern_type="relu")


@pytest.mark.parametrize("layer", [L.LayerNormalization(name="odd"), L.Softmax(name="odd")])
def test_layers_without_theory_are_named(layer):
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(3), layer, L.Dense(2)]))
    with pytest.raises(NotAnalyzeableModelError, match="odd"):
        innspect.create_analyzer("pattern.attribution", model)
    innspect.create_analyzer("pattern.attribution", model, disable_model_checks=True).fit(array(8, 4)).analyze(array(2, 4))


def test_text_is_explained_by_token():
    model = keras.Sequential([keras.Input((7,), dtype="int32"), L.Embedding(20, 4), L.Conv1D(3, 2, activation="relu")])
    model.add(L.GlobalMaxPooling1D())
    model.add(L.Dense(2))
    ids = np.random.default_rng(0).integers(0, 20, (24, 7))
    for name in BOTH:
        assert innspect.create_analyzer(name, shake(model)).fit(ids).analyze(ids[:3]).shape == (3, 7)
