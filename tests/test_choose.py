"""`innspect.choose` on networks: which method to take, how sure that is, within a time; files, pages and the command."""

import json
import time

import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake

import innspect
from innspect import cli, evaluation
from innspect.evaluation.choosing import budget
from innspect.evaluation.choosing.choice import Choice
from innspect.evaluation.choosing.search import Search, ordered
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial


# ---------------------------------------------------------------------- on a network
def network(trained=True):
    """A class for each quarter of the image that is bright: the truth is known, and maps of gradients have it."""
    inputs = keras.Input((8, 8, 1))
    y = L.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    model = keras.Model(inputs, L.Dense(4)(L.Flatten()(y)))
    shake(model)
    kernel = np.zeros((3, 3, 1, 4), "float32")
    kernel[1, 1, 0] = 1.0
    dense = np.zeros((8, 8, 4, 4), "float32")  # small, so that the softmax is not sure of everything
    for quarter in range(4):
        i, j = divmod(quarter, 2)
        dense[4 * i : 4 * i + 4, 4 * j : 4 * j + 4, :, quarter] = 0.02
    model.layers[1].set_weights([kernel, np.zeros(4, "float32")])
    model.layers[-1].set_weights([dense.reshape(-1, 4), np.zeros(4, "float32")])
    return model


def quarters(n):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (n, 8, 8, 1)).astype("float32")
    truth = np.zeros((n, 8, 8), bool)
    for i in range(n):
        a, b = divmod(i % 4, 2)
        truth[i, 4 * a : 4 * a + 4, 4 * b : 4 * b + 4] = True
    return x + 2 * truth[..., None], truth


METHODS = ["gradient", "input_t_gradient", "lrp.epsilon", "deconvnet"]


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def choice(model):
    x, truth = quarters(32)
    return innspect.choose(model, x, 60, truth, methods=METHODS)


def test_a_method_is_named_that_create_analyzer_takes(choice, model):
    assert choice.method in METHODS
    innspect.create_analyzer(choice.method, model, **choice.arguments).analyze(quarters(2)[0])
    assert choice.pick.settings["samples"] == choice.confirm.settings["samples"] == 16
    assert set(choice.decision.used) == {"srg", "insertion", "relevance_mass", "relevance_rank"}
    assert choice.text[0] == f"Take {choice.label}."
    assert "Confirmed by 16 other samples that had no part in the choice" in str(choice)
    assert "What it cannot see" in str(choice)
    assert set(choice.confirm.methods) == {*choice.shown, RANDOM}
    assert list(choice.confirm.examples["maps"]) == [*choice.shown, RANDOM]


def test_the_same_maps_are_tried_once(choice):
    assert "its maps are those of" in choice.left["lrp.epsilon"]  # without biases, relu and all: input times gradient
    assert not {"lrp.epsilon"} & set(choice.order)


def test_halves_go_by_the_samples_and_not_by_their_place(model):
    x, _ = quarters(20)
    first, back = ordered(Trial(model, x, 0)), ordered(Trial(model, x[::-1], 0))
    assert (x[first] == x[::-1][back]).all()
    assert (first != ordered(Trial(model, x, 0, seed=1))).any()
    u = [evaluation.draws.generator(0, "halves", key).random() for key in Trial(model, x, 0).keys]
    assert (first == np.argsort(u)).all()


def test_few_samples_choose_and_nothing_confirms(model):
    x, truth = quarters(9)
    found = innspect.choose(model, x, 60, truth, methods=METHODS[:2])
    assert found.confirm is None
    assert found.pick.settings["samples"] == 9
    assert found.method is not None
    assert "Nothing confirmed this choice" in str(found)


def test_too_few_samples_say_so(model):
    found = innspect.choose(model, quarters(7)[0], 60, methods=METHODS)
    assert found.method is None
    assert "Too few samples to choose by: 8 are needed. Received: 7" in str(found)


def test_nothing_beats_random_on_a_network_that_says_nothing():
    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, L.Dense(2)(L.Flatten()(inputs)))
    model.layers[-1].set_weights([np.full((36, 2), 1e-3, "float32"), np.array([1.0, 0.0], "float32")])
    x = np.random.default_rng(0).normal(size=(16, 6, 6, 1)).astype("float32")
    found = innspect.choose(model, x, 60, methods=["gradient"])  # a constant map: the order is drawn
    assert found.method is None
    assert found.text[0].startswith("Nothing beats random here")
    assert "gradient (srg, insertion)" in str(found)
    assert found.methods == {}


