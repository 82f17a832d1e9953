"""Concept vectors point where a concept is, TCAV says whether it matters, and a model without it does not see it."""

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect import concepts
from innspect.concepts.sensitivity import one_among, random_vectors
from innspect.concepts.vectors import area_under_curve, shrunk_covariance
from innspect.graph.interpreter import Interpreter


def linear(kernel, name="linear"):
    model = keras.Sequential([keras.Input((len(kernel),)), L.Dense(kernel.shape[1], use_bias=False, name=name)])
    model.layers[-1].set_weights([kernel])
    return model


def planted(count=400, channels=6, seed=0):
    """Samples with and without a concept along a, and a distractor that lies half along it and varies more."""
    random = np.random.default_rng(seed)
    a, b = np.linalg.qr(random.normal(size=(channels, 2)))[0].T
    both = 0.7 * random.normal(size=(2, count, 1)) * (a + b) / 2**0.5 + 0.1 * random.normal(size=(2, count, channels))
    both[0] += a
    return a, both[0].astype("float32"), both[1].astype("float32")


def image_net(name="photographs"):
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 3))
    y = L.Conv2D(5, 3, activation="relu", name="conv")(x)
    return keras.Model(x, L.Dense(3, activation="softmax", name="out")(L.Flatten()(L.Conv2D(4, 3, name="high")(y))), name=name)


def images(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 8, 8, 3)).astype("float32")


def test_the_pattern_points_along_the_concept_and_the_filter_does_not():
    a, seen, others = planted(4000)
    model = linear(np.eye(6, dtype="float32"))

    def cosine(v):
        return float(v @ a / np.linalg.norm(v))

    pattern = concepts.vector(model, "linear", seen, others)
    filtering = concepts.vector(model, "linear", seen, others, kind="filter")
    assert cosine(pattern.vector) > 0.999
    assert cosine(filtering.vector) < 0.8
    np.testing.assert_allclose(pattern.vector, seen.mean(0) - others.mean(0), atol=1e-5)
    assert pattern.auc > 0.99
    assert pattern.vector_auc < 0.95


def test_convolutions_have_one_direction_of_means_over_positions():
    model, x = image_net(), images(12)
    z = keras.ops.convert_to_numpy(keras.Model(model.inputs[0], model.get_layer("conv").output)(x)).mean((1, 2))
    found = concepts.vector(model, "conv", iter([x[:3], x[3:6]]), x[6:], least_auc=0)
    np.testing.assert_allclose(found.vector, z[:6].mean(0) - z[6:].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.origin, z[6:].mean(0), rtol=1e-4, atol=1e-6)


def test_the_area_under_the_curve_and_the_covariance():
    random = np.random.default_rng(0)
    scores, t = random.integers(0, 5, 60).astype(float), random.integers(0, 2, 60)
    pairs = (scores[t == 1][:, None] > scores[t == 0]) + 0.5 * (scores[t == 1][:, None] == scores[t == 0])
    np.testing.assert_allclose(area_under_curve(scores, t), pairs.mean())
    h = random.normal(size=(20000, 3)) @ np.diag([3.0, 1.0, 0.5])
    np.testing.assert_allclose(shrunk_covariance(h, np.arange(20000) % 2), np.diag([9, 1, 0.25]), atol=0.3)
    few = shrunk_covariance(h[:3], np.array([0, 1, 0]))
    assert np.linalg.eigvalsh(few).min() > 0  # it can be inverted with fewer samples than channels


def test_a_concept_that_cannot_be_told_is_refused():
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 6)).astype("float32")
    model = linear(np.eye(6, dtype="float32"))
    with pytest.raises(ValueError, match=r"cannot be told.*AUC.*`least_auc=0`"):
        concepts.vector(model, "linear", x[:40], x[40:])
    assert concepts.vector(model, "linear", x[:40], x[40:], least_auc=0).auc < 0.8


