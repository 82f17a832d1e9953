"""What users of tables, texts, series, volumes and segmentations see: captions, pictures, notebooks, reports, recipes."""

import dataclasses
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake
from PIL import Image

import innspect
from innspect import visualize
from innspect.analyzers.base.explanation import Explanation
from innspect.cli import main
from innspect.graph.opened.kinds import input_kinds
from innspect.reports.page import page
from innspect.visualize.captions import captions_of, share_told
from innspect.visualize.forms import forms_of, picture_shades

S = keras.Sequential
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NAMES = [f"worst measured quality {i}" for i in range(30)]


def image_model():
    return S([keras.Input((8, 8, 1)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(10, activation="softmax")])


def series_model(steps=60, channels=3):
    layers = [L.Conv1D(4, 5, activation="relu"), L.GlobalMaxPooling1D(), L.Dense(2, activation="softmax")]
    return S([keras.Input((steps, channels)), *layers])


def table_model():
    return S([keras.Input((30,)), L.Dense(6, activation="relu"), L.Dense(3, activation="softmax")])


def text_model():
    return S(
        [keras.Input((9,), dtype="int32"), L.Embedding(20, 4, mask_zero=True), L.LSTM(3), L.Dense(1, activation="sigmoid")]
    )


def volume_model():
    layers = [L.Conv3D(3, 3, activation="relu"), L.GlobalAveragePooling3D(), L.Dense(3, activation="softmax")]
    return S([keras.Input((6, 10, 10, 1)), *layers])


def segmentation():
    """With two outputs, which are named."""
    x = keras.Input((8, 8, 1))
    h = L.Conv2D(4, 3, padding="same", activation="relu", name="seen")(x)
    return keras.Model(x, {"mask": L.Conv2D(3, 1, activation="softmax")(h), "edge": L.Conv2D(1, 1, activation="sigmoid")(h)})


def two_inputs():
    a, b = keras.Input((12, 12, 1), name="left"), keras.Input((3,), name="right")
    return keras.Model({"left": a, "right": b}, L.Dense(2)(L.Concatenate()([L.Flatten()(a), b])))


TEXTS = np.array([[3, 7, 5, 2, 9, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8, 9]])
# kind -> (model, inputs, what of a page shows it)
STORIES = {
    "series": (series_model, lambda: array(2, 60, 3), "<polyline"),
    "table": (table_model, lambda: array(2, 30), '<table class="features">'),
    "tokens": (text_model, lambda: TEXTS, "<span style="),
    "volume": (volume_model, lambda: array(2, 6, 10, 10, 1), "class=sheet"),
    "image": (segmentation, lambda: array(2, 8, 8, 1), "the output for this class"),
}


@pytest.fixture(scope="module")
def stories():
    """Dict from kind to (model, inputs, report)."""
    made = {}
    for kind, (model, x, _) in STORIES.items():
        model, x = shake(model()), x()
        made[kind] = model, x, innspect.report(model, x, ["gradient", "lrp.epsilon"], top=2)
    return made


class Frame:
    """As much of a DataFrame as counts."""

    def __init__(self, values, columns):
        self.values, self.columns, self.shape = values, columns, values.shape

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)

    def __getitem__(self, name):
        return self.values[:, list(self.columns).index(name)]

    def __len__(self):
        return len(self.values)


# ---------------------------------------------------------------------- kinds
@pytest.mark.parametrize(
    ("shape", "layers", "kind"),
    [
        ((500, 3), [L.Conv1D(2, 5), L.Flatten()], "series"),
        ((28, 28), [L.LSTM(2)], "series"),
        ((28, 28), [L.Rescaling(0.1), L.Reshape((28, 28, 1)), L.Conv2D(2, 3), L.Flatten()], "image"),
        ((28, 28), [L.Flatten()], "image"),
        ((20, 5), [L.Dense(4), L.Flatten()], "series"),
        ((64,), [L.Reshape((64, 1)), L.Conv1D(2, 3), L.Flatten()], "series"),
        ((30,), [L.Normalization()], "table"),
        ((9,), [L.Embedding(5, 2), L.Flatten()], "tokens"),
        ((6, 8, 8, 1), [L.Conv3D(2, 3), L.Flatten()], "volume"),
        ((4, 8, 8, 3), [L.TimeDistributed(L.Conv2D(2, 3)), L.Flatten()], "volume"),
        ((8, 8, 3), [L.Conv2D(2, 3), L.Flatten()], "image"),
    ],
)
def test_what_reads_an_input_tells_what_it_is(shape, layers, kind):
    assert input_kinds(innspect.open_model(S([keras.Input(shape), *layers, L.Dense(2)]))) == [kind]


