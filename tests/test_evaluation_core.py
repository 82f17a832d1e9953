"""What all metrics share: draws, units, orders, steps, fills, scores, targets, intervals; and the curves, on exact examples."""

import itertools

import hostile
import keras
import numpy as np
import pytest
import scipy.stats
from keras import layers as L
from models import shake

import innspect
from innspect import evaluation as E
from innspect.evaluation import draws, units
from innspect.evaluation.intervals import paired
from innspect.evaluation.trial import Trial

FOUR = np.array([[4, 2, 1, -1]], "float32")


def linear(weights, bias=0.0, activation=None):
    """f = sum of weights * x + bias; weights have the sample's shape and a last axis of units."""
    weights = np.asarray(weights, "float32")
    inputs, dense = keras.Input(weights.shape[:-1]), L.Dense(weights.shape[-1], activation=activation)
    model = keras.Model(inputs, dense(L.Flatten()(inputs) if weights.ndim > 2 else inputs))
    model.set_weights([weights.reshape(-1, weights.shape[-1]), np.full(weights.shape[-1], bias, "float32")])
    return model


def total(*shape):
    """A model of the sum of its input."""
    return linear(np.ones((*shape, 1)))


def images(count=3, side=8, channels=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, side, side, channels)).astype("float32")


def network(classes=3, side=8, activation=None):
    inputs = keras.Input((side, side, 3))
    y = L.Dense(classes, activation=activation)(L.Flatten()(L.Conv2D(4, 3, activation="relu")(inputs)))
    return shake(keras.Model(inputs, y))


# ---------------------------------------------------------------------- draws, units, orders
def test_draws_are_those_that_are_written_down():
    (key,) = draws.sample_keys([np.array([[1, 2, 3, 4]], "float32")])
    assert key == 5451577484627243949
    uniform = draws.generator(0, "order", key).random(4)
    assert np.allclose(uniform, [0.40742, 0.88932, 0.35707, 0.59413], atol=1e-5)
    assert draws.sample_keys([np.array([[1, 2]], "int32")]) == draws.sample_keys([np.array([[1, 2]], "int64")])
    assert draws.sample_keys([np.ones((1, 2)), np.zeros((1, 1))]) != draws.sample_keys([np.ones((1, 2)), np.ones((1, 1))])


def test_windows_are_cut_or_left_out():
    cut = units.windows([(7, 7)], 3)
    assert cut.sizes(0).tolist() == [9, 9, 3, 9, 9, 3, 3, 3, 1]
    assert units.windows([(7, 7)], 3, "crop").sizes(0).tolist() == [9, 9, 9, 9]
    assert units.windows([(7, 7), (4,)], 3).sizes(0).tolist() == [9, 9, 3, 9, 9, 3, 3, 3, 1, 3, 1]
    assert units.windows([(5,)], 2).of.tolist() == [[0, 0, 1, 1, 2]]


@pytest.mark.parametrize(
    ("count", "steps", "share", "expected"),
    [
        (256, 10, 1.0, [0, 25, 51, 76, 102, 128, 153, 179, 204, 230, 256]),
        (3, 32, 1.0, [0, 1, 2, 3]),
        (90, 1, 0.7, [0, 63]),
        (10, 4, 0.1, [0, 1]),
        (0, 4, 1.0, [0]),
    ],
)
def test_steps(count, steps, share, expected):
    assert units.step_counts(count, steps, share).tolist() == expected


def test_equal_values_stand_in_a_drawn_order():
    assert units.places(np.array([1.0, 3, 1, 2]), np.array([0.9, 0.1, 0.2, 0.3])).tolist() == [3, 0, 2, 1]


def test_a_map_and_its_reverse_have_opposite_srg_and_orders_sum_to_nothing():
    x = np.repeat(FOUR, 24, 0)
    orders = np.array(list(itertools.permutations(range(4))), "float64")
    found = E.srg(total(4), x, orders, hide=0.0).values
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert np.allclose(E.srg(total(4), x, -orders, hide=0.0).values, -found)
    assert found.std() == pytest.approx(2.3, abs=0.1)


# ---------------------------------------------------------------------- curves
def test_the_worked_example():
    model = total(4)
    both = E.flipping(model, FOUR, FOUR, hide=0.0)
    assert both.curves["morf"].tolist() == [[6, 2, 0, -1, 0]]
    assert both.curves["lerf"].tolist() == [[6, 7, 6, 4, 0]]
    for name, value in {"srg": 4.0, "deletion": 1.0, "insertion": 5.0}.items():
        assert getattr(E, name)(model, FOUR, FOUR, hide=0.0).values.tolist() == [value]
    for name, value in {"aopc": 4.6, "aopc_lerf": 1.4, "aopc_abpc": 3.2}.items():
        assert getattr(E, name)(model, FOUR, FOUR, hide=0.0, region=1).values == pytest.approx([value])


