"""iNNvestigate's tools, against closed forms; and a script of iNNvestigate's, with one word replaced."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array

import innspect
from innspect.tools import PatternComputer, Perturbation, PerturbationAnalysis
from innspect.utils import BatchSequence


@pytest.fixture(params=["channels_last", "channels_first"])
def layout(request):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(request.param)
    yield lambda x: x if request.param == "channels_last" else np.moveaxis(x, -1, 1)
    keras.config.set_image_data_format(before)


# ---------------------------------------------------------------------- perturbation
X = np.arange(1.0, 2 * 4 * 6 * 3 + 1).reshape(2, 4, 6, 3).astype("float32")
RELEVANCE = np.zeros((2, 4, 6, 3))
RELEVANCE[0, 0, 2, 1], RELEVANCE[0, 3, 5, 2], RELEVANCE[1, 2, 0, 0] = 3, 2, -1


def test_the_most_relevant_regions_are_replaced_in_every_channel(layout):
    before = X.copy()
    changed = Perturbation("zeros", 2, (2, 2)).perturbate_on_batch(layout(X), layout(RELEVANCE))
    expected = X.copy()
    expected[0, :2, 2:4] = expected[0, 2:, 4:] = 0
    expected[1, :2, :4] = 0  # all are equal but one, which is less: the first in row-major order
    np.testing.assert_array_equal(changed, layout(expected))
    np.testing.assert_array_equal(X, before)
    assert changed.dtype == "float32"
    without_channels = Perturbation("zeros", 2, (2, 2)).perturbate_on_batch(layout(X), RELEVANCE.sum(-1))
    np.testing.assert_array_equal(without_channels, changed)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("mean", lambda region: np.full_like(region, region.mean())),
        ("invert", lambda region: -region),
        (lambda region: region + 1, lambda region: region + 1),
    ],
)
def test_what_a_region_is_replaced_by(function, expected):
    changed = Perturbation(function, 1, (2, 2)).perturbate_on_batch(X, RELEVANCE)
    for channel in range(3):
        np.testing.assert_allclose(changed[0, :2, 2:4, channel], expected(X[0, :2, 2:4, channel]))
    clipped = Perturbation(function, 1, (2, 2), value_range=(0, 5)).perturbate_on_batch(X, RELEVANCE)
    np.testing.assert_allclose(clipped[0, :2, 2:4], np.clip(changed[0, :2, 2:4], 0, 5))
    np.testing.assert_array_equal(clipped[0, 2:], X[0, 2:])  # values beyond the range elsewhere stay


def test_noise_is_drawn_from_the_seed_and_in_place_means_it():
    state = str(np.random.get_state())
    one, other, third = (Perturbation("gaussian", 6, (2, 2), seed=s).perturbate_on_batch(X, RELEVANCE) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)
    assert 0.2 < one.std() < 0.4
    assert str(np.random.get_state()) == state
    x = X.copy()
    np.testing.assert_array_equal(Perturbation("zeros", 1, (2, 2), in_place=True).perturbate_on_batch(x, RELEVANCE), x)
    assert (x[0, :2, 2:4] == 0).all()


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 4), (5, 7), (9, 9)])
def test_regions_that_do_not_divide_the_image(shape):
    regions = -(-4 // shape[0]) * -(-6 // shape[1])
    assert (Perturbation("zeros", regions, shape).perturbate_on_batch(X, RELEVANCE) == 0).all()
    changed = Perturbation("zeros", 1, shape).perturbate_on_batch(X, RELEVANCE)
    assert changed.shape == X.shape
    assert changed[0, 0, 2, 1] == 0
    assert regions == 1 or (changed[0] != 0).any()


def test_reductions_are_the_users():
    largest = Perturbation("zeros", 1, (2, 2), reduce_function=np.min, aggregation_function=np.min)
    changed = largest.perturbate_on_batch(X, RELEVANCE - 1)
    assert (changed[1, :2, :2] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Perturbation("ones"), "`perturbation_function` must be a function or one of.*Received: 'ones'"),
        (lambda: Perturbation("zeros", 7, (2, 2)).perturbate_on_batch(X, RELEVANCE), "between 0 and 6.*Received: 7"),
        (lambda: Perturbation("zeros").perturbate_on_batch(X, RELEVANCE[:, :2]), r"Received: \(2, 4, 6, 3\) and \(2, 2"),
        (lambda: Perturbation("zeros").perturbate_on_batch(X[0], X[0]), r"Received: \(4, 6, 3\)"),
    ],
)
def test_bad_perturbations_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    with pytest.raises(TypeError, match="Received: int"):
        Perturbation(3)


# ---------------------------------------------------------------------- analysis
WEIGHTS = np.arange(16.0).reshape(4, 4, 1)
INPUTS = np.arange(32.0).reshape(2, 4, 4, 1).astype("float32")
BLOCKS = [(slice(2, 4), slice(2, 4)), (slice(2, 4), slice(0, 2)), (slice(0, 2), slice(2, 4)), (slice(0, 2), slice(0, 2))]


def linear():
    model = keras.Sequential([keras.Input((4, 4, 1)), L.Flatten(), L.Dense(1, use_bias=False)])
    model.set_weights([WEIGHTS.reshape(16, 1)])
    model.compile("sgd", "mse")
    return model


def expected_scores(counts):
    """Mean squared output of the linear model, with its heaviest blocks set to zero."""
    scores = []
    for count in counts:
        x = INPUTS.copy()
        for rows, columns in BLOCKS[:count]:
            x[:, rows, columns] = 0
        scores.append(float(((x * WEIGHTS).sum((1, 2, 3)) ** 2).mean()))
    return scores


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize(("steps", "per_step", "counts"), [(4, 1, [0, 1, 2, 3, 4]), (2, 3, [0, 1, 4])])
def test_the_scores_of_a_linear_model_are_its_partial_sums(recompute, steps, per_step, counts):
    model = linear()
    analyzer = innspect.create_analyzer("gradient", model)
    generator = BatchSequence([INPUTS, np.zeros(2)], batch_size=1)
    analysis = PerturbationAnalysis(
        analyzer, model, generator, Perturbation("zeros", region_shape=(2, 2)), steps, per_step, recompute
    )
    np.testing.assert_allclose(analysis.compute_perturbation_analysis(), expected_scores(counts), rtol=1e-5)
    assert expected_scores([0, 4]) == [5761600, 0]


def test_batches_are_scored_and_metrics_averaged_over_samples(capsys):
    model = linear()
    model.compile("sgd", "mse", metrics=["mae"])
    analyzer, x = innspect.create_analyzer("gradient", model), np.concatenate([INPUTS, INPUTS[:1]])
    perturbation = Perturbation("zeros", 1, (2, 2))
    analysis = PerturbationAnalysis(analyzer, model, BatchSequence([x, np.zeros(3)], 2), perturbation, verbose=True)
    changed = x.copy()
    changed[:, 2:, 2:] = 0
    outputs = (changed * WEIGHTS).sum((1, 2, 3))
    expected = [(outputs**2).mean(), np.abs(outputs).mean()]
    np.testing.assert_allclose(analysis.compute_perturbation_analysis()[1], expected, rtol=1e-5)
    assert "Step 1 of 1" in capsys.readouterr().out
    np.testing.assert_allclose(analysis.evaluate_generator(analysis.generator, workers=2), expected, rtol=1e-5)
    by_hand = iter([(x[:2], np.zeros(2)), (x[2:], np.zeros(1), np.ones((1, 4, 4, 1)))])
    assert len(analysis.evaluate_generator(by_hand, steps=2)) == 2
    np.testing.assert_allclose(analysis.evaluate_on_batch(x, np.zeros(3)), expected, rtol=1e-5)
    weighted = analysis.evaluate_on_batch(x, np.zeros(3), sample_weight=np.array([1.0, 0, 0]))
    np.testing.assert_allclose(weighted[0], outputs[0] ** 2 / 3, rtol=1e-5)
    perturbed, relevance = analysis.compute_on_batch(x, return_analysis=True)
    np.testing.assert_array_equal(perturbed, changed)
    np.testing.assert_allclose(relevance[0], WEIGHTS, rtol=1e-5)


def test_too_many_regions_are_named():
    model = linear()
    arguments = (innspect.create_analyzer("gradient", model), model, BatchSequence([INPUTS, np.zeros(2)]))
    analysis = PerturbationAnalysis(*arguments, Perturbation("zeros", region_shape=(2, 2)), steps=5)
    with pytest.raises(ValueError, match=r"more regions than the 4 of an image\. Received: steps=5"):
        analysis.compute_perturbation_analysis()


# ---------------------------------------------------------------------- patterns
def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(3, 3, activation="relu", name="conv"),
            L.Flatten(),
            L.Dense(4, activation="relu", name="hidden"),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )


def test_patterns_are_those_of_fit_and_analyzers_take_them():
    model, x = network(), array(16, 6, 6, 1)
    computer = PatternComputer(model, pattern_type=("linear", "relu"))
    lists = computer.compute(x[:8], batch_size=8)
    for kind in ("linear", "relu"):
        for ours, theirs in zip(lists[kind], computer.patterns.select(kind).values(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(lists["linear"][0], lists["relu"][0])
    one = PatternComputer(model, pattern_type="linear", gpus=2)
    from_batches = one.compute_generator(BatchSequence(x, 8), max_queue_size=3, workers=2, steps_per_epoch=1)
    assert [a.shape for a in from_batches] == [(3, 3, 1, 3), (48, 4), (4, 3)]
    assert one.patterns.samples == 8
    for ours, theirs in zip(from_batches, lists["linear"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    analyzer = innspect.create_analyzer("pattern.net", model, patterns=from_batches)
    for path, ours in one.patterns.items():
        np.testing.assert_array_equal(analyzer.patterns[path], ours)


# ---------------------------------------------------------------------- a script
# Written as iNNvestigate's notebooks are; only the imports are changed, as a user would change them.
SCRIPT = """
import keras
import numpy as np