def test_a_function_has_no_kinds():
    analyzer = innspect.create_analyzer("occlusion", lambda x: np.asarray(x).reshape(len(x), -1)[:, :3], window=2)
    explanation = analyzer.explain(array(2, 8, 8, 1), 1)
    assert "kinds" not in explanation.settings
    assert explanation._repr_html_().count("<img") == 4


# ---------------------------------------------------------------------- captions
@pytest.mark.parametrize("method", ["gradient", "lrp.epsilon", "occlusion", "grad_cam", "smoothgrad"])
@pytest.mark.parametrize("asked", [3, [3, 5], (4,), None, "kind 6"], ids=str)
def test_a_caption_names_the_class_that_was_explained(method, asked):
    labels = [f"kind {i}" for i in range(10)]
    analyzer = innspect.create_analyzer(method, shake(image_model()), labels=labels)
    explanation = analyzer.explain(array(2, 8, 8, 1), np.array(asked) if isinstance(asked, list) else asked)
    outputs = explanation.outputs
    best = outputs.argmax(1)
    wanted = best if asked is None else np.full(2, 6) if asked == "kind 6" else np.broadcast_to(np.array(asked).ravel(), 2)
    assert explanation.neurons.tolist() == wanted.tolist()
    for i, (caption, number) in enumerate(zip(captions_of(explanation), wanted, strict=True)):
        assert caption.startswith(f"kind {number} {share_told(outputs[i, number])}")
        assert ("predicted" in caption) == (number != best[i])
        assert (f"logit {explanation.targets[i]:.4g}" in caption) == (method != "occlusion")
        assert caption in explanation._repr_html_()


def test_captions_of_several_neurons_and_of_none():
    analyzer = innspect.create_analyzer("gradient", shake(image_model()))
    explanation = analyzer.explain(array(2, 8, 8, 1), neurons=[3, 7])
    assert explanation.neurons.tolist() == [[3, 3], [7, 7]]
    assert captions_of(explanation, 1)[0].startswith("class 7 ")
    weighted = analyzer.explain(array(2, 8, 8, 1), np.ones(10, "float32"))
    assert weighted.neurons.tolist() == [-1, -1]
    assert captions_of(weighted)[0] == f"logit {weighted.targets[0]:.4g}"
    against = analyzer.explain(array(2, 8, 8, 1), 4, contrast="rest")
    assert against.neurons.tolist() == [4, 4]
    assert "in contrast" in captions_of(against)[0]


def test_a_class_is_not_guessed_where_a_saturated_head_ties():
    model = S([keras.Input((2,)), L.Dense(3, activation="sigmoid", kernel_initializer="ones")])
    explanation = innspect.create_analyzer("gradient", model).explain(np.full((1, 2), 200.0))
    assert explanation.neurons.tolist() == [-1]
    assert "class" not in captions_of(explanation)[0]


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0.0%"), (1e-5, "<0.1%"), (0.5, "50.0%"), (0.99999, ">99.9%"), (1, "100.0%"), (0.0005, "0.1%")]
)
def test_a_share_is_not_said_to_be_nothing_or_all(value, told):
    assert share_told(value) == told


def test_labels_are_given_when_explaining():
    analyzer = innspect.create_analyzer("gradient", shake(table_model()))
    x = array(2, 30)
    assert "<b>" not in analyzer.explain(x, 2, labels=["ant", "<b>", "cat"])._repr_html_().partition("</b>")[2]
    assert captions_of(analyzer.explain(x, 2, labels=["ant", "bee", "cat"]))[0].startswith("cat ")
    with pytest.raises(ValueError, match="3 names"):
        analyzer.explain(x, 2, labels=["ant", "bee"])


