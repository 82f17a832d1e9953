"""Fitting as users do it: any kind of data, in one run, in shards, killed and continued."""

import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import patterns as P
from innspect.errors import NotAnalyzeableModelError

BACKEND = keras.backend.backend()


def small(seed=1):
    layers = [L.Dense(5, activation="relu", name="a"), L.Dense(4, activation="tanh", name="b"), L.Dense(2, name="c")]
    return shake(keras.Sequential([keras.Input((4,)), *layers]), seed)


def two_inputs():
    a, b = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    joined = L.Concatenate()([L.Dense(3, activation="relu", name="l")(a), L.Dense(2, name="r")(b)])
    return shake(keras.Model({"left": a, "right": b}, L.Dense(2, name="out")(joined)))


def same(a, b, tolerance=1e-5):
    assert list(a) == list(b)
    for path in a:
        np.testing.assert_allclose(a[path], b[path], rtol=0, atol=tolerance * np.abs(b[path]).max())


class Batches(keras.utils.PyDataset):
    def __init__(self, x, size):
        super().__init__()
        self.x, self.size = x, size

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, i):
        part = self.x[i * self.size : (i + 1) * self.size]
        return part, np.zeros(len(part))


# ------------------------------------------------------------------ kinds of data
def loader(x):
    torch = pytest.importorskip("torch")

    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(x), torch.zeros(len(x))), batch_size=8)


def dataset(x):
    tf = pytest.importorskip("tensorflow")

    return tf.data.Dataset.from_tensor_slices((x, np.zeros(len(x)))).batch(8)


SOURCES = {
    "generator": lambda x: (x[i : i + 8] for i in range(0, len(x), 8)),
    "labelled generator": lambda x: ((x[i : i + 8], i) for i in range(0, len(x), 8)),
    "PyDataset": lambda x: Batches(x, 8),
    "tensor": lambda x: keras.ops.convert_to_tensor(x),
    "DataLoader": loader,
    "tf.data": dataset,
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_data_gives_the_same(source):
    model, x = small(), array(24, 4)
    expected = P.fit(model, x, batch_size=8)
    same(P.fit(model, SOURCES[source](x), batch_size=8), expected)
    assert expected.samples == 24


def test_several_inputs_as_dict_and_as_stream():
    model = two_inputs()
    x = {"left": array(16, 4), "right": array(16, 3, seed=1)}
    expected = P.fit(model, x)
    assert list(expected) == ["l", "r", "out"] or set(expected) == {"l", "r", "out"}
    stream = (({k: v[i : i + 8] for k, v in x.items()}, None) for i in (0, 8))
    same(P.fit(model, stream), expected)


def test_progress_and_steps(capsys):
    model, x = small(), array(16, 4)
    first = P.fit(model, x[:8], batch_size=4)
    endless = (x[4 * (i % 4) : 4 * (i % 4) + 4] for i in range(10**9))
    same(P.fit(model, endless, steps=2, verbose=1), first)
    assert "2/2" in capsys.readouterr().out


def test_the_model_is_not_touched():
    model, x = small(), array(16, 4)
    before = [w.copy() for w in model.get_weights()]
    trainable = [v.trainable for v in model.variables]
    P.fit(model, x)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert trainable == [v.trainable for v in model.variables]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern_type": "relu.both"}, "'relu.both'"),
        ({"pattern_type": []}, "pattern_type"),
        ({"gate": "real"}, "gate"),
        ({"y_mean": "none"}, "y_mean"),
        ({"batch_size": 0}, "batch_size"),
        ({"verbose": "yes"}, "verbose"),
        ({"every": 0}, "every"),
        ({"shard": (2, 2)}, "shard"),
        ({"data": array(0, 4)}, "at least one sample"),
        ({"data": iter(())}, "at least one sample"),
        ({"data": array(4, 5)}, "wrong shape"),
        ({"data": np.full((4, 4), np.nan, "float32")}, "'a'.*not finite|not finite"),
    ],
)
def test_errors_say_what_was_expected(arguments, message):
    arguments = {"data": array(8, 4), **arguments}
    with pytest.raises(ValueError, match=message):
        P.fit(small(), **arguments)


# ------------------------------------------------------------------ what the object offers
def test_auto_is_linear_where_no_relu_follows():
    patterns = P.fit(small(), array(32, 4), ["auto", "linear", "relu", "relu.negative"])
    linear, relu = patterns.select("linear"), patterns.select("relu.positive")
    np.testing.assert_array_equal(patterns["a"], relu["a"])
    for path in ("b", "c"):
        np.testing.assert_array_equal(patterns[path], linear[path])
    assert patterns.select("relu.negative")["a"].shape == patterns["a"].shape == (4, 5)
    assert patterns != linear
    assert patterns == patterns.select("auto")
    with pytest.raises(ValueError, match="not fitted"):
        P.fit(small(), array(8, 4), "linear").select("relu")
    with pytest.raises(KeyError, match="'d'"):
        patterns["d"]