import innvestigate
import innvestigate.utils as iutils
import innvestigate.utils.keras.checks as kchecks
import innvestigate.utils.visualizations as ivis
from innvestigate.analyzer.relevance_based import relevance_rule as rrule
from innvestigate.tools import PatternComputer, Perturbation, PerturbationAnalysis

model_wo_softmax = iutils.model_wo_softmax(model)


def image(X):
    return ivis.project(X, absmax=255.0, input_is_positive_only=True)


def bk_proj(X):
    return ivis.clip_quantile(ivis.project(X), 1)


def heatmap(X):
    return ivis.heatmap(ivis.gamma(X, minamp=0, gamma=0.95))


def graymap(X):
    return ivis.graymap(np.abs(X), input_is_positive_only=True)


class EpsilonProxyRule(rrule.EpsilonRule):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, epsilon=0.1, bias=True, **kwargs)


conditions = [(kchecks.is_dense_layer, EpsilonProxyRule), (lambda layer, state: True, rrule.Alpha1Beta0Rule)]

patterns = PatternComputer(model_wo_softmax, pattern_type="relu").compute(x_train, batch_size=16, verbose=0)
methods = [
    ("input",                 {},                       image,   "Input"),
    ("gradient",              {"postprocess": "abs"},   graymap, "Gradient"),
    ("smoothgrad",            {"augment_by_n": 4, "noise_scale": 0.1, "postprocess": "square"}, graymap, "SmoothGrad"),
    ("integrated_gradients",  {"reference_inputs": 0.0, "steps": 4}, graymap, "Integrated Gradients"),
    ("guided_backprop",       {},                       bk_proj, "Guided Backprop"),
    ("pattern.net",           {"pattern_type": "relu"}, bk_proj, "PatternNet"),
    ("pattern.attribution",   {"patterns": patterns},   heatmap, "PatternAttribution"),
    ("deep_taylor",           {},                       heatmap, "Deep Taylor"),
    ("lrp.epsilon",           {"epsilon": 1},           heatmap, "LRP-Epsilon"),
    ("lrp.alpha_beta",        {"alpha": 3, "beta": 2},  heatmap, "LRP-AlphaBeta"),
    ("lrp.sequential_preset_a_flat", {"epsilon": 1},    heatmap, "LRP-PresetAFlat"),
    ("lrp", {"rule": "Epsilon", "input_layer_rule": "Flat"}, heatmap, "LRP"),
    ("lrp", {"rule": conditions, "input_layer_rule": (-3, 3)}, heatmap, "LRP-Conditions"),
    ("lrp", {"rule": ["Flat", "ZPlus", "Epsilon"]}, heatmap, "LRP-List"),
]

