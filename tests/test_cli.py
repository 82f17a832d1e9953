"""The commands that explain, compare and learn patterns, as a user runs them, in files and folders of one's own."""

import csv
import json
import os

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L
from models import shake
from PIL import Image

import innspect
from innspect import cli
from innspect.analyzers.base.registry import describe
from innspect.cli.images import read_image
from innspect.cli.inputs import Source, expand, preprocessing
from innspect.cli.options import label_of, method
from innspect.cli.quiet import silent_stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, images and arrays."""
    folder = tmp_path_factory.mktemp("place")
    model = shake(
        keras.Sequential(
            [
                keras.Input((6, 8, 3), name="image"),
                L.Conv2D(4, 3, activation="relu", name="conv"),
                L.Flatten(),
                L.Dense(5, activation="softmax", name="out"),
            ],
            name="small",
        )
    )
    model.save(folder / "model.keras")
    random = np.random.default_rng(0)
    (folder / "photos" / "more").mkdir(parents=True)
    for name in ("a.png", "b.png", "more/c.png"):
        Image.fromarray(random.integers(0, 256, (6, 8, 3), "uint8")).save(folder / "photos" / name)
    (folder / "photos" / "notes.txt").write_text("no image")
    x = random.uniform(size=(5, 6, 8, 3)).astype("float32")
    np.save(folder / "x.npy", x)
    np.savez(folder / "two.npz", first=x, second=x[:2])
    with h5py.File(folder / "x.h5", "w") as file:
        file["group/data"] = x
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\nelk\n")
    return folder


@pytest.fixture
def run(place, tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder that sees the others by name; returns exit code, output and errors."""
    for entry in place.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = cli.main([str(a) for a in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def model(place):
    return keras.saving.load_model(place / "model.keras", compile=False)


def one_line(error):
    assert error.startswith("innspect: ")
    assert len(error.splitlines()) == 1
    return error


# ---------------------------------------------------------------------- explain
def test_explain_writes_a_picture_for_each_input_class_and_method(run, tmp_path, place):
    arguments = ["explain", "model.keras", "photos", "--preprocess", "unit", "--top", "2", "--labels", "labels.txt"]
    code, out, err = run(*arguments, "--method", "gradient", "--method", "lrp.epsilon:epsilon=0.1", "--out", "maps")
    assert (code, err) == (0, "")
    written = {p.name for p in (tmp_path / "maps").iterdir()}
    expected = {f"{i}.{m}.top{k}.png" for i in "abc" for m in ("gradient", "lrp.epsilon,epsilon=0.1") for k in (1, 2)}
    assert written == expected | {f"{i}.all.png" for i in "abc"} | {"explanations.json"}
    with Image.open(tmp_path / "maps" / "a.gradient.top1.png") as picture:
        assert picture.size == (8 * 32, 6 * 32)
    index = json.loads((tmp_path / "maps" / "explanations.json").read_text())
    x = np.stack([read_image(place / "photos" / f, (None, 6, 8, 3)) for f in ("a.png", "b.png", "more/c.png")]) / 255
    model = keras.saving.load_model(place / "model.keras", compile=False)
    order = np.argsort(-keras.ops.convert_to_numpy(model(x)), axis=1)[:, :2]
    assert [entry["explained"] for entry in index["inputs"]] == order.tolist()
    assert index["methods"]["lrp.epsilon,epsilon=0.1"]["arguments"] == {"epsilon": 0.1}
    names = ["ant", "bee", "cat", "dog", "elk"]
    for entry, best in zip(index["inputs"], order, strict=True):
        assert f"{entry['name']}: {names[best[0]]} (" in out
    assert "Explaining: 2 of 2" in out
    assert [entry["labels"] for entry in index["inputs"]] == [[names[n] for n in best] for best in order]


def test_neurons_are_explained_by_name(run, tmp_path):
    (tmp_path / "names.json").write_text('{"0": "ant", "1": "bee", "2": "cat, tom cat", "3": "dog", "4": "ant"}')
    words = ["x.npy", "--limit", "2", "--method", "gradient", "--labels", "names.json"]
    code, out, err = run("explain", "model.keras", *words, "--neuron", "TOM", "--neuron", "1", "--format", "npz")
    assert (code, err) == (0, "")
    assert "cat, tom cat (" in out
    with np.load(tmp_path / "explanations" / "gradient.npz") as found:
        assert found["neurons"].tolist() == [[2, 2], [1, 1]]
    assert run("compare", "model.keras", *words, "--neuron", "dog")[0] == 0
    for command, *more in (["explain", "--out", "more"], ["compare"]):
        for given, told in (("ant", "0 'ant', 4 'ant'"), ("emu", "No label is 'emu'")):
            code, _, err = run(command, "model.keras", *words, *more, "--neuron", given)
            assert code == 1
            assert told in one_line(err)
        code, _, err = run(command, "model.keras", *words[:-2], *more, "--neuron", "dog")
        assert code == 1
        assert "`labels`" in one_line(err)


def test_labels_must_be_as_many_as_the_outputs(run, tmp_path):
    (tmp_path / "four.txt").write_text("ant\nbee\ncat\ndog\n")
    for command in ("explain", "compare"):
        code, _, err = run(command, "model.keras", "x.npy", "--method", "gradient", "--labels", "four.txt")
        assert code == 1
        assert "'four.txt' holds no labels: expected 5 names" in one_line(err)
        assert "the last 'dog' in line 4" in err
    assert not (tmp_path / "explanations").exists()


def test_explained_arrays_are_those_of_the_analyzer(run, tmp_path, model, place):
    code, _, err = run("explain", "model.keras", "x.npy", "--neuron", "3", "--neuron", "0", "--limit", "4",
                         "--batch-size", "3", "--method", "input_t_gradient", "--format", "npz")  # fmt: skip
    assert (code, err) == (0, "")
    x = np.load(place / "x.npy")[:4]
    analyzer = innspect.create_analyzer("input_t_gradient", model)
    with np.load(tmp_path / "explanations" / "input_t_gradient.npz") as found:
        assert found["attributions"].shape == (2, 4, 6, 8, 3)
        for row, neuron in enumerate((3, 0)):
            np.testing.assert_allclose(found["attributions"][row], analyzer.analyze(x, neuron), rtol=1e-4, atol=1e-6)
        assert found["names"].tolist() == ["x-0", "x-1", "x-2", "x-3"]
        assert found["neurons"].tolist() == [[3] * 4, [0] * 4]
        np.testing.assert_allclose(found["outputs"].sum(1), 1, rtol=1e-5)


def test_an_output_in_contrast_to_others(run, place, model, tmp_path):
    common = ["explain", "model.keras", "x.npy", "--limit", "2", "--neuron", "1", "--method", "gradient", "--format", "npz"]
    for given, contrast in (("rest", "rest"), ("0,2", [0, 2]), ("3", 3)):
        assert run(*common, "--contrast", given, "--out", given)[0] == 0
        with np.load(tmp_path / given / "gradient.npz") as found:
            expected = innspect.create_analyzer("gradient", model).analyze(np.load(place / "x.npy")[:2], 1, contrast=contrast)
            np.testing.assert_allclose(found["attributions"][0], expected, rtol=1e-4, atol=1e-6)
    assert run("compare", "model.keras", "x.npy", "--method", "gradient", "--contrast", "runner_up")[0] == 0
    with pytest.raises(SystemExit):
        run(*common, "--contrast", "others", "--out", "o")


def test_the_default_methods_are_those_that_fit_the_model(run, tmp_path):
    dense = keras.Sequential([keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(1)])
    dense.save(tmp_path / "dense.keras")
    np.save(tmp_path / "rows.npy", np.ones((2, 4), "float32"))
    code, _, err = run("explain", "dense.keras", "rows.npy", "--format", "npz", "--format", "html", "--out", "o")
    assert (code, err) == (0, "")
    files = {p.name for p in (tmp_path / "o").iterdir()}
    methods = {f"{name}.npz" for name in innspect.default_methods(dense)}
    assert "integrated_gradients.npz" in methods
    assert "grad_cam.npz" not in methods
    assert files == methods | {"explanations.html", "explanations.json"}
    assert run("explain", "dense.keras", "rows.npy", "--out", "p")[0] == 0
    assert {p.suffix for p in (tmp_path / "p").iterdir()} == {".png", ".json"}
    assert "--top 2" in one_line(run("explain", "dense.keras", "rows.npy", "--top", "2", "--out", "q")[2])


def test_nothing_is_overwritten_without_force(run, tmp_path):
    arguments = ["explain", "model.keras", "photos/a.png", "--method", "gradient", "--format", "html", "--out", "o"]
    (tmp_path / "o").mkdir()
    page = tmp_path / "o" / "explanations.html"
    page.write_text("mine")
    code, _, err = run(*arguments)
    assert code == 1
    assert "--force" in one_line(err)
    assert page.read_text() == "mine"
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["explanations.html"]
    assert run(*arguments, "--force")[0] == 0
    assert "<html" in page.read_text()
    assert "innspect explain model.keras photos/a.png --method gradient" in page.read_text()
    demo = tmp_path / "d" / "digits.keras"
    demo.parent.mkdir()
    demo.write_text("mine")
    assert "--force" in one_line(run("demo", "--digits", "--out", "d")[2])
    (demo.parent / "labels.txt").write_text("mine")
    assert "labels.txt" in one_line(run("demo", "--out", "d")[2])
    assert "--out must name a folder" in one_line(run(*arguments[:-1], "report.html")[2])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.keras", "nothing.png"], "'nothing.png'"),
        (["model.keras", "labels.txt"], "no image"),
        (["nothing.keras", "photos"], "'nothing.keras'"),
        (["labels.txt", "photos"], "labels.txt"),
        (["model.keras", "photos", "x.npy"], "not both"),
        (["model.keras", "photos", "--method", "lrp.epsilo"], "'lrp.epsilon'"),
        (["model.keras", "photos", "--method", "lrp.epsilon:epsilom=1"], "'epsilon'"),
        (["model.keras", "photos", "--method", "gradient", "--method", "gradient"], "once"),
        (["model.keras", "photos", "--method", "pattern.net"], "innspect patterns fit"),
        (["model.keras", "photos", "--preprocess", "vgg"], "'vgg16'"),
        (["model.keras", "photos", "--neuron", "5"], "between 0 and 4"),
        (["model.keras", "two.npz"], "two.npz:NAME"),
        (["model.keras", "two.npz:third"], "first, second"),
        (["model.keras", "photos", "--labels", "none.txt"], "none.txt"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run, arguments, said, tmp_path):
    code, _, err = run("explain", *arguments, "--out", "never")
    assert code == 1
    assert said in one_line(err)
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "arguments", [["--top", "0"], ["--method", "lrp:(("], ["--top", "1", "--neuron", "2"], ["--format", "gif"]]
)
def test_wrong_usage_is_told_before_anything_starts(run, arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run("explain", "model.keras", "photos", *arguments)
    assert end.value.code == 2
    assert "usage: innspect explain" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["explain model.keras x.npy", "compare model.keras x.npy", "patterns fit model.keras x.npy"]
)
def test_a_place_that_cannot_be_written_to_is_told_first(run, command, monkeypatch):
    monkeypatch.setattr(keras.saving, "load_model", lambda *a, **k: pytest.fail("work has begun"))
    assert "labels.txt" in one_line(run(*command.split(), "--out", "labels.txt/there")[2])


def test_only_what_frameworks_write_is_silenced(capfd):
    with silent_stderr():
        os.write(2, b"greetings from C++")
    os.write(2, b"an error")
    assert capfd.readouterr().err == "an error"


def test_debug_shows_where_it_went_wrong(run):
    code, _, err = run("explain", "model.keras", "nothing.png", "--debug")
    assert code == 1
    assert "Traceback" in err


def test_classes_of_ones_own_come_from_a_file(run, tmp_path):
    text = (
        "import keras\n@keras.saving.register_keras_serializable('mine')\nclass Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n        return 2 * x\n"
    )
    (tmp_path / "mine.py").write_text(text)
    names = {}
    exec(text, names)
    keras.Sequential([keras.Input((4,)), names["Twice"](), L.Dense(3)]).save(tmp_path / "own.keras")
    np.save(tmp_path / "rows.npy", np.ones((2, 4), "float32"))
    registered = keras.saving.get_custom_objects()
    del registered["mine>Twice"]  # as in a new process
    arguments = ["explain", "own.keras", "rows.npy", "--method", "gradient", "--format", "npz", "--out", "o"]
    assert run(*arguments)[0] == 1
    assert run(*arguments, "--code", "mine.py")[0] == 0
    del registered["mine>Twice"]


# ---------------------------------------------------------------------- inputs
@pytest.mark.parametrize("given", ["x.npy", "x.h5", "x.h5:group/data", "two.npz:first"])
def test_arrays_are_found_in_their_files(place, model, given):
    source = Source([str(place / given)], model)
    assert len(source) == 5
    np.testing.assert_array_equal(source[:], np.load(place / "x.npy"))
    assert [len(batch) for batch in source.batches(2)] == [2, 2, 1]


def test_folders_and_globs_hold_what_is_below_them(place):
    every = [str(place / "photos" / f) for f in ("a.png", "b.png", "more/c.png")]
    assert expand([str(place / "photos")]) == every
    assert expand([str(place / "photos" / "**" / "*.png")]) == every
    assert expand([str(place / "photos" / "?.png")]) == every[:2]
    with pytest.raises(FileNotFoundError, match="no images"):
        expand([str(place / "photos" / ".." / "photos" / "more" / ".." / "..")][:0] or [str(_empty(place))])


def _empty(place):
    (place / "empty").mkdir(exist_ok=True)
    return place / "empty"


def test_images_take_the_shape_of_the_input(tmp_path):
    pixels = np.zeros((4, 6, 3), "uint8")
    pixels[:, :3, 0] = 200
    Image.fromarray(pixels).save(tmp_path / "i.png")
    path = tmp_path / "i.png"
    np.testing.assert_array_equal(read_image(path, (None, None, None, 3)), pixels)
    np.testing.assert_array_equal(read_image(path, (None, 3, 4, 6)), np.moveaxis(pixels, -1, 0))
    grey = read_image(path, (None, 8, 12, 1))
    assert grey.shape == (8, 12, 1)
    assert grey[:, 0].min() == pytest.approx(0.299 * 200, abs=1)
    assert read_image(path, (None, 4, 6)).shape == (4, 6)
    with pytest.raises(ValueError, match="takes no images"):
        read_image(path, (None, 7))


def test_a_name_that_occurs_twice_gets_a_number(place, model):
    assert Source([str(place / "photos" / "a.png")] * 3, model).names == ["a", "a-2", "a-3"]


@pytest.mark.parametrize(
    ("arguments", "asked"), [((), True), (("--preprocess", "none"), False), (("--preprocess", "unit"), False)]
)
def test_pixels_that_nobody_scales_are_asked_about(run, arguments, asked):
    code, out, err = run("explain", "model.keras", "photos", "--method", "gradient", *arguments)
    assert (code, err) == (0, "")
    assert ("--preprocess unit" in out) == asked


def test_a_model_that_scales_its_pixels_is_not_asked_about(run, tmp_path, model):
    inner = keras.Sequential([keras.Input(model.input_shape[1:]), keras.layers.Rescaling(1 / 255), model])
    keras.Sequential([keras.Input(model.input_shape[1:]), inner]).save(tmp_path / "scales.keras")
    code, out, _ = run("explain", "scales.keras", "photos", "--method", "gradient")
    assert code == 0
    assert "--preprocess" not in out


def test_preprocessing():
    x = np.array([0.0, 255.0]).reshape(1, 1, 2, 1) * np.ones((1, 1, 1, 3))
    assert preprocessing("unit")(x).max() == 1
    assert preprocessing("symmetric")(x).min() == -1
    kept = x.copy()
    np.testing.assert_allclose(preprocessing("vgg16")(x), keras.applications.vgg16.preprocess_input(kept.copy()), rtol=1e-6)
    np.testing.assert_array_equal(x, kept)


def test_several_inputs_come_from_an_archive(tmp_path, monkeypatch):
    a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    model = keras.Model([a, b], L.Dense(4)(L.Concatenate()([a, b])))
    np.savez(tmp_path / "both.npz", left=np.ones((3, 3)), right=np.zeros((3, 2)))
    source = Source([str(tmp_path / "both.npz")], model, limit=2)
    assert {name: array.shape for name, array in source[:].items()} == {"left": (2, 3), "right": (2, 2)}
    model.save(tmp_path / "m.keras")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["explain", "m.keras", "both.npz", "--method", "gradient", "--format", "npz", "--out", "o"]) == 0
    with np.load(tmp_path / "o" / "gradient.npz") as found:
        assert found["attributions/right"].shape == (1, 3, 2)


