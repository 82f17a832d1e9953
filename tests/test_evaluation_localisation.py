"""Metrics of where a map lies: pointing, mass, rank, boxes, distances, seeds and subgroups."""

import numpy as np
import pytest
import scipy.stats

from innspect import evaluation
from innspect.evaluation.maps import RandomMaps
from innspect.evaluation.trial import Trial


def answers(x):
    """A model of two classes, of one input or several."""
    first = x[0] if isinstance(x, list) else x
    total = np.asarray(first, "float64").reshape(len(first), -1).sum(axis=1)
    return np.stack([total, -total], axis=1)


def ask(metric, r, *, x=None, **arguments):
    """A metric of maps over positions, for inputs of one channel."""
    r = np.asarray(r, "float64")
    x = np.ones((*r.shape, 1), "float32") if x is None else x
    return getattr(evaluation, metric)(answers, x, r, 0, **arguments)


def points(shape, *places):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


MASKED = ("pointing_game", "relevance_mass", "relevance_rank", "top_k", "iou", "loc", "auc", "emd")


# ------------------------------------------------------------------ masks
@pytest.mark.parametrize(("side", "reach"), [(224, 15), (300, 15), (112, 7), (28, 1), (8, 0)])
def test_a_hit_may_be_as_far_away_as_the_side_allows(side, reach):
    r = np.zeros((2, side, side))
    r[:, 1, 1] = 1
    mask = np.zeros((2, side, side), bool)
    mask[0, 1, 1 + reach] = mask[1, 1, 2 + reach] = True
    result = ask("pointing_game", r, masks=mask)
    assert result.values.tolist() == [1, 0]
    assert result.settings["tolerance"] == reach
    assert result.interval_kind == "wilson"


def test_the_distance_is_euclidean():
    r, mask = points((1, 9, 9), (0, 0, 0)), points((1, 9, 9), (0, 3, 4))
    assert [ask("pointing_game", r, masks=mask, tolerance=t).values[0] for t in (5, 4.99)] == [1, 0]


def test_of_several_largest_values_one_is_drawn():
    x = np.random.default_rng(0).normal(size=(300, 2, 2, 1)).astype("float32")
    mask = np.tile(points((2, 2), (0, 0)), (300, 1, 1))
    values = ask("pointing_game", np.ones((300, 2, 2)), x=x, masks=mask, tolerance=0).values
    trial = Trial(answers, x, 0)
    assert values.tolist() == [float(trial.generator("point", i).integers(4) == 0) for i in range(300)]
    assert 0.15 < values.mean() < 0.35
    again = ask("pointing_game", np.ones((300, 2, 2)), x=x[::-1], masks=mask, tolerance=0).values
    assert (again[::-1] == values).all()


def test_columns_of_a_table_are_not_near_each_other():
    x, mask = np.ones((1, 40), "float32"), points((1, 40), (0, 1))
    assert ask("pointing_game", points((1, 40), (0, 0)), x=x, masks=mask).values == 0
    series = ask("pointing_game", points((1, 40), (0, 0)), masks=mask)
    assert series.values == 1  # 15 * 40 // 224 = 2 steps


def test_several_inputs_are_one_set_of_positions_but_have_no_distance():
    x = [np.ones((1, 4, 4, 1), "float32"), np.ones((1, 6, 2), "float32")]
    r = [np.zeros((1, 4, 4)), np.zeros((1, 6))]
    r[0][0, 3, 3], r[1][0, 5] = 3, 1
    masks = [np.zeros((1, 4, 4), bool), np.zeros((1, 6), bool)]
    masks[1][0, [0, 5]] = True
    call = {"masks": masks, "tolerance": 2}
    assert evaluation.pointing_game(answers, x, r, 0, **call).values == 0
    assert evaluation.relevance_mass(answers, x, r, 0, masks=masks).values == 1 / 4
    assert evaluation.relevance_rank(answers, x, r, 0, masks=masks).values == 1 / 2
    assert evaluation.pointing_game(answers, x, [-r[0], r[1]], 0, **call).values == 1
    with pytest.raises(ValueError, match="give `masks`"):
        evaluation.iou(answers, x, r, 0, boxes=[[(0, 0, 1, 1)]])
    with pytest.raises(ValueError, match="list of 2 arrays"):
        evaluation.iou(answers, x, r, 0, masks=masks[:1])
    with pytest.raises(ValueError, match="distances"):
        evaluation.emd(answers, x, r, 0, masks=masks)


