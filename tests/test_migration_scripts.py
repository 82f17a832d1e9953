"""The examples of iNNvestigate's README and notebooks, told anew on small networks: only the imports are changed.

What is left out: the notebook on development, whose subject is the machinery of Keras 2 (docs/migrating.md says what took its
place), the download of data sets, and `tf.compat.v1.disable_eager_execution()`, which the page says to delete.
"""

import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("quick")]


# ---------------------------------------------------------------------- a network to look at
def pictures(count, seed):
    """Grey pictures (count, 14, 14, 1) from -1 to 1 with a bright bar, and which of four it is."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    images = random.uniform(-1, -0.5, (count, 14, 14, 1)).astype("float32")
    for image, label in zip(images, labels, strict=True):
        image[
            (slice(3 * label + 1, 3 * label + 3), slice(2, 12))
            if label % 2
            else (slice(2, 12), slice(3 * label + 1, 3 * label + 3))
        ] += 1
    return images, labels


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    (x_train, y_train), (x_test, y_test) = pictures(512, 1), pictures(48, 2)
    x = y = keras.Input((14, 14, 1))
    y = L.Conv2D(8, 3, activation="relu")(y)
    y = L.MaxPooling2D()(y)
    y = L.Conv2D(8, 3, activation="relu")(y)
    y = L.Dense(16, activation="relu")(L.Flatten()(y))
    model = keras.Model(x, L.Dense(4, activation="softmax")(y))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, keras.utils.to_categorical(y_train, 4), epochs=4, verbose=0)
    assert model.evaluate(x_test, keras.utils.to_categorical(y_test, 4), verbose=0)[1] > 0.95
    return {"model": model, "x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def run(script, names):
    """What a script makes of the names it is given, with one word in it replaced."""
    names = {"np": np, "keras": keras, **names}
    exec(compile(textwrap.dedent(script).replace("innvestigate", "innspect"), "script", "exec"), names)
    return names


# ---------------------------------------------------------------------- the README
README = """
    import innvestigate

    model = innvestigate.model_wo_softmax(model)
    analyzer = innvestigate.create_analyzer("gradient", model)
    largest = analyzer.analyze(x_test)

    analyzer = innvestigate.create_analyzer("gradient", model, neuron_selection_mode="index")
    second = analyzer.analyze(x_test, 2)

    analyzer = innvestigate.create_analyzer("pattern.net", model)
    analyzer.fit(x_train)
    patterns = analyzer.analyze(x_test)

    import innvestigate.utils

    a = innvestigate.create_analyzer("deep_taylor", model).analyze(x_test[:1])
    a = a.sum(axis=np.argmax(np.asarray(a.shape) == 1))
    a /= np.max(np.abs(a))
"""


def test_readme(trained):
    made = run(README, trained)
    for name in ("largest", "second", "patterns"):
        assert made[name].shape == (48, 14, 14, 1)
        assert np.abs(made[name]).max() > 0
    chosen = trained["model"].predict(trained["x_test"], verbose=0).argmax(1) == 2
    np.testing.assert_allclose(made["largest"][chosen], made["second"][chosen], rtol=1e-4, atol=1e-6)
    assert np.abs(made["a"]).max() == 1


# ---------------------------------------------------------------------- the notebooks
INTRODUCTION = """
    import innvestigate

    image = x_test[7:8]
    model_wo_sm = innvestigate.model_wo_output_activation(model, "softmax")

    gradient_analyzer = innvestigate.analyzer.Gradient(model_wo_sm)
    gradient = gradient_analyzer.analyze(image)

    analyzer = innvestigate.create_analyzer("pattern.net", model_wo_sm, pattern_type="relu")
    analyzer.fit(x_train, batch_size=256, verbose=1)
    signal = analyzer.analyze(image)

    inputXgradient_analyzer = innvestigate.analyzer.InputTimesGradient(model_wo_sm, neuron_selection_mode="index")
    each = [inputXgradient_analyzer.analyze(image, neuron_selection=neuron) for neuron in range(4)]
