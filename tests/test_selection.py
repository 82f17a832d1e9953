"""What is explained: every form of `neuron_selection`, modes, several neurons and outputs, heads and start values.

The gradient of a weighted output is linear in the weights, so every form is compared with the rows of the Jacobian.
"""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import ZOO, array, shake

import innspect

X = array(5, 4)


def network(head=None, units=3):
    x = keras.Input((4,))
    h = L.Dense(6, activation="tanh", name="hidden")(x)
    return shake(keras.Model(x, L.Dense(units, activation=head, name="out")(h)))


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture(scope="module")
def analyzer(model):
    return innspect.create_analyzer("gradient", model)


@pytest.fixture(scope="module")
def rows(analyzer):
    """(neurons, samples, features): the Jacobian, one row a neuron."""
    return analyzer.analyze(X, neurons=[0, 1, 2])


def outputs(model, x=X):
    return ops.convert_to_numpy(model(x, training=False))


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_the_jacobian_is_the_models(model, rows):
    step = 1e-2
    for place in range(4):
        moved = np.eye(4, dtype="float32")[place] * step
        difference = (outputs(model, X + moved) - outputs(model, X - moved)) / (2 * step)
        np.testing.assert_allclose(rows[:, :, place], difference.T, atol=1e-3)


# ---------------------------------------------------------------------- forms
def test_an_integer(analyzer, rows):
    for neuron in (1, np.int64(1), np.array(1), ops.convert_to_tensor(1)):
        close(analyzer.analyze(X, neuron), rows[1])


def test_an_integer_for_each_sample(analyzer, rows):
    chosen = np.array([0, 2, 1, 1, 0])
    expected = rows[chosen, np.arange(5)]
    for neuron in (chosen, list(chosen), chosen[:, None], ops.convert_to_tensor(chosen)):
        close(analyzer.analyze(X, neuron), expected)


def test_nothing_is_the_largest(model, analyzer, rows):
    close(analyzer.analyze(X), rows[outputs(model).argmax(-1), np.arange(5)])


def test_a_tuple_is_one_element(analyzer, rows):
    close(analyzer.analyze(X, (2,)), rows[2])


def test_a_float_array_is_weights(analyzer, rows):
    weights = array(3, seed=2)
    close(analyzer.analyze(X, weights), np.tensordot(weights, rows, 1))
    weights = array(5, 3, seed=2)
    close(analyzer.analyze(X, weights), np.einsum("sn,nsf->sf", weights, rows))


def test_a_callable(analyzer, rows):
    close(analyzer.analyze(X, lambda y: y[:, 2] - y[:, 0]), rows[2] - rows[0])


def test_all(analyzer, rows):
    close(analyzer.analyze(X, "all"), rows.sum(0))


def test_batches_split_every_form(analyzer):
    for neuron in (None, np.array([0, 2, 1, 1, 0]), array(5, 3, seed=2), "all", (1,)):
        close(analyzer.analyze(X, neuron, batch_size=2), analyzer.analyze(X, neuron))


# ---------------------------------------------------------------------- several neurons
def test_neurons_put_an_axis_first(model, analyzer, rows):
    several = analyzer.explain(X, neurons=[2, None, "all", array(3, seed=2)])
    assert several.attributions.shape == (4, 5, 4)
    close(several.attributions[0], rows[2])
    close(several.attributions[1], analyzer.analyze(X))
    close(several.attributions[2], rows.sum(0))
    close(several.attributions[3], analyzer.analyze(X, array(3, seed=2)))
    close(several.targets[0], outputs(model)[:, 2])
    close(several.outputs, outputs(model))


@pytest.mark.parametrize("method", ["lrp.alpha_2_beta_1", "guided_backprop"])
def test_neurons_of_other_methods_and_in_batches(method):
    model, x = ZOO["functional"]()
    analyzer = innspect.create_analyzer(method, model)
    several = analyzer.analyze(x, neurons=[3, 0], batch_size=2)
    close(several, np.stack([analyzer.analyze(x, 3), analyzer.analyze(x, 0)]))


@pytest.mark.sweep(keep=["deep_lift", "smoothgrad"], on="jax")
@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon", "deep_lift", "integrated_gradients", "smoothgrad"])
def test_many_neurons(model, method):
    """More than the backends unroll: groups, the last of which is smaller."""
    few_points = {"integrated_gradients": {"steps": 4}, "smoothgrad": {"num_samples": 2}}
    analyzer = innspect.create_analyzer(method, model, **few_points.get(method, {}))
    order = [0, 2, 1] * 4
    many, few = (analyzer.explain(X, neurons=neurons, at="hidden", batch_size=3) for neurons in (order, [0, 1, 2]))
    found = [(e.attributions, e.targets, e.signals["hidden"], *([] if e.delta is None else [e.delta])) for e in (many, few)]
    for several, expected in zip(*found, strict=True):
        np.testing.assert_allclose(several, expected[order], rtol=1e-6, atol=1e-7)
    close(many.outputs, few.outputs)


