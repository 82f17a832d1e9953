"""iNNvestigate's helpers: its numbers for one sample, the same for each sample of a batch, and nothing changed."""

import keras
import numpy as np
import pytest
from matplotlib import colormaps
from models import array

import innspect.migration.visualizations as ivis
import innspect.utils as iutils

MAPS = array(3, 5, 6, 3) * np.array([1, 100, 0])[:, None, None, None]


# ---------------------------------------------------------------------- visualizations
def test_project_is_what_innvestigate_documents_for_one_sample():
    x = np.array([[-4.0, 0.0, 1.0, 2.0]])
    assert ivis.project(x).tolist() == [[0.0, 0.5, 0.625, 0.75]]
    assert ivis.project(x, (0, 255), input_is_positive_only=True).tolist() == [[0, 0, 63.75, 127.5]]
    assert ivis.project(x, absmax=2.0).tolist() == [[0, 0.5, 0.75, 1]]
    assert ivis.project(np.array([[0, 255]], "uint8"), absmax=255, input_is_positive_only=True).tolist() == [[0, 1]]
    assert ivis.project(np.ones((2, 2)), absmax=[1, 2]).tolist() == [[1, 1], [0.75, 0.75]]
    assert ivis.project(x.astype("float32")).dtype == "float32"


def test_heatmap_is_the_colour_map_at_the_projected_sum():
    image = ivis.heatmap(MAPS)
    levels = np.array([ivis.project(m.sum(-1)[None], (0, 255))[0] for m in MAPS]).astype(int)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, colormaps["seismic"](levels)[..., :3].astype("float32"))
    assert np.ptp(image[2]) < 0.01  # a map of zeros has one colour, nearly white
    assert ivis.heatmap(MAPS, alpha_cmap=True).shape == (3, 5, 6, 4)
    grey = ivis.graymap(np.abs(MAPS), input_is_positive_only=True)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert grey[0].max() == 1
    assert (grey[2] == 0).all()


def test_absmax_keeps_what_is_largest_in_magnitude():
    x = np.array([[[[-4.0, 1.0], [1.0, 2.0]]]])
    np.testing.assert_array_equal(ivis.heatmap(x, reduce_op="absmax"), ivis.heatmap(np.array([[[[-4.0], [2.0]]]])))


@pytest.mark.parametrize("function", [ivis.heatmap, ivis.graymap])
def test_colours_stand_where_the_channels_were(function):
    first = function(np.moveaxis(MAPS, -1, 1), reduce_axis=1)
    np.testing.assert_array_equal(first, np.moveaxis(function(MAPS), -1, 1))


@pytest.mark.parametrize(
    "function",
    [
        ivis.project,
        ivis.heatmap,
        ivis.graymap,
        ivis.gamma,
        ivis.clip_quantile,
        lambda x: ivis.gamma(x, 0.9, minamp=0.1),
        lambda x: ivis.clip_quantile(x, (10, 60)),
    ],
)
def test_a_batch_gives_what_its_samples_give_and_stays_as_it_is(function):
    before = MAPS.copy()
    whole = function(MAPS)
    assert np.isfinite(whole).all()
    for i in range(3):
        np.testing.assert_array_equal(function(MAPS[i : i + 1])[0], whole[i])
    np.testing.assert_array_equal(MAPS, before)
    assert function(MAPS[:0]).shape[0] == 0


def test_gamma_keeps_sign_order_and_the_largest_magnitude():
    x = np.array([-4.0, -1.0, 0.0, 1.0, 0.25])
    assert ivis.gamma(x).tolist() == [-4, -2, 0, 2, 1]
    assert ivis.gamma(x + 3, minamp=3).tolist() == [-1, 1, 3, 5, 4]
    assert ivis.gamma(x, maxamp=1).tolist() == [-2, -1, 0, 1, 0.5]
    assert ivis.gamma(np.array([4, 1])).tolist() == [4, 2]
    assert ivis.gamma(np.zeros((1, 2, 2, 1))).tolist() == np.zeros((1, 2, 2, 1)).tolist()


def test_clip_quantile_cuts_at_both_ends():
    x = np.arange(101.0)
    assert ivis.clip_quantile(x, 10).min() == 10
    assert ivis.clip_quantile(x, 10).max() == 90
    assert ivis.clip_quantile(x, [5, 50]).max() == 50
    picture = np.arange(200.0).reshape(10, 20)  # one picture, no batch
    assert len(set(ivis.clip_quantile(picture, 25)[0])) == 1


def test_flattening():
    assert ivis.batch_flatten(MAPS).shape == ivis.batchflatten(MAPS).shape == (3, 90)


# ---------------------------------------------------------------------- utils
def test_batches():
    assert iutils.to_list(3) == [3]
    assert iutils.to_list([3]) == [3]
    x, y = array(7, 2), np.arange(7)
    batches = list(iutils.BatchSequence([x, y], batch_size=3))
    assert [len(b[1]) for b in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([b[0] for b in batches]), x)
    single = iutils.BatchSequence(x, 4)
    np.testing.assert_array_equal(single[1], x[4:])
    doubled = iutils.TargetAugmentedSequence(single, lambda inputs: inputs[0] * 2)
    np.testing.assert_array_equal(doubled[0][1], x[:4] * 2)
    assert len(doubled) == len(list(doubled)) == 2
    with pytest.raises(ValueError, match=r"same number of samples. Received: \[7, 6\]"):
        iutils.BatchSequence([x, y[1:]])
    with pytest.raises(ValueError, match="batches of 2 arrays"):
        iutils.TargetAugmentedSequence(iutils.BatchSequence([x, y]), len)[0]


def test_models_learn_from_batches():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(iutils.BatchSequence([array(7, 2), array(7, 1)], 3), verbose=0)
    assert np.isfinite(model.evaluate(iutils.BatchSequence([array(7, 2), array(7, 1)], 3), verbose=0))


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_images_there_and_back(layout):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(layout)
    try:
        x = np.random.default_rng(0).integers(0, 255, (2, 4, 5, 3))
        for images in (x, x.transpose(0, 3, 1, 2)):
            there = iutils.preprocess_images(images, color_coding="RGBtoBGR")
            bgr = x[..., ::-1]
            np.testing.assert_array_equal(there, bgr if layout == "channels_last" else bgr.transpose(0, 3, 1, 2))
            np.testing.assert_array_equal(ivis.postprocess_images(there, "BGRtoRGB"), x)
            first = iutils.postprocess_images(there, "BGRtoRGB", channels_first=True)
            np.testing.assert_array_equal(first, x.transpose(0, 3, 1, 2))
    finally:
        keras.config.set_image_data_format(before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ivis.heatmap(MAPS, reduce_op="mean"), "`reduce_op` must be 'sum' or 'absmax'. Received: 'mean'"),
        (lambda: ivis.heatmap(MAPS[0]), r"`X` must have four axes.*Received: shape \(5, 6, 3\)"),
        (lambda: ivis.project(MAPS, absmax=[1, 2]), r"`absmax` must be one number, or one for each of 3"),
        (lambda: iutils.preprocess_images(MAPS, "RGB"), "`color_coding` must be None.*Received: 'RGB'"),
        (lambda: iutils.postprocess_images(MAPS[0]), "`images` must have four axes"),
        (lambda: iutils.BatchSequence(MAPS, 0), "`batch_size` must be a positive integer. Received: 0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_model_wo_softmax_is_where_scripts_look_for_it():
    import innspect

    assert innspect.utils.model_wo_softmax is iutils.keras.graph.model_wo_softmax is innspect.model_wo_softmax
