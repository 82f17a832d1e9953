"""AttnLRP and CP-LRP: against NumPy formulas, against LXT, and the laws of METHODS 15, on every kind of attention."""

import os

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect
from innspect.graph.opened.opened_model import open_model

pytestmark = pytest.mark.usefixtures("quick")

JAX = keras.backend.backend() == "jax"  # where compiling takes its time: there one of each way
METHODS = ["lrp.attention"] if JAX else ["lrp.attention", "lrp.cp", "lrp.z"]
REFERENCES = os.path.join(os.path.dirname(__file__), "references", "lxt_attention.npz")


def explain(name, model, x, neuron=1, **arguments):
    return innspect.create_analyzer(name, model, **arguments).explain(x, neuron)


def attributions(name, model, x, neuron=1, **arguments):
    return explain(name, model, x, neuron, **arguments).attributions


def per_sample(R):
    return R.reshape(len(R), -1).sum(1)


def without_biases(model):
    for variable in model.weights:
        if variable.path.endswith(("bias", "beta")):
            variable.assign(np.zeros(variable.shape))
    return model


def read_out(tokens):
    return L.Dense(3, name="logits")(L.GlobalAveragePooling1D()(tokens))


def block(x, activation="relu", heads=2, norm=L.LayerNormalization, **attention):
    """A transformer block that normalizes first."""
    n = norm()(x)
    h = L.Add()([x, L.MultiHeadAttention(heads, 3, **attention)(n, n)])
    return L.Add()([h, L.Dense(x.shape[-1])(L.Dense(7, activation=activation)(norm()(h)))])


# ---------------------------------------------------------------------- numbers of LXT
def lxt_model(values, name):
    inputs = keras.Input(values["x"].shape[1:])
    mha, head = L.MultiHeadAttention(1, 8, name="mha"), L.Dense(5, name="head")
    if name == "attention_h1":
        h = mha(inputs, inputs)
    else:
        n = L.LayerNormalization(epsilon=1e-3, name="ln1")(inputs)
        h = L.Add()([inputs, mha(n, n)])
        m = L.Dense(16, activation=lambda t: ops.gelu(t, approximate=False), name="mlp1")(
            L.LayerNormalization(epsilon=1e-3, name="ln2")(h)
        )
        h = L.Add()([h, L.Dense(8, name="mlp2")(m)])
    model = keras.Model(inputs, head(L.GlobalAveragePooling1D()(h)))
    for layer in model.layers:
        for variable in layer.weights:
            parts = variable.path.split("/")
            variable.assign(values["weights/" + "/".join(parts[parts.index(layer.name) :])])
    return model


@pytest.mark.parametrize("name", ["attention_h1", "block_h1"])
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp"])
def test_one_head_gives_lxts_numbers(name, method, double):
    with np.load(REFERENCES) as file:
        values = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(name)}
    ours = attributions(method, lxt_model(values, name), values["x"].astype("float64"), values["target"])
    np.testing.assert_allclose(ours, values[method], rtol=1e-4, atol=1e-4 * np.abs(values[method]).max())


# ---------------------------------------------------------------------- the formulas of METHODS 15, in relevance form
def dense(x, w, b, R, equation, back):
    """The epsilon rule with epsilon = 0 of z = einsum(equation, x, w) + b."""
    z = np.einsum(equation, x, w) + b
    return x * np.einsum(back, R / z, w)


def attend(x, parts, mask=None):
    """Queries, keys, values, (scores, weights) of each sample and head, mixed values, and the output."""
    q, k, v = (np.einsum("btd,dnh->btnh", x, w) + b for w, b in (parts[n] for n in ("query", "key", "value")))
    o, p = np.zeros_like(v), {}
    for s in range(len(x)):
        for n in range(q.shape[2]):
            scores = q[s, :, n] @ k[s, :, n].T / np.sqrt(q.shape[-1])
            e = np.exp(scores - scores.max(1, keepdims=True)) * (1 if mask is None else mask)
            p[s, n] = scores, e / e.sum(1, keepdims=True)
            o[s, :, n] = p[s, n][1] @ v[s, :, n]
    w, b = parts["attention_output"]
    return q, k, v, p, o, np.einsum("btnh,nhd->btd", o, w) + b


def attention_formula(x, parts, R, attention_takes, mask=None):
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


@pytest.mark.parametrize(("heads", "causal"), [(1, False), (2, False), (3, True)])
def test_several_heads_follow_the_formula(heads, causal, double):
    x = keras.Input((4, 6))
    mha = L.MultiHeadAttention(heads, 3, name="mha")
    model = shake(keras.Model(x, read_out(mha(x, x, use_causal_mask=causal))))
    data = array(2, 4, 6).astype("float64")
    parts = {v.path.split("/")[-2]: [] for v in mha.weights}
    for variable in mha.weights:
        parts[variable.path.split("/")[-2]].append(ops.convert_to_numpy(variable))
    mask = np.tril(np.ones((4, 4))) if causal else None
    *_, y = attend(data, parts, mask)
    w, b = (ops.convert_to_numpy(v)[..., 1] for v in model.get_layer("logits").weights)
    logit = y.mean(1) @ w + b
    R = y / 4 * w  # relevance of the attention layer's output: LRP-0 of the mean and of the logit
    for name, takes in (("lrp.attention", True), ("lrp.cp", False)):
        ours = explain(name, model, data)
        np.testing.assert_allclose(ours.targets, logit, rtol=1e-9)
        np.testing.assert_allclose(ours.attributions, attention_formula(data, parts, R, takes, mask), rtol=1e-7, atol=1e-10)


