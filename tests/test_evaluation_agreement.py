"""Complexity, agreement, failures, attacks: worked examples, laws, undefined cases, hostile arguments."""

import re

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, ids, shake

import innspect
from innspect import evaluation
from innspect.evaluation import agreement
from innspect.evaluation.trial import Trial


def summed(*shape):
    """f = sum of the input."""
    inputs = keras.Input(shape)
    dense = L.Dense(1, kernel_initializer="ones")
    return keras.Model(inputs, dense(L.Flatten()(inputs) if len(shape) > 1 else inputs))


def classifier(*shape, classes=3, head="softmax", seed=1):
    inputs = keras.Input(shape)
    h = L.Dense(8, activation="relu")(L.Flatten()(inputs))
    return shake(keras.Model(inputs, L.Dense(classes, activation=head)(h)), seed)


def wide():
    """An image, and a row of numbers beside it."""
    a, b = keras.Input((6, 6, 2)), keras.Input((5,))
    return shake(keras.Model([a, b], L.Dense(3)(L.Concatenate()([L.Flatten()(a), b]))))


ONE = summed(4)
X = np.array([[4, 2, 1, -1]], "float32")


# ---------------------------------------------------------------------- complexity
def test_extremes_of_sparseness_and_complexity():
    maps = np.array([[0, 0, 0, -7], [2, -2, 2, 2], [0, 0, 0, 0], [1, np.nan, 0, 0]])
    x = np.repeat(X, 4, 0)
    np.testing.assert_allclose(evaluation.sparseness(ONE, x, maps).values, [0.75, 0, np.nan, np.nan], atol=1e-12)
    found = evaluation.complexity(ONE, x, maps)
    np.testing.assert_allclose(found.values, [0, np.log(4), np.nan, np.nan], atol=1e-12)
    assert found.undefined.tolist() == [False, False, True, True]
    assert found.higher_is_better is None


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1e20, 1e300])
def test_the_scale_of_a_map_means_nothing(scale):
    maps = np.array([[0, 0, 1, 3]]) * scale
    np.testing.assert_allclose(evaluation.sparseness(ONE, X, maps).values, 0.625)
    np.testing.assert_allclose(evaluation.complexity(ONE, X, maps).values, -0.25 * np.log(0.25) - 0.75 * np.log(0.75))


def test_signs_and_channels_are_as_they_are_told():
    model, x = summed(2, 2, 2), np.ones((1, 2, 2, 2), "float32")
    maps = np.array([[[[1, -1], [2, 0]], [[-3, 0], [0, 0]]]], "float32")  # r = (0, 2, -3, 0)
    assert evaluation.sparseness(model, x, maps).values == pytest.approx((1 * 2 + 3 * 3) / (4 * 5))
    assert evaluation.sparseness(model, x, maps, sign="positive").values == pytest.approx(0.75)
    assert evaluation.complexity(model, x, maps, sign="positive").values == 0
    apart = evaluation.complexity(model, x, maps, channels="apart").values
    p = np.array([1, 1, 2, 3]) / 7
    assert apart == pytest.approx(-(p * np.log(p)).sum())


def test_effective_complexity_counts_what_is_enough():
    def ask(maps, **told):
        return evaluation.effective_complexity(ONE, X, np.array([maps]), hide=0.0, **told).values[0]

    # f = 6: shown by (4, 2, 1, -1) it goes 0, 4, 6, 7, 6.
    assert ask([4.0, 2, 1, -0.5]) == 0.5
    assert ask([4.0, 2, 1, -0.5], eps=0.4) == 0.25
    assert ask([4.0, 2, 1, -0.5], eps=2.1, relative=False) == 0.25
    assert ask([-0.5, 1, 2, 4.0]) == 1  # 0, -1, 0, 2, 6
    assert ask([4.0, 2, 1, -0.5], steps=1) == 1  # only the ends are counted
    assert ask([4.0, 2, 1, -0.5], by="threshold") == 4
    assert ask([4.0, 2, 1, -0.5], by="threshold", eps=0.25) == 2  # strictly above
    assert ask([4.0, 2, 1, -0.5], by="threshold", eps=1, relative=False) == 2
    assert ask([0.0, 0, 0, 0], by="threshold") == 0