@pytest.mark.parametrize("metric", MASKED)
def test_boxes_are_their_filled_union(metric):
    r = np.random.default_rng(1).normal(size=(3, 7, 9))
    boxes = [[(0, 0, 1, 2), (1, 1, 3, 3)], [(6, 8, 6, 8)], []]
    masks = np.zeros((3, 7, 9), bool)
    masks[0, :2, :3] = masks[0, 1:4, 1:4] = masks[1, 6, 8] = True
    by_boxes, by_masks = ask(metric, r, boxes=boxes), ask(metric, r, masks=masks)
    np.testing.assert_array_equal(by_boxes.values, by_masks.values)
    assert by_boxes.undefined.tolist() == [False, False, True]


@pytest.mark.parametrize("metric", MASKED)
def test_a_map_that_is_not_finite_is_undefined_alone(metric):
    r = np.random.default_rng(1).normal(size=(2, 6, 6))
    r[0, 2, 2] = np.inf
    mask = np.zeros((2, 6, 6), bool)
    mask[:, :3, :3] = True
    assert ask(metric, r, masks=mask).undefined.tolist() == [True, False]


def test_each_metric_says_where_it_is_undefined():
    r, mask = np.array([[[0.0, 0], [0, 0]], [[-1, -2], [-3, -4]], [[2, 2], [2, 2]]]), np.tile(points((2, 2), (0, 0)), (3, 1, 1))
    undefined = {name: ask(name, r, masks=mask).undefined.tolist() for name in MASKED}
    zero, no_positive, constant = True, True, True
    assert undefined["relevance_mass"] == [zero, no_positive, False]
    assert undefined["iou"] == [zero, no_positive, False]
    assert undefined["loc"] == [zero, False, constant]
    assert undefined["emd"] == [zero, False, False]
    for name in ("pointing_game", "relevance_rank", "top_k", "auc"):
        assert undefined[name] == [False] * 3
    assert ask("auc", r, masks=np.ones((3, 2, 2), bool)).undefined.all()


def test_top_k_is_divided_by_k():
    r, mask = np.arange(40.0)[None] * 1, points((1, 40), (0, 39))
    result = ask("top_k", r, masks=mask)
    assert (result.values[0], result.settings["k"]) == (1 / 2, 2)
    assert ask("top_k", r, masks=mask, k=4).values == 1 / 4
    with pytest.raises(ValueError, match="`k` must be at most the number of positions, 40"):
        ask("top_k", r, masks=mask, k=41)


def test_channels_are_summed_with_their_signs_before_anything_else():
    x, mask = np.ones((1, 2, 3), "float32"), points((1, 2), (0, 0))
    maps = np.array([[[1, -3, 1], [2, 0, 0]]], "float32")  # -1, 2
    assert evaluation.relevance_mass(answers, x, maps, 0, masks=mask).values == 0
    assert evaluation.relevance_mass(answers, x, maps, 0, masks=mask, sign="abs").values == pytest.approx(1 / 3)


def test_auc_agrees_with_the_mann_whitney_statistic():
    random = np.random.default_rng(3)
    r, mask = random.integers(0, 5, (4, 30)).astype("float64"), random.random((4, 30)) < 0.3
    expected = [scipy.stats.mannwhitneyu(a[m], a[~m]).statistic / (m.sum() * (~m).sum()) for a, m in zip(r, mask, strict=True)]
    np.testing.assert_allclose(ask("auc", r, masks=mask).values, expected)


def test_tokens_and_volumes():
    ids = np.array([[5, 2, 9]], "int32")
    assert ask("relevance_mass", [[1.0, 3, 0]], x=ids, masks=np.array([[True, False, False]])).values == 1 / 4
    r = np.zeros((1, 4, 4, 4))
    r[0, 1:3, 1:3, 1:4] = 1
    assert evaluation.box_of(r[0]) == (1, 1, 1, 2, 2, 3)
    assert ask("iou", r, boxes=[[(1, 1, 1, 2, 2, 3)]]).values == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "`masks` or `boxes` must be given"),
        ({"masks": np.ones((2, 5, 4), bool)}, r"booleans of shape \(2, 5, 5\)"),
        ({"masks": np.ones((2, 5, 5, 1), bool)}, "none for channels"),
        ({"masks": np.ones((2, 5, 5))}, "dtype float64"),
        ({"masks": np.ones((5, 5), bool)}, r"Received: shape \(5, 5\)"),
        ({"boxes": [[(0, 0, 1, 1)]]}, "each of the 2 samples"),
        ({"boxes": [(0, 0, 1, 1), (0, 0, 1, 1)]}, "list of boxes"),
        ({"boxes": [[(0, 0, 1, 5)], []]}, r"Received: \(0, 0, 1, 5\) for sample 0"),
        ({"boxes": [[], [(-1, 0, 1, 1)]]}, "inside"),
        ({"boxes": [[], [(2, 0, 1, 1)]]}, "inside"),
        ({"boxes": [[], [(0, 0, 1.5, 1)]]}, "list of boxes"),
        ({"boxes": [[], [(0, 1, 1)]]}, "list of boxes"),
        ({"boxes": [[], 3]}, "list of boxes"),
        ({"masks": np.ones((2, 5, 5), bool), "threshold": 2}, "`threshold` must be a number from 0 to 1"),
        ({"masks": np.ones((2, 5, 5), bool), "sign": "plus"}, "`sign` must be"),
    ],
)
def test_truth_of_another_form_is_an_error(given, message):
    with pytest.raises(ValueError, match=message):
        ask("iou", np.ones((2, 5, 5)), **given)


