"""Pictures of images, texts, series and tables, pinned by numbers."""

import functools
import subprocess
import sys

import numpy as np
import pytest
from pictures import BLUE, Balance

from innspect import visualize
from innspect.visualize import grid, heatmap, overlay, series, signal, table, text


# ---------------------------------------------------------------------- images
def on_an_image(*values):
    """An attribution of four pixels, and an image of one colour."""
    return np.array([[values]]), np.full((1, 1, 4, 3), (200, 100, 50), "uint8")


def test_an_overlay_has_the_inks_of_the_heatmap_on_the_image():
    attribution, image = on_an_image(0.0, 2.0, -2.0, 1.0)
    drawn = overlay(attribution, image, strength=0.5, keep_colours=True)[0, 0]
    for pixel, v in zip(drawn, [0, 1, -1, 0.5], strict=True):
        colour = visualize.colours(0.75 * v).astype(float)
        white = colour.min()  # the share of the paper, in whose place the image is seen
        expected = (1 - 0.5 * (1 - white / 255)) * image[0, 0, 0] + 0.5 * (colour - white)
        np.testing.assert_allclose(pixel, expected, atol=1)


def test_on_white_paper_an_overlay_is_a_paler_heatmap():
    attribution = np.random.default_rng(0).normal(size=(1, 20, 20))
    drawn = overlay(attribution, np.full((1, 20, 20), 255, "uint8"), strength=1)
    np.testing.assert_allclose(drawn, visualize.colours(0.75 * visualize.scaled(attribution)).astype(float), atol=1)


@pytest.mark.parametrize("of", ["gradient", "grad_cam", "rise"])
def test_the_image_is_seen_through_the_darkest_colours(of):
    stripes = np.tile(np.array([[0, 255], [255, 0]], "uint8"), (1, 4, 4))
    drawn = overlay(np.ones((1, 8, 8)) + np.eye(8), stripes, of=of).astype(int).sum(-1)
    assert np.abs(np.diff(drawn, axis=2)).min() > 3 * 255 * 0.1


def test_an_overlay_is_on_pale_grey():
    grey = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    assert overlay(*on_an_image(0.0, 2.0, -2.0, 1.0))[0, 0, 0].tolist() == [round(grey + 0.35 * (255 - grey))] * 3


def test_an_overlay_in_a_sequential_palette_shows_nothing_below_zero():
    drawn = overlay(*on_an_image(0.0, -2.0, 2.0, -1.0), palette="heat")
    assert np.array_equal(drawn[0, 0, [0, 1, 3]], [[170] * 3] * 3)


def batch():
    """Attributions of three samples, the last of them zero, and images of different ranges."""
    random = np.random.default_rng(0)
    attribution, images = random.normal(size=(3, 4, 5, 2)), random.normal(size=(3, 4, 5)) * [[[1]], [[100]], [[0]]]
    attribution[2] = 0
    return attribution, images


def test_overlays_of_a_batch_are_those_of_its_samples():
    attribution, images = batch()
    whole = overlay(attribution, images, percentile=90)
    for i in range(3):
        assert np.array_equal(overlay(attribution[i : i + 1], images[i : i + 1], percentile=90)[0], whole[i])


def test_an_overlay_of_zeros_is_the_picture():
    attribution, images = batch()
    assert (overlay(attribution, images, percentile=90, keep_colours=True)[2] == visualize.pictures(images)[2]).all()


def test_an_overlay_changes_no_input():
    attribution, images = batch()
    overlay(attribution, images, percentile=90)
    assert np.array_equal(attribution, batch()[0])
    assert np.array_equal(images, batch()[1])


def test_channels_of_an_overlay_may_come_first():
    attribution, images = batch()
    first = overlay(np.moveaxis(attribution, -1, 1), images[:, None], channel_axis=1)
    assert np.array_equal(first, overlay(attribution, images))


RANGES = np.array([[[0.0, 5.0, 10.0]], [[2.0, 2.0, 2.0]], [[0.25, np.nan, 0.75]]])


def test_pictures_are_stretched_sample_by_sample():
    assert visualize.pictures(RANGES)[..., 0].tolist() == [[[0, 128, 255]], [[0, 0, 0]], [[85, 255, 255]]]


def test_pictures_are_stretched_between_given_values():
    assert visualize.pictures(RANGES, value_range=(0, 10))[1, 0, 0].tolist() == [51] * 3
    assert visualize.pictures(RANGES, value_range=(0, 1))[2, 0, :, 0].tolist() == [64, 255, 191]  # white: nothing is known


def signals():
    s = np.zeros((3, 1, 2, 3))
    s[0, 0, 0], s[1, 0, 0], s[2, 0, 0, 0] = (4, -4, 2), (-0.1, 0.05, 0), np.nan
    return s


def test_signals_are_scaled_about_grey_sample_by_sample():
    drawn = signal(signals(), percentile=100)
    assert drawn[0, 0].tolist() == [[255, 0, 191], [128] * 3]
    assert drawn[1, 0].tolist() == [[0, 191, 128], [128] * 3]


def test_a_signal_that_is_not_finite_stands_out():
    assert signal(signals())[2, 0].tolist() == [[255, 0, 255], [128] * 3]


def test_a_signal_of_one_channel_is_grey():
    one = signal(signals()[..., :1])
    assert np.array_equal(one[0], np.repeat(one[0, ..., :1], 3, -1))


def test_a_signal_of_zeros_is_grey():
    assert (signal(np.zeros((2, 4, 4))) == 128).all()


