"""Scale and palette of a method, decided in one place: in every picture the same, and the user's wins."""

import base64
import dataclasses
import io
import re

import keras
import numpy as np
import pytest
from models import array, shake
from pictures import shown
from PIL import Image

import innspect
from innspect import visualize
from innspect.analyzers.base.explanation import Explanation
from innspect.cli import maps
from innspect.visualize import grid, heatmap, overlay, palette_of, scale_of, scaled, series, text
from innspect.visualize.forms import forms_of
from innspect.visualize.palettes import Scale

WHITE = [255] * 3
PIXELS, REGIONS, LOWEST = Scale(99.5), Scale(100), Scale(100, above_lowest=True)


def spiked():
    """A map of 40 x 40 pixels between 1 and 2, and four that are a hundred times as large."""
    a = np.random.default_rng(0).uniform(1, 2, (1, 40, 40))
    a[0, 0, :4] = 200
    return a


def network():
    layers = [keras.layers.Conv2D(2, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
    return shake(keras.Sequential([keras.Input((8, 8, 1)), *layers]))


def explained(method, attribution, **settings):
    samples = len(attribution)
    return Explanation(attribution, np.ones((samples, 2)), np.ones(samples), settings={"method": method, **settings})


# ---------------------------------------------------------------------- what suits a method
@pytest.mark.parametrize(
    ("method", "scale"),
    [
        *dict.fromkeys(["gradient", "lrp.epsilon_plus_flat", "guided_grad_cam", "saliency", None, "no method"], PIXELS).items(),
        *dict.fromkeys(["grad_cam", "cam", "layer_cam", "score_cam", "rsi_grad_cam", "occlusion"], REGIONS).items(),
        ("rise", LOWEST),
    ],
)
def test_a_method_has_a_scale(method, scale):
    assert scale_of(method) == scale
    assert scale_of({"method": method}) == scale  # as in files that are older than the settings' key


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "rise", "smoothgrad"])
def test_analyzer_explanation_settings_and_name_tell_the_same(method):
    arguments = {"rise": {"num_masks": 4}, "smoothgrad": {"num_samples": 2}}.get(method, {})
    analyzer = innspect.create_analyzer(method, network(), **arguments)
    explanation = analyzer.explain(array(1, 8, 8, 1))
    for decide in (scale_of, palette_of):
        assert len({decide(of) for of in (method, analyzer, explanation, explanation.settings)}) == 1


def test_an_average_has_the_scale_of_what_it_averages():
    averaged = innspect.create_analyzer("smoothgrad", network(), of="grad_cam", num_samples=2)
    assert (scale_of(averaged), scale_of("smoothgrad")) == (REGIONS, PIXELS)


def test_what_has_no_scale_is_named():
    with pytest.raises(ValueError, match=r"`of` must be an analyzer.*Received: 3"):
        scale_of(3)
    with pytest.raises(ValueError, match=r"`scale` must be 'pixels'.*Received: 'huge'"):
        scale_of({"scale": "huge"})


# ---------------------------------------------------------------------- what is drawn
def test_few_large_pixels_do_not_pale_a_map_of_pixels():
    image = heatmap(spiked())
    assert np.array_equal(image, heatmap(spiked(), percentile=99.5))
    assert (heatmap(spiked(), percentile=100)[0, 1:] > 245).any(-1).all()  # nearly white
    assert (image[0, 1:].min(-1) < 180).all()


def test_a_class_activation_map_is_darkest_at_its_largest_value():
    image = heatmap(spiked(), of="grad_cam")
    assert np.array_equal(image, heatmap(spiked(), percentile=100, palette="heat"))


def test_rise_goes_from_its_lowest_value_to_its_largest():
    high = 0.9 + 0.1 * np.linspace(0, 1, 20).reshape(1, 4, 5)
    high[0, 0, 1] = np.nan
    image = heatmap(high, of="rise")[0]
    assert image[0, 0].tolist() == WHITE
    assert image[-1, -1].tolist() == visualize.colours(1.0, "heat").tolist()
    assert image[0, 1].tolist() == [128] * 3
    np.testing.assert_allclose(scaled(high, of="rise"), scaled(high - 0.9, 100), atol=1e-12)
    assert (heatmap(np.full((2, 3, 3), 0.7), of="rise") == 255).all()
    assert heatmap(np.zeros((0, 3, 3)), of="rise").shape == (0, 3, 3, 3)


