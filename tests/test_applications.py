"""The networks people bring, with random weights and small inputs: every map is finite and every layer's books close."""

import keras
import numpy as np
import pytest

import innspect

SIZES = {"InceptionV3": 75, "Xception": 71}
NETWORKS = [
    "VGG16",
    "ResNet50",
    "ResNet50V2",
    "InceptionV3",
    "Xception",
    "DenseNet121",
    "MobileNet",
    "MobileNetV2",
    "EfficientNetB0",
]
ARGUMENTS = {"deep_taylor.bounded": {"low": 0, "high": 255}, "lrp.epsilon_gamma_box": {"low": 0, "high": 255}}
QUICK = ["MobileNet", "VGG16"]  # the others are large graphs: each meets some of the methods here
SOME = ["guided_backprop", "lrp.epsilon_plus_flat", "lrp.epsilon_gamma_box"]
METHODS = [
    "gradient",
    "saliency",
    "guided_backprop",
    "lrp.z",
    "lrp.epsilon",
    "lrp.gamma",
    "lrp.w_square",
    "lrp.alpha_2_beta_1",
    "lrp.z_plus",
    "lrp.sequential_preset_b_flat",
    "lrp.epsilon_plus_flat",
    "lrp.epsilon_gamma_box",
    "deep_taylor.bounded",
]


def network(name, **arguments):
    """An application with random weights; batch normalization gets statistics that matter when it is folded."""
    keras.utils.set_random_seed(1)
    size = SIZES.get(name, 32)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5, **arguments)
    random = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:
                low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.2, 0.2)
                variable.assign(random.uniform(low, high, variable.shape))
    return model, random.uniform(0, 255 if "Efficient" in name else 1, (2, size, size, 3)).astype("float32")


def check(model, x, method):
    analyzer = innspect.create_analyzer(method, model, **ARGUMENTS.get(method, {}))
    explanation = analyzer.explain(x)
    assert np.isfinite(explanation.attributions).all()
    assert np.abs(explanation.attributions).max() > 0
    if hasattr(analyzer, "conservation"):
        table = analyzer.conservation(x)
        assert table.error < 1e-5, str(table)
        lost = sum(table.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
        scale = np.abs(explanation.targets) + table.magnitude.max(0)
        assert (np.abs(explanation.delta - lost) < 1e-5 * scale).all()


@pytest.mark.parametrize("method", ["guided_backprop", "lrp.epsilon_plus_flat"])
def test_a_small_network(method):
    check(*network("MobileNet", alpha=0.25), method)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    model, x = network(name)
    for method in METHODS if name in QUICK else SOME:
        check(model, x, method)
