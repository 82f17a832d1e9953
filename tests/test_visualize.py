"""Pictures, pinned by numbers."""

import base64
import io
import re
import subprocess
import sys
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
from innspect import visualize
from innspect.analyzers.base.explanation import Explanation
from innspect.visualize import explanation_html, grid, heatmap, overlay, series, signal, table, text
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
        (np.zeros((1, 8, 8)), {"reduce": "mean"}, "`reduce` must be 'sum'.*Received: 'mean'"),
        (np.zeros((1, 8, 8)), {"percentile": 0}, "`percentile` must be above 0.*Received: 0"),
        (np.zeros((1, 8, 8)), {"gamma": -1.0}, "`gamma` must be a positive number.*Received: -1.0"),
        (np.zeros((1, 8, 8)), {"palette": "jet"}, "`palette` must be 'red_blue'.*Received: 'jet'"),
        (np.zeros((1, 8, 8)), {"ground": "pink"}, "`ground` must be 'light' or 'dark'.*Received: 'pink'"),
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
    for name, box in _texts(figure):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, name


def test_a_narrow_grid_has_room_for_its_legend():
    figure = grid(_maps(["a"]))
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    for name, box in _texts(figure):
        assert box.x1 <= figure.bbox.x1, name


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


def test_reduce_takes_any_axis_and_changes_nothing():
    a = np.array([[3, -4], [1, 1]])
    before = a.copy()
    assert visualize.reduce(a).tolist() == [-1, 2]
    assert visualize.reduce(a, "max_abs", 0).tolist() == [3, -4]
    assert visualize.reduce(a[0], "norm") == 5
    assert np.array_equal(a, before)


def test_clipping_and_gamma_are_of_each_sample():
    a = np.zeros((2, 1, 100))
    a[0, 0], a[1, 0, :3] = np.arange(1, 101), [1e-3, -2e-3, 4e-3]
    scaled = visualize.scaled(a, percentile=50)
    assert scaled[0, 0, 9] == 10 / 50.5
    assert (scaled[0, 0, 50:] == 1).all()
    assert scaled[1, 0, :3].tolist() == [0.25, -0.5, 1]  # the 50th percentile is 0, so the largest is taken
    assert visualize.scaled(a, gamma=0.5)[1, 0, :3].tolist() == [0.5, -(0.5**0.5), 1]
    assert np.array_equal(heatmap(a, percentile=50, gamma=0.5)[1:], heatmap(a[1:], percentile=50, gamma=0.5))


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("palette", visualize.PALETTES)
def test_a_palette_begins_at_the_ground_and_goes_one_way(palette, ground):
    ramp = visualize.colours(np.linspace(-1, 1, 201), palette, ground).astype(int).sum(-1)
    assert visualize.colours(0.0, palette, ground).tolist() == [255 if ground == "light" else 17] * 3
    steps = np.diff(ramp[100:]) * (-1 if ground == "light" else 1)
    assert (steps >= 0).all()
    assert steps.sum() > 300
    if visualize.PALETTES[palette][ground][1] is None:  # sequential: what is below zero is zero
        assert len(set(ramp[:101])) == 1
    else:
        assert np.abs(ramp - ramp[::-1]).max() <= 150  # of 765: either sign is about as light


# Machado et al. 2009, "A physiologically-based model for simulation of color vision deficiency", severity 1, linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("eye", BLIND)
@pytest.mark.parametrize("ground", ["light", "dark"])
def test_colour_blind_eyes_see_signs_and_magnitudes(ground, eye):
    def seen(palette, values):
        linear = (visualize.colours(values, palette, ground) / 255) ** 2.2
        return 255 * np.clip(linear @ np.transpose(BLIND[eye]), 0, 1) ** (1 / 2.2)

    values = np.linspace(0.25, 1, 16)
    apart = np.linalg.norm(seen("orange_blue", values) - seen("orange_blue", -values), axis=-1)
    assert apart.min() > 40
    steps = np.linalg.norm(np.diff(seen("blue_yellow", np.linspace(0, 1, 11)), axis=0), axis=-1)
    assert steps.min() > 10


def test_methods_without_signs_get_a_sequential_palette():
    unsigned = {name for name in innspect.list_analyzers() if visualize.palette_of(name) == "heat"}
    assert unsigned == set(
        "ablation_cam excitation_backprop grad_cam grad_cam.counterfactual grad_cam_plus_plus hires_cam layer_cam rise "
        "rsi_grad_cam saliency score_cam smoothgrad.squared vargrad xgrad_cam".split()
    )
    assert visualize.palette_of("lrp.epsilon", signed="orange_blue") == "orange_blue"


