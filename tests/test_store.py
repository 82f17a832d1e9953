"""Stores: maps of many samples in one file, whatever interrupts the run that fills it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings

import damage
import h5py
import keras
import numpy as np
import pytest
from hostile import HOSTILE, swallows
from keras import layers as L
from models import array, ids, shake

import innspect
from innspect.files import UnreadableFileError, growing, pages
from innspect.stores import chunks, writer

posix = pytest.mark.skipif(os.name != "posix", reason="locks and signals are of Unix")
X, Y = array(22, 6, 6, 3), np.arange(22) % 4


def classifier(seed=1):
    layers = [keras.Input((6, 6, 3), name="image"), L.Conv2D(2, 3, activation="relu"), L.Flatten(), L.Dense(4, name="out")]
    return shake(keras.Sequential(layers, name="small"), seed)


@pytest.fixture(scope="module")
def analyzer():
    return innspect.create_analyzer("gradient", classifier())


def same(one, other):
    """Whether two nests hold the same bits."""
    keras.tree.assert_same_structure(one, other)
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def contents(path):
    with h5py.File(path) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return found


# ---------------------------------------------------------------------- kinds of samples
def table():
    return shake(keras.Sequential([keras.Input((4,)), L.Dense(2)])), array(10, 4)


def series():
    return shake(keras.Sequential([keras.Input((5, 2)), L.Conv1D(3, 2), L.Flatten(), L.Dense(2)])), array(10, 5, 2)


def text():
    layers = [keras.Input((5,), dtype="int32"), L.Embedding(9, 3), L.GlobalAveragePooling1D(), L.Dense(2)]
    return shake(keras.Sequential(layers)), ids(10, 5, below=9)


def volume():
    """Given without its last axis of 1."""
    return shake(keras.Sequential([keras.Input((3, 4, 5, 1)), L.Conv3D(2, 2), L.Flatten(), L.Dense(2)])), array(10, 3, 4, 5)


def two():
    image, table = keras.Input((6, 6, 1), name="z"), keras.Input((3,), name="a")
    model = keras.Model([image, table], L.Dense(3)(L.Concatenate()([L.Flatten()(image), table])))
    return shake(model), [array(10, 6, 6, 1), array(10, 3)]


KINDS = {
    "image": (lambda: (classifier(), X), "gradient", {}, {"attribution": (3, 6, 6)}),
    "positions": (lambda: (classifier(), X), "saliency", {}, {"attribution": (1, 6, 6)}),
    "each its own": (lambda: (classifier(), X), "gradient", {"neuron_selection": Y}, {"attribution": (3, 6, 6)}),
    "neurons": (lambda: (classifier(), X), "gradient", {"neurons": [0, Y, None]}, {"attribution": (3, 3, 6, 6)}),
    "unit": (lambda: (classifier(), X), "gradient", {"neuron_selection": "unit"}, {"attribution": (3, 6, 6)}),
    "drawn": (lambda: (classifier(), X), "random", {}, {"attribution": (3, 6, 6)}),
    "noisy": (lambda: (classifier(), X), "smoothgrad:num_samples=2", {}, {"attribution": (3, 6, 6)}),
    "table": (table, "lrp.z", {}, {"attribution": (4,)}),
    "series": (series, "gradient", {"contrast": "rest"}, {"attribution": (2, 5)}),
    "text": (text, "gradient", {}, {"attribution": (5,)}),
    "volume": (volume, "gradient", {}, {"attribution": (1, 3, 4, 5)}),
    "two": (two, "gradient", {}, {"attribution/z": (1, 6, 6), "attribution/a": (3,)}),
    "two by name": (lambda: (two()[0], dict(zip("za", two()[1], strict=True))), "gradient", {"neurons": [0, 2]},
                    {"attribution/z": (2, 1, 6, 6), "attribution/a": (2, 3)}),
}  # fmt: skip


@pytest.mark.sweep(keep=["image", "noisy", "two"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_sample_comes_back_as_it_is_given_and_is_gone_on_with(kind, tmp_path):
    make, method, asked, shapes = KINDS[kind]
    model, x = make()
    name, _, arguments = method.partition(":")
    analyzer = innspect.create_analyzer(name, model, **({"num_samples": 2} if arguments else {}))
    if isinstance(asked.get("neuron_selection"), str):
        asked = {"neuron_selection": innspect.unit(model.layers[0].name, 1)}
    first = analyzer.store(x, tmp_path / "s.h5", steps=1, batch_size=4, **asked)
    assert (len(first), first.complete) == (4, False)
    store = analyzer.store(x, tmp_path / "s.h5", batch_size=4, **asked)
    expected = analyzer.explain(x, batch_size=4, **asked)
    assert {path: shape[1:] for path, shape in store.shapes.items() if path.startswith("attribution")} == shapes
    whole = store[:]
    assert same(whole.attributions, expected.attributions)
    assert same(whole.targets, expected.targets.astype("float32"))
    assert same(whole.neurons, expected.neurons)
    assert (store.complete, len(store), store.done.all()) == (True, len(expected.outputs), True)


# ---------------------------------------------------------------------- killed
class Death(BaseException):
    """What a process is told that is killed, where nothing it then does has an effect."""


class Mortal:
    """Lets the n-th change of the disk be the last, half of it made."""

    def __init__(self, monkeypatch, last):
        self.last, self.count = last, 0
        for module, name in (
            (growing, "write_at"),
            (pages, "write_at"),
            (os, "fsync"),
            (os, "ftruncate"),
            (growing, "_write_journal"),
        ):
            monkeypatch.setattr(module, name, self._mortal(getattr(module, name)))

    def _mortal(self, function):
        def call(*arguments):
            self.count += 1
            if self.count == self.last and function.__name__ == "write_at":
                fd, data, place = arguments
                function(fd, data[: len(data) // 2], place)
            if self.last is not None and self.count >= self.last:
                raise Death
            return function(*arguments)

        return call


@pytest.mark.host
def test_whatever_change_of_the_disk_is_the_last_nothing_is_lost(analyzer, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_SECONDS", -1.0)
    monkeypatch.setattr(chunks, "_CHUNK", 1)
    monkeypatch.setattr(os, "fsync", lambda fd: None)  # which takes its time, and matters to machines only

    def run(path):
        return analyzer.store(X, path, labels=Y, batch_size=8)

    run(tmp_path / "whole.h5")
    whole = contents(tmp_path / "whole.h5")
    with monkeypatch.context() as patch:
        mortal = Mortal(patch, None)
        run(tmp_path / "counted.h5")
    assert mortal.count > 30
    path, lengths = tmp_path / "killed.h5", []
    for last in range(1, mortal.count + 1, 11):
        with monkeypatch.context() as patch, contextlib.suppress(Death):
            Mortal(patch, last)
            run(path)
        with contextlib.suppress(UnreadableFileError, FileNotFoundError):
            store = innspect.open_store(path)
            lengths.append(len(store))
            assert same(store[:].attributions, np.moveaxis(whole["attribution"][: len(store)], 1, -1))
        assert run(path).complete
        found = contents(path)
        assert {name: each.tobytes() for name, each in found.items()} == {n: e.tobytes() for n, e in whole.items()}
        path.unlink()
    assert set(lengths) == {8, 16, 22}


_WRITER = """
import sys, io, h5py, numpy as np
from innspect.files.growing import Growing
file = Growing(sys.argv[1])
if file.new:
    with file.changing() as pages:
        image = io.BytesIO()
        with h5py.File(image, "w", userblock_size=512, libver="latest") as made:
            made.create_dataset("x", (0, 500), "int64", chunks=(1, 500), maxshape=(None, 500), compression="gzip")
        pages.seek(512), pages.write(image.getbuffer()[512:])
