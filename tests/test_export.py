"""Exported analyzers: a SavedModel that runs where neither innspect nor Keras can be imported."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers as L
from models import ZOO, array, ids, shake

import innspect

TENSORFLOW = keras.backend.backend() == "tensorflow"
only_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="SavedModels are TensorFlow's")

# Loads folders in a process in which innspect and Keras cannot be imported, and runs every signature on batches.
_SERVER = """
import json, sys
for name in ("innspect", "keras", "tf_keras"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf
given, made = np.load("given.npz"), {}
for folder in json.loads(sys.argv[1]):
    signatures = tf.saved_model.load(folder).signatures
    for signature in signatures:
        names = list(signatures[signature].structured_input_signature[1])
        for count in json.loads(sys.argv[2]):
            result = signatures[signature](**{n: tf.constant(given[n][:count]) for n in names})
            made.update({f"{folder}/{signature}/{count}/{k}": v.numpy() for k, v in result.items()})
np.savez("made.npz", **made)
"""


def served(place, folders, counts, **given):
    np.savez(place / "given.npz", **given)
    command = [sys.executable, "-c", _SERVER, json.dumps(folders), json.dumps(counts)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert result.returncode == 0, result.stderr
    with np.load(place / "made.npz") as made:
        return {k: made[k] for k in made.files}


@only_tensorflow
def test_it_runs_without_innspect_and_keras_for_any_batch(tmp_path):
    model, _ = ZOO["functional"]()
    x, neurons = array(5, 8, 8, 2), np.array([3, 0, 1, 2, 3], "int32")
    analyzers = {
        "lrp": innspect.create_analyzer("lrp.alpha_2_beta_1", model),
        "patterns": innspect.create_analyzer("pattern.attribution", model).fit(x),
    }
    for name, analyzer in analyzers.items():
        analyzer.export(tmp_path / name, batch_size=2)
    made = served(tmp_path, list(analyzers), [0, 1, 5], image=x, neuron=neurons)
    close = {"rtol": 1e-4, "atol": 1e-6}
    for name, analyzer in analyzers.items():
        explanation = analyzer.explain(x)
        found = {k.removeprefix(f"{name}/"): v for k, v in made.items() if k.startswith(f"{name}/")}
        np.testing.assert_allclose(found["serving_default/5/prediction"], explanation.outputs, **close)
        np.testing.assert_allclose(found["serving_default/5/attribution"], explanation.attributions, **close)
        np.testing.assert_allclose(found["serving_default/1/attribution"], explanation.attributions[:1], **close)
        np.testing.assert_allclose(found["neuron/5/attribution"], analyzer.analyze(x, neurons), **close)
        assert found["serving_default/0/attribution"].shape == (0, 8, 8, 2)
        assert np.abs(found["neuron/5/attribution"] - found["serving_default/5/attribution"]).max() > 1e-3


@only_tensorflow
def test_several_inputs_ids_and_a_fixed_neuron(tmp_path):
    import tensorflow as tf

    words, numbers = keras.Input((4,), name="words", dtype="int32"), keras.Input((3,), name="num bers")
    h = L.Concatenate()([L.Flatten()(L.Embedding(6, 2)(words)), numbers])
    model = shake(keras.Model([words, numbers], L.Dense(3)(L.Dense(5, activation="relu")(h))))
    x = [ids(3, 4, below=6), array(3, 3)]
    analyzer = innspect.create_analyzer("input_t_gradient", model)
    before = analyzer.analyze(x, 1, batch_size=2)
    analyzer.export(tmp_path / "served", 1, batch_size=2)
    signatures = tf.saved_model.load(tmp_path / "served").signatures
    given, neurons = {"words": tf.constant(x[0]), "num_bers": tf.constant(x[1])}, np.array([2, 0, 1], "int32")
    for found, maps in (
        (signatures["serving_default"](**given), before),
        (signatures["neuron"](**given, neuron=tf.constant(neurons)), analyzer.analyze(x, neurons)),
    ):
        for name, expected in zip(("words", "num_bers"), maps, strict=True):
            np.testing.assert_allclose(found[f"attribution_{name}"], expected, rtol=1e-4, atol=1e-6)
    for a, b in zip(before, analyzer.analyze(x, 1, batch_size=2), strict=True):  # the analyzer goes on as before
        np.testing.assert_array_equal(a, b)


@only_tensorflow
def test_weights_are_those_of_the_moment_and_the_model_is_left_alone(tmp_path):
    import tensorflow as tf

    model = shake(keras.Sequential([keras.Input((4,), name="x"), L.Dense(3, name="out")]))
    before = [w.copy() for w in model.get_weights()]
    innspect.create_analyzer("gradient", model).export(tmp_path / "served", 0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.set_weights([0 * w for w in before])
    found = tf.saved_model.load(tmp_path / "served").signatures["serving_default"](x=tf.ones((2, 4)))
    np.testing.assert_allclose(found["attribution"], np.tile(before[0][:, 0], (2, 1)), rtol=1e-6)


@only_tensorflow
def test_methods_of_many_passes(tmp_path):
    import tensorflow as tf

    model = shake(keras.Sequential([keras.Input((4,), name="x"), L.Dense(5, activation="tanh"), L.Dense(3)]))
    x = array(3, 4)
    analyzer = innspect.create_analyzer("integrated_gradients", model, steps=4)
    analyzer.export(tmp_path / "served", batch_size=2)
    found = tf.saved_model.load(tmp_path / "served").signatures["serving_default"](x=tf.constant(x))
    np.testing.assert_allclose(found["attribution"], analyzer.analyze(x), rtol=1e-4, atol=1e-6)


@only_tensorflow
def test_each_batch_size_is_traced_once(tmp_path):
    model = shake(keras.Sequential([keras.Input((4,), name="x"), L.Dense(3)]))
    traced = []

    class Counted(innspect.layers.Rule):
        form = "gradient"

        def forward(self, layer, inputs):
            traced.append(inputs[0].shape[0])
            return layer.active_vjp(inputs)

        def backward(self, layer, pullback, signals):
            return pullback(signals)

    analyzer = innspect.create_analyzer("gradient", model, rules=[("Dense", Counted())])
    analyzer.export(tmp_path / "served", batch_size=8)
    assert sorted(traced) == [1, 8]


@only_tensorflow
def test_what_cannot_be_exported_says_so(tmp_path):
    model = shake(
        keras.Sequential([keras.Input((4, 4, 1), name="x"), L.Conv2D(2, 2, activation="tanh"), L.Flatten(), L.Dense(3)])
    )
    for name in ("occlusion", "score_cam"):
        with pytest.raises(NotImplementedError, match="cannot be exported"):
            innspect.create_analyzer(name, model).export(tmp_path / "a")
    with pytest.raises(NotImplementedError, match="random numbers"):
        innspect.create_analyzer("smoothgrad", model, num_samples=2, seed=None).export(tmp_path / "b")
    with pytest.raises(RuntimeError, match="no patterns yet"):
        innspect.create_analyzer("pattern.net", model).export(tmp_path / "c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    analyzer = innspect.create_analyzer("gradient", model)
    with pytest.raises(FileExistsError, match="new or an empty folder"):
        analyzer.export(tmp_path / "full")
    with pytest.raises(ValueError, match="between 0 and 2"):
        analyzer.export(tmp_path / "d", 3)
    with pytest.raises(ValueError, match="positive integer"):
        analyzer.export(tmp_path / "e", batch_size=0)
    open_ended = shake(keras.Sequential([keras.Input((None, None, 1)), L.Conv2D(2, 2), L.GlobalAveragePooling2D()]))
    with pytest.raises(ValueError, match="shape is known"):
        innspect.create_analyzer("gradient", open_ended).export(tmp_path / "f")


@pytest.mark.skipif(TENSORFLOW, reason="TensorFlow can")
def test_other_backends_say_what_is_possible(tmp_path):
    model = keras.Sequential([keras.Input((4,)), L.Dense(3)])
    with pytest.raises(NotImplementedError, match=r"load_analyzer.*KERAS_BACKEND=tensorflow"):
        innspect.create_analyzer("gradient", model).export(tmp_path / "served")
