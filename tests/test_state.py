"""Explaining leaves no trace: the model, its training and the process are the same before, after, and in between."""

import random

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from keras import layers as L
from keras import ops
from models import Block, array, ids, shake

import innspect
from innspect.analyzers.base.registry import example_arguments

# What a method needs besides its name; the black-box methods as small as they can be.
FITTED = ("pattern.net", "pattern.attribution")
METHODS = [m for m in innspect.list_analyzers() if m != "cam"]  # which needs a model of its own, see test_cam.py


@keras.saving.register_keras_serializable(package="innspect_tests")
class Noting(L.Layer):
    """Writes what it saw on itself, adds a loss, and draws a random number in training."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = None
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x, training=False):
        self.seen = x
        self.add_loss(ops.mean(ops.square(x)) * 0.01)
        return x + (keras.random.normal(ops.shape(x), seed=self.seeds) if training else 0.0)


def trained(seed=7):
    """A model with everything that training moves: dropout, normalization, regularizers, losses, an optimizer."""
    keras.utils.set_random_seed(seed)
    x = keras.Input((8, 8, 2), name="image")
    h = L.Conv2D(3, 3, activation="relu", kernel_regularizer="l2", activity_regularizer="l1", name="conv")(x)
    h = L.BatchNormalization(name="norm")(h)
    h = L.GaussianNoise(0.1, seed=2, name="noise")(h)
    h = L.MaxPooling2D(name="pool")(h)
    h = L.Flatten(name="flatten")(h)
    h = L.Dropout(0.3, seed=1, name="drop")(h)
    h = keras.Sequential([L.Dense(6, activation="relu", name="hidden"), Noting(name="noting")], name="inner")(h)
    model = keras.Model(x, L.Dense(3, activation="softmax", name="out")(h), name="trained")
    model.get_layer("inner").get_layer("hidden").trainable = False
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.get_layer("out").bias.assign([3.0, 3.0, 3.0])  # positive logits, as deep Taylor needs them
    model.train_on_batch(X, LABELS)
    model(X)  # its losses are values now, not tensors of the graph that trained it
    return model


X, LABELS = array(4, 8, 8, 2), np.array([0, 1, 2, 1])


def plain(value):
    """A value that `==` compares: variables by identity and bits, other objects by identity."""
    if isinstance(value, keras.Variable):
        return id(value), ops.convert_to_numpy(value).tobytes()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value if isinstance(value, str | int | float | bool | type(None)) else id(value)


def random_states():
    states = {"python": random.getstate(), "numpy": [str(part) for part in np.random.get_state()]}
    if keras.backend.backend() == "torch":
        import torch

        states["torch"] = torch.get_rng_state().numpy().tobytes()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        states["tensorflow"] = tf.random.get_global_generator().state.numpy().tobytes()
    return states


def made_now():
    """Numbers of the automatic names that new objects get; making them moves each by one."""
    makers = (L.ReLU, L.Flatten, L.Multiply, keras.Sequential, keras.random.SeedGenerator)
    names = [L.Dense(1).name, L.Activation("relu").name, *[maker().name for maker in makers]]
    names += [keras.KerasTensor((1,)).name, keras.Input((1,)).name, ops.relu(keras.KerasTensor((1,))).name]
    names += [keras.Variable(0.0).name]
    return [int(number) if (number := name.rpartition("_")[2]).isdigit() else 0 for name in names]


def counters():
    """The numbers that the next call of `made_now` gives unless names are used up before it."""
    first, second = made_now(), made_now()
    return [2 * b - a for a, b in zip(first, second, strict=True)]


def state_of_layer(layer):
    state = {
        "flags": (layer.name, layer.trainable, layer.built, layer.supports_masking, str(layer.dtype_policy)),
        "variables": plain(list(layer.variables)),
        "losses": plain(list(layer._losses)),
        "attributes": {k: plain(v) for k, v in vars(layer).items()},
        "nodes": (len(layer._inbound_nodes), len(layer._outbound_nodes)),
    }
    if keras.backend.backend() == "torch":
        state["grad"] = [None if v.value.grad is None else v.value.grad.numpy().tobytes() for v in layer.variables]
    return state


def snapshot(model):
    """Everything that an analysis could change, of every layer and of the process."""
    return {
        "optimizer": plain(model.optimizer.variables) if getattr(model, "optimizer", None) else None,
        "losses": [ops.convert_to_numpy(loss).tobytes() for loss in model.losses],
        "random": random_states(),
        "config": (keras.config.floatx(), keras.config.dtype_policy().name, keras.config.image_data_format()),
        "patched": (keras.Layer.__call__, keras.Operation.symbolic_call),
        **{layer.path: state_of_layer(layer) for layer in model._flatten_layers()},
    }


def assert_unchanged(before, after):
    assert before.keys() == after.keys()
    for key, earlier in before.items():
        for part in earlier if isinstance(earlier, dict) else [None]:
            same = earlier == after[key] if part is None else earlier[part] == after[key][part]
            assert same, f"{key}: {part}"


def create(method, model):
    analyzer = innspect.create_analyzer(method, model, **example_arguments(method, X))
    return analyzer.fit(X) if method in FITTED else analyzer


@pytest.fixture(scope="module")
def model():
    return trained()


def explain_without_a_trace(method, model):
    counted, before = counters(), snapshot(model)
    analyzer = create(method, model)
    explanation = analyzer.explain(X[:2])
    assert_unchanged(before, snapshot(model))
    if hasattr(analyzer, "conservation"):
        analyzer.conservation(X[:2], 1)
        str(analyzer.summary())
        assert_unchanged(before, snapshot(model))
    assert made_now() == counted
    return explanation


@pytest.mark.sweep(keep=ONE_OF_EACH, on="jax tensorflow")
@pytest.mark.parametrize("method", METHODS)
def test_every_analyzer_leaves_no_trace(method, model, eager):
    assert np.isfinite(explain_without_a_trace(method, model).attributions).all()


@pytest.mark.parametrize("method", ["saliency", "lrp.epsilon", "lrp.alpha_2_beta_1", "integrated_gradients", "grad_cam"])
def test_nor_when_it_is_compiled(method, model):
    explain_without_a_trace(method, model)


def test_training_is_bit_equal_with_and_without_analyses(eager):
    undisturbed, disturbed = trained(), trained()
    analyzers = [create(method, disturbed) for method in METHODS if method not in FITTED]
    for step in range(2):
        for analyzer in analyzers[step::2]:
            analyzer.analyze(X[:2])
        keras.utils.set_random_seed(step)
        expected = undisturbed.train_on_batch(X, LABELS)
        keras.utils.set_random_seed(step)
        assert disturbed.train_on_batch(X, LABELS) == expected
    for theirs, ours in zip(undisturbed.variables, disturbed.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))


def test_a_stateful_network_does_not_advance():
    x = keras.Input(batch_shape=(2, 5, 3))
    model = shake(keras.Model(x, L.Dense(2, name="out")(L.LSTM(4, stateful=True, name="lstm")(x))))
    values = array(2, 5, 3)
    model(values)
    counted, before = counters(), snapshot(model)
    innspect.create_analyzer("gradient", model).analyze(values, batch_size=2)
    assert_unchanged(before, snapshot(model))
    assert made_now() == counted


def test_embeddings_and_composite_layers_keep_their_state():
    x = keras.Input((5,), dtype="int32")
    h = L.Embedding(6, 4, name="embedding")(x)
    h = L.GlobalAveragePooling1D(name="mean")(Block(5, name="block")(h))
    model = shake(keras.Model(x, L.Dense(2, name="out")(h)))
    before = snapshot(model)
    innspect.create_analyzer("gradient", model).analyze(ids(3, 5, below=6))
    assert_unchanged(before, snapshot(model))


# ---------------------------------------------------------------------- exceptions
class Fragile(L.Layer):
    """Fails on data when it is told to."""

    broken = False

    def call(self, x):
        if self.broken:
            raise ArithmeticError("broken on purpose")
        return x * 1.0


def fragile():
    x = keras.Input((4,))
    h = Fragile(name="fragile")(L.Dense(4, activity_regularizer="l2", name="dense")(x))
    model = shake(keras.Model(x, L.Dense(2, name="out")(h)))
    model(array(2, 4))
    return model


def test_an_exception_while_building_leaves_no_trace():
    model = fragile()
    model.get_layer("fragile").broken = True
    counted, before = counters(), snapshot(model)
    with pytest.raises((innspect.NotAnalyzeableModelError, ArithmeticError), match="broken on purpose"):
        innspect.create_analyzer("gradient", model)
    assert_unchanged(before, snapshot(model))
    assert made_now() == counted


def test_an_exception_while_analyzing_leaves_no_trace():
    model = fragile()
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    before = snapshot(model)

    def wrong(y):
        raise ArithmeticError("broken on purpose")

    with pytest.raises(ArithmeticError, match="broken on purpose"):
        analyzer.analyze(array(2, 4), wrong)
    assert_unchanged(before, snapshot(model))
    assert np.isfinite(analyzer.analyze(array(2, 4))).all()


def test_an_exception_in_a_rule_leaves_no_trace():
    from innspect.layers import Rule

    class Broken(Rule):
        def forward(self, layer, inputs):
            return layer(*inputs), None

        def backward(self, layer, saved, signals):
            raise ArithmeticError("broken on purpose")

    model = fragile()
    analyzer = innspect.create_analyzer("lrp", model, rule=Broken)
    before = snapshot(model)
    with pytest.raises(ArithmeticError, match="broken on purpose"):
        analyzer.analyze(array(2, 4))
    assert_unchanged(before, snapshot(model))