@pytest.mark.parametrize("hide", [0.0, "mean"])
def test_srg_of_a_linear_function_is_exact(hide):
    random = np.random.default_rng(3)
    w, x = random.normal(size=(6, 6, 3)), images(4, 6)
    fill = 0 if hide == 0.0 else x.mean((1, 2), keepdims=True)
    maps = w * (x - fill)
    r = -np.sort(-maps.sum(-1).reshape(4, 36), axis=1)
    expected = (r * (37 - 2 * np.arange(1, 37))).sum(1) / 36
    assert E.srg(linear(w[..., None], 0.3), x, maps, hide=hide, steps=36).values == pytest.approx(expected, rel=1e-4)


def test_deletion_and_insertion_of_a_linear_function_sum_to_both_ends():
    x, maps = images(3, 4), images(3, 4, seed=1)
    model = linear(np.random.default_rng(0).normal(size=(4, 4, 3, 1)))
    told = {"hide": 0.5, "score": "logit", "steps": 16}
    both = E.deletion(model, x, maps, **told).values + E.insertion(model, x, maps, **told).values
    ends = model.predict(x, verbose=0)[:, 0] + model.predict(np.full((1, 4, 4, 3), 0.5), verbose=0)[0, 0]
    assert both == pytest.approx(ends, rel=1e-4)


def test_areas_are_means_over_the_shares_that_were_hidden():
    x = np.arange(1, 8, dtype="float32")[None]
    found = E.flipping(total(7), x, x, hide=0.0, steps=3, order="morf")
    heights, hidden = found.curves["morf"][0], np.array([0, 2, 4, 7])
    assert found.values[0] == pytest.approx(np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(hidden)) / 7)


def test_a_share_stops_there():
    x = np.arange(90, dtype="float32")[None]
    assert E.flipping(total(90), np.ones((1, 90), "float32"), x, hide=0.0, share=0.7).curves["morf"][0, -1] == 27


def test_density_ranks_units_by_their_mean():
    maps, groups = np.array([[3.0, 1, 1, 1]]), np.array([1, 0, 0, 0])
    ones = np.ones((1, 4), "float32")
    by_sum = E.flipping(total(4), ones, maps + np.array([0, 1, 1, 1]), hide=0.0, groups=groups, order="morf")
    by_mean = E.flipping(total(4), ones, maps, hide=0.0, groups=groups, order="morf", rank="density")
    assert by_sum.curves["morf"].tolist() == [[4, 1, 0]]
    assert by_mean.curves["morf"].tolist() == [[4, 3, 0]]


def test_groups_of_each_sample():
    x, groups = np.ones((2, 4), "float32"), np.array([[0, 0, 1, 1], [0, 1, 2, 2]])
    found = E.flipping(total(4), x, np.array([[4, 3, 2, 1.0], [9, 3, 0, 0]]), hide=0.0, groups=groups, order="morf")
    assert np.array_equal(found.curves["morf"], [[4, 2, 0, np.nan], [4, 3, 2, 0]], equal_nan=True)
    assert found.values == pytest.approx([2, 9 / 4 - 1 / 2 + 1 / 4 + 1 / 3], rel=0.2)


# ---------------------------------------------------------------------- what hides
def seen_by(hide, x, maps, **told):
    """What a model is given when all is hidden: the fill, by a model that returns its input, an element for each sample."""
    size = x[0].size
    identity = linear(np.eye(size).reshape(*x.shape[1:], size))
    many = [np.repeat(a, size, 0) for a in (x, maps)]
    found = E.flipping(identity, *many, targets=np.tile(np.arange(size), len(x)), hide=hide, order="morf", steps=1, **told)
    return found.curves["morf"][:, -1].reshape(x.shape)