# ---------------------------------------------------------------------- images
def test_the_weight_of_an_overlay_is_the_magnitude():
    image = np.full((1, 1, 4, 3), (200, 100, 50), "uint8")
    attribution = np.array([[[0.0, 2.0, -2.0, 1.0]]])
    drawn = overlay(attribution, image, strength=0.5, keep_colours=True)[0, 0]
    half = visualize.colours([0.8])[0]  # 0.6 + 0.4 / 2: the colour starts where it is saturated
    for pixel, weight, colour in zip(drawn, [0, 0.5, 0.5, 0.25], [WHITE, RED, BLUE, half], strict=True):
        assert np.array_equal(pixel, np.round((1 - weight) * image[0, 0, 0] + weight * np.array(colour)))
    grey = overlay(attribution, image)[0, 0]
    assert grey[0].tolist() == [124] * 3  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert np.array_equal(overlay(-attribution, image, palette="heat")[0, 0, [0, 1, 3]], [[124] * 3] * 3)


def test_overlays_of_a_batch_are_those_of_its_samples():
    random = np.random.default_rng(0)
    attribution, images = random.normal(size=(3, 4, 5, 2)), random.normal(size=(3, 4, 5)) * [[[1]], [[100]], [[0]]]
    attribution[2] = 0
    before = attribution.copy(), images.copy()
    whole = overlay(attribution, images, percentile=90)
    for i in range(3):
        assert np.array_equal(overlay(attribution[i : i + 1], images[i : i + 1], percentile=90)[0], whole[i])
    assert (whole[2] == visualize.pictures(images)[2]).all()
    assert np.array_equal(attribution, before[0])
    assert np.array_equal(images, before[1])
    first = overlay(np.moveaxis(attribution, -1, 1), images[:, None], channel_axis=1)
    assert np.array_equal(first, overlay(attribution, images))


def test_pictures_are_stretched_sample_by_sample_or_between_given_values():
    x = np.array([[[0.0, 5.0, 10.0]], [[2.0, 2.0, 2.0]], [[0.25, np.nan, 0.75]]])
    assert visualize.pictures(x)[..., 0].tolist() == [[[0, 128, 255]], [[0, 0, 0]], [[85, 0, 255]]]
    assert visualize.pictures(x, value_range=(0, 10))[1, 0, 0].tolist() == [51] * 3