# ---------------------------------------------------------------------- what an explanation keeps
def test_an_explanation_keeps_its_inputs_whatever_becomes_of_them(tmp_path):
    x = array(3, 8, 8, 1)
    before = x.copy()
    explanation = innspect.create_analyzer("gradient", shake(image_model())).explain(x, 1)
    x[:] = 0
    assert np.array_equal(explanation.x, before)
    explanation.save(tmp_path / "e.npz")
    again = Explanation.load(tmp_path / "e.npz")
    assert np.array_equal(again.x, before)
    assert again.neurons.tolist() == [1, 1, 1]
    assert again._repr_html_() == explanation._repr_html_()


def test_of_streams_and_structures():
    model = shake(two_inputs())
    x = {"left": array(4, 12, 12, 1), "right": array(4, 3)}
    analyzer = innspect.create_analyzer("gradient", model)
    whole = analyzer.explain(x, 1)
    assert whole.settings["kinds"] == {"left": "image", "right": "table"}
    parts = analyzer.explain(({k: v[i : i + 2] for k, v in x.items()} for i in (0, 2)), 1)
    for explanation in (whole, parts):
        assert {k: v.shape for k, v in explanation.x.items()} == {"left": (4, 12, 12, 1), "right": (4, 3)}
        assert "(4, 12, 12, 1)" in repr(explanation)


def test_a_file_of_the_first_version_has_no_inputs(tmp_path, monkeypatch):
    explanation = innspect.create_analyzer("gradient", shake(image_model())).explain(array(2, 8, 8, 1))
    monkeypatch.setattr("innspect.analyzers.base.explanation._VERSION", 1)
    kept = ("attributions", "outputs", "targets", "signals", "delta", "details")
    monkeypatch.setattr("innspect.analyzers.base.explanation._PARTS", kept)
    dataclasses.replace(explanation, x=None).save(tmp_path / "old.npz")
    monkeypatch.undo()
    old = Explanation.load(tmp_path / "old.npz")
    assert old.neurons is None
    assert old._repr_html_().count("<img") == 2


# ---------------------------------------------------------------------- notebooks
def test_figures_show_themselves(monkeypatch, tmp_path, capsys):
    figure = visualize.grid({"a": np.random.default_rng(0).random((2, 8, 8))})
    assert Image.open(io.BytesIO(figure._repr_png_())).format == "PNG"
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or len(opened) < 3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    explanation = innspect.create_analyzer("gradient", shake(image_model())).explain(array(2, 8, 8, 1))
    assert [thing.show() for thing in (figure, explanation, figure)] == [None, None, None]
    assert [url.rpartition(".")[2] for url in opened] == ["png", "html", "png"]
    assert capsys.readouterr().out.startswith("written: ")  # where there is no browser
    with pytest.raises(ValueError, match="must draw itself"):
        visualize.show(3)


def test_a_notebook_shows_below_the_cell(monkeypatch):
    shown = []
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)
    display = types.ModuleType("IPython.display")
    display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    figure = visualize.grid({"a": np.ones((1, 8, 8))})
    figure.show()
    assert shown == [figure]


@pytest.mark.parametrize("kind", STORIES)
def test_a_notebook_draws_what_the_input_is(kind, stories):
    model, x, _ = stories[kind]
    output = {"output": "mask"} if kind == "image" else {}
    explanation = innspect.create_analyzer("gradient", model).explain(x, **output)
    text = explanation._repr_html_()
    assert {"series": "<polyline", "table": 'class="bar"', "tokens": "and 4 of padding"}.get(kind, 'alt="input"') in text
    widths = [int(w) for w in re.findall(r"width:(\d+)px;max-width", text)]
    assert all(w >= 100 for w in widths)


