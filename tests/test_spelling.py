"""A method is written in one form wherever one is taken, and so are metrics and tasks."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import spelling, study
from innspect.callbacks import ExplanationImages
from innspect.cli import options
from innspect.evaluation.asking import labelled
from innspect.evaluation.choosing.offers import offers
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.planted.run import Benchmarking

PAIR = ("lrp.gamma", {"gamma": 0.5})
FORMS = [
    "lrp.gamma:gamma=0.5",
    PAIR,
    list(PAIR),
    ["lrp.gamma:gamma=0.5"],
    [PAIR],
    (PAIR,),
    {"lrp.gamma(gamma=0.5)": PAIR},
    {"lrp.gamma(gamma=0.5)": "lrp.gamma:gamma=0.5"},
    [("lrp.gamma:gamma=0.5", {})],
]


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((4,))
    return shake(keras.Model(inputs, L.Dense(3)(L.Dense(5, activation="relu")(inputs))))


X = array(4, 4)
TAKERS = {
    "evaluate": lambda model, form: Evaluation(model, X, form, "completeness", known={})._methods,
    "choose": lambda model, form: offers(innspect.open_model(model), form, None, 0)[0],
    "benchmark": lambda model, form: Benchmarking("xor.white", form)._methods,
    "callback": lambda model, form: ExplanationImages(X, form).methods,
    "study": lambda model, form: study.make_analyzers(model, form),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("taker", TAKERS)
def test_all_that_take_methods_take_each_form(model, taker, form):
    (label,) = TAKERS[taker](model, form)
    assert label == "lrp.gamma(gamma=0.5)"


def test_a_report_takes_them_too(model):
    for form in FORMS[:2]:
        assert list(innspect.report(model, X[:1], form).explained.methods) == ["lrp.gamma(gamma=0.5)"]
    with pytest.raises(ValueError, match="`methods` must"):
        innspect.report(model, X, 3)


def test_the_arguments_arrive(model):
    expected = innspect.create_analyzer("lrp.gamma", model, gamma=0.5).analyze(X)
    for form in FORMS[::3]:
        (analyzer,) = study.make_analyzers(model, form).values()
        np.testing.assert_array_equal(analyzer.analyze(X), expected)
    np.testing.assert_array_equal(innspect.create_analyzer(FORMS[0], model).analyze(X), expected)
    assert options.method(FORMS[0]) == spelling.pair(PAIR, "methods") == PAIR
    assert study.named({"lrp.gamma": {"gamma": 0.5}}) == {"lrp.gamma": PAIR}  # the name is the label


@pytest.mark.parametrize("form", ["srg:steps=4", ("srg", {"steps": 4}), ["srg:steps=4"], {"srg": {"steps": 4}}], ids=str)
def test_metrics_and_tasks_are_written_alike(form):
    assert labelled(form) == {"srg": ("srg", {"steps": 4})}
    task = Benchmarking("xor.white:size=16", "gradient")._done
    assert list(task) == list(Benchmarking(("xor.white", {"size": 16}), "gradient")._done)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lrp.flat", ("lrp.flat", {})),
        ("lrp:rule=Epsilon", ("lrp", {"rule": "Epsilon"})),
        ("a:b=(0, 1),c=None,d='x:y'", ("a", {"b": (0, 1), "c": None, "d": "x:y"})),
        ("a:", ("a", {})),
    ],
)
def test_words_are_read(text, expected):
    assert spelling.in_words(text) == expected


@pytest.mark.parametrize("text", ["a:b", "a:b=", "a:**c", "a:b=f()", "a:b=1)(", "a:1", "a:b=x.y"])
def test_words_that_are_no_arguments_are_refused(text, model):
    for taker in (study.named, lambda given: innspect.create_analyzer(given, model)):
        with pytest.raises(ValueError, match="must be a name, or a name with arguments"):
            taker(text)


@pytest.mark.parametrize("given", [3, [3], [("a", 3)], [("a", {}, 1)], {"a": 3}, {3: "a"}, [], {}, (), [None], np.zeros(2)])
def test_what_is_no_method_is_refused_by_all(given, model):
    for taker in TAKERS.values():
        with pytest.raises(ValueError, match="`methods` must"):
            taker(model, given)


def test_an_argument_is_given_once(model):
    with pytest.raises(TypeError, match="'gamma' must be given once"):
        innspect.create_analyzer("lrp.gamma:gamma=0.5", model, gamma=0.1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("10 minutes", 600), (3, 3), (0.5, 0.5), ("2 min", 120)]
)
def test_times_are_read(text, seconds):
    assert spelling.seconds(text) == seconds
