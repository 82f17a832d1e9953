"""Whatever is given as an argument: a result that holds, or an error of innspect's own that names the argument."""

import functools
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from hostile import HOSTILE, INF, NAN, swallows
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.base.parameters import parameters
from innspect.analyzers.base.registry import example_arguments, find, list_analyzers
from innspect.checks import MOST, Elsewhere
from innspect.layers.names import RULES, settings_of

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # an odd value may be warned of
    pytest.mark.host,
]
X = array(2, 8, 8, 1)
# Arguments that are looked at with the model or the inputs, by whom the class says; see `Elsewhere`.
ELSEWHERE = {
    "background", "first", "input_layer_rule", "labels", "layer", "masks", "of", "path", "patterns", "reference_inputs",
    "rule", "rules", "tokens", "until_layer_rule", "value",
}  # fmt: skip


@pytest.fixture(scope="module")
def model():
    x = keras.Input((8, 8, 1))
    h = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    return shake(keras.Model(x, L.Dense(3, name="dense")(L.GlobalAveragePooling2D(name="pool")(h))))


# ---------------------------------------------------------------------- methods
@pytest.mark.parametrize("name", list_analyzers())
def test_every_argument_of_a_method_has_a_declared_range(name):
    cls, _ = find(name)
    ranges = cls.all_ranges()
    assert set(ranges) == set(parameters(cls))
    assert {k for k, allowed in ranges.items() if isinstance(allowed, Elsewhere)} <= ELSEWHERE


def swept(name):
    """The arguments of a method that are swept with it: its class's own, or all of a method of each kind."""
    cls, fixed = find(name)
    own = set(parameters(cls)) - set(fixed)
    known = {"name", "neuron_selection_mode", "disable_model_checks", "head", "start", "rules"}
    return sorted(own if name in ("gradient", *ONE_OF_EACH) else own - known)


def explained(cls, model, given, argument):
    value, maps = given[argument], cls(model, **given).analyze(X, 1)
    large = isinstance(value, int) and value > 1e9  # signals may grow too large, which is warned of
    assert large or np.isfinite(maps).all(), f"the map is not finite with {argument}={value!r}"


@pytest.mark.parametrize("name", list_analyzers())
@pytest.mark.sweep(on="jax tensorflow", keep=["rise", "lrp", "integrated_gradients"])
def test_hostile_arguments_of_a_method(name, model):
    (cls, fixed), faults = find(name), []
    needed = {**fixed, **example_arguments(name, X)}
    patterns = innspect.patterns.fit(model, X) if name.startswith("pattern") else None
    for argument in swept(name):
        for value in HOSTILE.values():
            given = {**needed, **({"patterns": patterns} if patterns is not None else {}), argument: value}

            if argument == "patterns" and value is None:
                continue  # it is fitted

            faults.append(swallows(argument, functools.partial(explained, cls, model, given, argument)))
    assert not any(faults), [f for f in faults if f]


COUNTS = {"steps", "num_samples", "num_masks", "iterations"}


@pytest.mark.parametrize("name", [n for n in list_analyzers() if COUNTS & set(parameters(find(n)[0]))])
def test_counts_have_a_bound_that_the_documentation_tells(name, model):
    cls, _ = find(name)
    (count,) = COUNTS & set(parameters(cls))
    with pytest.raises(ValueError, match=rf"`{count}` must be at most {MOST}.*Received: 1000000000"):
        innspect.create_analyzer(name, model, **{count: 10**9})
    assert any("at most a million" in (base.__doc__ or "") for base in cls.__mro__)


