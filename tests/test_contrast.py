"""`contrast`: why this neuron rather than others is what the array of such weights explains, whatever the method."""

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.base.registry import example_arguments

CLASSES = 4
REFUSING = ["deep_taylor", "deep_taylor.bounded"]
OTHERS = ["input", "random"]  # whose maps do not depend on the neuron
METHODS = [n for n in innspect.list_analyzers() if n not in REFUSING + OTHERS and not n.startswith("test.")]
FEW = ["lrp.epsilon", "integrated_gradients", "grad_cam", "occlusion", "score_cam", "rsi_grad_cam"]


def drawn(model):
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


@pytest.fixture(scope="module")
def model():
    i = keras.Input((6, 6, 2))
    x = L.GlobalAveragePooling2D()(L.Conv2D(3, 3, activation="relu")(i))
    return drawn(keras.Model(i, L.Dense(CLASSES, activation="softmax")(x)))


X = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype("float32")
MIXED = np.array([2, 0, 3])


def weights(neurons, contrast, outputs):
    """The weights that `contrast` stands for, (samples, classes), written down one by one."""
    w = np.zeros(outputs.shape, "float32")
    for row, neuron, y in zip(w, neurons, outputs, strict=True):
        others = [k for k in range(CLASSES) if k != neuron]
        if contrast == "runner_up":
            others = [max(others, key=lambda k: y[k])]
        elif contrast != "rest":
            others = [contrast] if isinstance(contrast, int) else contrast
        row[neuron] += 1
        for k in others:
            row[k] -= 1 / len(others)
    return w


def made(name, model):
    analyzer = innspect.create_analyzer(name, model, **example_arguments(name, X))
    return analyzer.fit(X) if name.startswith("pattern.") else analyzer


def same(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6 * max(1, np.abs(expected).max()))


@pytest.mark.sweep(keep=FEW, on="jax tensorflow")
@pytest.mark.parametrize("name", METHODS)
def test_a_contrast_is_its_array_of_weights(model, name):
    analyzer = made(name, model)
    outputs = keras.ops.convert_to_numpy(model(X))
    for contrast in ("rest", [1, 3]):
        same(analyzer.analyze(X, MIXED, contrast=contrast), analyzer.analyze(X, weights(MIXED, contrast, outputs)))


@pytest.mark.host
@pytest.mark.sweep(keep=["lrp.epsilon-*", "integrated_gradients-rest", "occlusion-runner_up"], on="jax tensorflow")
@pytest.mark.parametrize("contrast", ["rest", "runner_up", 1, [1], [0, 1, 3], np.array([1, 3])], ids=str)
@pytest.mark.parametrize("name", ["lrp.epsilon", "integrated_gradients", "occlusion"])
def test_every_form_of_it(model, name, contrast):
    analyzer, outputs = made(name, model), keras.ops.convert_to_numpy(model(X))
    named = contrast.tolist() if isinstance(contrast, np.ndarray) else contrast
    forms = {"largest": (None, outputs.argmax(-1)), "one": (2, [2] * 3), "each": (MIXED, MIXED), "tuple": ((0,), [0] * 3)}
    for neuron, indices in forms.values():
        expected = analyzer.explain(X, weights(indices, named, outputs))
        found = analyzer.explain(X, neuron, contrast=contrast, batch_size=2)
        same(found.attributions, expected.attributions)
        same(found.targets, expected.targets)
        assert found.settings["contrast"] is not None


@pytest.mark.parametrize("of", ["gradient", "grad_cam"])
def test_the_runner_up_is_that_of_the_input_at_every_point(model, of):
    arguments = {"num_samples": 2, "noise_scale": 3.0, "of": of}
    analyzer, outputs = innspect.create_analyzer("smoothgrad", model, **arguments), keras.ops.convert_to_numpy(model(X))
    expected = weights(outputs.argmax(-1), "runner_up", outputs)
    same(analyzer.analyze(X, contrast="runner_up"), analyzer.analyze(X, expected))