def test_a_time_too_short_for_one_method_says_what_was_done(model):
    began = time.monotonic()
    found = innspect.choose(model, quarters(16)[0], 1e-6, methods=METHODS)
    assert time.monotonic() - began < 20
    assert found.method is None
    assert "The time was too short for one method" in found.text[0]
    assert set(found.left) == set(METHODS)
    str(found), found.report()


def test_the_time_is_kept_and_what_did_not_fit_is_named():
    class Slow(innspect.Analyzer):
        name = "slow"

        def __init__(self, model):
            super().__init__(model)

        def analyze(self, x, *given, **more):
            time.sleep(0.15 * len(x))
            return np.random.default_rng(0).normal(size=x.shape)

        def explain_batch(self, batch):
            raise NotImplementedError

    model, (x, _) = network(), quarters(16)
    innspect.choose(model, x, 60, methods=["gradient"], metrics=["srg"])  # compiles
    began = time.monotonic()
    found = innspect.choose(
        model, x, 4, methods={"gradient": "gradient", "slow": Slow(model), "slower": Slow(model)}, metrics=["srg"]
    )
    assert time.monotonic() - began < 4 * 1.2
    assert {"slow", "slower"} <= set(found.left)


def test_the_users_model_and_samples_stay_as_they_are(model):
    x, truth = quarters(8)
    before, weights = x.copy(), [w.copy() for w in model.get_weights()]
    innspect.choose(model, x, 60, truth, methods=["gradient"])
    assert (x == before).all()
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


def test_targets_go_with_their_samples(model):
    x, _ = quarters(18)
    targets = np.arange(18) % 4
    found = innspect.choose(model, x, 60, targets=targets, methods=["gradient"], metrics=["srg"])
    order = ordered(Trial(model, x, 0))
    assert (found.pick.classes == targets[order[:9]]).all()
    assert (found.confirm.classes == targets[order[9:]]).all()
    assert found.examples == order[9:12].tolist()
    assert (found.confirm.examples["x"] == x[order[9:12]]).all()


def test_a_method_that_fails_is_told(model):
    class Fails:
        name, signed, scale = "fails", True, "pixels"

        def explain(self, *given, **more):
            raise RuntimeError("no maps today")

        analyze = explain

        def get_config(self):
            return {}

    found = innspect.choose(model, quarters(8)[0], 60, methods={"fails": Fails(), "gradient": "gradient"}, metrics=["srg"])
    assert "no maps today" in found.left["fails"]
    assert found.order == ["gradient"]


def test_all_that_the_model_allows_is_offered(model):
    x, _ = quarters(8)
    given = {"targets": None, "truth": None, "methods": None, "metrics": None, "fit_data": None, "background": None}
    given |= {"seed": 0, "batch_size": 32, "output": 0, "channel_axis": "auto", "examples": 1, "resume": None}
    search = Search(innspect.open_model(model), x, budget.Clock(60), given)
    assert {"gradient", "lrp.epsilon", "grad_cam", "occlusion", "rise"} <= set(search.offers)
    assert not {"random", "input", "pattern.net", "lrp", "grad_cam.counterfactual"} & set(search.offers)
    assert search.left["pattern.net"] == "it learns from data: give `fit_data`"
    assert "low, high" in search.left["deep_taylor.bounded"]
    costs = [offer.expected for offer in search.offers.values()]
    assert costs == sorted(costs)


def test_arguments_stand_beside_the_name(model):
    x, truth = quarters(8)
    methods = {
        "few": ("integrated_gradients", {"steps": 4}),
        "made": innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1),
    }
    found = innspect.choose(model, x, 60, truth, methods=methods, metrics=["relevance_mass"])
    assert found.offers["few"]["arguments"] == {"steps": 4}
    made = found.offers.get("made")
    assert made is None or (made["name"], made["arguments"]) == ("lrp.epsilon", {"epsilon": 0.1})


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"truth": np.ones((8, 4, 4), bool)}, "`truth` must hold"),
        ({"truth": np.ones((8, 8, 8), bool)}, "tell some positions from others"),
        ({"truth": "stamp"}, "`truth` must be masks"),
        ({"time": "soon"}, "`time` must be a time above 0"),
        ({"methods": []}, "`methods`"),
        ({"metrics": []}, "`metrics`"),
        ({"examples": -1}, "`examples`"),
        ({"methods": ["gradient", "gradient"]}, "must differ"),
    ],
)
def test_bad_input(model, more, message):
    with pytest.raises(ValueError, match=message):
        innspect.choose(model, quarters(8)[0], **{"time": 60, "methods": METHODS[:1]} | more)


def test_unknown_names_are_told(model):
    for more in ({"methods": ["gradeint"]}, {"methods": ["gradient"], "metrics": ["srgg"]}):
        with pytest.raises(KeyError):
            innspect.choose(model, quarters(8)[0], 60, **more)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`model`"):
        innspect.choose(lambda x: x, quarters(8)[0], 60)


