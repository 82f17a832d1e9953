"""Heads, activations, ids and layers in the ways that models have them: explained as what they compute, or refused by name."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake
from rewritings import native

import innspect

pytestmark = pytest.mark.usefixtures("quick")
REFUSED = innspect.NotAnalyzeableModelError


def network(shape, *stages, dtype="float32"):
    x = y = keras.Input(shape, dtype=dtype)
    for stage in stages:
        y = stage(y)
    return shake(keras.Model(x, y))


def explain(method, model, x, neuron=1, **more):
    return innspect.create_analyzer(method, model).explain(x, neuron, **more)


def same(found, wanted, tolerance=1e-5):
    for what in ("targets", "attributions"):
        a, b = getattr(found, what), getattr(wanted, what)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


# ---------------------------------------------------------------------- heads behind moves
MOVES = {
    "reshaped": lambda y: L.Reshape((-1, 3))(y),
    "flattened": lambda y: L.Flatten()(y),
    "channels first": lambda y: L.Permute((3, 1, 2))(y),
    "turned": lambda y: ops.flip(y, 1),
    "sliced": lambda y: y[:, 1:],
    "one row": lambda y: y[:, 0],
    "squeezed": lambda y: ops.squeeze(y[:, :1], 1),
    "cast and clipped": lambda y: ops.cast(ops.clip(y, 1e-7, 1.0), "float32"),
    "moved twice": lambda y: ops.transpose(L.Reshape((16, 3))(y), (0, 2, 1)),
    "the logarithm": lambda y: ops.log(y),
}


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("move", MOVES)
def test_a_head_that_is_moved_is_a_head(head, move):
    x, last = array(2, 4, 4, 2), L.Conv2D(3, 1)
    model = network((4, 4, 2), last, L.Activation(head), MOVES[move])
    logits = MOVES[move] if move not in ("cast and clipped", "the logarithm") else lambda y: y
    plain = network((4, 4, 2), last, logits)
    if (head, move) == ("sigmoid", "the logarithm"):  # which is a function of its own
        plain = model
    weights = np.zeros((2, *model.output_shape[1:]), "float32") if None not in model.output_shape[1:] else None
    weights = np.zeros((2, 16, 3), "float32") if weights is None else weights
    weights.reshape(2, -1)[:, 4] = 1
    for method in ("gradient", "lrp.epsilon"):
        found = explain(method, model, x, weights)
        same(found, explain(method, plain, x, weights))
        np.testing.assert_allclose(found.outputs, ops.convert_to_numpy(model(x)), rtol=1e-5, atol=1e-6)


def test_the_logits_of_a_tagger_are_taken_off_and_explained():
    tagger = network((4, 3), L.TimeDistributed(L.Dense(3, activation="softmax"), name="tags"), L.Reshape((12,)))
    logits = innspect.model_wo_softmax(tagger)
    x = array(2, 4, 3)
    same(explain("gradient", logits, x, 5), explain("gradient", tagger, x, 5))
    outer = keras.Input((4, 3))
    same(
        explain("gradient", keras.Model(outer, L.Activation("linear")(logits(outer))), x, 5), explain("gradient", tagger, x, 5)
    )
    assert explain("gradient", tagger, x, 5, at=["tags"]).signals["tags"].shape == (2, 4, 3)


def test_some_of_the_probabilities_are_the_models_own_output():
    model, x = network((4,), L.Dense(3, activation="softmax"), lambda p: p[:, 1:2]), array(2, 4)
    found = explain("gradient", model, x, 0)
    np.testing.assert_allclose(found.targets, found.outputs[:, 0], rtol=1e-6)


# ---------------------------------------------------------------------- activations of a backend
@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softplus", "elu", "silu"])
def test_a_function_of_the_backend_is_what_it_computes(name):
    if keras.backend.backend() == "torch" and name in ("softplus", "elu", "silu"):
        import torch

        function = getattr(torch.nn.functional, name)
    elif keras.backend.backend() == "jax" and name == "tanh":
        import jax.numpy as jnp

        function = jnp.tanh
    else:
        function = native(name)
    x = array(3, 4)
    written = [L.Dense(6, activation=function), L.Dense(6, activation=lambda t: function(t) + 0)]
    leaf = [L.Dense(6), L.Lambda(lambda t: function(t), output_shape=(6,))]
    plain = network((4,), L.Dense(6, activation=name), L.Dense(2))
    for stages in (*([s] for s in written), leaf):
        model = network((4,), *stages, L.Dense(2))
        for method in ("gradient", "guided_backprop", "lrp.epsilon", "lrp.z_plus"):
            same(explain(method, model, x), explain(method, plain, x))


def test_what_is_not_known_is_a_pass_where_it_is_elementwise_and_hides_nothing_from_guided_methods():
    square = native("sigmoid")
    model = network((4,), L.Dense(5, activation=lambda t: square(t) * 3 - t * square(t) ** 2), L.Dense(2))
    explain("lrp.epsilon", model, array(2, 4))
    with pytest.raises(REFUSED, match=r"guided_backprop.*lambda"):
        innspect.create_analyzer("guided_backprop", model)


def test_what_mixes_its_elements_is_no_activation():
    softmax = native("softmax")
    model = network((4,), L.Dense(5, activation=lambda t: softmax(2 * t) + t), L.Dense(2))
    explain("gradient", model, array(2, 4))
    with pytest.raises(REFUSED, match=r"lrp.epsilon.*lambda"):
        innspect.create_analyzer("lrp.epsilon", model)


def test_cells_with_functions_of_the_backend():
    function = native("sigmoid")
    cell = L.LSTM(3, recurrent_activation=lambda t: function(t) * 1)
    x = array(2, 4, 3)
    model, plain = network((4, 3), cell, L.Dense(2)), network((4, 3), L.LSTM(3), L.Dense(2))
    same(explain("lrp.epsilon", model, x), explain("lrp.epsilon", plain, x))
    softmax = native("softmax")
    with pytest.raises(REFUSED, match="simple_rnn"):
        innspect.create_analyzer("lrp.epsilon", network((4, 3), L.SimpleRNN(3, activation=lambda t: softmax(t)), L.Dense(2)))


# ---------------------------------------------------------------------- ids
IDS = np.array([[1, 2], [3, 4], [6, 8]])
OF_IDS = {
    "as they are": lambda t: t,
    "cast": lambda t: ops.cast(t, "int32"),
    "reshaped": lambda t: ops.reshape(t, (-1, 2)),
    "in pieces": lambda t: ops.concatenate([t[:, :1], ops.expand_dims(t[:, 1], 1)], axis=1),
    "stacked": lambda t: ops.stack(ops.unstack(t, axis=1), axis=1),
}


@pytest.mark.parametrize("way", OF_IDS)
@pytest.mark.parametrize("method", ["gradient", "input_t_gradient", "integrated_gradients", "lrp.epsilon"])
def test_ids_in_an_input_of_floats_are_ids(way, method):
    used = L.Embedding(12, 4), L.Flatten(), L.Dense(2)
    plain = network((2,), *used, dtype="int32")
    weights = plain.get_weights()
    model = network((2,), OF_IDS[way], *used)
    model.set_weights(weights)
    for given in (IDS, IDS.astype("float32")):
        found, wanted = explain(method, model, given), explain(method, plain, IDS)
        same(found, wanted)
        assert np.any(found.attributions)


def test_new_numbers_for_ids_are_names_for_them():
    used = L.Embedding(40, 4), L.Flatten(), L.Dense(2)
    plain = network((2,), *used, dtype="int32")
    weights = plain.get_weights()
    model = network((2,), lambda t: t * 2 + np.array([0, 20], "float32"), *used)
    model.set_weights(weights)
    moved = IDS * 2 + np.array([0, 20])
    for method in ("gradient", "integrated_gradients", "deep_lift", "lrp.epsilon"):
        same(explain(method, model, IDS.astype("float32")), explain(method, plain, moved))


def test_ids_beside_numbers_are_refused_where_an_input_is_moved():
    vectors, last = L.Embedding(9, 3), L.Dense(2)
    model = network((3,), lambda t: last(ops.concatenate([vectors(t[:, 0]), t[:, 1:]], -1)))
    x = np.array([[1, 0.5, -2], [4, 2.0, 0.3]], "float32")
    assert np.all(explain("lrp.epsilon", model, x).attributions[:, 1:] != 0)
    for method in ("input_t_gradient", "integrated_gradients", "deep_lift"):
        with pytest.raises(REFUSED, match="ids of an embedding beside numbers"):
            innspect.create_analyzer(method, model)


# ---------------------------------------------------------------------- training, quantized, the first sample
class Wrapped(keras.Model):
    def __init__(self, layer, **kwargs):
        super().__init__()
        self.layer, self.last, self.given = layer, L.Dense(2), kwargs

    def call(self, x):
        return self.last(self.layer(x, **self.given))


def inner(*layers):
    return keras.Sequential([keras.Input((4,)), L.Dense(4), *layers])


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (lambda: L.Dropout(0.5), "dropout"),
        (lambda: L.BatchNormalization(), "batch_normalization"),
        (lambda: L.GaussianNoise(0.1), "gaussian_noise"),
        (lambda: inner(L.Dropout(0.5)), "dropout"),
    ],
    ids=["dropout", "batch normalization", "noise", "within a model"],
)
def test_training_that_is_written_into_a_model_is_refused(layer, named):
    model = Wrapped(layer(), training=True)
    model(array(3, 4))
    with pytest.raises(REFUSED, match=f"{named}.*training=True"):
        innspect.create_analyzer("gradient", model)


@pytest.mark.parametrize(
    "layer", [lambda: L.Dropout(0.0), lambda: inner(L.ReLU()), lambda: L.BatchNormalization(trainable=False)]
)
def test_training_that_changes_nothing_is_none(layer):
    model = Wrapped(layer(), training=True)
    model(array(3, 4))
    explain("lrp.epsilon", shake(model), array(3, 4))


def test_a_quantized_layer_is_refused_by_name():
    model = network((4,), L.Dense(8, activation="relu", name="first"), L.Dense(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8")
    for method in ("gradient", "lrp.epsilon", "deep_lift"):
        with pytest.raises(REFUSED, match=r"'first' .*quantized \('int8'\).*before `quantize`"):
            innspect.create_analyzer(method, model)


def test_a_graph_that_differs_on_the_first_sample_only_is_an_error():
    def other_below_zero(x):
        return 2 * x if isinstance(x, keras.KerasTensor) else ops.where(x < 0, 3 * x, 2 * x)

    model = network((4,), L.Lambda(other_below_zero), L.Dense(2))
    analyzer = innspect.create_analyzer("gradient", model)
    with pytest.raises(REFUSED, match="does not compute what the model computes"):
        analyzer.analyze(-np.ones((1, 4), "float32"))


# ---------------------------------------------------------------------- layers made in `call`, long graphs
def test_layers_without_weights_may_be_made_within_call():
    used = one, other, last = L.Dense(4), L.Dense(4), L.Dense(2)

    def function(x):
        a, b = L.ReLU()(one(x)), other(x)
        return last(L.Concatenate()([L.Add()([a, b]), L.Multiply()([a, b]), L.Dropout(0.5)(L.Reshape((4,))(a))]))

    class Made(keras.Model):
        def __init__(self):
            super().__init__()
            self.used = used

        def call(self, x):
            return function(x)

    model, plain, x = Made(), network((4,), function), array(3, 4)
    model(x)
    for method in ("gradient", "lrp.epsilon"):
        same(explain(method, model, x), explain(method, plain, x))


def test_layers_with_weights_may_not():
    class Made(keras.Model):
        def call(self, x):
            return L.Dense(2, name="new")(x)

    model = Made()
    model.built = True
    model.build = lambda shape: None
    with pytest.raises((REFUSED, ValueError)):
        innspect.create_analyzer("gradient", model)


def test_a_long_graph_needs_no_deep_stack():
    def chain(x):
        for _ in range(700):
            x = ops.sin(x) * 1.01
        return x

    model, x = network((3,), L.Lambda(chain), L.Dense(2)), array(2, 3)
    for method in ("gradient", "lrp.epsilon", "lrp.attention"):
        assert np.isfinite(explain(method, model, x).attributions).all()