def test_fills():
    x, maps = images(2, 4, 2), images(2, 4, 1)[..., 0]
    mean = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    assert np.allclose(seen_by("mean", x, maps), mean, atol=1e-6)
    assert np.allclose(seen_by([1.0, 2.0], x, maps), np.broadcast_to([1.0, 2.0], x.shape))
    assert np.allclose(seen_by(np.arange(32.0).reshape(4, 4, 2), x, maps)[1].reshape(-1), np.arange(32))
    assert np.allclose(seen_by(lambda clean, hidden: clean * 2, x, maps), 2 * x, atol=1e-6)
    means = x.reshape(2, 2, 2, 2, 2, 2).mean((2, 4), keepdims=True)
    blocks = np.broadcast_to(means, (2, 2, 2, 2, 2, 2)).reshape(x.shape)
    assert np.allclose(seen_by("region_mean", x, maps, region=2), blocks, atol=1e-6)
    noise = seen_by("noise", x, maps, repeats=1)
    assert ((noise >= x.min((1, 2), keepdims=True)) & (noise <= x.max((1, 2), keepdims=True))).all()
    assert np.allclose(seen_by("noise", x, maps, repeats=1, value_range=(5, 5)), 5)


def test_a_blur_keeps_a_constant_and_spreads_a_point():
    point = np.zeros((1, 15), "float32")
    point[0, 7] = 1
    series = point[..., None]
    shown = seen_by("blur", series, point)[0, :, 0]
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 5.0) ** 2)
    assert shown[7] == pytest.approx(1 / weights.sum(), rel=1e-5)
    assert shown[1] == shown[13] == 0
    assert np.allclose(seen_by("blur", np.full_like(series, 3), point), 3)


def test_noise_is_the_same_for_both_orders_and_its_repeats_differ():
    x, maps = images(1, 4), images(1, 4, 1)[..., 0]
    found = E.flipping(total(4, 4, 3), x, maps, hide="noise", repeats=3)
    assert found.curves["morf"][0, -1] == found.curves["lerf"][0, -1]
    alone = [E.flipping(total(4, 4, 3), x, maps, hide="noise", repeats=n).curves["morf"][0, -1] for n in (1, 2)]
    assert alone[0] != alone[1]


def test_columns_are_hidden_by_means_of_a_background():
    table = np.array([[1, 10], [3, 20]], "float32")
    by_x = E.flipping(total(2), table, np.eye(2))
    assert by_x.curves["morf"][:, -1].tolist() == [17, 17]
    assert by_x.settings["background"] == "x"
    by_given = E.flipping(total(2), table, np.eye(2), background=np.array([[0, 0], [2, 2]], "float32"))
    assert by_given.curves["morf"][:, -1].tolist() == [2, 2]


def text(mask_zero):
    ids = keras.Input((5,), dtype="int32")
    words = L.Embedding(9, 3, mask_zero=mask_zero)(ids)
    return shake(keras.Model(ids, L.Dense(2)(L.GlobalAveragePooling1D()(words))))


def test_ids_are_hidden_by_the_id_of_the_mask():
    x, maps = np.array([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]]), np.array([[3, 2, 1, 0, 0], [5, 4, 3, 2, 1.0]])
    masked = text(True)
    found = E.flipping(masked, x, maps, order="morf")
    assert np.isnan(found.curves["morf"][0, 4:]).all(), "padding is no unit"
    hidden = np.array([[0, 4, 5, 0, 0]])
    expected = masked.predict(hidden, verbose=0)[0, masked.predict(x[:1], verbose=0).argmax()]
    assert found.curves["morf"][0, 1] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="mask_id"):
        E.srg(text(False), x, maps)
    found = E.flipping(text(False), x, maps, order="morf", mask_id=8, keep=[3])
    assert found.curves["morf"].shape == (2, 5), "what is kept is no unit"


def test_several_inputs_are_hidden_together():
    a, b = keras.Input((3,)), keras.Input((2, 2, 1))
    model = keras.Model([a, b], L.Add()([total(3)(a), total(2, 2, 1)(b)]))
    x = [np.ones((2, 3), "float32"), 2 * np.ones((2, 2, 2, 1), "float32")]
    maps = [np.array([[9, 8, 7.0]] * 2), np.arange(8.0).reshape(2, 2, 2)]
    found = E.flipping(model, x, maps, hide=[0.0, 1.0], order="morf")
    assert found.curves["morf"][0].tolist() == [11, 10, 9, 8, 7, 6, 5, 4]
    with pytest.raises(ValueError, match="`hide`"):
        E.flipping(model, x, maps, hide=[0.0])
    with pytest.raises(ValueError, match="`maps`"):
        E.flipping(model, x, maps[0])


