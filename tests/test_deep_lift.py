import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers as L
from keras import ops
from models import ZOO, ids, shake
from networks import convolutional_networks, dense_networks, drawn, normal, outputs

import innspect
from innspect.layers.deep_lift import PairProgram


def lift(model, x, neuron=0, reference=0, **arguments):
    """Attributions of DeepLIFT, and what is missing from summation to delta."""
    explanation = innspect.create_analyzer("deep_lift", model, reference_inputs=reference, **arguments).explain(x, neuron)
    return explanation.attributions, explanation.delta


def relu(t):
    return np.maximum(t, 0)


# ---------------------------------------------------------------------- laws on drawn networks
@drawn
@given(build=convolutional_networks(), seed=st.integers(0, 99), rule=st.sampled_from(["rescale", "reveal_cancel"]))
def test_summation_to_delta_of_convolutional_networks(quick, build, seed, rule):
    model = build()
    x, reference = normal(3, 6, 6, 2, seed=seed), normal(3, 6, 6, 2, seed=seed + 1)
    attributions, delta = lift(model, x, 1, reference, rule=rule)
    change = (outputs(model, x) - outputs(model, reference))[:, 1]
    scale = 1 + np.abs(attributions).sum((1, 2, 3))
    assert np.all(np.abs(attributions.sum((1, 2, 3)) - change) <= 1e-4 * scale)
    assert np.all(np.abs(delta - (change - attributions.sum((1, 2, 3)))) <= 1e-4 * scale)


@drawn
@given(network=dense_networks(), seed=st.integers(0, 99), rule=st.sampled_from(["rescale", "reveal_cancel"]))
def test_antisymmetry_and_zeros_at_the_reference(quick, network, seed, rule):
    build, width = network
    model = build()
    x, reference = normal(2, width, seed=seed), normal(2, width, seed=seed + 1)
    analyzer = innspect.create_analyzer("deep_lift", model, reference_inputs=reference, rule=rule)
    there = analyzer.analyze(x, 2)
    assert not analyzer.analyze(reference, 2).any()
    analyzer.reference_inputs = x
    np.testing.assert_allclose(analyzer.analyze(reference, 2), -there, atol=1e-4 * (1 + np.abs(there).max()))


@drawn
@given(network=dense_networks(activations=("relu",), bias=False), seed=st.integers(0, 99))
def test_equals_input_times_gradient_without_biases_from_zero(quick, network, seed):
    build, width = network
    model, x = build(), normal(3, width, seed=seed)
    product = innspect.create_analyzer("input_t_gradient", model).analyze(x, 1)
    np.testing.assert_allclose(lift(model, x, 1)[0], product, atol=1e-5)


@drawn
@given(build=convolutional_networks(), seed=st.integers(0, 99))
def test_deep_shap_is_the_mean_over_the_background(quick, build, seed):
    model, x, background = build(), normal(2, 6, 6, 2, seed=seed), normal(4, 6, 6, 2, seed=seed + 1)
    explanation = innspect.create_analyzer("deep_shap", model, background=background).explain(x, 1)
    change = outputs(model, x)[:, 1] - outputs(model, background)[:, 1].mean()
    np.testing.assert_allclose(explanation.attributions.sum((1, 2, 3)), change, atol=1e-4 * (1 + np.abs(change).max()))
    analyzer, each = innspect.create_analyzer("deep_lift", model), []
    for analyzer.reference_inputs in background:
        each.append(analyzer.analyze(x, 1))
    np.testing.assert_allclose(explanation.attributions, np.mean(each, axis=0), atol=1e-5)


# ---------------------------------------------------------------------- single rules
def test_linear_model(quick):
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(3)]))
    x, reference = normal(2, 4), normal(4, seed=1)
    np.testing.assert_allclose(
        lift(model, x, 1, reference)[0], (x - reference) * model.get_weights()[0][:, 1], rtol=1e-5, atol=1e-6
    )


def minimum(by_subtraction):
    """Model of min(a, b) = a - relu(a - b)."""
    x = keras.Input((2,))
    if by_subtraction:
        a, b = x[:, :1], x[:, 1:]
        return keras.Model(x, a - ops.relu(L.Subtract()([a, b])))
    difference = L.Dense(1, activation="relu", use_bias=False)
    model = keras.Model(x, L.Dense(1, use_bias=False)(L.Concatenate()([x, difference(x)])))
    model.set_weights([np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0], [-1.0]])])
    return model


