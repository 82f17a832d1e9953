"""The map methods by the book: their laws, their formulas, and what each of them does with batches and targets."""

import functools

import keras
import models
import numpy as np
import pytest
from checks import BACKEND
from keras import layers as L
from keras import ops
from map_networks import activations, close, flattened, gradients, logits, pooled, raw

import innspect
from innspect.inputs.upsampling import interpolation

quick = pytest.mark.usefixtures("quick")
no_channels_first = pytest.mark.skipif(BACKEND == "tensorflow", reason="which has no such convolutions on a CPU")


# ---------------------------------------------------------------------- laws
RANKS = pytest.mark.parametrize(
    ("rank", "first"), [(1, False), (2, False), (3, False), pytest.param(2, True, marks=no_channels_first)]
)


@functools.cache
def cam(rank, first):
    """A network, inputs, and the CAM of another class for each of them."""
    model, x = pooled(rank, first)
    return model, x, innspect.create_analyzer("cam", model, upsample=False).explain(x, [0, 1, 2])


@quick
@RANKS
def test_the_mean_of_cam_and_the_bias_are_the_logit(rank, first):
    model, x, ours = cam(rank, first)
    bias = ops.convert_to_numpy(model.get_layer("out").bias)
    close(ours.attributions.mean(axis=tuple(range(1, rank + 1))) + bias, ours.targets)
    close(logits(model, x)[np.arange(3), np.arange(3)], ours.targets)


@quick
@RANKS
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_behind_global_pooling_gradients_give_the_map_of_cam(method, rank, first):
    model, x, ours = cam(rank, first)
    close(raw(method, model, x, [0, 1, 2]) * ours.attributions[0].size, ours.attributions)


@quick
def test_cam_of_maximum_pooling_weighs_activations():
    model, x = pooled(pooling="Max")
    kernel = ops.convert_to_numpy(model.get_layer("out").kernel)
    close(raw("cam", model, x, 1), activations(model, "late", x) @ kernel[:, 1])


@quick
def test_cam_of_convolutional_classes_is_the_class():
    classes = [L.Conv2D(3, 1, name="classes"), L.GlobalAveragePooling2D(keepdims=True), L.Flatten(), L.Softmax()]
    model = models.shake(keras.Sequential([keras.Input((6, 6, 2)), *classes]))
    x = models.array(2, 6, 6, 2)
    close(raw("cam", model, x, 2), activations(model, "classes", x)[..., 2])


@quick
def test_counterfactual_and_map_are_the_two_sides_of_one_map():
    model, x = flattened()
    arguments = {"layer": "pool", "upsample": False}
    positive = innspect.create_analyzer("grad_cam", model, **arguments).analyze(x, 1)
    negative = innspect.create_analyzer("grad_cam.counterfactual", model, **arguments).analyze(x, 1)
    assert positive.any()
    assert negative.any()
    assert not (positive * negative).any()
    close(positive - negative, raw("grad_cam", model, x, 1, layer="pool"))


@quick
def test_a_counterfactual_map_of_zeros_is_named():
    """All weights of class 0 speak for it, all of class 1 against it: only the latter has a map."""
    model, x = pooled()
    kernel, bias = model.get_layer("out").get_weights()
    model.get_layer("out").set_weights([np.abs(kernel) * [1, -1, 1], bias])
    analyzer = innspect.create_analyzer("grad_cam.counterfactual", model)
    with pytest.warns(UserWarning, match=r"at 'late' nothing speaks against.* for 2 of 3 samples \(number 0, 2\)"):
        maps = analyzer.analyze(x, [0, 1, 0])
    assert maps.any(axis=(1, 2)).tolist() == [False, True, False]
    with pytest.warns(UserWarning, match="for 3 of 3 samples"):
        analyzer.analyze(x, neurons=[1, 2])
    assert analyzer.analyze(x, 1).any()
    assert not analyzer.analyze(x[:0], 0).any()


# ---------------------------------------------------------------------- formulas
@functools.cache
def parts(layer):
    """Activations and gradients at a layer, and the weights of Grad-CAM++."""
    model, x = flattened()
    a, g = (v.astype("float64") for v in (activations(model, layer, x), gradients(model, layer, x, 1)))
    alpha = np.where(g != 0, 1 / np.where(g != 0, 2 + total(a) * g, 1), 0)
    return a, g, alpha


def total(v):
    """Over positions."""
    return v.sum(axis=(1, 2), keepdims=True)


FORMULAS = {
    "grad_cam": lambda a, g, alpha: (g.mean(axis=(1, 2), keepdims=True) * a).sum(-1),
    "layer_cam": lambda a, g, alpha: (np.maximum(g, 0) * a).sum(-1),
    "hires_cam": lambda a, g, alpha: (g * a).sum(-1),
    "xgrad_cam": lambda a, g, alpha: (total(g * a) / (total(a) + 1e-7) * a).sum(-1),
    "grad_cam_plus_plus": lambda a, g, alpha: (total(alpha * np.maximum(g, 0)) * a).sum(-1),
}


@quick
@pytest.mark.parametrize("method", FORMULAS)
@pytest.mark.parametrize("layer", ["early", "late"])
def test_a_map_is_that_of_its_formula(layer, method):
    close(raw(method, *flattened(), 1, layer=layer), FORMULAS[method](*parts(layer)), 1e-4)


