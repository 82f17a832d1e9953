"""What a script of iNNvestigate's may do with its models, classes and wrappers."""

import copy
import random
import warnings

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect
import innspect.analyzer as old
from innspect.analyzer.relevance_based import relevance_rule
from innspect.testing import check_rule

pytestmark = pytest.mark.usefixtures("quick")
EAGER = pytest.mark.sweep(on="jax tensorflow", keep=[])  # what no backend compiles in its own way


# ---------------------------------------------------------------------- models without their heads
def nodes(model):
    """How often each layer was called, and its outputs read, on symbolic tensors."""
    return {layer.name: (len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model._flatten_layers()}


def functional(*last, shape=(4,)):
    x = keras.Input(shape)
    y = L.Dense(5, activation="relu", name="hidden")(x)
    for layer in last:
        y = layer(y)
    return keras.Model(x, y)


def nested():
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu"), L.Dense(3, activation="softmax")], name="inner")
    return keras.Model(x, inner(x))


def two_outputs():
    x = keras.Input((4,), name="x")
    y = L.Dense(5, activation="relu")(x)
    outputs = {"odds": L.Dense(3, activation="softmax", name="odds")(y), "size": L.Dense(2, name="size")(y)}
    return keras.Model({"x": x}, outputs)


def frozen():
    model = functional(L.Dense(3, activation="softmax", name="out"))
    model.get_layer("out").trainable = False
    return model


HEADED = {
    "dense": lambda: functional(L.Dense(3, activation="softmax", name="out")),
    "sequential": lambda: keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")]),
    "activation": lambda: functional(L.Dense(3), L.Activation("softmax")),
    "softmax layer": lambda: functional(L.Dense(3), L.Softmax()),
    "operation": lambda: functional(L.Dense(3), ops.softmax),
    "sigmoid": lambda: functional(L.Dense(1, activation="sigmoid")),
    "convolution": lambda: functional(L.Reshape((5, 1)), L.Conv1D(3, 2, activation="softmax")),
    "einsum": lambda: functional(L.EinsumDense("ab,bc->ac", 3, bias_axes="c", activation="softmax")),
    "over time": lambda: functional(L.TimeDistributed(L.Dense(3, activation="softmax")), shape=(2, 4)),
    "moved": lambda: functional(L.Dense(6, activation="sigmoid"), L.Reshape((2, 3))),
    "nested": nested,
    "two outputs": two_outputs,
    "frozen": frozen,
}


@pytest.mark.parametrize("kind", HEADED)
def test_the_bare_model_is_functional_and_shares_its_weights(kind):
    model = shake(HEADED[kind]())
    before, state, names = nodes(model), random.getstate(), [w.path for w in model.weights]
    bare = innspect.model_wo_softmax(model)
    assert nodes(model) == before
    assert random.getstate() == state
    assert [w.path for w in model.weights] == names
    assert isinstance(bare.inputs, list)
    assert [t.shape for t in bare.outputs] == [t.shape for t in model.outputs]
    assert {id(v) for v in bare.variables} == {id(v) for v in model.variables}
    assert {id(v) for v in bare.trainable_variables} == {id(v) for v in model.trainable_variables}
    x = {"x": array(3, 4)} if kind == "two outputs" else array(3, *model.input_shape[1:])
    shake(model, seed=5)  # and it follows
    head = ops.sigmoid if kind in ("sigmoid", "moved") else ops.softmax
    logits, expected = bare(x), model(x)
    for key in expected if isinstance(expected, dict) else [None]:
        z, y = (logits, expected) if key is None else (logits[key], expected[key])
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (z if key == "size" else head(z), y)), rtol=1e-5, atol=1e-6)
    assert len(bare.predict(x, batch_size=2, verbose=0)) == (2 if kind == "two outputs" else 3)


