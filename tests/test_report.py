"""The HTML report: what is in it, that it stands alone, and what a browser makes of it."""

import base64
import html.parser
import io
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array, shake
from PIL import Image

import innspect
from innspect.evaluation.agreement import agreement, comparable, rank_correlation
from innspect.reports.pictures import input_pictures, reduced_size
from innspect.study import make_analyzers, most_likely

VOID = {"meta", "img", "input", "br", "link", "wbr"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(html.parser.HTMLParser):
    """The elements of a page, in order; raises where tags do not close as they opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def all(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def model():
    return shake(
        keras.Sequential(
            [
                keras.Input((6, 6, 1)),
                L.Conv2D(4, 3, activation="relu", name="conv"),
                L.Flatten(),
                L.Dense(5, activation="softmax", name="out"),
            ],
            name="small",
        )
    )


@pytest.fixture(scope="module")
def made(model):
    labels = ["<ant>", "<bee>", "<cat>", "<dog>", "<elk>"]
    methods = ["gradient", ("lrp.epsilon", {"epsilon": 0.1})]
    return innspect.report(model, array(3, 6, 6, 1), methods, top=2, labels=labels, names=["x", "y & co", "z"])


def test_the_page_is_well_formed_and_stands_alone(made):
    page = Page(made.html)
    assert page.all("meta", name="viewport")
    sources = [a["src"] for a in page.all("img")]
    assert sources
    assert all(s.startswith("data:image/png;base64,") for s in sources)
    assert not re.search(r"https?://|//cdn|@import|<link|src=\"(?!data:)", made.html)
    assert "default-src 'none'" in page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    assert "prefers-color-scheme: dark" in made.html
    assert "@media print" in made.html
    assert not re.search(r"<(ant|bee|cat|dog|elk)>", made.html)
    assert re.search(r"&lt;(ant|bee|cat|dog|elk)&gt; [\d.]+%", made.html)
    assert "y &amp; co" in made.html


def test_every_input_has_a_map_for_each_method_and_class(made, model):
    page = Page(made.html)
    assert len(page.all("section")) == 3
    maps = page.all("img", **{"class": "map"})
    assert len(maps) == 3 * 2 * 2
    assert [("hidden" in a) for a in maps] == [a["data-class"] == "1" for a in maps]
    assert all(a.get("alt") for a in page.all("img"))
    picture = Image.open(io.BytesIO(base64.b64decode(maps[0]["src"].partition(",")[2]))).convert("RGBA")
    assert picture.size == (6, 6)
    attribution = innspect.create_analyzer("gradient", model).analyze(array(3, 6, 6, 1))
    expected = innspect.visualize.heatmap(attribution, percentile=99.5)[0]
    on_paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    np.testing.assert_allclose(np.asarray(on_paper).astype(int), expected, atol=4)  # of 255 shades
    assert np.asarray(picture)[..., 3].min() < 128  # elsewhere the input is seen
    buttons = page.all("button")
    assert [b["value"] for b in buttons] == ["0", "1"] * 3


def test_it_says_what_was_computed_and_how_well_it_adds_up(made):
    assert "lrp.epsilon(epsilon=0.1)" in made.html
    assert "lrp.epsilon&quot;, model, epsilon=0.1" in made.html
    assert "Do the maps add up?" in made.html
    assert "largest unexplained share" in made.html
    assert re.search(r"<p><b>lrp.epsilon\(epsilon=0.1\)</b>: -?[\d.]+ % of the explained value reached the map", made.html)
    table = made.explained.methods["lrp.epsilon(epsilon=0.1)"].conservation
    assert [table.layers[0], table.layers[-1]] == ["out", "conv"]
    assert table.error < 1e-3


def test_predictions_are_the_models(made, model):
    outputs = keras.ops.convert_to_numpy(model(array(3, 6, 6, 1)))
    np.testing.assert_allclose(made.explained.outputs, outputs, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(made.explained.neurons, np.argsort(-outputs, axis=1)[:, :2].T)


def test_it_is_written_whole_and_shown_in_notebooks(made, tmp_path):
    made.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == made.html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert made._repr_html_().startswith("<iframe")
    with pytest.raises(FileNotFoundError):
        made.save(tmp_path / "no" / "report.html")


def test_rows_of_features_are_bars(tmp_path):
    model = shake(keras.Sequential([keras.Input((30,)), L.Dense(1)]))
    report = innspect.report(model, array(2, 30), {"mine": innspect.create_analyzer("input_t_gradient", model)},
                             path=tmp_path / "r.html")  # fmt: skip
    page = Page((tmp_path / "r.html").read_text())
    assert len(page.all("table", **{"class": "features"})) == 2
    assert len(page.all("i", **{"class": "up"})) + len(page.all("i", **{"class": "down"})) == 2 * 30
    assert "feature 29" in report.html


def test_several_inputs_have_a_map_each():
    a, b = keras.Input((4, 4, 1), name="left"), keras.Input((3,), name="right")
    y = L.Dense(2)(L.Concatenate()([L.Flatten()(a), b]))
    report = innspect.report(keras.Model([a, b], y), [array(2, 4, 4, 1), array(2, 3)], ["gradient"], top=1)
    page = Page(report.html)
    assert len(page.all("img", **{"class": "map"})) == 2
    assert len(page.all("table", **{"class": "features"})) == 2
    assert "for one sample share a scale" in report.html


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"methods": []}, "at least one"),
        ({"methods": ["gradient", "gradient"]}, "differ"),
        ({"top": 0}, "positive integer"),
        ({"names": ["a"]}, "each of the 2"),
        ({"images": np.zeros((1, 4, 4))}, "each of the 2"),
        ({"neurons": [7]}, "between 0 and 4"),
    ],
)
def test_wrong_arguments(model, arguments, said):
    with pytest.raises(ValueError, match=said):
        innspect.report(model, array(2, 6, 6, 1), **{"methods": ["gradient"]} | arguments)


def test_labels_of_methods(model):
    assert list(make_analyzers(model, ["gradient", ("lrp.gamma", {"gamma": 0.5})])) == ["gradient", "lrp.gamma(gamma=0.5)"]


# ---------------------------------------------------------------------- parts
def test_most_likely_classes():
    assert most_likely(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]), 2).tolist() == [[1, 0], [2, 1]]
    assert most_likely(np.zeros((2, 1)), 1) is None


def test_inputs_as_pictures():
    x = np.arange(12.0).reshape(1, 2, 2, 3)
    shown = input_pictures(x)
    assert (shown.min(), shown.max()) == (0, 255)
    np.testing.assert_array_equal(
        input_pictures(np.moveaxis(np.pad(x, ((0, 0), (0, 3), (0, 3), (0, 0))), -1, 1))[0].shape, (5, 5, 3)
    )
    assert input_pictures(np.zeros((1, 5, 5, 7))) is None
    assert not input_pictures(np.full((1, 3, 3), 4.0)).any()
    big = np.zeros((900, 450, 3), "uint8")
    big[:900:3] = 90
    assert reduced_size(big).shape == (300, 150, 3)
    assert np.unique(reduced_size(big)).tolist() == [30]


def test_rank_correlation_is_spearmans():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    a, b = random.integers(0, 5, (3, 40)), random.normal(size=(3, 40))
    expected = [stats.spearmanr(p, q).statistic for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected, rtol=1e-12)
    assert np.isnan(rank_correlation(np.ones((1, 4)), b[:1, :4]))[0]


def test_maps_of_different_kinds_are_compared_where_they_can_be():
    a = array(2, 4, 4, 3)
    np.testing.assert_allclose(comparable(a, (2, 4, 4)), a.sum(-1, dtype="float64").reshape(2, -1))
    np.testing.assert_allclose(comparable(np.moveaxis(a, -1, 1), (2, 4, 4)), a.sum(-1, dtype="float64").reshape(2, -1))
    assert comparable(a, (2, 5, 5)) is None
    table = agreement({"one": a.reshape(2, -1), "two": -a.reshape(2, -1), "none": None})
    np.testing.assert_allclose(table[:2, :2], [[1, -1], [-1, 1]])
    assert np.isnan(table[2]).all()


@pytest.mark.parametrize(("size", "start"), [(8, "1.0"), (64, "0.5")])
def test_a_photograph_is_seen_below_its_maps_at_first(size, start):
    model = keras.Sequential([keras.Input((size, size, 1)), L.Conv2D(1, 3), L.GlobalMaxPooling2D(), L.Dense(2)])
    report = innspect.report(model, array(1, size, size, 1), ["gradient", "grad_cam", ("rise", {"num_masks": 4})])
    page = Page(report.html)
    assert page.all("html")[0]["style"] == f"--blend: {start}"
    assert page.all("input", name="blend")[0]["value"] == f"{100 * float(start):.0f}"
    scales = (
        "darkest is the largest 0.5% of its values; its largest value (grad_cam); its largest value, from its lowest on (rise"
    )
    assert scales in report.html


# ---------------------------------------------------------------------- a browser
_CLICKS = """<script>{
const shown = () => [...document.querySelectorAll("img.map")].filter(e => e.offsetParent).length;
const told = [shown(), document.documentElement.scrollWidth <= innerWidth];
document.querySelectorAll("input[name=method]")[0].click(); told.push(shown());
document.querySelectorAll("input[name=class]")[1].click();
told.push([...document.querySelectorAll("img.map")].filter(e => e.offsetParent).every(e => e.dataset.class === "1"));
document.querySelectorAll("button.class")[0].click();
told.push([...document.querySelectorAll("section")].map(s => s.querySelector("button[aria-pressed=true]").value).join(""));
told.push(document.querySelectorAll("input[name=class]:checked").length);
const blend = document.querySelector("input[name=blend]");
const map = document.querySelector("img.map"), see = (e, part) => Number(getComputedStyle(e, part).opacity).toFixed(2);
told.push(blend.value);
for (const value of [0, 25, 50, 100]) {
  blend.value = value; blend.dispatchEvent(new Event("input"));
  told.push(`${see(map)} on ${see(map.parentElement, "::before")}`);
}
const folded = () => document.querySelectorAll("details:not([open])").length;
told.push(folded()); dispatchEvent(new Event("beforeprint"));
told.push(folded()); dispatchEvent(new Event("afterprint")); told.push(folded());
document.title = JSON.stringify(told);
}</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_and_its_controls_work(made, tmp_path, width):
    (tmp_path / "r.html").write_text(made.html.replace("</body>", _CLICKS))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += [f"--window-size={width},900", "--dump-dom", f"file://{tmp_path / 'r.html'}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    title = re.search(r"<title>(.*?)</title>", result.stdout)[1]
    assert title == '[6,true,3,true,"011",0,"100","0.00 on 1.00","0.40 on 0.82","0.80 on 0.65","1.00 on 0.00",2,0,2]'