print("begun", flush=True)
while True:
    with file.changing() as pages, h5py.File(pages, "r+", libver="latest") as made:
        rows = len(made["x"])
        made["x"].resize(rows + 7, axis=0)
        made["x"][rows:] = np.arange(rows, rows + 7)[:, None]
    print("changed", flush=True)
"""


@posix
@pytest.mark.once
def test_a_writer_that_is_killed_at_any_moment_leaves_a_sound_file(tmp_path):
    path, rows = tmp_path / "grown.h5", 0
    for moment in (0.0, 0.003, 0.017):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, path], stdout=subprocess.PIPE)
        for _ in range(3):  # begun, and changed twice
            process.stdout.readline()
        with pytest.raises(BlockingIOError, match="being written by another process"), growing.grown(path):
            pass
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with growing.grown(path) as raw, h5py.File(raw or path) as file:
            found = file["x"][()]
        assert len(found) >= rows + 14
        assert not len(found) % 7
        assert np.array_equal(found, np.repeat(np.arange(len(found)), 500).reshape(-1, 500))
        rows = len(found)


@pytest.mark.host
def test_what_was_computed_before_an_error_stays(analyzer, tmp_path):
    def batches():
        yield X[:8], Y[:8]
        yield X[8:16], Y[8:16]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        analyzer.store(batches(), tmp_path / "s.h5")
    store = analyzer.store(((X[i : i + 8], Y[i : i + 8]) for i in (0, 8, 16)), tmp_path / "s.h5")
    assert same(store[:].attributions, analyzer.analyze(X, batch_size=8))
    assert same(store.labels, Y.astype("int32"))
    with pytest.raises(ValueError, match="`data` must hold at least one sample"):
        analyzer.store(X[:0], tmp_path / "none.h5")
    assert not (tmp_path / "none.h5").exists()


# ---------------------------------------------------------------------- what is refused
@pytest.mark.host
def test_a_file_begun_with_something_else_is_refused_by_name(analyzer, tmp_path):
    path = tmp_path / "s.h5"
    asked = {"labels": Y, "batch_size": 8}
    analyzer.store(X, path, steps=1, **asked)
    before = path.read_bytes()
    other = {
        "batch_size": lambda: analyzer.store(X, path, labels=Y, batch_size=4),
        "dtype": lambda: analyzer.store(X, path, dtype="float16", **asked),
        "labels": lambda: analyzer.store(X, path, labels=Y[::-1], batch_size=8),
        "neuron_selection": lambda: analyzer.store(X, path, 1, **asked),
        "selected|neuron_selection": lambda: analyzer.store(X, path, Y, **asked),
        "number of samples": lambda: analyzer.store(X[:20], path, labels=Y[:20], batch_size=8),
        "first batch of data": lambda: analyzer.store(X + 1, path, **asked),
        "method": lambda: innspect.create_analyzer("lrp.z", classifier()).store(X, path, **asked),
        "arguments": lambda: innspect.create_analyzer("gradient", classifier(), postprocess="abs").store(X, path, **asked),
        "different models.*layer that differs": lambda: innspect.create_analyzer("gradient", classifier(2)).store(
            X, path, **asked
        ),
    }
    for what, begin in other.items():
        with pytest.raises(ValueError, match=f"(?s)s.h5' cannot be gone on with.*({what}).*Received"):
            begin()
    assert path.read_bytes() == before
    assert len(analyzer.store(X, path, 1, resume=False)) == 22


@pytest.mark.host
def test_data_that_end_early_are_told_and_kept(analyzer, tmp_path):
    class Loader:
        def __init__(self, end):
            self.end = end

        def __len__(self):
            return 3

        def __iter__(self):
            return (X[i : i + 8] for i in range(0, self.end, 8))

    path = tmp_path / "s.h5"
    with pytest.raises(ValueError, match=r"(?s)ended early.*3 batches.*16 samples.*Received: 2 batches"):
        analyzer.store(Loader(16), path)
    store = innspect.open_store(path)
    assert (len(store), store.complete) == (16, False)
    with pytest.raises(ValueError, match=r"`data` ended after 8 samples.*has 16 already"):
        analyzer.store(Loader(8), path)
    store = analyzer.store(Loader(22), path)
    assert (len(store), store.complete) == (22, True)
    assert same(store[:].attributions, analyzer.analyze(X, batch_size=8))
    with pytest.raises(ValueError, match=r"(?s)samples of one shape.*Received"):
        analyzer.store(iter([X[:4], (X[4:8], np.eye(4)[:4])]), tmp_path / "kinds.h5")


@posix
@pytest.mark.once
def test_an_open_store_is_not_written(analyzer, tmp_path):
    store = analyzer.store(X, tmp_path / "s.h5")
    with store, pytest.raises(BlockingIOError, match=r"s.h5' is being written, or read"):
        analyzer.store(X, tmp_path / "s.h5", resume=False)
    assert len(analyzer.store(X, tmp_path / "s.h5", resume=False)) == 22


@pytest.mark.once
def test_damaged_stores_end_in_the_one_error_or_hold_what_they_held(analyzer, tmp_path):
    """HDF5's structures have checksums, and what has none, such as what a change that was not made left behind, is not read."""
    path, copy, fates = tmp_path / "s.h5", tmp_path / "damaged.h5", []
    store = analyzer.store(X, path, labels=Y)

    def read(each):
        return [vars(each[:]), each.labels, each.index, each.done]

    known, sound = damage.contents(read(store)), path.read_bytes()
    for number in range(6 * len(damage.WAYS)):
        copy.write_bytes(damage.damaged(sound, damage.WAYS[number % len(damage.WAYS)], str(number)))
        fates.append(damage.fate(lambda place: read(innspect.open_store(place)), str(copy), known))
    assert set(fates) <= {"UnreadableFileError", "same"}
    assert fates.count("UnreadableFileError") > 36
    foreign = tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["attribution"] = X
    for use in (innspect.open_store, lambda path: analyzer.store(X, path)):
        with pytest.raises(UnreadableFileError, match=r"foreign.h5' is of another kind"):
            use(foreign)