analyzers = []
for method in methods:
    analyzer = innvestigate.create_analyzer(method[0], model_wo_softmax, **method[1])
    analyzer.fit(x_train, batch_size=16, verbose=0)
    analyzers.append(analyzer)

images = []
for x in x_test[:2]:
    for method, analyzer in zip(methods, analyzers):
        a = analyzer.analyze(x[None])
        images.append(method[2](a)[0])

selected = innvestigate.create_analyzer("lrp.z", model_wo_softmax, neuron_selection_mode="index").analyze(x_test, 1)

class_name, state = analyzers[6].save()
same = innvestigate.analyzer.AnalyzerBase.load(class_name, state).analyze(x_test[:1])
analyzers[6].save_npz("analyzer")
loaded = innvestigate.analyzer.AnalyzerBase.load_npz("analyzer.npz").analyze(x_test[:1])
two = innvestigate.analyzer.relevance_based.relevance_analyzer.LRPEpsilon(model_wo_softmax, epsilon=1).analyze(x_test[:1])
one = innvestigate.analyzer.LRPEpsilon(model_wo_softmax, epsilon=1).analyze(x_test[:1])

model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
generator = iutils.BatchSequence([x_test, y_test], batch_size=4)
perturbation = Perturbation("mean", region_shape=(3, 3))
scores = np.array(
    PerturbationAnalysis(
        analyzers[8], model, generator, perturbation, steps=2, regions_per_step=1, recompute_analysis=False
    ).compute_perturbation_analysis()
)