# ---------------------------------------------------------------------- laws
@pytest.mark.parametrize("norm", [L.LayerNormalization, L.RMSNormalization])
def test_cp_conserves_exactly_without_biases(norm, double):
    """X1: with attention and scale as constants a bias-free ReLU transformer is linear in its input."""
    x = keras.Input((4, 6))
    model = without_biases(shake(keras.Model(x, read_out(block(block(x, norm=norm), norm=norm, use_bias=False)))))
    ours = explain("lrp.cp", model, array(3, 4, 6).astype("float64"))
    np.testing.assert_allclose(per_sample(ours.attributions), ours.targets, rtol=1e-9)
    np.testing.assert_allclose(ours.delta, 0, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_a_matrix_product_gives_half_to_each_operand(method, double):
    """X2, for matmul, einsum, and the product of SwiGLU."""
    a, b = keras.Input((3, 4)), keras.Input((4, 3))
    data = [array(2, 3, 4).astype("float64"), array(2, 4, 3, seed=1).astype("float64")]
    u, v = L.Dense(4, use_bias=False)(a), L.Dense(4, use_bias=False)(ops.transpose(b, (0, 2, 1)))
    products = [ops.matmul(u, ops.transpose(v, (0, 2, 1))), ops.einsum("btd,bsd->bts", u, v), ops.silu(u) * v]
    for product in products:
        model = shake(keras.Model([a, b], L.Dense(2, use_bias=False)(L.Flatten()(product))))
        ours = explain(method, model, data)
        for R in ours.attributions:
            np.testing.assert_allclose(per_sample(R), ours.targets / 2, rtol=1e-5)


def test_a_sigmoid_gate_gets_nothing(double):
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], L.Dense(2, use_bias=False)(ops.sigmoid(L.Dense(4)(a)) * L.Dense(4, use_bias=False)(b)))
    ours = explain("lrp.attention", shake(model), [array(2, 4), array(2, 4, seed=1)])
    assert not ours.attributions[0].any()
    np.testing.assert_allclose(per_sample(ours.attributions[1]), ours.targets, rtol=1e-5)


def root_mean_square(x):
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)


def divided_by_its_root(x):
    return x / ops.sqrt(ops.maximum(ops.mean(x**2, axis=-1, keepdims=True), 1e-6))


