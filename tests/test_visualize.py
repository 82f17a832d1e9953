"""Pictures, pinned by numbers."""

import base64
import io
import re
from html.parser import HTMLParser

import hypothesis.extra.numpy as arrays
import keras
import matplotlib
import matplotlib.backends.backend_agg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import innspect
from innspect.analyzers.explanation import Explanation
from innspect.visualize import explanation_html, grid, heatmap
from innspect.visualize.html import png

WHITE, GREY, RED, BLUE = (255, 255, 255), (128, 128, 128), (120, 0, 20), (10, 24, 120)


# ---------------------------------------------------------------------- colours
def test_colours_are_white_at_zero_red_above_and_blue_below():
    image = heatmap(np.array([[[0.0, 3.0, -3.0, 0.75, -0.75]]]))
    expected = [WHITE, RED, BLUE, (253, 205, 190), (190, 214, 250)]
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [list(c) for c in expected]


def test_each_sample_has_its_own_scale_and_zero_maps_are_white():
    attribution = np.array([[[1.0, 0.0]], [[1000.0, -2000.0]], [[0.0, 0.0]], [[1e-42, 0.0]]])
    image = heatmap(attribution)
    assert image[0, 0].tolist() == [list(RED), list(WHITE)]
    assert image[1, 0, 1].tolist() == list(BLUE)
    assert (image[2] == 255).all()
    assert image[3, 0].tolist() == [list(RED), list(WHITE)]


def test_values_that_are_not_finite_are_grey_and_leave_the_scale_alone():
    image = heatmap(np.array([[[np.nan, np.inf, -np.inf, 2.0, -1.0, 0.0]]]))
    clean = heatmap(np.array([[[2.0, -1.0, 0.0]]]))
    assert (image[0, 0, :3] == GREY).all()
    assert np.array_equal(image[0, 0, 3:], clean[0, 0])
    assert (heatmap(np.full((1, 2, 2), np.nan)) == GREY).all()


@settings(max_examples=50, deadline=None)
@given(
    arrays.arrays("float32", (2, 3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.sampled_from([2.0**-20, 0.5, 4.0]),
)
def test_the_sign_shows_and_the_scale_does_not(attribution, factor):
    before = attribution.copy()
    image = heatmap(attribution).astype(int)
    assert np.array_equal(attribution, before)
    assert np.array_equal(heatmap(attribution.astype("float64") * factor), image)
    assert np.array_equal(heatmap(attribution[1:]), image[1:])
    red_minus_blue = image[..., 0] - image[..., 2]
    assert (red_minus_blue[attribution >= 0] >= 0).all()
    assert (red_minus_blue[attribution <= 0] <= 0).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_larger_the_darker(sign):
    ramp = heatmap(sign * np.linspace(0, 1, 101)[None, None]).astype(float)[0, 0].sum(-1)
    assert (np.diff(ramp) < 0).all()


def test_reductions_over_channels():
    attribution = np.array([[[[3.0, -4.0], [1.0, 1.0]]]])
    sums = {"sum": [-1.0, 2.0], "max_abs": [-4.0, 1.0], "norm": [5.0, 2**0.5]}
    for reduce, expected in sums.items():
        assert np.array_equal(heatmap(attribution, reduce=reduce), heatmap(np.array([[expected]])))
    first = np.moveaxis(attribution, -1, 1)
    assert np.array_equal(heatmap(first, channel_axis=1), heatmap(attribution))


@pytest.mark.parametrize(
    ("attribution", "arguments", "message"),
    [
        (np.zeros((8, 8)), {}, r"samples, height, width.*Received: shape \(8, 8\)"),
        (np.zeros((1, 2, 3, 4, 5)), {}, "Received: shape"),
        (np.zeros((1, 8, 8)), {"reduce": "mean"}, "`reduce` must be one of 'sum'.*Received: 'mean'"),
    ],
)
def test_bad_attributions_are_named(attribution, arguments, message):
    with pytest.raises(ValueError, match=message):
        heatmap(attribution, **arguments)


# ---------------------------------------------------------------------- grids
def _maps(names, samples=3, size=8):
    random = np.random.default_rng(0)
    return {name: random.normal(size=(samples, size, size, 1)) for name in names}


def _texts(figure):
    """Every text of the figure with its box in pixels."""
    renderer = figure.canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts if t.get_text()]


NAMES = ("gradient", "lrp.epsilon", "lrp.sequential_preset_b_flat_until_idx", "deep_taylor.bounded", "input")


def test_a_grid_names_everything_and_everything_is_inside():
    figure = grid(
        _maps(NAMES),
        images=np.zeros((3, 8, 8, 1)),
        captions=["0  99%", "1  98%", "2  51% (is 7)"],
        captions_label="prediction",
        families={"gradient": ["gradient"], "a family with a long name": ["lrp.epsilon"], "other": NAMES[3:]},
    )
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    written = " ".join("".join(t.split("\n")) for t, _ in _texts(figure))
    for word in [*NAMES, "prediction", "0  99%", "2  51% (is 7)", "negative", "positive"]:
        assert word in written
    page = figure.bbox
    for text, box in _texts(figure):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, text


def test_a_narrow_grid_has_room_for_its_legend():
    figure = grid(_maps(["a"]))
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    for text, box in _texts(figure):
        assert box.x1 <= figure.bbox.x1, text


def test_upright_texts_of_a_grid_do_not_overlap():
    families = {f"family number {i}": [name] for i, name in enumerate(NAMES)}
    figure = grid(_maps(NAMES), captions=["a long caption indeed"] * 3, captions_label="prediction", families=families)
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    figure.canvas.draw()
    upright = [t for t in figure.axes[0].texts if not t.get_rotation()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in upright]
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            assert not (a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1), (one, other)


def test_the_cells_of_a_grid_are_the_heatmaps_in_order():
    maps = _maps(["a", "b"], samples=2)
    figure = grid(maps, images=np.arange(2 * 64).reshape(2, 8, 8).astype("float32"))
    shown = [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]
    assert shown[0][0, 0].tolist() == [0, 0, 0]
    assert shown[1][-1, -1].tolist() == [255, 255, 255]
    assert np.array_equal(shown[2], heatmap(maps["a"])[0])
    assert np.array_equal(shown[5], heatmap(maps["b"])[1])


def test_a_grid_can_be_saved_and_changes_no_setting(tmp_path):
    before = dict(matplotlib.rcParams)
    wide = {"wide": np.ones((1, 4, 12)), "tall": -np.ones((1, 12, 4, 3))}
    grid(wide, images=np.zeros((1, 5, 5, 3), "uint8")).savefig(tmp_path / "grid.png", dpi=80)
    assert dict(matplotlib.rcParams) == before
    with Image.open(tmp_path / "grid.png") as picture:
        colours = {c[:3] for _, c in picture.getcolors(1 << 20)}
    assert {WHITE, RED, BLUE, (0, 0, 0)} <= colours


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"maps": {}}, "`maps` must hold at least one map"),
        ({"maps": {"a": np.zeros((0, 8, 8))}}, "at least one sample"),
        ({"maps": {"a": np.zeros((2, 8, 8)), "b": np.zeros((3, 8, 8))}}, "same number of samples.*'b': 3"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "captions": ["one"]}, "'captions': 1"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "images": np.zeros((2, 8, 8, 2))}, "`images` must have the shape"),
        ({"maps": {"a": np.zeros((2, 8, 8))}, "families": {"f": ["b"]}}, r"`families` must hold labels.*\['b'\]"),
    ],
)
def test_bad_grids_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(**arguments)


