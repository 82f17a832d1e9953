"""Files: what is written where, and what is believed of what is read."""

import json
import os
import signal
import stat
import subprocess
import sys
import types
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake

import innspect
from innspect import patterns as P
from innspect.callbacks import ExplanationImages, PatternCheckpoint
from innspect.files import UnreadableFileError, replacing, replacing_folder, vacant_folder, write
from innspect.files.seals import BLOCK, seal_end, seal_front
from innspect.layers.epsilon import Epsilon

HERE = os.path.dirname(__file__)
posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and signals are of Unix")
X = array(16, 4)


def model():
    return shake(keras.Sequential([keras.Input((4,)), L.Dense(5, activation="relu", name="d1"), L.Dense(3, name="d2")]))


@pytest.fixture
def savers():
    """From a name to a function that saves at a path, one for each kind of file."""
    analyzer = innspect.create_analyzer("gradient", model())
    statistics = P.PatternStatistics(model())
    statistics.update(X)
    return {
        "patterns": statistics.patterns().save,
        "statistics": statistics.save,
        "analyzer": analyzer.save,
        "explanation": analyzer.explain(X[:2], 1).save,
        "report": innspect.report(model(), X[:1], ["gradient"], top=1).save,
    }


LOADERS = {
    "patterns": P.load,
    "statistics": P.PatternStatistics.load,
    "analyzer": innspect.load_analyzer,
    "explanation": innspect.Explanation.load,
}


# ---------------------------------------------------------------------- what stands at the path
@posix
def test_links_are_followed_and_what_is_no_file_is_left_alone(savers, tmp_path):
    for name, save in savers.items():
        link, target, pipe, device = (tmp_path / f"{name}.{kind}" for kind in ("link", "target", "pipe", "device"))
        link.symlink_to(target)
        for _ in range(2):  # where there is nothing yet, and where there is a file
            save(link)
            assert (link.is_symlink(), target.stat().st_size > 100) == (True, True), name
        os.mkfifo(pipe)
        device.symlink_to("/dev/null")
        for place, kind in ((pipe, "a pipe"), (device, "a device")):
            with pytest.raises(OSError, match=f"(?s){place.name}.*regular file.*{kind}"):
                save(place)
            assert not place.is_file()
        (tmp_path / f"{name}.folder").mkdir()
        with pytest.raises(OSError, match="is a folder"):
            save(tmp_path / f"{name}.folder")
    assert not [each for each in os.listdir(tmp_path) if each.startswith(".")]


@posix
def test_a_circle_of_links_is_an_error(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="a"):
        write(tmp_path / "a", "text")


