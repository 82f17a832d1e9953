"""What relevance does at sums: methods without signs share without signs, all others in proportion."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import innspect
from innspect.layers import Proportional
from innspect.layers.weightless import EqualShares, PositiveParts

EQUAL = ["lrp.flat", "lrp.w_square"]
POSITIVE = ["lrp.z_plus", "deep_taylor", "excitation_backprop"]


def drawn(model, seed=0):
    """The model with weights of either sign, and its biases 0.1 times so large."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(rng.normal(0, 1 if len(weight.shape) > 1 else 0.1, weight.shape))
    return model


def residual(x, filters=4):
    """Two convolutions around which their input goes, as in a residual network, without a ReLU after the sum."""
    y = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return L.Add()([x, L.Conv2D(filters, 3, padding="same")(y)])


def of_every_kind(x):
    x = L.Conv2D(4, 3, padding="same")(x)
    y = L.Activation("tanh")(residual(x))
    x = L.Average()([y, x, L.Subtract()([x, y])])
    x = L.AveragePooling2D(3, 2, padding="same")(x)
    x = x - ops.mean(x, axis=-1, keepdims=True)
    x = L.UpSampling2D(interpolation="bilinear")(x)
    return L.GlobalAveragePooling2D()(x + ops.flip(x, axis=1))


def network(body=of_every_kind, shape=(6, 6, 3)):
    i = keras.Input(shape)
    return drawn(keras.Model(i, L.Dense(3)(body(i))))


def samples(shape=(6, 6, 3), count=4, seed=1):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def maps_of_positive_evidence(name, model, x):
    """Maps of the neuron with the largest output, which is positive."""
    explanation = innspect.create_analyzer(name, model).explain(x)
    assert (explanation.targets > 0).all()
    return explanation.attributions


@pytest.fixture(scope="module")
def signed():
    model = network()
    model.layers[-1].bias.assign([20, 20, 20])  # so that all evidence is positive
    return model, samples()


@pytest.mark.sweep(keep=["lrp.flat", "lrp.z_plus"], on="jax tensorflow")
@pytest.mark.parametrize("name", EQUAL + POSITIVE)
def test_a_method_without_signs_gives_nothing_negative(signed, name):
    assert maps_of_positive_evidence(name, *signed).min() >= 0


@pytest.mark.host
@pytest.mark.parametrize("name", EQUAL + POSITIVE + ["lrp.z_plus_fast"])
def test_what_is_lost_at_sums_is_told(signed, name):
    table = innspect.create_analyzer(name, signed[0]).conservation(signed[1], 0)
    assert table.error < 1e-4
    rows = [i for i, rule in enumerate(table.rules) if rule in ("EqualShares", "PositiveParts")]
    assert len(rows) >= 7
    lost = table.columns["dropped"][rows]
    assert (lost == 0).all() if name in EQUAL else (lost >= 0).all() and (lost > 0).any()


@pytest.mark.parametrize("name", EQUAL)
def test_equal_shares_do_not_depend_on_the_data(signed, name):
    model, x = signed
    e = innspect.create_analyzer(name, model, start="one").explain(x, 0)
    np.testing.assert_allclose(e.attributions, np.broadcast_to(e.attributions[:1], x.shape), rtol=1e-5)
    np.testing.assert_allclose(e.attributions.sum((1, 2, 3)), 1, rtol=1e-4)


def of_two(function):
    """Two inputs, and what a function makes of them, one to one."""
    a, b = keras.Input((3,)), keras.Input((3,))
    return keras.Model([a, b], function(a, b))


SUMS = {
    "Add": (lambda a, b: L.Add()([a, b]), 1),
    "a + b": (lambda a, b: a + b, 1),
    "Average": (lambda a, b: L.Average()([a, b]), 1),
    "Subtract": (lambda a, b: L.Subtract()([a, b]), -1),
    "a - b": (lambda a, b: a - b, -1),
}


