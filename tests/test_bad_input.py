"""What users get wrong: an error that says what was expected and what was received, and nothing changed."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import ZOO, array, ids, native, shake

import innspect


@pytest.fixture(scope="module")
def model():
    return ZOO["functional"]()[0]


@pytest.fixture(scope="module")
def gradient(model):
    return innspect.create_analyzer("gradient", model)


X = array(3, 8, 8, 2)


# ---------------------------------------------------------------------- names and arguments
@pytest.mark.parametrize(
    ("name", "near"), [("lrp.epsilonn", "lrp.epsilon"), ("guided_backpropagation", "guided_backprop"), ("Gradient", "gradient")]
)
def test_unknown_names_offer_near_matches(model, name, near):
    with pytest.raises(KeyError) as caught:
        innspect.create_analyzer(name, model)
    text = str(caught.value)
    assert text.startswith(f"Unknown analyzer: {name!r}")  # no quotes around it, as a KeyError would put
    assert repr(near) in text
    assert "Received" in text or name in text


def test_unknown_arguments_offer_near_matches(model):
    with pytest.raises(TypeError, match=r"'lrp.epsilon' takes no argument 'epsilom'.*'epsilon'"):
        innspect.create_analyzer("lrp.epsilon", model, epsilom=0.1)


def test_arguments_that_a_name_fixes_are_refused(model):
    with pytest.raises(TypeError, match=r"takes no argument 'rule'"):
        innspect.create_analyzer("lrp.epsilon", model, rule="Z")


@pytest.mark.parametrize(
    ("method", "arguments", "match"),
    [
        ("lrp.alpha_beta", {"alpha": 2, "beta": 2}, r"alpha - beta = 1.*Received: alpha=2, beta=2"),
        ("lrp.alpha_beta", {"beta": -1}, r"beta >= 0.*Received"),
        ("deep_taylor.bounded", {}, r"`low` and `high` must both be given.*Received"),
        ("deep_taylor.bounded", {"low": 0}, r"`low` and `high` must both be given.*Received"),
        ("deep_taylor.bounded", {"low": 1, "high": 0}, r"`low` must not be above `high`.*Received: low=1"),
        ("lrp.epsilon_gamma_box", {"low": [0, 2], "high": 1}, r"`low` must not be above `high`.*Received"),
        ("lrp", {}, r"`rule` must be given.*Received: None"),
        ("lrp", {"rule": "Bounded"}, r"needs the bounds.*Received"),
        ("lrp", {"rule": "Epsilon", "input_layer_rule": (1, 0)}, r"`low` must not be above `high`.*Received"),
        ("lrp.epsilon", {"until_layer_idx": -1}, r"`until_layer_idx` must be .*Received: -1"),
        ("lrp.epsilon", {"bias": "some"}, r"`bias` must be .*Received: 'some'"),
        ("lrp.gamma", {"gamma": -1}, r"`gamma` must be a number that is not negative.*Received: -1"),
        ("lrp.epsilon", {"epsilon": -0.1}, r"`epsilon` must be a number that is not negative.*Received: -0.1"),
        ("lrp.epsilon", {"epsilon": "small"}, r"`epsilon` must be a number that is not negative.*Received: 'small'"),
        ("lrp.epsilon", {"epsilon": ("mean", 1)}, r"`epsilon` must be .*'rms', factor.*Received: \('mean', 1\)"),
        ("lrp.gamma", {"epsilon": ("rms", 1)}, r"goes with the epsilon rule.*Received: the rule 'Gamma'"),
        ("deep_taylor", {"input_rule": "z"}, r"`input_rule` must be .*Received: 'z'"),
        ("gradient", {"postprocess": "sign"}, r"`postprocess` must be .*Received: 'sign'"),
        ("gradient", {"head": "softmax"}, r"`head` must be .*Received: 'softmax'"),
        ("gradient", {"start": "two"}, r"`start` must be .*Received: 'two'"),
        ("gradient", {"neuron_selection_mode": "maximum"}, r"`neuron_selection_mode` must be .*Received: 'maximum'"),
    ],
)
def test_arguments_out_of_range(model, method, arguments, match):
    with pytest.raises(ValueError, match=match):
        innspect.create_analyzer(method, model, **arguments)


def test_unknown_rules_offer_near_matches(model):
    with pytest.raises(KeyError, match=r"Unknown rule: 'Epsilom'. Did you mean .*'Epsilon'"):
        innspect.create_analyzer("lrp", model, rule="Epsilom")
    with pytest.raises(KeyError, match=r"No kernel layer is named 'conv_1'.*'conv1'"):
        innspect.create_analyzer("lrp", model, rule={"conv_1": "ZPlus"})
    with pytest.raises(TypeError, match=r"A rule must be .*Received: 3"):
        innspect.create_analyzer("lrp", model, rule=3)


# ---------------------------------------------------------------------- models
@pytest.mark.parametrize("thing", [None, 3, "model.keras", np.zeros(3), keras.Model])
def test_a_model_that_is_no_keras_model(thing):
    with pytest.raises(TypeError, match=r"(?s)`model` must be a Keras 3 model.*Received: (model=|the name of a file|an array)"):
        innspect.create_analyzer("gradient", thing)


def test_an_unbuilt_model():
    with pytest.raises(ValueError, match=r"is not built.*`model.build\(input_shape\)`"):
        innspect.create_analyzer("gradient", keras.Sequential([L.Dense(3)]))


def test_a_model_of_several_arguments_whose_shapes_are_not_known():
    class Both(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = L.Dense(2), L.Dense(2)

        def call(self, left, right):
            return self.a(left) + self.b(right)

    model = Both()
    model(array(2, 3), array(2, 4))
    with pytest.raises(ValueError, match=r"build\(self, left_shape, right_shape\).*Received: a model with call\(left, right\)"):
        innspect.create_analyzer("gradient", model)


@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon"])
def test_a_softmax_of_native_code_cannot_be_stripped_and_says_what_to_do(method):
    x = keras.Input((4,))
    h = L.Dense(3, name="dense")(x)
    model = shake(keras.Model(x, L.Lambda(lambda t: native("softmax")(2 * t), output_shape=(3,), name="hidden")(h)))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'hidden' at the end .*`keras.ops.softmax`.*head=\"output\""):
        innspect.create_analyzer(method, model)
    kept = innspect.create_analyzer("gradient", model, head="output").explain(array(2, 4), 1)
    np.testing.assert_allclose(kept.targets, kept.outputs[:, 1], rtol=1e-6)


def test_a_softmax_of_keras_operations_inside_a_lambda_is_stripped():
    x = keras.Input((4,))
    h = L.Dense(3, name="dense")(x)
    model = shake(keras.Model(x, L.Lambda(lambda t: ops.softmax(t), name="hidden")(h)))
    explanation = innspect.create_analyzer("lrp.epsilon", model).explain(array(2, 4), 1)
    np.testing.assert_allclose(explanation.outputs.sum(-1), 1, rtol=1e-5)
    logits = ops.convert_to_numpy(ops.matmul(array(2, 4), model.get_layer("dense").kernel) + model.get_layer("dense").bias)
    np.testing.assert_allclose(explanation.targets, logits[:, 1], rtol=1e-5)


# ---------------------------------------------------------------------- inputs
@pytest.mark.parametrize(
    ("x", "match"),
    [
        (array(3, 8, 8, 3), r"wrong shape for the input 'image'.*\('samples', 8, 8, 2\).*Received: shape \(3, 8, 8, 3\)"),
        (array(8, 8, 2), r"Add the axis of samples: `x\[None\]`.*Received: shape \(8, 8, 2\)"),
        (np.float32(3), r"wrong shape.*Received: shape \(\)"),
        (np.full((3, 8, 8, 2), "a"), r"must hold numbers.*Received: dtype <U1"),
        (np.full((3, 8, 8, 2), None), r"must hold numbers.*Received: dtype object"),
        (array(3, 8, 8, 2) * 1j, r"must hold numbers.*Received: dtype complex64"),
    ],
)
def test_arrays_that_do_not_fit(gradient, x, match):
    with pytest.raises(ValueError, match=match):
        gradient.analyze(x)


@pytest.mark.parametrize("size", [0, -1, 2.5, "32"])
def test_batch_sizes(gradient, size):
    with pytest.raises(ValueError, match=r"`batch_size` must be None or a positive integer.*Received"):
        gradient.analyze(X, batch_size=size)


def test_fractions_where_ids_are_expected():
    analyzer = innspect.create_analyzer("gradient", ZOO["masked_embedding"]()[0])
    with pytest.raises(ValueError, match=r"takes integers.*Received: fractions"):
        analyzer.analyze(np.full((2, 6), 0.5))
    assert np.isfinite(analyzer.analyze(np.full((2, 6), 2.0))).all()


def test_several_inputs_that_do_not_fit():
    listed, (a, b) = ZOO["shared_model"]()
    analyzer = innspect.create_analyzer("gradient", listed)
    with pytest.raises(ValueError, match=r"list of 2 arrays, one for each input \['a', 'b'\].*Received: list of 1"):
        analyzer.analyze([a])
    with pytest.raises(ValueError, match=r"same number of samples.*Received: \[3, 2\]"):
        analyzer.analyze([a, b[:2]])
    with pytest.raises(ValueError, match=r"wrong shape for the input 'b'.*Received: shape \(3, 3\)"):
        analyzer.analyze([a, b[:, :3]])
    with pytest.raises(ValueError, match=r"dict with the inputs \['a', 'b'\].*Received: a dict with \['a', 'c'\]"):
        analyzer.analyze({"a": a, "c": b})
    named, x = ZOO["several_outputs"]()
    with pytest.raises(ValueError, match=r"dict with the inputs.*Received"):
        innspect.create_analyzer("gradient", named).analyze(x["a"])


def test_an_empty_stream(gradient):
    with pytest.raises(ValueError, match=r"yielded no batches.*Received"):
        gradient.analyze(batch for batch in ())


# ---------------------------------------------------------------------- NaN, infinity, nothing
METHODS = ["gradient", "guided_backprop", "lrp.epsilon", "lrp.alpha_2_beta_1", "lrp.w_square", "deep_taylor", "saliency"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:.*own output is not finite")
def test_nan_and_infinity_stay_with_their_sample(model, method, value, eager):
    analyzer = innspect.create_analyzer(method, model)
    x, broken = X.copy(), X.copy()
    broken[1, 2, 3, 0] = value
    expected = analyzer.analyze(x, 1)
    with pytest.warns(UserWarning, match=r"own output is not finite for 1 of 3 samples \(number 1\)"):
        got = analyzer.analyze(broken, 1)
    np.testing.assert_allclose(got[[0, 2]], expected[[0, 2]], rtol=1e-5, atol=1e-7)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("method", ["gradient", "saliency", "lrp.epsilon", "input", "random"])
def test_an_empty_batch_gives_an_empty_result(model, method):
    analyzer = innspect.create_analyzer(method, model)
    shape = (0, 8, 8) if method == "saliency" else (0, 8, 8, 2)
    assert analyzer.analyze(X[:0]).shape == shape
    assert analyzer.analyze(X[:0], neurons=[0, 1]).shape == (2, *shape)
    explanation = analyzer.explain(X[:0])
    assert explanation.outputs.shape[0] == explanation.targets.shape[0] == 0


def test_an_empty_batch_of_ids_and_of_several_inputs():
    assert innspect.create_analyzer("gradient", ZOO["masked_embedding"]()[0]).analyze(ids(0, 6, below=7)).shape == (0, 6)
    model, x = ZOO["several_outputs"]()
    got = innspect.create_analyzer("gradient", model).analyze({name: a[:0] for name, a in x.items()})
    assert {name: a.shape for name, a in got.items()} == {"a": (0, 4), "b": (0, 3)}


def test_an_empty_batch_is_checked_too(gradient):
    with pytest.raises(ValueError, match=r"Received: shape \(0, 8, 8, 3\)"):
        gradient.analyze(np.zeros((0, 8, 8, 3)))
    with pytest.raises(ValueError, match=r"`batch_size`"):
        gradient.analyze(X[:0], batch_size=0)
    with pytest.raises(ValueError, match=r"between 0 and 3.*Received: 4"):
        gradient.analyze(X[:0], 4)


def test_no_error_changes_anything(model, gradient):
    before = [w.copy() for w in model.get_weights()]
    expected = gradient.analyze(X)
    for wrong in (array(3, 8, 8, 3), None, {"wrong": X}):
        with pytest.raises((ValueError, TypeError)):
            gradient.analyze(wrong)
    with pytest.raises(ValueError, match="Received"):
        gradient.analyze(X, 17)
    np.testing.assert_array_equal(gradient.analyze(X), expected)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