def test_several_neurons_and_streams(model):
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    several = analyzer.analyze(X, neurons=[2, MIXED, None], contrast="rest")
    same(several[0], analyzer.analyze(X, 2, contrast="rest"))
    same(several[1], analyzer.analyze(X, MIXED, contrast="rest"))
    same(several[2], analyzer.analyze(X, contrast="rest"))
    same(analyzer.analyze(iter([X[:1], X[1:]]), 2, contrast="rest"), several[0])
    table = analyzer.conservation(X, 2, contrast="rest")
    same(table.columns["received"][0], analyzer.explain(X, 2, contrast="rest").targets)


def test_outputs_with_places():
    i = keras.Input((4, 4, 2))
    model = drawn(keras.Model(i, L.Conv2D(3, 2)(i)))
    x = X[:, :4, :4]
    analyzer, y = innspect.create_analyzer("gradient", model), keras.ops.convert_to_numpy(model(x))
    everywhere = np.zeros((3, 3, 3), "float32")
    everywhere[..., 1], everywhere[..., [0, 2]] = 1, -0.5
    same(analyzer.analyze(x, 1, contrast="rest"), analyzer.analyze(x, everywhere))
    here = np.zeros((3, 3, 3), "float32")
    here[2, 0] = everywhere[2, 0]
    same(analyzer.analyze(x, (2, 0, 1), contrast="rest"), analyzer.analyze(x, here))
    second = np.zeros((len(x), 3, 3, 3), "float32")
    for w, sums in zip(second, y.sum((1, 2)), strict=True):
        w[..., 1], w[..., 0 if sums[0] > sums[2] else 2] = 1, -1
    same(analyzer.analyze(x, 1, contrast="runner_up"), analyzer.analyze(x, second))
    second = np.zeros((len(x), 3, 3, 3), "float32")
    for w, value in zip(second, y, strict=True):
        *place, k = np.unravel_index(value.argmax(), value.shape)
        others = [j for j in range(3) if j != k]
        w[(*place, k)], w[(*place, max(others, key=lambda j: value[(*place, j)]))] = 1, -1
    same(analyzer.analyze(x, contrast="runner_up"), analyzer.analyze(x, second))


@pytest.mark.parametrize("name", REFUSING)
def test_where_the_start_is_not_linear_it_is_refused_by_name(model, name):
    analyzer = made(name, model)
    with pytest.raises(ValueError, match=f"'{name}' takes no `contrast`.*Received: 'rest'"):
        analyzer.analyze(X, 0, contrast="rest")


WRONG = {
    "a word": ({"contrast": "others"}, r"`contrast` must be None, \"rest\".*Received: 'others'"),
    "a number": ({"contrast": 1.5}, r"a list of integers. Received: 1.5"),
    "nothing in it": ({"contrast": []}, r"a list of integers. Received: \[\]"),
    "too large": ({"contrast": [0, 4]}, r"`contrast` must be between 0 and 3.*Received: 4"),
    "below 0": ({"contrast": -1}, r"Received: -1"),
    "weights": ({"neuron_selection": np.ones(4), "contrast": 1}, r"`neuron_selection` must then be.*by 'weights'"),
    "all": ({"neuron_selection": "all", "contrast": 1}, r"by 'all'"),
    "callable": ({"neuron_selection": lambda y: y[:, 0], "contrast": 1}, r"by 'callable'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_told(model, case):
    arguments, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        innspect.create_analyzer("gradient", model).analyze(X, **arguments)


def test_one_neuron_has_no_others():
    i = keras.Input((3,))
    analyzer = innspect.create_analyzer("gradient", keras.Model(i, L.Dense(1)(i)))
    with pytest.raises(ValueError, match=r"several neurons.*shape \(1,\)"):
        analyzer.analyze(np.ones((2, 3)), contrast="rest")