class Scaled(L.Layer):
    """As in Gemma: the scale is read by itself, outside an operation on the input."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.built = True

    def call(self, x):
        scale = ops.cast(self.scale, x.dtype)
        return x * ops.reciprocal(ops.sqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)) * (1 + scale)


def sum_of_sizes(x):
    return x / (ops.sum(ops.abs(x), axis=-1, keepdims=True) + 1e-9)


UNCENTRED = {
    "layer": lambda x: L.RMSNormalization()(x),
    "unit": lambda x: L.UnitNormalization()(x),
    "operation": lambda x: ops.rms_normalization(x, ops.ones((6,), x.dtype)),
    "normalize": lambda x: ops.normalize(x, axis=-1, order=2),
    "sizes": sum_of_sizes,
    "by hand": root_mean_square,
    "by hand, divided": divided_by_its_root,
    "a layer of the user's": lambda x: Scaled()(x),
}


HARD = ["layer", "by hand, divided", "a layer of the user's"]


CASES = [(m, n) for m in METHODS for n in (HARD if JAX or m != "lrp.attention" else UNCENTRED)]


@pytest.mark.parametrize(("method", "norm"), CASES)
def test_normalization_without_a_mean_passes_relevance_unchanged(norm, method, double):
    """X3."""
    x = keras.Input((4, 6))
    h = L.Activation("linear", name="before")(L.Dense(6)(x))
    n = L.Activation("linear", name="after")(UNCENTRED[norm](h))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(n))))
    kernel, bias = (ops.convert_to_numpy(w)[..., 1] for w in model.layers[-1].weights)
    data = array(2, 4, 6).astype("float64")
    ours = innspect.create_analyzer(method, model).explain(data, 1, at=["before"])
    normalized = (ours.targets - bias)[:, None]  # LRP-0: the relevance of a feature is feature times weight
    np.testing.assert_allclose(per_sample(ours.signals["before"])[:, None], normalized, rtol=1e-4)
    values = ops.convert_to_numpy(keras.Model(x, n)(data)).reshape(2, -1) * kernel
    np.testing.assert_allclose(ours.signals["before"].reshape(2, -1), values, rtol=1e-4, atol=1e-6)


def centred(x, axes, q):
    """The relevance of y = (x - mean(x)) r gamma + beta with r as it is: x (q - mean(q)), q = R gamma r / y."""
    return x * (q - q.mean(axes, keepdims=True))


@pytest.mark.parametrize("method", METHODS)
def test_layer_and_group_normalization_keep_their_scale_and_centre(method, double):
    data = array(2, 4, 6).astype("float64")
    for norm, axes, groups in ((L.LayerNormalization(), (2,), None), (L.GroupNormalization(3), (1, 3), 3)):
        x = keras.Input((4, 6))
        model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(norm(x)))))
        gamma = ops.convert_to_numpy(norm.gamma)
        g = ops.convert_to_numpy(model.layers[-1].kernel)[:, 1].reshape(4, 6)  # R / y
        split = (lambda t: t) if groups is None else (lambda t: t.reshape(2, 4, 3, 2))
        z = split(data)
        r = 1 / np.sqrt(z.var(axes, keepdims=True) + norm.epsilon)
        expected = centred(z, axes, split(np.broadcast_to(g * gamma, data.shape)) * r).reshape(data.shape)
        np.testing.assert_allclose(attributions(method, model, data), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["lrp.attention", "lrp.z"])
@pytest.mark.parametrize("axis", [-1, (1, 2)])
def test_the_softmax_rule(method, axis, double):
    """X4: R_i = x_i (R_i - s_i sum_j R_j)."""
    x = keras.Input((3, 4))
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(L.Softmax(axis=axis)(x)))))
    data = array(2, 3, 4).astype("float64")
    e = np.exp(data)
    s = e / e.sum(axis, keepdims=True)
    R = s * ops.convert_to_numpy(model.layers[-1].kernel)[:, 1].reshape(3, 4)
    expected = data * (R - s * R.sum(axis, keepdims=True))
    np.testing.assert_allclose(attributions(method, model, data), expected, rtol=1e-6, atol=1e-9)


def test_tokens_sum_to_the_logit(double):
    """X5: relevance of ids, with learned positions; what the positions take is known."""
    tokens = keras.Input((5,), dtype="int32")
    h = L.Embedding(9, 6, name="words")(tokens)
    model = without_biases(shake(keras.Model(tokens, read_out(block(h, use_bias=False)))))
    ours = explain("lrp.cp", model, ids(3, 5, below=9))
    assert ours.attributions.shape == (3, 5)
    np.testing.assert_allclose(ours.attributions.sum(1), ours.targets, rtol=1e-9)


def written(numerator, denominator=lambda e: ops.sum(e, axis=-1, keepdims=True)):
    def softmax(x):
        return numerator(x) / denominator(numerator(x))

    return softmax


def highest(x):
    return ops.max(x, axis=-1, keepdims=True)


SOFTMAX = {
    "exp / sum": written(ops.exp),
    "a maximum subtracted": written(lambda x: ops.exp(x - highest(x))),
    "a stopped maximum": written(lambda x: ops.exp(x - ops.stop_gradient(highest(x)))),
    "another shape": written(ops.exp, lambda e: ops.expand_dims(ops.sum(e, axis=-1), -1)),
    "a guarded sum": written(ops.exp, lambda e: ops.maximum(ops.sum(e, -1, keepdims=True), 1e-9) + 1e-12),
    "reciprocal": lambda x: ops.exp(x) * ops.reciprocal(ops.sum(ops.exp(x), -1, keepdims=True)),
    "one over": lambda x: (1 / ops.sum(ops.exp(x), -1, keepdims=True)) * ops.exp(x),
    "logsumexp": lambda x: ops.exp(x - ops.logsumexp(x, axis=-1, keepdims=True)),
    "log_softmax": lambda x: ops.exp(ops.log_softmax(x)),
}


def pooled(softmax, x=None):
    """Pooling by attention, with the softmax of the scores as the user writes it."""
    x = keras.Input((4, 3)) if x is None else x
    p = L.Lambda(softmax, output_shape=(4,), name="weights")(L.Reshape((4,))(L.Dense(1, name="scores")(x)))
    return keras.Model(x, L.Dense(2, name="out")(L.Dot(axes=1)([p, L.Dense(3, name="values")(x)])))


@pytest.mark.parametrize("kind", list(SOFTMAX)[2:5] if JAX else list(SOFTMAX))
def test_a_softmax_that_is_written_out_is_a_softmax(kind, double):
    model, whole = pooled(SOFTMAX[kind]), shake(pooled(ops.softmax))
    model.set_weights(whole.get_weights())
    data = array(2, 4, 3).astype("float64")
    for method in ("lrp.attention", "lrp.cp", "lrp.z"):
        ours = innspect.create_analyzer(method, model).explain(data, 1, at="weights")
        theirs = innspect.create_analyzer(method, whole).explain(data, 1, at="weights")
        np.testing.assert_allclose(ours.attributions, theirs.attributions, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(ours.signals["weights"], theirs.signals["weights"], rtol=1e-5, atol=1e-9)
        assert ours.signals["weights"].any() == (method != "lrp.cp")  # a constant there, which gets nothing

    x = keras.Input((4,))
    head = shake(keras.Model(x, SOFTMAX[kind](L.Dense(3)(x))))
    data = array(2, 4)
    logits = ops.convert_to_numpy(head.layers[1](data))
    for model in (head, innspect.model_wo_softmax(head)):  # as a head it is stripped
        np.testing.assert_allclose(explain("lrp.z", model, data).targets, logits[:, 1], rtol=1e-5)


def test_a_softmax_with_a_mask_multiplied_in(double):
    """Masked scores take no part: as if the masked token were not there."""
    keep = np.array([1.0, 1, 1, 0])
    masked = pooled(written(lambda x: ops.multiply(ops.exp(x), keep), lambda e: ops.sum(e, -1, keepdims=True) + 1e-15))
    chosen = pooled(written(lambda x: ops.where(keep > 0, ops.exp(x), 0.0)))
    plain = shake(pooled(ops.softmax, keras.Input((4, 3))))
    data = array(2, 4, 3).astype("float64")
    short = keras.Input((3, 3))
    h = L.Softmax()(L.Reshape((3,))(plain.get_layer("scores")(short)))
    short = keras.Model(short, plain.get_layer("out")(L.Dot(axes=1)([h, plain.get_layer("values")(short)])))
    expected = attributions("lrp.attention", short, data[:, :3])
    for model in (masked, chosen):
        model.set_weights(plain.get_weights())
        ours = attributions("lrp.attention", model, data)
        np.testing.assert_allclose(ours[:, :3], expected, rtol=1e-5, atol=1e-9)
        assert not ours[:, 3].any()


def test_what_is_no_softmax_is_not_taken_for_one():
    x = keras.Input((4,))
    for wrong in (
        lambda h: ops.exp(h - highest(h)) / ops.sum(ops.exp(h), -1, keepdims=True),
        lambda h: ops.exp(h) / ops.sum(ops.exp(2 * h), -1, keepdims=True),
        lambda h: ops.exp(h) / ops.mean(ops.exp(h), -1, keepdims=True) * h,
        lambda h: ops.exp(h - ops.logsumexp(2 * h, -1, keepdims=True)),
    ):
        graph = open_model(keras.Model(x, L.Dense(2)(wrong(L.Dense(3)(x))))).graph
        assert not any(n.kind == "softmax" for n in graph.nodes)


def test_a_gated_linear_unit_gives_all_to_its_signal(double):
    x = keras.Input((6,))
    halves = L.Concatenate()([L.Dense(4, use_bias=False)(x), L.Dense(4, name="gate")(x)])
    model = shake(keras.Model(x, L.Dense(2, use_bias=False)(keras.activations.glu(halves))))
    ours = innspect.create_analyzer("lrp.attention", model).explain(array(3, 6), 1, at="gate")
    assert not ours.signals["gate"].any()
    np.testing.assert_allclose(per_sample(ours.attributions), ours.targets, rtol=1e-5, atol=1e-7)


def weighted(h, p):
    return ops.sum(p[..., None] * h, axis=1)


@pytest.mark.parametrize("method", METHODS)
def test_gates(method, double):
    """A sigmoid, and what it leaves of the rest, take nothing. A softmax takes its half in the LRP of transformers."""
    x, y = keras.Input((4, 3)), keras.Input((4, 3))
    h, other, gate = L.Dense(3, use_bias=False)(x), L.Dense(3, use_bias=False)(x), ops.sigmoid(L.Dense(3)(y))
    model = shake(keras.Model([x, y], L.Dense(2, use_bias=False)(L.Flatten()(gate * h + (1 - gate) * other))))
    ours = explain(method, model, [array(2, 4, 3), array(2, 4, 3, seed=1)])
    assert not ours.attributions[1].any()
    np.testing.assert_allclose(per_sample(ours.attributions[0]), ours.targets, rtol=1e-5, atol=1e-6)

    p = L.Softmax()(L.Reshape((4,))(L.Dense(1, name="scores")(y)))
    h = L.Dense(3, use_bias=False)(x)
    out = L.Dense(2, use_bias=False)
    product = shake(keras.Model([x, y], out(weighted(h, p))))
    matrix = keras.Model([x, y], out(L.Dot(axes=1)([p, h])))
    data = [array(2, 4, 3), array(2, 4, 3, seed=1)]
    ours, theirs = explain(method, product, data), explain(method, matrix, data)
    if method == "lrp.z":  # METHODS 14.1: the product's softmax is a gate
        assert not ours.attributions[1].any()
        np.testing.assert_allclose(per_sample(ours.attributions[0]), ours.targets, rtol=1e-5, atol=1e-6)
    else:
        for one, another in zip(ours.attributions, theirs.attributions, strict=True):
            np.testing.assert_allclose(one, another, rtol=1e-5, atol=1e-7)


# ---------------------------------------------------------------------- every kind of attention
class Own(L.Layer):
    """Attention as users write it, of a length known at run time only, with rotary positions."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.project = L.Dense(18)

    def build(self, shape):
        self.project.build(shape)
        self.temperature = self.add_weight(shape=(), name="temperature")
        self.built = True

    def rotate(self, x):
        angle = ops.cast(ops.arange(ops.shape(x)[1]), x.dtype)[None, :, None] * 0.3
        left, right = ops.split(x, 2, axis=-1)
        return ops.concatenate(
            [left * ops.cos(angle) - right * ops.sin(angle), right * ops.cos(angle) + left * ops.sin(angle)], -1
        )

    def call(self, x):
        q, k, v = ops.split(self.project(x), 3, axis=-1)
        scores = ops.matmul(self.rotate(q), ops.transpose(self.rotate(k), (0, 2, 1)))
        return ops.matmul(ops.softmax((1 + self.temperature) * scores), v)


