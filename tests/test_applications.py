"""The networks people bring, with random weights and small inputs: every map is finite and every layer's books close."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
import zoo

import innspect
from innspect import backend

STORED = json.loads((Path(__file__).parent.parent / "docs" / "support.json").read_text(encoding="utf-8"))

# Each family of keras.applications, and some of the methods; together every kind of method meets every kind of layer.
# What is compiled is what a user runs: TensorFlow's graph optimizer has rewritten sums of these networks before.
COMPILED = {
    "VGG16": ["saliency", "lrp.z", "lrp.w_square", "lrp.sequential_preset_b_flat", "deep_taylor.bounded"],
    "MobileNet": ["lrp.gamma", "lrp.z_plus", "deep_lift"],
    "ResNet50": ["guided_backprop", "lrp.epsilon_gamma_box"],
    "ResNet50V2": ["lrp.epsilon_plus_flat"],
    "EfficientNetB0": ["lrp.epsilon_plus_flat"],
    "MobileNetV3Small": ["lrp.epsilon"],
    "ConvNeXtTiny": ["lrp.epsilon", "deep_lift"],  # step by step, TensorFlow compiles each grouped convolution anew
}
STEP_BY_STEP = {
    "DenseNet121": ["hires_cam", "deep_lift"],
    "EfficientNetV2B0": ["lrp.alpha_1_beta_0", "deep_lift"],
    "InceptionV3": ["lrp.sequential_preset_a_flat"],
    "MobileNet": ["lrp.alpha_2_beta_1", "grad_cam"],
    "MobileNetV2": ["gradient", "lrp.attention", "lrp.cp", "layer_cam"],
    "MobileNetV3Small": ["guided_backprop", "lrp.gamma", "lrp.epsilon_plus_flat", "integrated_gradients", "deep_shap"],
    "NASNetMobile": ["lrp.epsilon"],
    "ResNet50": ["lrp.flat", "smoothgrad"],
    "ResNet50V2": ["deep_taylor", "pattern.attribution", "grad_cam_plus_plus"],
    "Xception": ["lrp.epsilon_plus_flat", "deep_lift"],
}
LIMIT = {"lrp.flat": 1e-4}  # sums of thousands of equal shares, in float32


def check(model, x, methods):
    top = 255.0 if x.max() > 1 else 1.0
    for method in methods:
        arguments = {
            "deep_taylor.bounded": {"low": 0, "high": top},
            "lrp.epsilon_gamma_box": {"low": 0, "high": top},
            "deep_shap": {"background": x[::-1] / 2},
            "integrated_gradients": {"steps": 4},
            "smoothgrad": {"num_samples": 2, "seed": 1},
        }
        analyzer = innspect.create_analyzer(method, model, **arguments.get(method, {}))
        if hasattr(analyzer, "fit"):
            analyzer.fit(x)
        check_map(analyzer, x, method)


def check_map(analyzer, x, method):
    """The map is as the analyzer is run, compiled or not; the books are kept step by step, but not on JAX (see `quick`)."""
    explanation = analyzer.explain(x)
    assert np.isfinite(explanation.attributions).all(), method
    assert np.abs(explanation.attributions).max() > 0, method
    if hasattr(analyzer, "conservation"):
        with pytest.MonkeyPatch.context() as patch:
            if keras.backend.backend() != "jax":
                patch.setattr(backend, "compile", lambda function: function)
            table, limit = analyzer.conservation(x), LIMIT.get(method, 2e-5)
        assert table.error < limit, f"{method}\n{table}"
        lost = sum(table.columns[share].sum(0) for share in ("bias", "stabiliser", "dropped"))
        scale = np.abs(explanation.targets) + table.magnitude.max(0)
        assert (np.abs(explanation.delta - lost) < limit * scale).all(), method
    elif method in ("deep_lift", "deep_shap"):  # contributions sum to the change of the output
        whole = np.abs(explanation.attributions).reshape(len(x), -1).sum(1)
        assert (np.abs(explanation.delta) < 1e-4 * (np.abs(explanation.targets) + whole)).all(), method


def test_the_support_table_agrees():
    for name, methods in [*COMPILED.items(), *STEP_BY_STEP.items()]:
        assert not any(STORED.get(name, {}).get(method) for method in methods), name


@pytest.mark.host
def test_a_small_network():
    check(*zoo.application("MobileNet"), ["guided_backprop", "lrp.epsilon_plus_flat"])


RARE = ("EfficientNetV2B0", "NASNetMobile", "ResNet50V2")  # of whose layers others have all kinds; with INNSPECT_ALL=1


def most(names):
    return [name for name in names if name not in RARE or os.environ.get("INNSPECT_ALL")]


@pytest.mark.slow
@pytest.mark.parametrize("name", most(COMPILED))
def test_networks(name):
    check(*zoo.application(name), COMPILED[name])


@pytest.mark.once
@pytest.mark.parametrize("name", most(STEP_BY_STEP))
def test_networks_step_by_step(name, eager):
    if name == "NASNetMobile" and keras.backend.backend() == "torch":
        pytest.skip("Keras has no NASNet on torch")
    check(*zoo.application(name), STEP_BY_STEP[name])