def test_effective_complexity_is_undefined_where_hiding_changes_nothing():
    flat = keras.Sequential([keras.Input((4,)), L.Dense(1, kernel_initializer="zeros", bias_initializer="ones")])
    found = evaluation.effective_complexity(flat, X, X)
    assert np.isnan(found.values).all()
    assert found.curves["shown"].shape == (1, 5)


# ---------------------------------------------------------------------- pairs
def slow_ssim(a, b):
    """Every window by itself."""
    side = min(*a.shape, 11)
    side -= side % 2 == 0
    distance = np.arange(side) - side // 2
    w = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 1.5**2))
    w /= w.sum()
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    places = []
    for i in range(a.shape[0] - side + 1):
        for j in range(a.shape[1] - side + 1):
            p, q = a[i : i + side, j : j + side], b[i : i + side, j : j + side]
            m, n = (w * p).sum(), (w * q).sum()
            v, u, s = (w * (p - m) ** 2).sum(), (w * (q - n) ** 2).sum(), (w * (p - m) * (q - n)).sum()
            places.append((2 * m * n + 4e-4) * (2 * s + 36e-4) / ((m * m + n * n + 4e-4) * (v + u + 36e-4)))
    return np.mean(places)


@pytest.mark.parametrize("size", [(14, 12), (11, 11), (8, 20), (1, 3)])
def test_ssim_is_that_of_every_window(size):
    a, b = (np.random.default_rng(i).normal(size=size) for i in (0, 1))
    found = agreement.ssim(a.reshape(1, -1), b.reshape(1, -1), [size])
    np.testing.assert_allclose(found, slow_ssim(a, b), rtol=1e-9)


def test_laws_of_ssim():
    a, b = array(3, 40), array(3, 40, seed=1)
    sizes = [(5, 6), (10,)]
    np.testing.assert_allclose(agreement.ssim(a, a, sizes), 1)
    np.testing.assert_allclose(agreement.ssim(a, 5 * a, sizes), 1)
    np.testing.assert_allclose(agreement.ssim(a, b, sizes), agreement.ssim(b, a, sizes))
    ripple = np.tile([1.0, -1.0], (1, 20))
    assert (agreement.ssim(ripple, -ripple, [(40,)]) < -0.9).all()
    assert np.isnan(agreement.ssim(a, 0 * b, sizes)).all()
    with pytest.raises(ValueError, match="`sizes` must be those of maps of 40 positions"):
        agreement.ssim(a, b, [(5, 6)])


def test_top_k_overlap_of_a_pair():
    a, b = np.array([[4, 3, 2, 1.0]]), np.array([[4, 1, 3, 2.0]])
    assert [agreement.top_k_overlap(a, b, k)[0] for k in (1, 2, 3, 4, 9)] == [1, 0.5, 2 / 3, 1, 1]
    assert agreement.first(20), agreement.first(21) == (1, 2)
    assert np.isnan(agreement.top_k_overlap(a, b * np.nan, 1)[0])
    uniform = np.array([[0.9, 0.1, 0.5, 0.3]])
    assert agreement.top_k_overlap(0 * a, 0 * b, 2, uniform) == 1  # one order of equal values for both
    assert agreement.top_k_overlap(0 * a, [[0, 1, 0, 0]], 1, uniform) == 1


# ---------------------------------------------------------------------- against other methods
def test_values_are_means_over_the_defined_others():
    maps = np.array([[4, 3, 2, 1.0], [1, 2, 3, 4]])
    others = {"same": maps, "reversed": -maps, "flat": np.ones((2, 4)), "broken": np.full((2, 4), np.nan)}
    x = np.repeat(X, 2, 0)
    found = evaluation.rank_correlation(ONE, x, maps, against=others)
    np.testing.assert_allclose(found.values, 0, atol=1e-12)
    np.testing.assert_allclose(found.beside["against same"], 1)
    np.testing.assert_allclose(found.beside["against reversed"], -1)
    assert np.isnan(found.beside["against flat"]).all()
    overlap = evaluation.top_k_overlap(ONE, x, maps, against=others, k=1)
    assert np.isnan(overlap.beside["against broken"]).all()
    assert not np.isnan(overlap.beside["against flat"]).any()
    assert np.isnan(evaluation.rank_correlation(ONE, x, maps, against=[]).values).all()
    assert np.isnan(evaluation.rank_correlation(ONE, x, np.ones((2, 4)), against=others).values).all()


