"""AttnLRP and CP-LRP in numbers: those of LXT, and those of the formulas of METHODS 15, in relevance form."""

import os

import keras
import numpy as np
import pytest
from attention_networks import read_out
from checks import explain
from keras import layers as L
from keras import ops
from models import array, shake

pytestmark = pytest.mark.usefixtures("double", "quick")

REFERENCES = os.path.join(os.path.dirname(__file__), "references", "lxt_attention.npz")


# ---------------------------------------------------------------------- numbers of LXT
def attention_h1(inputs, mha):
    return mha(inputs, inputs)


def block_h1(inputs, mha):
    n = L.LayerNormalization(epsilon=1e-3, name="ln1")(inputs)
    h = L.Add()([inputs, mha(n, n)])
    m = L.LayerNormalization(epsilon=1e-3, name="ln2")(h)
    m = L.Dense(16, activation=lambda t: ops.gelu(t, approximate=False), name="mlp1")(m)
    return L.Add()([h, L.Dense(8, name="mlp2")(m)])


@pytest.mark.parametrize("body", [attention_h1, block_h1], ids=lambda body: body.__name__)
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp"])
def test_one_head_gives_lxts_numbers(body, method):
    with np.load(REFERENCES) as file:
        values = {key.removeprefix(f"{body.__name__}/"): file[key] for key in file.files if key.startswith(body.__name__)}
    inputs = keras.Input(values["x"].shape[1:])
    h = body(inputs, L.MultiHeadAttention(1, 8, name="mha"))
    model = keras.Model(inputs, L.Dense(5, name="head")(L.GlobalAveragePooling1D()(h)))
    for layer in model.layers:
        for variable in layer.weights:
            parts = variable.path.split("/")
            variable.assign(values["weights/" + "/".join(parts[parts.index(layer.name) :])])
    ours = explain(method, model, values["x"].astype("float64"), values["target"]).attributions
    np.testing.assert_allclose(ours, values[method], rtol=1e-4, atol=1e-4 * np.abs(values[method]).max())


# ---------------------------------------------------------------------- the formulas
def dense(x, w, b, R, equation, back):
    """The epsilon rule with epsilon = 0 of z = einsum(equation, x, w) + b."""
    z = np.einsum(equation, x, w) + b
    return x * np.einsum(back, R / z, w)


def attend(x, parts, mask):
    """Queries, keys, values, (scores, weights) of each sample and head, mixed values, and the output."""
    q, k, v = (np.einsum("btd,dnh->btnh", x, w) + b for w, b in (parts[n] for n in ("query", "key", "value")))
    o, p = np.zeros_like(v), {}
    for s in range(len(x)):
        for n in range(q.shape[2]):
            scores = q[s, :, n] @ k[s, :, n].T / np.sqrt(q.shape[-1])
            e = np.exp(scores - scores.max(1, keepdims=True)) * mask
            p[s, n] = scores, e / e.sum(1, keepdims=True)
            o[s, :, n] = p[s, n][1] @ v[s, :, n]
    w, b = parts["attention_output"]
    return q, k, v, p, o, np.einsum("btnh,nhd->btd", o, w) + b


def attention_formula(x, parts, R, attention_takes, mask):
    """Relevance at x of one multi-head self-attention, by loops over samples and heads."""
    q, k, v, p, o, _ = attend(x, parts, mask)
    (wq, bq), (wk, bk), (wv, bv), (wo, bo) = (parts[n] for n in ("query", "key", "value", "attention_output"))
    width = q.shape[-1]
    Ro = dense(o, wo, bo, R, "btnh,nhd->btd", "btd,nhd->btnh")
    Rq, Rk, Rv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for (s, n), (scores, a) in p.items():
        ratio = Ro[s, :, n] / o[s, :, n]
        Rv[s, :, n] = v[s, :, n] * (a.T @ ratio)
        if attention_takes:
            Rv[s, :, n] /= 2
            Ra = a * (ratio @ v[s, :, n].T) / 2  # half to the attention weights
            Rs = scores * (Ra - a * Ra.sum(1, keepdims=True))  # softmax: x (R - s sum R)
            ratio = np.where(a > 0, Rs / scores, 0) / np.sqrt(width)
            Rq[s, :, n] = q[s, :, n] * (ratio @ k[s, :, n]) / 2
            Rk[s, :, n] = k[s, :, n] * (ratio.T @ q[s, :, n]) / 2
    pairs = ((Rq, wq, bq), (Rk, wk, bk), (Rv, wv, bv))
    return sum(dense(x, w, b, r, "btd,dnh->btnh", "btnh,dnh->btd") for r, w, b in pairs)


EVERYTHING, PAST = np.ones((4, 4)), np.tril(np.ones((4, 4)))


@pytest.mark.parametrize(("method", "attention_takes"), [("lrp.attention", True), ("lrp.cp", False)])
@pytest.mark.parametrize(("heads", "mask"), [(1, EVERYTHING), (2, EVERYTHING), (3, PAST)], ids=["1", "2", "3, causal"])
def test_several_heads_follow_the_formula(heads, mask, method, attention_takes):
    x = keras.Input((4, 6))
    mha = L.MultiHeadAttention(heads, 3, name="mha")
    model = shake(keras.Model(x, read_out(mha(x, x, use_causal_mask=mask is PAST))))
    data = array(2, 4, 6).astype("float64")
    parts = {v.path.split("/")[-2]: [] for v in mha.weights}
    for variable in mha.weights:
        parts[variable.path.split("/")[-2]].append(ops.convert_to_numpy(variable))
    *_, y = attend(data, parts, mask)
    w, b = (ops.convert_to_numpy(v)[..., 1] for v in model.get_layer("logits").weights)
    R = y / 4 * w  # relevance of the attention layer's output: LRP-0 of the mean and of the logit
    ours, expected = explain(method, model, data, 1), attention_formula(data, parts, R, attention_takes, mask)
    np.testing.assert_allclose(ours.targets, y.mean(1) @ w + b, rtol=1e-9)
    np.testing.assert_allclose(ours.attributions, expected, rtol=1e-7, atol=1e-10)


def test_epsilon_is_that_of_the_epsilon_rule():
    x = keras.Input((6,))
    model = shake(keras.Model(x, L.Dense(3)(L.Dense(5, activation="relu")(x))))
    data = array(3, 6).astype("float64")
    ours, theirs = (explain(name, model, data, 1, epsilon=0.2) for name in ("lrp.attention", "lrp.epsilon"))
    np.testing.assert_allclose(ours.attributions, theirs.attributions, rtol=1e-9)