@pytest.mark.parametrize("case", SUMS)
def test_a_sum_of_two_has_a_closed_form(case):
    function, sign = SUMS[case]
    model = of_two(function)
    a = np.array([[1.0, -2, 3], [-1, 2, 0]], "float32")
    b = np.array([[3.0, 1, -1], [-1, 2, 0]], "float32") * sign  # as it enters: 3, 1, -1
    r = np.array([[1.0, 2, 4], [8, 16, 32]], "float32")
    rule = {"start": "one"}
    half, other = innspect.create_analyzer("lrp.flat", model, **rule).analyze([a, b], r)
    np.testing.assert_allclose(half, r / 2)
    np.testing.assert_allclose(other, r / 2)
    of_a, of_b = innspect.create_analyzer("lrp.z_plus", model, **rule).analyze([a, b], r)
    np.testing.assert_allclose(of_a, [[0.25, 0, 4], [0, 8, 0]])
    np.testing.assert_allclose(of_b, [[0.75, 2, 0], [0, 8, 0]])


OF_THREE = {
    "a + b + c": lambda a, b, c: a + b + c,
    "a + (b + c)": lambda a, b, c: a + (b + c),
    "c - (-a - b)": lambda a, b, c: c - (-a - b),
    "add of a sum": lambda a, b, c: L.Add()([a + b, c]),
    "sum": lambda a, b, c: ops.sum(ops.stack([a, b, c]), axis=0),
}


@pytest.mark.parametrize("case", OF_THREE)
def test_sums_of_three_are_equal_however_they_are_written(case):
    inputs = [keras.Input((4,)) for _ in range(3)]
    whole = keras.Model(inputs, L.Add()(inputs))
    other = keras.Model(inputs, OF_THREE[case](*inputs))
    x = [samples((4,), seed=k) for k in range(3)]
    seed = np.abs(samples((4,), seed=9))
    for name in ("lrp.flat", "lrp.z_plus"):
        expected, found = (innspect.create_analyzer(name, m, start="one").analyze(x, seed) for m in (whole, other))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


POOLS = {
    "valid": lambda x: L.AveragePooling2D(2)(x),
    "overlapping, padded": lambda x: L.AveragePooling2D(3, 2, padding="same")(x),
    "global": lambda x: L.GlobalAveragePooling2D(keepdims=True)(x),
    "mean": lambda x: ops.mean(x, axis=(1, 2)),
    "sum": lambda x: ops.sum(x, axis=1),
}


@pytest.mark.sweep(keep=["overlapping, padded-lrp.flat", "overlapping, padded-lrp.z_plus"], on="jax tensorflow")
@pytest.mark.parametrize("name", ["lrp.flat", "lrp.z_plus"])
@pytest.mark.parametrize("case", POOLS)
def test_pooling_is_the_dense_layer_that_computes_the_same(case, name):
    i = keras.Input((5, 5, 2))
    y = POOLS[case](i)
    model = keras.Model(i, L.Flatten()(y))
    width = model.output_shape[-1]
    kernel = np.stack([model(np.eye(50, dtype="float32")[k].reshape(1, 5, 5, 2))[0] for k in range(50)])
    flat = keras.Input((50,))
    dense = L.Dense(width)
    same = keras.Model(flat, dense(flat))
    dense.kernel.assign(kernel)
    x = samples((5, 5, 2))
    seed = np.abs(samples((width,)))
    ours = innspect.create_analyzer(name, model, start="one").analyze(x, seed).reshape(len(x), -1)
    if name == "lrp.flat":
        touched = (kernel > 0).astype("float32")
        expected = (seed / touched.sum(0)) @ touched.T
    else:
        expected = innspect.create_analyzer(name, same, start="one").analyze(x.reshape(len(x), -1), seed)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def rules_at_sums(name, model=None, **arguments):
    """The classes of the rules at the sums of a residual network."""
    analyzer = innspect.create_analyzer(name, model or network(residual_body), **arguments)
    return {type(analyzer.table.rule_of(n)) for n in analyzer.plan.graph.nodes if n.kind == "sum"}


def residual_body(x):
    return L.GlobalAveragePooling2D()(residual(L.Conv2D(4, 3, name="stem")(x)))