def test_outputs_that_cannot_be_scored_are_refused():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(2)(inputs))
    model.layers[-1].set_weights([np.full((4, 2), np.nan, "float32"), np.zeros(2, "float32")])
    with pytest.raises(ValueError, match="finite numbers"):
        innspect.choose(model, np.ones((8, 4), "float32"), 60, methods=["gradient"])


def test_tables_series_several_inputs_and_ids():
    a, b, ids = keras.Input((3,)), keras.Input((5, 2)), keras.Input((6,), dtype="int32")
    word = L.Embedding(10, 4, mask_zero=True)(ids)
    y = L.Dense(3)(L.Concatenate()([a, L.Flatten()(b), L.GlobalAveragePooling1D()(word)]))
    model, rng = shake(keras.Model([a, b, ids], y)), np.random.default_rng(0)
    x = [rng.normal(size=(8, 3)).astype("float32"), rng.normal(size=(8, 5, 2)).astype("float32"), rng.integers(1, 10, (8, 6))]
    truth = [rng.normal(size=(8, 3)), rng.normal(size=(8, 5)), np.zeros((8, 6))]
    before = [array.copy() for array in x]
    found = innspect.choose(model, x, 60, truth, methods=["input_t_gradient", "lrp.epsilon"])
    assert {"srg", "insertion", "relevance_mass", "relevance_rank", "sign_accuracy"} <= set(found.pick.results)
    assert "sign_accuracy" in found.decision.beside
    assert all((was == now).all() for was, now in zip(before, x, strict=True))
    str(found)


# ---------------------------------------------------------------------- shown and kept
def test_saved_and_loaded(choice, tmp_path):
    path = tmp_path / "choice.npz"
    choice.save(path)
    back = Choice.load(path)
    assert str(back) == str(choice)
    assert back.method == choice.method
    assert back.examples == choice.examples
    assert back.report().html == choice.report().html
    with pytest.raises(innspect.UnreadableFileError, match="no scores"):
        Scores.load(path)
    choice.pick.save(tmp_path / "scores.npz")
    with pytest.raises(innspect.UnreadableFileError, match="no choice"):
        Choice.load(tmp_path / "scores.npz")


def test_the_page_has_the_answer_on_top(choice, tmp_path):
    x, _ = quarters(32)
    page = choice.report(tmp_path / "choice.html", images=x, names=[f"picture {i}" for i in range(32)])
    text = (tmp_path / "choice.html").read_text(encoding="utf-8")
    assert page.html == text
    assert text.index(f"Take {choice.label}") < text.index("<svg") < text.index('class="maps"')
    assert f"picture {choice.examples[0]}" in text
    assert "random" in text
    assert choice._repr_html_().startswith("<p><b>Take ")
    with pytest.raises(ValueError, match="`names`"):
        choice.report(names=["one"])


def test_a_report_takes_the_best_of_them(model, monkeypatch):
    x, _ = quarters(16)
    made = innspect.choose(model, x, 60, methods=METHODS)
    monkeypatch.setattr("innspect.evaluation.choosing.choose.choose", lambda *given, **more: made)
    found = innspect.report(model, x[:2], methods="choose")
    assert list(found.explained.methods) == list(made.methods)
    assert made.text[0] in found.html.replace("&#x27;", "'")
    again = innspect.report(model, x[:2], methods=made)
    assert list(again.explained.methods) == list(made.methods)


def test_a_report_falls_back_to_the_default_methods(model, monkeypatch):
    monkeypatch.setattr("innspect.analyzers.defaults.default_methods", lambda *given, **more: ["gradient"])
    monkeypatch.setattr("innspect.evaluation.choosing.offers.list_analyzers", lambda: METHODS)
    found = innspect.report(model, quarters(2)[0], methods="choose")
    assert list(found.explained.methods) == ["gradient"]
    assert "Too few samples" in found.html


# ---------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def folder(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("choose")
    model.save(folder / "model.keras")
    x, truth = quarters(16)
    np.savez(folder / "data.npz", x=x, truth=truth)
    return folder


def run(folder, *more):
    given = ["choose", str(folder / "model.keras"), str(folder / "data.npz:x"), "--method", "gradient"]
    return cli.main([*given, "--method", "input_t_gradient", "--time", "60s", *more])


def test_the_command_says_what_to_take(folder, capsys):
    assert run(folder) == 0
    assert "random" in capsys.readouterr().out


