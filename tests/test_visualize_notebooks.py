"""Explanations in notebooks: their pictures, tables, names and colours, without plotting libraries."""

import base64
import dataclasses
import io
import re
import sys

import keras
import numpy as np
import pytest
from pictures import Balance
from PIL import Image

import innspect
from innspect.analyzers.base.explanation import Explanation
from innspect.visualize import explanation_html, heatmap
from innspect.visualize.png import png


def test_png_is_what_other_programs_read():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype("uint8")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)
    for channels in (3, 4):  # of few colours, kept as indices
        few = np.random.default_rng(1).integers(0, 256, (9, channels)).astype("uint8")
        few = few[np.random.default_rng(2).integers(0, 9, (40, 50))]
        assert len(png(few, indexed=True)) < len(png(few))
        mode = "RGB" if channels == 3 else "RGBA"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(few, indexed=True))).convert(mode)), few)


def _explanation(attributions, samples=2, several=0, **settings):
    targets = np.arange(max(several, 1) * samples, dtype="float32").reshape(max(several, 1), samples) + 0.5
    outputs = np.eye(samples, 10, k=3, dtype="float32")
    return Explanation(attributions, outputs, targets if several else targets[0], settings={"method": "m", **settings})


@pytest.mark.parametrize(
    ("attributions", "several", "images", "bars"),
    [
        (np.ones((2, 8, 8, 1)), 0, 2, 0),
        (np.ones((2, 3, 9, 8)), 0, 2, 0),
        (np.ones((2, 8, 8)), 0, 2, 0),
        (np.ones((40, 8, 8)), 0, 16, 0),
        (np.ones((2, 5)), 0, 0, 2 * 5),
        (np.ones((2, 100)), 0, 0, 2 * 13),
        (np.ones((3, 2, 8, 8, 1)), 3, 6, 0),
        ([np.ones((2, 8, 8, 3)), np.ones((2, 4))], 0, 2, 2 * 4),
        ({"image": np.ones((2, 8, 8)), "table": np.ones((2, 4))}, 0, 2, 2 * 4),
        (np.zeros((0, 8, 8, 1)), 0, 0, 0),
    ],
)
def test_notebooks_show_pictures_or_tables(attributions, several, images, bars):
    flat = keras.tree.flatten(attributions)[0]
    text = explanation_html(_explanation(attributions, samples=flat.shape[1 if several else 0], several=several))
    seen = Balance(text).seen
    assert seen.count("img") == images
    assert text.count('class="bar"') == bars


def shown(text):
    """The first picture of a page."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1]))).convert("RGB"))


def test_channels_first_is_recognised_in_notebooks():
    attribution = np.random.default_rng(0).normal(size=(1, 3, 9, 8))
    page = explanation_html(Explanation(attribution, np.ones((1, 2)), np.ones(1)))
    assert np.array_equal(shown(page), heatmap(attribution, channel_axis=1)[0])


@pytest.mark.parametrize(("method", "palette", "percentile"), [("grad_cam", "heat", 100), ("lrp.z", "red_blue", 99.5)])
def test_notebooks_show_palette_and_scale_of_the_method(method, palette, percentile):
    attribution = np.random.default_rng(0).uniform(size=(1, 9, 8))
    page = explanation_html(Explanation(attribution, np.ones((1, 2)), np.ones(1), settings={"method": method}))
    assert np.array_equal(shown(page), heatmap(attribution, palette=palette, percentile=percentile)[0])


@pytest.mark.parametrize("words", ["class 3 100.0%, target 0.5", "class 2 0.0%, target 1.5, predicted class 4 100.0%"])
def test_notebooks_name_class_and_target(words):
    explanation = _explanation({"<x>": np.ones((2, 8, 8))}, model="a<b")
    assert words not in explanation_html(explanation)  # of an old file nobody knows which class was explained
    assert words in explanation_html(dataclasses.replace(explanation, neurons=np.array([3, 2])))


def test_notebooks_escape_names():
    page = explanation_html(_explanation({"<x>": np.ones((2, 8, 8))}, model="a<b"))
    assert "&lt;x&gt;" in page
    assert "a&lt;b" in page
    assert "<x>" not in page


def test_an_explanation_shows_itself_without_plotting_libraries(monkeypatch):
    for name in ("matplotlib", "PIL"):
        monkeypatch.setitem(sys.modules, name, None)
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
    explanation = innspect.create_analyzer("gradient", model).explain(np.ones((2, 6, 6, 1), "float32"))
    assert Balance(explanation._repr_html_()).seen.count("img") == 2 * 2  # each input, and its map
