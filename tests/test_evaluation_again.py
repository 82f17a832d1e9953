"""Metrics that explain again: with other weights, for another class, near the input, or where it is shifted."""

import threading

import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake

import innspect
from innspect import evaluation
from innspect.evaluation.maps import Maps, RandomMaps
from innspect.evaluation.moved import inside, rotated, sampled, shifted
from innspect.evaluation.robustness import relative_change
from innspect.evaluation.trial import Trial
from innspect.evaluation.weights import Replacement

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 8, 8, 2)).astype("float32")
TARGETS = [0, 1, 2]


def network(padding="same"):
    x = keras.Input((8, 8, 2))
    h = L.Conv2D(3, 3, padding=padding, activation="relu", name="first")(x)
    h = L.MaxPooling2D()(L.BatchNormalization(name="norm")(h))
    h = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu", name="second")(h))
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="last")(h)))


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def gradient(model):
    return innspect.create_analyzer("gradient", model)


def weights_of(model):
    return [np.array(w) for w in model.get_weights()]


def same(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


# ---------------------------------------------------------------------- weights that are handed in
FAMILIES = {
    "gradient": {},
    "lrp.epsilon": {},
    "lrp.alpha_2_beta_1": {},
    "deep_lift": {},
    "pattern.net": {},
    "grad_cam": {},
    "score_cam": {},
    "integrated_gradients": {"steps": 4},
    "smoothgrad": {"augment_by_n": 4},
    "occlusion": {"window": 4},
    "rise": {"num_masks": 8},
}


@pytest.mark.sweep(on="jax tensorflow", keep=["lrp.epsilon", "occlusion"])
@pytest.mark.parametrize("name", FAMILIES)
def test_maps_are_those_of_a_model_that_has_the_weights(name, model):
    analyzer = innspect.create_analyzer(name, model, **FAMILIES[name])
    if name == "pattern.net":
        analyzer.fit(RNG.normal(size=(64, 8, 8, 2)).astype("float32"))
    trial = Trial(model, X, TARGETS)
    maps, rows = Maps(trial, analyzer), np.arange(3)
    replacement, other = Replacement(trial, maps), keras.models.clone_model(model)
    layers = [layer for layer in replacement.layers if layer.name != "norm"]
    with replacement.of(layers):
        handed = maps.again(trial.arrays, rows)[0]
    other.set_weights(model.get_weights())
    by_path = {v.path: v for v in other.variables}
    for variable, value in replacement.pairs(layers):
        by_path[variable.path].assign(value)
    fresh = type(analyzer)(other, **analyzer.untaught())
    fresh.set_state(analyzer.state())
    theirs = fresh.analyze(X, TARGETS).reshape(handed.shape)
    np.testing.assert_allclose(handed, theirs, atol=1e-5 * np.abs(theirs).max())
    assert np.abs(handed - maps.full[0]).max() > 1e-2 * np.abs(theirs).max()


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
def test_untouched_layers_are_the_trained_ones_at_every_step(order, model, gradient):
    trial = Trial(model, X, TARGETS)
    replacement = Replacement(trial, Maps(trial, gradient))
    names = [name for name, _ in replacement.orders(order)]
    assert names == ["first", "norm", "second", "last"][:: -1 if order == "top_down" else 1]
    for k, (name, layers) in enumerate(replacement.orders(order)):
        touched = [name] if order == "independent" else names[: k + 1]
        assert [layer.name for layer in layers] == touched
        seen = {}

        class Seeing:
            __module__, opened = "innspect.tests", gradient.opened

            def analyze(self, x, neuron, *, seen=seen, **_):
                from innspect.backend.weights import steadily, weights

                variables = model.variables
                values = steadily(lambda: weights(variables) or [v.value for v in variables])
                seen.update({v.path: keras.ops.convert_to_numpy(w) for v, w in zip(variables, values, strict=True)})
                return x

        with replacement.of(layers):
            Seeing().analyze(X, TARGETS)
        moved = {p.split("/")[-2] for p, w in seen.items() if not np.array_equal(w, value_of(model, p))}
        assert moved == set(touched)
        assert not any("moving" in p for p, w in seen.items() if not np.array_equal(w, value_of(model, p)))


def value_of(model, path):
    return next(keras.ops.convert_to_numpy(v.value) for v in model.variables if v.path == path)


def test_draws_have_the_tensors_own_moments_and_constants_stay(model, gradient):
    trial = Trial(model, X, TARGETS)
    replacement = Replacement(trial, Maps(trial, gradient))
    places = {id(v): f"weights {layer.name} {i}" for layer in replacement.layers for i, v in enumerate(layer.variables)}
    for variable, value in replacement.pairs(replacement.layers):
        trained = value_of(model, variable.path).astype("float64")
        drawn = trial.generator(places[id(variable)]).standard_normal(trained.shape)
        np.testing.assert_allclose(np.array(value), trained.mean() + trained.std() * drawn, atol=1e-6)
    permuted = Replacement(trial, Maps(trial, gradient), how="permute")
    for variable, value in permuted.pairs(permuted.layers):
        assert np.array_equal(np.sort(np.array(value), axis=None), np.sort(value_of(model, variable.path), axis=None))
    plain = keras.Sequential([keras.Input((3,)), L.Dense(2, kernel_initializer="ones", name="ones")])
    trial = Trial(plain, X[:, 0, 0, :1] * np.ones((1, 3), "float32"), 0)
    pairs = Replacement(trial, Maps(trial, innspect.create_analyzer("gradient", plain)))
    assert all(np.array_equal(np.array(v), value_of(plain, p.path)) for p, v in pairs.pairs(pairs.layers))


@pytest.mark.parametrize("similarity", ["spearman", "spearman_abs", "ssim", "cosine"])
def test_two_runs_are_equal_and_the_model_as_it_was(similarity, model, gradient):
    before, x = weights_of(model), X.copy()
    first, second = (evaluation.mprt(model, x, gradient, TARGETS, similarity=similarity) for _ in range(2))
    assert np.array_equal(first.curves["similarity"], second.curves["similarity"])
    np.testing.assert_allclose(first.curves["similarity"][:, 0], 1, atol=1e-9)
    assert same(before, weights_of(model))
    assert np.array_equal(x, X)
    assert first.settings["layers"] == ["last", "second", "norm", "first"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_middle_leaves_everything_as_it_was(error, model):
    analyzer = innspect.create_analyzer("gradient", model)
    before, trained = weights_of(model), analyzer.analyze(X, TARGETS)
    original, calls = analyzer.explain_batch, []

    def failing(batch):
        calls.append(batch)
        if len(calls) == 3:
            raise error("in the middle")
        return original(batch)

    analyzer.explain_batch = failing
    with pytest.raises(error, match="in the middle"):
        evaluation.mprt(model, X, analyzer, TARGETS)
    analyzer.explain_batch = original
    assert same(before, weights_of(model))
    assert np.array_equal(analyzer.analyze(X, TARGETS), trained)


def test_another_thread_sees_the_trained_model_meanwhile(model, gradient):
    trained, seen = gradient.analyze(X, TARGETS), []
    trial = Trial(model, X, TARGETS)
    maps = Maps(trial, gradient)
    replacement = Replacement(trial, maps)
    with replacement.of(replacement.layers):
        other = threading.Thread(target=lambda: seen.append((gradient.analyze(X, TARGETS), weights_of(model))))
        other.start()
        other.join()
        assert not np.array_equal(maps.again(trial.arrays, np.arange(3))[0], trained)
    assert np.array_equal(seen[0][0], trained)
    assert same(seen[0][1], weights_of(model))


def test_nothing_is_compiled_for_a_step(model, monkeypatch):
    from innspect import backend

    analyzer, made = innspect.create_analyzer("gradient", model), []
    evaluation.mprt(model, X, analyzer, TARGETS)
    monkeypatch.setattr(backend, "compile", lambda f: made.append(f))
    evaluation.mprt(model, X, analyzer, TARGETS, order="bottom_up")
    assert not made


def test_frozen_layers_are_replaced_and_a_shared_one_once():
    x = keras.Input((4,))
    shared = L.Dense(4, activation="tanh", name="shared")
    model = shake(keras.Model(x, L.Dense(2, name="head")(shared(shared(x)))))
    model.trainable = False
    found = evaluation.mprt(model, X[:, 0, :2].reshape(3, 4), innspect.create_analyzer("gradient", model))
    assert found.settings["layers"] == ["head", "shared"]


def test_layers_of_another_output_are_no_steps():
    x = keras.Input((4,))
    h = L.Dense(4, activation="tanh", name="body")(x)
    model = shake(keras.Model(x, [L.Dense(2, name="one")(h), L.Dense(3, name="two")(h)]))
    x = X[:, 0, :2].reshape(3, 4)
    found = evaluation.mprt(model, x, innspect.create_analyzer("gradient", model), output="two")
    assert found.settings["layers"] == ["two", "body"]


# ---------------------------------------------------------------------- randomisation
def test_a_map_that_is_blind_to_weights_stays_what_it_is(model):
    blind = innspect.create_analyzer("input", model)
    np.testing.assert_allclose(evaluation.mprt(model, X, blind, TARGETS).values, 1)
    assert np.array_equal(evaluation.mprt_efficient(model, X, blind, TARGETS).values, np.zeros(3))
    np.testing.assert_allclose(evaluation.random_logit(model, X, blind, TARGETS).values, 1)


def test_random_maps_are_new_at_every_step_and_for_every_class(model):
    trial = Trial(model, X, TARGETS)
    found = evaluation.mprt(trial, None, RandomMaps(trial))
    assert np.abs(found.curves["similarity"][:, 1:]).max() < 0.6
    own = [RandomMaps(trial).again(trial.arrays, np.arange(3), turn=k)[0] for k in (0, 1)]
    drawn = trial.generator("random 1", 2).standard_normal((8, 8)).astype("float32")
    assert np.array_equal(own[1][2], drawn)
    assert not np.array_equal(*own)
    assert np.abs(evaluation.random_logit(trial, None, RandomMaps(trial)).values).max() < 0.6


def test_smooth_mprt_is_the_mean_over_given_noise(model, gradient):
    noise = RNG.normal(size=(3, 4, *X.shape[1:])).astype("float32")
    found = evaluation.mprt_smooth(model, X, gradient, TARGETS, noise=noise, batch_size=5)
    trial = Trial(model, X, TARGETS)
    maps = Maps(trial, gradient)
    replacement = Replacement(trial, maps)

    def mean():
        return np.mean([gradient.analyze(X + noise[:, d], TARGETS).sum(-1).reshape(3, -1) for d in range(4)], axis=0)

    trained = mean()
    with replacement.of(replacement.layers[-1:]):
        other = mean()
    expected = evaluation.correlation.spearman(trained, other)
    np.testing.assert_allclose(found.curves["similarity"][:, 1], expected, atol=1e-3)
    again = evaluation.mprt_smooth(model, X, gradient, TARGETS, draws=3)
    assert np.array_equal(again.values, evaluation.mprt_smooth(model, X, gradient, TARGETS, draws=3).values)


def test_random_logit_draws_another_class_and_one_class_has_none(model, gradient):
    found = evaluation.random_logit(model, X, gradient, TARGETS)
    trial = Trial(model, X, TARGETS)
    drawn = [int(trial.generator("class", i).integers(2)) for i in range(3)]
    assert found.settings["classes"] == [d + (d >= t) for d, t in zip(drawn, TARGETS, strict=True)]
    one = shake(keras.Sequential([keras.Input((4,)), L.Dense(1, activation="sigmoid")]))
    alone = evaluation.random_logit(one, X[:, 0, :2].reshape(3, 4), innspect.create_analyzer("gradient", one))
    assert alone.undefined.all()
    with pytest.raises(ValueError, match="`classes` must hold an integer from 0 to 2"):
        evaluation.random_logit(model, X, gradient, TARGETS, classes=[0, 1, 3])


def test_a_constant_map_is_undefined():
    model = shake(keras.Sequential([keras.Input((6,)), L.Dense(2, kernel_initializer="ones")]), 0)
    model.set_weights([np.ones((6, 2), "float32"), np.zeros(2, "float32")])
    gradient, x = innspect.create_analyzer("gradient", model), RNG.normal(size=(2, 6)).astype("float32")
    for metric in ("mprt", "mprt_efficient", "random_logit", "noise", "mprt_smooth"):
        assert getattr(evaluation, metric)(model, x, gradient).undefined.all(), metric
    assert np.array_equal(evaluation.max_sensitivity(model, x, gradient).values, np.zeros(2))


# ---------------------------------------------------------------------- robustness
ROBUST = {
    "max_sensitivity": {"draws": 3},
    "avg_sensitivity": {"draws": 3},
    "local_lipschitz": {"draws": 3},
    "relative_input_stability": {"draws": 3},
    "relative_representation_stability": {"draws": 3},
    "relative_output_stability": {"draws": 3},
    "noise": {"draws": 3},
    "continuity": {"reach": 2},
    "equivariance": {},
}


@pytest.mark.parametrize("name", [*ROBUST, "mprt", "mprt_efficient", "random_logit", "input_invariance"])
def test_a_samples_score_does_not_depend_on_its_batch(name, model, gradient):
    metric, told = getattr(evaluation, name), ROBUST.get(name, {})
    whole = metric(model, X, gradient, TARGETS, **told)
    alone = metric(model, X[1:2], gradient, TARGETS[1:2], **told)
    turned = metric(model, X[::-1], gradient, TARGETS[::-1], batch_size=2, **told)
    np.testing.assert_allclose(alone.values, whole.values[1:2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(turned.values[::-1], whole.values, rtol=1e-4, atol=1e-6)


def test_what_stands_beside_is_the_change_of_the_prediction(model, gradient):
    noise = RNG.normal(size=(3, 2, *X.shape[1:])).astype("float32")
    beside = evaluation.max_sensitivity(model, X, gradient, noise=noise).beside
    output = keras.ops.convert_to_numpy
    clean = output(model(X))
    moved = np.stack([output(model(X + noise[:, d])) for d in range(2)], axis=1)
    assert np.array_equal(beside["class_changed"], (moved.argmax(-1) != clean.argmax(-1)[:, None]).mean(1))
    logits = innspect.create_analyzer("gradient", model).explain
    top = clean.argmax(-1)
    change = [np.abs(logits(X + noise[:, d], top).targets - logits(X, top).targets) for d in range(2)]
    np.testing.assert_allclose(beside["prediction_change"], np.mean(change, axis=0), rtol=1e-4)


def test_neighbours_are_drawn_as_said(model, gradient):
    trial = Trial(model, X, TARGETS)
    drawn = [trial.generator("neighbours", i).uniform(-1, 1, (10, *X.shape[1:])) for i in range(3)]
    noise = np.stack([0.02 * (float(x.max()) - float(x.min())) * u for x, u in zip(X, drawn, strict=True)])
    for metric in (evaluation.max_sensitivity, evaluation.relative_output_stability):
        given, own = metric(model, X, gradient, TARGETS, noise=noise), metric(model, X, gradient, TARGETS)
        np.testing.assert_allclose(given.values, own.values, rtol=1e-4)


def test_relative_change_leaves_out_what_is_small_beside_the_largest():
    assert relative_change(np.array([[1.0, 2.0]]), np.array([[1.1, 2.0]])) == pytest.approx(0.1)
    assert relative_change(np.array([[1.0, 1e-7]]), np.array([[1.0, 5.0]])) == 0
    assert np.isnan(relative_change(np.zeros((1, 2)), np.ones((1, 2)))[0])


def test_only_neighbours_of_the_same_class_count_for_stability():
    model = keras.Sequential([keras.Input((2,)), L.Dense(2)])
    model.set_weights([np.eye(2, dtype="float32"), np.zeros(2, "float32")])
    product, x = innspect.create_analyzer("input_t_gradient", model), np.array([[1.0, 0.9]], "float32")
    turns, stays = np.array([[[0, 0.5]]]), np.array([[[0, 0.5], [0.1, 0]]])
    assert evaluation.relative_input_stability(model, x, product, noise=turns).undefined.all()
    assert evaluation.relative_input_stability(model, x, product, noise=stays).values[0] == pytest.approx(1, rel=1e-4)
    zero = evaluation.relative_input_stability(model, 0 * x, product, noise=np.array([[[0.1, 0]]]))
    assert zero.undefined.all()


def test_a_layer_is_looked_at_by_its_path(model, gradient):
    default = evaluation.relative_representation_stability(model, X, gradient, TARGETS, draws=2)
    named = evaluation.relative_representation_stability(model, X, gradient, TARGETS, draws=2, layer=model.layers[-2].name)
    np.testing.assert_allclose(default.values, named.values, rtol=1e-5)
    with pytest.raises(KeyError, match="`layer` must name a layer"):
        evaluation.relative_representation_stability(model, X, gradient, TARGETS, layer="no")


def test_sources_of_shifts_and_turns():
    image = np.arange(12.0).reshape(3, 4)
    by = shifted((3, 4), (1, -2))
    assert np.array_equal(sampled(image, by, circular=True), np.roll(image, (1, -2), (0, 1)))
    assert np.array_equal(inside(by), np.pad(np.ones((2, 2), bool), ((1, 0), (0, 2))))
    square = np.arange(9.0).reshape(3, 3)
    turned = sampled(square, rotated((3, 3), 90))
    assert np.allclose(turned, np.rot90(square)) or np.allclose(turned, np.rot90(square, -1))
    half = sampled(np.array([0.0, 2.0, 4.0]), np.array([[0.5, 1.5, 2.0]]))
    assert np.allclose(half, [1, 3, 4])


def test_equivariance_of_a_map_that_moves_along_is_one(model):
    moves = innspect.create_analyzer("input", model)
    found = evaluation.equivariance(model, X, moves, TARGETS, transforms=[("shift", (1, -2)), ("rotate", 20)])
    np.testing.assert_allclose(found.curves["transforms"][:, 0], 1)
    np.testing.assert_allclose(found.curves["transforms"][:, 1], 1, atol=0.01)  # float32
    assert evaluation.equivariance(model, X, moves, TARGETS).settings["transforms"][-1] == ["rotate", -10.0]
    for wrong in ([("shift", (1,))], [("turn", 3)], [], 3, [("shift", (0.5, 1))]):
        with pytest.raises(ValueError, match="transform"):
            evaluation.equivariance(model, X, moves, TARGETS, transforms=wrong)


def test_continuity_is_the_steepest_step_of_the_path(model, gradient):
    found = evaluation.continuity(model, X, gradient, TARGETS, reach=2, batch_size=4)
    path = np.stack([np.pad(X, ((0, 0), (0, 0), (2, 2), (0, 0)))[:, :, 2 - t : 10 - t] for t in range(-2, 3)])
    maps = np.stack([gradient.analyze(p, TARGETS) for p in path])
    change, moved = (np.diff(a, axis=0).reshape(4, 3, -1) for a in (maps, path))
    expected = (np.abs(change).sum(-1) / np.sqrt((moved**2).sum(-1))).max(0)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)
    assert evaluation.continuity(model, 0 * X, gradient, TARGETS).undefined.all()
    assert not evaluation.continuity(model, X, gradient, TARGETS, path="noise", draws=2).undefined.any()


def test_series_several_inputs_and_ids():
    series = shake(keras.Sequential([keras.Input((9, 2)), L.Conv1D(3, 3, activation="tanh"), L.Flatten(), L.Dense(2)]))
    x = RNG.normal(size=(2, 9, 2)).astype("float32")
    gradient = innspect.create_analyzer("input_t_gradient", series)
    for name in ("equivariance", "continuity", "max_sensitivity", "mprt", "input_invariance"):
        assert np.isfinite(getattr(evaluation, name)(series, x, gradient).values).all(), name
    assert evaluation.equivariance(series, x, gradient).settings["transforms"] == [["shift", (2,)], ["shift", (-2,)]]

    ids, numbers = keras.Input((4,), dtype="int32"), keras.Input((3,))
    h = L.Concatenate()([L.Flatten()(L.Embedding(6, 2)(ids)), L.Dense(3, activation="tanh")(numbers)])
    both = shake(keras.Model([ids, numbers], L.Dense(2)(h)))
    xs = [RNG.integers(0, 6, (2, 4)), RNG.normal(size=(2, 3)).astype("float32")]
    lrp = innspect.create_analyzer("lrp.epsilon", both)
    for name in ("max_sensitivity", "relative_input_stability", "noise", "mprt", "random_logit"):
        assert np.isfinite(getattr(evaluation, name)(both, xs, lrp).values).all(), name
    noise = np.full((2, 1, 3), 0.1)
    assert evaluation.max_sensitivity(both, xs, lrp, noise=noise).values.shape == (2,)
    with pytest.raises(ValueError, match="order of places"):
        evaluation.equivariance(both, xs, lrp)
    words = shake(keras.Sequential([keras.Input((4,), dtype="int32"), L.Embedding(6, 2), L.Flatten(), L.Dense(2)]))
    with pytest.raises(ValueError, match="moves inputs by degrees"):
        evaluation.max_sensitivity(words, xs[0], innspect.create_analyzer("gradient", words))
    assert np.isfinite(evaluation.mprt(words, xs[0], innspect.create_analyzer("gradient", words)).values).all()


# ---------------------------------------------------------------------- axioms
def test_completeness_is_for_methods_that_sum_to_a_difference(model, gradient):
    path = innspect.create_analyzer("integrated_gradients", model, steps=4, reference_inputs=0.5)
    found = evaluation.completeness(model, X, path, TARGETS)
    explained = path.explain(X, TARGETS)
    given = evaluation.completeness(model, X, explained, TARGETS, reference=0.5)
    np.testing.assert_allclose(found.values, given.values, rtol=1e-2, atol=1e-4)
    assert evaluation.completeness(model, X, gradient, TARGETS).undefined.all()
    assert evaluation.completeness(model, X, explained, TARGETS, reference=X).undefined.all()
    with pytest.raises(ValueError, match="`reference` must be given"):
        evaluation.completeness(model, X, explained.attributions, TARGETS)


def test_conservation_is_for_methods_that_share_relevance_out(model, gradient):
    lrp = innspect.create_analyzer("lrp.z", model)
    table = lrp.conservation(X, TARGETS)
    expected = np.abs(table.kept - table.explained) / np.abs(table.explained)
    np.testing.assert_allclose(evaluation.conservation(model, X, lrp, TARGETS).values, expected, rtol=1e-3, atol=1e-5)
    for other in (gradient, gradient.analyze(X, TARGETS)):
        assert evaluation.conservation(model, X, other, TARGETS).undefined.all()


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_shifted_model_gives_what_the_model_gives(padding):
    model = network(padding)
    before = weights_of(model)
    for name, least in (("gradient", None), ("input_t_gradient", 0.1), ("integrated_gradients", 0.1)):
        found = evaluation.input_invariance(model, X, innspect.create_analyzer(name, model), TARGETS, shift=1.5)
        assert found.settings["taken_off"] == ("before the first layer" if padding == "same" else "by the first bias")
        assert found.values.max() < 1e-4 if least is None else found.values.min() > least
    np.testing.assert_allclose(
        evaluation.input_invariance(model, X, innspect.create_analyzer("input_t_gradient", model), TARGETS, shift=1.5).values,
        [np.linalg.norm(1.5 * g) / np.linalg.norm(x * g) for x, g in zip(X, gradients(model), strict=True)],
        rtol=1e-3,
    )
    assert same(before, weights_of(model))


def gradients(model):
    return innspect.create_analyzer("gradient", model).analyze(X, TARGETS)


# ---------------------------------------------------------------------- what is refused
class Elsewhere:
    """Explains by a model that innspect does not run."""

    def __init__(self, model):
        self.model = model

    def analyze(self, x, neuron, **_):
        return x


def test_arrays_functions_and_strangers_are_refused(model, gradient):
    maps = gradient.analyze(X, TARGETS)
    for name in ("mprt", "mprt_efficient", "random_logit", "max_sensitivity", "equivariance", "input_invariance"):
        with pytest.raises(TypeError, match="must be an analyzer"):
            getattr(evaluation, name)(model, X, maps, TARGETS)
    with pytest.raises(TypeError, match="has read none of them"):
        evaluation.mprt(model, X, Elsewhere(model), TARGETS)
    with pytest.raises(TypeError, match="a Keras model"):
        evaluation.mprt(model, X, Elsewhere(None), TARGETS)
    no_weights = keras.Sequential([keras.Input((4,)), L.ReLU()])
    with pytest.raises(ValueError, match="has no weights"):
        evaluation.mprt(no_weights, np.ones((1, 4)), innspect.create_analyzer("gradient", no_weights))


@pytest.mark.parametrize(
    ("metric", "told", "message"),
    [
        ("mprt", {"order": "sideways"}, "`order` must be"),
        ("mprt", {"how": "zeros"}, "`how` must be"),
        ("mprt", {"similarity": "r2"}, "`similarity` must be"),
        ("mprt", {"weights": {}}, "missing"),
        ("mprt", {"weights": {"no": 1}}, "unknown"),
        ("mprt_smooth", {"draws": 0}, "`draws` must be"),
        ("mprt_smooth", {"level": -1}, "`level` must be"),
        ("max_sensitivity", {"noise": np.zeros((3, 8, 8, 2))}, "`noise` must hold"),
        ("max_sensitivity", {"noise": np.full((3, 1, 8, 8, 2), np.nan)}, "`noise` must hold"),
        ("max_sensitivity", {"radius": np.nan}, "`radius` must be"),
        ("max_sensitivity", {"channels": "none"}, "`channels` must be"),
        ("continuity", {"path": "line"}, "`path` must be"),
        ("input_invariance", {"shift": np.inf}, "`shift` must be"),
        ("equivariance", {"circular": 2}, "`circular` must be"),
    ],
)
def test_arguments_out_of_range_are_errors(metric, told, message, model, gradient):
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, metric)(model, X, gradient, TARGETS, **told)


def test_randomisation_is_another_name_of_mprt():
    from innspect.evaluation.registry import find

    assert find("randomisation") is find("mprt")
    assert evaluation.randomisation is evaluation.mprt