@pytest.mark.once
def test_of_a_linear_head_along_its_weights():
    pytest.importorskip("scipy")
    random = np.random.default_rng(0)
    w = random.normal(size=(6, 2)).astype("float32")
    model = keras.Sequential([keras.Input((6,)), L.Dense(6, use_bias=False, name="h"), L.Dense(2, use_bias=False, name="head")])
    model.set_weights([np.eye(6, dtype="float32"), w])
    x = random.normal(size=(10, 6)).astype("float32")
    cav = concepts.ConceptVector("h", w[:, 1].astype("float64"), 1.0, 1.0, np.zeros(6))
    found = concepts.tcav(model, cav, x, 1)
    assert found.score == 1.0
    assert found.p < 0.05
    np.testing.assert_allclose(found.values, w[:, 1] @ w[:, 1], rtol=1e-5)
    several = concepts.tcav(model, [cav, concepts.ConceptVector("h", -cav.vector, 1.0, 1.0, np.zeros(6))], x, 1)
    assert several[1].score == 0.0
    assert several[0].adjusted >= several[0].p
    np.testing.assert_allclose(several[0].adjusted, min(1, 2 * min(s.p for s in several)))


def test_sensitivities_are_gradients_along_the_vector():
    pytest.importorskip("scipy")
    model, x = image_net(), images(6)
    cav = concepts.vector(model, "conv", images(20, 1) + 1, images(20, 2), least_auc=0)
    found = concepts.tcav(model, cav, x, 2)
    slopes = innspect.create_analyzer("gradient", model).explain(x, 2, at="conv").signals["conv"]
    np.testing.assert_allclose(found.values, slopes.sum((1, 2)) @ cav.vector, rtol=1e-3, atol=1e-5)
    assert found.score == (found.values > 0).mean()
    assert len(found.random_means) == 50


@pytest.mark.once
def test_p_is_uniform_where_labels_are_random():
    stats = pytest.importorskip("scipy.stats")
    random, slopes = np.random.default_rng(0), np.random.default_rng(1).normal(size=5)
    found = []
    for seed in range(200):
        h = random.normal(size=(60, 5)) * [3, 1, 1, 0.5, 0.1]
        v = h[:30].mean(0) - h[30:].mean(0)
        cav = concepts.ConceptVector("any", v, 0.5, 0.5, h[30:].mean(0), "pattern", h[:30], h[30:])
        found.append(one_among(v @ slopes, random_vectors(cav, 50, seed) @ slopes))
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert one_among(1.0, np.ones(30)) == 1.0
    assert one_among(2.0, np.ones(30)) == 0.0


def along(model, layer, cav, x):
    """v.h at every position of a layer's output."""
    graph = innspect.open_model(model).graph
    z = keras.ops.convert_to_numpy(Interpreter.of(graph, *graph.paths[layer][-1])([keras.ops.convert_to_tensor(x)])[0])
    return z @ cav.vector / np.linalg.norm(cav.vector)


def nested():
    keras.utils.set_random_seed(2)
    inner = image_net("inner")
    backbone = keras.Model(inner.inputs[0], inner.get_layer("high").output, name="backbone")
    head = keras.Sequential(
        [keras.Input((4, 4, 4)), L.Conv2D(4, 1, name="mix"), L.GlobalAveragePooling2D(), L.Dense(2)], name="head"
    )
    x = keras.Input((8, 8, 3))
    return keras.Model(x, head(backbone(x)), name="whole")


@pytest.mark.parametrize(
    ("make", "layer"),
    [(image_net, "conv"), (nested, "backbone/conv"), (nested, "head/mix")],
    ids=["functional", "nested", "sequential_within"],
)
def test_nothing_of_the_concept_is_left_and_all_else_stays(make, layer, tmp_path):
    model, x = make(), images(5, 7)
    before, weights = model.predict(x, verbose=0), model.get_weights()
    cav = concepts.vector(model, layer, images(20, 1) + 1, images(20, 2), least_auc=0)
    copy = concepts.without(model, cav)
    name = f"{layer}_without_concept"
    left = along(copy, name, cav, x)
    goal = cav.origin @ cav.vector / np.linalg.norm(cav.vector)
    np.testing.assert_allclose(left, np.full_like(left, goal), atol=1e-4 * max(1, abs(goal)))
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    # It is saved and loaded, and trains, with weights of its own.
    copy.save(tmp_path / "copy.keras")
    np.testing.assert_allclose(
        keras.models.load_model(tmp_path / "copy.keras").predict(x, verbose=0), copy.predict(x, verbose=0), rtol=1e-5
    )
    assert np.abs(copy.predict(x, verbose=0) - before).max() > 1e-6
    copy.compile("sgd", "mse")
    copy.fit(x, np.ones_like(before), epochs=1, verbose=0)
    assert any(not np.array_equal(a, b) for a, b in zip(copy.get_weights(), weights, strict=True))
    assert all(map(np.array_equal, model.get_weights(), weights))
    innspect.create_analyzer("lrp.epsilon", copy).analyze(x)  # and can be explained
    assert concepts.without(copy, cav).count_params() == copy.count_params()  # once more, under another name