def test_signals_are_scaled_about_grey_sample_by_sample():
    s = np.zeros((3, 1, 2, 3))
    s[0, 0, 0], s[1, 0, 0], s[2, 0, 0, 0] = (4, -4, 2), (-0.1, 0.05, 0), np.nan
    drawn = signal(s)
    assert drawn[0, 0].tolist() == [[255, 0, 191], [128] * 3]
    assert drawn[1, 0].tolist() == [[0, 191, 128], [128] * 3]
    assert drawn[2, 0].tolist() == [[255, 0, 255], [128] * 3]
    assert np.array_equal(signal(s[..., :1])[0], np.repeat(signal(s[..., :1])[0, ..., :1], 3, -1))
    assert (signal(np.zeros((2, 4, 4))) == 128).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: overlay(np.zeros((1, 7, 7)), np.zeros((1, 8, 8))), r"upsample=True.*Received: \(1, 7, 7\)"),
        (lambda: overlay(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)), strength=2), "`strength` must be between 0 and 1"),
        (lambda: signal(np.zeros((1, 8, 8, 2))), r"`signals` must have the shape.*Received: shape \(1, 8, 8, 2\)"),
        (lambda: visualize.to_pil(np.zeros((8, 8))), r"`picture` must be.*Received: float64 of shape \(8, 8\)"),
        (lambda: text(["a"], [1.0], form="tex"), "`form` must be 'html' or 'ansi'.*Received: 'tex'"),
        (lambda: text(["a", "b"], [1.0]), r"a value for every token.*Received: \[2\] tokens"),
        (lambda: text(["a"], 1.0), r"`attribution` must have the shape \(tokens,\).*Received: shape \(\)"),
        (lambda: series(np.zeros((1, 5)), np.zeros((1, 4))), r"`values` must have.*Received: \(1, 5\) and \(1, 4\)"),
        (lambda: series(np.zeros((65, 5)), np.zeros((65, 5))), "at most 64 rows.*Received: 65"),
        (lambda: series(np.zeros((1, 5)), np.zeros((1, 5)), captions=[]), "`captions` must hold 1 texts. Received: 0"),
        (lambda: table(np.zeros(5)), r"`attribution` must have the shape.*Received: shape \(5,\)"),
        (lambda: table(np.zeros((1, 5)), names=["a"]), "`names` must hold 5 texts. Received: 1"),
        (lambda: table(np.zeros((1, 5)), most=0), "`most` must be a positive integer. Received: 0"),
        (lambda: table(np.zeros((1, 5)), values=[1]), r"`values` must have the shape \(1, 5\)"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_arrays_and_figures_become_pil_images():
    array = heatmap(np.random.default_rng(0).normal(size=(2, 5, 7)))
    images = visualize.to_pil(array)
    assert [image.size for image in images] == [(7, 5)] * 2
    assert np.array_equal(np.asarray(images[1]), array[1])
    assert visualize.to_pil(grid({"a": np.ones((1, 4, 4))})).mode == "RGB"


# ---------------------------------------------------------------------- text, series, tables
def test_tokens_have_their_colours_and_padding_has_none():
    texts = text([["a<b", "c"], ["d"]], np.array([[1.0, -1.0, 0.0], [0.5, 9.0, 9.0]]))
    assert [_Balance(t).seen.count("span") for t in texts] == [2, 1]
    assert "background:rgb(120,0,20)" in texts[0]
    assert "background:rgb(10,24,120)" in texts[0]
    assert "a&lt;b" in texts[0]
    assert "background:rgb(120,0,20)" in texts[1]
    assert text(["d"], np.array([[0.2, 0.3]])) == texts[1]  # the embedding's axis is summed


def test_terminals_show_tokens_and_are_not_steered_by_them():
    shown = text(["good", "\x1b[31m"], [1.0, 0.0], form="ansi", separator="|")
    assert shown == "\x1b[38;2;255;255;255;48;2;120;0;20mgood\x1b[0m|\x1b[38;2;0;0;0;48;2;255;255;255m\\x1b[31m\x1b[0m"


def test_series_lie_on_the_colours_of_their_attributions():
    values = np.random.default_rng(0).normal(size=(2, 9, 3))
    attribution = np.zeros((2, 9, 3))
    attribution[0, 4, 1], attribution[0, 5, 2] = 1, -2
    figure = series(values, attribution, captions=["one", "two"], names=["x", "y", "z"])
    assert [ax.get_ylabel() for ax in figure.axes] == ["x", "y", "z"] * 2
    assert np.array_equal(figure.axes[1].lines[0].get_ydata(), values[0, :, 1])
    strips = [np.asarray(ax.get_images()[0].get_array())[0] for ax in figure.axes]
    assert np.array_equal(strips[1][4], visualize.colours(0.5))
    assert strips[2][5].tolist() == list(BLUE)
    assert all((s == 255).all() for s in strips[3:])
    together = series(values, attribution.sum(-1))
    assert [len(ax.lines) for ax in together.axes] == [3, 3]
    assert visualize.to_pil(together).width > 100
    assert len(series(values[..., 0], attribution).axes) == 2


def test_the_bars_of_a_table_are_the_largest_and_the_rest():
    figure = table(np.array([[1.0, -5.0, 2.0, 0.5], [0, 0, 0, 0], [np.nan, 1, 0, 0]]), most=2, values=np.ones((3, 4)))
    first, second, third = figure.axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["feature 1 = 1", "feature 2 = 1", "2 others"]
    assert [p.get_width() for p in first.patches] == [-5, 2, 1.5]
    assert np.allclose(first.patches[0].get_facecolor()[:3], np.array(BLUE) / 255)
    assert [p.get_width() for p in second.patches] == [0, 0, 0]
    assert [p.get_width() for p in third.patches] == [1, 0, 0]
    assert visualize.to_pil(figure).width > 100


def test_palettes_of_a_grid_have_their_legends_and_pictures_are_drawn_as_they_are():
    maps = {"a": np.ones((1, 4, 4)), "b": np.ones((1, 4, 4)), "c": signal(np.ones((1, 4, 4)))}
    figure = grid(maps, palette={"b": "heat"}, ground="dark")
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    words = [t for t, _ in _texts(figure)]
    assert {"negative", "zero"} <= set(words)
    shown = [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]
    assert np.array_equal(shown[1], heatmap(maps["b"], palette="heat", ground="dark")[0])
    assert np.array_equal(shown[2], maps["c"][0])
    assert figure.get_facecolor()[:3] == (17 / 255,) * 3


@pytest.mark.parametrize("draw", [heatmap, signal, lambda a: overlay(a, np.zeros((0, 8, 8)))])
def test_no_samples_are_no_pictures(draw):
    assert draw(np.zeros((0, 8, 8))).shape == (0, 8, 8, 3)


def test_matplotlib_is_imported_only_for_figures():
    code = "import sys; from innspect import visualize as v; import numpy as np; a = np.ones((1, 4, 4)); v.heatmap(a)"
    code += "; v.overlay(a, a); v.signal(a); v.text(['a'], [1.0]); assert not {'matplotlib', 'PIL', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


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


@pytest.mark.parametrize(("method", "palette"), [("grad_cam", "heat"), ("lrp.z", "red_blue")])
def test_notebooks_show_values_without_signs_in_a_sequential_palette(method, palette):
    attribution = np.random.default_rng(0).uniform(size=(1, 9, 8))
    text = explanation_html(Explanation(attribution, np.ones((1, 2)), np.ones(1), settings={"method": method}))
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", text)[1]))))
    assert np.array_equal(shown, heatmap(attribution, palette=palette)[0])


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
