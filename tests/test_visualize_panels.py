"""Explanations of series, tables, texts, volumes and several inputs side by side: what is drawn, and that it is right."""

import keras
import numpy as np
import pytest
from keras import layers as L
from models import array

import innspect
from innspect.visualize import colours, grid

METHODS = ("gradient", "input_t_gradient")


def explained(x, *layers, methods=METHODS):
    """Explanations of a network with three classes."""
    keras.utils.set_random_seed(0)
    tail = [L.Flatten(), L.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), *layers, *tail])
    return {name: innspect.create_analyzer(name, model).explain(x) for name in methods}


def cells(figure):
    """Axes in the order in which they were made, without the legend's."""
    return [axes for axes in figure.axes if axes.get_subplotspec() is not None]


def test_a_series_is_a_band_for_each_channel_on_the_colour_of_its_map():
    x = array(2, 12, 3)
    found = explained(x, L.Conv1D(4, 3, activation="relu"))
    drawn = cells(grid(found, captions=["one", "two"], captions_label="epoch 3"))
    assert len(drawn) == 2 * 3  # captions and two methods
    assert [axes.get_title(loc="left") or axes.get_title() for axes in drawn[:3]] == ["epoch 3", *METHODS]
    assert [axes.texts[0].get_text() for axes in drawn[::3]] == ["one", "two"]
    for sample in range(2):
        for name, axes in zip(METHODS, drawn[3 * sample + 1 : 3 * sample + 3], strict=True):
            maps = found[name].attributions[sample]
            shades = maps / np.percentile(np.abs(maps), innspect.visualize.scale_of(found[name]).percentile)
            np.testing.assert_array_equal(axes.images[0].get_array(), colours(np.clip(shades, -1, 1).T))
            curves = np.stack([line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 12], axis=1)
            ups = (np.arange(3) + 0.9 - curves) / 0.8  # bands stand downwards, what is large in them upwards
            values = (x[sample] - x[sample].min()) / np.ptp(x[sample])
            np.testing.assert_allclose(ups, values, atol=1e-6)
    assert [tick.get_text() for tick in drawn[1].get_yticklabels()] == [f"channel {i}" for i in range(3)]


def test_a_series_of_many_channels_is_a_picture():
    axes = cells(grid(explained(array(1, 12, 40), L.Conv1D(2, 3))))[0]
    assert axes.images[0].get_array().shape == (40, 12, 3)
    assert axes.get_ylabel() == "40 channels"


def test_bars_of_a_table_have_the_same_rows_for_all_methods():
    x = array(1, 30)
    found = explained(x)
    first, second = cells(grid(found))
    told = [tick.get_text() for tick in first.get_yticklabels()]
    rows = [int(label.split()[1]) for label in told[:-1]]
    assert told == [f"feature {n} = {x[0, n]:.4g}" for n in rows] + ["18 others"]
    assert {int(np.abs(found[name].attributions[0]).argmax()) for name in METHODS} <= set(rows)
    for name, axes in zip(METHODS, (first, second), strict=True):
        values = found[name].attributions[0]
        widths = [bar.get_width() for bar in axes.patches]
        np.testing.assert_allclose(widths, [*values[rows], np.delete(values, rows).sum()], rtol=1e-5, atol=1e-7)


def test_tokens_are_coloured_without_their_padding():
    ids = np.array([[7, 3, 9, 0, 0], [1, 2, 3, 4, 5]])
    found = explained(ids, L.Embedding(10, 4), L.GlobalAveragePooling1D(), methods=("gradient", "lrp.epsilon"))
    drawn = cells(grid(found))
    assert [[t.get_text() for t in axes.texts] for axes in drawn] == [["7", "3", "9"]] * 2 + [list("12345")] * 2


def test_a_volume_and_its_map_are_slices():
    x = array(2, 4, 6, 5, 1)
    drawn = cells(grid(explained(x, L.Conv3D(2, 3, activation="relu"))))
    assert [axes.get_title() for axes in drawn[:3]] == ["input", *METHODS]
    sizes = {axes.images[0].get_array().shape for axes in drawn}
    assert len(drawn) == 6
    assert len(sizes) == 1  # so that one may be compared with the other


def test_each_of_several_inputs_has_a_row():
    a, b = keras.Input((8, 8, 3), name="scan"), keras.Input((5,), name="blood")
    joined = L.Concatenate()([L.Flatten()(L.Conv2D(2, 3)(a)), b])
    model = keras.Model({"scan": a, "blood": b}, L.Dense(2)(joined))
    x = {"scan": array(2, 8, 8, 3), "blood": array(2, 5)}
    drawn = cells(grid({"gradient": innspect.create_analyzer("gradient", model).explain(x)}, captions=["p", "q"]))
    assert len(drawn) == 4 * 3
    told = [axes.texts[0].get_text() for axes in drawn[::3]]
    assert sorted(t.split("\n")[-1] for t in told[:2]) == ["blood", "scan"]
    assert [t.split("\n")[0] for t in told[::2]] == ["p", "q"]


def test_one_explanation_is_told_what_it_explains():
    (one,) = explained(array(2, 12, 3), methods=("gradient",)).values()
    captions = [axes.texts[0].get_text() for axes in cells(grid(one))[::2]]
    assert all("class" in caption and "logit" in caption for caption in captions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((2, 4, 4))}, "`images` and `families` are for maps of images"),
        ({"families": {"a": ["gradient"]}}, "`images` and `families` are for maps of images"),
        ({"captions": ["one"]}, "`captions` must"),
    ],
)
def test_what_does_not_fit_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(explained(array(2, 6)), **arguments)


def test_explanations_of_different_samples_are_told():
    found = explained(array(2, 6), methods=("gradient",)) | explained(array(3, 6), methods=("saliency",))
    with pytest.raises(ValueError, match="of the same inputs"):
        grid(found)
    with pytest.raises(ValueError, match="At most 64 inputs"):
        grid(explained(array(65, 6)))