def test_the_command_writes_all_formats(folder, capsys, tmp_path):
    assert run(folder, "--truth", str(folder / "data.npz:truth"), "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"] in ("gradient", "input_t_gradient")
    assert "relevance_mass" in found["used"]
    out = tmp_path / "page.html"
    assert run(folder, "--format", "html", "--out", str(out), "--save", str(tmp_path / "kept.npz")) == 0
    assert "<h1>" in out.read_text(encoding="utf-8")
    assert Choice.load(tmp_path / "kept.npz").settings["samples"] == 16
    assert run(folder, "--format", "html", "--out", str(out)) == 1
    assert "exists" in capsys.readouterr().err


def test_the_command_refuses_nonsense(folder, capsys):
    assert run(folder, "--time", "soon") == 1
    assert "time" in capsys.readouterr().err


# ---------------------------------------------------------------------- in parts
class Counted:
    """How many results are computed, and an interruption before one of them."""

    def __init__(self, monkeypatch, until=None):
        self.count, one = 0, Evaluation._one

        def counted(evaluation, *arguments):
            if self.count == until:
                raise KeyboardInterrupt
            self.count += 1
            return one(evaluation, *arguments)

        monkeypatch.setattr(Evaluation, "_one", counted)


def values(choice):
    return {(half, *row) for half in ("pick", "confirm") for row in getattr(choice, half).rows() if row[-1] == row[-1]}


def test_a_choice_that_was_interrupted_goes_on(model, tmp_path):
    x, methods, file = quarters(16)[0], METHODS[:3], tmp_path / "parts.npz"
    asked = {"methods": methods, "metrics": ["srg:steps=4", "insertion:steps=4"]}
    with pytest.MonkeyPatch.context() as patch:
        whole = Counted(patch)
        expected = innspect.choose(model, x, "1h", **asked)
    with pytest.MonkeyPatch.context() as patch:
        Counted(patch, until=5)
        with pytest.raises(KeyboardInterrupt):
            innspect.choose(model, x, "1h", **asked, resume=file)
    with pytest.MonkeyPatch.context() as patch:
        rest = Counted(patch)
        found = innspect.choose(model, x, "1h", **asked, resume=file)
    assert rest.count == whole.count - 5
    assert values(found) == values(expected)
    assert found.decision.ranks == expected.decision.ranks  # of equal ones that is taken which was the cheapest this time
    with pytest.MonkeyPatch.context() as patch:
        none = Counted(patch)
        assert values(innspect.choose(model, x, "1h", **asked, resume=file)) == values(expected)
    assert none.count == 0


def test_what_was_kept_of_other_samples_or_metrics_is_not_used(model, tmp_path):
    file, asked = tmp_path / "parts.npz", {"methods": METHODS[:1], "metrics": ["srg:steps=4"]}
    innspect.choose(model, quarters(16)[0], "1h", **asked, resume=file)
    for x, more in ((quarters(17)[0], {}), (quarters(16)[0], {"metrics": ["srg:steps=5"]}), (quarters(16)[0], {"seed": 1})):
        with pytest.MonkeyPatch.context() as patch:
            counted = Counted(patch)
            innspect.choose(model, x, "1h", **asked | more, resume=file)
        assert counted.count > 0


def test_another_file_is_no_choice_in_parts(model, tmp_path):
    Scores().save(tmp_path / "scores.npz")
    with pytest.raises(innspect.UnreadableFileError, match="holds no parts of a choice"):
        innspect.choose(model, quarters(16)[0], "1h", methods=METHODS[:1], resume=tmp_path / "scores.npz")


def test_the_command_chooses_for_an_output_and_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inputs = keras.Input((8, 8, 1))
    y = L.Flatten()(inputs)
    outputs = {"a": L.Dense(3, name="a")(y), "b": L.Dense(5, name="b")(y)}
    shake(keras.Model(inputs, outputs)).save("two.keras")
    np.save("x.npy", quarters(16)[0])
    words = ["choose", "two.keras", "x.npy", "--method", "gradient", "--metric", "srg:steps=4", "--resume", "parts.npz"]
    for output in ("b", "1", "a"):
        assert cli.main([*words, "--output", output, "--format", "json", "--out", f"{output}.json"]) == 0
    found = {output: json.loads((tmp_path / f"{output}.json").read_text())["scores"] for output in ("a", "b", "1")}
    assert found["b"] == found["1"] != found["a"]
    assert cli.main([*words, "--output", "c"]) == 1
    assert "'c'" in capsys.readouterr().err
    scores = ["evaluate", "two.keras", "x.npy", "--method", "gradient", "--metric", "srg:steps=4", "--format", "json"]
    told = {}
    for output in ("a", "b"):
        assert cli.main([*scores, "--output", output, "--out", f"{output}.scores"]) == 0
        told[output] = json.loads((tmp_path / f"{output}.scores").read_text())["values"]
    assert told["a"] != told["b"]