# ---------------------------------------------------------------------- notebooks
def test_png_is_what_other_programs_read():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype("uint8")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)


class _Balance(HTMLParser):
    """Checks that every element is closed, and counts them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _explanation(attributions, samples=2, several=0, **settings):
    targets = np.arange(max(several, 1) * samples, dtype="float32").reshape(max(several, 1), samples) + 0.5
    outputs = np.eye(samples, 10, k=3, dtype="float32")
    return Explanation(attributions, outputs, targets if several else targets[0], settings={"method": "m", **settings})


@pytest.mark.parametrize(
    ("attributions", "several", "images", "cells"),
    [
        (np.ones((2, 8, 8, 1)), 0, 2, 0),
        (np.ones((2, 3, 9, 8)), 0, 2, 0),
        (np.ones((2, 8, 8)), 0, 2, 0),
        (np.ones((40, 8, 8)), 0, 16, 0),
        (np.ones((2, 5)), 0, 0, 2 * 6),
        (np.ones((2, 100)), 0, 0, 2 * 25),
        (np.ones((3, 2, 8, 8, 1)), 3, 6, 0),
        ([np.ones((2, 8, 8, 3)), np.ones((2, 4))], 0, 2, 2 * 5),
        ({"image": np.ones((2, 8, 8)), "table": np.ones((2, 4))}, 0, 2, 2 * 5),
        (np.zeros((0, 8, 8, 1)), 0, 0, 0),
    ],
)
def test_notebooks_show_pictures_or_tables(attributions, several, images, cells):
    flat = keras.tree.flatten(attributions)[0]
    text = explanation_html(_explanation(attributions, samples=flat.shape[1 if several else 0], several=several))
    seen = _Balance(text).seen
    assert seen.count("img") == images
    assert seen.count("td") == cells


def test_channels_first_is_recognised_in_notebooks():
    attribution = np.random.default_rng(0).normal(size=(1, 3, 9, 8))
    explanation = Explanation(attribution, np.ones((1, 2)), np.ones(1))
    coded = re.search(r"base64,([^\"]+)", explanation_html(explanation))[1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(coded))))
    assert np.array_equal(shown, heatmap(attribution, channel_axis=1)[0])


def test_notebooks_name_class_and_target_and_escape_names():
    text = explanation_html(_explanation({"<x>": np.ones((2, 8, 8))}, model="a<b"))
    assert "class 3, target 0.5" in text
    assert "class 4, target 1.5" in text
    assert "&lt;x&gt;" in text
    assert "a&lt;b" in text
    assert "<x>" not in text


def test_an_explanation_shows_itself_without_plotting_libraries(monkeypatch):
    for name in ("matplotlib", "PIL"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    explanation = innspect.create_analyzer("gradient", model).explain(np.ones((2, 6, 6, 1), "float32"))
    assert _Balance(explanation._repr_html_()).seen.count("img") == 2


def test_a_grid_without_matplotlib_says_what_to_install(monkeypatch):
    for name in ("matplotlib.figure", "matplotlib.textpath"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        grid(_maps(["a"]))