def test_shared_layers_sequential_models_and_those_that_cannot_be_copied():
    x = keras.Input((4,))
    shared = L.Dense(4, name="shared")
    model = keras.Model(x, L.Dense(2, name="out")(L.Activation("relu")(shared(shared(x)))))
    points = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    cav = concepts.vector(model, "shared[1]", points[:20] + 1, points[20:], least_auc=0)
    copy = concepts.without(model, cav)
    assert len(copy.layers) == len(model.layers) + 1
    np.testing.assert_allclose(
        along(copy, "shared_without_concept", cav, points), cav.origin @ cav.vector / np.linalg.norm(cav.vector), atol=1e-5
    )

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = L.Dense(3, name="inner")

        def call(self, x):
            return self.inner(x)

    own = Own()
    own(points)
    cav = concepts.vector(own, "inner", points[:20] + 1, points[20:], least_auc=0)
    with pytest.raises(ValueError, match=r"functional or Sequential.*Own"):
        concepts.without(own, cav)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="which has no such convolutions on a CPU")
def test_channels_first():
    x = keras.Input((3, 6, 6))
    model = keras.Model(x, L.Conv2D(4, 3, data_format="channels_first", name="conv")(x))
    given = np.random.default_rng(0).normal(size=(20, 3, 6, 6)).astype("float32")
    cav = concepts.vector(model, "conv", given[:10] + 1, given[10:], least_auc=0)
    z = concepts.without(model, cav).predict(given, verbose=0)
    assert np.ptp(np.einsum("bchw,c->bhw", z, cav.vector)) < 1e-4


def test_bad_arguments_are_named():
    a, seen, others = planted(20)
    model = linear(np.eye(6, dtype="float32"))
    with pytest.raises(KeyError, match=r"`layer` must be.*'lineer'.*'linear'"):
        concepts.vector(model, "lineer", seen, others)
    with pytest.raises(ValueError, match="`kind` must be"):
        concepts.vector(model, "linear", seen, others, kind="logistic")
    with pytest.raises(ValueError, match="`without` must hold at least two samples"):
        concepts.vector(model, "linear", seen, others[:1])
    with pytest.raises(ValueError, match="`with_concept` has the wrong shape"):
        concepts.vector(model, "linear", seen[:, :3], others)
    with pytest.raises(ValueError, match="`least_auc` must be"):
        concepts.vector(model, "linear", seen, others, least_auc=2)
    with pytest.raises(ValueError, match="`with_concept` must lead to finite"):
        concepts.vector(model, "linear", seen * np.inf, others)
    cav = concepts.ConceptVector("linear", a[:4], 1.0, 1.0, a[:4])
    with pytest.raises(ValueError, match="6 channels"):
        concepts.tcav(model, cav, seen, 0)
    with pytest.raises(ValueError, match="6 channels"):
        concepts.without(model, cav)
    with pytest.raises(ValueError, match="`random` must be"):
        concepts.tcav(model, cav, seen, 0, random=5)
    with pytest.raises(ValueError, match="`cav` must be"):
        concepts.tcav(model, [], seen, 0)
    with pytest.raises(TypeError, match="`vector` must be"):
        concepts.without(model, a)
    with pytest.raises(ValueError, match="must not be 0"):
        concepts.without(model, concepts.ConceptVector("linear", np.zeros(6), 1.0, 1.0, a))