def test_arrays_stay_as_they_are():
    r, mask = np.random.default_rng(0).normal(size=(2, 6, 6)), np.random.default_rng(1).random((2, 6, 6)) < 0.4
    kept = r.copy(), mask.copy()
    for name in MASKED:
        ask(name, r, masks=mask)
    assert all(np.array_equal(a, b) for a, b in zip(kept, (r, mask), strict=True))


# ------------------------------------------------------------------ boxes
def test_the_largest_part_has_the_box():
    r = np.zeros((8, 8))
    r[0, 0] = r[1, 1] = r[2, 2] = 0.3  # touch over corners
    r[5, 5] = r[5, 6] = 1
    assert evaluation.box_of(r) == (0, 0, 2, 2)
    assert evaluation.box_of(r, 0.3) == (5, 5, 5, 6)  # strictly above
    r[2, 2] = 0
    assert evaluation.box_of(r) == (5, 5, 5, 6)  # as large, of a larger sum
    r[5, 5] = r[5, 6] = 0.3
    assert evaluation.box_of(r) == (0, 0, 1, 1)  # equal in both: the first


def test_a_map_without_a_positive_value_has_no_box():
    assert evaluation.box_of(np.zeros((3, 3))) is None
    assert evaluation.box_of(-np.ones((3, 3))) is None
    assert evaluation.box_of(np.ones((3, 3)), 1.0) is None
    assert evaluation.box_of(np.ones((3, 4))) == (0, 0, 2, 3)
    assert evaluation.box_of([0.0, 1, 1, 0]) == (1, 2)


@pytest.mark.parametrize("wrong", [np.full((2, 2), np.nan), np.zeros((0, 3)), np.array(1.0), np.array([["a"]])])
def test_what_is_no_map_has_an_error(wrong):
    with pytest.raises(ValueError, match="`map` must hold"):
        evaluation.box_of(wrong)


class Marks:
    """An analyzer whose map of class c has the box (c, c, c + 2, c + 2)."""

    def __init__(self):
        self.asked = []

    def analyze(self, x, neuron, **_):
        self.asked += np.asarray(neuron).tolist()
        maps = np.zeros(np.shape(x)[:3])
        for m, c in zip(maps, neuron, strict=True):
            m[c : c + 3, c : c + 3] = 1
        return maps


def test_localisation_error_of_the_five_likeliest():
    def ranks(x):  # class 0 is likeliest, then 1, 2, ...
        return np.tile(-np.arange(8.0), (len(x), 1))

    x, boxes = np.ones((4, 12, 12, 1), "float32"), [[(0, 0, 2, 2)], [(3, 3, 5, 5)], [(4, 4, 6, 7)], [(6, 6, 8, 8)]]
    call = {"boxes": boxes, "labels": np.array([0, 3, 3, 6])}
    analyzer = Marks()
    assert evaluation.localisation_error(ranks, x, analyzer, **call).values.tolist() == [0, 1, 1, 1]
    result = evaluation.localisation_error(ranks, x, analyzer, top=5, **call)
    assert result.values.tolist() == [0, 0, 1, 1]  # the third's box is off, the last class is the seventh
    np.testing.assert_allclose(result.beside["iou"][:3], [1, 1, 4 / (9 + 12 - 4)])
    given = np.asarray(analyzer.analyze(x, [0] * 4))
    assert evaluation.localisation_error(ranks, x, given, **call).values.tolist() == [0, 1, 1, 1]
    with pytest.raises(TypeError, match="must be an analyzer"):
        evaluation.localisation_error(ranks, x, given, top=5, **call)
    other = evaluation.localisation_error(ranks, x, given, [1, 0, 0, 0], **call)
    assert other.undefined.tolist() == [True, False, False, False]  # the map of class 1 says nothing of class 0
    without = evaluation.localisation_error(ranks, x, given, boxes=[[], *boxes[1:]], labels=call["labels"])
    assert without.undefined.tolist() == [True, False, False, False]


