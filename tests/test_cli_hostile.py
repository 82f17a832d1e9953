"""The command line, given files, names and words that someone else made."""

import json
import os
import re
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake
from PIL import Image

import innspect
from innspect import cli
from innspect.cli.images import read_image
from innspect.cli.inputs import Source
from innspect.cli.options import method
from innspect.tables import Table, printable
from innspect.visualize import text

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, devices and such names are of Unix")
STEERING = "\x1b[31m\x9b5m\x07\r\x00\u202e\u2066\udcff"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


def convolutional(channels=1):
    layers = [L.Conv2D(2, 3, activation="relu", name="conv"), L.Flatten(), L.Dense(3, name="out")]
    return shake(keras.Sequential([keras.Input((8, 8, channels)), *layers]))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, arrays and labels, in which commands run."""
    convolutional().save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32"))
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words):
    """The exit code of a command, and what it printed."""
    try:
        code = cli.main(list(words))
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr()
    return code, told.out + told.err


EXPLAIN = ("explain", "model.keras", "x.npy", "--method", "gradient", "--preprocess", "none", "--format", "npz")


# ---------------------------------------------------------------------- what is printed
def test_what_steers_a_terminal_is_escaped_and_other_text_is_as_it_was():
    assert not RAW.search(printable(STEERING))
    assert printable("\x1b[31m") == "\\x1b[31m"
    assert printable("a\u202eb\nc", kept="\n") == "a\\u202eb\nc"
    for plain in ("Käse, 猫, שלום, می‌خواهم", "👩‍🔬", "a\u00a0b"):
        assert printable(plain) == plain
    table = Table(["a\x1b"], [[f"b{STEERING}"]], "note\x9b")
    assert not RAW.search(str(table).replace("\n", ""))
    assert not RAW.search(table.html())


@pytest.mark.parametrize("form", ["html", "ansi"])
def test_tokens_are_shown_in_their_order(form):
    shown = text(["user\u202e", "\u2066nimda", "\x9b5m"], [1.0, 2.0, 0.5], form=form)
    assert not RAW.search(shown.replace("\x1b", ""))
    assert "user\\u202e" in shown


def test_pages_turn_no_letters_around():
    page = innspect.report(
        convolutional(),
        np.zeros((1, 8, 8, 1)),
        ["gradient"],
        top=1,
        labels=["a\u202eb"] * 3,
        names=["n\u2067"],
        title="t\u200f\x85",
    ).html
    assert not RAW.search(page)
    assert "a\\u202eb" in page


@posix
def test_names_and_labels_steer_no_terminal(place, capsys):
    (place / "labels.txt").write_text("\x1b[31mred\x1b]0;title\x07\u202e\n" * 3)
    data, model, out = "\x1b[31m\x9b5m.npy", "m\x1b\u202e.keras", "o\x07\u2066"
    os.rename("x.npy", data)
    os.rename("model.keras", model)
    words = ("explain", model, data, *EXPLAIN[3:], "--format", "html", "--labels", "labels.txt", "--out", out)
    code, told = run(capsys, *words)
    assert code == 0, told
    assert not RAW.search(told)
    assert "\\x1b[31mred" in told
    assert not RAW.search((place / out / "explanations.html").read_text(encoding="utf-8"))
    for wrong in (
        ["--no\x1bsuch"],
        ["--out", "\x1b/x", "--limit", "\x1b"],
        ["--neuron", "9", "--out", "\x1b[31m"],
        ["--labels", "\x1b"],
    ):
        code, told = run(capsys, "explain", model, data, "--method", "gradient", "--out", "new", *wrong)
        assert code, wrong
        assert not RAW.search(told), wrong
    code, told = run(capsys, "explain", "--debug", "nothing\x1b.keras", data)
    assert code == 1
    assert "Traceback" in told
    assert not RAW.search(told)


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems do not allow")
@pytest.mark.parametrize("command", ["explain", "compare", "patterns fit"])
def test_names_that_are_not_utf_8_are_names(place, capsys, command):
    model, data, out, labels = (os.fsdecode(name) for name in (b"\xffm.keras", b"d\xfe\xe9.npy", b"out\xff", b"l\xff.txt"))
    for old, new in (("model.keras", model), ("x.npy", data), ("labels.txt", labels)):
        os.rename(old, new)
    words = [*command.split(), model, data, "--preprocess", "none", "--out", out]
    if command != "patterns fit":
        words += ["--method", "gradient"]
    if command == "explain":
        words += ["--labels", labels, "--format", "npz", "--format", "html", "--format", "png"]
    code, told = run(capsys, *words)
    assert code == 0, told
    assert not RAW.search(told)
    assert os.path.exists(out)
    if command == "explain":
        with open(os.path.join(out, "explanations.json"), encoding="utf-8") as file:
            assert json.load(file)["model"] == model
    if command == "patterns fit":
        assert run(capsys, "patterns", "show", out)[0] == 0


# ---------------------------------------------------------------------- what is read
@posix
def test_what_may_never_end_is_refused_by_name(place, capsys):
    for name in ("pipe", "pipe.npy", "pipe.npz", "pipe.h5", "pipe.png", "pipe.keras", "pipe.txt", "pipe.py"):
        os.mkfifo(name)
    os.mkdir("folder")
    os.mkfifo("folder/pipe.png")
    os.symlink("/dev/zero", "zero")
    cases = [
        [*EXPLAIN[:2], name] for name in ("pipe", "pipe.npy", "pipe.npz:x", "pipe.h5", "pipe.png", "zero", "folder", "*.png")
    ]
    cases += [["explain", name, "x.npy"] for name in ("pipe.keras", "zero")]
    cases += [[*EXPLAIN, "--labels", name] for name in ("pipe.txt", "/dev/zero")]
    cases += [[*EXPLAIN, "--code", "pipe.py"], ["explain", *EXPLAIN[1:3], "--method", "pattern.net", "--patterns", "pipe"]]
    cases += [["patterns", "show", "pipe"], ["patterns", "merge", "pipe", "--out", "p.h5"]]
    cases += [["patterns", "fit", "model.keras", "x.npy", "--out", "pipe", "--force"]]
    for words in cases:
        code, told = run(capsys, *words)
        assert code == 1, words
        assert re.search(r"pipe|zero|folder|\*\.png", told), told


def test_only_what_the_limit_asks_for_is_read(place, monkeypatch):
    read, original = [], zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda self, n=-1: (read.append(n), original(self, n))[1])
    x = np.arange(4000 * 64, dtype="float32").reshape(4000, 8, 8, 1)
    for save in (np.savez, np.savez_compressed):
        save("many.npz", x=x, other=np.zeros((3000, 100)), by_columns=np.asfortranarray(x[..., 0]))
        read.clear()
        source = Source(["many.npz"], convolutional(), limit=3)
        np.testing.assert_array_equal(source[:], x[:3])
        assert sum(read) < 20_000
        assert min(read) >= 0
        assert len(Source(["many.npz:x"], convolutional())) == 4000
        whole = Source(["many.npz:by_columns"], keras.Sequential([keras.Input((8, 8)), L.Flatten(), L.Dense(2)]), limit=3)
        np.testing.assert_array_equal(whole[:], x[:3, ..., 0])
    with h5py.File("many.h5", "w") as file:
        file.create_dataset("x", (10**9, 8, 8, 1), chunks=(1, 8, 8, 1))
    assert Source(["many.h5"], convolutional(), limit=3)[:].shape == (3, 8, 8, 1)


def test_arrays_that_hold_objects_are_refused(place):
    np.savez("objects.npz", x=np.array([{}, 1], object))
    with pytest.raises(ValueError, match=r"objects\.npz' could not be read.*no array of numbers"):
        Source(["objects.npz"], convolutional())


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a" * (1 << 24) + b"a"], ids=["no text", "too long"])
def test_labels_are_text(place, capsys, content):
    (place / "labels.txt").write_bytes(content)
    code, told = run(capsys, *EXPLAIN, "--labels", "labels.txt")
    assert code == 1
    assert "labels.txt' holds no labels" in told


@pytest.mark.parametrize(
    "words",
    ["epsilon=" + "-" * 5000, "epsilon=" + "-" * 200_000 + "1", "epsilon=" + "(" * 5000, "a={[]: 1}", "a=" + "[" * 300, "a=\0"],
)
def test_arguments_that_are_no_values_are_wrong_usage(words, capsys):
    code, told = run(capsys, "explain", "model.keras", "x.npy", "--method", f"lrp.epsilon:{words}")
    assert code == 2
    assert "must be a name, or a name with arguments" in told
    assert len(told) < 3000


def test_arguments_are_values():
    assert method("lrp.epsilon:epsilon=-0.5") == ("lrp.epsilon", {"epsilon": -0.5})


# ---------------------------------------------------------------------- pictures
RAMP = np.arange(64, dtype="uint16").reshape(8, 8) * 1040


@pytest.mark.parametrize("shape", [(None, 8, 8, 1), (None, 8, 8, 3), (None, 3, 8, 8), (None, 8, 8)], ids=str)
@pytest.mark.parametrize("name", ["gray.png", "gray.tif", "gray.pgm", "big_endian.tif"])
def test_pictures_of_16_bits_are_those_of_8_bits_with_fractions(tmp_path, name, shape):
    image = Image.fromarray(RAMP.astype(">u2") if name.startswith("big") else RAMP)
    image.save(tmp_path / name)
    found = read_image(tmp_path / name, shape)
    axis = {(None, 8, 8): (), (None, 3, 8, 8): (0,)}.get(shape, (-1,))
    expected = np.broadcast_to(np.expand_dims(RAMP / 257, axis), shape[1:])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == "float32"


def test_pictures_of_16_bits_are_resized(tmp_path):
    Image.fromarray(np.full((8, 8), 65535, "uint16")).save(tmp_path / "white.png")
    np.testing.assert_allclose(read_image(tmp_path / "white.png", (None, 4, 5, 3)), np.full((4, 5, 3), 255.0))


@pytest.mark.parametrize("dtype", ["int32", "float32", "int16"])
def test_pictures_whose_range_is_not_known_are_refused_by_name(tmp_path, dtype):
    values = RAMP.astype(dtype) if dtype != "int16" else RAMP // 2
    if dtype == "int16":  # Pillow writes none: the tag that says that there is a sign is added
        Image.fromarray(values).save(tmp_path / "p.tif", tiffinfo={339: 2})
    else:
        Image.fromarray(values).save(tmp_path / "p.tif")
    with Image.open(tmp_path / "p.tif") as image:
        if image.mode.startswith("I;16"):
            pytest.skip("this Pillow does not write such a picture")
    with pytest.raises(ValueError, match=r"p\.tif' is no image.*range of its pixels is not known"):
        read_image(tmp_path / "p.tif", (None, 8, 8, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_pictures_of_8_bits_are_as_pillow_converts_them(tmp_path, mode):
    image = Image.fromarray((RAMP // 257).astype("uint8")).convert(mode)
    name = "p.tif" if mode == "CMYK" else "p.png"
    image.save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name, (None, 8, 8, 3)), np.asarray(image.convert("RGB"), "float32"))


@pytest.mark.parametrize("size", [0, 8, 33, 60])
def test_pictures_that_are_cut_short_are_refused_by_name(tmp_path, size):
    Image.fromarray((RAMP // 257).astype("uint8")).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut\.png' is no image"):
        read_image(tmp_path / "cut.png", (None, 8, 8, 1))