MAIN = {
    "lrp.flat": EqualShares,
    "lrp.w_square": EqualShares,
    "lrp.z_plus": PositiveParts,
    "lrp.z_plus_fast": PositiveParts,
    "deep_taylor": PositiveParts,
    "excitation_backprop": PositiveParts,
    "lrp.epsilon": Proportional,
    "lrp.gamma": Proportional,
    "lrp.alpha_1_beta_0": Proportional,
    "lrp.alpha_2_beta_1_IB": Proportional,
    "lrp.epsilon_plus_flat": Proportional,
    "lrp.sequential_preset_a_flat": Proportional,
}


@pytest.mark.once
@pytest.mark.parametrize("name", MAIN)
def test_the_rules_of_the_kernels_say_what_sums_do(name):
    assert rules_at_sums(name) == {MAIN[name]}


CHOSEN = {
    "of all layers": ({"rule": "ZPlus"}, PositiveParts),
    "another at the input": ({"rule": "ZPlus", "input_layer_rule": (-1, 1)}, PositiveParts),
    "flat at the input": ({"rule": "ZPlus", "input_layer_rule": "Flat"}, PositiveParts),
    "flat up to a layer": ({"rule": "ZPlus", "until_layer_idx": 1}, PositiveParts),
    "z-box before flat": ({"rule": "Flat", "input_layer_rule": (-1, 1)}, EqualShares),
    "named alike": ({"rule": {"default": "ZPlus", "stem": "Flat"}}, PositiveParts),
    "a list": ({"rule": ["ZPlus"] * 4}, PositiveParts),
    "a list less the input's": ({"rule": ["Flat"] * 3, "input_layer_rule": "ZPlus"}, EqualShares),
    "conditions": ({"rule": [(lambda layer: True, "Flat")]}, EqualShares),
    "a composite": ({"rule": {"convolution": "ZPlus", "dense": "Epsilon"}}, Proportional),
    "one of them has signs": ({"rule": {"default": "ZPlus", "stem": "Epsilon"}}, Proportional),
    "flat up to a layer of epsilon": ({"rule": "Epsilon", "until_layer_idx": 2}, Proportional),
}


@pytest.mark.once
@pytest.mark.filterwarnings("ignore:The first rule of the list")  # which end of a list is the input's
@pytest.mark.parametrize("case", CHOSEN)
def test_lrp_with_rules_of_ones_own_does_as_the_methods_do(case):
    arguments, expected = CHOSEN[case]
    assert rules_at_sums("lrp", **arguments) == {expected}


@pytest.mark.host
def test_deep_residual_networks_do_not_explode():
    def body(x):
        x = L.Conv2D(4, 3, padding="same")(x)
        for _ in range(6):
            x = residual(x)
        return L.GlobalAveragePooling2D()(x)

    model, x = network(body), samples()
    for name in EQUAL + POSITIVE:
        e = innspect.create_analyzer(name, model).explain(x)
        size = np.abs(e.attributions).sum((1, 2, 3))
        assert (size <= np.abs(e.targets) * (1 + 1e-4)).all()


def test_a_constant_takes_no_part():
    i = keras.Input((3,))
    model = keras.Model(i, i * np.array([1.0, -2, 3], "float32") + np.array([1.0, 5, 2], "float32"))
    r = np.array([[1.0, 2, 3]], "float32")
    for name in ("lrp.flat", "lrp.w_square"):
        np.testing.assert_allclose(innspect.create_analyzer(name, model, start="one").analyze(np.ones((1, 3)), r), r)


def test_layer_normalization_of_what_is_not_negative_may_be_negative():
    """Its mean is subtracted: the forms of rules for inputs >= 0 do not hold behind it."""
    i = keras.Input((5,))
    x = L.LayerNormalization()(L.Dense(6, activation="relu")(i))
    model = drawn(keras.Model(i, L.Dense(3, name="last")(x)))
    assert "four quadrants" in str(innspect.create_analyzer("lrp.z_plus", model).summary()).splitlines()[-2]


def test_flat_relevance_passes_normalizations():
    i = keras.Input((4,))
    model = drawn(keras.Model(i, L.Dense(3)(L.LayerNormalization()(i))))
    maps = innspect.create_analyzer("lrp.flat", model, start="one").analyze(samples((4,)), 0)
    np.testing.assert_allclose(maps, 0.25, rtol=1e-5)