@pytest.mark.parametrize("by_subtraction", [True, False])
def test_the_minimum_of_two_inputs(by_subtraction, quick):
    model, x = minimum(by_subtraction), np.array([[10.0, 6.0], [6.0, 10.0]], "float32")
    np.testing.assert_allclose(outputs(model, x)[:, 0], [6, 6])
    np.testing.assert_allclose(lift(model, x, rule="reveal_cancel")[0], [[3, 3], [3, 3]], atol=1e-5)
    np.testing.assert_allclose(lift(model, x, rule="rescale")[0], [[0, 6], [6, 0]], atol=1e-5)


def reveal_cancel_by_hand(x, x0, kernel, bias, readout):
    """RevealCancel (Shrikumar et al. 2017, sec. 3.5.1) of relu(x W + b) v, contribution by contribution."""
    result = np.zeros_like(x)
    for j, weight in enumerate(readout):
        parts, z0 = (x - x0) * kernel[:, j], x0 @ kernel[:, j] + bias[j]
        up, down = parts[parts > 0].sum(), parts[parts < 0].sum()
        above = (relu(z0 + up) - relu(z0) + relu(z0 + up + down) - relu(z0 + down)) / 2
        below = (relu(z0 + down) - relu(z0) + relu(z0 + up + down) - relu(z0 + up)) / 2
        result += weight * np.where(parts > 0, parts * (above / up if up else 0), parts * (below / down if down else 0))
    return result


@pytest.mark.parametrize("family", ["dense", "convolution", "normalized"])
def test_reveal_cancel_against_the_formula(family, quick):
    layers = {
        "dense": [L.Dense(5, activation="relu")],
        "convolution": [L.Reshape((4, 1)), L.Conv1D(5, 4, activation="relu"), L.Flatten()],
        "normalized": [L.Dense(5), L.BatchNormalization(), L.ReLU()],
    }[family]
    model = shake(keras.Sequential([keras.Input((4,)), *layers, L.Dense(1)]))
    x, x0 = normal(3, 4), normal(4, seed=1)
    x[0, 2] = x0[2]
    linear = keras.Sequential([keras.Input((4,)), *[layer for layer in model.layers[:-1] if not isinstance(layer, L.ReLU)]])
    for layer in linear.layers:
        layer.activation = None
    bias = outputs(linear, np.zeros((1, 4)))[0]
    kernel = outputs(linear, np.eye(4)) - bias
    for layer in linear.layers:
        if isinstance(layer, L.Dense | L.Conv1D) and family != "normalized":
            layer.activation = keras.activations.relu
    expected = [reveal_cancel_by_hand(row, x0, kernel, bias, model.get_weights()[-2][:, 0]) for row in x]
    np.testing.assert_allclose(lift(model, x, 0, x0, rule="reveal_cancel")[0], expected, atol=1e-5)
    if family != "normalized":
        only = {"dense": "rescale", "convolution": "rescale", family: "reveal_cancel"}
        np.testing.assert_allclose(lift(model, x, 0, x0, rule=only)[0], expected, atol=1e-5)


def test_max_pooling_is_split_exactly_and_by_the_gradient_on_request(quick):
    x = keras.Input((5, 1))
    model = keras.Model(x, L.Flatten()(L.MaxPooling1D(3, strides=1)(x)))
    here, there = np.array([[1.0, 5, 2, 0, 3]], "float32"), np.array([[4.0, 1, 0, 2, 2]], "float32")
    weights = np.array([1.0, 10, 100])
    # windows: 5 - 4 goes to the 5; 5 - 2 to the 5; 3 - 2 to the 3
    np.testing.assert_allclose(
        lift(model, here[..., None], weights, there[..., None])[0][0, :, 0], [0, 31, 0, 0, 100], rtol=1e-5
    )
    # the other way, 4 - 5 belongs to the 5 as well: it is what changed the maximum
    np.testing.assert_allclose(
        lift(model, there[..., None], weights, here[..., None])[0][0, :, 0], [0, -31, 0, 0, -100], rtol=1e-5
    )
    attributions, delta = lift(model, there[..., None], weights, here[..., None], maxpool="gradient")
    np.testing.assert_allclose(attributions[0, :, 0], [3, 0, 0, 2 * 10 + 2 * 100, 0], rtol=1e-5)
    assert abs(delta[0]) > 1


@pytest.mark.parametrize("operation", [L.Maximum, L.Minimum])
def test_extrema_of_tensors(operation, quick):
    a, b = keras.Input((1,)), keras.Input((1,))
    model = keras.Model([a, b], operation()([a, b]))
    x, x0 = (np.array([[v]], "float32") for v in (5.0, 1.0)), (np.array([[v]], "float32") for v in (2.0, 3.0))
    (to_a, to_b), delta = lift(model, list(x), 0, list(x0))
    expected = (2.0, 0.0) if operation is L.Maximum else (0.0, -1.0)
    assert (to_a[0, 0], to_b[0, 0], delta[0]) == pytest.approx((*expected, 0.0))