def test_two_methods_see_the_same_of_each_other():
    model, x = classifier(12, 12, 2), array(3, 12, 12, 2)
    a, b = (innspect.create_analyzer(name, model) for name in ("gradient", "input_t_gradient"))
    for name in ("rank_correlation", "top_k_overlap", "ssim"):
        metric = getattr(evaluation, name)
        one, other = metric(model, x, a, against=[b]).values, metric(model, x, b, against={"a": a}).values
        np.testing.assert_allclose(one, other)
        np.testing.assert_allclose(metric(model, x[1:2], a, against=[b]).values, one[1:2], atol=1e-6)


def test_several_inputs_series_and_ids_are_compared():
    model, x = wide(), [array(2, 6, 6, 2), array(2, 5)]
    maps, others = ([array(2, 6, 6, seed=s), array(2, 5, seed=s)] for s in (1, 2))
    found = evaluation.rank_correlation(model, x, maps, against={"other": others})
    flat = [np.concatenate([m.reshape(2, -1) for m in each], 1) for each in (maps, others)]
    np.testing.assert_allclose(found.values, agreement.rank_correlation(*flat))
    with pytest.raises(ValueError, match=r"'ssim' needs positions that have neighbours.*columns of input 1"):
        evaluation.ssim(model, x, maps, against={"other": others})
    series = summed(20, 2)
    assert evaluation.ssim(series, array(2, 20, 2), array(2, 20), against=[array(2, 20)]).values == pytest.approx(1)
    tokens = keras.Sequential([keras.Input((6,)), L.Embedding(9, 4), L.GlobalAveragePooling1D(), L.Dense(3)])
    found = evaluation.ssim(tokens, ids(2, 6, below=9), array(2, 6), against=[array(2, 6)])
    np.testing.assert_allclose(found.values, 1)


@pytest.mark.parametrize(
    ("name", "told", "message"),
    [
        ("rank_correlation", {}, "`against` must be given"),
        ("rank_correlation", {"against": [np.ones((1, 3))]}, "`maps` must hold numbers of shape"),
        ("top_k_overlap", {"against": [X], "k": 0}, "`k` must be"),
        ("top_k_overlap", {"against": [X], "k": 5}, "`k` must be between 1 and 4"),
        ("ssim", {"against": [X]}, "'ssim' needs positions that have neighbours"),
        ("sparseness", {"sign": "signed"}, "`sign` must be 'abs' or 'positive'"),
        ("complexity", {"channels": "both"}, "`channels` must be"),
        ("effective_complexity", {"by": "eye"}, "`by` must be"),
        ("effective_complexity", {"eps": -1}, "`eps` must be"),
    ],
)
def test_hostile_arguments(name, told, message):
    with pytest.raises(ValueError, match=re.escape(message) if "(" in message else message):
        getattr(evaluation, name)(ONE, X, X, **told)


# ---------------------------------------------------------------------- where the model is wrong
def test_failures_compare_the_true_with_the_predicted_class():
    model, x = classifier(4, 4, 1), array(6, 4, 4, 1)
    analyzer, predicted = innspect.create_analyzer("gradient", model), model.predict(array(6, 4, 4, 1), verbose=0).argmax(-1)
    labels = predicted.copy()
    labels[[1, 4]] = (labels[[1, 4]] + 1) % 3
    found = evaluation.failures(model, x, analyzer, labels=labels)
    maps = [analyzer.analyze(x, classes).reshape(6, -1) for classes in (labels, predicted)]
    expected = np.where(labels == predicted, np.nan, agreement.rank_correlation(*maps))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert found.settings["wrong"] == 2
    assert np.isnan(evaluation.failures(model, x, analyzer, labels=predicted).values).all()
    for labels in (None, [0, 1], [0, 1, 2, 3, 0, 0], np.zeros(6)):
        with pytest.raises(ValueError, match="`labels` must be"):
            evaluation.failures(model, x, analyzer, labels=labels)
    with pytest.raises(TypeError, match="explains again"):
        evaluation.failures(model, x, np.ones_like(x), labels=(predicted + 1) % 3)
    with pytest.raises(ValueError, match="several classes"):
        evaluation.failures(ONE, X, innspect.create_analyzer("gradient", ONE), labels=[0])