"""


def test_introduction(trained, capfd):
    made = run(INTRODUCTION, trained)
    weights = made["inputXgradient_analyzer"].analyze(made["image"], made["model"].predict(made["image"], verbose=0).argmax())
    np.testing.assert_allclose(weights, made["image"] * made["gradient"], rtol=1e-5, atol=1e-7)
    assert len({a.sum() for a in made["each"]}) == 4
    assert np.isfinite(made["signal"]).all()


COMPARISON = """
    import innvestigate
    import innvestigate.utils as iutils
    import innvestigate.utils.visualizations as ivis

    low, high = -1, 1
    noise = (high - low) * 0.1

    def graymap(X):
        return ivis.graymap(np.abs(X), input_is_positive_only=True)

    methods = [
        ("input",                 {},                              lambda X: (X + 1) / 2, "Input"),
        ("random",                {},                              graymap,               "Random"),
        ("gradient",              {"postprocess": "abs"},          graymap,               "Gradient"),
        ("smoothgrad",            {"noise_scale": noise, "postprocess": "square"}, graymap, "SmoothGrad"),
        ("deconvnet",             {},                              ivis.project,          "Deconvnet"),
        ("guided_backprop",       {},                              ivis.project,          "Guided Backprop"),
        ("pattern.net",           {"pattern_type": "relu"},        ivis.project,          "PatternNet"),
        ("pattern.attribution",   {"pattern_type": "relu"},        ivis.heatmap,          "PatternAttribution"),
        ("deep_taylor",           {},                              ivis.heatmap,          "DeepTaylor"),
        ("deep_taylor.bounded",   {"low": low, "high": high},      ivis.heatmap,          "DeepTaylor in bounds"),
        ("input_t_gradient",      {},                              ivis.heatmap,          "Input * Gradient"),
        ("integrated_gradients",  {"reference_inputs": low},       ivis.heatmap,          "Integrated Gradients"),
        ("deep_lift.wrapper",     {"reference_inputs": low, "nonlinear_mode": "rescale"}, ivis.heatmap, "DeepLIFT"),
        ("lrp.z",                 {},                              ivis.heatmap,          "LRP-Z"),
        ("lrp.epsilon",           {"epsilon": 1},                  ivis.heatmap,          "LRP-Epsilon"),
        ("lrp.flat",              {},                              ivis.heatmap,          "LRP-Flat"),
        ("lrp.w_square",          {},                              ivis.heatmap,          "LRP-WSquare"),
        ("lrp.alpha_2_beta_1",    {},                              ivis.heatmap,          "LRP-A2B1"),
        ("lrp.sequential_preset_a", {"epsilon": 1},                ivis.heatmap,          "LRP-PresetA"),
        ("lrp.sequential_preset_a_flat", {"epsilon": 1},           ivis.heatmap,          "LRP-PresetAFlat"),
        ("lrp.sequential_preset_b_flat_until_idx", {"until_layer_idx": 1}, ivis.heatmap,  "LRP-PresetBFlatUntilIdx"),
    ]
    model_wo_softmax = iutils.model_wo_softmax(model)
    analyzers = []
    for method in methods:
        analyzer = innvestigate.create_analyzer(method[0], model_wo_softmax, **method[1])
        analyzer.fit(x_train, batch_size=256, verbose=0)
        analyzers.append(analyzer)

    images = np.zeros((3, len(analyzers), 14, 14, 3))
    texts = []
    for i, (x, y) in enumerate(zip(x_test[:3], y_test[:3])):
        x = x[None]
        presm, prob = model_wo_softmax.predict_on_batch(x)[0], model.predict_on_batch(x)[0]
        texts.append((str(y), "%.2f" % presm.max(), "%.2f" % prob.max(), str(prob.argmax())))
        for k, (analyzer, method) in enumerate(zip(analyzers, methods)):
            a = ivis.postprocess_images(analyzer.analyze(x), color_coding="BGRtoRGB", channels_first=False)
            images[i, k] = method[2](a)[0]

    # each neuron by itself
    analyzers = [
        innvestigate.create_analyzer(method[0], model_wo_softmax, neuron_selection_mode="index", **method[1])
        for method in methods if not method[0].startswith("pattern")
    ]
    neurons = [[analyzer.analyze(x_test[:1], neuron) for neuron in range(4)] for analyzer in analyzers]
"""


@pytest.mark.filterwarnings("ignore::innspect.IncompleteAttributionWarning", "ignore:.*decomposes positive evidence only")
def test_comparison_of_methods_and_of_neurons(trained):
    made = run(COMPARISON, trained)
    assert np.isfinite(made["images"]).all()
    assert made["images"].min() >= 0
    assert made["images"].max() <= 1
    assert (made["images"].std(axis=(2, 3, 4)) > 0).all()  # none is blank
    assert len(made["neurons"]) == 19
    assert [text[0] == text[3] for text in made["texts"]] == [True] * 3


PERTURBATION = """
    import innvestigate
    import innvestigate.utils as iutils
    from innvestigate.tools.perturbate import Perturbation, PerturbationAnalysis

    y_test = keras.utils.to_categorical(y_test, 4)
    generator = iutils.sequence.BatchSequence([x_test, y_test], batch_size=20)
    model_wo_softmax = innvestigate.model_wo_output_activation(model, "softmax")
    scores = {}
    for name, arguments in (("random", {}), ("gradient", {"postprocess": "abs"}), ("input_t_gradient", {}), ("lrp.z", {})):
        analyzer = innvestigate.create_analyzer(name, model_wo_softmax, **arguments)
        perturbation = Perturbation(lambda x: x * 0 - 0.75, region_shape=(2, 2), in_place=False)
        analysis = PerturbationAnalysis(
            analyzer, model, generator, perturbation,
            recompute_analysis=False, steps=8, regions_per_step=3, verbose=False,
        )
        scores[name] = np.array(analysis.compute_perturbation_analysis())

    sample = np.copy(x_test[:1])
    steps = []
    for number in range(1, 4):
        perturbation.num_perturbed_regions = number
        steps.append(analysis.compute_on_batch(sample))
