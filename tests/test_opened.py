"""A model is opened once for all that explain it, anew where it has changed, and kept alive by nobody."""

import gc
import types
import weakref

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect
from innspect.graph.opened import opened_model

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def opened(monkeypatch):
    """The models that were opened, by name, one entry each time."""
    names, replay = [], opened_model.replay

    def counted(model, specs):
        names.append(model.name)
        return replay(model, specs)

    monkeypatch.setattr(opened_model, "replay", counted)
    return names


def network():
    x = keras.Input((6, 6, 1))
    h = L.Conv2D(2, 3, activation="relu", name="conv")(x)
    h = L.Flatten()(h)
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="out")(h)))


X = array(2, 6, 6, 1)


def test_a_report_opens_the_model_once(opened):
    model = network()
    innspect.report(model, X, top=1)
    assert len(opened) == 1
    gc.collect()
    innspect.report(model, X, ["gradient", "lrp.epsilon", "occlusion", ("smoothgrad", {"num_samples": 2})], top=1)
    assert len(opened) == 2


def test_analyzers_share_what_one_of_them_holds(opened):
    model = network()
    first = innspect.create_analyzer("gradient", model)
    second = innspect.create_analyzer("smoothgrad", model, of="lrp.cp", num_samples=2)
    assert first.opened is second.opened is second.inner.opened
    assert len(opened) == 1
    del first, second
    gc.collect()
    innspect.create_analyzer("gradient", model)
    assert len(opened) == 2


def test_an_opened_model_stands_for_the_model_everywhere(opened, tmp_path):
    model = network()
    held = innspect.open_model(model)
    assert innspect.open_model(held) is held
    expected = innspect.create_analyzer("lrp.epsilon", model).analyze(X)
    analyzer = innspect.create_analyzer("lrp.epsilon", held)
    np.testing.assert_array_equal(analyzer.analyze(X), expected)
    assert analyzer.model is model
    assert innspect.create_analyzer("occlusion", held, window=3).model is model
    patterns = innspect.patterns.fit(held, array(16, 6, 6, 1))
    patterns.save(tmp_path / "p.h5")
    innspect.patterns.load(tmp_path / "p.h5", held)
    innspect.create_analyzer("pattern.net", held, patterns=patterns).analyze(X)
    assert {id(v) for v in innspect.model_wo_softmax(held).variables} == {id(v) for v in model.variables}
    assert model.name in innspect.report(held, X, ["gradient"], top=1).html
    assert len(opened) == 1


def test_using_and_training_a_model_changes_nothing_that_was_opened(opened, tmp_path):
    model = network()
    analyzer = innspect.create_analyzer("gradient", model)
    model(X)
    model.predict(X, verbose=0)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(X, np.array([0, 1]), verbose=0)
    model.evaluate(X, np.array([0, 1]), verbose=0)
    model.save(tmp_path / "m.keras")
    model.set_weights([w + 1 for w in model.get_weights()])
    model.get_layer("conv").trainable = False
    again = innspect.create_analyzer("gradient", model)
    assert again.opened is analyzer.opened
    assert len(opened) == 1


# ---------------------------------------------------------------------- what changes a model
class Scaling(L.Layer):
    """Multiplies by what it holds."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.factors = factor, np.ones(3, "float32")

    def call(self, x):
        return x * self.factor * ops.convert_to_tensor(self.factors)


def scaled():
    x = keras.Input((4,))
    return shake(keras.Model(x, L.Dense(2, name="out")(Scaling(name="scale")(L.Dense(3, activation="relu", name="in")(x)))))


def _activation(model):
    model.get_layer("in").activation = keras.activations.tanh


def _attribute(model):
    model.get_layer("scale").factor = 3.0


def _array(model):
    model.get_layer("scale").factors[1] = 5.0


def _wrapped_call(model):
    layer = model.get_layer("in")
    plain = layer.call
    layer.call = types.MethodType(lambda self, x, training=None: 2 * plain(x), layer)


def _wrapped_class(model):
    plain = Scaling.call
    Scaling.call = lambda self, x: 7 * plain(self, x)


CHANGES = {
    "activation": _activation,
    "attribute": _attribute,
    "array": _array,
    "wrapped call": _wrapped_call,
    "wrapped class": _wrapped_class,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_model_opens_it_anew(change, opened, monkeypatch):
    monkeypatch.setattr(Scaling, "call", Scaling.call)  # and back
    model, x = scaled(), array(2, 4)
    before = innspect.create_analyzer("lrp.epsilon", model, epsilon=0)
    first = before.explain(x, 1)
    CHANGES[change](model)
    after = innspect.create_analyzer("lrp.epsilon", model, epsilon=0)
    second = after.explain(x, 1)
    np.testing.assert_allclose(second.outputs, ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5)
    assert np.abs(first.outputs - second.outputs).max() > 1e-3
    assert len(opened) == 2
    assert innspect.open_model(before.opened) is after.opened


def test_another_policy_of_dtypes_opens_a_model_anew(opened):
    model = scaled()
    before = innspect.create_analyzer("gradient", model)
    model.get_layer("in").dtype_policy = "mixed_float16"
    after = innspect.create_analyzer("gradient", model)
    assert after.opened is not before.opened
    assert len(opened) == 2


def test_a_quantized_layer_is_not_taken_for_what_it_was(opened):
    model = scaled()
    held = innspect.open_model(model)
    model.get_layer("in").quantize("int8")
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'in' .*quantized"):
        innspect.open_model(held)


def test_a_mapping_that_is_registered_counts_from_then_on(opened):
    @keras.saving.register_keras_serializable(package="innspect_tests_opened")
    class Odd(L.Layer):
        def call(self, x):
            return ops.sin(x) + x

    x = keras.Input((4,))
    model = shake(keras.Model(x, L.Dense(2)(Odd(name="odd")(x))))
    before = innspect.create_analyzer("lrp.epsilon", model)
    innspect.register_reverse_mapping(Odd, kind="pass")
    after = innspect.create_analyzer("lrp.epsilon", model)
    assert [n.path for n in after.opened.graph.nodes if n.path.startswith("odd")] == ["odd"]
    assert len(before.opened.graph.nodes) > len(after.opened.graph.nodes)


# ---------------------------------------------------------------------- nothing is kept
def test_an_opened_model_and_the_model_are_collected():
    model = network()
    analyzers = [innspect.create_analyzer(name, model) for name in ("gradient", "occlusion")]
    analyzers[0].analyze(X)
    gone = [weakref.ref(each) for each in (analyzers[0].opened, analyzers[0].opened.graph)]
    del analyzers
    gc.collect()
    assert [r() for r in gone] == [None, None]
    kept = weakref.ref(model)
    del model
    gc.collect()
    assert kept() is None