ATTENTION = {
    "self": lambda x: L.MultiHeadAttention(2, 3)(x, x),
    "dropout": lambda x: L.MultiHeadAttention(2, 3, dropout=0.1)(x, x),
    "causal": lambda x: L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True),
    "causal, dropout": lambda x: L.MultiHeadAttention(2, 3, dropout=0.1)(x, x, use_causal_mask=True),
    "grouped": lambda x: L.GroupQueryAttention(3, 4, 2)(x, x),
    "grouped, causal": lambda x: L.GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True),
    "dot": lambda x: L.Attention(use_scale=True)([x, x]),
    "dot, causal": lambda x: L.Attention()([x, x], use_causal_mask=True),
    "concat": lambda x: L.Attention(score_mode="concat", use_scale=True)([x, x]),
    "additive": lambda x: L.AdditiveAttention()([x, x]),
    "operation": lambda x: ops.reshape(
        ops.dot_product_attention(*[ops.reshape(x, (-1, 5, n, 2)) for n in (3, 3, 3)], is_causal=True), (-1, 5, 6)
    ),
    "the user's": lambda x: Own()(x),
}


KINDS = ["causal, dropout", "grouped, causal", "additive", "the user's"] if JAX else list(ATTENTION)


@pytest.mark.parametrize("kind", KINDS)
def test_every_attention_opens_and_agrees_with_the_relevance_form(kind, double):
    """LRP-0 is written in relevance form, AttnLRP as a modified gradient: two ways to the same numbers."""
    x = keras.Input((5, 6))
    model = shake(keras.Model(x, read_out(L.Add()([x, ATTENTION[kind](L.Dense(6)(x))]))))
    clone = open_model(model)
    assert not clone.unopened
    assert not any(n.kind == "opaque" for n in clone.graph.nodes)
    data = array(2, 5, 6).astype("float64")
    ours = explain("lrp.attention", model, data)
    np.testing.assert_allclose(ours.outputs, ops.convert_to_numpy(model(data)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.attributions, attributions("lrp.z", model, data), rtol=1e-3, atol=1e-5)
    frozen = attributions("lrp.cp", model, data)
    assert np.isfinite(frozen).all()
    assert np.abs(frozen - ours.attributions).max() > 1e-4


def test_attention_is_the_same_graph_whatever_the_backend_would_run():
    x = keras.Input((5, 6))
    made = [keras.Model(x, L.MultiHeadAttention(2, 3, name="mha", flash_attention=flash)(x, x)) for flash in (None, False)]
    for model in made:
        kinds = [n.kind for n in open_model(model).graph.nodes if n.kind not in ("pass", "reindex", "sum")]
        assert kinds == ["affine"] * 3 + ["bilinear", "softmax", "bilinear", "affine"]


def test_cross_attention_and_its_masks(double):
    """Both inputs get their part; with attention as a constant the queries get nothing; masked tokens exactly 0."""
    query, memory = keras.Input((3, 6)), keras.Input((5, 6))
    h = L.MultiHeadAttention(2, 3)(query, L.Masking()(memory))
    model = shake(keras.Model([query, memory], read_out(h)))
    data = [array(2, 3, 6).astype("float64"), array(2, 5, 6, seed=1).astype("float64")]
    data[1][1, 3:] = 0
    asked, looked_up = attributions("lrp.attention", model, data)
    assert np.abs(asked).max() > 1e-4
    assert np.abs(looked_up).max() > 1e-4
    asked, looked_up = attributions("lrp.cp", model, data)
    assert not asked.any()
    assert np.abs(looked_up[1, :3]).max() > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_masked_and_future_tokens_get_exactly_nothing(method, double):
    tokens = keras.Input((6,), dtype="int32")
    h = L.Embedding(9, 6, mask_zero=True)(tokens)
    model = shake(keras.Model(tokens, L.Dense(4)(block(h))))
    data = ids(2, 6, below=9) % 8 + 1
    data[1, 4:] = 0
    R = attributions(method, model, data, (1, 2))
    assert not R[1, 4:].any()
    assert np.abs(R[1, :4]).min() > 1e-6

    generator = shake(keras.Model(tokens, L.Dense(9)(block_causal(L.Embedding(9, 6)(tokens)))))
    R = attributions(method, generator, data, (3, 5))  # the token generated after the fourth
    assert not R[:, 4:].any()
    assert np.abs(R[:, :4]).min() > 1e-6


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_mask_that_is_added_gets_nothing_however_large_its_numbers(dtype, double):
    """(1 - mask) * -1e9 is 0 or takes no part; the learned bias it is added to keeps its share, in the books too."""
    x, mask = keras.Input((5, 6)), keras.Input((5,), dtype=dtype)
    q, k, v = (L.Dense(4)(x) for _ in range(3))
    added = (1.0 - ops.cast(mask[:, None, :], x.dtype)) * -1e9 + array(5, 5).astype(x.dtype)
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) + added
    model = shake(keras.Model([x, mask], L.Dense(3)(ops.matmul(ops.softmax(scores), v)[:, 0])))
    data = [array(2, 5, 6), np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], dtype)]
    analyzer = innspect.create_analyzer("lrp.attention", model)
    tokens, masked = analyzer.analyze(data, 1)
    assert not masked.any()
    assert not tokens[1, [2, 4]].any()
    assert np.abs(tokens[0]).min() > 1e-6
    assert analyzer.conservation(data, 1).error < 1e-6


