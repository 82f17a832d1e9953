"""Maps of what is applied to frames: laws, closed forms, and the same network written otherwise."""

import functools
import math

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import activations, close, raw

import innspect

pytestmark = pytest.mark.usefixtures("quick")

FRAMES, SIZE = (3,), (8, 10, 2)
METHODS = (
    "cam ablation_cam grad_cam grad_cam.counterfactual grad_cam_plus_plus guided_grad_cam hires_cam layer_cam rsi_grad_cam "
    "score_cam xgrad_cam"
).split()
HEADS = {
    "mean": lambda h: L.GlobalAveragePooling1D()(h),
    "flat": lambda h: L.Flatten()(h),
    "recurrent": lambda h: L.LSTM(4)(h),
}


def network_of_a_frame():
    body = [
        L.Conv2D(4, 3, activation="relu", name="early"),
        L.MaxPooling2D(),
        L.Conv2D(5, 2, activation="relu", name="late"),
        L.GlobalAveragePooling2D(),
    ]
    return keras.Sequential([keras.Input(SIZE), *body], name="frame")


def distributed(frame, x):
    return L.TimeDistributed(frame, name="frames")(x)


def by_hand(frame, x):
    return ops.reshape(frame(ops.reshape(x, (-1, *SIZE))), (-1, 3, 5))


def layer_by_layer(frame, x):
    for layer in frame.layers:
        x = L.TimeDistributed(layer, name=layer.name)(x)
    return x


@functools.cache
def video(way, head):
    x = keras.Input((*FRAMES, *SIZE))
    frame = network_of_a_frame()
    return models.shake(keras.Model(x, L.Dense(2, name="out")(HEADS[head](way(frame, x))))), frame


VALUES = models.array(2, *FRAMES, *SIZE)


def explained(method, way, head, **arguments):
    few = {"steps": 3} if method == "rsi_grad_cam" else {}
    return innspect.create_analyzer(method, video(way, head)[0], **few, **arguments).explain(VALUES, 1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head", ["flat", "recurrent"])
@pytest.mark.sweep(on="jax tensorflow", keep=["flat-cam", "flat-score_cam", "flat-rsi_grad_cam", "recurrent-g*_cam"])
def test_frames_may_be_distributed_by_a_layer_or_by_hand(head, method):
    if (head, method) == ("recurrent", "cam"):
        with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'lstm.*' reads the positions of 'frames'"):
            explained(method, distributed, head)
        return
    one, other = (explained(method, way, head) for way in (distributed, by_hand))
    assert one.attributions.shape == (2, 3, 8, 10, *([2] if method == "guided_grad_cam" else []))
    assert one.attributions.any()
    close(one.attributions, other.attributions)


@pytest.mark.parametrize("method", ["grad_cam", "cam", "ablation_cam"])
def test_frames_may_be_distributed_layer_by_layer(method):
    one, other = (explained(method, way, "flat", relu=False) for way in (distributed, layer_by_layer))
    close(one.attributions, other.attributions)


def late(head):
    model, frame = video(distributed, head)
    a = activations(frame, "late", VALUES.reshape(-1, *SIZE))
    return model, a.reshape(2, 3, *a.shape[1:])


def test_behind_a_linear_head_each_frame_has_weights_of_its_own():
    model, a = late("flat")
    kernel = ops.convert_to_numpy(model.get_layer("out").kernel).reshape(3, 5, 2)
    positions = math.prod(a.shape[2:4])
    close(raw("grad_cam", model, VALUES, 1), np.einsum("bfijk,fk->bfij", a, kernel[..., 1]) / positions)


@pytest.mark.parametrize("head", ["mean", "flat"])
def test_the_mean_of_cam_over_all_frames_and_the_bias_are_the_logit(head):
    model, _ = video(distributed, head)
    ours = innspect.create_analyzer("cam", model, upsample=False).explain(VALUES, 1)
    bias = ops.convert_to_numpy(model.get_layer("out").bias)[1]
    close(ours.attributions.mean(axis=(1, 2, 3)) + bias, ours.targets)


def test_a_frame_at_a_time_is_the_network_of_a_frame():
    """With one frame shown and a head that adds frames up, its map is that of an image."""
    model, frame = video(distributed, "mean")
    x = keras.Input(SIZE)
    image = keras.Model(x, model.get_layer("out")(frame(x)))
    ours = raw("grad_cam", model, VALUES, 1)
    close(3 * ours[:, 1], raw("grad_cam", image, VALUES[:, 1], 1))


def test_the_number_of_frames_need_not_be_known():
    x = keras.Input((None, *SIZE))
    model = models.shake(keras.Model(x, L.Dense(2)(L.GRU(3)(L.TimeDistributed(network_of_a_frame())(x)))))
    analyzer = innspect.create_analyzer("grad_cam", model)
    short, long = (analyzer.analyze(VALUES[:, :n], 1) for n in (2, 3))
    assert (short.shape, long.shape) == ((2, 2, 8, 10), (2, 3, 8, 10))


def test_frames_may_be_nested():
    x = keras.Input((2, *FRAMES, *SIZE))
    inner = L.TimeDistributed(L.TimeDistributed(network_of_a_frame()))
    model = models.shake(keras.Model(x, L.Dense(2)(L.Flatten()(inner(x)))))
    assert innspect.create_analyzer("grad_cam", model).analyze(models.array(2, 2, *FRAMES, *SIZE), 1).shape == (2, 2, 3, 8, 10)


def test_a_layer_within_is_named_by_its_path():
    model, _ = video(distributed, "recurrent")
    analyzer = innspect.create_analyzer("grad_cam", model, layer="frames/frame/early", upsample=False)
    assert analyzer.analyze(VALUES, 1).shape == (2, 3, 6, 8)


def test_rows_that_are_no_samples_are_refused_for_it():
    """Frames first, then samples: they cannot be told apart by their number."""
    x = keras.Input((*FRAMES, *SIZE))
    h = network_of_a_frame()(ops.reshape(ops.transpose(x, (1, 0, 2, 3, 4)), (-1, *SIZE)))
    h = ops.transpose(ops.reshape(h, (3, -1, 5)), (1, 0, 2))
    model = models.shake(keras.Model(x, L.Dense(2)(L.Flatten()(h))))
    with pytest.raises(innspect.NotAnalyzeableModelError, match="Keep the samples the first axis"):
        innspect.create_analyzer("grad_cam", model, layer="frame/late")
