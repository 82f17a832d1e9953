"""Faithfulness beyond curves: laws, worked examples, undefined cases, hostile arguments, kinds of inputs."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect import evaluation
from innspect.evaluation.additivity import spaced
from innspect.evaluation.maps import Maps
from innspect.evaluation.subsets import InOrder
from innspect.evaluation.trial import Trial

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 8, 8, 2)).astype("float32")
MAPS = rng.normal(size=(5, 8, 8))
METRICS = (
    "selectivity road average_drop increase sensitivity_n faithfulness_correlation infidelity occlusion_correlation "
    "comprehensiveness sufficiency non_sensitivity"
).split()
QUICK = {"sensitivity_n": {"draws": 5}, "faithfulness_correlation": {"draws": 6}, "infidelity": {"draws": 6}}


def linear(weights):
    weights = np.asarray(weights, "float32")
    inputs = keras.Input(weights.shape[:-1])
    model = keras.Model(inputs, L.Dense(weights.shape[-1])(L.Flatten()(inputs)))
    model.set_weights([weights.reshape(-1, weights.shape[-1]), np.zeros(weights.shape[-1], "float32")])
    return model


def row(*numbers):
    return np.array(numbers, "float32")[None]


@pytest.fixture(scope="module")
def network():
    inputs = keras.Input((8, 8, 2))
    model = keras.Model(inputs, L.Dense(3, activation="softmax")(L.Dense(6, activation="tanh")(L.Flatten()(inputs))))
    draws = np.random.default_rng(1)
    model.set_weights([draws.normal(size=v.shape) / 3 for v in model.weights])
    return model


def ask(name, model, x, maps, *targets, **arguments):
    return getattr(evaluation, name)(model, x, maps, *targets, **QUICK.get(name, {}) | arguments)


@pytest.mark.parametrize("name", METRICS)
def test_a_score_depends_on_its_sample_alone(network, name):
    whole = ask(name, network, X, MAPS)
    assert whole.values.shape == (5,)
    assert np.isfinite(whole.values).all()
    again = ask(name, network, X[::-1], MAPS[::-1], batch_size=3)
    alone = ask(name, network, X[3:4], MAPS[3:4], batch_size=1)
    np.testing.assert_allclose(again.values[::-1], whole.values, atol=2e-6)
    np.testing.assert_allclose(alone.values, whole.values[3:4], atol=2e-6)


@pytest.mark.parametrize("name", METRICS)
def test_a_map_that_is_not_finite_is_undefined(network, name):
    maps = MAPS[:2].copy()
    maps[0, 0, 0] = np.nan
    assert ask(name, network, X[:2], maps).undefined.tolist() == [True, False]


@pytest.mark.parametrize("name", METRICS)
def test_the_users_arrays_stay(network, name):
    x, maps, weights = X[:2].copy(), MAPS[:2].copy(), network.get_weights()
    ask(name, network, x, maps)
    assert np.array_equal(x, X[:2])
    assert np.array_equal(maps, MAPS[:2])
    assert all(map(np.array_equal, weights, network.get_weights()))


@pytest.mark.parametrize("name", [n for n in METRICS if n not in ("road", "average_drop", "increase")])
def test_ids_of_tokens(name):
    inputs = keras.Input((6,), dtype="int32")
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Embedding(9, 4)(inputs))))
    ids, maps = np.random.default_rng(2).integers(1, 9, (3, 6)), MAPS[:3, 0, :6]
    with pytest.raises(ValueError, match="mask_id"):
        ask(name, model, ids, maps)
    found = ask(name, model, ids, maps, mask_id=0, keep=[1, 2])
    assert np.isfinite(found.values).all()
    kept = np.isin(ids, [1, 2])  # what is never hidden has no say
    assert np.array_equal(ask(name, model, ids, np.where(kept, 99.0, maps), mask_id=0, keep=[1, 2]).values, found.values)


@pytest.mark.parametrize("name", ["road", "average_drop", "increase", "win"])
def test_ids_can_neither_be_dimmed_nor_imputed(name):
    inputs = keras.Input((6,), dtype="int32")
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(L.Embedding(9, 4)(inputs))))
    given = {"against": [np.ones((2, 6))]} if name == "win" else {}
    with pytest.raises(ValueError, match="ids"):
        ask(name, model, np.ones((2, 6), int), np.ones((2, 6)), **given)


@pytest.mark.parametrize("name", [n for n in METRICS if n != "road"])
def test_several_inputs_and_columns(name):
    a, b = keras.Input((5, 2)), keras.Input((3,))
    model = keras.Model([a, b], L.Dense(2, activation="softmax")(L.Concatenate()([L.Flatten()(a), b])))
    x, maps = [X[:3, 0, :5], X[:3, 1, :3, 0]], [MAPS[:3, 0, :5], MAPS[:3, 1, :3]]
    assert np.isfinite(ask(name, model, x, maps).values).all()


def test_columns_have_no_neighbours():
    with pytest.raises(ValueError, match="columns"):
        evaluation.road(linear(np.ones((4, 1))), np.ones((2, 4), "float32"), np.ones((2, 4)))


# ---------------------------------------------------------------------- sums of relevance
def test_sizes_of_sets():
    assert spaced(64) == [1, 2, 4, 6, 9, 14, 21, 33, 51]
    assert spaced(1) == [1]
    assert spaced(0) == []
    assert max(spaced(7)) == 6


def test_what_is_drawn_comes_in_order_and_can_come_again():
    drawn = InOrder(lambda i: (np.full(2, 10 * i + k) for k in range(3 - i)), np.zeros(2, int))
    rows = np.array([0, 1, 1])
    assert drawn(rows, np.array([0, 1]))[..., 0].tolist() == [[0, 10, 10], [1, 11, 11]]
    assert drawn(rows, np.array([2, 2]))[..., 0].tolist() == [[2, 0, 0], [2, 0, 0]]
    assert drawn(rows, np.array([1]))[..., 0].tolist() == [[1, 11, 11]]


@pytest.mark.parametrize("units", [{}, {"region": 3}, {"channels": "apart"}], ids=["positions", "regions", "elements"])
@pytest.mark.parametrize("hide", [0.5, "mean", "noise", "blur"])
def test_a_linear_model_loses_the_sum(hide, units):
    weights = np.random.default_rng(3).normal(size=(8, 8, 2, 1))
    model = linear(weights)
    rates = np.broadcast_to(weights[..., 0], X[:2].shape)
    given = {"hide": hide, "kind": "function", "scale": False, "draws": 5, "repeats": 2} | units
    np.testing.assert_allclose(evaluation.infidelity(model, X[:2], rates, **given).values, 0, atol=1e-9)
    if hide == 0.5:
        relevance = rates * (X[:2] - 0.5)
        for name in ("sensitivity_n", "faithfulness_correlation"):
            np.testing.assert_allclose(ask(name, model, X[:2], relevance, hide=0.5, **units).values, 1, atol=1e-5)


def test_drawn_sets_are_those_that_can_be_given(network):
    source = Trial(network, X[:1]).generator("subsets 13", 0)  # a fifth of 64
    sets = np.zeros((1, 6, 64), bool)
    for k in range(6):
        sets[0, k, source.permutation(64)[:13]] = True
    drawn = ask("faithfulness_correlation", network, X[:1], MAPS[:1]).values
    given = evaluation.faithfulness_correlation(network, X[:1], MAPS[:1], subsets=sets.reshape(1, 6, 8, 8)).values
    np.testing.assert_allclose(given, drawn, atol=1e-6)
    source, sets = Trial(network, X[:1]).generator("infidelity", 0), np.zeros((1, 6, 64), bool)
    for k in range(6):
        order = source.permutation(64)
        sets[0, k, order[: source.integers(1, 65)]] = True
    drawn = ask("infidelity", network, X[:1], MAPS[:1]).values
    np.testing.assert_allclose(
        evaluation.infidelity(network, X[:1], MAPS[:1], subsets=sets.reshape(1, 6, 8, 8)).values, drawn, rtol=1e-4
    )


def test_given_sets_of_several_sizes_are_compared_with_their_like():
    x = row(4, 2, 1, -1)
    model, ones, twos = (
        linear(np.ones((4, 1))),
        np.eye(4, dtype=bool),
        np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0]], bool),
    )
    found = evaluation.sensitivity_n(model, x, row(4, 1, 2, -1), subsets=np.concatenate([ones, twos])[None], hide=0.0)
    one = np.corrcoef([4, 1, 2, -1], [4, 2, 1, -1])[0, 1]
    two = np.corrcoef([5, 1, 6], [6, 0, 5])[0, 1]
    assert found.values[0] == pytest.approx((one + two) / 2, abs=1e-6)


def test_infidelity_of_noise():
    weights = np.random.default_rng(4).normal(size=(8, 8, 2, 1))
    rates = np.broadcast_to(weights[..., 0], X[:2].shape)
    given = {"kind": "function", "perturb": "noise", "scale": False}
    np.testing.assert_allclose(evaluation.infidelity(linear(weights), X[:2], rates, draws=4, **given).values, 0, atol=1e-8)
    drawn = np.stack([Trial(linear(weights), X[:2]).generator("gaussian", i).standard_normal((4, 8, 8, 2)) for i in range(2)])
    drawn *= 0.2 * np.ptp(X[:2], axis=(1, 2, 3)).reshape(2, 1, 1, 1, 1)
    wrong = rates + np.random.default_rng(5).normal(size=rates.shape)
    expected = (((wrong - rates)[:, None] * drawn).sum((2, 3, 4)) ** 2).mean(1)
    for noise in (None, drawn.astype("float32")):
        found = evaluation.infidelity(linear(weights), X[:2], wrong, draws=4, noise=noise, **given)
        np.testing.assert_allclose(found.values, expected, rtol=1e-3)


def test_infidelity_takes_maps_for_what_their_analyzer_makes(network):
    kinds = {"gradient": "function", "saliency": "function", "smoothgrad": "function", "input_t_gradient": "attribution"}
    kinds |= {"integrated_gradients": "attribution", "lrp.epsilon": "attribution", "guided_backprop": "function"}
    for name, kind in kinds.items():
        analyzer = innspect.create_analyzer(name, network)
        assert evaluation.infidelity(network, X[:1], analyzer, draws=2).settings["kind"] == kind, name
    assert evaluation.infidelity(network, X[:1], MAPS[:1], draws=2).settings["kind"] == "attribution"
    noisy = innspect.create_analyzer("smoothgrad", network, of="input_t_gradient", num_samples=2)
    assert evaluation.infidelity(network, X[:1], noisy, draws=2).settings["kind"] == "attribution"


def test_infidelity_scales_and_keeps_what_was_before():
    x, maps = X[:2, 0, :, 0], MAPS[:2, 0]
    first, second = (evaluation.infidelity(linear(np.ones((8, 1))), x, k * maps, draws=9) for k in (1, -7))
    np.testing.assert_allclose(first.values, second.values, rtol=1e-6)
    assert (first.values <= first.curves["raw"] + 1e-9).all()
    assert not np.allclose(first.curves["raw"], second.curves["raw"])
    zero = evaluation.infidelity(linear(np.ones((8, 1))), x, 0 * maps, draws=9)
    np.testing.assert_array_equal(zero.values, zero.curves["raw"])


def test_squares_are_squares(network):
    seen = []

    def fill(x, hidden):
        seen.extend(hidden)
        return x * 0

    evaluation.infidelity(network, X[:2], MAPS[:2], perturb="square", draws=20, hide=fill, batch_size=8)
    sides = []
    for mask in seen:
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()
        assert rows.sum() == columns.sum()
        sides.append(rows.sum())
    assert max(sides) > 5
    assert len(set(sides)) > 4


def test_occlusion_correlation_ranks_means_of_windows():
    x, maps = row(*range(16)), np.arange(16.0)[None] ** 2
    model = linear(np.ones((16, 1)))
    assert evaluation.occlusion_correlation(model, x, maps, hide=0.0).values[0] == 1
    assert evaluation.occlusion_correlation(model, x, -maps, hide=0.0).settings["region"] == 2
    groups = np.array([0] * 15 + [1])  # the larger group loses more, and has less on average
    assert evaluation.occlusion_correlation(model, x, maps, hide=0.0, groups=groups).values[0] == -1


def test_non_sensitivity_counts_both_wrongs():
    model, x = linear([[1], [1], [0], [0]]), row(1, 2, 3, 4)
    for maps, count in ((row(1, 2, 0, 0), 0), (row(1, 0, 0, 0), 1), (row(1, 0, 3, 0), 2), (row(0, 0, 1, 1), 4)):
        found = evaluation.non_sensitivity(model, x, maps, hide=0.0)
        assert found.values[0] == count / 4
        assert found.range[0] == 0
        assert evaluation.non_sensitivity(model, x, maps, hide=0.0, count=True).values[0] == count


# ---------------------------------------------------------------------- seen through the map
def test_win_compares_what_is_kept():
    model, x = linear(np.full((3, 1), 0.1)), row(1, 2, 4)
    best, middle, worst = row(0, 0, 1), row(0, 1, 0), row(1, 0, 0)

    def asked(mine, against):
        return evaluation.win(model, x, mine, against=against).values[0]

    assert asked(best, {"b": middle, "c": worst}) == 1
    assert asked(worst, [middle, best]) == 0
    assert asked(middle, [best, worst]) == 0.5
    assert asked(best, [best.copy()]) == 0.5
    assert np.isnan(asked(best, None))
    assert np.isnan(asked(best, [row(np.nan, 0, 0)]))
    assert asked(best, [row(np.nan, 0, 0), worst]) == 1


def test_what_is_shown_is_computed_once_for_maps_that_are_compared(network):
    calls = []
    trial = Trial(network, X)
    trial.progress.advance = calls.append
    mine, other = Maps(trial, MAPS), Maps(trial, -MAPS)
    evaluation.average_drop(trial, X, mine)
    first = sum(calls)
    evaluation.increase(trial, X, mine)
    evaluation.win(trial, X, mine, against=[other])
    assert sum(calls) == 2 * first
    evaluation.average_drop(trial, X, mine, hide="mean")
    assert sum(calls) == 3 * first


def test_drop_is_undefined_without_a_probability_and_never_negative():
    x = row(1, 2, 4)
    zero = linear(np.zeros((3, 1)))
    assert np.isnan(evaluation.average_drop(zero, x, x).values[0])
    assert evaluation.increase(zero, x, x).values[0] == 0
    rising = evaluation.average_drop(linear([[1], [1], [-1]]), row(1, 2, 1), row(1, 1, -1))
    assert rising.values[0] == 0
    assert evaluation.increase(linear([[1], [1], [-1]]), row(1, 2, 1), row(1, 1, -1)).values[0] == 1


# ---------------------------------------------------------------------- orders
def test_rationales_have_at_least_one_token_and_read_bins():
    model, x = linear(np.full((4, 1), 0.1)), row(4, 3, 2, 1)
    found = evaluation.comprehensiveness(model, x, x, bins=(0.25, 1.0), hide=0.0)
    np.testing.assert_allclose(found.curves["morf"], [[1, 0.6, 0]], atol=1e-6)
    assert found.values[0] == pytest.approx(0.7, abs=1e-6)
    assert evaluation.sufficiency(model, x, x, bins=(1.0,), hide=0.0).values[0] == pytest.approx(0, abs=1e-6)


def test_selectivity_explains_what_is_left():
    inputs = keras.Input((3,))
    both = ops.minimum(inputs[:, :1], inputs[:, 1:2]) * 10 + inputs[:, 2:] + 0 * inputs[:, :1]
    model, x = keras.Model(inputs, both), row(1, 2, 3)
    analyzer = innspect.create_analyzer("input_t_gradient", model)
    # Relevance is (10, 0, 3); once the first is hidden, nothing but the third is left: 13, 3, 0, 0.
    assert analyzer.analyze(x).tolist() == [[10, 0, 3]]
    again = evaluation.selectivity(model, x, analyzer, hide=0.0)
    np.testing.assert_allclose(again.curves["morf"], [[13, 3, 0, 0]], atol=1e-5)
    assert again.settings["recompute"] is True
    assert again.values[0] == pytest.approx((13 / 2 + 3) / 3, abs=1e-5)
    given = evaluation.selectivity(model, x, row(0, 1, 2), hide=0.0)
    np.testing.assert_allclose(given.curves["morf"], [[13, 10, 0, 0]], atol=1e-5)
    with pytest.raises(TypeError, match="analyzer"):
        evaluation.selectivity(model, x, row(0, 1, 2), recompute=True)


def test_selectivity_hides_most_of_what_is_then_explained():
    inputs = keras.Input((3,))
    # While the first is large, the second has all; then the third.
    model = keras.Model(inputs, inputs[:, :1] * inputs[:, 1:2] + (2 - inputs[:, :1]) * inputs[:, 2:] + 5 * inputs[:, :1])
    x, analyzer = row(2, 3, 1), innspect.create_analyzer("gradient", model)
    # Gradient (7, 2, 0): hide the first; there it is (7, 0, 2): hide the third before the second.
    found = evaluation.selectivity(model, x, analyzer, hide=0.0, steps=2)
    np.testing.assert_allclose(found.curves["morf"], [[16, 2, 0]], atol=1e-5)
    fixed = evaluation.selectivity(model, x, analyzer, hide=0.0, steps=2, recompute=False)
    np.testing.assert_allclose(fixed.curves["morf"], [[16, 2, 2]], atol=1e-5)


def test_road_reads_shares_orders_and_hits(network):
    both = evaluation.road(network, X, MAPS, shares=(0.25, 0.5))
    assert both.curves["morf"].shape == both.curves["lerf"].shape == (5, 2)
    np.testing.assert_allclose(both.values, both.curves["lerf"].mean(1) - both.curves["morf"].mean(1), atol=1e-12)
    morf = evaluation.road(network, X, MAPS, shares=(0.25, 0.5), order="morf")
    np.testing.assert_allclose(morf.curves["morf"], both.curves["morf"], atol=1e-6)
    np.testing.assert_allclose(
        morf.values, evaluation.road(network, X, -MAPS, shares=(0.25, 0.5), order="lerf").values, atol=1e-6
    )
    hits = evaluation.road(network, X, MAPS, of="hit").curves["morf"]
    assert set(np.unique(hits)) <= {0.0, 1.0}
    assert hits.shape == (5, 7)


@pytest.mark.parametrize(("target", "hidden"), [(62, True), (63, False)])
def test_road_hides_63_of_90_at_a_share_of_70_percent(target, hidden):
    x = np.random.default_rng(6).normal(size=(1, 90, 1)).astype("float32")
    model, maps = linear(np.eye(90).reshape(90, 1, 90)), -np.arange(90.0)[None]
    found = evaluation.road(model, x, maps, target, shares=(0.7,), order="morf", score="logit", noise=0.0)
    assert (abs(found.values[0] - x[0, target, 0]) > 1e-3) == hidden


def test_road_adds_noise_that_is_drawn_of_the_sample():
    model, x = linear(np.eye(9).reshape(9, 1, 9)), np.linspace(0, 1, 9, dtype="float32").reshape(1, 9, 1)
    maps = np.eye(9)[4:5]
    still, noisy = (evaluation.road(model, x, maps, 4, shares=(0.12,), order="morf", score="logit", noise=n) for n in (0, 0.5))
    noise = Trial(model, x).generator("noise", 0).standard_normal((9, 1))[4, 0]
    assert still.values[0] == pytest.approx(0.5)
    assert noisy.values[0] == pytest.approx(0.5 + 0.5 * noise, abs=1e-5)


def test_imputed_curves_cannot_hide_all(network):
    with pytest.raises(ValueError, match="share"):
        evaluation.srg(network, X[:1], MAPS[:1], hide="road", steps=4)
    assert np.isfinite(evaluation.srg(network, X[:1], MAPS[:1], hide="road", steps=4, share=0.9).values[0])
    assert np.isfinite(evaluation.deletion(network, X[:1], X[:1], hide="road", steps=4, share=0.5, channels="apart").values[0])


# ---------------------------------------------------------------------- arguments
@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("selectivity", {"recompute": "yes"}, "recompute"),
        ("selectivity", {"steps": 0}, "steps"),
        ("road", {"shares": (0.5, 1.0)}, "shares"),
        ("road", {"shares": 0.5}, "shares"),
        ("road", {"noise": -1}, "noise"),
        ("road", {"of": "accuracy"}, "of"),
        ("average_drop", {"normalise": "sum"}, "normalise"),
        ("average_drop", {"hide": "road"}, "road"),
        ("sensitivity_n", {"sizes": [0]}, "sizes"),
        ("sensitivity_n", {"sizes": [65]}, "sizes"),
        ("sensitivity_n", {"draws": 2.5}, "draws"),
        ("faithfulness_correlation", {"correlation": "kendall"}, "correlation"),
        ("faithfulness_correlation", {"size": 65}, "size"),
        ("faithfulness_correlation", {"subsets": np.ones((2, 3, 8, 8))}, "subsets"),
        ("faithfulness_correlation", {"subsets": np.ones((2, 3, 8), bool)}, "subsets"),
        ("infidelity", {"kind": "rates"}, "kind"),
        ("infidelity", {"perturb": "noise"}, "kind"),
        ("infidelity", {"noise": np.zeros((2, 3, 8, 8, 2))}, "noise"),
        ("infidelity", {"perturb": "noise", "kind": "function", "noise": np.zeros((2, 3, 8, 8))}, "noise"),
        ("occlusion_correlation", {"region": 0}, "region"),
        ("comprehensiveness", {"bins": ()}, "bins"),
        ("sufficiency", {"bins": (0.0,)}, "bins"),
        ("non_sensitivity", {"eps": -1e-5}, "eps"),
        ("non_sensitivity", {"count": 1}, "count"),
    ],
)
def test_hostile_arguments(network, name, arguments, text):
    with pytest.raises(ValueError, match=f"{text}.*Received|{text}"):
        ask(name, network, X[:2], MAPS[:2], **arguments)