# ---------------------------------------------------------------------- visualize
def test_every_picture_takes_an_explanation():
    gradient = "gradient"
    image = innspect.create_analyzer(gradient, shake(image_model())).explain(array(2, 8, 8, 1))
    over = visualize.overlay(image.attributions, image.x)
    assert np.array_equal(visualize.overlay(image), over)
    assert np.array_equal(visualize.pictures(image), visualize.pictures(image.x))
    assert np.array_equal(visualize.signal(image), visualize.signal(image.attributions))
    assert np.array_equal(visualize.reduce(image), visualize.reduce(image.attributions))
    drawn = visualize.grid(image).axes[0]
    assert len(drawn.get_images()) == 2 * 2 + 1  # inputs, maps and the legend
    assert "input" in [t.get_text() for t in drawn.texts]
    series = innspect.create_analyzer(gradient, shake(series_model())).explain(array(2, 60, 3))
    assert len(visualize.series(series).axes) == 2 * 3
    frame = Frame(array(1, 30), NAMES)
    table = visualize.table(innspect.create_analyzer(gradient, shake(table_model())).explain(frame), most=3)
    label = table.axes[0].get_yticklabels()[0].get_text()
    assert re.fullmatch(r"worst measured quality \d+ = \S+", label)
    texts = visualize.text(innspect.create_analyzer(gradient, shake(text_model())).explain(TEXTS))
    assert [t.count("<span") for t in texts] == [5, 9]
    with pytest.raises(ValueError, match="`images` must be given, or `attribution` be an explanation that has its inputs"):
        visualize.overlay(dataclasses.replace(image, x=None))


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: visualize.heatmap(np.ones((96, 96, 3))), r"`array\[None\]`.*Received: shape \(96, 96, 3\)"),
        (lambda: visualize.heatmap(np.ones((2, 500, 3))), "innspect.visualize.series"),
        (lambda: visualize.grid({"a": np.ones((9, 9, 1))}), "samples first"),
        (lambda: visualize.overlay(np.ones((1, 9, 9)), np.ones((9, 9, 3))), "`images` must have the samples first"),
        (lambda: visualize.text(["one", "two"], np.ones((2, 5))), "list of lists"),
    ],
)
def test_one_sample_is_not_taken_for_many(draw, told):
    with pytest.raises(ValueError, match=told):
        draw()


# ---------------------------------------------------------------------- forms
def test_inputs_of_a_sample_share_a_scale():
    maps = {"image": np.full((1, 4, 4), 0.008), "table": np.array([[0.2, -0.1]])}
    image, table = forms_of(maps, kinds={"image": "image", "table": "table"})
    np.testing.assert_allclose(image.shades, 0.04, rtol=0.01)
    np.testing.assert_allclose(table.shades, [[1, -0.5]], rtol=0.01)


@pytest.mark.parametrize(("depth", "shown"), [(1, 1), (5, 5), (40, 12)])
def test_slices_hold_every_shown_position_once(depth, shown):
    volume = np.arange(1.0, depth * 12 + 1).reshape(1, depth, 3, 4)
    (form,) = forms_of(volume / volume.max(), kinds="volume")
    sheet = picture_shades(form)[0]
    drawn = sheet[np.isfinite(sheet) & (sheet != 0)]
    assert len(drawn) == shown * 12 == len(np.unique(drawn)) or depth > 5  # the largest half percent have one colour
    assert len(drawn) == shown * 12


# ---------------------------------------------------------------------- reports
@pytest.mark.parametrize("kind", STORIES)
def test_a_report_draws_what_the_input_is(kind, stories):
    html = stories[kind][2].html
    assert STORIES[kind][2] in html
    assert html.count('data-method="lrp.epsilon"') >= 2
    others = {mark for k, (_, _, mark) in STORIES.items() if k not in (kind, "tokens")}
    assert not [mark for mark in others if mark in html.partition("<section")[2].partition("Do the maps")[0]]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_pages_fit_a_phone_and_are_not_endless(stories, tmp_path):
    x = array(2, 500, 3)
    pages = {kind: made.html for kind, (_, _, made) in stories.items()}
    pages["long"] = innspect.report(shake(series_model(500)), x, ["gradient", "grad_cam"]).html
    frames, wanted = [], []
    for kind, html in pages.items():
        (tmp_path / f"{kind}.html").write_text(html, encoding="utf-8")
        for width in (390, 1200):
            frames.append(f'<iframe src="{kind}.html" width={width} height=800></iframe>')
            wanted.append((kind, width))
    script = """<script>addEventListener("load", () => document.title = JSON.stringify([...document.querySelectorAll("iframe")]
    .map(f => f.contentDocument.documentElement).map(d => [d.scrollWidth, d.scrollHeight])))</script>"""
    (tmp_path / "all.html").write_text(f"<title>none</title>{''.join(frames)}{script}")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path / 'all.html'}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    sizes = json.loads(re.search(r"<title>(.*?)</title>", result.stdout)[1])
    for (kind, width), (wide, high) in zip(wanted, sizes, strict=True):
        assert wide <= width, kind
        assert high < 6000, kind  # the one of 500 steps was 93,249