@posix
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for load in LOADERS.values():
        for path, kind in ((tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder")):
            with pytest.raises(UnreadableFileError, match=f"{os.path.basename(path)}.*regular file.*{kind}"):
                load(path)
        with pytest.raises(FileNotFoundError, match="nothing"):
            load(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["x" * 250, "ü" * 120, os.fsdecode(b"\xff\xfe name"), "a\nb"])
def test_every_name_that_a_file_may_have_can_be_written_to(tmp_path, name):
    if sys.platform != "linux":
        pytest.skip("a name that other systems do not allow")
    write(tmp_path / name, "text")
    write(tmp_path / name, "text again")
    assert os.listdir(tmp_path) == [name]
    P.PatternStatistics(model()).save(tmp_path / name)
    assert not P.PatternStatistics.load(tmp_path / name).samples


# ---------------------------------------------------------------------- writers that were killed
_KILLED = """
import os, signal, sys
from innspect.files import replacing, replacing_folder
with {function}(sys.argv[1]) as partial:
    open(partial + {inner!r}, "w").write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(function, path, inner=""):
    done = subprocess.run([sys.executable, "-c", _KILLED.format(function=function, inner=inner), path], timeout=60)
    assert done.returncode == -signal.SIGKILL


@posix
def test_what_killed_writers_left_is_gone_after_the_next_write_there(tmp_path):
    file, elsewhere = tmp_path / "digits.h5", ".innspect-00000000-1-00000000-other.h5"
    write(file, "old")
    killed("replacing", file)
    (left,) = [name for name in os.listdir(tmp_path) if name.startswith(".innspect-")]
    assert left.endswith("-digits.h5")
    assert file.read_text() == "old"
    (tmp_path / elsewhere).write_text("of another machine, where it may be written still")
    write(tmp_path / "other.h5", "new")
    assert sorted(os.listdir(tmp_path)) == sorted([elsewhere, "digits.h5", "other.h5"])
    os.utime(tmp_path / elsewhere, (0, 0))
    (tmp_path / "new").touch()
    write(file, "new")
    assert sorted(os.listdir(tmp_path)) == ["digits.h5", "new", "other.h5"]


@posix
def test_a_killed_export_does_not_hinder_the_next(tmp_path):
    for name in ("new", "empty"):
        folder = tmp_path / name
        if name == "empty":
            folder.mkdir()
        killed("replacing_folder", folder, inner="/variables")
        with replacing_folder(folder) as partial:
            os.mkdir(os.path.join(partial, "inner"))
            write(os.path.join(partial, "inner", "file"), "text")
        assert os.listdir(folder) == ["inner"]
        assert (folder / "inner" / "file").read_text() == "text"
        with pytest.raises(FileExistsError, match="new or an empty folder"):
            vacant_folder(folder)
    assert sorted(os.listdir(tmp_path)) == ["empty", "new"]


def test_two_writers_of_one_file_do_not_hinder_each_other(tmp_path):
    with replacing(tmp_path / "f") as first:
        with replacing(tmp_path / "f") as second:
            for partial, text in ((first, "first"), (second, "second")):
                with open(partial, "w") as file:
                    file.write(text)
        assert (tmp_path / "f").read_text() == "second"
    assert (tmp_path / "f").read_text() == "first"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_fails_half_way_leaves_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(IsADirectoryError), replacing_folder(tmp_path / name) as partial:
            write(os.path.join(partial, "file"), tmp_path.read_bytes())
    assert os.listdir(tmp_path) == ["empty"]
    assert not os.listdir(tmp_path / "empty")


# ---------------------------------------------------------------------- damage
def fuzzed(count, seed, seconds):
    """What `damage.py` finds: dict from kind of file to a dict of counts."""
    command = [sys.executable, os.path.join(HERE, "damage.py"), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.once
def test_400_damaged_files_end_in_the_one_error_that_names_them():
    assert fuzzed(10, 0, 300) == {kind: {"UnreadableFileError": 100} for kind in LOADERS}


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("INNSPECT_ALL"), reason="a minute; 400 of them are read above")
def test_10_000_damaged_files_end_in_the_one_error_that_names_them():
    assert fuzzed(250, 1, 3000) == {kind: {"UnreadableFileError": 2500} for kind in LOADERS}


def without_seal(path):
    """A file as earlier versions wrote it."""
    with open(path, "rb") as file:
        data = file.read()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b""
        return
    # HDF5 finds the file's start itself: addresses count from there.
    with open(path, "wb") as file:
        file.write(data[BLOCK:])


def test_files_without_a_digest_are_read_with_a_note(savers, tmp_path):
    for name, load in LOADERS.items():
        savers[name](tmp_path / name)
        sound = load(tmp_path / name)
        without_seal(tmp_path / name)
        if name in ("patterns", "statistics"):
            with pytest.warns(UserWarning, match=f"{name}.*no digest") as noted:
                found = load(tmp_path / name)
            assert len(noted) == 1
        else:  # a zip file has checksums of its own
            found = load(tmp_path / name)
        if name == "patterns":
            assert found == sound
        if name == "statistics":
            assert found.patterns() == sound.patterns()


def test_what_older_readers_know_of_these_files_is_unchanged(savers, tmp_path):
    for name in LOADERS:
        savers[name](tmp_path / name)
    with h5py.File(tmp_path / "patterns") as file:
        assert file.attrs["format"] == "innspect-patterns"
        assert file["d1/linear" if "linear" in file["d1"] else "d1/positive"]
    with np.load(tmp_path / "explanation") as file:
        assert "header" in file.files
    with zipfile.ZipFile(tmp_path / "analyzer") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3


@pytest.mark.host
def test_damaged_files_without_a_digest_name_themselves_and_end(savers, tmp_path):
    """Nothing can tell that numbers are others; but what HDF5 crashes or hangs on, another process meets first."""
    import damage

    for name in ("patterns", "explanation", "analyzer"):
        savers[name](tmp_path / name)
        without_seal(tmp_path / name)
        sound = (tmp_path / name).read_bytes()
        for number in range(len(damage.WAYS)):
            copy = tmp_path / f"damaged {name} {number}"
            copy.write_bytes(damage.damaged(sound, damage.WAYS[number], str(number)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert damage.NAMELESS not in damage.fate(LOADERS[name], str(copy), None)


def test_reading_that_hangs_or_crashes_is_an_error(savers, tmp_path, monkeypatch):
    from innspect.files import hdf5

    savers["patterns"](tmp_path / "p")
    without_seal(tmp_path / "p")
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    for code, said in (("while True: pass", "does not come to an end"), ("import os; os.abort()", "crashed")):
        monkeypatch.setattr(hdf5, "_REHEARSAL", code)
        with pytest.raises(UnreadableFileError, match=f"'.*p' is damaged.*{said}"):
            P.load(tmp_path / "p")


# ---------------------------------------------------------------------- what files declare
def _replaced(file, name="d1/positive", **declared):
    """Declare an array in another way, without writing its numbers."""
    settings = {"shape": file[name].shape, "dtype": file[name].dtype, **declared}
    del file[name]
    file.create_dataset(name, **settings)


def _linked(file, link):
    del file["d1/positive"]
    file["d1/positive"] = link


def _virtual(file):
    layout = h5py.VirtualLayout((4, 5), "float32")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 5))
    del file["d1/positive"]
    file.create_virtual_dataset("d1/positive", layout)


DECLARED = {
    "another file's bytes": lambda file: _replaced(file, external=[("/etc/hostname", 0, 80)]),
    "gigabytes": lambda file: _replaced(file, shape=(10**9,), chunks=(10**6,), compression="gzip", fillvalue=1),
    "gigabytes in many parts": lambda file: [
        file.create_dataset(f"d1/more{i}", (10**3,), "float64", chunks=(10,), fillvalue=1) for i in range(100)
    ],
    "a link to another file": lambda file: _linked(file, h5py.ExternalLink("/etc/hostname", "/x")),
    "a link within": lambda file: _linked(file, h5py.SoftLink("/d2/linear")),
    "a virtual array": _virtual,
    "a group within itself": lambda file: file["d1"].__setitem__("again", file["d1"]),
    "a type": lambda file: file.__setitem__("d1/type", np.dtype("float32")),
    "references": lambda file: file.create_dataset("d1/reference", data=file["d1"].ref, dtype=h5py.ref_dtype),
    "records": lambda file: file.create_dataset("d1/records", (2,), [("a", "f4"), ("b", "i4")]),
    "lists of numbers": lambda file: file.create_dataset("d1/lists", (2,), h5py.vlen_dtype("float32")),
}


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("what", DECLARED)
def test_what_innspect_does_not_write_is_refused_before_it_is_read(savers, tmp_path, what, sealed):
    """Also where the digest is right: who declares it can forge that."""
    path = tmp_path / "declared.h5"
    P.fit(model(), X, "relu", verbose=0).save(path)
    with h5py.File(path, "r+") as file:
        DECLARED[what](file)
    if sealed:
        seal_front(path)
    else:
        without_seal(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UnreadableFileError, match=r"declared.h5' is damaged.*d1"):
            P.load(path)


def test_arrays_that_declare_more_than_there_is_are_refused(tmp_path):
    path = tmp_path / "explanation"
    innspect.create_analyzer("gradient", model()).explain(X[:2], 1).save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    large = (
        np.lib.format.magic(1, 0),
        b"\x76\0" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}".ljust(117) + b"\n",
    )
    for changed, compression in (({"array_0.npy": b"".join(large)}, 0), ({"bomb": bytes(10**7)}, zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in (members | changed).items():
                archive.writestr(name, content)
        for seal in (lambda _: None, seal_end):
            seal(path)
            with pytest.raises(UnreadableFileError, match=r"explanation.*declares"):
                innspect.Explanation.load(path)


# ---------------------------------------------------------------------- modules that a file names
class OwnRule(Epsilon):
    """A rule of a user's own."""


def naming(path, old, new):
    """Let a saved analyzer name something else."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(old.encode(), new.encode()) if name.endswith("json") else content)


@pytest.fixture
def named(tmp_path, monkeypatch):
    """A saved analyzer that names a rule of a module which is not imported yet, and leaves a mark when it is."""
    folder = tmp_path / "modules" / "package_named_by_a_file"
    folder.mkdir(parents=True)
    mark = tmp_path / "mark"
    (folder / "__init__.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (folder / "rules.py").write_text("from innspect.layers.epsilon import Epsilon\nclass OwnRule(Epsilon): pass\nother = 1\n")
    monkeypatch.syspath_prepend(folder.parent)
    path = tmp_path / "analyzer"
    innspect.create_analyzer("lrp", model(), rule=OwnRule).save(path)
    naming(path, OwnRule.__module__, f"{folder.name}.rules")
    yield path, mark, folder.name
    for name in (folder.name, f"{folder.name}.rules"):
        sys.modules.pop(name, None)


def test_no_module_is_imported_that_a_file_names(named):
    path, mark, package = named
    for trusted in ((), ["another"], [package[:-1]], [f"{package}.rules.inner"]):
        with pytest.raises(ValueError, match=f"trusted_modules.*{package}.rules:OwnRule"):
            innspect.load_analyzer(path, trusted_modules=trusted)
    assert not mark.exists()


def test_modules_that_are_trusted_are_imported(named):
    path, mark, package = named
    with pytest.raises(ValueError, match=r"`trusted_modules` must be a list"):
        innspect.load_analyzer(path, trusted_modules=package)
    analyzer = innspect.load_analyzer(path, trusted_modules=[package])
    assert mark.exists()
    assert type(analyzer).__name__ == "LRP"
    innspect.load_analyzer(path)  # it is imported now


@pytest.mark.parametrize("name", ["other", "missing", "OwnRule.missing", "Epsilon.forward", "innspect.files:write"])
def test_only_rules_are_found(named, name):
    path, _, package = named
    place = name if ":" in name else f"{package}.rules:{name}"
    naming(path, f"{package}.rules:OwnRule", place)
    with pytest.raises(ValueError, match=f"only name rules.*{name}"):
        innspect.load_analyzer(path, trusted_modules=None)


def test_what_a_module_computes_when_asked_is_not_asked_for(tmp_path, monkeypatch):
    """Such as modules that it would import then, as innspect itself does."""
    path, lazy = tmp_path / "analyzer", types.ModuleType("lazy_module")
    lazy.__getattr__ = lambda name: pytest.fail(f"{name!r} was computed")
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    innspect.create_analyzer("lrp", model(), rule=OwnRule).save(path)
    naming(path, f"{OwnRule.__module__}:OwnRule", "lazy_module:Rule")
    with pytest.raises(ValueError, match="only name rules"):
        innspect.load_analyzer(path)


# ---------------------------------------------------------------------- callbacks
def trained(callback):
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="softmax")])
    net.compile("sgd", "sparse_categorical_crossentropy")
    net.fit(X, np.arange(16) % 3, epochs=2, verbose=0, callbacks=[callback])
    return [keras.ops.convert_to_numpy(w) for w in net.weights]


@posix
@pytest.mark.host
def test_a_disk_that_is_full_does_not_end_a_training(tmp_path):
    """Where nothing can be written: what is written to is a device that is always full."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "epoch_0001.png").symlink_to("/dev/full")
    (tmp_path / "patterns1.h5").symlink_to("/dev/full")
    callbacks = {
        "pictures of epoch 1": ExplanationImages(X[:2], ["gradient"], log_dir=images),
        "patterns of epoch 1": PatternCheckpoint(tmp_path / "patterns{epoch}.h5", X),
    }
    expected = trained(keras.callbacks.Callback())
    for what, callback in callbacks.items():
        with pytest.warns(UserWarning, match=f"{what} could not be written; the training goes on"):
            found = trained(callback)
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
    assert (images / "epoch_0002.png").is_file()
    assert (tmp_path / "patterns2.h5").is_file()


@posix
@pytest.mark.once
def test_half_a_record_is_taken_back(tmp_path):
    import resource

    from innspect.visualize.png import png
    from innspect.visualize.tensorboard import ImageWriter

    writer, picture = ImageWriter(tmp_path), png(np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype("uint8"))
    writer.add("a", picture, 1)
    before, limits = os.path.getsize(writer.path), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (before + 1000, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            writer.add("a", picture, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.path.getsize(writer.path) == before
    writer.add("a", picture, 3)
    assert os.path.getsize(writer.path) > before


def test_rights_and_scratch_folders_are_those_of_the_user(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen, save = [], keras.Model.save
    monkeypatch.setattr(keras.Model, "save", lambda self, path, *a, **k: (seen.append(path), save(self, path, *a, **k))[1])
    innspect.create_analyzer("gradient", model()).to_bytes()
    folder = os.path.basename(os.path.dirname(seen[0]))
    assert folder.startswith(".innspect-")
    assert folder.endswith("-scratch")
    assert not os.listdir(tmp_path)
    with replacing(tmp_path / "f") as partial:
        assert stat.S_ISREG(os.stat(partial).st_mode)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="no other backend has strings")
def test_a_saved_analyzer_holds_the_tables_of_its_model(tmp_path):
    """Which Keras keeps in files of their own within its file. Models of strings run on TensorFlow only."""
    words = keras.Input((3,), dtype="string")
    ids = L.StringLookup(vocabulary=["ant", "bee", "cat"])(words)
    net = shake(keras.Model(words, L.Dense(2)(L.Flatten()(L.Embedding(4, 2)(ids)))))
    analyzer = innspect.create_analyzer("gradient", net)
    analyzer.save(tmp_path / "a")
    x = np.array([["bee", "cat", "dog"]])
    np.testing.assert_array_equal(innspect.load_analyzer(tmp_path / "a").analyze(x), analyzer.analyze(x))


def test_damaged_bytes_of_an_analyzer_say_so():
    name, state = innspect.create_analyzer("gradient", model()).save()
    with pytest.raises(UnreadableFileError, match="These bytes are no saved analyzer, or are damaged"):
        innspect.Analyzer.load(name, state[:-100])
