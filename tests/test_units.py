"""Units as targets: a unit is what the output of the model up to its layer would be, for every method."""

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.base.registry import example_arguments

# Of these a model that ends at any layer has none, or the method does not ask.
LEFT_OUT = ("cam", "input", "random", "innspect")
METHODS = [n for n in innspect.list_analyzers() if n not in LEFT_OUT and not n.startswith("test.")]
FEW = ["lrp.epsilon_plus_flat", "grad_cam", "integrated_gradients", "occlusion", "pattern.net"]
X = np.random.default_rng(0).uniform(size=(3, 8, 8, 3)).astype("float32")


def drawn(model):
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) if "var" in weight.path else rng.normal(size=weight.shape) / 3)
    return model


@pytest.fixture(scope="module")
def model():
    i = keras.Input((8, 8, 3))
    first = L.Conv2D(4, 3, activation="relu", name="first")(i)
    x = L.BatchNormalization(name="norm")(L.Conv2D(4, 3, padding="same", name="second")(first))
    x = L.Conv2D(5, 3, activation="relu", name="third")(L.Add(name="sum")([L.Activation("sigmoid", name="gate")(x), first]))
    x = L.Dense(6, activation="tanh", name="dense")(L.GlobalAveragePooling2D()(x))
    return drawn(keras.Model(i, L.Dense(4, activation="softmax", name="last")(x)))


def ends_at(model, layer):
    return keras.Model(model.inputs, model.get_layer(layer).output)


def pair(name, model, layer, x=X):
    """An analyzer of the model, and one of the same arguments of the model that ends at a layer."""
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, x))
    if analyzer.learned:
        analyzer.fit(np.concatenate([x, 1 - x, x**2]))
    other = type(analyzer)(ends_at(model, layer), **analyzer.untaught())
    other.set_state(analyzer.state())
    return analyzer, other


@pytest.mark.sweep(on="jax tensorflow", keep=[f"{name}-third" for name in FEW])
@pytest.mark.parametrize("layer", ["norm", "third", "dense"])
@pytest.mark.parametrize("name", METHODS)
def test_a_unit_is_explained_as_the_output_of_the_model_up_to_its_layer(name, layer, model):
    analyzer, other = pair(name, model, layer)
    z = ends_at(model, layer).predict(X, verbose=0)
    channel = int(z.reshape(3, -1, z.shape[-1]).sum(axis=1).min(axis=0).argmax())  # deep Taylor asks for values above 0
    found, expected = analyzer.analyze(X, innspect.unit(layer, channel)), other.analyze(X, channel)
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 0 or "counterfactual" in name
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max() + 1e-12, rtol=1e-4)


def value_of(model, layer, channel, position, reduce):
    z = ends_at(model, layer).predict(X, verbose=0)[..., channel]
    if position is not None:
        return z[(slice(None), *position)]
    return getattr(np, reduce)(z.reshape(len(z), -1), axis=1)


@pytest.mark.parametrize("name", ["lrp.epsilon", "gradient", "occlusion", "smoothgrad"])
@pytest.mark.parametrize(("position", "reduce"), [(None, "sum"), (None, "mean"), (None, "max"), ((2, 3), "sum")])
def test_what_is_explained_is_the_value_of_the_unit(name, position, reduce, model):
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    found = analyzer.explain(X, innspect.unit("third", 2, position, reduce)).targets
    np.testing.assert_allclose(found, value_of(model, "third", 2, position, reduce), rtol=1e-4)


@pytest.mark.parametrize("start", ["value", "one"])
def test_a_seed_is_the_value_or_one_at_each_position_or_their_share(start, model):
    analyzer = innspect.create_analyzer("deconvnet", model, start=start)
    whole, mean = (analyzer.analyze(X, innspect.unit("third", 2, reduce=reduce)) for reduce in ("sum", "mean"))
    np.testing.assert_allclose(mean * 16, whole, atol=1e-5 * np.abs(whole).max())
    z = ends_at(model, "third").predict(X, verbose=0)[..., 2].reshape(3, -1)
    for sample, place in enumerate(z.argmax(axis=1)):
        found = analyzer.analyze(X[sample : sample + 1], innspect.unit("third", 2, reduce="max"))
        at = innspect.unit("third", 2, position=np.unravel_index(place, (4, 4)))
        np.testing.assert_array_equal(found, analyzer.analyze(X[sample : sample + 1], at))


