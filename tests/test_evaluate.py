"""`innspect.evaluate`: methods by metrics, the table, differences, files, pages and the command."""

import csv
import importlib.util
import json

import keras
import numpy as np
import pytest
import scipy.stats
from keras import layers as L
from models import shake

import innspect
from innspect import cli, evaluation
from innspect.evaluation import registry
from innspect.evaluation.scores import Scores


@pytest.fixture
def metric():
    """Registers metrics that are forgotten again."""
    before = dict(registry._metrics)
    yield innspect.register_metric
    registry._metrics.clear()
    registry._metrics.update(before)


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8, 8, 1))
    y = L.Dense(5)(L.Flatten()(L.Conv2D(4, 3, activation="relu")(inputs)))
    return shake(keras.Model(inputs, y))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")


METHODS = ["input_t_gradient", ("integrated_gradients", {"steps": 4}), "gradient"]
QUICK = {"srg": ("srg", {"steps": 4}), "deletion": ("deletion", {"steps": 4})}


@pytest.fixture(scope="module")
def scores(model, x):
    return innspect.evaluate(model, x, METHODS, QUICK)


def test_every_method_has_a_value_for_each_sample(scores, model, x):
    assert scores.methods == ["input_t_gradient", "integrated_gradients(steps=4)", "gradient", "random"]
    assert scores.metrics == ["srg", "deletion"]
    for name in ("input_t_gradient", "gradient"):
        maps = innspect.create_analyzer(name, model).analyze(x)
        assert np.allclose(scores.values["srg"][name], evaluation.srg(model, x, maps, steps=4).values)
    assert scores.curves["srg"]["gradient"]["lerf"].shape == (6, 5)
    assert not scores.undefined["deletion"]["random"].any()
    assert scores.by("class")["srg"]["gradient"]["classes"].keys() == {int(c) for c in model.predict(x, verbose=0).argmax(1)}


def test_differences_are_paired_and_adjusted_over_all_pairs(scores):
    values = scores.values["srg"]
    pairs = [(a, b) for i, a in enumerate(values) for b in list(values)[i + 1 :]]
    assert len(pairs) == 6
    raw = [scipy.stats.ttest_rel(values[a], values[b]).pvalue for a, b in pairs]
    adjusted = dict(zip(pairs, evaluation.holm(raw), strict=True))
    for a, b in pairs:
        found, back = scores.difference("srg", a, b), scores.difference("srg", b, a)
        assert found.p == back.p == pytest.approx(adjusted[a, b])
        assert found.mean == -back.mean == pytest.approx((values[a] - values[b]).mean())
        assert found.interval == pytest.approx(evaluation.interval(values[a] - values[b]))
    with pytest.raises(KeyError, match="no_such"):
        scores.difference("srg", "gradient", "no_such")


def test_a_method_with_arguments_is_found_by_its_name_where_it_is_alone(model, x):
    given = ["gradient", ("integrated_gradients", {"steps": 4}), ("lrp.gamma", {"gamma": 0.5}), ("lrp.gamma", {"gamma": 1.0})]
    scores = innspect.evaluate(model, x, given, {"srg": QUICK["srg"]})
    whole, short = "integrated_gradients(steps=4)", "integrated_gradients"
    assert list(scores.values["srg"]) == ["gradient", whole, "lrp.gamma(gamma=0.5)", "lrp.gamma(gamma=1.0)", "random"]
    for of in (scores.values, scores.curves, scores.undefined):
        assert of["srg"][short] is not None
    assert scores.values["srg"][short].tolist() == scores.values["srg"][whole].tolist()
    assert scores.difference("srg", short, "gradient") == scores.difference("srg", whole, "gradient")
    assert scores.mean("srg", short) == scores.mean("srg", whole)
    for unknown in ("lrp.gamma", "integrated", "smoothgrad"):  # two of one name are told apart by their arguments
        with pytest.raises(KeyError, match=unknown):
            scores.mean("srg", unknown)
        with pytest.raises(KeyError, match=unknown):
            scores.values["srg"][unknown]


def results(**means):
    """Scores of 12 samples with these means and little spread."""
    noise = np.random.default_rng(0).normal(size=(len(means), 12)) / 10
    of = {
        k: evaluation.Result(m + n, metric="mine", higher_is_better=True)
        for (k, m), n in zip(means.items(), noise, strict=True)
    }
    return Scores({"mine": of}, settings={"methods": [m for m in means if m != "random"], "samples": 12})