@pytest.mark.parametrize("labels", [[0], [0, 2], [0.0, 1.0], [-1, 0]])
def test_labels_must_be_classes(labels):
    with pytest.raises(ValueError, match="`labels` must be a class from 0 to 1"):
        ask("localisation_error", np.ones((2, 5, 5)), boxes=[[(0, 0, 1, 1)]] * 2, labels=labels)


# ------------------------------------------------------------------ known truth
def test_the_distance_is_exact_in_one_dimension():
    random = np.random.default_rng(2)
    r, mask = random.random((5, 16)), random.random((5, 16)) < 0.4
    expected = [
        1 - scipy.stats.wasserstein_distance(np.arange(16), np.arange(16), a, m) / 15 for a, m in zip(r, mask, strict=True)
    ]
    np.testing.assert_allclose(ask("emd", r, masks=mask).values, expected, atol=1e-9)


def test_long_sides_are_summed_over_blocks():
    r, mask = points((1, 20, 33), (0, 0, 0)), points((1, 20, 33), (0, 1, 4))
    result = ask("emd", r, masks=mask)  # blocks of 2 x 3: 10 x 11 of them, one column apart
    assert result.settings["blocks"] == [2, 3]
    assert result.values == pytest.approx(1 - 1 / np.hypot(9, 10))
    assert ask("emd", r, masks=mask, side=33).values == pytest.approx(1 - np.hypot(1, 4) / np.hypot(19, 32))
    assert ask("emd", points((1, 12, 12, 12), (0, 0, 0, 0)), masks=points((1, 12, 12, 12), (0, 11, 11, 11))).values == 0


def test_signs_have_no_say_in_what_is_moved_and_tables_no_distance():
    r, mask = points((1, 4, 4), (0, 1, 1)), points((1, 4, 4), (0, 1, 1))
    assert ask("emd", -1.0 * r, masks=mask).values == 1
    with pytest.raises(ValueError, match="no negative mass"):
        ask("emd", r, masks=mask, sign="signed")
    with pytest.raises(ValueError, match="Received: a table"):
        ask("emd", np.ones((1, 4)), x=np.ones((1, 4), "float32"), masks=points((1, 4), (0, 1)))