def test_neurons_that_do_not_fit(analyzer):
    with pytest.raises(ValueError, match=r"either `neuron_selection` or `neurons`.*Received"):
        analyzer.analyze(X, 1, neurons=[0])
    with pytest.raises(ValueError, match=r"at least one.*Received: an empty list"):
        analyzer.analyze(X, neurons=[])
    with pytest.raises(ValueError, match=r"between 0 and 2.*Received: 3"):
        analyzer.analyze(X, neurons=[0, 3])


# ---------------------------------------------------------------------- out of range
@pytest.mark.parametrize(
    ("neuron", "match"),
    [
        (3, r"between 0 and 2.*Received: 3"),
        (-1, r"between 0 and 2.*Received: -1"),
        (np.array([0, 1, 2, 3, 0]), r"between 0 and 2.*Received: 3"),
        (np.array([0, 1]), r"one for each of the 5 samples.*Received: an integer array of shape \(2,\)"),
        ((0, 1), r"must hold 1 integers.*Received: \(0, 1\)"),
        ((3,), r"inside the output's shape \(3,\).*Received: \(3,\)"),
        ((1.5,), r"must hold 1 integers.*Received"),
        (array(2), r"expected shape \(3,\) or \(5, 3\).*Received: shape \(2,\)"),
        ("best", r"can only be 'all'.*Received: 'best'"),
        ({"neuron": 1}, r"must be None, an integer.*Received"),
        (lambda y: y, r"one value per sample.*Received: shape \(8, 3\)"),
        (lambda y: ops.sum(y), r"one value per sample.*Received: shape \(\)"),
    ],
)
def test_selections_that_do_not_fit(analyzer, neuron, match):
    with pytest.raises(ValueError, match=match):
        analyzer.analyze(X, neuron)


# ---------------------------------------------------------------------- modes
def test_modes(model, rows):
    largest = innspect.create_analyzer("gradient", model, neuron_selection_mode="max_activation")
    close(largest.analyze(X), rows[outputs(model).argmax(-1), np.arange(5)])
    with pytest.raises(ValueError, match=r"must be None with neuron_selection_mode='max_activation'.*Received.*1"):
        largest.analyze(X, 1)
    index = innspect.create_analyzer("gradient", model, neuron_selection_mode="index")
    close(index.analyze(X, 1), rows[1])
    with pytest.raises(ValueError, match=r"must be given with neuron_selection_mode='index'.*Received: None"):
        index.analyze(X)
    everything = innspect.create_analyzer("gradient", model, neuron_selection_mode="all")
    close(everything.analyze(X), rows.sum(0))
    close(everything.analyze(X, "all"), rows.sum(0))
    with pytest.raises(ValueError, match=r"must be None with neuron_selection_mode='all'.*Received"):
        everything.analyze(X, 1)


# ---------------------------------------------------------------------- outputs
def test_outputs_by_number_and_name():
    model, x = ZOO["several_outputs"]()
    analyzer = innspect.create_analyzer("gradient", model)
    for number, name in enumerate(["one", "two"]):
        by_number, by_name = analyzer.explain(x, 0, output=number), analyzer.explain(x, 0, output=name)
        for key in ("a", "b"):
            np.testing.assert_array_equal(by_number.attributions[key], by_name.attributions[key])
        close(by_name.outputs, ops.convert_to_numpy(model(x)[name]))
    with pytest.raises(KeyError, match=r"must be one of the model's outputs \['one', 'two'\]. Received: 'three'"):
        analyzer.analyze(x, output="three")
    for wrong in (2, -1, 0.5, None):
        with pytest.raises(ValueError, match=r"`output` must be between 0 and 1.*Received"):
            analyzer.analyze(x, output=wrong)
    with pytest.raises(ValueError, match=r"between 0 and 0.*Received: 1"):
        analyzer.analyze(x, 1, output="two")


def test_listed_outputs_are_named_too():
    x = keras.Input((4,))
    model = shake(keras.Model(x, [L.Dense(2, name="left")(x), L.Dense(3, name="right")(x)]))
    explanation = innspect.create_analyzer("lrp.epsilon", model).explain(X, 2, output="right")
    close(explanation.outputs, ops.convert_to_numpy(model(X)[1]))
    close(explanation.targets, explanation.outputs[:, 2])


# ---------------------------------------------------------------------- spatial outputs
def spatial():
    x = keras.Input((6, 6, 2))
    return shake(keras.Model(x, L.Conv2D(3, 3, name="out")(x))), array(2, 6, 6, 2)


