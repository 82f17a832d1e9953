"""How many samples are computed at once where nobody says, and that maps do not tell."""

import gc
import os
import threading
import time

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.work import one_behind
from innspect.inputs import sizes
from innspect.inputs.ahead import ahead
from innspect.inputs.batches import Inputs

COUNT = 40  # in one batch by default, and a whole one and a rest at 32


@pytest.fixture(scope="module")
def model():
    body = [L.Conv2D(3, 3, activation="relu", name="conv"), L.MaxPooling2D(), L.Flatten(), L.Dense(4)]
    return innspect.open_model(shake(keras.Sequential([keras.Input((8, 8, 2)), *body])))


X = array(COUNT, 8, 8, 2)


def at_once(model, shape, **asked):
    return Inputs(np.zeros((1, *shape), "float32"), innspect.open_model(model)).checked_size(None, **asked)


# ---------------------------------------------------------------------- the rule
@pytest.mark.once
def test_many_small_samples_and_few_large_ones():
    rows = keras.Sequential([keras.Input((20,)), L.Dense(64, activation="relu"), L.Dense(3)])
    assert at_once(rows, (20,)) == 1024

    def images(size, channels):
        return keras.Sequential([keras.Input((size, size, 3)), L.Conv2D(channels, 3), L.GlobalAveragePooling2D(), L.Dense(10)])

    assert 32 < at_once(images(32, 64), (32, 32, 3)) < 1024
    assert at_once(images(224, 64), (224, 224, 3)) == 32
    assert at_once(images(1024, 64), (1024, 1024, 3)) == 8  # 4 GiB
    assert at_once(images(None, 64), (224, 224, 3)) == 32  # a size that only the input tells
    assert at_once(rows, (20,), maps=10_000) < 128


@pytest.mark.once
def test_what_is_not_among_a_models_tensors_counts_too():
    frames = [keras.Input((500, 16, 16, 3)), L.TimeDistributed(L.Conv2D(8, 3)), L.TimeDistributed(L.Flatten()), L.LSTM(5)]
    assert at_once(keras.Sequential(frames), (500, 16, 16, 3)) == 32  # each frame is a row
    series = [keras.Input((4000, 1)), L.LSTM(64), L.Dense(2)]
    assert at_once(keras.Sequential(series), (4000, 1)) == 32  # the cell's states, of which only the last is an output
    text = [keras.Input((None,), dtype="int32"), L.Embedding(50, 64), L.GlobalAveragePooling1D(), L.Dense(2)]
    model = innspect.open_model(keras.Sequential(text))
    long, short = (Inputs(np.ones((1, n), "int32"), model).checked_size(None) for n in (4000, 4))
    assert (long, short) == (64, 1024)


@pytest.mark.once
@pytest.mark.parametrize(
    ("samples", "elements", "size"),
    [(600, 10_000, 128), (600, 100, 1024), (40, 100_000, 32), (10_000, 10_000, 1024), (1, 10**6, 1), (0, 10, 1024)],
)
def test_little_is_computed_for_padding(samples, elements, size):
    assert sizes.of_little_padding(samples, 1024, elements) == size


@pytest.mark.once
def test_a_function_is_judged_by_its_inputs():
    occlusion = innspect.create_analyzer("occlusion", lambda x: x.reshape(len(x), -1)[:, :3], window=4, stride=4)
    assert occlusion.request(X, Asked()).at_once == 1024
    assert occlusion.request(np.zeros((1, 256, 256, 3), "float32"), Asked()).at_once == 32


