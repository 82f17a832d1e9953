"""What every map method does with classes, batches, callables and signals, and where a network has its maps."""

import functools

import keras
import models
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from map_networks import close, flattened, gradients, pooled

import innspect

quick = pytest.mark.usefixtures("quick")
MAPS = [
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "xgrad_cam",
    "hires_cam",
    "score_cam",
    "ablation_cam",
    "rsi_grad_cam",
    "cam",
    "grad_cam.counterfactual",
    "guided_grad_cam",
]
FEWER_STEPS = {"rsi_grad_cam": {"steps": 5}}


# ---------------------------------------------------------------------- every method
@functools.cache
def analyzer_of(name):
    """With its inputs, and the maps of three classes."""
    model, x = pooled(seed=3)
    analyzer = innspect.create_analyzer(name, model, relu=False, **FEWER_STEPS.get(name, {}))
    return analyzer, x, [analyzer.analyze(x, c) for c in range(3)]


every_map = pytest.mark.parametrize("name", MAPS)


@every_map
def test_every_class_has_another_map(name):
    _, _, maps = analyzer_of(name)
    assert all(np.abs(maps[a] - maps[b]).max() > 1e-4 * np.abs(maps[a]).max() for a, b in ((0, 1), (1, 2)))


@pytest.mark.parametrize("name", MAPS[:-1])
def test_a_map_has_no_channels(name):
    _, x, maps = analyzer_of(name)
    assert maps[0].shape == x.shape[:-1]


def test_guided_grad_cam_has_channels():
    _, x, maps = analyzer_of("guided_grad_cam")
    assert maps[0].shape == x.shape


@every_map
def test_several_neurons_have_the_maps_of_each(name):
    analyzer, x, maps = analyzer_of(name)
    mixed = np.stack([maps[2][0], maps[1][1], maps[0][2]])
    close(analyzer.analyze(x, neurons=[0, [2, 1, 0]]), np.stack([maps[0], mixed]), 1e-4)


@every_map
def test_a_map_does_not_depend_on_the_batch(name):
    analyzer, x, _ = analyzer_of(name)
    company = np.stack([x[0], 1e4 * x[1], np.zeros_like(x[2])])
    close(analyzer.analyze(company, 0)[0], analyzer.analyze(x[:1], 0)[0], 1e-4)


@every_map
def test_a_callable_of_a_class_has_the_map_of_the_class(name):
    analyzer, x, maps = analyzer_of(name)
    close(analyzer.analyze(x, lambda y: y[:, 1]), maps[1], 1e-4)


@every_map
def test_a_map_comes_with_targets_and_outputs(name):
    analyzer, x, _ = analyzer_of(name)
    explanation = analyzer.explain(x)
    assert explanation.targets.shape == (3,)
    close(explanation.outputs, ops.convert_to_numpy(analyzer.model(x)))


@every_map
def test_no_samples_have_no_maps(name):
    analyzer, x, maps = analyzer_of(name)
    assert analyzer.analyze(x[:0]).shape == (0, *maps[0].shape[1:])


@functools.cache
def segmentation():
    """An analyzer, and inputs for it."""
    x = keras.Input((8, 8, 1))
    h = L.MaxPooling2D(name="pool")(L.Conv2D(3, 3, padding="same", activation="relu", name="down")(x))
    model = models.shake(
        keras.Model(x, L.Conv2D(2, 3, padding="same", activation="softmax", name="out")(L.UpSampling2D(name="up")(h)))
    )
    return innspect.create_analyzer("hires_cam", model, relu=False), models.array(2, 8, 8, 1)


@quick
def test_the_map_of_a_segmentation_is_before_its_classes():
    analyzer, _ = segmentation()
    assert analyzer.place().path == "up"  # neither the output nor the logits behind its softmax


@quick
def test_the_map_of_a_pixel_is_around_it():
    analyzer, data = segmentation()
    one = analyzer.analyze(data, (2, 3, 1))
    near = np.zeros((8, 8), bool)
    near[1:4, 2:5] = True
    assert np.abs(one[:, near]).max() > 0
    assert not one[:, ~near].any()


@quick
def test_the_map_of_a_class_is_that_of_all_its_pixels():
    analyzer, data = segmentation()
    close(analyzer.analyze(data, 1), sum(analyzer.analyze(data, (i, j, 1)) for i in range(8) for j in range(8)), 1e-4)


@quick
def test_signals_at_other_layers_come_from_the_same_pass():
    model, x = flattened()
    explanation = innspect.create_analyzer("grad_cam", model, layer="late").explain(x, 1, at=["early", "out"])
    close(explanation.signals["early"], gradients(model, "early", x, 1))
    close(explanation.attributions, innspect.create_analyzer("grad_cam", model, layer="late").analyze(x, 1))


# ---------------------------------------------------------------------- guided Grad-CAM
@quick
@pytest.mark.parametrize("of", ["guided_backprop", "deconvnet"])
def test_guided_grad_cam_is_the_product_of_both(of):
    model, x = flattened()
    ours = innspect.create_analyzer("guided_grad_cam", model, layer="early", of=of).analyze(x, [2, 0, 1])
    lens = innspect.create_analyzer("grad_cam", model, layer="early").analyze(x, [2, 0, 1])
    signal = innspect.create_analyzer(of, model).analyze(x, [2, 0, 1])
    assert np.abs(ours).max() > 0
    assert (lens == 0).any()
    assert not ours[lens == 0].any()
    close(ours, signal * lens[..., None])


@quick
def test_guided_grad_cam_in_a_branch_beside_others():
    """One forward pass serves both signals, whatever lies beside and behind the layer."""
    image = keras.Input((6, 6, 2))
    left = L.Conv2D(3, 3, padding="same", activation="relu", name="left")(image)
    right = L.Conv2D(3, 3, padding="same", activation="tanh")(image)
    h = L.Maximum()([L.Conv2D(3, 3, padding="same", activation="relu")(left), L.Conv2D(3, 1)(right)])
    h = L.Concatenate()([L.GlobalMaxPooling2D()(h), L.GlobalAveragePooling2D()(right)])
    scores = L.Dense(3, activation="softmax")(L.Dense(4, activation="relu")(h))
    model, x = models.shake(keras.Model(image, scores)), models.array(3, 6, 6, 2)
    found = innspect.create_analyzer("guided_grad_cam", model, layer="left").explain(x, neurons=[0, 2], at="left")
    lens = innspect.create_analyzer("grad_cam", model, layer="left").explain(x, neurons=[0, 2], at="left")
    signal = innspect.create_analyzer("guided_backprop", model).analyze(x, neurons=[0, 2])
    assert np.abs(found.attributions).max() > 0
    close(found.attributions, signal * lens.attributions[..., None])
    close(found.signals["left"], lens.signals["left"])
    close(found.outputs, lens.outputs)