# ---------------------------------------------------------------------- scores and targets
def test_scores():
    x, maps = images(), images(seed=1)
    plain, soft = network(), network(activation="softmax")
    soft.set_weights(plain.get_weights())
    logits = plain.predict(x, verbose=0)
    likely = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    top = logits.argmax(1)
    first = lambda model, score: E.flipping(model, x, maps, steps=1, score=score).curves["morf"][:, 0]  # noqa: E731
    for model in (plain, soft):
        assert np.allclose(first(model, "logit"), logits[np.arange(3), top], atol=1e-4)
        assert np.allclose(first(model, "probability"), likely[np.arange(3), top], atol=1e-5)
    assert np.allclose(first(soft, "output"), likely[np.arange(3), top], atol=1e-5)
    assert np.allclose(first(soft, lambda y: y[:, 0] - y[:, 1]), likely[:, 0] - likely[:, 1], atol=1e-5)
    assert E.srg(soft, x, maps, steps=1, score="logit").settings["score"] == "logit"
    with pytest.raises(ValueError, match="score"):
        E.srg(plain, x, maps, score=lambda y: y)


def test_one_unit_is_itself_and_its_probability():
    model, x = linear(np.ones((4, 1)), 0, "sigmoid"), np.array([[-4, 2, 1, -1]], "float32")
    assert E.flipping(model, x, x, score="logit", hide=0.0).curves["morf"][0, 0] == -2  # p < 1/2, and the target is the same
    assert E.flipping(model, x, x, score="probability", hide=0.0).curves["morf"][0, 0] == pytest.approx(1 / (1 + np.exp(2)))
    assert E.flipping(total(4), x, x, score="probability", hide=0.0).curves["morf"][0, 0] == -2


def test_what_sums_to_one_is_taken_for_probabilities():
    function = lambda x: np.stack([x.mean((1, 2, 3)) ** 2, 1 - x.mean((1, 2, 3)) ** 2], 1)  # noqa: E731
    found = E.deletion(function, images(), images(seed=1), steps=2)
    assert found.settings["score"] == "probability: the output"
    assert found.curves["morf"][:, 0] == pytest.approx(function(images()).max(1), rel=1e-5)


def test_the_target_is_that_of_the_clean_sample():
    model = linear(np.array([[1, 0], [0, 1]], "float32"))
    x, maps = np.array([[3, 2]], "float32"), np.array([[1.0, 0]])
    assert E.flipping(model, x, maps, hide=0.0, order="morf").curves["morf"].tolist() == [[3, 0, 0]]
    assert E.flipping(model, x, maps, targets=1, hide=0.0, order="morf").curves["morf"].tolist() == [[2, 2, 0]]


def test_spatial_outputs_have_one_element_or_weights():
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, 2 * inputs)
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    assert E.flipping(model, x, x, hide=0.0, steps=1).curves["morf"].tolist() == [[30, 0]]
    assert E.flipping(model, x, x, targets=(0, 1, 0), hide=0.0, steps=1).curves["morf"].tolist() == [[2, 0]]
    assert E.flipping(model, x, x, targets=np.ones((4, 4, 1)), hide=0.0, steps=1).curves["morf"].tolist() == [[240, 0]]


def test_channels_apart():
    x = images(2, 4)
    w = np.random.default_rng(1).normal(size=(4, 4, 3, 1))
    found = E.srg(linear(w), x, w[..., 0] * x, channels="apart", hide=0.0, steps=48)
    r = -np.sort(-(w[..., 0] * x).reshape(2, 48), axis=1)
    assert found.values == pytest.approx((r * (49 - 2 * np.arange(1, 49))).sum(1) / 48, rel=1e-4)
    with pytest.raises(ValueError, match="apart"):
        E.srg(linear(w), x, x[..., 0], channels="apart")


def test_images_without_a_channel_axis():
    x = np.random.default_rng(0).normal(size=(2, 5, 5)).astype("float32")
    found = E.srg(total(5, 5), x, x, hide=0.0, steps=25, channel_axis=None)
    r = -np.sort(-x.reshape(2, 25), axis=1)
    assert found.values == pytest.approx((r * (26 - 2 * np.arange(1, 26))).sum(1) / 25, rel=1e-4)


# ---------------------------------------------------------------------- samples by themselves
def test_a_score_does_not_depend_on_the_others():
    model, x, maps = network(), images(7), np.full((7, 8, 8), 0.3)  # constant: the order is drawn
    whole = E.srg(model, x, maps, steps=8).values
    assert np.allclose(E.srg(model, x[::-1], maps, steps=8).values[::-1], whole, atol=1e-6)
    assert np.allclose(E.srg(model, x, maps, steps=8, batch_size=3).values, whole, atol=1e-6)
    assert np.allclose([E.srg(model, x[i : i + 1], maps[:1], steps=8).values[0] for i in range(7)], whole, atol=1e-6)
    assert not np.allclose(E.srg(model, x, maps, steps=8, seed=1).values, whole)