DRAWN = {
    "heatmap": heatmap,
    "overlay": lambda a, **look: overlay(a, np.zeros((1, 40, 40, 1)), **look),
    "grid": lambda a, of=None, **look: shown(grid({"a": a}, of=None if of is None else {"a": of}, **look))[0],
    "series": lambda a, **look: series(
        np.zeros((1, 40)), a if isinstance(a, Explanation) else a[:, 0], **look
    ).axes[0].get_images()[0].get_array(),
    "text": lambda a, **look: text(list("ab" * 20), a if isinstance(a, Explanation) else a[0, 0], **look),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("method", ["gradient", "grad_cam", "rise", "saliency"])
def test_everything_draws_with_scale_and_palette_of_the_method(name, method):
    draw, suits = DRAWN[name], scale_of(method)
    told = draw(spiked(), of=method)
    if not suits.above_lowest:
        assert np.array_equal(told, draw(spiked(), percentile=suits.percentile, palette=palette_of(method)))
    by_hand = draw(spiked(), of=method, percentile=60, palette="grey")
    assert not np.array_equal(told, by_hand)
    assert np.array_equal(
        draw(spiked(), of=method, percentile=60), draw(spiked(), of=method, percentile=60, palette=palette_of(method))
    )
    if name in ("heatmap", "overlay", "grid"):
        assert np.array_equal(told, draw(explained(method, spiked())))


def test_a_column_of_a_grid_knows_its_method_by_its_label():
    cells = shown(grid({"grad_cam": spiked(), "why?": spiked(), "rise": spiked()}))
    for cell, of in zip(cells, ("grad_cam", None, "rise"), strict=False):
        assert np.array_equal(cell, heatmap(spiked(), of=of)[0])


def test_a_label_hides_no_sign():
    cells = shown(grid({"grad_cam": -spiked()}))
    assert np.array_equal(cells[0], heatmap(-spiked(), percentile=100)[0])


def test_a_palette_for_one_column_leaves_the_others_theirs():
    cells = shown(grid({"grad_cam": spiked(), "a": spiked()}, palette={"a": "grey"}))
    assert np.array_equal(cells[0], heatmap(spiked(), of="grad_cam")[0])
    assert np.array_equal(cells[1], heatmap(spiked(), palette="grey")[0])


@pytest.mark.parametrize("method", ["gradient", "grad_cam", "rise"])
def test_notebooks_reports_and_the_command_line_draw_the_same(method):
    explanation = explained(method, spiked())
    expected = heatmap(explanation)[0]
    found = re.search(r"base64,([^\"]+)", explanation._repr_html_())[1]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")), expected)
    (form,) = forms_of(spiked(), of=explanation.settings)
    written = np.asarray(Image.open(io.BytesIO(maps.picture(form, 0, "", explanation.settings))).convert("RGB"))
    factor = len(written) // len(expected)
    assert np.array_equal(written[::factor, ::factor], expected)


# ---------------------------------------------------------------------- explanations
def test_an_explanation_of_several_inputs_or_neurons_is_refused():
    two = dataclasses.replace(explained("rise", spiked()), attributions=[spiked(), spiked()])
    with pytest.raises(ValueError, match=r"of one input and one neuron.*several inputs"):
        heatmap(two)
    several = dataclasses.replace(explained("rise", np.stack([spiked()] * 3)), targets=np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"`maps` must be.*3 neurons"):
        grid({"a": several})
    assert np.array_equal(heatmap(two.attributions[0], of=two), heatmap(spiked(), of="rise"))


def test_a_real_explanation_is_drawn_with_its_arguments():
    x = array(2, 8, 8, 1)
    explanation = innspect.create_analyzer("grad_cam", network(), relu=False).explain(x, 0)
    assert np.array_equal(heatmap(explanation), heatmap(explanation.attributions, percentile=100, palette="red_blue"))
    assert overlay(explanation, x).shape == (2, 8, 8, 3)