# ---------------------------------------------------------------------- settings of rules
@pytest.mark.parametrize(
    ("name", "arguments", "refused"),
    [
        ("lrp.epsilon", {"gamma": 0.5}, "gamma"),
        ("lrp.z", {"epsilon": 0.5}, "epsilon"),
        ("lrp.flat", {"epsilon": 0.5}, "epsilon"),
        ("lrp.w_square", {"bias": False}, "bias"),
        ("lrp.z_plus", {"bias": False}, "bias"),
        ("lrp.epsilon_IB", {"bias": True}, "bias"),
        ("lrp.alpha_2_beta_1", {"alpha": 5, "beta": 4}, "alpha"),
        ("lrp.alpha_beta", {"gamma": 1}, "gamma"),
        ("lrp.gamma", {"low": 0, "high": 1}, "low"),
        ("excitation_backprop", {"alpha": 2}, "alpha"),
        ("lrp", {"rule": {"convolution": "ZPlus", "dense": "Flat"}, "gamma": 0.1}, "gamma"),
        ("lrp", {"rule": ["ZPlus", innspect.layers.Epsilon(0.1)], "alpha": 2}, "alpha"),
        ("lrp", {"rule": innspect.layers.Epsilon(0.1), "epsilon": 0.2}, "epsilon"),
        ("lrp.flat", {"input_layer_rule": (0, 1), "low": 0}, "low"),
        ("lrp.epsilon", {"until_layer_rule": "ZPlus"}, "until_layer_rule"),
        ("lrp.epsilon", {"bias": "both"}, "bias"),
    ],
)
def test_settings_that_no_rule_in_use_takes_are_refused(name, arguments, refused, model):
    with pytest.raises((TypeError, ValueError), match=rf"\b{refused}\b"):
        innspect.create_analyzer(name, model, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lrp.epsilon", {"epsilon": 0.5, "bias": False}),
        ("lrp.gamma", {"epsilon": 0.5, "gamma": 1, "bias": True}),
        ("lrp.alpha_beta", {"alpha": 3, "beta": 2, "bias": "both"}),
        ("lrp.alpha_2_beta_1", {"bias": "both"}),
        ("lrp.flat", {"input_layer_rule": "Epsilon", "epsilon": 0.5}),
        ("lrp.flat", {"until_layer_idx": 0, "until_layer_rule": "AlphaBeta", "alpha": 3}),
        ("lrp.epsilon", {"input_layer_rule": "Bounded", "low": -2, "high": 2}),
        ("lrp", {"rule": {"convolution": "Gamma", "dense": "Epsilon"}, "gamma": 0.1, "epsilon": 0.2}),
        ("lrp", {"rule": {"convolution": "AlphaBeta", "dense": "Epsilon"}, "bias": "both"}),
        ("lrp", {"rule": [(lambda layer: True, "Gamma")], "gamma": 0.3}),
        ("lrp", {"rule": ["Flat", innspect.layers.Gamma], "gamma": 0.3}),
    ],
)
def test_settings_that_a_rule_in_use_takes_are_taken(name, arguments, model):
    assert np.isfinite(innspect.create_analyzer(name, model, **arguments).analyze(X, 1)).all()


def test_the_documentation_lists_what_every_rule_takes():
    text = (Path(__file__).parent.parent / "docs/methods/lrp.md").read_text(encoding="utf-8")
    for name in RULES:
        listed = re.search(rf"^\| `{name}` \| (.*) \|$", text, re.MULTILINE)
        assert listed, name
        assert set(re.findall(r"`(\w+)`", listed[1])) == settings_of(name), name


# ---------------------------------------------------------------------- what is explained
@pytest.mark.parametrize("argument", ["neuron_selection", "neurons", "batch_size", "output", "verbose"])
@pytest.mark.parametrize("name", ["gradient", "occlusion", "integrated_gradients"])
def test_hostile_arguments_of_analyze(name, argument, model):
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    faults = [swallows(argument, lambda v=v: analyzer.analyze(X, **{argument: v})) for v in HOSTILE.values()]
    assert not any(faults), [f for f in faults if f]