"""


def test_perturbation(trained):
    made = run(PERTURBATION, trained)
    assert {s.shape for s in made["scores"].values()} == {(9, 2)}
    areas = {name: (s[0, 1] - s[:, 1]).mean() for name, s in made["scores"].items()}
    assert areas["lrp.z"] > areas["random"] + 0.1
    changed = [int((np.abs(step - made["sample"]) > 0).sum()) for step in made["steps"]]
    assert changed == [4, 8, 12]


SENTIMENT = """
    import innvestigate

    model = keras.models.Sequential()
    model.add(keras.layers.Embedding(input_dim=219, output_dim=8))
    model.add(keras.layers.Conv1D(filters=16, kernel_size=8, padding="valid", activation="relu"))
    model.add(keras.layers.GlobalMaxPooling1D())
    model.add(keras.layers.Dense(16, activation="relu"))
    model.add(keras.layers.Dense(2, activation=None))
    model.predict(np.random.default_rng(0).integers(1, 219, (1, 100)))

    methods = ["gradient", "lrp.z", "lrp.alpha_2_beta_1", "lrp.epsilon", "pattern.net", "pattern.attribution"]
    reviews = np.random.default_rng(1).integers(1, 219, (8, 100))
    maps = []
    for method in methods:
        arguments = {"pattern_type": "relu"} if method.startswith("pattern") else {}
        analyzer = innvestigate.create_analyzer(method, model, neuron_selection_mode="max_activation", **arguments)
        if method.startswith("pattern"):
            analyzer.fit(reviews, batch_size=4, verbose=1)
        maps.append(np.squeeze(analyzer.analyze(reviews[:1])))
    longer = innvestigate.create_analyzer("lrp.epsilon", model, epsilon=1).analyze(reviews.reshape(4, 200))
"""


def test_sentiment_analysis(capfd):
    made = run(SENTIMENT, {})
    assert [m.shape for m in made["maps"]] == [(100,)] * 6
    assert made["longer"].shape == (4, 200)


NETWORKS = """
    import innvestigate
    import innvestigate.utils as iutils
    import innvestigate.utils.visualizations as ivis
    from innvestigate.tools import PatternComputer

    images = 255 * (pictures_of_three + 1) / 2
    for create in networks:
        model = create(weights=None, classes=5, input_shape=(64, 64, 3))
        model_wo_softmax = iutils.model_wo_softmax(model)
        x = ivis.preprocess_images(images, color_coding="RGBtoBGR") / 127.5 - 1
        for name in ("guided_backprop", "lrp.sequential_preset_a_flat", "integrated_gradients"):
            arguments = {"steps": 4} if name == "integrated_gradients" else {}
            a = innvestigate.create_analyzer(name, model_wo_softmax, **arguments).analyze(x)
            results[model.name, name] = ivis.heatmap(ivis.postprocess_images(a, color_coding="BGRtoRGB", channels_first=False))
        index = innvestigate.create_analyzer("lrp.epsilon", model_wo_softmax, neuron_selection_mode="index", epsilon=1e-3)
        results[model.name, "index"] = index.analyze(x, 3)
"""


@pytest.mark.filterwarnings("ignore::innspect.IncompleteAttributionWarning")
def test_comparison_of_networks():
    made = run(
        NETWORKS,
        {"networks": [keras.applications.MobileNetV2], "pictures_of_three": np.tanh(array(2, 64, 64, 3)), "results": {}},
    )
    assert len(made["results"]) == 4
    assert all(r.shape == (2, 64, 64, 3) and np.isfinite(r).all() for r in made["results"].values())


# ---------------------------------------------------------------------- a process that has imported innspect and nothing of it
LOADING = """
{first}

@keras.saving.register_keras_serializable("mine")
class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.last = keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.last(x)

"""


@pytest.mark.parametrize("first", ["import innspect\nimport keras", "import keras\nimport innspect"])
def test_bare_models_of_ones_own_are_loaded_in_another_process(first, tmp_path):
    saved, loaded = tmp_path / "bare.keras", "import numpy as np\n" + LOADING.format(first=first)
    names = {"np": np}
    exec(LOADING.format(first="import keras"), names)
    import innspect

    model = names["Own"]()
    model(np.ones((1, 4), "float32"))
    bare = innspect.model_wo_softmax(model)
    assert type(bare).__name__ == "LogitsModel"
    bare.save(saved)
    innspect.create_analyzer("gradient", bare).save(tmp_path / "analyzer")
    loaded += f"""
model = keras.models.load_model({str(saved)!r})
assert type(model).__name__ == "LogitsModel"
print(float(keras.ops.max(model(np.ones((1, 4), "float32")))))
print(innspect.load_analyzer({str(tmp_path / "analyzer")!r}).analyze(np.ones((1, 4), "float32")).shape)
"""
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    value, shape = result.stdout.split("\n")[:2]
    largest = keras.ops.convert_to_numpy(bare(np.ones((1, 4), "float32"))).max()
    np.testing.assert_allclose(float(value), largest, rtol=1e-5)
    assert shape == "(1, 4)"