try:
    innvestigate.create_analyzer("lrp.z", 3)
except (TypeError, innvestigate.NotAnalyzeableModelException):
    pass
"""


def test_a_script_of_innvestigate_runs_with_one_word_replaced(quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = network()
    model.layers[-1].bias.assign([5.0, 5.0, 5.0])  # positive logits, as deep Taylor needs them
    names = {
        "model": model,
        "x_train": array(16, 6, 6, 1),
        "x_test": array(6, 6, 6, 1, seed=1),
        "y_test": np.eye(3)[[0, 1, 2] * 2],
    }
    with pytest.warns(UserWarning, match="The first rule of the list `rule` is that of the model's first kernel layer"):
        exec(compile(SCRIPT.replace("innvestigate", "innspect"), "script", "exec"), names)
    assert len(names["images"]) == 2 * 14
    assert all(np.isfinite(image).all() and 0 <= image.min() <= image.max() <= 1.001 for image in names["images"])
    np.testing.assert_array_equal(names["same"], names["loaded"])
    np.testing.assert_allclose(names["same"], names["analyzers"][6].analyze(names["x_test"][:1]), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(names["one"], names["analyzers"][8].analyze(names["x_test"][:1]), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(names["one"], names["two"])
    assert names["selected"].shape == (6, 6, 6, 1)
    assert names["scores"].shape == (3, 2)
    assert np.isfinite(names["scores"]).all()


def test_every_class_of_innvestigate_is_a_method():
    import innspect.analyzer as old
    from innspect.migration.classes import meaning_of

    made = [meaning_of(getattr(old, name)) for name in dir(old) if isinstance(getattr(old, name), type)]
    names = {each.method for each in made if each is not None and each.method}
    assert names - set(innspect.list_analyzers()) == {"wrapper", "wrapper.augment_reduce"}  # which are no methods
    assert len(names) == 34 + 2
    assert "LRPEpsilon" in dir(old)
    assert old.Gradient(network()).name == "gradient"
    with pytest.raises(AttributeError, match="no attribute 'LRPOmega'"):
        old.LRPOmega  # noqa: B018


def test_states_of_others_are_named():
    name, state = innspect.create_analyzer("gradient", network()).save()
    with pytest.raises(ValueError, match=r"`class_name` must be the state's, 'gradient'. Received: 'lrp.z'"):
        innspect.Analyzer.load("lrp.z", state)
    with pytest.raises(ValueError, match=r"create and fit anew what iNNvestigate saved. Received: dict"):
        innspect.Analyzer.load(name, {"model_json": ""})