@quick
@pytest.mark.parametrize("layer", ["early", "late"])
def test_weights_of_grad_cam_plus_plus_may_sum_to_one(layer):
    a, g, alpha = parts(layer)
    normalized = np.divide(alpha, total(alpha), out=np.zeros_like(alpha), where=total(alpha) != 0)
    ours = raw("grad_cam_plus_plus", *flattened(), 1, layer=layer, normalize_alpha=True)
    close(ours, (total(normalized * np.maximum(g, 0)) * a).sum(-1), 1e-3)


CLASSES = [1, 0, 2]


@quick
@pytest.mark.parametrize("batch_size", [32, 2])
def test_score_cam_weighs_channels_by_scores_of_masked_inputs(batch_size):
    model, x = pooled()
    a = activations(model, "late", x)
    spread = np.einsum("yi,xj,bijk->byxk", interpolation(6, 8), interpolation(8, 10), a)
    low, high = (f(spread, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    masks = ((spread - low) / (high - low + 1e-8)).astype("float32")
    scores = np.stack([logits(model, x * masks[..., k : k + 1])[np.arange(3), CLASSES] for k in range(5)], axis=1)
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    ours = innspect.create_analyzer("score_cam", model, upsample=False).analyze(x, CLASSES, batch_size=batch_size)
    close(ours, np.einsum("bk,bijk->bij", shares, a))


@quick
@pytest.mark.parametrize("batch_size", [32, 2])
def test_ablation_cam_weighs_channels_by_what_is_lost_without_them(batch_size):
    model, x = pooled()
    a = activations(model, "late", x)
    kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer("out").weights)
    value = (a.mean(axis=(1, 2)) @ kernel + bias)[np.arange(3), CLASSES]
    lost = a.mean(axis=(1, 2)) * kernel[:, CLASSES].T  # what each channel adds to the logit
    analyzer = innspect.create_analyzer("ablation_cam", model, upsample=False, relu=False)
    ours = analyzer.analyze(x, CLASSES, batch_size=batch_size)
    close(ours, np.einsum("bk,bijk->bij", lost / value[:, None], a), 1e-4)


def test_score_cam_of_an_image_of_one_colour():
    """Channels that are the same everywhere mask everything: 0 / 1e-8, also behind TensorFlow's graph optimizer."""
    model, x = pooled(seed=3)
    assert np.isfinite(innspect.create_analyzer("score_cam", model).analyze(0 * x, 0)).all()


# ---------------------------------------------------------------------- RSI-Grad-CAM
PATH = np.linspace(0, 1, 8).reshape(-1, 1, 1, 1, 1).astype("float32")


@functools.cache
def along_the_path():
    """Activations and gradients at 8 points, each of shape (8, samples, height, width, channels)."""
    model, x = flattened()
    points = (PATH * x).reshape(-1, *x.shape[1:])
    a, g = activations(model, "pool", points), gradients(model, "pool", points, 1, head="output")
    return [v.astype("float64").reshape(8, 3, *v.shape[1:]) for v in (a, g)]


def units(a, g):
    return ((g[1:] + g[:-1]) / 2 * (a[1:] - a[:-1])).sum(axis=0)


# Which units of the path's sum make the map.
SELECTIONS = {
    "none": units,
    "relu_grad": lambda a, g: units(a, np.maximum(g, 0)),
    "positive": lambda a, g: units(a, g) * ((a[-1] > 0) & (units(a, g) > 0) & (a[-1] > a[0])),
}


def rsi_grad_cam(selection, **path):
    model, x = flattened()
    arguments = {"layer": "pool", "selection": selection, "upsample": False, "relu": False}
    return innspect.create_analyzer("rsi_grad_cam", model, **arguments, **path).analyze(x, 1, batch_size=8)


def summed(selection):
    a, g = along_the_path()
    return (SELECTIONS[selection](a, g).mean(axis=(1, 2), keepdims=True) * a[-1]).sum(-1)


@quick
@pytest.mark.parametrize("selection", SELECTIONS)
def test_rsi_grad_cam_is_the_sum_over_its_path(selection):
    close(rsi_grad_cam(selection, steps=7), summed(selection), 1e-4)


@quick
def test_a_path_may_be_given_as_an_array():
    _, x = flattened()
    close(rsi_grad_cam("positive", path=PATH * x), summed("positive"), 1e-4)


@quick
def test_a_path_may_be_given_as_a_function_of_the_inputs():
    close(rsi_grad_cam("positive", path=lambda x: PATH * flattened()[1][: len(x)]), summed("positive"), 1e-4)


def test_rsi_grad_cam_is_complete_in_the_limit():
    model, x = flattened(seed=2)
    arguments = {"layer": "early", "selection": "none", "reference_inputs": models.array(9, 10, 2, seed=7)}
    coarse, fine = (
        innspect.create_analyzer("rsi_grad_cam", model, steps=steps, **arguments).explain(x[:1], 1, batch_size=256)
        for steps in (10, 1000)
    )
    change = fine.targets - ops.convert_to_numpy(model(arguments["reference_inputs"][None]))[:, 1]
    assert abs(change[0]) > 0.02
    assert np.abs(fine.delta).max() < 2e-3
    assert np.abs(fine.delta).max() < np.abs(coarse.delta).max()


def test_a_path_of_no_length_has_no_map():
    model, x = flattened(seed=2)
    assert not innspect.create_analyzer("rsi_grad_cam", model, steps=4, reference_inputs=x).analyze(x).any()