def block_causal(x):
    return L.Add()([x, L.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)])


def test_attention_over_several_axes(double):
    x = keras.Input((2, 3, 4))
    h = L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x)
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(h))))
    flat = keras.Input((6, 4))  # the same tokens in one row
    row = keras.Model(flat, L.Dense(3)(L.Flatten()(L.MultiHeadAttention(2, 3)(flat, flat))))
    row.set_weights(model.get_weights())
    data = array(2, 2, 3, 4).astype("float64")
    for method in ("lrp.attention", "lrp.cp"):
        expected = attributions(method, row, data.reshape(2, 6, 4)).reshape(data.shape)
        np.testing.assert_allclose(attributions(method, model, data), expected, rtol=1e-6, atol=1e-9)


def test_lengths_that_are_known_at_run_time_only(double):
    """One analyzer explains sequences of any length; each as a model of that length would be."""
    x = keras.Input((None, 6))
    layers = [Own(), L.MultiHeadAttention(2, 3), L.Dense(3)]

    def make(x):
        h = layers[1](*[layers[0](x)] * 2, use_causal_mask=True)
        return keras.Model(x, layers[2](L.GlobalAveragePooling1D()(h)))

    model = shake(make(x))
    analyzer = innspect.create_analyzer("lrp.attention", model)
    assert not analyzer.opened.unopened
    for length in (3, 5):
        data = array(2, length, 6).astype("float64")
        expected = attributions("lrp.attention", make(keras.Input((length, 6))), data)
        np.testing.assert_allclose(analyzer.analyze(data, 1), expected, rtol=1e-6, atol=1e-9)