def test_the_best_is_marked_where_it_is_the_best():
    clear = results(a=2.0, b=1.0, random=0.0)
    assert clear.best("mine") == "a"
    assert "] *" in str(clear)
    tied = results(a=1.0, b=1.0, random=0.0)
    assert tied.best("mine") is None
    assert "cannot be told from" in str(tied)
    assert " *" not in str(tied)
    assert "no method has a better mean than random" in str(results(a=1.0, random=2.0))


def test_a_method_that_fails_is_shown_and_the_rest_goes_on(model, x):
    scores = innspect.evaluate(model, x[:2], ["cam", "pattern.net", "gradient"], QUICK)
    assert list(scores.results["srg"]) == ["gradient", "random"]
    assert set(scores.failed["srg"]) == {"cam", "pattern.net"}
    assert "failed" in str(scores)
    assert "cam failed: " in str(scores)


def test_methods_are_fitted_to_data(model, x):
    scores = innspect.evaluate(model, x[:2], ["pattern.net"], {"srg": ("srg", {"steps": 2})}, fit_data=x)
    assert list(scores.results["srg"]) == ["pattern.net", "random"]


def test_one_sample_has_no_interval(model, x):
    scores = innspect.evaluate(model, x[:1], ["gradient"], QUICK)
    assert np.isnan(scores.interval("srg", "gradient")).all()
    assert "one sample has no interval" in str(scores)
    assert scores.best("srg") is None


def test_defaults_and_what_is_left_out(model, x):
    scores = innspect.evaluate(model, x[:2], "gradient")
    assert scores.metrics == ["srg", "insertion", "mprt.efficient"]
    assert "collage left out: " in str(scores)


def test_a_bootstrap_is_asked_for(model, x, scores):
    other = innspect.evaluate(model, x, ["gradient"], QUICK, interval="bootstrap")
    assert other.interval("srg", "gradient") == evaluation.interval(scores.values["srg"]["gradient"], kind="bootstrap")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"methods": ["gradient", "gradient"]}, ValueError, "differ"),
        ({"methods": []}, ValueError, "at least one"),
        ({"methods": ["gradeint"]}, KeyError, "gradient"),
        ({"methods": [("gradient", {"no_such": 1})]}, TypeError, "no_such"),
        ({"methods": {"random": "gradient"}}, ValueError, "random"),
        ({"metrics": ["srg", ("srg", {"steps": 3})]}, ValueError, "differ"),
        ({"metrics": ["srq"]}, KeyError, "srg"),
        ({"metrics": []}, ValueError, "`metrics`"),
        ({"metrics": [3]}, ValueError, "`metrics`"),
        ({"metrics": [("srg", {"no_such": 1})]}, TypeError, "no_such"),
        ({"metrics": [("srg", {"steps": -1})]}, ValueError, "`steps`"),
        ({"metrics": ["pointing_game"]}, ValueError, "`masks`"),
        ({"metrics": ["srg"], "masks": np.ones((6, 8, 8), bool)}, ValueError, "used by none"),
        ({"metrics": ["pointing_game"], "masks": np.ones((6, 7, 8), bool)}, ValueError, "`masks`"),
        ({"interval": "normal"}, ValueError, "`interval`"),
        ({"targets": 5}, ValueError, "between 0 and 4"),
        ({"seed": -1}, ValueError, "`seed`"),
        ({"batch_size": 0}, ValueError, "`batch_size`"),
    ],
)
def test_wrong_arguments(model, x, given, error, message):
    with pytest.raises(error, match=message):
        innspect.evaluate(model, x, **({"methods": ["gradient"], "metrics": QUICK} | given))


def test_equal_names_are_told_apart_by_labels(model, x):
    steps = {"few": ("srg", {"steps": 2}), "many": ("srg", {"steps": 8})}
    methods = {"ig": ("integrated_gradients", {"steps": 2}), "more": ("integrated_gradients", {"steps": 3})}
    scores = innspect.evaluate(model, x[:2], methods, steps)
    assert scores.metrics == ["few", "many"]
    assert scores.methods == ["ig", "more", "random"]


# ---------------------------------------------------------------------- metrics of users
def test_a_metric_of_your_own(metric, model, x):
    @metric("mine", higher_is_better=False, range=(0, 1))
    def mine(model, x, maps, targets, *, power=2.0, seed=0):
        return np.abs(maps).reshape(len(x), -1).max(1) ** power * 0 + targets / 10

    scores = innspect.evaluate(model, x, ["gradient"], ["mine", "srg"])
    assert scores.values["mine"]["gradient"] == pytest.approx(model.predict(x, verbose=0).argmax(1) / 10)
    assert "mine" in innspect.list_metrics()
    assert mine(model, x, x, np.zeros(6)).tolist() == [0] * 6
    with pytest.raises(ValueError, match="no metric has"):
        metric("srg")
    metric("wrong")(lambda model, x, maps, targets: np.zeros(3))
    with pytest.raises(ValueError, match="each of the 6 samples"):
        innspect.evaluate(model, x, ["gradient"], ["wrong"])