def test_hostile_places_of_explain(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    faults = [swallows("at", lambda v=v: analyzer.explain(X, 1, at=v)) for v in HOSTILE.values()]
    assert not any(faults), [f for f in faults if f]


@pytest.mark.parametrize(
    "function",
    [
        lambda y: None,
        lambda y: 3.0,
        lambda y: keras.ops.argmax(y, axis=-1),
        lambda y: np.zeros(y.shape[0]),
        lambda y: [y[:, 0]],
    ],
    ids=["none", "number", "integers", "numpy", "list"],
)
@pytest.mark.parametrize("name", ["gradient", "occlusion", "score_cam"])
def test_a_function_that_explains_no_number_for_each_sample(name, function, model):
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    with pytest.raises((TypeError, ValueError), match="neuron_selection"):
        analyzer.analyze(X, function)


def test_weights_are_finite_numbers_and_no_booleans(model):
    analyzer = innspect.create_analyzer("gradient", model)
    for weights in (np.array([True, False, True]), np.array([1, NAN, 0]), np.array([INF, 0, 0])):
        with pytest.raises(ValueError, match="neuron_selection"):
            analyzer.analyze(X, weights)


def test_masked_values_are_refused_wherever_numbers_are_taken(model):
    masked = np.ma.masked_array(X, mask=X > 0)
    for given, name, arguments in ((masked, "x", {}), (X, "reference_inputs", {"reference_inputs": masked})):
        with pytest.raises(ValueError, match=rf"`{name}` has masked values"):
            innspect.create_analyzer("integrated_gradients", model, **arguments).analyze(given, 1)
    plain = np.ma.masked_array(X, mask=False)
    gradient = innspect.create_analyzer("gradient", model)
    np.testing.assert_array_equal(gradient.analyze(plain, 1), gradient.analyze(X, 1))


def test_a_reference_may_be_what_the_model_makes_a_finite_output_of():
    x = keras.Input((3,))
    filled = keras.ops.nan_to_num(x, nan=0.0)
    model = shake(keras.Model(x, L.Dense(2)(filled)))
    innspect.create_analyzer("integrated_gradients", model, reference_inputs=NAN).analyze(array(2, 3), 1)
    plain = shake(keras.Sequential([keras.Input((3,)), L.Dense(2)]))
    with pytest.raises(ValueError, match=r"`reference_inputs` must be finite.*Received"):
        innspect.create_analyzer("integrated_gradients", plain, reference_inputs=NAN).analyze(array(2, 3), 1)


@pytest.mark.parametrize("name", ["gradient", "guided_backprop", "lrp.epsilon", "grad_cam", "occlusion"])
def test_a_sample_that_is_not_a_number_is_warned_of_by_its_own(name, model):
    """Also where a compiled function loses the NaN, as TensorFlow's do."""
    broken, analyzer = np.concatenate([X, X]), innspect.create_analyzer(name, model)
    broken[2, 0, 0, 0] = NAN
    with pytest.warns(UserWarning, match=r"own output is not finite.*1 of 4 samples \(number 2\)"):
        analyzer.analyze(broken, 1, batch_size=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        analyzer.analyze(X, 1)


def test_what_is_ruled_out_by_minus_infinity_is_no_reason_to_warn(model):
    x = keras.Input((3,))
    y = L.Dense(3)(x) + np.array([0.0, -INF, 0.0], "float32")
    masked = shake(keras.Model(x, y))
    analyzer = innspect.create_analyzer("lrp.epsilon", masked)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert np.isfinite(analyzer.explain(array(2, 3), 0).targets).all()
    with pytest.warns(UserWarning, match=r"own output is not finite.*2 of 2 samples \(number 0, 1\)"):
        analyzer.analyze(array(2, 3), 1)


# ---------------------------------------------------------------------- functions
REPORT = ("neurons", "names", "labels", "images", "title", "top", "batch_size", "output", "methods")


@pytest.mark.parametrize("argument", REPORT)
def test_hostile_arguments_of_a_report(argument, model):
    values = [*HOSTILE.values(), [0.5], 3, np.zeros(2), 0]

    def made(value):
        return innspect.report(model, X, **{"methods": ["gradient"], argument: value})

    faults = [swallows(argument, lambda v=v: made(v)) for v in values]
    assert not any(faults), [f for f in faults if f]


FIT = ("pattern_type", "batch_size", "gate", "y_mean", "verbose", "steps", "checkpoint", "every", "shard")


@pytest.mark.parametrize("argument", FIT)
def test_hostile_arguments_of_a_fit(argument, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "nonsense" is a good name of a file
    faults = [swallows(argument, lambda v=v: innspect.patterns.fit(model, X, **{argument: v})) for v in HOSTILE.values()]
    assert not any(faults), [f for f in faults if f]


QUALITY = ("estimators", "patterns", "layers", "patches", "batch_size", "seed")


@pytest.mark.parametrize("argument", QUALITY)
def test_hostile_arguments_of_the_quality(argument, model):
    def measured(value):
        data = array(4, 8, 8, 1), array(3, 8, 8, 1)
        return innspect.patterns.quality(model, "linear", *data, **{"patches": 50, argument: value})

    def called(value):
        if argument == "estimators":
            return innspect.patterns.quality(model, value, array(4, 8, 8, 1), array(3, 8, 8, 1), patches=50)
        return measured(value)

    faults = [swallows(argument, lambda v=v: called(v)) for v in HOSTILE.values()]
    assert not any(faults), [f for f in faults if f]