def test_of_equal_positions_the_first_in_row_order_is_the_largest():
    model = keras.Sequential([keras.Input((3, 4, 1)), L.Conv2D(1, 1, use_bias=False, name="copy"), L.Flatten(), L.Dense(2)])
    model.layers[0].set_weights([np.ones((1, 1, 1, 1))])
    x = np.zeros((1, 3, 4, 1), "float32")
    x[0, [1, 1, 2], [3, 2, 0]] = 5
    found = innspect.create_analyzer("gradient", model).analyze(x, innspect.unit("copy", 0, reduce="max"))
    assert np.argwhere(found[0, ..., 0]).tolist() == [[1, 2]]


@pytest.mark.parametrize("name", ["gradient", "lrp.epsilon", "guided_backprop", "integrated_gradients", "occlusion"])
def test_a_map_is_exactly_zero_outside_the_field_of_a_unit(name, model):
    arguments = {"window": 1} if name == "occlusion" else {}
    found = innspect.create_analyzer(name, model, **arguments).analyze(X, innspect.unit("first", 1, position=(2, 3)))
    inside = np.zeros((8, 8), bool)
    inside[2:5, 3:6] = True
    assert not found[:, ~inside].any()
    assert found[:, inside].any()


def test_units_of_several_layers_and_neurons_are_told_in_the_order_asked(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    asked = [innspect.unit("dense", 3), 1, innspect.unit("third", 0, reduce="max"), innspect.unit("dense", 0), None]
    found = analyzer.explain(X, neurons=asked)
    assert found.attributions.shape == (5, *X.shape)
    assert found.targets.shape == found.delta.shape == (5, 3)
    for number, one in enumerate(asked):
        alone = analyzer.explain(X, one)
        np.testing.assert_allclose(found.attributions[number], alone.attributions, atol=1e-6)
        np.testing.assert_allclose(found.targets[number], alone.targets, rtol=1e-5)


def test_a_list_of_units_has_one_for_each_sample_in_batches_too(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    units = [innspect.unit("third", channel, (1, channel)) for channel in (3, 0, 2)]
    found = analyzer.analyze(X, units, batch_size=2)
    for sample, one in enumerate(units):
        np.testing.assert_allclose(found[sample], analyzer.analyze(X[sample : sample + 1], one)[0], rtol=1e-4, atol=1e-5)


def test_a_unit_of_the_output_layer_is_the_neuron_and_a_gate_inside_is_told_after_its_activation(model):
    analyzer = innspect.create_analyzer("gradient", model)
    np.testing.assert_array_equal(analyzer.analyze(X, innspect.unit("last", 2)), analyzer.analyze(X, 2))
    gate = ends_at(model, "gate")
    expected = innspect.create_analyzer("gradient", gate, head="output").analyze(X, 1)
    np.testing.assert_allclose(analyzer.analyze(X, innspect.unit("gate", 1)), expected, atol=1e-6)


def test_channels_first_frames_steps_and_heads_are_found_where_they_are():
    i = keras.Input((4, 6))
    x = L.MultiHeadAttention(3, 2, name="heads")(i, i)
    x = L.LSTM(5, return_sequences=True, name="steps")(x)
    x = L.TimeDistributed(L.Dense(7, activation="relu"), name="frames")(x)
    model = drawn(keras.Model(i, L.Dense(2)(L.Flatten()(x))))
    x = np.random.default_rng(1).normal(size=(2, 4, 6)).astype("float32")
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    for layer in ("steps", "frames"):
        z = ends_at(model, layer).predict(x, verbose=0)
        for unit, value in ((innspect.unit(layer, 3, 2), z[:, 2, 3]), (innspect.unit(layer, 1), z[..., 1].sum(1))):
            np.testing.assert_allclose(analyzer.explain(x, unit).targets, value, rtol=1e-4, atol=1e-6)
    assert analyzer.analyze(x, innspect.unit("frames", 3, 2)).shape == x.shape
    arrays = iter(model.get_layer("heads").get_weights()[:6])  # a kernel (features, heads, width) and a bias each
    query, key, value = (np.einsum("btf,fhd->bthd", x, w) + bias for w, bias in zip(arrays, arrays, strict=False))
    scores = np.einsum("bthd,bshd->bhts", query, key) / 2**0.5
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    seen = np.einsum("bhts,bshd->bthd", weights, value)
    told = np.stack([analyzer.explain(x, innspect.unit("heads", h)).targets for h in range(3)], axis=1)
    np.testing.assert_allclose(told, seen.sum(axis=(1, 3)), rtol=1e-3, atol=1e-5)
    at = analyzer.explain(x, innspect.unit("heads", 2, position=3)).targets
    np.testing.assert_allclose(at, seen[:, 3, 2].sum(-1), rtol=1e-3, atol=1e-5)


def test_units_lie_in_nested_and_shared_layers():
    body = keras.Sequential([keras.Input((6, 6, 1)), L.Conv2D(3, 3, activation="relu", name="conv")], name="body")
    a, b = keras.Input((6, 6, 1)), keras.Input((6, 6, 1))
    model = drawn(keras.Model([a, b], L.Dense(2)(L.Flatten()(L.Concatenate()([body(a), body(b)])))))
    xs = [np.random.default_rng(n).normal(size=(2, 6, 6, 1)).astype("float32") for n in (0, 1)]
    analyzer = innspect.create_analyzer("gradient", model)
    found = [analyzer.explain(xs, innspect.unit(f"body/conv[{call}]", 1)) for call in (0, 1)]
    for told in found:
        reached = [bool(np.any(m)) for m in told.attributions]
        assert sum(reached) == 1
        z = body.predict(xs[reached.index(True)], verbose=0)[..., 1].sum((1, 2))
        np.testing.assert_allclose(told.targets, z, rtol=1e-4)
    with pytest.raises(ValueError, match=r"called 2 times.*body/conv\[0\].*body/conv\[1\]"):
        analyzer.analyze(xs, innspect.unit("body/conv", 1))


def test_units_are_evaluated_and_the_layers_behind_them_left_alone(model):
    scores = innspect.evaluate(
        model, X, ["gradient", ("occlusion", {"window": 4})], ["insertion", "mprt"], targets=innspect.unit("third", 1)
    )
    assert not scores.failed
    assert scores.results["mprt"]["gradient"].settings["layers"] == ["third", "norm", "second", "first"]
    analyzer = innspect.create_analyzer("gradient", model)
    alone = innspect.evaluation.insertion(model, X, analyzer, targets=innspect.unit("third", 1))
    np.testing.assert_allclose(alone.values, scores.results["insertion"]["gradient"].values, rtol=1e-5)


def test_an_analyzer_that_is_fitted_again_explains_units_with_what_it_learned(model):
    analyzer = innspect.create_analyzer("pattern.attribution", model).fit(X)
    before = analyzer.analyze(X, innspect.unit("third", 1))
    analyzer.fit(1 - X**2)
    fresh = innspect.create_analyzer("pattern.attribution", model).fit(1 - X**2).analyze(X, innspect.unit("third", 1))
    after = analyzer.analyze(X, innspect.unit("third", 1))
    np.testing.assert_allclose(after, fresh, atol=1e-6 * np.abs(fresh).max())
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()


@pytest.mark.parametrize(
    ("unit", "error", "match"),
    [
        (innspect.unit("thrid", 1), KeyError, "`layer` must be the path of a layer.*Did you mean 'third'"),
        (innspect.unit("third", 5), ValueError, "`channel` must be between 0 and 4 for the layer 'third'. Received: 5"),
        (innspect.unit("third", 1, (1,)), ValueError, r"`position` must hold 2 integers.*\(4, 4\).*Received: \(1,\)"),
        (innspect.unit("third", 1, (1, 4)), ValueError, r"`position` must be inside \(4, 4\).*Received: \(1, 4\)"),
        ([innspect.unit("third", 1)] * 2, ValueError, "one for each of the 3 samples. Received: 2 units"),
        ([innspect.unit("third", 1), innspect.unit("dense", 1), 2], ValueError, "all of one layer"),
        (innspect.unit("third", 1) - innspect.unit("third", 2), TypeError, "Sums of units are targets of"),
    ],
)
def test_what_is_no_unit_of_the_model_is_refused(unit, error, match, model):
    with pytest.raises(error, match=match):
        innspect.create_analyzer("gradient", model).analyze(X, unit)


def test_units_do_not_go_with_what_chooses_neurons_of_the_output(model):
    unit = innspect.unit("third", 1)
    with pytest.raises(ValueError, match="neuron_selection_mode='all'"):
        innspect.create_analyzer("gradient", model, neuron_selection_mode="all").analyze(X, unit)
    with pytest.raises(ValueError, match="`contrast` compares a neuron with others"):
        innspect.create_analyzer("gradient", model).analyze(X, unit, contrast="rest")
    with pytest.raises(ValueError, match="A unit needs a Keras model"):
        innspect.create_analyzer("occlusion", lambda x: x.sum((1, 2))).analyze(X, unit)


def test_a_layer_that_does_not_depend_on_the_input_is_refused():
    i = keras.Input((4,), name="x")
    fixed = L.Dense(3, name="fixed")(keras.ops.stop_gradient(i))
    model = keras.Model(i, L.Dense(2)(L.Concatenate()([fixed, i])))
    with pytest.raises(ValueError, match="does not depend differentiably"):
        innspect.create_analyzer("gradient", model).analyze(np.ones((1, 4), "float32"), innspect.unit("fixed", 1))
