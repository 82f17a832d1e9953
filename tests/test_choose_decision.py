"""Which method is taken, from scores alone, and how the time is parted: no network is asked."""

import numpy as np
import pytest

from innspect import evaluation, spelling
from innspect.evaluation.choosing import budget
from innspect.evaluation.choosing.decision import decide, lead, mean_ranks
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores


# ---------------------------------------------------------------------- the decision, from scores alone
def scores(means, n=16, seed=0, metrics=("srg", "insertion"), spread=1.0, lower=()):
    """Scores of methods with these true means, the random maps' 0; samples differ more than methods do."""
    rng = np.random.default_rng(seed)
    results = {}
    for metric in metrics:
        sample = rng.normal(size=n) * 2
        sign = -1 if metric in lower else 1
        results[metric] = {
            m: evaluation.Result(sample + sign * mean + spread * rng.normal(size=n), metric=metric, higher_is_better=sign > 0)
            for m, mean in {**means, RANDOM: 0.0}.items()
        }
    return Scores(results, settings={"methods": list(means)})


def test_the_planted_winner_is_found():
    means = {f"m{i}": 0.0 for i in range(8)} | {"good": 1.6, "best": 3.0}
    found = [decide(scores(means, seed=seed)).method for seed in range(100)]
    assert found.count("best") >= 95


def test_nothing_beats_random_where_only_random_maps_are_offered():
    means = {f"m{i}": 0.0 for i in range(20)}
    for n in (8, 16, 32):
        found = [decide(scores(means, n, seed)).method for seed in range(100)]
        assert found.count(None) >= 95
    # One metric is the hardest case: nothing else but Holm guards it.
    found = [decide(scores(means, 16, seed, metrics=["srg"])).method for seed in range(200)]
    assert found.count(None) >= 190


def test_unadjusted_tests_would_not_do():
    means = {f"m{i}": 0.0 for i in range(20)}
    made = [scores(means, 16, seed, ["srg"]) for seed in range(50)]
    raw = [min(lead(each, "srg", m, RANDOM).p for m in means) for each in made]
    assert np.mean(np.array(raw) < 0.05) > 0.3


def test_a_candidate_is_better_than_random_on_every_metric():
    given = scores({"one": 5.0, "both": 2.0}, n=32)
    values = given.results["insertion"]["one"].values
    values[:] = given.results["insertion"][RANDOM].values  # the best by far in one metric, no better in the other
    found = decide(given)
    assert (found.method, list(found.ranks)) == ("both", ["both"])
    assert found.better == {"srg": ["one", "both"], "insertion": ["both"]}
    assert found.not_better("one") == ["insertion"]


def test_ranks_are_means_over_metrics_and_ties_go_to_the_first():
    given = scores({"a": 3.0, "b": 6.0}, n=16, spread=0.1)
    given.results["insertion"]["a"] = evaluation.Result(
        given.results["srg"][RANDOM].values + 9, metric="i", higher_is_better=True
    )
    given.results["insertion"]["b"] = evaluation.Result(
        given.results["srg"][RANDOM].values + 8, metric="i", higher_is_better=True
    )
    given.results["insertion"][RANDOM] = given.results["srg"][RANDOM]
    assert decide(given).ranks == {"a": 1.5, "b": 1.5}
    given.settings["methods"] = ["b", "a"]
    assert decide(given).method == "b"
    assert mean_ranks(given, ["srg"]) == {"b": 1, "a": 2}


def test_less_is_better_where_the_metric_says_so():
    found = decide(scores({"good": 3.0, "bad": -3.0}, metrics=["deletion"], lower=["deletion"]))
    assert found.method == "good"
    assert found.better == {"deletion": ["good"]}
    assert lead(scores({"good": 3.0}, metrics=["deletion"], lower=["deletion"]), "deletion", "good", RANDOM).mean > 2


