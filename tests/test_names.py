"""Neurons by the names of their classes, wherever a neuron is taken and the names are known."""

import copy
import pickle

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from keras import layers as L
from models import array, network, shake

import innspect
from innspect.analyzers.base.registry import example_arguments
from innspect.callbacks import ExplanationImages
from innspect.labels import Labels

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:.deep_taylor")]

NAMES = ["tabby, tabby cat", "crane", "tiger"]
X = array(3, 6, 6, 2)


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def analyzer(model):
    return innspect.create_analyzer("lrp.epsilon", model, labels=NAMES)


@pytest.mark.sweep(keep=["gradient", "smoothgrad", "occlusion"])
@pytest.mark.parametrize("name", [*ONE_OF_EACH, "smoothgrad"])
def test_every_method_takes_names(name, model):
    analyzer = innspect.create_analyzer(name, model, labels=NAMES, **example_arguments(name, X))
    analyzer = analyzer.fit(X) if name.startswith("pattern.") else analyzer
    assert analyzer.labels == tuple(NAMES)
    np.testing.assert_array_equal(analyzer.analyze(X, "tiger"), analyzer.analyze(X, 2))


def test_a_name_stands_wherever_a_number_does(analyzer):
    for names, numbers in (("TABBY CAT", 0), (["tiger", "cr", "tabby"], [2, 1, 0]), (np.array(["tiger"] * 3), [2] * 3)):
        np.testing.assert_array_equal(analyzer.analyze(X, names), analyzer.analyze(X, numbers))
    np.testing.assert_array_equal(analyzer.analyze(X, neurons=["tiger", 1, None]), analyzer.analyze(X, neurons=[2, 1, None]))
    np.testing.assert_array_equal(
        analyzer.conservation(X, "crane").columns["received"], analyzer.conservation(X, 1).columns["received"]
    )
    np.testing.assert_array_equal(next(analyzer.stream(iter([X]), "tiger")), analyzer.analyze(X, 2))


def test_all_is_every_element_with_labels_too(model):
    analyzer = innspect.create_analyzer("gradient", model, labels=["all", "crane", "tiger"])
    np.testing.assert_array_equal(analyzer.analyze(X, "all"), analyzer.analyze(X, np.ones(3)))


def test_labels_may_be_set_later_and_taken_away(model, tmp_path):
    analyzer = innspect.create_analyzer("gradient", model)
    (tmp_path / "labels.txt").write_text("\n".join(NAMES) + "\n")
    analyzer.labels = tmp_path / "labels.txt"
    assert isinstance(analyzer.labels, Labels)
    analyzer.analyze(X, "tiger")
    analyzer.labels = None
    with pytest.raises(ValueError, match=r"as a string can only be 'all', or a name where.*`labels`. Received: 'tiger'"):
        analyzer.analyze(X, "tiger")


def test_copies_know_them(analyzer, tmp_path):
    analyzer.save(tmp_path / "a.innspect")
    made = type(analyzer)(analyzer.model, **analyzer.get_config())
    for again in (
        innspect.load_analyzer(tmp_path / "a.innspect"),
        pickle.loads(pickle.dumps(analyzer)),
        copy.copy(analyzer),
        made,
    ):
        assert isinstance(again.labels, Labels)
        assert again.labels == tuple(NAMES)


def test_an_explanation_tells_the_number_and_shows_the_names(analyzer, tmp_path):
    explanation = analyzer.explain(X, "tiger")
    assert explanation.settings["neuron_selection"] == 2
    assert explanation.settings["labels"] == NAMES
    assert "labels" not in explanation.settings["arguments"]
    explanation.save(tmp_path / "e.npz")
    for known in (explanation, innspect.Explanation.load(tmp_path / "e.npz")):
        best = Labels(NAMES).short(explanation.outputs[0].argmax())
        assert f"predicted {best} " in known._repr_html_()


def test_labels_of_other_outputs_are_refused(model):
    with pytest.raises(ValueError, match=r"hold 3 names.*Received: 2"):
        innspect.create_analyzer("gradient", model, labels=["a", "b"])


def test_of_several_outputs_those_have_names_that_have_as_many_neurons():
    x = keras.Input((4,))
    model = shake(keras.Model(x, [L.Dense(3, name="animal")(x), L.Dense(2, name="colour")(x)]))
    analyzer = innspect.create_analyzer("gradient", model, labels=NAMES)
    given = array(2, 4)
    np.testing.assert_array_equal(analyzer.analyze(given, "tiger"), analyzer.analyze(given, 2))
    with pytest.raises(ValueError, match=r"hold 2 names.*Received: 3"):
        analyzer.analyze(given, "tiger", output="colour")


def test_a_function_has_names_too():
    def answer(x):
        return x.reshape(len(x), -1)[:, :3]

    analyzer = innspect.create_analyzer("occlusion", answer, window=2, labels=NAMES)
    np.testing.assert_array_equal(analyzer.analyze(X, "crane"), analyzer.analyze(X, 1))


# ---------------------------------------------------------------------- reports and callbacks
@pytest.mark.once
def test_a_report_takes_names(model, tmp_path):
    (tmp_path / "labels.json").write_text('["tabby", "crane", "crane"]')
    made = innspect.report(model, X, ["gradient"], neurons=["tabby", 2], labels=tmp_path / "labels.json")
    np.testing.assert_array_equal(made.explained.neurons, [[0] * 3, [2] * 3])
    assert "crane (2)" in made.html
    with pytest.raises(ValueError, match=r"Several labels are 'crane'.*1 'crane', 2 'crane'"):
        innspect.report(model, X, ["gradient"], neurons=["crane"], labels=tmp_path / "labels.json")
    with pytest.raises(ValueError, match=r"3 names.*Received: 2"):
        innspect.report(model, X, ["gradient"], labels=["a", "b"])
    known = innspect.report(model, X, {"mine": innspect.create_analyzer("gradient", model, labels=NAMES)}, neurons=["tiger"])
    assert "tiger" in known.html
    assert "labels" not in known.explained.methods["mine"].settings
    with pytest.raises(ValueError, match="only where there are `labels`"):
        innspect.report(model, X, ["gradient"], neurons=["crane"])


def test_pictures_of_a_training_show_names(model, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(innspect.visualize, "grid", lambda maps, **look: drawn.update(look, maps=maps))
    callback = ExplanationImages(X, ["gradient"], log_dir=tmp_path, neuron_selection="tiger", labels=NAMES)
    callback.set_model(model)
    callback.on_train_begin()
    callback._figure()
    wanted = innspect.create_analyzer("gradient", model).analyze(X, 2)
    np.testing.assert_array_equal(drawn["maps"]["gradient"].attributions, wanted)
    assert all(caption.startswith("tiger ") for caption in drawn["captions"])