def test_products_are_split_after_shapley(quick):
    factors = [keras.Input((2,)) for _ in range(3)]
    model = keras.Model(factors, ops.sum(L.Multiply()(factors), axis=-1, keepdims=True))
    x, x0 = [normal(1, 2, seed=i) for i in range(3)], [normal(1, 2, seed=i + 3) for i in range(3)]
    found, delta = lift(model, x, 0, x0)
    pairs = ((0, 1, 2), (1, 0, 2), (2, 0, 1))
    for i, j, k in pairs:  # the mean over the orders in which the factors change
        change = (x[i] - x0[i]) * (2 * x[j] * x[k] + x[j] * x0[k] + x0[j] * x[k] + 2 * x0[j] * x0[k]) / 6
        np.testing.assert_allclose(found[i], change, atol=1e-5)
    np.testing.assert_allclose(delta, 0, atol=1e-5)


@pytest.mark.parametrize("name", ["operations", "composite_layer", "time_distributed", "lambdas", "nested", "several_outputs"])
@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_summation_to_delta_of_all_ways_to_build_a_model(name, rule, quick):
    model, x = ZOO[name]()
    explanation = innspect.create_analyzer("deep_lift", model, reference_inputs=0.3, rule=rule).explain(x)
    np.testing.assert_allclose(explanation.delta, 0, atol=1e-5)
    assert any(a.any() for a in keras.tree.flatten(explanation.attributions))


@pytest.mark.parametrize("layer", [L.LayerNormalization(axis=(1, 2)), L.RMSNormalization(), L.GroupNormalization(2)])
def test_normalizations_are_exact(layer, quick):
    model = shake(keras.Sequential([keras.Input((3, 4)), layer, L.Flatten(), L.Dense(2)]))
    _, delta = lift(model, normal(3, 3, 4), 0, normal(3, 4, seed=1))
    np.testing.assert_allclose(delta, 0, atol=1e-5)


# ---------------------------------------------------------------------- references, ids, targets
def test_references_in_every_form(quick):
    model, x = ZOO["functional"]()
    own = normal(3, 8, 8, 2, seed=5)
    analyzer = innspect.create_analyzer("deep_lift", model)

    def analyze(reference, rows=slice(None)):
        analyzer.reference_inputs = reference
        return analyzer.analyze(x[rows], 1)

    each = np.concatenate([analyze(own[i], slice(i, i + 1)) for i in range(3)])
    np.testing.assert_allclose(analyze(own), each, atol=1e-5)
    mean = (analyze(0) + analyze(own[0])) / 2
    np.testing.assert_allclose(analyze([0, own[0]]), mean, atol=1e-5)
    shap = innspect.create_analyzer("deep_shap", model, background=np.stack([own[0] * 0, own[0]]))
    for batch_size in (1, 8):
        np.testing.assert_allclose(shap.analyze(x, 1, batch_size=batch_size), mean, atol=1e-5)


def test_a_shared_reference_is_computed_once(quick, monkeypatch):
    seen, forward = [], PairProgram.forward

    def spy(program, values, record=None):
        seen.append((values[0].x.shape[0], values[0].x0.shape[0]))
        return forward(program, values, record)

    monkeypatch.setattr(PairProgram, "forward", spy)
    model, x = ZOO["functional"]()
    x = np.repeat(x, 3, axis=0)[:8]
    lift(model, x)
    assert seen.pop() == (8, 1)
    lift(model, x, reference=x * 0.5)
    assert seen.pop() == (8, 8)
    innspect.create_analyzer("deep_shap", model, background=x[:6]).analyze(x[:2], batch_size=8)
    assert seen.pop() == (6, 3)  # two chunks of three references for two samples


@pytest.mark.filterwarnings("ignore:.*is not finite")
def test_targets_count_and_samples_do_not_meet(quick):
    model, x = ZOO["functional"]()
    analyzer = innspect.create_analyzer("deep_lift", model, reference_inputs=0.5)
    explanation = analyzer.explain(x, neurons=[0, 1, None], at=["hidden"])
    assert np.abs(explanation.attributions[0] - explanation.attributions[1]).max() > 1e-3
    np.testing.assert_allclose(explanation.delta, np.zeros((3, 3)), atol=1e-5)
    np.testing.assert_allclose(analyzer.analyze(x[1:2], 0), explanation.attributions[0, 1:2], atol=1e-6)
    largest = innspect.create_analyzer("deep_lift", model, reference_inputs=0.5).analyze(x, explanation.outputs.argmax(-1))
    np.testing.assert_allclose(explanation.attributions[2], largest, atol=1e-6)
    assert explanation.signals["hidden"].shape == (3, 3, 6)
    poisoned = x.copy()
    poisoned[2] = np.nan
    np.testing.assert_allclose(analyzer.analyze(poisoned, 0)[:2], explanation.attributions[0, :2], atol=1e-6)