@pytest.mark.once
@pytest.mark.parametrize("argument", ["labels", "resume", "dtype", "compression", "first_id", "steps", "batch_size", "path"])
def test_nonsense_is_refused_by_name(analyzer, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    allowed = {"path": ("nonsense",), "compression": ("None",), "steps": ("None",), "labels": ("None",)}.get(argument, ())
    for name, value in HOSTILE.items():
        if name not in allowed:
            given = {"path": "s.h5", "resume": False} | {argument: value}
            assert swallows(argument, lambda given=given: analyzer.store(X[:2], **given)) is None, name


# ---------------------------------------------------------------------- reading
@pytest.mark.host
def test_rows_are_read_as_arrays_are(analyzer, tmp_path):
    store = analyzer.store(X, tmp_path / "s.h5", labels=np.eye(4)[Y], first_id=100)
    maps = analyzer.analyze(X)
    for rows in (slice(3, 9), slice(None, None, -2), slice(5, 5), [3, 1, 2], np.array([21, 0]), -1, Y == 2):
        assert same(store[rows].attributions, maps[np.atleast_1d(rows) if isinstance(rows, int | list) else rows])
    with store:
        assert same(np.concatenate([e.attributions for e in store.batches(5)]), maps)
    for wrong in (22, [-23], "a", 1.5):
        with pytest.raises(IndexError, match="Received"):
            store[wrong]
    assert same(store.labels, np.eye(4)[Y].astype(bool))
    assert store.index.tolist() == list(range(100, 122))
    explanation = store[4:6]
    assert explanation.settings["method"] == "gradient"
    explanation.save(tmp_path / "e.npz")
    assert same(innspect.Explanation.load(tmp_path / "e.npz").outputs, explanation.outputs)


@pytest.mark.once
def test_float16_says_what_it_cannot_hold(tmp_path):
    for factor, said in ((1e8, "holds numbers up to 65504"), (1e-9, None)):
        model = classifier()
        model.layers[-1].kernel.assign(model.layers[-1].kernel.value * factor)
        analyzer = innspect.create_analyzer("gradient", model)
        if said:
            with pytest.raises(ValueError, match=said):
                analyzer.store(X, tmp_path / "large.h5", dtype="float16")
        else:
            with pytest.warns(UserWarning, match="maps of 22 samples are all 0"):
                analyzer.store(X, tmp_path / "small.h5", dtype="float16")
    analyzer = innspect.create_analyzer("gradient", classifier())
    for compression in ("gzip", None):
        store = analyzer.store(X, tmp_path / f"{compression}.h5", dtype="float16", compression=compression)
        assert same(store[:].attributions, analyzer.analyze(X).astype("float16"))


@pytest.mark.host
def test_stores_keep_what_is_warned_of_by_number(tmp_path):
    x = X.copy()
    x[17] = np.nan
    analyzer = innspect.create_analyzer("gradient", classifier())
    with pytest.warns(UserWarning, match=r"number 17\)"):
        analyzer.store(x, tmp_path / "s.h5", batch_size=8)


# ---------------------------------------------------------------------- shards
@pytest.mark.host
def test_shards_merge_in_any_order(analyzer, tmp_path):
    parts = {"a": (0, 5), "b": (5, 13), "c": (13, 22)}
    stores = [
        analyzer.store(X[i:j], tmp_path / f"{name}.h5", Y[i:j], labels=Y[i:j], first_id=i) for name, (i, j) in parts.items()
    ]
    whole = analyzer.store(X, tmp_path / "whole.h5", Y, labels=Y)
    innspect.merge_stores([stores[2], tmp_path / "a.h5", stores[1]], tmp_path / "merged.h5")
    merged, shards = contents(tmp_path / "merged.h5"), [contents(tmp_path / f"{name}.h5") for name in parts]
    assert merged.keys() == contents(tmp_path / "whole.h5").keys()
    assert same(merged, {name: np.concatenate([shard[name] for shard in shards]) for name in merged})
    twice = innspect.merge_stores([innspect.merge_stores(stores[1:], tmp_path / "bc.h5"), stores[0]], tmp_path / "again.h5")
    assert same(twice[:].attributions, np.moveaxis(merged["attribution"], 1, -1))
    np.testing.assert_allclose(twice[:].attributions, whole[:].attributions, atol=1e-5)
    refused = {
        "at least one file": lambda: [],
        "must be a list of files": lambda: "a.h5",
        "sample 0 in .*a.h5.*whole.h5": lambda: [stores[0], whole],
        "same `dtype`": lambda: [stores[0], analyzer.store(X[5:], tmp_path / "f.h5", Y[5:], dtype="float16", first_id=5)],
        "complete.*g.h5": lambda: [
            stores[0],
            analyzer.store(X[5:], tmp_path / "g.h5", Y[5:], first_id=5, steps=1, batch_size=4),
        ],
        "different models": lambda: [
            stores[0],
            innspect.create_analyzer("gradient", classifier(2)).store(X[5:], tmp_path / "h.h5", Y[5:], first_id=5),
        ],
    }
    for what, given in refused.items():
        with pytest.raises(ValueError, match=what):
            innspect.merge_stores(given(), tmp_path / "refused.h5")
    assert not (tmp_path / "refused.h5").exists()
    with pytest.raises(ValueError, match="merged"):
        analyzer.store(X, tmp_path / "merged.h5", Y, labels=Y)


# ---------------------------------------------------------------------- the command
@pytest.mark.once
def test_the_command_fills_a_store(tmp_path, monkeypatch, capsys):
    from innspect import cli

    monkeypatch.chdir(tmp_path)
    classifier().save("model.keras")
    np.save("x.npy", X)
    words = ["explain", "model.keras", "x.npy", "--method", "gradient", "--store", "maps.h5", "--batch-size", "8"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli.main([*words, "--neuron", "1"]) == 0
        assert "22 inputs, gradient: written to maps.h5" in capsys.readouterr().out
        assert cli.main([*words, "--neuron", "1"]) == 1
        assert "--resume to go on" in capsys.readouterr().err
        assert cli.main([*words, "--neuron", "1", "--resume"]) == 0
        assert cli.main([*words, "--neuron", "2", "--resume"]) == 1
        assert "cannot be gone on with" in capsys.readouterr().err
        for more, said in ((["--top", "2"], "--top"), (["--format", "npz"], "--format"), (["--method", "lrp.z"], "one method")):
            assert cli.main([*words, *more, "--force"]) == 1
            assert said in capsys.readouterr().err
        assert cli.main(["explain", "model.keras", "x.npy", "--resume"]) == 1
    store = innspect.open_store("maps.h5")
    assert same(store[:].attributions, innspect.create_analyzer("gradient", classifier()).analyze(X, 1, batch_size=8))
    assert not os.path.exists("explanations")