# ---------------------------------------------------------------------- the same maps
@pytest.mark.sweep(keep=["gradient-", "smoothgrad-", "occlusion-", "deep_lift-"])
@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("gradient", {}),
        ("lrp.epsilon", {}),
        ("lrp.alpha_2_beta_1", {}),
        ("grad_cam", {"layer": "conv"}),
        ("smoothgrad", {"num_samples": 5, "seed": 3}),
        ("integrated_gradients", {"steps": 8}),
        ("deep_lift", {"reference_inputs": array(3, 1, 8, 8, 2, seed=4)}),
        ("occlusion", {"window": 4, "stride": 2}),
        ("rise", {"num_masks": 12, "grid": 3, "seed": 5}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_maps_are_those_of_32_at_once(model, method, arguments):
    analyzer = innspect.create_analyzer(method, model, **arguments)
    assert analyzer.request(X, Asked()).at_once == 1024
    found, expected = analyzer.explain(X, 1), analyzer.explain(X, 1, batch_size=32)
    largest = np.abs(expected.attributions).max()
    np.testing.assert_allclose(found.attributions, expected.attributions, rtol=0, atol=1e-6 * largest)
    np.testing.assert_allclose(found.outputs, expected.outputs, rtol=1e-5, atol=1e-6)


def test_several_neurons_and_the_same_sample_alone(model):
    analyzer = innspect.create_analyzer("lrp.z_plus", model)
    whole = analyzer.analyze(X, neurons=[0, 3])
    np.testing.assert_allclose(analyzer.analyze(X[35:36], neurons=[0, 3]), whole[:, 35:36], rtol=1e-4, atol=1e-6)


def test_a_model_of_a_fixed_batch_takes_what_it_can():
    x = keras.Input(batch_shape=(2, 3, 2))
    model = shake(keras.Model(x, L.Dense(2)(L.LSTM(3, stateful=True)(x))))
    analyzer = innspect.create_analyzer("gradient", model)
    assert analyzer.request(array(5, 3, 2), Asked()).at_once == 2
    assert analyzer.analyze(array(5, 3, 2)).shape == (5, 3, 2)


def test_streams_keep_their_batches(model):
    analyzer = innspect.create_analyzer("gradient", model)
    maps = list(analyzer.stream(iter([X[:7], X[7:]])))
    assert [len(m) for m in maps] == [7, 33]
    np.testing.assert_allclose(np.concatenate(maps), analyzer.analyze(X), rtol=1e-5, atol=1e-6)


@pytest.mark.host
@pytest.mark.parametrize("wrong", [0, -1, 1.5, "all", True])
def test_a_batch_size_that_is_none(model, wrong):
    for ask in (
        lambda: innspect.create_analyzer("gradient", model).analyze(X, batch_size=wrong),
        lambda: innspect.patterns.fit(model, X, batch_size=wrong),
        lambda: innspect.report(model, X[:2], ["gradient"], batch_size=wrong),
    ):
        with pytest.raises(ValueError, match="`batch_size` must be None or a positive integer"):
            ask()


# ---------------------------------------------------------------------- patterns
@pytest.mark.host
def test_a_fit_goes_on_as_it_was_begun(model, tmp_path):
    data, file = array(300, 8, 8, 2), tmp_path / "part.h5"
    innspect.patterns.fit(model, data, batch_size=50, steps=2, checkpoint=file)
    found = innspect.patterns.fit(model, data, checkpoint=file)
    expected = innspect.patterns.fit(model, data)
    np.testing.assert_allclose(found["conv"], expected["conv"], rtol=1e-5, atol=1e-6)


@pytest.mark.host
def test_shards_of_few_samples_have_work(model, tmp_path):
    data = array(300, 8, 8, 2)
    files = [tmp_path / f"{i}.h5" for i in range(4)]
    for i, file in enumerate(files):
        innspect.patterns.fit(model, data, shard=(i, 4), checkpoint=file)
    merged = innspect.patterns.merge(files)
    assert merged.samples == 300
    np.testing.assert_allclose(merged.patterns()["conv"], innspect.patterns.fit(model, data)["conv"], rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- at work
@pytest.mark.once
def test_a_result_is_fetched_when_the_next_one_is_begun():
    told = []

    def items():
        for n in range(3):
            told.append(f"begun {n}")
            yield n

    for n in one_behind(items()):
        told.append(f"fetched {n}")
    assert told == ["begun 0", "begun 1", "fetched 0", "begun 2", "fetched 1", "fetched 2"]


@pytest.mark.host
def test_explaining_for_scores_copies_no_inputs(model, monkeypatch):
    """Evaluation asks for maps and outputs of thousands of versions, of which nobody draws a picture."""
    from innspect.analyzers.base import analyzer as base

    monkeypatch.setattr(base, "told", None)
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    scores = innspect.evaluation.continuity(model, X[:4], analyzer, reach=1)
    assert np.isfinite(scores.values).any()


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the memory of the process as Linux tells it")
def test_no_growth_over_many_calls_and_analyzers(model):
    """With INNSPECT_ALL=1 over 2,000 calls and 360 analyzers."""
    calls, analyzers = (2000, 60) if os.environ.get("INNSPECT_ALL") else (600, 12)
    random, analyzer = np.random.default_rng(0), innspect.create_analyzer("lrp.epsilon", model)

    def call(count):
        for n in random.integers(1, COUNT + 1, count):
            analyzer.analyze(X[:n], batch_size=[None, 3, 8, 32][n % 4])

    call(300)  # compiles each size
    before = resident()
    call(calls)
    assert resident() - before < 8

    held = []
    for _ in range(6):
        for _ in range(analyzers):
            innspect.create_analyzer("lrp.epsilon", model).analyze(X[:2])
        held.append(resident())
    assert held[-1] - held[0] < 8, held


# ---------------------------------------------------------------------- streams that take their time
def slow(items, error=None):
    for item in items:
        time.sleep(0.01)
        yield item
    if error is not None:
        raise error


def reading():
    return [thread for thread in threading.enumerate() if thread.name.startswith("innspect-reads")]


@pytest.mark.once
def test_a_slow_stream_is_read_while_the_caller_works():
    read, taken = [], []

    def items():
        for n in range(4):
            time.sleep(0.01)
            read.append(n)
            yield n

    for n in ahead(items()):
        time.sleep(0.05)
        taken.append((n, len(read)))
    assert [n for n, _ in taken] == [0, 1, 2, 3]
    assert all(n + 1 <= count <= n + 2 for n, count in taken)
    assert any(count == n + 2 for n, count in taken)
    assert not reading()


@pytest.mark.once
def test_errors_come_in_their_turn_and_no_thread_stays():
    broken, found = ahead(slow([0, 1], OSError("disk"))), []
    with pytest.raises(OSError, match="disk"):
        found.extend(broken)
    assert found == [0, 1]
    assert not reading()
    dropped = ahead(slow(range(100)))
    assert [next(dropped), next(dropped)] == [0, 1]
    assert reading()
    dropped.close()
    assert not reading()
    forgotten = ahead(slow(range(100)))
    assert [next(forgotten), next(forgotten)] == [0, 1]
    del forgotten
    gc.collect()
    assert not reading()


@pytest.mark.once
def test_what_is_quick_is_read_in_step():
    read = []
    for n in ahead(map(lambda n: read.append(n) or n, range(3))):
        assert read == list(range(n + 1))
        assert not reading()


@pytest.mark.host
def test_who_stops_finds_a_generator_where_it_was_left(model):
    analyzer, batches = innspect.create_analyzer("gradient", model), slow([X[:2], X[2:4], X[4:6]])
    maps = analyzer.stream(batches)
    first = next(maps)
    np.testing.assert_array_equal(next(batches), X[2:4])
    np.testing.assert_allclose(first, analyzer.analyze(X[:2]), rtol=1e-5, atol=1e-6)
    whole = analyzer.analyze(slow([X[:2], X[2:4], X[4:6]]))
    np.testing.assert_allclose(whole, analyzer.analyze(X[:6]), rtol=1e-4, atol=1e-6)
    assert not reading()