class Distances(L.Layer):
    """Mixes tokens by how far apart they are, with everything that lengths are written into."""

    def call(self, x):
        batch, length = ops.shape(x)[:2]
        rows = ops.repeat(ops.arange(length)[None], length, axis=0)
        far = ops.cast(ops.abs(rows - ops.transpose(rows)), x.dtype)
        near = ops.exp(-ops.tile(far, (1, 2))[None, :, :length])
        return ops.matmul(ops.broadcast_to(near, (batch, length, length)), x) * ops.ones((batch, length, 1))


def test_shapes_repeats_and_slices_of_lengths_known_at_run_time_only(double):
    """As a model of that length, where only the number of samples is not known."""
    x = keras.Input((None, 6))
    layers = [Distances(), L.Dense(3)]

    def make(x):
        return keras.Model(x, layers[1](L.GlobalAveragePooling1D()(layers[0](x))))

    model = shake(make(x))
    analyzer = innspect.create_analyzer("lrp.z", model)
    assert not analyzer.opened.unopened
    for length in (3, 5):
        data = array(2, length, 6).astype("float64")
        known = innspect.create_analyzer("lrp.z", make(keras.Input((length, 6))))
        assert not known.opened.unopened
        np.testing.assert_allclose(analyzer.analyze(data, 1), known.analyze(data, 1), rtol=1e-6, atol=1e-9)


class Mixed(L.Layer):
    """Mixes tokens as FNet does, which Keras does symbolically for known lengths only."""

    def call(self, x):
        return ops.fft2((x, ops.zeros_like(x)))[0]

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