# ---------------------------------------------------------------------- methods
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gradient", ("gradient", {})),
        ("lrp.gamma:gamma=0.5,bias=False", ("lrp.gamma", {"gamma": 0.5, "bias": False})),
        ("lrp:rule=Epsilon,input_layer_rule=(0,1)", ("lrp", {"rule": "Epsilon", "input_layer_rule": (0, 1)})),
    ],
)
def test_a_method_with_arguments(text, expected):
    assert method(text) == expected


def test_a_label_is_good_for_a_file():
    assert label_of("lrp.gamma", {"gamma": 0.5, "patterns": "x"}) == "lrp.gamma,gamma=0.5"


def test_methods_tell_family_paper_and_needs(run):
    _, out, _ = run("methods")
    rows = {line.split()[0]: line for line in out.splitlines()[2:]}
    assert list(rows) == innspect.list_analyzers()
    assert rows["pattern.net"].split("  ")[-1] == "patterns"
    assert "Kindermans et al. 2017" in rows["pattern.net"]
    assert "class activation" in rows["grad_cam"]
    assert run("methods", "excitation", "--names")[1] == "excitation_backprop\n"
    _, manual, _ = run("methods", "lrp.gamma")
    assert "gamma=" in manual
    assert "Montavon et al. 2019" in manual
    assert run("methods", "no such")[0] == 1