# ---------------------------------------------------------------------- attacks
def two_classes(head="softmax"):
    model = keras.Sequential([keras.Input((3,)), L.Dense(2, activation=head)])
    model.set_weights([np.array([[1, -1], [-2, 2], [0, 0]], "float32"), np.array([0.5, 0], "float32")])
    return model


def test_fgsm_goes_up_the_cross_entropy():
    x = np.array([[1, 0, 0.5]], "float32")  # class 0; range 1
    moved = evaluation.adversarial_samples(two_classes(), x, eps=0.1)
    np.testing.assert_allclose(moved, [[0.9, 0.1, 0.5]], rtol=1e-6)
    np.testing.assert_allclose(evaluation.adversarial_samples(two_classes(), x, eps=0.1, wanted=1), moved)
    back = evaluation.adversarial_samples(two_classes(), x, eps=0.1, wanted=0)
    np.testing.assert_allclose(back, [[1.1, -0.1, 0.5]], rtol=1e-6)
    kept = evaluation.adversarial_samples(two_classes(), x, eps=0.1, wanted=0, value_range=(0, 1))
    np.testing.assert_allclose(kept, [[1, 0, 0.5]])
    np.testing.assert_array_equal(evaluation.adversarial_samples(two_classes(), x, eps=0), x)


@pytest.mark.parametrize("head", ["softmax", None, "sigmoid"])
def test_pgd_stays_near_and_turns_what_it_can(head):
    model, x = classifier(5, 5, 1, head=head), array(8, 5, 5, 1)
    before = x.copy(), [w.copy() for w in model.get_weights()]
    moved = evaluation.adversarial_samples(model, x, attack="pgd", eps=0.05, batch_size=3)
    ranges = np.ptp(x.reshape(8, -1), axis=1)[:, None]
    assert (np.abs(moved - x).reshape(8, -1) <= 0.05 * ranges * (1 + 1e-5)).all()
    np.testing.assert_allclose(evaluation.adversarial_samples(model, x[5:6], attack="pgd", eps=0.05), moved[5:6], atol=1e-6)
    found = evaluation.adversarial(model, x, innspect.create_analyzer("gradient", model), attack="pgd", eps=0.05)
    assert (found.beside["after"] < found.beside["before"]).all()
    clean, turned = (model.predict(a, verbose=0).argmax(-1) for a in (x, moved))
    np.testing.assert_array_equal(found.beside["turned"], clean != turned)
    assert np.array_equal(x, before[0])
    assert all(map(np.array_equal, model.get_weights(), before[1]))


def test_a_sure_prediction_still_has_a_gradient():
    """In float32 its probability is 1, and the gradient of the logarithm of that is 0, of whatever else it is made."""
    model = two_classes()
    x = np.array([[60, -60, 1]], "float32")
    assert model.predict(x, verbose=0)[0, 0] == 1
    moved = evaluation.adversarial_samples(model, x, eps=0.01)
    np.testing.assert_allclose(moved - x, [[-1.2, 1.2, 0]], atol=1e-5)


def test_one_unit_is_driven_to_the_other_side():
    model = keras.Sequential([keras.Input((2,)), L.Dense(1, activation="sigmoid")])
    model.set_weights([np.array([[1], [-1]], "float32"), np.zeros(1, "float32")])
    x = np.array([[0.6, 0.5], [0.5, 0.6]], "float32")
    found = evaluation.adversarial(model, x, innspect.create_analyzer("input_t_gradient", model), eps=1.0)
    assert found.beside["turned"].tolist() == [1, 1]
    assert found.beside["before"][0] > 0.5 > found.beside["after"][0]
    assert found.beside["before"][1] < 0.5 < found.beside["after"][1]