def test_metrics_with_few_values_and_those_of_randomisation_stand_beside():
    given = scores({"a": 3.0}, metrics=["srg", "collage", "mprt.efficient", "complexity", "mine"])
    for result in given.results["collage"].values():
        result.values[7:] = np.nan
    for result in given.results["complexity"].values():
        result.higher_is_better = None
    found = decide(given, beside=["mine"])
    assert found.used == ["srg"]
    assert set(found.beside) == {"collage", "mprt.efficient", "complexity", "mine"}
    assert "7 values, and 8 are needed" in found.beside["collage"]


def test_a_method_with_fewer_than_eight_pairs_is_no_candidate():
    given = scores({"a": 5.0, "b": 3.0})
    given.results["srg"]["a"].values[7:] = np.nan
    found = decide(given)
    assert found.method == "b"
    assert np.isnan(found.p["srg"]["a"])


def test_differences_of_rounding_are_none():
    given = scores({"a": 5.0}, metrics=["srg"])
    of = given.results["srg"]
    of["a"] = evaluation.Result(of[RANDOM].values + 1e-9, metric="srg", higher_is_better=True)
    assert decide(given).method is None


def test_without_any_metric_nothing_is_chosen():
    found = decide(scores({"a": 5.0}, n=7))
    assert (found.method, found.used) == (None, [])
    assert decide(Scores()).method is None


def test_measures_of_planted_truth_must_agree_on_the_first():
    names = ["srg", "relevance_mass", "relevance_rank"]
    agreeing = scores({"a": 6.0, "b": 3.0}, metrics=names, spread=0.1)
    assert decide(agreeing).used == names
    turned = scores({"a": 6.0, "b": 3.0}, metrics=names, spread=0.1)
    of = turned.results["relevance_rank"]
    of["a"], of["b"] = of["b"], of["a"]
    found = decide(turned)
    assert found.used == ["srg"]
    assert "a by relevance_mass, b by relevance_rank" in found.beside["relevance_mass"]


# ---------------------------------------------------------------------- the time
@pytest.mark.parametrize(
    ("given", "expected"),
    [("90s", 90), ("10min", 600), ("1.5 h", 5400), ("2 hours", 7200), (" 3 Minutes ", 180), (7, 7.0), (0.5, 0.5), ("1m", 60)],
)
def test_times_are_read(given, expected):
    assert spelling.seconds(given) == expected


@pytest.mark.parametrize("given", ["soon", "", "10", "-5s", "0s", 0, -1, float("nan"), float("inf"), None, True, [1], "1e999h"])
def test_what_is_no_time_is_refused(given):
    with pytest.raises(ValueError, match="`time`"):
        spelling.seconds(given)


def test_the_clock_stops_work_that_goes_on_past_the_end():
    now = [0.0]
    clock = budget.Clock(10, now=lambda: now[0])
    clock.advance(3)
    now[0] = 10.5
    with pytest.raises(budget.OutOfTime):
        clock.advance()
    assert not isinstance(budget.OutOfTime(), Exception)  # or it would be taken for a method that fails


def test_plans_take_what_fits():
    plenty = budget.planned(1e6, 1000, 0.05, [0.1] * 40, 3)
    assert (plenty.samples, plenty.steps) == (64, 32)
    little = budget.planned(240, 32, 0.05, [0.1] * 40, 3)
    assert (little.samples, little.steps) == (16, 8)
    assert budget.planned(1, 8, 0.05, [0.1], 3).samples == 8
    assert budget.fitting(little, 1, 0.05, [0.1], 3) == 0
    row, alone = 8 * 26 * 0.05, budget.Plan(8, 8)  # of 8 samples all pick, and there is nothing to report on
    assert budget.fitting(alone, 3.1 * row, 0.05, [0.0] * 5, 3) == 2
    assert budget.fitting(budget.Plan(16, 8), 3.1 * row, 0.05, [0.0] * 5, 3) == 0  # random maps and one method, twice
    assert budget.fitting(budget.Plan(16, 8), 4.1 * row, 0.05, [0.0] * 5, 3) == 1