def test_dead_neurons_are_zero_and_counted():
    model = small()
    bias = model.layers[0].bias
    bias.assign(np.array([-1e3, 0, 0, 0, 0], "float32"))
    kernel = model.layers[0].kernel
    constant = keras.ops.convert_to_numpy(kernel).copy()
    constant[:, 1] = 0
    kernel.assign(constant)
    patterns = P.fit(model, array(32, 4), ["auto", "linear"])
    assert not patterns["a"][:, :2].any()
    assert patterns["a"][:, 2:].any(axis=0).all()
    assert patterns.select("linear")["a"][:, 0].any()  # it varies, though it is never active
    assert patterns.degenerate == {"a": 2}
    text = patterns.summary(None)
    assert "never active" in text
    assert "32 samples" in text


def test_an_offset_of_the_input_costs_no_accuracy_in_float32():
    model, x = small(), np.round(array(512, 4) * 64) / 64  # numbers that stay exact beside the offset
    model.layers[0].bias.assign(np.zeros(5, "float32"))
    first = keras.Sequential([model.inputs[0], model.layers[0]])
    near, far = (P.fit(first, data.astype("float32"), "linear", batch_size=64) for data in (x, x + 1000.0))
    same(far, near, 2e-5)


def test_a_layer_whose_kernel_cannot_be_read_is_named():
    class Blend(L.Layer):
        def build(self, shape):
            self.mix = self.add_weight(shape=(1, shape[1], shape[1]), name="mix")

        def call(self, x):
            return keras.ops.matmul(self.mix, x)

    model = keras.Sequential([keras.Input((3, 2)), Blend(name="blend")])
    with pytest.raises(NotAnalyzeableModelError, match="blend"):
        P.fit(model, array(4, 3, 2))


# ------------------------------------------------------------------ resuming and shards
class Killed(Exception):
    pass


def killed_after(x, size, batches):
    """A stream that dies."""
    for i in range(0, len(x), size):
        if i // size == batches:
            raise Killed
        yield x[i : i + size]


@pytest.mark.parametrize("batches", [1, 4, 5])
def test_a_killed_fit_continues_to_the_same_numbers(tmp_path, batches):
    model, x, file = small(), array(48, 4), tmp_path / "statistics.h5"
    undisturbed = P.fit(model, (x[i : i + 8] for i in range(0, 48, 8)))
    with pytest.raises(Killed):
        P.fit(model, killed_after(x, 8, batches), checkpoint=file, every=2)
    assert file.exists() == (batches >= 2)
    resumed = P.fit(model, (x[i : i + 8] for i in range(0, 48, 8)), checkpoint=file, every=2)
    assert resumed == undisturbed  # bit for bit
    assert P.fit(model, (x[i : i + 8] for i in range(0, 48, 8)), checkpoint=file) == undisturbed  # nothing left to do


_SLOWLY = """
import sys, time, keras, numpy as np
from innspect import patterns

model, x = keras.saving.load_model("model.keras"), np.load("x.npy")

def batches():
    for i in range(0, len(x), 8):
        time.sleep(0.02)
        yield x[i : i + 8]

patterns.fit(model, batches(), checkpoint="statistics.h5", every=1)
"""


@pytest.mark.slow
def test_a_process_killed_at_any_moment_continues_to_the_same_numbers(tmp_path):
    model, x, file = small(), array(2000, 4), tmp_path / "statistics.h5"
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    for seconds in (0, 0.37):  # after the first checkpoint that a process writes
        before = file.stat().st_mtime_ns if file.exists() else 0
        process = subprocess.Popen([sys.executable, "-c", _SLOWLY], cwd=tmp_path)
        while not file.exists() or file.stat().st_mtime_ns == before:
            assert process.poll() is None, "the fit ended before it could be killed"
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        assert process.wait() < 0
    resumed = P.fit(model, (x[i : i + 8] for i in range(0, len(x), 8)), checkpoint=file)
    assert resumed == P.fit(model, (x[i : i + 8] for i in range(0, len(x), 8)))