def test_what_is_not_finite_is_undefined_and_counted():
    maps = images(3, seed=1)
    maps[1, 2, 3] = np.nan
    found = E.srg(network(), images(3), maps)
    assert found.undefined.tolist() == [False, True, False]
    assert np.isfinite(found.mean)
    assert "undefined for 1 of 3" in str(found)
    assert np.isnan(E.srg(lambda x: np.full((len(x), 2), np.nan), images(1), maps[:1]).values).all()


def test_the_callers_arrays_and_model_stay():
    model, x, maps = network(), images(), images(seed=1)
    kept = [a.copy() for a in (x, maps, *model.get_weights())]
    for hide in ("mean", "blur", "noise", lambda clean, hidden: clean.__imul__(0)):
        E.srg(model, x, maps, steps=3, hide=hide)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (x, maps, *model.get_weights()), strict=True))


@pytest.mark.parametrize(
    "name", ["steps", "share", "order", "rank", "remainder", "region", "groups", "channels", "sign", "hide"]
)
def test_hostile_arguments(name):
    model, x, maps = network(), images(), images(seed=1)
    allowed = {"steps": ("None",), "region": ("None",), "groups": ("None",), "hide": ("-1",)}.get(name, ())
    for kind, value in hostile.HOSTILE.items():
        if kind not in allowed:
            wrong = hostile.swallows(name, lambda value=value: pytest.fail(str(E.flipping(model, x, maps, **{name: value}))))
            assert wrong is None, f"{kind}: {wrong}"


@pytest.mark.parametrize("maps", [np.zeros((3, 7, 8)), np.zeros((2, 8, 8)), np.zeros((3, 8, 8, 2)), "maps", None])
def test_maps_of_another_shape(maps):
    with pytest.raises(ValueError, match="`maps`"):
        E.srg(network(), images(), maps)


def test_no_samples_and_unknown_arguments():
    with pytest.raises(ValueError, match="at least one sample"):
        Trial(network(), images(0))
    with pytest.raises(TypeError, match="no argument 'stepz'"):
        E.srg(network(), images(), images(), stepz=3)


def test_an_explanation_and_an_analyzer_are_maps():
    model, x = network(), images()
    analyzer = innspect.create_analyzer("gradient", model)
    expected = E.srg(model, x, analyzer.analyze(x), steps=4).values
    assert np.array_equal(E.srg(model, x, analyzer.explain(x), steps=4).values, expected)
    assert np.array_equal(E.srg(model, x, analyzer, steps=4).values, expected)


# ---------------------------------------------------------------------- intervals
def test_intervals_are_scipys():
    values = np.array([1.0, 2, 3, 4, np.nan])
    assert E.interval(values) == pytest.approx((0.445740, 4.554260), abs=1e-6)
    assert E.interval([1, 1, 1, 0], kind="wilson") == pytest.approx((0.300642, 0.954413), abs=1e-6)
    assert E.interval([0.9, 1.0, 0.8], range=(0, 1))[1] == 1
    assert np.isnan(E.interval([1.0])).all()
    low, high = E.interval(np.arange(50.0), kind="bootstrap")
    assert 19 < low < 22
    assert 27 < high < 30
    with pytest.raises(ValueError, match="0 and 1"):
        E.interval([0.5, 1], kind="wilson")


def test_holm():
    assert E.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert np.array_equal(E.holm([0.5, np.nan, 0.6]), [1, np.nan, 1], equal_nan=True)
    assert len(E.holm([])) == 0


def test_paired():
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    assert paired(a - b) == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue)
    assert paired(np.full(5, 0.2)) == 2**-4
    assert paired(np.zeros(5)) == 1
    assert np.isnan(paired(np.ones(1)))


@pytest.mark.parametrize(("kind", "n"), [("t", 10), ("t", 30), ("wilson", 30)])
def test_intervals_cover_what_they_say(kind, n):
    random = np.random.default_rng(7)
    drawn, truth = (random.normal(size=(1000, n)), 0) if kind == "t" else (random.integers(0, 2, (1000, n)), 0.5)
    low, high = np.array([E.interval(v, kind=kind) for v in drawn]).T
    assert 0.93 <= ((low <= truth) & (truth <= high)).mean() <= 0.97
