"""Photographs as people have them: of any size, turned, transparent, damaged; and maps in their places."""

import json

import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake
from PIL import Image

import innspect
from innspect import cli
from innspect.cli import pictures
from innspect.cli.frames import frame_of
from innspect.cli.images import photograph, pixels_and_frame, read_image, read_upright
from innspect.cli.inputs import Source
from innspect.visualize import overlay

SHAPE = (None, 8, 8, 3)


def ramps(width, height):
    """A picture whose red grows to the right, and whose green grows downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).round().astype("uint8"))


# ---------------------------------------------------------------------- how they come into the input
@pytest.mark.parametrize("size", [(32, 8), (8, 32), (30, 17), (17, 30)], ids=str)
def test_crop_takes_the_centre_in_proportion(tmp_path, size):
    ramps(*size).save(tmp_path / "p.png")
    found = read_image(tmp_path / "p.png", SHAPE)
    side = min(size)
    left, top = ((n - side) / 2 for n in size)
    image = ramps(*size).resize((8, 8), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    np.testing.assert_array_equal(found, np.asarray(image, "float32"))
    assert frame_of(size, (8, 8)).pixels(size) == [left, top, left + side, top + side]


def test_pad_keeps_all_of_it_between_black(tmp_path):
    Image.new("RGB", (32, 16), (200, 100, 50)).save(tmp_path / "p.png")
    found = read_image(tmp_path / "p.png", SHAPE, "pad")
    assert (found[2:6] == (200, 100, 50)).all()
    assert not found[[0, 1, 6, 7]].any()
    assert frame_of((32, 16), (8, 8), "pad").pixels((32, 16)) == [0, -8, 32, 24]


def test_stretch_takes_all_of_it(tmp_path):
    ramps(32, 16).save(tmp_path / "p.png")
    found = read_image(tmp_path / "p.png", SHAPE, "stretch")
    np.testing.assert_array_equal(found, np.asarray(ramps(32, 16).resize((8, 8), Image.Resampling.BILINEAR), "float32"))


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
def test_a_photograph_in_the_inputs_size_is_left_as_it_is(tmp_path, how):
    ramps(8, 8).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", SHAPE, how), np.asarray(ramps(8, 8)))


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(320, 200), (201, 333), (64, 64), (90, 31)], ids=str)
def test_what_is_put_back_is_where_it_came_from(tmp_path, size, how):
    """The ramps of a photograph, through the network's input and back, are the photograph."""
    ramps(*size).save(tmp_path / "p.png")
    pixels, frame, _ = pixels_and_frame(tmp_path / "p.png", (None, 96, 64, 3), how)
    placed = frame.place(pixels, size, 77).astype(int)
    assert placed.shape == (size[1], size[0], 3)
    seen = (placed != 77).any(-1)
    left, top, right, bottom = np.clip(frame.pixels(size), 0, size * 2)
    assert seen.sum() == pytest.approx((right - left) * (bottom - top), rel=0.05)
    inner = seen.copy()
    inner[:8] = inner[-8:] = inner[:, :8] = inner[:, -8:] = False  # where averages reach beyond an edge
    assert np.abs(placed - np.asarray(ramps(*size)))[inner].max() <= 8


def test_small_maps_keep_their_squares():
    map_ = np.zeros((2, 2, 3), "uint8")
    map_[0, 0] = 200
    placed = frame_of((8, 8), (2, 2)).place(map_, (8, 8), 0)
    np.testing.assert_array_equal(placed, map_.repeat(4, 0).repeat(4, 1))


# ---------------------------------------------------------------------- what is in them
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_turned_upright(tmp_path, orientation, ending):
    upright = ramps(40, 24)
    stored = upright
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE"}
    back[8] = "ROTATE_270"
    if orientation > 1:
        stored = upright.transpose(getattr(Image.Transpose, back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"p.{ending}", exif=exif)
    image, size = read_upright(tmp_path / f"p.{ending}")
    assert size == image.size == (40, 24)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 6
    assert photograph(tmp_path / f"p.{ending}", 20).shape == (12, 20, 3)


def test_an_orientation_that_cannot_be_read_is_none(tmp_path):
    ramps(40, 24).save(tmp_path / "p.jpg", exif=b"Exif\x00\x00nonsense, and no TIFF")
    assert read_upright(tmp_path / "p.jpg")[1] == (40, 24)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "colour"])