def test_spatial_outputs():
    model, x = spatial()
    analyzer = innspect.create_analyzer("gradient", model)
    y = outputs(model, x)

    def weighted(weights):
        return analyzer.analyze(x, np.asarray(weights, "float32"))

    channel = np.zeros((4, 4, 3))
    channel[..., 1] = 1
    close(analyzer.analyze(x, 1), weighted(channel))  # summed over the spatial axes
    close(analyzer.explain(x, 1).targets, y[..., 1].sum((1, 2)))
    element = np.zeros((4, 4, 3))
    element[2, 3, 1] = 1
    close(analyzer.analyze(x, (2, 3, 1)), weighted(element))
    close(analyzer.explain(x, (2, 3, 1)).targets, y[:, 2, 3, 1])
    largest = np.zeros((2, 48))
    largest[[0, 1], y.reshape(2, -1).argmax(-1)] = 1
    close(analyzer.analyze(x), weighted(largest.reshape(y.shape)))
    close(analyzer.explain(x).targets, y.reshape(2, -1).max(-1))
    with pytest.raises(ValueError, match=r"between 0 and 2.*Received: 3"):
        analyzer.analyze(x, 3)
    with pytest.raises(ValueError, match=r"must hold 3 integers.*Received: \(1,\)"):
        analyzer.analyze(x, (1,))
    close(innspect.create_analyzer("lrp.z", model).explain(x, (2, 3, 1)).targets, y[:, 2, 3, 1])


# ---------------------------------------------------------------------- heads
def logits_of(model):
    logits = innspect.model_wo_softmax(model)
    return ops.convert_to_numpy(logits(X))


@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon", "guided_backprop"])
def test_a_softmax_is_stripped(method):
    model = network("softmax")
    explanation = innspect.create_analyzer(method, model).explain(X, 1)
    close(explanation.targets, logits_of(model)[:, 1])
    close(explanation.outputs, outputs(model))
    kept = innspect.create_analyzer(method, model, head="output").explain(X, 1)
    close(kept.targets, outputs(model)[:, 1])
    assert np.abs(kept.attributions - explanation.attributions).max() > 1e-3


def test_a_softmax_layer_and_operation_are_stripped_too():
    x = keras.Input((4,))
    h = L.Dense(3, name="dense")(x)
    for head in (
        L.Softmax(),
        L.Activation("softmax"),
        ops.softmax,
        keras.activations.softmax,
        ops.sigmoid,
        L.Activation("sigmoid"),
    ):
        model = shake(keras.Model(x, head(h)))
        close(
            innspect.create_analyzer("gradient", model).analyze(X, 0),
            np.broadcast_to(ops.convert_to_numpy(model.layers[1].kernel)[:, 0], X.shape),
        )


def test_one_sigmoid_unit_is_its_logit():
    model = network("sigmoid", units=1)
    explanation = innspect.create_analyzer("lrp.epsilon", model).explain(X, 0)
    close(explanation.targets, logits_of(model)[:, 0])
    close(explanation.outputs, outputs(model))
    close(explanation.attributions, innspect.create_analyzer("lrp.epsilon", model).analyze(X))


def test_relevance_of_a_kept_head_is_the_probability():
    model = network("softmax")
    explanation = innspect.create_analyzer("lrp.z_IB", model, head="output").explain(X, 1)
    close(explanation.attributions.sum(-1), outputs(model)[:, 1])


# ---------------------------------------------------------------------- start values
def test_start_values(model):
    y = outputs(model)
    one = innspect.create_analyzer("gradient", model).analyze(X, 1)
    value = innspect.create_analyzer("gradient", model, start="value").analyze(X, 1)
    close(value, one * y[:, 1:2])
    value = innspect.create_analyzer("lrp.epsilon", model).analyze(X, 1)
    one = innspect.create_analyzer("lrp.epsilon", model, start="one").analyze(X, 1)
    np.testing.assert_allclose(value, one * y[:, 1:2], rtol=1e-4, atol=1e-6)


def test_weights_seed_relevance_with_weight_times_value(model):
    weights = array(3, seed=2)
    explanation = innspect.create_analyzer("lrp.z_IB", model).explain(X, weights)
    np.testing.assert_allclose(explanation.attributions.sum(-1), (outputs(model) * weights).sum(-1), rtol=1e-4, atol=1e-5)


def test_deep_taylor_starts_from_what_is_positive(model):
    y = outputs(model)
    analyzer = innspect.create_analyzer("deep_taylor", model)
    neuron = int(np.argmax((y > 0).any(0) & (y <= 0).any(0)))  # positive for some samples only
    with pytest.warns(UserWarning, match="decomposes positive evidence only"):
        ours = analyzer.analyze(X, neuron)
    assert (ours[y[:, neuron] <= 0] == 0).all()
    close(ours.sum(-1), np.maximum(0, y[:, neuron]))