def test_a_metric_that_explains_again_is_given_the_analyzer(metric, model, x):
    @metric("again", explains_again=True)
    def again(model, x, analyzer, targets):
        return np.array([np.abs(analyzer.analyze(x + 1, targets)).mean()] * len(x))

    scores = innspect.evaluate(model, x, ["gradient"], ["again"])
    assert scores.values["again"]["gradient"][0] > 0
    assert scores.values["again"]["random"][0] == pytest.approx(np.sqrt(2 / np.pi), abs=0.1)


def test_families_are_listed():
    known = innspect.list_metrics()
    assert known == sorted(known)
    assert len(known) > 50
    assert "srg" in innspect.list_metrics("faithfulness")
    assert "mprt" not in innspect.list_metrics("faithfulness")
    with pytest.raises(ValueError, match="`family`"):
        innspect.list_metrics("no_such")


def test_every_metric_has_a_function_of_its_name_and_says_what_it_asks():
    for name in innspect.list_metrics():
        function = getattr(evaluation, name.replace(".", "_"))
        assert function.__doc__.startswith(registry.metrics()[name].measure.__doc__.split("\n")[0]), name
        assert len(registry.metrics()[name].asks) > 20, name


# ---------------------------------------------------------------------- kept
def test_saved_scores_are_read_again(scores, tmp_path):
    scores.save(tmp_path / "scores.npz")
    read = Scores.load(tmp_path / "scores.npz")
    assert str(read) == str(scores)
    assert read.summary() == scores.summary()
    assert np.array_equal(read.curves["srg"]["gradient"]["morf"], scores.curves["srg"]["gradient"]["morf"])
    (tmp_path / "damaged.npz").write_bytes((tmp_path / "scores.npz").read_bytes()[:-50])
    with pytest.raises(innspect.UnreadableFileError):
        Scores.load(tmp_path / "damaged.npz")
    innspect.create_analyzer("gradient", keras.Sequential([keras.Input((2,)), L.Dense(1)])).explain(np.ones((1, 2))).save(
        tmp_path / "other.npz"
    )
    with pytest.raises(innspect.UnreadableFileError, match="no scores"):
        Scores.load(tmp_path / "other.npz")


def test_interrupted_work_goes_on(metric, model, x, tmp_path):
    calls = []

    @metric("counted")
    def counted(model, x, maps, targets, *, power=1):
        calls.append(power)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return np.arange(len(x)) * float(power)

    asked = {"methods": METHODS, "metrics": ["counted"], "resume": tmp_path / "kept.npz"}
    with pytest.raises(KeyboardInterrupt):
        innspect.evaluate(model, x, **asked)
    assert len(Scores.load(tmp_path / "kept.npz").results["counted"]) == 2
    scores = innspect.evaluate(model, x, **asked)
    assert len(calls) == 3 + 2, "what was done is not done again"
    assert list(scores.results["counted"]) == scores.methods
    innspect.evaluate(model, x, **asked)
    assert len(calls) == 5
    for change in ({"seed": 1}, {"targets": 1}, {"metrics": [("counted", {"power": 2})]}):
        before = len(calls)
        innspect.evaluate(model, x, **(asked | change))
        assert len(calls) == before + 4, change


def test_another_model_is_another_question(metric, model, x, tmp_path):
    calls = []
    metric("counted")(lambda model, x, maps, targets: calls.append(1) or np.zeros(len(x)))
    for each in (model, shake(keras.models.clone_model(model), 7)):
        innspect.evaluate(each, x, ["gradient"], ["counted"], resume=tmp_path / "kept.npz")
    assert len(calls) == 4


# ---------------------------------------------------------------------- shown
def test_a_page_holds_everything(scores, tmp_path):
    page = scores.report(tmp_path / "scores.html", title="<A & B>", names=["one", "two", "three", "four"])
    text = (tmp_path / "scores.html").read_text(encoding="utf-8")
    assert text == page.html
    for part in (
        "&lt;A &amp; B&gt;",
        "three",
        "input_t_gradient",
        "hidden, the most relevant first",
        "Higher is better",
        "<svg",
    ):
        assert part in text, part
    assert text.count("data:image/png") == 4 * (1 + 3)  # inputs, which are below their maps, too, and maps
    assert "://" not in text.replace("http://www.w3.org", "")