def test_features_and_tokens_have_names():
    model = shake(table_model())
    x = array(2, 30)
    given = innspect.report(model, x, ["gradient", "lrp.epsilon"], features=NAMES).html
    assert innspect.report(model, Frame(x, NAMES), ["gradient", "lrp.epsilon"]).html.count(NAMES[7]) == given.count(NAMES[7])
    first = re.search(r"<table.*?</table>", given, re.DOTALL)[0]
    assert [first.count(f"<td>{name} ") for name in NAMES] == [1] * 30  # the same rows for all methods
    words = [["good", "<film>", "and", "long", "too"], list("abcdefghi")]
    page = innspect.report(shake(text_model()), TEXTS, ["gradient"], tokens=words).html
    assert ">&lt;film&gt;</span>" in page
    assert "of padding" not in page
    channels = innspect.report(shake(series_model()), array(1, 60, 3), ["gradient"], features=["x", "y", "zeta"]).html
    assert "zeta<br>" in channels


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"features": ["a"]}, "list of 30 texts"),
        ({"features": {"other": NAMES}}, "dict by their names"),
        ({"tokens": [["a"]]}, "for each of the 2 samples"),
        ({"tokens": ["a", "b"]}, "`tokens` must hold a list"),
    ],
)
def test_wrong_names(arguments, told):
    with pytest.raises(ValueError, match=told):
        innspect.report(table_model(), array(2, 30), ["gradient"], **arguments)


def test_a_segmentation_is_reported_class_by_class():
    model, x = shake(segmentation()), array(2, 8, 8, 1)
    report = innspect.report(model, x, ["gradient", "grad_cam"], neurons=[1, "sky"], labels=["a", "b", "sky"], output="mask")
    mask = keras.ops.convert_to_numpy(model(x)["mask"])
    assert f"b {mask[0, ..., 1].mean():.1%} on average" in report.html
    np.testing.assert_allclose(report.explained.outputs, mask, atol=1e-5)
    edge = innspect.report(model, x, ["gradient"], output="edge")
    assert edge.explained.neurons.tolist() == [[0, 0]]  # the sum over positions, not one of them
    assert '"layer": "seen"' in report.html.replace("&quot;", '"')
    assert "at seen" in report.html


def test_a_map_of_zeros_is_told():
    model = S([keras.Input((8, 8, 1)), L.Conv2D(2, 3, activation="relu"), L.Flatten(), L.Dense(2, kernel_initializer="zeros")])
    x = array(1, 8, 8, 1)
    assert "the map is zero everywhere" in innspect.report(model, x, ["gradient"]).html
    assert "the map is zero everywhere" in innspect.create_analyzer("gradient", model).explain(x, 0)._repr_html_()


# ---------------------------------------------------------------------- recipes
BACKGROUND = array(5, 30, seed=3)
RECIPES = [
    (table_model, (2, 30), ["gradient", ("lrp.epsilon", {"epsilon": 0.1}), ("lrp.gamma", {"input_layer_rule": (-5, 5)})], {}),
    (table_model, (2, 30), [("deep_shap", {"background": Frame(BACKGROUND, NAMES)})], {"neurons": [2]}),
    (table_model, (2, 30), [("deep_lift", {"reference_inputs": BACKGROUND[0]}), ("smoothgrad", {"num_samples": 3})], {}),
    (image_model, (2, 8, 8, 1), ["grad_cam", ("occlusion", {"window": (2, 3), "value": float("1e-3")})], {"top": 2}),
    (segmentation, (2, 8, 8, 1), ["gradient"], {"output": "edge"}),
    (segmentation, (2, 8, 8, 1), ["gradient"], {"output": 1, "neurons": [2]}),
    (series_model, (2, 60, 3), [("lrp", {"rule": "Epsilon"})], {}),
]


