"""Other threads: what they set on a model stays, training is equal to the bit, a map is of one state of the weights."""

import subprocess
import sys
import threading

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import backend
from innspect.backend.compiling import Compiler
from innspect.graph.capture.untouched import untouched

BACKEND = keras.backend.backend()


def elsewhere(*functions):
    """Run functions, each in a thread of its own, and wait."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------------- what is written on layers
class Meeting(L.Layer):
    """Notes what it saw, adds a loss, and lets another thread do something meanwhile."""

    meanwhile = staticmethod(lambda layer: None)

    def call(self, x):
        self.seen, self.count = "here", getattr(self, "count", 0) + 1
        self.add_loss(keras.ops.mean(x))
        elsewhere(lambda: self.meanwhile(self))
        return x * 1.0


def meeting():
    x = keras.Input((4,))
    h = Meeting(name="meeting")(L.Dense(4, activity_regularizer="l2", name="first")(x))
    model = shake(keras.Model(x, L.Dense(3, activation="softmax", name="dense")(h)))
    layer = model.get_layer("meeting")
    layer.seen, layer.count = "before", 0
    return model, layer


EXPLAINING = {
    "made": lambda model, x: innspect.create_analyzer("lrp.epsilon", model),
    "used": lambda model, x: innspect.create_analyzer("gradient", model).analyze(x, 1),
    "asked": lambda model, x: innspect.create_analyzer("occlusion", model, window=1).analyze(x, 1),
    "reported": lambda model, x: innspect.report(model, x, ["gradient"], top=1),
    "fitted": lambda model, x: innspect.patterns.fit(model, x),
}


@pytest.mark.parametrize("how", EXPLAINING)
def test_what_other_threads_set_stays_and_what_is_set_here_goes(how):
    model, layer = meeting()
    dense, losses = model.get_layer("dense"), []

    def train(layer):
        losses.append(keras.ops.convert_to_tensor(float(len(losses))))
        dense.add_loss(losses[-1])
        dense.note = model.stop_training = layer.new = len(losses)

    before = [id(loss) for loss in model.losses]
    layer.meanwhile = train
    EXPLAINING[how](model, array(2, 4))
    layer.meanwhile = Meeting.meanwhile
    assert losses
    assert dense.note == model.stop_training == layer.new == len(losses)
    assert (layer.seen, layer.count) == ("before", 0)
    assert [id(loss) for loss in model.losses] == before + [id(loss) for loss in losses]


def test_an_attribute_that_both_set_is_the_others():
    """Also where this thread sets it once more."""
    model, layer = meeting()
    with untouched(model):
        layer.seen = "here"
        elsewhere(lambda: setattr(layer, "seen", "there"))
    assert layer.seen == "there"
    with untouched(model):
        layer.seen = "here"
        elsewhere(lambda: setattr(layer, "seen", "elsewhere"))
        layer.seen = "here again"
    assert layer.seen == "elsewhere"


def test_what_is_set_here_is_seen_here_only():
    """Also what a property sets, and what a call within this one does."""
    model, layer = meeting()
    classes, seen = [dict(vars(cls)) for cls in (Meeting, L.Dense, keras.Layer)], []
    with untouched(model):
        layer.seen, layer.trainable = "here", False
        with untouched(layer):
            layer.count = 7
            elsewhere(lambda: seen.append((layer.seen, layer.count, layer.trainable)))
            assert (layer.seen, layer.count, layer.trainable) == ("here", 7, False)
        assert layer.count == 0
    assert seen == [("before", 0, True)]
    assert (layer.seen, layer.count, layer.trainable) == ("before", 0, True)
    assert classes == [dict(vars(cls)) for cls in (Meeting, L.Dense, keras.Layer)]


def test_an_attribute_that_is_deleted_here_comes_back():
    model, layer = meeting()
    with untouched(model):
        del layer.seen
        assert not hasattr(layer, "seen")
        layer.other = 3
        del layer.other
        with pytest.raises(AttributeError):
            del layer.other
    assert layer.seen == "before"
    assert not hasattr(layer, "other")


# ---------------------------------------------------------------------- training in another thread
def trainee():
    keras.utils.set_random_seed(3)
    x = keras.Input((6,))
    h = L.Dropout(0.2, seed=1)(L.Dense(16, activation="relu", activity_regularizer="l2")(x))
    h = L.BatchNormalization()(h)
    model = keras.Model(x, L.Dense(3, activation="softmax")(h))
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", jit_compile=BACKEND == "jax")
    return model


def recurrent():
    """Its layers keep the masks of their dropout on themselves while they are called."""
    keras.utils.set_random_seed(3)
    x = keras.Input((6,))
    h = L.Reshape((2, 3))(x)
    h = L.Bidirectional(L.GRU(3, dropout=0.3, recurrent_dropout=0.2, seed=3))(h)
    model = keras.Model(x, L.Dense(3, activation="softmax")(h))
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", jit_compile=BACKEND == "jax")
    return model


TRAIN = array(64, 6), np.arange(64) % 3


def fitted(model):
    model.fit(*TRAIN, batch_size=4, epochs=3, verbose=0, shuffle=False)


def stepped(model):
    for _ in range(20):
        model.train_on_batch(*TRAIN)


def bits(model):
    return [np.asarray(v).tobytes() for v in [*model.variables, *model.optimizer.variables]]


@pytest.mark.sweep(keep=["fitted-trainee-methods0", "stepped-trainee-methods1"], on="jax")
@pytest.mark.parametrize(
    ("train", "make", "methods"),
    [
        (fitted, trainee, ["lrp.epsilon", "integrated_gradients"]),
        (stepped, trainee, ["gradient", "occlusion"]),
        (stepped, recurrent, ["lrp.epsilon"]),
    ],
)
def test_training_is_equal_to_the_bit_while_another_thread_explains(train, make, methods):
    alone, watched, stop, explained = make(), make(), threading.Event(), []
    train(alone)
    errors = []

    def explain():
        while not stop.is_set():
            try:
                for name in methods:
                    maps = innspect.create_analyzer(name, watched).analyze(TRAIN[0][:4], 1)
                    explained.append(np.isfinite(maps).all())
            except RuntimeError as error:
                errors.append(str(error))

    thread = threading.Thread(target=explain)
    thread.start()
    try:
        train(watched)
    finally:
        stop.set()
        thread.join()
    assert bits(alone) == bits(watched)
    assert all(explained)
    assert all("is being trained while it is explained" in error for error in errors), errors


@pytest.mark.skipif(BACKEND == "tensorflow", reason="its functions read the variables themselves")
def test_a_map_is_of_one_state_of_the_weights():
    """They are moved while a map is computed: it is computed again."""
    model = shake(keras.Sequential([keras.Input((4,)), L.Dense(5, activation="tanh"), L.Dense(2)]))
    x, states = array(2, 4), [model.get_weights(), [2 * w for w in model.get_weights()]]
    analyzer = innspect.create_analyzer("integrated_gradients", model, steps=8)
    expected, values = [], []
    for state in reversed(states):
        model.set_weights(state)
        expected.append(analyzer.analyze(x, 1, batch_size=2))
    step, moves = analyzer.runner.run, iter([states[1]])

    def run(*args, **kwargs):
        found = step(*args, **kwargs)
        for state in moves:
            give_away(model, values)
            model.set_weights(state)
        return found

    analyzer.runner.run = run
    found = analyzer.analyze(x, 1, batch_size=2)
    assert np.array_equal(found, expected[0])
    assert not np.array_equal(found, expected[1])


@pytest.mark.skipif(BACKEND != "jax", reason="only there are weights given away")
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients"])
def test_weights_that_are_given_away_while_they_are_read_are_read_again(method, monkeypatch):
    model, x, read = trainee(), TRAIN[0][:3], backend.variable_values
    analyzer = innspect.create_analyzer(method, model)
    expected, left = analyzer.analyze(x, 1), iter(range(3))

    def given_away(variables):
        values = read(variables)
        if values and next(left, None) is not None:
            give_away(model, values)
        return values

    monkeypatch.setattr(backend, "variable_values", given_away)
    assert np.array_equal(analyzer.analyze(x, 1), expected)
    assert next(left, None) is None


def give_away(model, values):
    """As a training step does on JAX, whose arrays are given to it."""
    if BACKEND == "jax":
        values = [v.value for v in model.weights]
        model.set_weights([np.asarray(v) for v in values])
        for value in values:
            value.delete()


@pytest.mark.skipif(BACKEND != "jax", reason="only there does `fit` keep the weights to itself")
def test_within_fit_on_jax_the_error_says_what_to_do():
    model, said = trainee(), []

    def explain(batch, logs):
        try:
            innspect.create_analyzer("gradient", model).analyze(TRAIN[0][:2], 1)
        except RuntimeError as error:
            said.append(str(error))
        model.jax_state_sync()
        innspect.create_analyzer("gradient", model).analyze(TRAIN[0][:2], 1)

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=explain)
    model.fit(*TRAIN, batch_size=64, epochs=1, verbose=0, callbacks=[callback])
    assert len(said) == 1
    assert "model.jax_state_sync()" in said[0]


# ---------------------------------------------------------------------- processes
STARTED = {
    "jax": "from jax._src import xla_bridge; started = bool(xla_bridge._backends)",
    "tensorflow": "from tensorflow.python.eager import context; started = context.context()._initialized",
    "torch": "import torch; started = torch.cuda.is_initialized()",
}


def test_importing_starts_no_backend():
    """So that processes may be forked from this one, as a server's are, and that JAX may still be told of others."""
    imports = "import innspect.analyzers, innspect.patterns, innspect.reports, innspect.study, innspect.reports.page"
    code = f"{imports}\n{STARTED[BACKEND]}\nassert not started"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


# ---------------------------------------------------------------------- functions as neurons
def test_compiled_functions_are_kept_in_bounded_number_the_last_used_ones():
    made = Compiler([])
    x = keras.ops.ones((1,))
    for number in range(80):
        made("used again and again", lambda x: x, x)
        made(number, lambda x: x, x)
    assert len(made._made) <= 32
    assert {"used again and again", 79} <= set(made._made)
