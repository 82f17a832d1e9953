"""Maps of other libraries, how maps are resized, and the units of a class."""

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import close, pooled

import innspect
from innspect.inputs.upsampling import interpolation, resized

REFERENCES = "tests/references/maps.npz"


# ---------------------------------------------------------------------- resizing
@pytest.mark.parametrize("size", [(9, 14), (3, 2), (5, 5)])
def test_half_pixel_resizing_is_that_of_keras(size):
    maps = models.array(2, 5, 7, 1)
    theirs = ops.convert_to_numpy(
        ops.image.resize(maps, size, interpolation="bilinear", antialias=False, data_format="channels_last")
    )
    close(ops.convert_to_numpy(resized(ops.convert_to_tensor(maps[..., 0]), size)), theirs[..., 0])


@pytest.mark.parametrize("convention", ["half_pixel", "align_corners"])
@pytest.mark.parametrize(("source", "target"), [(1, 4), (4, 1), (3, 7), (7, 3)])
def test_resizing_keeps_constants(convention, source, target):
    close(interpolation(source, target, convention).sum(axis=1), np.ones(target))


def test_resizing_by_corners_keeps_corners():
    close(interpolation(4, 9, "align_corners")[[0, -1]], np.eye(4)[[0, -1]])


# ---------------------------------------------------------------------- other libraries
def stored_model(stored):
    """The network of the reference file."""
    body = [
        L.Conv2D(8, 3, padding="same", activation="relu"),
        L.MaxPooling2D(),
        L.Conv2D(12, 3, padding="same", activation="relu", name="c2"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 3)), *body, L.GlobalAveragePooling2D(), L.Dense(5)])
    model.set_weights([stored[f"weights/{i}"] for i in range(6)])
    return model


def test_maps_of_one_position_are_told():
    x = keras.Input((3, 3, 1))
    h = L.GlobalAveragePooling2D()(L.Conv2D(2, 3, activation="relu")(x))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"single position, \(None, 1, 1, 2\): give larger inputs"):
        innspect.create_analyzer("cam", keras.Model(x, L.Dense(2)(h)))


def of_library(theirs, name, **arguments):
    """Ours, and what the library gave for the same network and inputs."""
    with np.load(REFERENCES) as stored:
        model, x, targets = stored_model(stored), stored["inputs"], stored["targets"]
        scores = ops.convert_to_numpy(model(x))[np.arange(4), targets]
        return innspect.create_analyzer(name, model, **arguments).analyze(x, targets), stored[theirs], scores


@pytest.mark.parametrize(
    ("theirs", "name", "arguments"),
    [
        ("tf_keras_vis.Gradcam_zoom", "grad_cam", {}),
        ("tf_keras_vis.Layercam_zoom", "layer_cam", {}),
        ("tf_explain.GradCAM_raw", "grad_cam", {"upsample": False, "relu": False}),
    ],
)
def test_maps_are_those_of_other_libraries(theirs, name, arguments):
    ours, expected, _ = of_library(theirs, name, layer="c2", resize="align_corners", **arguments)
    close(ours, expected, 1e-4)


def test_grad_cam_plus_plus_is_that_of_tf_keras_vis_but_for_a_factor():
    """There it has a factor exp(score)."""
    ours, expected, scores = of_library(
        "tf_keras_vis.GradcamPlusPlus_zoom", "grad_cam_plus_plus", layer="c2", resize="align_corners", normalize_alpha=True
    )
    close(ours, expected * np.exp(-scores)[:, None, None], 1e-4)


@pytest.mark.parametrize(
    ("theirs", "arguments"),
    [
        ("xplique.Occlusion_p4s4", {"window": 4, "stride": 4}),
        ("xplique.Occlusion_p5s3", {"window": 5, "stride": 3, "value": 0.5, "overlap": "sum", "border": "valid"}),
        ("saliency.Occlusion_5", {"window": 5, "stride": 1, "overlap": "sum", "border": "valid"}),
    ],
)
def test_occlusion_is_that_of_other_libraries(theirs, arguments):
    ours, expected, _ = of_library(theirs, "occlusion", **arguments)
    close(ours, expected, 1e-4)


# ---------------------------------------------------------------------- the units of a class
@pytest.mark.usefixtures("quick")
def test_class_specific_units_are_sorted_by_their_weight():
    model, _ = pooled()
    kernel = ops.convert_to_numpy(model.get_layer("out").kernel)
    found = innspect.class_specific_units(model, 1)
    np.testing.assert_array_equal(found.units, np.argsort(-kernel[:, 1]))
    close(found.weights, np.sort(kernel[:, 1])[::-1])
    np.testing.assert_array_equal(found.specific, (kernel.argmax(axis=1) == 1)[found.units])


@pytest.mark.usefixtures("quick")
def test_units_of_a_class_that_is_none_are_refused():
    model, _ = pooled()
    with pytest.raises(ValueError, match="between 0 and 2"):
        innspect.class_specific_units(model, 3)
