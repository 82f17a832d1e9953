"""What Python users do without thinking: print, call, name a layer by its object, misspell, swap, repeat."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.base.documented import explained, without_arguments
from innspect.analyzers.base.registry import accepted_arguments, example_arguments, find
from innspect.errors import suggest

X = array(3, 8, 8, 1)


def network():
    inner = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(4, 3, activation="relu", name="deep")], name="inner")
    layers = [L.Conv2D(3, 3, activation="relu", name="conv"), inner, L.Flatten(name="flat"), L.Dense(3, name="out")]
    return shake(keras.Sequential([keras.Input((8, 8, 1)), *layers], name="net"))


@pytest.fixture(scope="module")
def model():
    return network()


# ---------------------------------------------------------------------- print and call
@pytest.mark.parametrize("name", innspect.list_analyzers())
def test_an_analyzer_tells_what_it_is(model, name):
    arguments = example_arguments(name, X)
    if name == "cam":
        model = shake(
            keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(2, 3), L.GlobalAveragePooling2D(), L.Dense(2)], name="net")
        )
    if name == "lrp.attention":
        pytest.skip("there is no attention in it")
    text = repr(innspect.create_analyzer(name, model, **arguments))
    assert text.startswith(f"<{name}")
    assert text.endswith("of the model 'net'>")
    assert len(text) < 300


def test_arguments_that_differ_from_the_defaults_are_told(model):
    assert repr(innspect.create_analyzer("lrp.epsilon", model)) == "<lrp.epsilon, of the model 'net'>"
    assert repr(innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1)) == "<lrp.epsilon, epsilon=0.1, of the model 'net'>"
    assert "background=array(3, 8, 8, 1)" in repr(innspect.create_analyzer("deep_shap", model, background=X))


def test_calling_is_analyzing(model):
    analyzer = innspect.create_analyzer("gradient", model)
    np.testing.assert_array_equal(analyzer(X, 1, batch_size=2), analyzer.analyze(X, 1, batch_size=2))


# ---------------------------------------------------------------------- layers
@pytest.mark.parametrize("name", ["grad_cam", "layer_cam", "guided_grad_cam", "score_cam", "rsi_grad_cam"])
def test_a_layer_is_a_path_an_object_or_a_number(model, name):
    expected = innspect.create_analyzer(name, model, layer="conv").analyze(X)
    for layer in (model.get_layer("conv"), 0, np.int64(0), -4):
        analyzer = innspect.create_analyzer(name, model, layer=layer)
        assert analyzer.get_config()["layer"] == "conv"  # which a file can hold
        np.testing.assert_array_equal(analyzer.analyze(X), expected)
    deep = innspect.create_analyzer(name, model, layer=model.get_layer("inner").get_layer("deep"))
    assert deep.layer == "inner/deep"


def test_signals_and_metrics_take_layers_alike(model):
    analyzer = innspect.create_analyzer("gradient", model)
    expected = analyzer.explain(X, at="conv").signals
    for at in (model.layers[0], 0, [model.layers[0]], ("conv",)):
        signals = analyzer.explain(X, at=at).signals
        assert list(signals) == ["conv"]
        np.testing.assert_array_equal(signals["conv"], expected["conv"])
    maps = analyzer.analyze(X)
    values = [
        innspect.evaluation.relative_representation_stability(model, X, analyzer, layer=layer, draws=2).values
        for layer in ("conv", model.layers[0], 0)
    ]
    assert maps.shape == X.shape
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (99, ValueError, "`layer` must be between -4 and 3"),
        (-5, ValueError, "`layer` must be between -4 and 3"),
        (True, TypeError, "`layer` must be the path of a layer"),
        (1.5, TypeError, "`layer` must be the path of a layer"),
        (["conv"], TypeError, "`layer` must be the path of a layer"),
        (L.Dense(1), ValueError, "`layer` must be a layer that the model computes"),
    ],
)
def test_what_is_no_layer_of_the_model_is_refused(model, layer, error, message):
    with pytest.raises(error, match=message):
        innspect.create_analyzer("grad_cam", model, layer=layer).analyze(X)
    with pytest.raises(error, match=message.replace("`layer`", "`at`")):
        innspect.create_analyzer("gradient", model).explain(X, at=[layer] if isinstance(layer, list) else layer)


# ---------------------------------------------------------------------- names
@pytest.mark.parametrize("name", innspect.list_analyzers())
def test_a_name_in_other_letters_is_recognised(name):
    words = name.replace(".", "_").split("_")
    for other in (name.upper(), "".join(w.title() for w in words), "-".join(words), " ".join(words)):
        assert suggest(other, innspect.list_analyzers()).startswith(f"Did you mean '{name}'")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("GradCAM", "grad_cam"),
        ("Grad-CAM++", "grad_cam_plus_plus"),
        ("LRP", "lrp"),
        ("LRP-epsilon", "lrp.epsilon"),
        ("IG", "integrated_gradients"),
        ("SHAP", "deep_shap"),
        ("gradien", "gradient"),
        ("Guided Backprop", "guided_backprop"),
    ],
)
def test_what_people_call_a_method_leads_to_its_name(model, word, expected):
    with pytest.raises(KeyError, match=f"Did you mean '{expected}'"):
        innspect.create_analyzer(word, model)


def test_the_list_of_all_names_has_them_all(model):
    with pytest.raises(KeyError) as caught:
        innspect.create_analyzer("xyz", model)
    text = str(caught.value)
    families = {name.partition(".")[0] for name in innspect.list_analyzers()}
    assert all(f"'{family}" in text for family in families)
    assert "..." not in text


def test_short_lists_are_told_in_quotes():
    assert suggest("zzz", ["one", "two"]) == "There are 'one', 'two'."
    assert suggest("", ["one"]) == "There are 'one'."
    many = [f"n{i}" for i in range(1000)]
    assert suggest("zzz", many).count("'n") == 40


# ---------------------------------------------------------------------- mistakes
def test_swapped_arguments_are_recognised(model):
    with pytest.raises(TypeError, match=r"The name comes first: `create_analyzer\(name, model\)`"):
        innspect.create_analyzer(model, "gradient")
    swapped = [
        lambda: innspect.report(X, model, ["gradient"]),
        lambda: innspect.evaluate(X, model, ["gradient"]),
        lambda: innspect.choose(X, model),
        lambda: innspect.create_analyzer("gradient", X),
        lambda: innspect.patterns.fit(X, model),
        lambda: innspect.default_methods(X),
    ]
    for call in swapped:
        with pytest.raises(TypeError, match=r"an array \(numpy.ndarray\) of shape \(3, 8, 8, 1\). The model comes before"):
            call()
    with pytest.raises(TypeError, match="`model` must be a built Keras model"):  # an analyzer can be called, and is none
        innspect.evaluate(innspect.create_analyzer("gradient", model), X, ["occlusion"])
    with pytest.raises(TypeError, match=r"keras.saving.load_model\('net.keras'\)"):
        innspect.create_analyzer("gradient", "net.keras")


def test_what_a_method_cannot_do_without_is_named(model):
    with pytest.raises(
        TypeError, match=r"'deep_shap' needs `background`: `create_analyzer\('deep_shap', model, background=...\)`"
    ):
        innspect.create_analyzer("deep_shap", model)


@pytest.mark.parametrize("neurons", ["all", 3, {"a": 1}, None])
def test_neurons_is_a_list(model, neurons):
    analyzer = innspect.create_analyzer("gradient", model)
    if neurons is None:
        assert analyzer.analyze(X, neurons=neurons).shape == X.shape
        return
    with pytest.raises(ValueError, match=r"`neurons` must be a list.*`neuron_selection='all'`. Received: "):
        analyzer.analyze(X, neurons=neurons)


def test_a_model_that_asks_for_values_is_not_told_to_be_called_again():
    class Asking(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = L.Dense(2)

        def call(self, x):
            return self.dense(x * 0 if float(keras.ops.sum(keras.ops.stop_gradient(x))) > 1e9 else x)

    model = Asking()
    model(X[:, 0, :, 0])
    if keras.backend.backend() == "torch":  # which traces it with numbers
        assert innspect.create_analyzer("gradient", model).analyze(X[:, 0, :, 0]).shape == (3, 8)
        return
    with pytest.raises(ValueError, match="asks for the value of a tensor, such as `float"):
        innspect.create_analyzer("gradient", model)


# ---------------------------------------------------------------------- twice the same
@pytest.mark.parametrize("name", [n for n in innspect.list_analyzers() if "seed" in accepted_arguments(n)])
def test_the_same_call_gives_the_same_numbers_unless_asked_otherwise(model, name):
    arguments = {k: v for k, v in example_arguments(name, X).items() if k != "seed"}
    first, second = (innspect.create_analyzer(name, model, **arguments) for _ in range(2))
    expected = first.analyze(X)
    np.testing.assert_array_equal(first.analyze(X), expected)
    np.testing.assert_array_equal(second.analyze(X), expected)


def test_none_draws_anew(model):
    analyzer = innspect.create_analyzer("random", model, seed=None)
    assert not np.array_equal(analyzer.analyze(X), analyzer.analyze(X))


# ---------------------------------------------------------------------- help
@pytest.mark.parametrize("name", innspect.list_analyzers())
def test_every_argument_of_a_method_is_explained(name):
    cls, _ = find(name)
    told = explained(cls)
    assert accepted_arguments(name) <= set(told)
    assert all(len(text) > 10 and not text.startswith("See `") for text in told.values())
    for argument in accepted_arguments(name):  # by Python's `help`, too
        assert f"{argument}:" in cls.__doc__ or f"{argument}," in cls.__doc__ or f", {argument}" in cls.__doc__
    assert without_arguments(cls)
    assert "Args:" not in without_arguments(cls)
    assert "More arguments:" not in without_arguments(cls)