@pytest.mark.parametrize("draw", [heatmap, signal, lambda a: overlay(a, np.zeros((0, 8, 8)))])
def test_no_samples_are_no_pictures(draw):
    assert draw(np.zeros((0, 8, 8))).shape == (0, 8, 8, 3)


def test_arrays_become_pil_images():
    array = heatmap(np.random.default_rng(0).normal(size=(2, 5, 7)))
    images = visualize.to_pil(array)
    assert [image.size for image in images] == [(7, 5)] * 2
    assert np.array_equal(np.asarray(images[1]), array[1])


def test_figures_become_pil_images():
    assert visualize.to_pil(grid({"a": np.ones((1, 4, 4))})).mode == "RGB"


# ---------------------------------------------------------------------- texts
def padded():
    """Two texts, the second of them shorter."""
    return text([["a<b", "c"], ["d"]], np.array([[1.0, -1.0, 0.0], [0.5, 9.0, 9.0]]))


def test_padding_of_tokens_is_not_shown():
    assert [Balance(t).seen.count("span") for t in padded()] == [2, 1]


def test_tokens_have_their_colours_on_a_scale_of_their_own():
    assert "background:rgb(120,0,20)" in padded()[0]
    assert "background:rgb(10,24,120)" in padded()[0]
    assert "background:rgb(120,0,20)" in padded()[1]


def test_tokens_are_escaped():
    assert "a&lt;b" in padded()[0]


def test_the_axis_of_an_embedding_is_summed():
    assert text([["d"]], np.array([[[0.2, 0.3]]])) == [padded()[1]]


def test_terminals_show_tokens_and_are_not_steered_by_them():
    shown = text(["good", "\x1b[31m"], [1.0, 0.0], form="ansi", separator="|")
    assert shown == "\x1b[38;2;255;255;255;48;2;120;0;20mgood\x1b[0m|\x1b[38;2;0;0;0;48;2;255;255;255m\\x1b[31m\x1b[0m"


# ---------------------------------------------------------------------- series
VALUES = np.random.default_rng(0).normal(size=(2, 9, 3))


def peaks():
    attribution = np.zeros((2, 9, 3))
    attribution[0, 4, 1], attribution[0, 5, 2] = 1, -2
    return attribution


@functools.cache
def drawn():
    return series(VALUES, peaks(), percentile=100, captions=["one", "two"], names=["x", "y", "z"])


def test_every_series_of_every_sample_has_its_axes():
    assert [ax.get_ylabel() for ax in drawn().axes] == ["x", "y", "z"] * 2
    assert np.array_equal(drawn().axes[1].lines[0].get_ydata(), VALUES[0, :, 1])


def test_series_lie_on_the_colours_of_their_attributions():
    strips = [np.asarray(ax.get_images()[0].get_array())[0] for ax in drawn().axes]
    assert np.array_equal(strips[1][4], visualize.colours(0.5))
    assert strips[2][5].tolist() == list(BLUE)
    assert all((s == 255).all() for s in strips[3:])


def test_series_with_one_attribution_lie_together():
    together = series(VALUES, peaks().sum(-1))
    assert [len(ax.lines) for ax in together.axes] == [3, 3]
    assert visualize.to_pil(together).width > 100


def test_a_series_may_have_several_attributions():
    assert len(series(VALUES[..., 0], peaks()).axes) == 2


# ---------------------------------------------------------------------- tables
@functools.cache
def bars():
    """Of a sample with more than two features, of one without attributions, and of one that is not finite."""
    return table(np.array([[1.0, -5.0, 2.0, 0.5], [0, 0, 0, 0], [np.nan, 1, 0, 0]]), most=2, values=np.ones((3, 4)))


def test_the_bars_of_a_table_are_the_largest_and_the_rest():
    first, *_ = bars().axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["feature 1 = 1", "feature 2 = 1", "2 others"]
    assert [p.get_width() for p in first.patches] == [-5, 2, 1.5]


def test_the_bars_of_a_table_have_the_colours_of_their_signs():
    assert np.allclose(bars().axes[0].patches[0].get_facecolor()[:3], np.array(BLUE) / 255)


@pytest.mark.parametrize(("sample", "widths"), [(1, [0, 0, 0]), (2, [1, 0, 0])])
def test_zeros_and_what_is_not_finite_have_no_bars(sample, widths):
    assert [p.get_width() for p in bars().axes[sample].patches] == widths


def test_a_table_can_be_drawn():
    assert visualize.to_pil(bars()).width > 100


# ---------------------------------------------------------------------- refusals and imports
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
        (lambda: series(np.zeros((1, 5)), np.zeros((1, 5)), captions=[]), "`captions` must be a list of 1 texts.*Received"),
        (lambda: table(np.zeros(5)), r"`attribution` must have the shape.*Received: shape \(5,\)"),
        (lambda: table(np.zeros((1, 5)), names=["a"]), "`names` must be a list of 5 texts.*Received"),
        (lambda: table(np.zeros((1, 5)), most=0), "`most` must be a positive integer. Received: 0"),
        (lambda: table(np.zeros((1, 5)), values=[1]), r"`values` must have the shape \(1, 5\)"),
    ],
)
def test_what_cannot_be_drawn_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_matplotlib_is_imported_only_for_figures():
    code = "import sys; from innspect import visualize as v; import numpy as np; a = np.ones((1, 4, 4)); v.heatmap(a)"
    code += "; v.overlay(a, a); v.signal(a); v.text(['a'], [1.0]); assert not {'matplotlib', 'PIL', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
