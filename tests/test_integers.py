"""Inputs that are not in floating point: pixels as bytes, and masks, which no method may move."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, shake

import innspect

pytestmark = pytest.mark.usefixtures("quick")


# ---------------------------------------------------------------------- numbers
def images(dtype, layers):
    x = keras.Input((6, 6, 1), dtype=dtype)
    h = x if dtype == "float32" else ops.cast(x, "float32")
    for layer in layers:
        h = layer(h)
    return keras.Model(x, h)


ARGUMENTS = {
    "gradient": {},
    "lrp.epsilon_gamma_box": {"low": 0, "high": 255},
    "integrated_gradients": {"steps": 5},
    "smoothgrad": {"num_samples": 3, "seed": 1},
    "simple_taylor": {"root": "segment", "reference_inputs": 255},
    "deep_lift": {"reference_inputs": 100},
    "rsi_grad_cam": {"steps": 5},
    "score_cam": {},
    "occlusion": {"window": 2},
    "rise": {"num_masks": 8, "seed": 1},
}


@pytest.mark.filterwarnings("ignore:root='segment'")
@pytest.mark.parametrize("method", ARGUMENTS)
def test_pixels_given_as_bytes_are_numbers(method):
    layers = [L.Rescaling(1 / 255), L.Conv2D(2, 3, activation="relu"), L.GlobalAveragePooling2D(), L.Dense(3)]
    data = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 1))
    floats, whole = shake(images("float32", layers)), images("uint8", layers)
    expected = innspect.create_analyzer(method, floats, **ARGUMENTS[method]).explain(data.astype("float32"), 1)
    ours = innspect.create_analyzer(method, whole, **ARGUMENTS[method]).explain(data.astype("uint8"), 1)
    scale = np.abs(expected.attributions).max()
    np.testing.assert_allclose(ours.attributions, expected.attributions, rtol=1e-4, atol=1e-5 * scale)
    if expected.delta is not None:
        np.testing.assert_allclose(ours.delta, expected.delta, atol=1e-5)


# ---------------------------------------------------------------------- masks
MASK = np.array([[1, 1, 1, 0, 1], [1, 0, 0, 1, 1]])


def pooled(x, mask, kind, layers):
    if kind == "by attention":
        h = layers[0](x, x, attention_mask=ops.cast(mask, "bool")[:, None, :])
    elif kind == "by a cell":
        h = layers[3](x, mask=ops.cast(mask, "bool"))
    else:
        h = ops.where(mask[..., None] > 0 if mask.dtype != "bool" else mask[..., None], layers[1](x), 0.0)
    return layers[2](L.GlobalAveragePooling1D()(h))


@pytest.mark.sweep(
    keep=["by a cell-lrp.attention*bool", "by a condition-deep_lift*int32", "by attention-smoothgrad*float32"], on="jax"
)
@pytest.mark.parametrize("dtype", ["int32", "bool", "float32"])
@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [
        ("by attention", "integrated_gradients", {"steps": 5}),
        ("by attention", "smoothgrad", {"num_samples": 3, "seed": 1}),
        ("by a condition", "simple_taylor", {"root": "newton", "iterations": 2}),
        ("by a condition", "deep_lift", {}),
        ("by a cell", "lrp.attention", {}),
        ("by a cell", "integrated_gradients", {"steps": 5}),
    ],
)
@pytest.mark.filterwarnings("ignore:root='newton'")
def test_a_mask_stays_as_it_is(kind, method, arguments, dtype):
    """As for a model that has each sample's mask built in."""
    layers = [L.MultiHeadAttention(2, 3), L.Dense(4, activation="relu"), L.Dense(3), L.GRU(4, return_sequences=True)]
    x, mask = keras.Input((5, 4)), keras.Input((5,), dtype=dtype)
    model = shake(keras.Model([x, mask], pooled(x, mask, kind, layers)))
    data = array(2, 5, 4)
    ours = innspect.create_analyzer(method, model, **arguments).explain([data, MASK.astype(dtype)], 1)
    for i in range(2):
        built_in = keras.Model(x, pooled(x, ops.convert_to_tensor(MASK[i : i + 1].astype(dtype)), kind, layers))
        expected = innspect.create_analyzer(method, built_in, **arguments).explain(data[i : i + 1], 1)
        np.testing.assert_allclose(ours.attributions[0][i], expected.attributions[0], rtol=1e-4, atol=1e-6)
        if expected.delta is not None:
            np.testing.assert_allclose(ours.delta[i], expected.delta[0], atol=1e-5)
    assert not ours.attributions[1].any()


class Native(L.Layer):
    """What cannot be opened, and takes a mask."""

    def call(self, x, mask):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("values are needed here")
        return x * ops.cast(mask, x.dtype)[..., None]

    def compute_output_spec(self, x, mask):
        return keras.KerasTensor(x.shape, x.dtype)


@pytest.mark.parametrize("dtype", ["int32", "bool"])
@pytest.mark.parametrize("layer", [lambda x, mask: L.LSTM(4)(x, mask=ops.equal(mask, 1)), lambda x, mask: Native()(x, mask)])
def test_a_layer_without_a_rule_has_none_for_its_mask(layer, dtype):
    x, mask = keras.Input((5, 4)), keras.Input((5,), dtype=dtype)
    model = shake(keras.Model([x, mask], L.Dense(3)(L.Flatten()(layer(x, mask)))))
    data = [array(2, 5, 4), MASK.astype(dtype)]
    ours = innspect.create_analyzer("gradient", model).analyze(data, 1)
    assert np.abs(ours[0]).max() > 0
    assert not ours[1].any()
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"has no rule for '(lstm|native)"):
        innspect.create_analyzer("deep_lift", model)


def test_a_mask_may_be_its_own_reference_and_no_other():
    x, mask = keras.Input((5, 4)), keras.Input((5,), dtype="int32")
    layers = [None, L.Dense(4), L.Dense(3)]
    model = shake(keras.Model([x, mask], pooled(x, mask, "by a condition", layers)))
    data = [array(2, 5, 4), MASK.astype("int32")]
    ours = innspect.create_analyzer("integrated_gradients", model, steps=4).analyze(data, 1)
    given = innspect.create_analyzer("integrated_gradients", model, steps=4, reference_inputs=[0, MASK]).analyze(data, 1)
    np.testing.assert_array_equal(ours[0], given[0])
    analyzer = innspect.create_analyzer("integrated_gradients", model, reference_inputs=[0, 1 - MASK])
    with pytest.raises(ValueError, match=r"which no signal flows back to, is the input itself.*must be 0 or None"):
        analyzer.analyze(data, 1)


def test_a_condition_that_is_an_input_has_a_rule():
    x, mask = keras.Input((5,)), keras.Input((5,), dtype="bool")
    chosen = ops.select([mask, x > 2.0], [x, 2 * x], default=0.5)
    model = shake(keras.Model([x, mask], L.Dense(3)(ops.where(mask, x, 0.5) + chosen)))
    data = [array(2, 5), MASK.astype("bool")]
    analyzer = innspect.create_analyzer("lrp.epsilon", model)
    ours = analyzer.analyze(data, 1)
    assert (ours[0][MASK == 0] == 0).all()
    assert (ours[0][MASK == 1] != 0).all()
    assert not ours[1].any()
    assert analyzer.conservation(data, 1).error < 1e-5