def test_where_a_length_must_be_known_the_error_says_so(double):
    x, known = keras.Input((None, 6)), keras.Input((4, 6))
    model = shake(keras.Model(x, read_out(Mixed()(x))))
    with pytest.raises(
        innspect.NotAnalyzeableModelError, match=r"has no rule for 'mixed.*call the model on a `keras.Input` of"
    ):
        innspect.create_analyzer("lrp.attention", model)
    data = array(2, 4, 6).astype("float64")
    analyzer = innspect.create_analyzer("lrp.attention", keras.Model(known, model(known)))
    assert analyzer.conservation(data, 1).error < 1e-9


def test_a_token_of_a_length_not_known_beforehand_is_a_target(double):
    """A generated token: (place, id), as a tuple."""
    tokens = keras.Input((None,), dtype="int32")
    model = shake(keras.Model(tokens, L.Dense(9)(block_causal(L.Embedding(9, 6)(tokens)))))
    analyzer = innspect.create_analyzer("lrp.attention", model)
    data = ids(2, 5, below=9)
    ours = analyzer.explain(data, (2, 7))
    np.testing.assert_allclose(ours.targets, ours.outputs[:, 2, 7], rtol=1e-9)
    np.testing.assert_array_equal(ours.attributions, analyzer.analyze(data, lambda y: y[:, 2, 7]))
    assert not ours.attributions[:, 3:].any()
    for outside in ((5, 7), (2, 9)):
        with pytest.raises(ValueError, match=r"`neuron_selection` must be inside the output's shape .* Received: "):
            analyzer.analyze(data, outside)


class LookUp(L.Layer):
    """An embedding of one's own, in the precision of its weights."""

    def build(self, shape):
        self.vectors = self.add_weight(shape=(9, 6), name="vectors")

    def call(self, ids):
        return ops.take(self.vectors, ids, axis=0)

    def compute_output_spec(self, ids):
        return keras.KerasTensor((*ids.shape, 6), dtype=self.compute_dtype)


def test_a_language_model_in_half_precision_is_explained_in_float32():
    def make(dtype):
        tokens = keras.Input((4,), dtype="int32")
        h = LookUp(dtype=dtype)(tokens)
        h = L.RMSNormalization(dtype=dtype)(L.Add(dtype=dtype)([h, L.MultiHeadAttention(2, 3, dtype=dtype)(h, h)]))
        return keras.Model(tokens, L.Dense(9, dtype=dtype)(h))

    half, full, data = shake(make("bfloat16")), make("float32"), ids(2, 4, below=9)
    full.set_weights([np.asarray(w, "float32") for w in half.get_weights()])
    for method in ("gradient", "lrp.attention", "integrated_gradients"):
        ours = attributions(method, half, data, (3, 5))
        expected = attributions(method, full, data, (3, 5))
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected, atol=0.02 * np.abs(expected).max())


def test_recurrent_layers_between(double):
    """A rule in relevance form among those in gradient form."""
    x = keras.Input((4, 3))
    h = L.LSTM(6, return_sequences=True)(x)
    model = shake(keras.Model(x, read_out(L.Add()([h, L.MultiHeadAttention(2, 3)(h, h)]))))
    data = array(2, 4, 3).astype("float64")
    expected = attributions("lrp.z", model, data)
    analyzer = innspect.create_analyzer("lrp.attention", model)
    np.testing.assert_allclose(analyzer.analyze(data, 1), expected, rtol=1e-3, atol=1e-5)
    assert analyzer.conservation(data, 1).error < 1e-6


def test_outputs_in_a_dict_keep_their_names():
    x = keras.Input((4, 6))
    h = L.MultiHeadAttention(2, 3)(x, x)
    model = shake(keras.Model(x, {"tokens": h, "pooled": L.Dense(3)(h[:, 0])}))  # not in the alphabet's order
    data = array(2, 4, 6)
    ours = innspect.create_analyzer("lrp.cp", model).explain(data, 1, output="pooled")
    np.testing.assert_allclose(ours.targets, ops.convert_to_numpy(model(data)["pooled"])[:, 1], rtol=1e-4)


# ---------------------------------------------------------------------- the methods as such
def test_what_prepares_the_input_hands_relevance_on(double):
    """A pixel of 0 that is rescaled to -1 keeps its relevance."""
    x = keras.Input((4, 4, 1))
    h = L.Reshape((16, 1))(L.Rescaling(1 / 2, offset=-1)(x))
    model = shake(keras.Model(x, read_out(L.Dense(6)(h))))
    data = np.random.default_rng(0).integers(0, 2, (2, 4, 4, 1)).astype("float64")
    ours = attributions("lrp.attention", model, data)
    assert np.abs(ours[data == 0]).min() > 0
    np.testing.assert_allclose(ours, attributions("lrp.z", model, data), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("method", "epsilon"), [("lrp.attention", 0.3), ("lrp.cp", 0)])