def test_logits_may_be_explained_against_their_mean(quick):
    model, x = ZOO["functional"]()
    analyzer = innspect.create_analyzer("deep_lift", model, normalize_logits=True)
    np.testing.assert_allclose(analyzer.analyze(x, neurons=[0, 1, 2, 3]).sum(0), 0, atol=1e-5)


def test_ids_start_from_zero_vectors_and_a_background_of_ids_from_its_own(quick):
    tokens, vectors = keras.Input((4,), dtype="int32"), keras.Input((4, 3))
    tail = keras.Sequential([keras.Input((4, 3)), L.Conv1D(3, 2, activation="tanh"), L.Flatten(), L.Dense(2)])
    embedding = L.Embedding(7, 3)
    model, inner = shake(keras.Model(tokens, tail(embedding(tokens)))), keras.Model(vectors, tail(vectors))
    x, others = ids(3, 4, below=7), ids(2, 4, below=7, seed=1)
    looked_up, looked_up_others = (keras.ops.convert_to_numpy(embedding(i)) for i in (x, others))
    np.testing.assert_allclose(lift(model, x, 1)[0], lift(inner, looked_up, 1)[0].sum(-1), atol=1e-6)
    of_ids = innspect.create_analyzer("deep_shap", model, background=others).explain(x, 1)
    of_vectors = innspect.create_analyzer("deep_shap", inner, background=looked_up_others).explain(looked_up, 1)
    np.testing.assert_allclose(of_ids.attributions, of_vectors.attributions.sum(-1), atol=1e-6)
    np.testing.assert_allclose(of_ids.delta, 0, atol=1e-5)


def test_compiled_as_eager(monkeypatch):
    from innspect import backend

    model, x = ZOO["functional"]()
    arguments = {"background": x[:2], "rule": "reveal_cancel"}
    compiled = innspect.create_analyzer("deep_shap", model, **arguments).explain(x, neurons=[0, 1], at=["conv1"])
    monkeypatch.setattr(backend, "compile", lambda function: function)
    same = innspect.create_analyzer("deep_shap", model, **arguments).explain(x, neurons=[0, 1], at=["conv1"])
    np.testing.assert_allclose(compiled.attributions, same.attributions, atol=1e-5)
    np.testing.assert_allclose(compiled.signals["conv1"], same.signals["conv1"], atol=1e-5)
    np.testing.assert_allclose(compiled.outputs, outputs(model, x), atol=1e-6)


# ---------------------------------------------------------------------- errors
@pytest.mark.parametrize(
    ("name", "path"), [("masked_lstm", "lstm1"), ("multi_head_attention", "attention/"), ("native_leaf", "native")]
)
def test_layers_without_a_rule_are_named(name, path):
    with pytest.raises(innspect.NotAnalyzeableModelError, match=f"'deep_lift' has no rule for '{path}"):
        innspect.create_analyzer("deep_lift", ZOO[name]()[0])


def test_errors(quick):
    model, x = ZOO["functional"]()
    with pytest.raises(innspect.NotAnalyzeableModelError, match="Softmax"):
        innspect.create_analyzer("deep_lift", model, head="output")
    with pytest.raises(ValueError, match=r"`rule` must be.*Received: 'linear'"):
        innspect.create_analyzer("deep_lift", model, rule="linear")
    with pytest.raises(ValueError, match=r"`maxpool` must be.*Received: True"):
        innspect.create_analyzer("deep_lift", model, maxpool=True)
    with pytest.raises(ValueError, match=r"`reference_inputs` has the wrong shape.*Received: shape \(2, 8, 8, 2\)"):
        lift(model, x, reference=x[:2])
    with pytest.raises(TypeError, match="background"):
        innspect.create_analyzer("deep_shap", model)
    with pytest.raises(ValueError, match=r"`background` must hold at least one reference.*\(0, 8, 8, 2\)"):
        innspect.create_analyzer("deep_shap", model, background=x[:0]).analyze(x)
    with pytest.raises(ValueError, match=r"`background`.*Received: shape \(8, 8, 2\)"):
        innspect.create_analyzer("deep_shap", model, background=x[0]).analyze(x)