@pytest.mark.parametrize(("make", "shape", "methods", "asked"), RECIPES)
def test_a_printed_recipe_computes_the_same(make, shape, methods, asked):
    model, x = shake(make()), array(*shape)
    report = innspect.report(model, x, methods, **asked)
    code = re.search(r'<pre class="recipe">(.*?)</pre>', report.html, re.DOTALL)[1]
    code = code.replace("&quot;", '"').replace("&#x27;", "'").replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&")
    assert "DataFrame" not in code
    names = {"model": model, "x": x, "background": BACKGROUND, "reference_inputs": BACKGROUND[0]}
    exec(code, names)
    assert list(names["maps"]) == list(report.explained.methods)
    for label, maps in names["maps"].items():
        np.testing.assert_allclose(maps, report.explained.methods[label].attributions[""], rtol=1e-4, atol=1e-6)


def test_a_recipe_loads_the_model_of_a_file(tmp_path, stories):
    model, x, report = stories["table"]
    model.save(tmp_path / "m.keras")
    html = page(report.explained, ["a", "b"], notes={"command": "innspect explain", "model": str(tmp_path / "m.keras")})
    code = re.search(r'<pre class="recipe">(.*?)</pre>', html, re.DOTALL)[1].replace("&quot;", '"').replace("&#x27;", "'")
    names = {"x": x}
    exec(code, names)
    found = report.explained.methods["gradient"].attributions[""]
    np.testing.assert_allclose(names["maps"]["gradient"], found, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------- the command line
@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main([str(w) for w in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("plain", [False, True], ids=["matplotlib", "without"])
def test_arrays_of_every_kind_get_pictures_and_an_index(run, tmp_path, stories, monkeypatch, plain):
    if plain:
        for name in ("matplotlib", "matplotlib.figure"):
            monkeypatch.setitem(sys.modules, name, None)
        find = importlib.util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "matplotlib" else find(name, *more))
    for kind, (model, x, _) in stories.items():
        model.save(tmp_path / f"{kind}.keras")
        np.save(tmp_path / f"{kind}.npy", x[:1])
        cam = ["--method", "grad_cam"] if kind in ("series", "volume", "image") else []
        words = ["explain", f"{kind}.keras", f"{kind}.npy", "--method", "gradient", *cam, "--out", kind]
        code, _, err = run(*words, *(["--output", "mask"] if kind == "image" else []))
        assert (code, err) == (0, ""), kind
        written = {p.name: p for p in (tmp_path / kind).iterdir()}
        assert len(written) == 2 + len(cam) // 2
        index = json.loads(written["explanations.json"].read_text())
        assert index["inputs"][0]["file"] == f"{kind}.npy"
        assert cam == [] or index["methods"]["grad_cam"]["layer"]
        for name, file in written.items():
            if name.endswith(".png"):
                with Image.open(file) as image:
                    assert min(image.size) >= 60, (kind, name)


def test_an_output_is_chosen_on_the_command_line(run, tmp_path, stories):
    model, x, _ = stories["image"]
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    words = ["explain", "m.keras", "x.npy", "--method", "gradient", "--format", "npz", "--force"]
    _, _, err = run(*words)
    assert "2 outputs, edge, mask, the first is explained" in err
    assert run(*words, "--output", "mask", "--neuron", 1)[::2] == (0, "")
    with np.load(tmp_path / "explanations" / "gradient.npz") as found:
        expected = innspect.create_analyzer("gradient", model).analyze(x, 1, output="mask")
        np.testing.assert_allclose(found["attributions"][0], expected, rtol=1e-4, atol=1e-6)
    assert json.loads((tmp_path / "explanations" / "explanations.json").read_text())["output"] == "mask"
    code, _, err = run(*words, "--output", "count")
    assert code == 1
    assert "one of the model's outputs ['edge', 'mask']" in err
    code, out, err = run("compare", "m.keras", "x.npy", "--method", "gradient", "--output", 1)
    assert (code, err) == (0, "")
    assert "nan" not in out
