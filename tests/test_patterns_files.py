"""HDF5 files of patterns: what is in them, who may read them, and that a failed write harms nothing."""

import importlib.util
import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import patterns as P
from innspect.files.seals import seal_front


def model(seed=1, units=4):
    inner = keras.Sequential([keras.Input((6,)), L.Dense(units, activation="relu", name="d"), L.BatchNormalization(name="n")])
    inner.name = "inner"
    layers = [inner, L.Dropout(0.5), L.Dense(2, name="out")]
    return shake(keras.Sequential([keras.Input((6,)), *layers], name="net"), seed)


@pytest.fixture
def fitted():
    return P.fit(model(), array(32, 6), ["relu", "linear", "relu.negative"])


def test_the_file_is_what_the_design_says(fitted, tmp_path):
    file = tmp_path / "p.h5"
    fitted.save(file)
    with h5py.File(file) as h5:
        assert (h5.attrs["format"], h5.attrs["version"], h5.attrs["model"]) == ("innspect-patterns", 1, "net")
        assert (h5.attrs["samples"], h5.attrs["gate"]) == (32, "activation")
        assert list(h5.attrs["pattern_types"]) == ["relu", "linear", "relu.negative"]
        assert h5.attrs["innspect"] == innspect.__version__
        assert h5.attrs["keras"] == keras.__version__
        assert len(h5.attrs["fingerprint"]) == 32
        layer = h5["inner/d"]
        for kind in ("linear", "positive", "negative"):
            assert layer[kind].shape == (6, 4)
        assert layer["count"][()] == 32
        assert layer["active"].shape == (4,)
        assert layer["degenerate"].dtype == bool
        assert "statistics" not in layer
    assert sorted(os.listdir(tmp_path)) == ["p.h5"]


def test_what_was_saved_is_loaded(fitted, tmp_path):
    file = tmp_path / "p.h5"
    fitted.save(file)
    assert P.load(file) == P.load(file, model()) == fitted
    assert P.load(file).select("linear") == fitted.select("linear")
    x = array(3, 6)
    expected = innspect.create_analyzer("pattern.net", model(), patterns=fitted).analyze(x)
    for given in (str(file), file, P.load(file), dict(fitted), [np.array(a) for a in fitted.values()]):
        got = innspect.create_analyzer("pattern.net", model(), patterns=given).analyze(x)
        np.testing.assert_array_equal(got, expected)


def test_another_model_is_refused_by_its_first_layer(fitted, tmp_path):
    file = tmp_path / "p.h5"
    fitted.save(file)
    other = model()
    norm = other.layers[0].layers[-1]
    norm.gamma.assign(norm.gamma + 1)
    for attempt in (lambda: P.load(file, other), lambda: innspect.create_analyzer("pattern.net", other, patterns=file)):
        with pytest.raises(ValueError, match=r"inner/n.*strict=False"):
            attempt()
    loose = P.load(file, other, strict=False)
    innspect.create_analyzer("pattern.net", other, patterns=loose).analyze(array(2, 6))
    with pytest.raises(ValueError, match=r"inner/d.*\(6, 5\)"):
        P.load(file, model(units=5), strict=False)


def test_dropout_state_is_no_part_of_the_fingerprint(fitted, tmp_path):
    file, used = tmp_path / "p.h5", model()
    fitted.save(file)
    used(array(2, 6), training=True)
    norm, fresh = used.layers[0].layers[-1], model().layers[0].layers[-1]
    for mine, theirs in zip(norm.weights, fresh.weights, strict=True):
        mine.assign(theirs)
    assert P.load(file, used) == fitted


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "newer", "other", "missing"])
def test_a_bad_file_gives_a_clear_error(fitted, tmp_path, damage):
    file = tmp_path / "p.h5"
    fitted.save(file)
    if damage == "cut":
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2])
    elif damage in ("empty", "text"):
        file.write_bytes(b"" if damage == "empty" else b"patterns\n" * 100)
    elif damage == "missing":
        file.unlink()
    else:
        with h5py.File(file, "a") as h5:
            h5.attrs.update({"version": 99} if damage == "newer" else {"format": "something"})
        seal_front(file)
    expected = {"newer": "Update innspect", "other": "no patterns", "missing": "no file"}.get(damage, "damaged")
    with pytest.raises(FileNotFoundError if damage == "missing" else ValueError, match=expected):
        P.load(file)