def test_the_books_close(method, epsilon, double):
    x = keras.Input((4, 6))
    model = shake(keras.Model(x, read_out(block(x, activation="gelu"))))
    data = array(2, 4, 6).astype("float64")
    analyzer = innspect.create_analyzer(method, model, epsilon=epsilon)
    books = analyzer.conservation(data, 1)
    assert books.error < 1e-9
    assert np.abs(books.columns["stabiliser"]).sum() == 0 if epsilon == 0 else np.abs(books.columns["stabiliser"]).sum() > 1e-3
    ours = analyzer.explain(data, 1, at=["logits"])
    np.testing.assert_allclose(per_sample(ours.signals["logits"]), ours.targets, rtol=1e-9)
    np.testing.assert_allclose(ours.delta, ours.targets - per_sample(ours.attributions), rtol=1e-9)
    lost = sum(books.columns[c].sum(0) for c in ("bias", "stabiliser", "dropped"))
    np.testing.assert_allclose(lost, ours.delta, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", ["lrp.attention", "lrp.z"])
def test_the_books_find_the_samples_where_another_axis_is_first(method, double):
    """Queries, keys and values apart along the first axis, and a largest score that becomes exactly 0."""
    x = keras.Input((4, 6))
    q, k, v = ops.unstack(ops.transpose(ops.reshape(L.Dense(18)(x), (-1, 4, 3, 6)), (2, 0, 1, 3)), 3)
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1)))
    scores = scores - ops.max(scores, axis=-1, keepdims=True)
    model = shake(keras.Model(x, read_out(ops.matmul(ops.softmax(scores), v))))
    assert innspect.create_analyzer(method, model).conservation(array(2, 4, 6), 1).error < 1e-6


def test_epsilon_is_that_of_the_epsilon_rule(double):
    x = keras.Input((6,))
    model = shake(keras.Model(x, L.Dense(3)(L.Dense(5, activation="relu")(x))))
    data = array(3, 6).astype("float64")
    ours = attributions("lrp.attention", model, data, epsilon=0.2)
    np.testing.assert_allclose(ours, attributions("lrp.epsilon", model, data, epsilon=0.2), rtol=1e-9)


def test_bad_arguments_and_what_has_no_rule():
    x = keras.Input((4, 6))
    model = keras.Model(x, read_out(block(x)))
    for epsilon in (-1, "small"):
        with pytest.raises(ValueError, match=r"`epsilon` must be a number that is not negative.*Received: "):
            innspect.create_analyzer("lrp.attention", model, epsilon=epsilon)
    with pytest.raises(innspect.NotAnalyzeableModelError, match="layer_normalization"):
        innspect.create_analyzer("deep_taylor", model)
    for name, message in (("lrp.attention", "quotient .* keras.ops.stop_gradient"), ("lrp.z", "lambda.*quotient")):
        ratio = keras.Model(x, L.Dense(2)(L.Flatten()(L.Lambda(lambda t: ops.tanh(t) / ops.softplus(t), name="lambda")(x))))
        with pytest.raises(innspect.NotAnalyzeableModelError, match=message):
            innspect.create_analyzer(name, ratio)


# ---------------------------------------------------------------------- KerasHub, where it is installed
SMALL = {"vocabulary_size": 20, "num_layers": 2, "intermediate_dim": 16}
GROUPED = {"num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 16}
HUB = {
    "BertBackbone": {**SMALL, "num_heads": 2, "hidden_dim": 8, "max_sequence_length": 6},
    "GPT2Backbone": {**SMALL, "num_heads": 2, "hidden_dim": 8, "max_sequence_length": 6},
    "LlamaBackbone": {**SMALL, **GROUPED},
    "GemmaBackbone": {**SMALL, **GROUPED, "head_dim": 4},
    "DistilBertBackbone": {**SMALL, "num_heads": 2, "hidden_dim": 8, "max_sequence_length": 6},
    "RobertaBackbone": {**SMALL, "num_heads": 2, "hidden_dim": 8, "max_sequence_length": 6},
    "ViTBackbone": {"image_shape": (8, 8, 3), "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HUB)
def test_keras_hub(name):
    hub = pytest.importorskip("keras_hub", exc_type=ImportError)
    model = shake(getattr(hub.models, name)(**HUB[name]))
    mask = np.array([[1] * 5, [1, 1, 1, 0, 0]])
    data = {"token_ids": ids(2, 5, below=20), "padding_mask": mask, "segment_ids": 0 * mask}
    x = {key: data[key] for key in model.input} if isinstance(model.input, dict) else array(2, 8, 8, 3)
    output = {"output": "sequence_output"} if isinstance(model.output, dict) else {}
    for method in ("lrp.attention", "lrp.cp", "lrp.epsilon"):
        analyzer = innspect.create_analyzer(method, model)
        assert not analyzer.opened.unopened
        ours = analyzer.explain(x, (2, 1), **output)
        R = ours.attributions["token_ids"] if isinstance(x, dict) else ours.attributions
        assert np.isfinite(R).all()
        if isinstance(x, dict):
            assert not R[1, 3:].any()
        if method == "lrp.cp" and name in ("LlamaBackbone", "GemmaBackbone"):  # no biases, no centring
            np.testing.assert_allclose(R.sum(1), ours.targets, rtol=1e-3)
