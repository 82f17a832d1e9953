"""Workers without Ray: plain objects that take batches; and, where Ray is installed, a cluster of which a worker is killed."""

import os
import pickle
import signal
import sys

import keras
import numpy as np
import pytest
from keras import layers as L

import innspect
from innspect.analyzers.gradient import GradientAnalyzer
from innspect.cli import main
from innspect.evaluation.joining import join
from innspect.evaluation.scores import Scores
from innspect.ray import cluster
from innspect.ray.cluster import Workers
from innspect.ray.collecting import Collect, Collecting, merge_galleries
from innspect.ray.columns import chosen, rows_at_once
from innspect.ray.evaluating import Evaluate, Evaluating, _row_by_row, merge_scores
from innspect.ray.explaining import Explaining, Question
from innspect.ray.fitting import Fit, Fitting, merge_statistics
from innspect.ray.parcels import Parcel, method_of, methods_of
from innspect.ray.parts import from_files
from innspect.ray.sharing import Answering, Shared

X = np.random.default_rng(0).normal(size=(20, 6, 6, 2)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    layers = [L.Conv2D(4, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D(), L.Dense(3, name="out")]
    return keras.Sequential([keras.Input((6, 6, 2), name="image"), *layers], name="net")


def parcel(model, *methods, **objects):
    """As it arrives."""
    made = {name if isinstance(name, str) else name[0]: method_of(innspect.open_model(model), name) for name in methods}
    sent = pickle.loads(pickle.dumps(Parcel.of(model, made)))
    return lambda: Parcel(sent.model, sent.methods, objects)


def question(**more):
    asked = {"neurons": more.pop("neurons", None), "output": 0, "contrast": None, "batch_size": 8}
    told = {"inputs": None, "targets": None, "selection": None, "details": False, "keep": None} | more
    return Question(asked=asked, **told)


# ---------------------------------------------------------------------- a worker that explains
@pytest.mark.parametrize("method", ["lrp.epsilon", ("smoothgrad", {"num_samples": 2, "of": "lrp.epsilon", "seed": 1})], ids=str)
def test_explaining(method):
    model = network()
    worker = Explaining(parcel(model, method), question())
    found = worker({"image": X, "file": np.arange(20)})
    assert set(found) == {"image", "file", "attribution"}
    wanted = method_of(innspect.open_model(model), method).analyze(X, batch_size=8)
    np.testing.assert_allclose(found["attribution"], wanted, rtol=1e-5, atol=1e-7)


def test_columns_of_targets_and_what_is_kept():
    model, labels = network(), np.arange(20) % 3
    worker = Explaining(parcel(model, "gradient"), question(targets="label", details=True, keep=["label"]))
    found = worker({"pixels": X, "label": labels})
    assert set(found) == {"label", "attribution", "output", "target", "neuron"}
    np.testing.assert_array_equal(found["neuron"], labels)
    np.testing.assert_allclose(found["target"], found["output"][np.arange(20), labels], rtol=1e-5)


def test_several_neurons_and_inputs():
    a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    model = keras.Model([a, b], L.Dense(2)(L.Concatenate()([a, b])))
    worker = Explaining(
        parcel(model, "input_t_gradient"), question(neurons=[0, 1], inputs={"right": "r", "left": "l"}, keep=[])
    )
    found = worker({"r": np.ones((5, 2)), "l": np.ones((5, 3))})
    assert {k: v.shape for k, v in found.items()} == {"attribution/left": (5, 2, 3), "attribution/right": (5, 2, 2)}


def test_a_column_of_that_name_is_told():
    worker = Explaining(parcel(network(), "gradient"), question(inputs="image"))
    with pytest.raises(ValueError, match="no column 'attribution'"):
        worker({"image": X, "attribution": X})


def test_an_analyzer_that_has_learned():
    model = network()
    analyzer = innspect.create_analyzer("pattern.attribution", model).fit(X, verbose=0)
    sent = pickle.loads(pickle.dumps(Parcel.of(model, {"": analyzer})))
    found = Explaining(lambda: sent, question())({"image": X})
    np.testing.assert_allclose(found["attribution"], analyzer.analyze(X, batch_size=8), rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="of the model that is given"):
        method_of(innspect.open_model(network()), analyzer)


def test_classes_of_the_users_own():
    class Twice(L.Layer):
        def call(self, x):
            return 2 * x

    model = keras.Sequential([keras.Input((3,)), L.Dense(2), Twice()])
    fetch = parcel(model, "gradient", Twice=Twice)
    assert Explaining(fetch, question())({"x": np.ones((4, 3))})["attribution"].shape == (4, 3)
    lacking = Parcel(fetch().model, {}, {})
    with pytest.raises(ValueError, match=r"could not be made in a worker.*custom_objects.*Twice"):
        lacking.opened()


# ---------------------------------------------------------------------- sums over a dataset
def test_fitting():
    model = network()
    worker = Fitting(parcel(model), Fit(None, {"pattern_type": ["linear", "relu"]}, 4))
    parts = [worker.part({"x": X[rows]}) for rows in (slice(0, 5), slice(5, 20))]
    found = from_files([from_files(parts, merge_statistics)], innspect.patterns.merge)
    wanted = innspect.patterns.fit(model, X, ["linear", "relu"], verbose=0)
    assert found.samples == 20
    for path, pattern in wanted.items():
        np.testing.assert_allclose(found.patterns()[path], pattern, rtol=1e-4, atol=1e-5)


def test_collecting():
    model = network()
    analyzer = innspect.create_analyzer("lrp.epsilon_plus_flat", model)
    asked = Collect(None, None, "id", {"at": ["conv"], "top": 3, "crops": 2})
    worker = Collecting(parcel(model, "lrp.epsilon_plus_flat"), asked)
    ids = np.arange(20)
    parts = [worker.part({"x": X[rows], "id": ids[rows]}) for rows in (slice(1, None, 2), slice(0, None, 2))]
    found = from_files([from_files(parts, merge_galleries)], innspect.concepts.merge)
    wanted = innspect.concepts.collect(analyzer, X, "conv", top=3, crops=2)
    assert (found.seen, found.settings) == (wanted.seen, wanted.settings)
    np.testing.assert_array_equal(found["conv"].samples, wanted["conv"].samples)
    np.testing.assert_allclose(found["conv"].values, wanted["conv"].values, rtol=1e-5)
    np.testing.assert_allclose(found["conv"].mean, wanted["conv"].mean, rtol=1e-5)
    assert [c.shape for c in found["conv"].crops(1)] == [c.shape for c in wanted["conv"].crops(1)]


def test_evaluating():
    model, metrics = network(), ["srg", "mprt.efficient"]
    made = methods_of(innspect.open_model(model), ["lrp.epsilon", "gradient"])
    sent = pickle.loads(pickle.dumps(Parcel.of(model, made)))
    how = {"seed": 3, "output": 0, "channel_axis": "auto", "examples": 2, "interval": None, "batch_size": None}
    worker = Evaluating(lambda: sent, Evaluate(None, {"targets": "y"}, None, _row_by_row(metrics), None, how))
    y = np.arange(20) % 3
    parts = [worker.part({"x": X[rows], "y": y[rows]}) for rows in (slice(0, 7), slice(7, 20))]
    found = from_files([from_files(parts, merge_scores)], lambda files: Scores.load(files[0]))
    wanted = innspect.evaluate(model, X, ["lrp.epsilon", "gradient"], metrics, targets=y, seed=3, examples=2)
    assert found.methods == wanted.methods
    assert found.settings == wanted.settings
    np.testing.assert_array_equal(found.classes, y)
    for metric, of in wanted.results.items():
        for method, result in of.items():
            np.testing.assert_allclose(found.results[metric][method].values, result.values, rtol=1e-4, atol=1e-5)
            assert found.results[metric][method].settings["targets"] == result.settings["targets"]


def test_scores_of_other_methods_are_not_joined():
    with pytest.raises(ValueError, match="at least one"):
        join([])
    with pytest.raises(ValueError, match="same methods"):
        join([Scores(failed={"srg": {"a": "why"}}), Scores(failed={"srg": {"b": "why"}})])
    with pytest.raises(ValueError, match="'collage'"):
        _row_by_row(["collage"])


# ---------------------------------------------------------------------- what is asked of a cluster
def test_columns():
    opened = innspect.open_model(network())
    assert chosen(["image", "label"], opened, None) == ["image"]
    assert chosen(["pixels", "label"], opened, None, ["label"]) == ["pixels"]
    assert chosen(["a", "b"], opened, "b") == ["b"]
    with pytest.raises(ValueError, match="`inputs` must say which columns"):
        chosen(["a", "b"], opened, None)
    with pytest.raises(KeyError, match="no column 'imge'"):
        chosen(["image"], opened, "imge")
    with pytest.raises(ValueError, match="a column for each"):
        chosen(["a", "b"], opened, ["a", "b"])


def test_rows_at_once():
    table = keras.Sequential([keras.Input((20,)), L.Dense(2)])
    large = keras.Sequential([keras.Input((224, 224, 3)), L.Flatten()])
    sizes = [rows_at_once(innspect.open_model(m), None) for m in (table, network(), large)]
    assert sizes == [1024, 1024, 32]
    assert rows_at_once(innspect.open_model(large), 7) == 7


def test_shares():
    assert Workers().shared(2, 0) == (2, 0.5)  # one CPU is left to read with
    assert Workers(1).shared(16, 0) == (1, 1.0)
    assert Workers().shared(1, 0) == (1, 0.0)
    assert Workers(cpus=2).shared(9, 0) == (4, 2.0)
    assert Workers(gpus=0.5).shared(16, 4) == (8, 1.0)
    with pytest.warns(UserWarning, match="none is left to read"):
        assert Workers(2, cpus=1).shared(2, 0) == (2, 1.0)
    with pytest.raises(ValueError, match="`gpus` must be at most the 0 GPUs"):
        Workers(gpus=1).shared(2, 0)
    for wrong in ({"count": 0}, {"threads": 0}, {"cpus": -1}, {"gpus": "one"}):
        with pytest.raises(ValueError, match="Received"):
            Workers(**wrong)
    environment = Workers(threads=3).environment()
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["KERAS_BACKEND"] == keras.backend.backend()


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "innspect\[ray\]"'):
        innspect.ray.explain(None, network())


def test_words_of_the_command_line(tmp_path, capsys):
    network().save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", X)
    words = [str(tmp_path / "m.keras"), str(tmp_path / "x.npy")]
    for command, more, told in (
        (["patterns", "fit"], ["--out", str(tmp_path / "p.h5"), "--workers", "2"], "--workers needs --ray"),
        (["patterns", "fit"], ["--checkpoint", str(tmp_path / "p.h5"), "--ray"], "--checkpoint cannot be given with --ray"),
        (["evaluate"], ["--resume", str(tmp_path / "s.npz"), "--ray"], "--resume cannot be given with --ray"),
        (["concepts"], ["--at", "conv", "--resume", "--ray"], "--resume cannot be given with --ray"),
        (["explain"], ["--method", "gradient", "--store", str(tmp_path / "s.h5"), "--ray"], "merge_stores"),
    ):
        assert main([*command, *words, *more]) == 1
        assert told in capsys.readouterr().err


@pytest.mark.parametrize("neurons", [None, [np.arange(20) % 3, np.zeros(20, int)]], ids=["largest", "two"])
def test_a_shared_explanation_is_that_of_one_process(neurons):
    model = network()
    analyzer = innspect.create_analyzer("smoothgrad", model, num_samples=2, seed=1)
    shared = Shared(analyzer, Workers(), batch_size=8)
    worker = Answering(lambda: pickle.loads(pickle.dumps(shared._parcel)))
    calls = [pickle.dumps(call) for call in shared._calls(X, neurons, output=0)]
    assert len(calls) == 3
    found = innspect.Explanation.join(pickle.loads(worker.part({"part": [call]})) for call in calls)
    asked = {} if neurons is None else {"neurons": neurons}
    wanted = analyzer.explain(X, batch_size=8, **asked)
    for name in ("attributions", "outputs", "targets", "neurons", "relative_error"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-5, atol=1e-7, err_msg=name)
    assert found.settings["method"] == wanted.settings["method"]


# ---------------------------------------------------------------------- Ray itself
class Dying(GradientAnalyzer):
    """A process that kills itself the first time that it is asked, whichever it is."""

    def analyze(self, *args, **kwargs):
        flag = os.environ.get("INNSPECT_TEST_FLAG")
        if flag and not os.path.exists(flag):
            open(flag, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().analyze(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_killed_worker_is_replaced(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    flag = tmp_path / "killed"
    monkeypatch.setenv("INNSPECT_TEST_FLAG", str(flag))
    here = os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, here)))  # workers import this module
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        model, x = network(), np.concatenate([X] * 4)
        x[:, 0, 0, 0] = np.arange(80)
        maps = innspect.ray.explain(ray.data.from_numpy(x), model, Dying(model), batch_size=16, workers=2)
        rows = sorted(maps.take_all(), key=lambda row: row["data"][0, 0, 0])
        assert flag.exists()
        np.testing.assert_array_equal([row["data"] for row in rows], x)
        wanted = innspect.create_analyzer("gradient", model).analyze(x)
        np.testing.assert_allclose([row["attribution"] for row in rows], wanted, rtol=1e-5, atol=1e-7)
        shared = Shared(Dying(model), Workers(2), batch_size=16).explain(x)
        np.testing.assert_allclose(shared.attributions, wanted, rtol=1e-5, atol=1e-7)
        fitted = innspect.ray.fit_patterns(ray.data.from_numpy(x), model, rows=16, workers=1)
        for path, pattern in innspect.patterns.fit(model, x, verbose=0).items():
            np.testing.assert_allclose(fitted[path], pattern, rtol=1e-3, atol=1e-4)
    finally:
        ray.shutdown()


def test_ray_is_started_where_it_is_not(monkeypatch):
    started = []

    class Ray:
        data = None

        @staticmethod
        def is_initialized():
            return bool(started)

        @staticmethod
        def init():
            started.append(True)

    monkeypatch.setattr(cluster, "installed", lambda: Ray)
    assert cluster.ray_started() is cluster.ray_started() is Ray
    assert started == [True]