def test_the_random_row_draws_anew_under_attack():
    from innspect.evaluation.maps import RandomMaps

    model, x = classifier(6, 6, 1), array(4, 6, 6, 1)
    trial = Trial(model, x)
    assert (np.abs(evaluation.adversarial(trial, x, RandomMaps(trial)).values) < 0.7).all()
    predicted = trial.outputs.argmax(-1)
    assert (np.abs(evaluation.failures(trial, x, RandomMaps(trial), labels=(predicted + 1) % 3).values) < 0.7).all()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"attack": "luck"}, "`attack` must be 'fgsm' or 'pgd'"),
        ({"eps": -0.1}, "`eps` must be"),
        ({"attack": "pgd", "steps": 0}, "`steps` must be"),
        ({"wanted": 2}, "`wanted` must be a class between 0 and 1"),
        ({"wanted": [0, 1]}, "`wanted` must be"),
        ({"value_range": (1, 0)}, "`low` must not be above `high`"),
        ({"value_range": 1}, "`value_range` must be None or two numbers"),
    ],
)
def test_hostile_attacks(told, message):
    model, x = two_classes(), np.ones((1, 3), "float32")
    with pytest.raises(ValueError, match=message):
        evaluation.adversarial(model, x, innspect.create_analyzer("gradient", model), **told)
    with pytest.raises(ValueError, match=message):
        evaluation.adversarial_samples(model, x, **told)


def test_what_cannot_be_attacked_is_said():
    tokens = keras.Sequential([keras.Input((6,)), L.Embedding(9, 4), L.GlobalAveragePooling1D(), L.Dense(3)])
    with pytest.raises(ValueError, match="inputs of numbers that can be moved"):
        evaluation.adversarial_samples(tokens, ids(2, 6, below=9))
    with pytest.raises(TypeError, match="gradient of a Keras model"):
        evaluation.adversarial_samples(lambda x: x, array(2, 3))
    with pytest.raises(ValueError, match="`targets` must be classes"):
        evaluation.adversarial_samples(two_classes(), array(2, 3), "all")


# ---------------------------------------------------------------------- patterns
def test_quality_has_intervals_over_the_neurons_of_a_layer():
    model = classifier(6, classes=4, head=None)
    x = [array(64, 6, seed=s) for s in (0, 1)]
    found = evaluation.quality(model, "filter", *x)
    assert evaluation.quality is innspect.patterns.quality
    intervals = evaluation.quality_intervals(found)
    for layer in found:
        low, high = intervals[layer]["filter"]
        assert 0 <= low <= found.mean(layer, "filter") <= high <= 1


# ---------------------------------------------------------------------- compiled once
def test_metrics_of_an_opened_model_compile_once_and_keep_no_samples():
    import gc
    import weakref

    opened, x = innspect.open_model(classifier(4, 4, 1)), array(3, 4, 4, 1)
    kept = weakref.ref(x)
    first = evaluation.deletion(opened, x, x, steps=4).values
    compiled = dict(opened.compiled._made)
    np.testing.assert_array_equal(evaluation.deletion(opened, x, x, steps=4).values, first)
    assert opened.compiled._made == compiled
    del x
    gc.collect()
    assert kept() is None


def test_outputs_and_kinds_of_targets_do_not_share_what_is_compiled():
    inputs = keras.Input((4,))
    model = shake(keras.Model(inputs, [L.Dense(3, name="a")(inputs), L.Dense(3, name="b")(inputs)]))
    opened, x = innspect.open_model(model), array(2, 4)
    for output in (0, 1):
        expected = model.predict(x, verbose=0)[output]
        for targets, f in ((1, expected[:, 1]), ("all", expected.sum(-1)), (lambda y: 2 * y[:, 0], 2 * expected[:, 0])):
            found = evaluation.flipping(opened, x, x, targets, output=output, order="morf", hide=0.0).curves["morf"][:, 0]
            np.testing.assert_allclose(found, f, rtol=1e-5, atol=1e-6)
