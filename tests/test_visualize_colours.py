"""Colours of attributions: signs, scales and palettes, pinned by numbers."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import BLUE, GREY, RED, WHITE

import innspect
from innspect import visualize
from innspect.visualize import PALETTES, heatmap


# ---------------------------------------------------------------------- heatmaps
def test_colours_are_white_at_zero_red_above_and_blue_below():
    image = heatmap(np.array([[[0.0, 3.0, -3.0, 0.75, -0.75]]]))
    expected = [WHITE, RED, BLUE, (253, 205, 190), (190, 214, 250)]
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [list(c) for c in expected]


def test_each_sample_has_its_own_scale():
    image = heatmap(np.array([[[1.0, 0.0]], [[1000.0, -2000.0]], [[1e-42, 0.0]]]))
    assert image[0, 0].tolist() == [list(RED), list(WHITE)]
    assert image[1, 0, 1].tolist() == list(BLUE)
    assert image[2, 0].tolist() == [list(RED), list(WHITE)]


def test_a_map_of_zeros_is_white():
    assert (heatmap(np.array([[[1.0, 0.0]], [[0.0, 0.0]]]))[1] == 255).all()


def test_values_that_are_not_finite_are_grey():
    assert (heatmap(np.array([[[np.nan, np.inf, -np.inf, 2.0, -1.0, 0.0]]]))[0, 0, :3] == GREY).all()
    assert (heatmap(np.full((1, 2, 2), np.nan)) == GREY).all()


def test_values_that_are_not_finite_leave_the_scale_alone():
    image, clean = heatmap(np.array([[[np.nan, np.inf, -np.inf, 2.0, -1.0, 0.0]]])), heatmap(np.array([[[2.0, -1.0, 0.0]]]))
    assert np.array_equal(image[0, 0, 3:], clean[0, 0])


MAPS = arrays.arrays("float32", (2, 3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32))
drawn = settings(max_examples=50, deadline=None)


@drawn
@given(MAPS)
def test_the_sign_shows(attribution):
    before = attribution.copy()
    image = heatmap(attribution).astype(int)
    red_minus_blue = image[..., 0] - image[..., 2]
    assert (red_minus_blue[attribution >= 0] >= 0).all()
    assert (red_minus_blue[attribution <= 0] <= 0).all()
    assert np.array_equal(attribution, before)


@drawn
@given(MAPS, st.sampled_from([2.0**-20, 0.5, 4.0]))
def test_the_scale_does_not_show(attribution, factor):
    assert np.array_equal(heatmap(attribution.astype("float64") * factor), heatmap(attribution))


@drawn
@given(MAPS)
def test_other_samples_do_not_show(attribution):
    assert np.array_equal(heatmap(attribution[1:]), heatmap(attribution)[1:])


@pytest.mark.parametrize("sign", [1, -1])
def test_the_larger_the_darker(sign):
    ramp = heatmap(sign * np.linspace(0, 1, 101)[None, None]).astype(float)[0, 0].sum(-1)
    assert (np.diff(ramp) < 0).all()


TWO_CHANNELS = np.array([[[[3.0, -4.0], [1.0, 1.0]]]])


@pytest.mark.parametrize(("reduce", "expected"), [("sum", [-1.0, 2.0]), ("max_abs", [-4.0, 1.0]), ("norm", [5.0, 2**0.5])])
def test_channels_are_reduced(reduce, expected):
    assert np.array_equal(heatmap(TWO_CHANNELS, reduce=reduce), heatmap(np.array([[expected]])))


def test_channels_may_come_first():
    assert np.array_equal(heatmap(np.moveaxis(TWO_CHANNELS, -1, 1), channel_axis=1), heatmap(TWO_CHANNELS))


@pytest.mark.parametrize(
    ("attribution", "arguments", "message"),
    [
        (np.zeros((8, 8)), {}, r"samples, height, width.*Received: shape \(8, 8\)"),
        (np.zeros((1, 2, 3, 4, 5)), {}, "Received: shape"),
        (np.zeros((1, 8, 8)), {"reduce": "mean"}, "`reduce` must be 'sum'.*Received: 'mean'"),
        (np.zeros((1, 8, 8)), {"percentile": 0}, "`percentile` must be above 0.*Received: 0"),
        (np.zeros((1, 8, 8)), {"gamma": -1.0}, "`gamma` must be a number above 0.*Received: -1.0"),
        (np.zeros((1, 8, 8)), {"palette": "jet"}, "`palette` must be 'red_blue'.*Received: 'jet'"),
        (np.zeros((1, 8, 8)), {"ground": "pink"}, "`ground` must be 'light' or 'dark'.*Received: 'pink'"),
    ],
)
def test_bad_attributions_are_named(attribution, arguments, message):
    with pytest.raises(ValueError, match=message):
        heatmap(attribution, **arguments)


# ---------------------------------------------------------------------- reductions and scales
def test_reduce_takes_any_axis_and_changes_nothing():
    a = np.array([[3, -4], [1, 1]])
    before = a.copy()
    assert visualize.reduce(a).tolist() == [-1, 2]
    assert visualize.reduce(a, "max_abs", 0).tolist() == [3, -4]
    assert visualize.reduce(a[0], "norm") == 5
    assert np.array_equal(a, before)


def clipped_and_curved():
    a = np.zeros((2, 1, 100))
    a[0, 0], a[1, 0, :3] = np.arange(1, 101), [1e-3, -2e-3, 4e-3]
    return a


def test_clipping_is_at_the_percentile_of_each_sample():
    scaled = visualize.scaled(clipped_and_curved(), percentile=50)
    assert scaled[0, 0, 9] == 10 / 50.5
    assert (scaled[0, 0, 50:] == 1).all()
    assert scaled[1, 0, :3].tolist() == [0.25, -0.5, 1]  # the 50th percentile is 0, so the largest is taken


def test_gamma_curves_the_magnitude():
    assert visualize.scaled(clipped_and_curved(), 100, gamma=0.5)[1, 0, :3].tolist() == [0.5, -(0.5**0.5), 1]


def test_clipping_and_gamma_of_a_heatmap_are_of_each_sample():
    whole, second = (heatmap(a, percentile=50, gamma=0.5) for a in (clipped_and_curved(), clipped_and_curved()[1:]))
    assert np.array_equal(whole[1:], second)


# ---------------------------------------------------------------------- palettes
SEQUENTIAL = [name for name, grounds in PALETTES.items() if grounds["light"][1] is None]
DIVERGING = [name for name in PALETTES if name not in SEQUENTIAL]
GROUNDS = pytest.mark.parametrize("ground", ["light", "dark"])


def brightness(palette, ground):
    """Of 201 values from -1 to 1, up to 765."""
    return visualize.colours(np.linspace(-1, 1, 201), palette, ground).astype(int).sum(-1)


@pytest.mark.parametrize(("ground", "level"), [("light", 255), ("dark", 17)])
@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_begins_at_the_ground(palette, ground, level):
    assert visualize.colours(0.0, palette, ground).tolist() == [level] * 3


@pytest.mark.parametrize(("ground", "sign"), [("light", -1), ("dark", 1)])
@pytest.mark.parametrize("palette", PALETTES)
def test_a_palette_goes_away_from_the_ground(palette, ground, sign):
    steps = sign * np.diff(brightness(palette, ground)[100:])
    assert (steps >= 0).all()
    assert steps.sum() > 300


@GROUNDS
@pytest.mark.parametrize("palette", SEQUENTIAL)
def test_what_is_below_zero_is_zero_in_a_sequential_palette(palette, ground):
    assert len(set(brightness(palette, ground)[:101])) == 1


@GROUNDS
@pytest.mark.parametrize("palette", DIVERGING)
def test_both_signs_are_about_as_light_in_a_diverging_palette(palette, ground):
    ramp = brightness(palette, ground)
    assert np.abs(ramp - ramp[::-1]).max() <= 150


# Machado et al. 2009, "A physiologically-based model for simulation of color vision deficiency", severity 1, linear RGB.
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def seen(eye, values, palette, ground):
    linear = (visualize.colours(values, palette, ground) / 255) ** 2.2
    return 255 * np.clip(linear @ np.transpose(BLIND[eye]), 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("eye", BLIND)
@GROUNDS
def test_colour_blind_eyes_see_signs(ground, eye):
    values = np.linspace(0.25, 1, 16)
    positive, negative = (seen(eye, sign * values, "orange_blue", ground) for sign in (1, -1))
    assert np.linalg.norm(positive - negative, axis=-1).min() > 40


@pytest.mark.parametrize("eye", BLIND)
@GROUNDS
def test_colour_blind_eyes_see_magnitudes(ground, eye):
    ramp = seen(eye, np.linspace(0, 1, 11), "blue_yellow", ground)
    assert np.linalg.norm(np.diff(ramp, axis=0), axis=-1).min() > 10


def test_methods_without_signs_get_a_sequential_palette():
    unsigned = {name for name in innspect.list_analyzers() if visualize.palette_of(name) == "heat"}
    assert unsigned == set(
        "ablation_cam excitation_backprop grad_cam grad_cam.counterfactual grad_cam_plus_plus hires_cam layer_cam rise "
        "rsi_grad_cam saliency score_cam smoothgrad.squared vargrad xgrad_cam".split()
    )


def test_methods_with_signs_get_the_palette_that_was_chosen():
    assert visualize.palette_of("lrp.epsilon", signed="orange_blue") == "orange_blue"