def test_a_failed_write_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    file = tmp_path / "p.h5"
    fitted.save(file)
    before = file.read_bytes()
    monkeypatch.setattr("innspect.patterns.files._write_patterns", _disk_full)
    with pytest.raises(OSError, match="No space left"):
        fitted.select("linear").save(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["p.h5"]
    with pytest.raises(OSError, match="could not be written"):
        fitted.save(tmp_path / "no" / "folder.h5")


def _disk_full(group, **layer):
    group.create_dataset("linear", data=1.0)
    raise OSError(28, "No space left on device")


_FULL = """
import resource, signal, sys, numpy as np
from innspect.patterns.collection import LayerPatterns, Patterns
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
big = {"d": LayerPatterns({"linear": np.ones((1000, 500), "float32")})}
try:
    Patterns(big, "linear").save(sys.argv[1])
except OSError as error:
    print("refused:", error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are of Unix")
def test_a_full_disk_leaves_the_old_file(fitted, tmp_path):
    """In a process that may write no more than 100 kB to a file."""
    file = tmp_path / "p.h5"
    fitted.save(file)
    before = file.read_bytes()
    out = subprocess.run([sys.executable, "-c", _FULL, str(file)], capture_output=True, text=True, timeout=120)
    assert "refused:" in out.stdout, out.stderr
    assert "unchanged" in out.stdout
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["p.h5"]


# ------------------------------------------------------------------ statistics
def test_statistics_are_saved_and_go_on(tmp_path):
    file, x = tmp_path / "s.h5", array(48, 6)
    statistics, whole = P.PatternStatistics(model(), "auto"), P.PatternStatistics(model(), "auto")
    statistics.update(x[:24])
    statistics.save(file)
    assert P.load(file, model()) == statistics.patterns() == P.PatternStatistics.load(file).patterns()
    loaded = P.PatternStatistics.load(file, model())
    loaded.update(x[24:])
    whole.update(x[:24])
    whole.update(x[24:])
    assert loaded.patterns() == whole.patterns()
    with pytest.raises(RuntimeError, match="without a model"):
        P.PatternStatistics.load(file).update(x)
    with pytest.raises(ValueError, match="inner/d"):
        P.PatternStatistics.load(file, model(seed=2))
    with h5py.File(file) as h5:
        assert h5["inner/d/statistics/sums/xy_positive"].dtype == np.float64


def test_statistics_without_patterns_say_so(tmp_path, fitted):
    statistics = P.PatternStatistics(model())
    with pytest.raises(ValueError, match="update"):
        statistics.patterns()
    statistics.update(array(8, 6))
    statistics.save(tmp_path / "s.h5", patterns=False)
    with pytest.raises(ValueError, match="without patterns"):
        P.load(tmp_path / "s.h5")
    fitted.save(tmp_path / "p.h5")
    with pytest.raises(ValueError, match="without statistics"):
        P.PatternStatistics.load(tmp_path / "p.h5")
    other = P.PatternStatistics(model(), "linear")
    with pytest.raises(ValueError, match="pattern_types"):
        statistics.merge(other)


# ------------------------------------------------------------------ other backends
_LOAD = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np, keras
import innspect
net = keras.models.load_model(sys.argv[1] + "/net.keras")
analyzer = innspect.create_analyzer("pattern.attribution", net, patterns=sys.argv[1] + "/p.h5")
np.save(sys.argv[1] + "/map.npy", analyzer.analyze(np.load(sys.argv[1] + "/x.npy")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_file_is_read_on_other_backends(fitted, tmp_path, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    x, net = array(4, 6), model()
    net.save(tmp_path / "net.keras")
    fitted.save(tmp_path / "p.h5")
    np.save(tmp_path / "x.npy", x)
    here = os.path.dirname(__file__)
    environment = os.environ | {"KERAS_BACKEND": backend}
    command = [sys.executable, "-c", _LOAD, str(tmp_path), here]
    subprocess.run(command, check=True, env=environment, timeout=300, capture_output=True)
    expected = innspect.create_analyzer("pattern.attribution", net, patterns=fitted).analyze(x)
    np.testing.assert_allclose(np.load(tmp_path / "map.npy"), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