def test_a_checkpoint_of_other_work_is_refused(tmp_path):
    model, x, file = small(), array(24, 4), tmp_path / "statistics.h5"
    P.fit(model, x, batch_size=8, checkpoint=file)
    with pytest.raises(ValueError, match="batch_size"):
        P.fit(model, x, batch_size=4, checkpoint=file)
    with pytest.raises(ValueError, match="data"):
        P.fit(model, x + 1, batch_size=8, checkpoint=file)
    with pytest.raises(ValueError, match="gate"):
        P.fit(model, x, batch_size=8, checkpoint=file, gate="bias_free")
    with pytest.raises(ValueError, match="'a'"):
        P.fit(small(seed=2), x, batch_size=8, checkpoint=file)


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_equal_one_fit(tmp_path, shards):
    model, x = small(), array(88, 4)
    files = [tmp_path / f"{i}.h5" for i in range(shards)]
    for i in reversed(range(shards)):
        P.fit(model, x, ["auto", "linear", "relu.negative"], batch_size=8, shard=(i, shards), checkpoint=files[i])
    whole = tmp_path / "whole.h5"
    expected = P.fit(model, x, ["auto", "linear", "relu.negative"], batch_size=8, checkpoint=whole)
    merged = P.merge(files[::-1])
    assert merged.samples == 88
    for path, layer in P.PatternStatistics.load(whole).layers.items():
        for regime in ("linear", "positive", "negative"):
            if regime == "linear" or path == "a" or len(layer.moments.regimes) > 1:
                mine, theirs = merged.layers[path].moments.numerator(regime), layer.moments.numerator(regime)
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12 * np.abs(theirs).max())
    same(merged.patterns(), expected, 1e-6)
    with pytest.raises(ValueError, match="twice"):
        P.merge([files[0], *files])


def test_more_shards_than_batches_is_an_error():
    with pytest.raises(ValueError, match="shard"):
        P.fit(small(), array(8, 4), batch_size=8, shard=(1, 2))


def test_sums_on_a_device_equal_those_on_the_host():
    """What an accelerator does, tried here: pairs of numbers on the device, brought over now and then."""
    from innspect.patterns.accumulate import Accumulator

    random, batches = np.random.default_rng(0), 40
    numbers = (random.normal(size=(batches, 50)) * 10.0 ** random.integers(-3, 4, (batches, 50))).astype("float32")
    total = {"sum": np.zeros(50), "count": 0}

    def deposit(path, sums, rows):
        assert (path, rows) == ("layer", None)
        for key, value in sums.items():
            total[key] = total[key] + value

    accumulator = Accumulator(on_device=True)
    for row in numbers:
        sums = {"sum": keras.ops.convert_to_tensor(row), "count": keras.ops.convert_to_tensor(7, dtype="int32")}
        accumulator.add({"layer": sums}, deposit)
    accumulator.flush(deposit)
    exact = numbers.astype("float64").sum(0)
    np.testing.assert_allclose(total["sum"], exact, rtol=0, atol=1e-12 * np.abs(numbers).sum(0).max())
    assert total["count"] == 7 * batches


@pytest.mark.parametrize("jit_compile", [False, True])
def test_patterns_are_of_the_weights_that_were_there_when_the_data_was_seen(jit_compile):
    if jit_compile and BACKEND == "torch":
        pytest.skip("needs a C++ compiler")
    model, x = small(), array(24, 4)
    statistics = P.PatternStatistics(model, "linear")
    statistics.update(x)
    before = statistics.patterns()
    model.compile("adam", "mse", jit_compile=jit_compile)
    model.fit(x, np.ones((24, 2)), epochs=2, verbose=0)
    for layer in model.layers:
        layer.kernel.assign(2 * layer.kernel)
        layer.kernel.assign_add(layer.kernel)
    same(statistics.patterns(), before, 0)


@pytest.mark.skipif(innspect.backend.accelerated(), reason="an accelerator makes the products itself")
def test_products_of_a_large_dense_layer_are_made_outside_the_graph(monkeypatch):
    """They would be several times as large as the kernel, all there at once."""
    from innspect.patterns import rows, statistics

    layers = [L.Dense(20, activation="relu", name="large"), L.Dense(2, name="small")]
    model, x = shake(keras.Sequential([keras.Input((40,)), *layers])), array(24, 40)
    products, made = statistics.add_products, []

    def add_products(totals, x, times):
        made.append((tuple(x.shape), set(times)))
        products(totals, x, times)

    monkeypatch.setattr(statistics, "add_products", add_products)
    monkeypatch.setattr(rows, "_LARGE", 500)
    patterns = P.fit(model, x, ["linear", "relu"], batch_size=8)
    assert made == 3 * [((8, 40), {"xy_linear", "x_positive", "xy_positive"})]
    monkeypatch.setattr(rows, "_LARGE", 1000)
    same(patterns, P.fit(model, x, ["linear", "relu"], batch_size=8), 1e-6)
    assert len(made) == 3


def test_fit_reads_a_tf_dataset_once(tmp_path):
    """An analyzer's own `fit`, and its generator form."""
    model, x = small(), array(24, 4)
    analyzer = innspect.create_analyzer("pattern.attribution", model).fit(x, batch_size=8)
    again = innspect.create_analyzer("pattern.attribution", model)
    again.fit_generator((x[i : i + 8] for i in (0, 8, 16)), steps_per_epoch=3)
    np.testing.assert_allclose(again.analyze(x[:2]), analyzer.analyze(x[:2]), rtol=1e-5, atol=1e-6)