def test_a_page_of_a_table(tmp_path):
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(3, activation="tanh"), L.Dense(2)]))
    table = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    scores = innspect.evaluate(model, table, ["gradient"], ["srg"])
    assert '<div class="bars"' in scores.report(tmp_path / "page.html").html


@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="needs matplotlib")
def test_curves_and_means_are_drawn(scores):
    figure = scores.plot()
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["srg", "deletion", "srg", "srg", "deletion"]
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[2].get_lines()}
    assert np.allclose(lines["gradient"], scores.curves["srg"]["gradient"]["morf"].mean(0))
    assert len(scores.plot(["srg"]).axes) == 3


def test_rows(scores):
    rows = scores.rows()
    assert len(rows) == 2 * 4 * 6
    assert rows[0][:3] == ("srg", "input_t_gradient", 0)
    if importlib.util.find_spec("pandas"):
        assert list(scores.to_frame().columns) == ["metric", "method", "sample", "value"]


# ---------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def folder(tmp_path_factory, model, x):
    folder = tmp_path_factory.mktemp("evaluate")
    model.save(folder / "model.keras")
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 2:5, 2:5] = True
    np.savez(folder / "data.npz", x=x, masks=masks)
    return folder


def run(folder, *more):
    return cli.main(["evaluate", str(folder / "model.keras"), str(folder / "data.npz:x"), "--method", "gradient", *more])


def test_the_command_prints_a_table(folder, capsys):
    assert run(folder, "--metric", "srg:steps=2") == 0
    said = capsys.readouterr().out
    assert "srg,steps=2 (higher)" in said
    assert "random" in said


def test_the_command_writes_json_and_csv(folder, capsys, tmp_path):
    assert run(folder, "--metric", "srg:steps=2", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["srg,steps=2"]["gradient"]["samples"] == 6
    assert run(folder, "--metric", "srg:steps=2", "--format", "csv", "--out", str(tmp_path / "a.csv")) == 0
    rows = list(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["metric", "method", "sample", "name", "value"]
    assert len(rows) == 1 + 2 * 6
    assert float(rows[1][4]) == pytest.approx(found["values"]["srg,steps=2"]["gradient"][0])
    capsys.readouterr()
    assert run(folder, "--format", "csv", "--out", str(tmp_path / "a.csv")) == 1
    assert "exists" in capsys.readouterr().err


def test_the_command_takes_masks_and_writes_a_page(folder, tmp_path, capsys):
    page = tmp_path / "page.html"
    masks = str(folder / "data.npz:masks")
    assert run(folder, "--metric", "pointing_game", "--masks", masks, "--format", "html", "--out", str(page)) == 0
    assert "pointing_game" in page.read_text(encoding="utf-8")
    assert run(folder, "--metric", "pointing_game", "--format", "html", "--out", str(tmp_path / "b.html")) == 1
    assert "`masks`" in capsys.readouterr().err


def test_what_was_done_is_shown_when_the_command_is_interrupted(folder, metric, capsys, tmp_path):
    calls = []

    @metric("stopping")
    def stopping(model, x, maps, targets):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return np.zeros(len(x))

    kept = str(tmp_path / "kept.npz")
    assert run(folder, "--metric", "stopping", "--resume", kept) == 130
    assert "random" in capsys.readouterr().out
    assert run(folder, "--metric", "stopping", "--resume", kept) == 0
    assert len(calls) == 3


def test_the_command_lists_metrics(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["evaluate", "--list"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(name in said for name in innspect.list_metrics())


def test_tests_of_all_pairs_are_computed_once_for_the_results_there_are(monkeypatch):
    from innspect.evaluation import scores as module
    from innspect.evaluation.results import Result
    from innspect.evaluation.scores import Scores

    tests, paired = [], module.paired
    monkeypatch.setattr(module, "paired", lambda d: tests.append(1) or paired(d))
    rng = np.random.default_rng(0)
    found = Scores({"m": {name: Result(rng.normal(i, 1, 20), metric="m") for i, name in enumerate("abc")}})
    first = found.adjusted("m")
    assert len(tests) == 3
    found.summary(), found.ranking("m"), found.best("m"), str(found)
    assert len(tests) == 3
    first.clear()  # a copy
    assert len(found.adjusted("m")) == 3
    found.results["m"]["d"] = Result(rng.normal(9, 1, 20), metric="m")
    assert len(found.adjusted("m")) == 6
    found.results["m"]["d"] = Result(rng.normal(0, 1, 20), metric="m")
    assert found.adjusted("m") == Scores({"m": dict(found.results["m"])}).adjusted("m")