def test_sign_accuracy():
    truth = np.array([[1.0, -1, 0, 2]] * 3 + [[0, 0, 0, 0]])
    r = np.array([[3.0, -1, 5, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_allclose(ask("sign_accuracy", r, truth=truth).values, [1, 1 / 3, 0, np.nan])
    with pytest.raises(ValueError, match="`truth` must be given"):
        ask("sign_accuracy", r)
    with pytest.raises(ValueError, match="`truth` must hold finite"):
        ask("sign_accuracy", r, truth=truth * np.nan)


def test_suppressor_share():
    r = np.array([[1.0, -2, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    masks = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    others = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    values = ask("suppressor_share", r, masks=masks, distractors=others).values
    np.testing.assert_allclose(values, [1 / 2, np.nan, np.nan, 0, np.nan])
    with pytest.raises(ValueError, match="`distractors` must hold booleans"):
        ask("suppressor_share", r, masks=masks, distractors=others.astype(int))


def test_random_maps_have_the_share_that_chance_gives():
    x = np.random.default_rng(0).normal(size=(400, 8, 8, 1)).astype("float32")
    trial, mask = Trial(answers, x, 0), np.zeros((400, 8, 8), bool)
    mask[:, 2:4, 3:6] = True
    maps = RandomMaps(trial)
    for name in ("relevance_mass", "relevance_rank", "top_k"):
        assert abs(getattr(evaluation, name)(trial, None, maps, masks=mask).mean - 6 / 64) < 0.02
    assert abs(evaluation.auc(trial, None, maps, masks=mask).mean - 0.5) < 0.02


# ------------------------------------------------------------------ seeds
def test_seeds_of_several_classes():
    wide, narrow = np.array([1.0, 1, 1, 0.2, 0, 0, -1, 0, 0, 0]), np.array([0, 0, 1.0, 1, 0, 0, 0, 0, 0, 0])
    saliency = np.array([0.0, 9, 9, 9, 9, 9, 9, 9, 9, 1])
    seeds = evaluation.segmentation_seeds([wide, narrow], saliency, [3, 7], background=0.2)
    assert seeds.tolist() == [3, 3, 7, 7, 255, 255, 255, 255, 255, 0]
    equal = evaluation.segmentation_seeds([wide, wide], saliency, [9, 4])
    assert equal.tolist() == [4, 4, 4] + [255] * 7  # a foreground class goes before the background at the first
    assert evaluation.segmentation_seeds([-np.ones(10)], np.ones(10), [1]).tolist().count(0) == 1  # ties: one of them is drawn
    listed = evaluation.segmentation_seeds([[wide, narrow], [narrow]], [saliency, saliency], [[3, 7], [5]], background=0.2)
    assert listed[0].tolist() == seeds.tolist()
    assert listed[1].tolist() == [0, 255, 5, 5] + [255] * 5 + [0]
    assert (evaluation.segmentation_seeds([], saliency, []) == 0).sum() == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": [0]}, "from 1 to 254"),
        ({"classes": [255]}, "from 1 to 254"),
        ({"classes": [1.0]}, "from 1 to 254"),
        ({"classes": [1, 1]}, "different"),
        ({"maps": np.ones((1, 4))}, r"\(1, 5\)"),
        ({"saliency": np.full(5, np.nan)}, "`saliency` must hold finite"),
        ({"threshold": 1.5}, "`threshold`"),
        ({"background": -1}, "`background`"),
    ],
)
def test_seeds_need_maps_of_classes(changed, message):
    call = {"maps": np.ones((1, 5)), "saliency": np.ones(5), "classes": [1]} | changed
    with pytest.raises(ValueError, match=message):
        evaluation.segmentation_seeds(**call)


def test_miou_of_seeds():
    truth = [np.array([1, 1, 0, 0, 255]), np.array([2, 2, 0, 0, 0]), np.full(5, 255)]
    seeds = [np.array([1, 255, 0, 1, 1]), np.array([2, 2, 0, 255, 3]), np.zeros(5, int)]
    result = evaluation.seeds_miou(seeds, truth)
    np.testing.assert_allclose(result.values, [(1 / 3 + 1 / 2) / 2, (1 + 1 / 3 + 0) / 3, np.nan])
    np.testing.assert_allclose(result.beside["precision"], [(1 / 2 + 1) / 2, (1 + 1 + 0) / 3, np.nan])
    np.testing.assert_allclose(result.beside["recall"], [1 / 2, (1 + 1 / 3) / 2, np.nan])
    assert result.settings["class_iou"] == pytest.approx({0: 2 / 5, 1: 1 / 3, 2: 1, 3: 0})
    assert result.settings["miou"] == pytest.approx((2 / 5 + 1 / 3 + 1) / 4)
    assert result.higher_is_better
    assert result.undefined.tolist() == [False, False, True]
    with pytest.raises(ValueError, match="for image 0"):
        evaluation.seeds_miou([np.zeros(3, int)], [np.zeros(4, int)])
    with pytest.raises(ValueError, match="as many images"):
        evaluation.seeds_miou(seeds, truth[:2])


# ------------------------------------------------------------------ subgroups
def test_region_mass_by_subgroup():
    random = np.random.default_rng(5)
    share = np.concatenate([random.uniform(0.1, 0.3, 9), random.uniform(0.6, 0.8, 8), random.uniform(0.1, 0.3, 7), [0.5]])
    r = np.stack([share, 1 - share], axis=1)
    mask = np.tile([True, False], (25, 1))
    result = ask("region_mass", r, masks=mask, subgroups=["a"] * 9 + ["b"] * 8 + ["c"] * 7 + ["alone"])
    np.testing.assert_allclose(result.values, share)
    group = result.settings["subgroups"]["b"]
    assert (group["count"], group["mean"]) == (8, pytest.approx(share[9:17].mean()))
    assert (group["low"], group["high"]) == pytest.approx(evaluation.interval(share[9:17]))
    by_pair = {tuple(d["pair"]): d for d in result.settings["differences"]}
    raw = {p: d["p"] for p, d in by_pair.items() if not np.isnan(d["p"])}
    assert set(raw) == {("a", "b"), ("a", "c"), ("b", "c")}  # one sample alone has no spread
    assert raw["a", "b"] == pytest.approx(scipy.stats.ttest_ind(share[:9], share[9:17], equal_var=False).pvalue)
    np.testing.assert_allclose([by_pair[p]["adjusted"] for p in raw], evaluation.holm(list(raw.values())))
    assert by_pair["a", "b"]["adjusted"] < 0.001 < by_pair["a", "c"]["adjusted"]
    with pytest.raises(ValueError, match="each of the 25 samples"):
        ask("region_mass", r, masks=mask, subgroups=["a", "b"])