def test_every_method_has_a_family():
    assert [name for name in innspect.list_analyzers() if not describe(name)["family"]] == []


# ---------------------------------------------------------------------- compare
def test_compare_tells_agreement_error_and_time(run, tmp_path):
    methods = ["input_t_gradient", "lrp.z", "grad_cam"]
    arguments = [part for m in methods for part in ("--method", m)]
    code, out, err = run("compare", "model.keras", "x.npy", *arguments, "--out", "c")
    assert (code, err) == (0, "")
    with open(tmp_path / "c" / "comparison.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["input_t_gradient", "lrp.z", "grad_cam"]
    agreement = [[float(row[f"agreement with {r['method']}"]) for r in rows] for row in rows]
    assert agreement[0][1] > 0.999  # on a ReLU network they are the same
    assert agreement[0][0] == 1
    assert abs(agreement[0][2]) < 0.99
    assert [row["error"] != "" for row in rows] == [False, True, False]
    assert all(float(row["ms_per_sample"]) > 0 for row in rows)
    assert (tmp_path / "c" / "comparison.png").exists()
    assert "means over 5 samples" in out
    assert run("compare", "model.keras", "x.npy", *arguments, "--out", "c")[0] == 1


def test_compare_draws_with_scale_and_palette_of_the_methods(run, monkeypatch):
    drawn = {}
    grid = innspect.visualize.grid
    monkeypatch.setattr(innspect.visualize, "grid", lambda maps, **look: drawn.update(look) or grid(maps, **look))
    chosen = ("--method", "grad_cam:relu=False", "--method", "grad_cam")
    assert run("compare", "model.keras", "x.npy", *chosen, "--out", "scales")[0] == 0
    suits = [(innspect.visualize.palette_of(of), innspect.visualize.scale_of(of).percentile) for of in drawn["of"].values()]
    assert suits == [("red_blue", 100), ("heat", 100)]
    assert "percentile" not in drawn


# ---------------------------------------------------------------------- patterns
def test_patterns_are_fitted_shown_and_used(run, tmp_path, model, place):
    code, out, err = run("patterns", "fit", "model.keras", "x.npy", "--out", "p.h5", "--batch-size", "2")
    assert (code, err) == (0, "")
    assert "conv" in out
    fitted = innspect.patterns.fit(model, np.load(place / "x.npy"), batch_size=2)
    np.testing.assert_allclose(innspect.patterns.load("p.h5")["conv"], fitted["conv"], rtol=1e-5, atol=1e-7)
    assert run("patterns", "fit", "model.keras", "x.npy", "--out", "p.h5")[0] == 1
    code, out, _ = run("patterns", "show", "p.h5", "--model", "model.keras")
    assert code == 0
    assert "fitted on model.keras" in out
    arguments = ["explain", "model.keras", "x.npy", "--method", "pattern.attribution", "--patterns", "p.h5", "--out", "o"]
    assert run(*arguments)[0] == 0
    shake(model, seed=5).save(tmp_path / "other.keras")
    assert "conv" in one_line(run("patterns", "show", "p.h5", "--model", "other.keras")[2])


def test_shards_are_merged(run, place, model):
    for i in range(2):
        code, _, err = run("patterns", "fit", "model.keras", "x.npy", "--batch-size", "2", "--checkpoint", f"part{i}.h5",
                           "--shard", f"{i}/2")  # fmt: skip
        assert (code, err) == (0, "")
    assert run("patterns", "merge", "part*.h5", "--out", "p.h5")[0] == 0
    whole = innspect.patterns.fit(model, np.load(place / "x.npy"), batch_size=2)
    merged = innspect.patterns.load("p.h5")
    assert merged.samples == 5
    np.testing.assert_allclose(merged["out"], whole["out"], rtol=1e-4, atol=1e-6)
    assert "--checkpoint" in one_line(run("patterns", "fit", "model.keras", "x.npy", "--out", "q.h5", "--shard", "0/2")[2])


def test_patterns_of_images_are_read_batch_by_batch(run, model, place):
    assert run("patterns", "fit", "model.keras", "photos", "--preprocess", "unit", "--out", "p.h5", "--batch-size", "2")[0] == 0
    x = Source([str(place / "photos")], model, "unit")[:]
    whole = innspect.patterns.fit(model, x, batch_size=2)
    np.testing.assert_allclose(innspect.patterns.load("p.h5")["conv"], whole["conv"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("command", [["patterns"], ["patterns", "fit", "m.keras", "x.npy"]])
def test_patterns_say_what_is_missing(run, command):
    code, out, err = run(*command)
    assert code in (1, 2)
    assert "usage: innspect patterns" in out or "--out" in one_line(err)


def test_concepts_writes_what_channels_look_for(run, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    told = ("model.keras", "photos", "bad.png", "--preprocess", "unit", "--at", "conv", "--labels", "labels.txt", "--top", "2")
    code, out, _ = run("concepts", *told, "--html", "--channel", "1", "--out", "found")
    assert code == 3
    assert "conv: 4 channels" in out
    gallery = innspect.concepts.load(tmp_path / "found" / "concepts.h5")
    assert gallery.samples == 3
    assert gallery["conv"].samples.shape == (4, 2)
    page = (tmp_path / "found" / "concepts.html").read_text()
    assert page.count("<section") == 1
    assert any(f"<figcaption>{name}<small>" in page for name in "abc")
    assert run("concepts", *told, "--out", "found")[0] == 1  # there is one already
    assert run("concepts", *told, "--out", "found", "--resume")[0] == 3
    code, _, said = run("concepts", "model.keras", "x.npy", "--at", "cnov", "--out", "other")
    assert code == 1
    assert "'conv'" in said