def test_a_bare_model_has_the_layers_of_the_model_and_is_trained():
    model = HEADED["dense"]()
    bare = innspect.model_wo_softmax(model)
    assert bare.get_layer("hidden") is model.get_layer("hidden")
    assert bare.layers[-1] is not model.layers[-1]
    assert bare.layers[-1].activation is keras.activations.linear
    before = keras.ops.convert_to_numpy(model.get_layer("out").kernel).copy()
    bare.compile("sgd", "mse")
    bare.fit(array(5, 4), array(5, 3), batch_size=2, verbose=0)
    assert np.abs(keras.ops.convert_to_numpy(model.get_layer("out").kernel) - before).max() > 1e-4
    assert model.layers[-1].activation is keras.activations.softmax


class Own(keras.Model):
    """A model that is no functional one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last = L.Conv1D(4, 2, activation="relu"), L.Dense(3, activation="softmax")

    def call(self, x):
        return self.last(ops.reshape(self.first(x), (-1, 12)))


def test_models_of_ones_own_keep_their_logits_for_any_number_of_samples():
    model, x = Own(), array(5, 4, 2)
    model(x)
    shake(model)
    bare = innspect.model_wo_softmax(model)
    z, y = bare.predict(x, batch_size=2, verbose=0), model.predict(x, verbose=0)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.softmax(z)), y, rtol=1e-5)
    bare.compile("sgd", "mse")
    np.testing.assert_allclose(bare.evaluate(x, np.zeros((5, 3)), batch_size=2, verbose=0), (z**2).mean(), rtol=1e-5)
    bare.fit(x, np.zeros((5, 3)), batch_size=2, verbose=0)


def test_any_activation_can_be_taken_off():
    x = array(3, 4)
    for model in (functional(L.Dense(3, activation="tanh")), functional(L.Dense(3), L.ELU())):
        bare = innspect.model_wo_output_activation(shake(model))
        activated = ops.tanh(bare(x)) if len(model.layers) == 3 else ops.elu(bare(x))
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (activated, model(x))), rtol=1e-5)
    soft = HEADED["dense"]()
    assert innspect.model_wo_output_activation(soft, "softmax").layers[-1].activation is keras.activations.linear
    with pytest.raises(innspect.NotAnalyzeableModelError, match="ends in no activation 'tanh'"):
        innspect.model_wo_output_activation(soft, "tanh")
    with pytest.raises(ValueError, match="`activation` must be the name"):
        innspect.model_wo_output_activation(soft, 3)


# ---------------------------------------------------------------------- arguments
@pytest.mark.once
@pytest.mark.parametrize("name", innspect.list_analyzers())
def test_arguments_without_meaning_are_ignored_with_one_warning(name):
    from innspect.analyzers.base.registry import accepted_of

    given = dict.fromkeys(["reverse_project_bottleneck_layers", "bn_layer_rule", "bn_layer_fuse_mode", "reverse_verbose"], True)
    with pytest.warns(UserWarning, match="`bn_layer_fuse_mode`: .*`reverse_verbose`") as told:
        left = accepted_of(name, {**given, "allow_lambda_layers": True})
    assert len(told) == 1
    assert set(left) <= {"reverse_project_bottleneck_layers"}
    assert ("reverse_project_bottleneck_layers" in left) == name.startswith("pattern.")


def perceptron(*units):
    x = y = keras.Input((4,))
    for number, count in enumerate(units, 1):
        y = L.Dense(count, activation="relu" if number < len(units) else None, name=f"d{number}")(y)
    return shake(keras.Model(x, y))


@pytest.mark.parametrize("first", ["Flat", (-2.0, 2.0), "WSquare"])
@pytest.mark.parametrize("until", [0, 1, 2])
def test_the_inputs_rule_wins_over_that_until_a_layer(first, until):
    model, x = perceptron(6, 5, 5, 3), array(3, 4).clip(-2, 2)
    beside = {"input_layer_rule": first, "until_layer_idx": until, "until_layer_rule": "Epsilon"}
    names = {"d1": first, **{f"d{n}": "Epsilon" if n <= until + 1 else "ZPlus" for n in (2, 3, 4)}}
    for method, rule in (("lrp", {"rule": "ZPlus"}), ("lrp.z_plus", {})):
        found = innspect.create_analyzer(method, model, **rule, **beside).analyze(x, 1)
        np.testing.assert_array_equal(found, innspect.create_analyzer("lrp", model, rule=names).analyze(x, 1))


def test_presets_take_a_rule_until_a_layer():
    model, x = perceptron(6, 5, 3), array(2, 4)
    flat = innspect.create_analyzer("lrp.sequential_preset_a_flat", model, until_layer_idx=1, until_layer_rule="ZPlus")
    by_name = {"d1": "Flat", "d2": "ZPlus", "default": "Epsilon"}
    expected = innspect.create_analyzer("lrp", model, rule=by_name, epsilon=0.1).analyze(x, 1)
    np.testing.assert_allclose(flat.analyze(x, 1), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="`until_layer_rule` needs `until_layer_idx`"):
        innspect.create_analyzer("lrp.epsilon_plus", model, until_layer_rule="ZPlus")


def test_modes_of_deep_lift():
    model, x = perceptron(6, 3), array(3, 4)

    def lift(**arguments):
        return innspect.create_analyzer("deep_lift.wrapper", model, **arguments).analyze(x, 1)

    for mode, rule in (("rescale", "rescale"), ("reveal_cancel", "reveal_cancel"), ("genomics_default", "reveal_cancel")):
        np.testing.assert_array_equal(lift(nonlinear_mode=mode), lift(rule=rule))
    with pytest.raises(ValueError, match=r"`nonlinear_mode` must be .*Received: 'linear'"):
        lift(nonlinear_mode="linear")
    with pytest.raises(ValueError, match="either `rule` or `nonlinear_mode`"):
        lift(nonlinear_mode="rescale", rule="reveal_cancel")
    with pytest.warns(UserWarning, match="`verbose`: `analyze` takes `verbose`"):
        lift(verbose=True)


# ---------------------------------------------------------------------- rules
def divided(a, b):
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def alpha_beta_x(alpha, beta):
    def formula(x, W, b, R):
        found = np.zeros_like(x)
        signs = {1: lambda t: np.maximum(t, 0), -1: lambda t: np.minimum(t, 0)}
        for part, of_x, of_w in ((alpha[0], 1, 1), (alpha[1], -1, -1), (-beta[0], 1, -1), (-beta[1], -1, 1)):
            shares = signs[of_x](x)[:, None] * signs[of_w](W)
            found += part * shares @ divided(R, shares.sum(0) + signs[of_x * of_w](b))
        return found

    return formula


@EAGER
@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [("X", (0.5, 0.5), (0.5, 0.5)), ("X1010", (1, 0), (0, -1)), ("X1001", (1, 1), (0, 0)), ("X2m100", (2, 0), (1, 0))],
)
def test_a_weight_for_each_quadrant(name, alpha, beta):
    check_rule(getattr(relevance_rule, f"AlphaBeta{name}Rule")(), alpha_beta_x(alpha, beta))


def test_hostile_weights_of_quadrants():
    for wrong in (1, (1,), (1, 2, 3), (np.nan, 0), "ab", None):
        with pytest.raises(ValueError, match="`alpha` must be"):
            relevance_rule.AlphaBetaXRule(alpha=wrong)


def test_bounds_that_are_missing_are_named():
    for rule in ("Bounded", relevance_rule.BoundedRule):
        with pytest.raises(ValueError, match="iNNvestigate takes low=-1 and high=1"):
            innspect.create_analyzer("lrp", perceptron(3), rule=rule)
        innspect.create_analyzer("lrp", perceptron(3), rule=rule, low=-1, high=1)


def test_rules_by_name_are_classes():
    model, x = perceptron(5, 3), array(2, 4)
    rules = old.relevance_based.relevance_analyzer.LRP_RULES
    by_class = innspect.create_analyzer("lrp", model, rule=rules["Epsilon"], epsilon=0.3).analyze(x, 1)
    np.testing.assert_array_equal(by_class, innspect.create_analyzer("lrp.epsilon", model, epsilon=0.3).analyze(x, 1))


# ---------------------------------------------------------------------- sequences
def sequences(*layers):
    return keras.Sequential([*layers, L.GlobalAveragePooling1D(), L.Dense(3)])


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (lambda: sequences(L.Embedding(20, 4), L.Conv1D(5, 3, activation="relu")), lambda n: ids(2, n, below=20)),
        (lambda: sequences(L.Conv1D(5, 3, padding="same", activation="relu")), lambda n: array(2, n, 3)),
    ],
    ids=["ids", "vectors"],
)
def test_a_sequential_model_explains_sequences_of_other_lengths(model, data):
    model = model()
    model.predict(data(7), verbose=0)
    shake(model)
    same = keras.Sequential([keras.Input((None, *data(7).shape[2:]), dtype=data(7).dtype), *model.layers])
    analyzer, of_same = (innspect.create_analyzer("lrp.epsilon", each) for each in (model, same))
    for length in (9, 5):
        expected = of_same.analyze(data(length), 1)
        np.testing.assert_allclose(analyzer.analyze(data(length), 1), expected, rtol=1e-5, atol=1e-6)


def test_a_length_that_layers_need_stays():
    model = keras.Sequential([L.Embedding(20, 4), L.Flatten(), L.Dense(3)])
    model.predict(ids(2, 7, below=20), verbose=0)
    with pytest.raises(ValueError, match="wrong shape"):
        innspect.create_analyzer("gradient", model).analyze(ids(2, 9, below=20))


# ---------------------------------------------------------------------- classes
def test_classes_stand_for_methods():
    model = perceptron(5, 3)
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    assert isinstance(analyzer, old.LRPEpsilon)
    assert isinstance(analyzer, old.LRP)
    assert isinstance(analyzer, old.AnalyzerBase)
    assert isinstance(analyzer, old.reverse_base.ReverseAnalyzerBase)
    assert not isinstance(analyzer, old.LRPZ)
    assert not isinstance(analyzer, old.Gradient)
    assert not isinstance(innspect.create_analyzer("vargrad", model), innspect.analyzers.averaging.noise.SmoothGrad)
    assert isinstance(old.SmoothGrad(model), old.GaussianSmoother)
    assert not isinstance(model, old.AnalyzerBase)
    assert old.analyzers["deep_taylor"] is old.deeptaylor.DeepTaylor
    assert old.LRPEpsilon(model, 0.3, False).get_config()["epsilon"] == 0.3


def test_a_class_can_be_derived_from():
    model, x = perceptron(5, 3), array(2, 4)

    class Scaled(old.LRPEpsilon):
        def __init__(self, model, *args, factor=2.0, **kwargs):
            super().__init__(model, *args, **kwargs)
            self.factor = factor

        def analyze(self, X, *args, **kwargs):
            return self.factor * super().analyze(X, *args, **kwargs)

    expected = 3 * innspect.create_analyzer("lrp.epsilon", model, epsilon=0.3).analyze(x, 1)
    analyzer = Scaled(model, 0.3, factor=3.0)
    for made in (analyzer, copy.copy(analyzer), Scaled(model, **analyzer.get_config())):
        np.testing.assert_allclose(made.analyze(x, 1), expected, rtol=1e-6)
    assert isinstance(analyzer, old.LRPEpsilon)
    with pytest.raises(TypeError, match=r"'lrp.epsilon' takes no argument 'omega'"):
        Scaled(model, omega=1)
    with pytest.warns(UserWarning, match="`reverse_verbose`"):
        Scaled(model, reverse_verbose=True)


@pytest.mark.once
def test_what_a_class_here_is_not_is_told():
    model = perceptron(5, 3)
    with pytest.raises(TypeError, match=r"'Mine' computes by '_create_analysis'.*innspect.analyzers.ReverseAnalyzer"):

        class Mine(old.base.OneEpochTrainerMixin, old.base.ReverseAnalyzerBase):
            def _create_analysis(self, model):
                pass

    class Nothing(old.base.ReverseAnalyzerBase):
        pass

    with pytest.raises(NotImplementedError, match="`Nothing` must have `rule` or `rows`"):
        Nothing(model)
    for call, said in (
        (lambda: old.AnalyzerBase(model), "derive from `innspect.analyzers.Analyzer`"),
        (lambda: old.Gradient(), "`Gradient` must be given a model"),
        (lambda: old.Gradient(model, None, 3), r"takes \(model, postprocess\) by position. Received: 3 arguments"),
        (lambda: old.Gradient(model, None, postprocess="abs"), "Received: 'postprocess' twice"),
        (lambda: old.GaussianSmoother(model), "`subanalyzer` must be an analyzer"),
    ):
        with pytest.raises(TypeError, match=said):
            call()


# ---------------------------------------------------------------------- wrappers
@pytest.fixture(scope="module")
def network():
    x = y = keras.Input((6, 6, 2))
    y = L.Conv2D(3, 3, activation="relu")(y)
    return shake(keras.Model(x, L.Dense(3)(L.Flatten()(y))))


@pytest.mark.parametrize("name", ["lrp.epsilon", "deep_lift", "grad_cam"])
def test_wrappers_are_of_any_method(name, network):
    x = array(3, 6, 6, 2)
    inner = innspect.create_analyzer(name, network)
    expected = inner.analyze(x)
    still = {"augment_by_n": 3, "noise_scale": 0}
    for wrapper in (old.WrapperBase(inner), old.AugmentReduceBase(inner, augment_by_n=3), old.GaussianSmoother(inner, **still)):
        np.testing.assert_allclose(wrapper.analyze(x, batch_size=6), expected, rtol=1e-4, atol=1e-6)
        several = wrapper.analyze(x, neurons=[0, 2])
        np.testing.assert_allclose(several[1], inner.analyze(x, 2), rtol=1e-4, atol=1e-6)


def test_a_path_is_integrated_for_methods_without_a_common_way_back(network):
    """DeepLIFT at points of the path, as its mean by the trapezoid, times the way."""
    x, inner = array(2, 6, 6, 2), innspect.create_analyzer("deep_lift", network)
    found = old.PathIntegrator(inner, steps=4, reference_inputs=0.5).explain(x, 1)
    weights = np.array([1, 2, 2, 2, 1]) / 8
    maps = [w * inner.analyze(0.5 + t * (x - 0.5), 1) for w, t in zip(weights, np.linspace(0, 1, 5), strict=True)]
    np.testing.assert_allclose(found.attributions, sum(maps) * (x - 0.5), rtol=1e-4, atol=1e-5)


def test_copies_may_be_made_different(network):
    class Mirrored(old.AugmentReduceBase):
        def _augment(self, Xs):
            return [ops.reshape(ops.stack([x, ops.flip(x, 1)], axis=1), (-1, *x.shape[1:])) for x in Xs]

        def _reduce(self, Xs):
            pairs = [ops.reshape(x, (-1, 2, *x.shape[1:])) for x in Xs]
            return [(p[:, 0] + ops.flip(p[:, 1], 1)) / 2 for p in pairs]

    inner, x = innspect.create_analyzer("lrp.z", network), array(5, 6, 6, 2)
    expected = (inner.analyze(x, 1) + inner.analyze(x[:, ::-1].copy(), 1)[:, ::-1]) / 2
    np.testing.assert_allclose(Mirrored(inner).analyze(x, 1, batch_size=4), expected, rtol=1e-5, atol=1e-6)


def test_wrappers_are_copied_and_saved(network, tmp_path):
    inner, x = innspect.create_analyzer("lrp.epsilon", network, epsilon=0.3), array(2, 6, 6, 2)
    for wrapper in (old.WrapperBase(inner), old.AugmentReduceBase(inner), old.PathIntegrator(inner, steps=4)):
        wrapper.save_npz(tmp_path / "wrapper")
        for again in (old.AnalyzerBase.load_npz(tmp_path / "wrapper"), copy.deepcopy(wrapper)):
            np.testing.assert_allclose(again.analyze(x, 1), wrapper.analyze(x, 1), rtol=1e-6, atol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        old.WrapperBase(inner).fit(x)