def test_what_is_transparent_is_white(tmp_path, mode):
    grey = np.full((8, 8), 60, "uint8")
    alpha = np.where(np.arange(8)[:, None] < 4, 255, 0).astype("uint8").repeat(8, 1)
    if mode == "P":
        image = Image.fromarray(np.where(alpha, 0, 1).astype("uint8")).convert("P")
        image.putpalette([60, 60, 60, 0, 0, 0])
        image.save(tmp_path / "p.png", transparency=1)
    elif mode == "colour":
        image = Image.fromarray(np.where(alpha[..., None], 60, (1, 2, 3)).astype("uint8"))
        image.save(tmp_path / "p.png", transparency=(1, 2, 3))
    else:
        bands = [grey] * (3 if mode == "RGBA" else 1)
        Image.merge(mode, [Image.fromarray(b) for b in [*bands, alpha]]).save(tmp_path / "p.png")
    expected = np.where(alpha[..., None], 60, 255) * np.ones(3)
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", SHAPE), expected)
    np.testing.assert_array_equal(photograph(tmp_path / "p.png", 99), expected)
    assert read_image(tmp_path / "p.png", (None, 8, 8, 1)).shape == (8, 8, 1)


def test_grey_and_four_inks(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    red = read_image(tmp_path / "red.jpg", SHAPE)
    assert red[..., 0].min() > 240
    assert red[..., 1:].max() < 15
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.jpg")
    assert (read_image(tmp_path / "grey.jpg", SHAPE) == 90).all()
    assert photograph(tmp_path / "grey.jpg", 8).shape == (8, 8, 3)
    Image.fromarray(np.full((8, 8), 65535, "uint16")).save(tmp_path / "deep.png")
    assert (photograph(tmp_path / "deep.png", 8) == 255).all()


def test_huge_ones_are_decoded_smaller_or_refused(tmp_path, monkeypatch):
    ramps(640, 320).save(tmp_path / "p.jpg", quality=95)
    ramps(640, 320).save(tmp_path / "p.png")
    monkeypatch.setattr("innspect.cli.images._HUGE", 1000)
    monkeypatch.setattr("innspect.cli.images._MOST", 100_000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    image, size = read_upright(tmp_path / "p.jpg", 16)
    assert image.size == (80, 40)
    assert size == (640, 320)
    assert read_image(tmp_path / "p.jpg", SHAPE)[0, 0, 0] == pytest.approx(255 * (160 + 10) / 640, abs=6)
    with pytest.raises(ValueError, match="640 x 320 pixels, more than"):
        read_upright(tmp_path / "p.png", 16)
    assert Image.MAX_IMAGE_PIXELS == 50_000


# ---------------------------------------------------------------------- maps over them
@pytest.mark.parametrize("layout", ["last", "first"])
def test_maps_over_a_photograph_are_overlays(layout):
    random = np.random.default_rng(1)
    maps = random.normal(size=(1, 64, 64, 3))
    shown = random.integers(0, 256, (64, 64, 1), "uint8").repeat(3, 2)
    added, left = pictures.layers(maps if layout == "last" else np.moveaxis(maps, -1, 1), "gradient")
    found = pictures.laid_over(shown, added[0], left[0], frame_of((64, 64), (64, 64)))
    assert np.abs(found.astype(int) - overlay(maps, shown[None])[0]).max() <= 2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    inside = [L.Conv2D(3, 3, activation="relu", name="conv"), L.GlobalAveragePooling2D(), L.Dense(3, activation="softmax")]
    shake(keras.Sequential([keras.Input(SHAPE[1:]), *inside])).save(folder / "model.keras")
    shake(keras.Sequential([keras.Input((None, None, 3)), *inside])).save(folder / "any.keras")
    (folder / "photos").mkdir()
    ramps(300, 200).save(folder / "photos" / "wide.jpg")
    ramps(30, 40).save(folder / "photos" / "tall.png")
    (folder / "photos" / "broken.jpg").write_bytes((folder / "photos" / "wide.jpg").read_bytes()[:900])
    (folder / "photos" / "empty.png").write_bytes(b"")
    (folder / "names.txt").write_text("ant\nbee, honey bee\ncost $5 or $6\n")
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    monkeypatch.chdir(place)

    def call(*words):
        code = cli.main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


EXPLAIN = ("explain", "model.keras", "photos", "--method", "gradient", "--preprocess", "mean=127,std=128")


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_a_folder_with_broken_files_is_explained_without_them(run, place, tmp_path, how):
    words = ("--labels", "names.txt", "--top", "3", "--format", "png", "--format", "html", "--resize", how)
    code, out, err = run(*EXPLAIN, *words, "--out", str(tmp_path / "o"))
    assert code == 3
    told = err.splitlines()
    assert [
        f"'photos/{n}' is no image that can be read" in line for n, line in zip(("broken.jpg", "empty.png"), told, strict=True)
    ]
    assert all(line.startswith("innspect: skipped: ") for line in told)
    assert "2 inputs, 1 method, 2 skipped" in out
    index = json.loads((tmp_path / "o" / "explanations.json").read_text())
    assert [entry["file"] for entry in index["skipped"]] == ["photos/broken.jpg", "photos/empty.png"]
    tall, wide = index["inputs"]
    assert (tall["name"], tall["size"], wide["size"]) == ("tall", [30, 40], [300, 200])
    assert wide["seen"] == {"crop": [50, 0, 250, 200], "pad": [0, -40, 300, 280]}[how]
    assert sorted(tall["labels"]) == ["ant", "bee, honey bee", "cost $5 or $6"]
    assert tall["outputs"] == sorted(tall["outputs"], reverse=True)
    with Image.open(tmp_path / "o" / "wide.gradient.top1.png") as picture:
        assert picture.size == (300, 200)
    with Image.open(tmp_path / "o" / "tall.gradient.top2.png") as picture:
        assert picture.size == (30 * 6, 40 * 6)
    with Image.open(tmp_path / "o" / "wide.all.png") as picture:
        assert picture.size[1] > 3 * 160
    page = (tmp_path / "o" / "explanations.html").read_text()
    assert "bee, honey bee" in page
    assert page.count("<section") == 2


def test_one_file_that_cannot_be_read_is_an_error(run, tmp_path):
    for files, said in (
        (["photos/broken.jpg"], "'photos/broken.jpg'"),
        (["photos/broken.jpg", "photos/empty.png"], "None of 2"),
    ):
        code, _, err = run("explain", "model.keras", *files, "--method", "gradient", "--out", str(tmp_path / "o"))
        assert code == 1
        assert said in err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


def test_other_commands_skip_them_too(run, tmp_path):
    code, _, err = run("compare", *EXPLAIN[1:], "--labels", "names.txt", "--out", str(tmp_path / "c"))
    assert (code, len(err.splitlines())) == (3, 2)
    assert (tmp_path / "c" / "comparison.png").exists()
    words = ("model.keras", "photos", "--preprocess", "unit", "--batch-size", "1", "--out", str(tmp_path / "p.h5"))
    code, _, err = run("patterns", "fit", *words)
    assert code == 3
    assert sum("broken.jpg" in line for line in err.splitlines()) == 1
    found = innspect.patterns.load(tmp_path / "p.h5")
    model = keras.saving.load_model("model.keras", compile=False)
    x = np.stack([read_image(f"photos/{n}", SHAPE) for n in ("tall.png", "wide.jpg")]) / 255
    np.testing.assert_allclose(found["conv"], innspect.patterns.fit(model, x)["conv"], rtol=1e-4, atol=1e-6)


def test_bounds_follow_from_the_preprocessing(run, tmp_path):
    words = (*EXPLAIN[:3], "--method", "lrp.epsilon_gamma_box", "--format", "npz")
    run(*words, "--preprocess", "mean=127,std=128", "--out", str(tmp_path / "o"))
    arguments = {"low": -127 / 128, "high": 1.0}
    index = json.loads((tmp_path / "o" / "explanations.json").read_text())
    assert index["methods"]["lrp.epsilon_gamma_box"]["arguments"] == arguments
    model = keras.saving.load_model("model.keras", compile=False)
    x = (np.stack([read_image(f"photos/{n}", SHAPE) for n in ("tall.png", "wide.jpg")]) - 127) / 128
    with np.load(tmp_path / "o" / "lrp.epsilon_gamma_box.npz") as found:
        expected = innspect.create_analyzer("lrp.epsilon_gamma_box", model, **arguments).analyze(x, found["neurons"][0])
        np.testing.assert_allclose(found["attributions"][0], expected, rtol=1e-4, atol=1e-6)
    given = (*words[:4], "lrp.epsilon_gamma_box:low=-2,high=2", *words[5:])
    run(*given, "--preprocess", "mean=127,std=128", "--out", str(tmp_path / "g"))
    index = json.loads((tmp_path / "g" / "explanations.json").read_text())
    assert index["methods"]["lrp.epsilon_gamma_box,low=-2,high=2"]["arguments"] == {"low": -2, "high": 2}


def test_arrays_have_bounds_where_they_are_bytes(place, tmp_path):
    model = keras.saving.load_model(place / "model.keras", compile=False)
    for dtype, bounds in (("uint8", (0.0, 1.0)), ("float32", None)):
        np.save(tmp_path / f"{dtype}.npy", np.zeros((2, 8, 8, 3), dtype))
        assert Source([str(tmp_path / f"{dtype}.npy")], model, "unit").bounds() == bounds


def test_a_model_of_any_size_is_told_one(run, tmp_path):
    words = ("explain", "any.keras", "photos", "--method", "gradient", "--format", "npz", "--out", str(tmp_path / "o"))
    code, _, err = run(*words)
    assert code == 1
    assert "--size HEIGHTxWIDTH. Received: 200x300, 40x30" in err.splitlines()[-1]
    assert run(*words, "--size", "12x16")[0] == 3
    with np.load(tmp_path / "o" / "gradient.npz") as found:
        assert found["attributions"].shape == (1, 2, 12, 16, 3)
    assert "8x8. Received: 9x9" in run(*EXPLAIN, "--size", "9", "--out", str(tmp_path / "p"))[2]
