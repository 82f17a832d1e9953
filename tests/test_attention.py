"""AttnLRP and CP-LRP on every kind of attention, on its masks, and in whole models; on those of KerasHub where it is."""

import functools

import keras
import numpy as np
import pytest
from attention_networks import METHODS, Own, block, block_causal, one_on_jax, read_out
from checks import explain, predict
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect
from innspect.graph.opened.opened_model import open_model

pytestmark = pytest.mark.usefixtures("quick")


# ---------------------------------------------------------------------- every kind
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
every_kind = pytest.mark.parametrize("kind", ATTENTION)
four_on_jax = pytest.mark.sweep(keep=["causal, dropout", "grouped, causal", "additive", "the user's"], on="jax")


@functools.cache
def attending(kind):
    x = keras.Input((5, 6))
    return shake(keras.Model(x, read_out(L.Add()([x, ATTENTION[kind](L.Dense(6)(x))]))))


@functools.cache
def attending_explained(kind, method):
    return explain(method, attending(kind), array(2, 5, 6).astype("float64"), 1)


@four_on_jax
@every_kind
def test_every_attention_opens(kind, double):
    clone = open_model(attending(kind))
    assert not clone.unopened
    assert not any(n.kind == "opaque" for n in clone.graph.nodes)


@four_on_jax
@every_kind
def test_every_attention_computes_what_its_layer_computes(kind, double):
    expected = predict(attending(kind), array(2, 5, 6).astype("float64"))
    np.testing.assert_allclose(attending_explained(kind, "lrp.attention").outputs, expected, rtol=1e-5, atol=1e-6)


@four_on_jax
@every_kind
def test_every_attention_agrees_with_the_relevance_form(kind, double):
    """LRP-0 is written in relevance form, AttnLRP as a modified gradient: two ways to the same numbers."""
    ours, theirs = attending_explained(kind, "lrp.attention"), attending_explained(kind, "lrp.z")
    np.testing.assert_allclose(ours.attributions, theirs.attributions, rtol=1e-3, atol=1e-5)


@four_on_jax
@every_kind
def test_attention_as_a_constant_is_another_explanation(kind, double):
    frozen = attending_explained(kind, "lrp.cp").attributions
    assert np.isfinite(frozen).all()
    assert np.abs(frozen - attending_explained(kind, "lrp.attention").attributions).max() > 1e-4


@pytest.mark.parametrize("flash", [None, False])
def test_attention_is_the_same_graph_whatever_the_backend_would_run(flash):
    x = keras.Input((5, 6))
    model = keras.Model(x, L.MultiHeadAttention(2, 3, name="mha", flash_attention=flash)(x, x))
    kinds = [n.kind for n in open_model(model).graph.nodes if n.kind not in ("pass", "reindex", "sum")]
    assert kinds == ["affine"] * 3 + ["bilinear", "softmax", "bilinear", "affine"]


@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp"])
def test_attention_over_several_axes(method, double):
    """As over one with the same tokens in a row."""
    x, flat = keras.Input((2, 3, 4)), keras.Input((6, 4))
    h = L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(x, x)
    model = shake(keras.Model(x, L.Dense(3)(L.Flatten()(h))))
    row = keras.Model(flat, L.Dense(3)(L.Flatten()(L.MultiHeadAttention(2, 3)(flat, flat))))
    row.set_weights(model.get_weights())
    data = array(2, 2, 3, 4).astype("float64")
    ours, theirs = explain(method, model, data, 1), explain(method, row, data.reshape(2, 6, 4), 1)
    np.testing.assert_allclose(ours.attributions, theirs.attributions.reshape(data.shape), rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------- masks
def cross_explained(method):
    """Attributions of what asks and of what is looked up, whose second sample has two tokens."""
    query, memory = keras.Input((3, 6)), keras.Input((5, 6))
    model = shake(keras.Model([query, memory], read_out(L.MultiHeadAttention(2, 3)(query, L.Masking()(memory)))))
    data = [array(2, 3, 6).astype("float64"), array(2, 5, 6, seed=1).astype("float64")]
    data[1][1, 3:] = 0
    return explain(method, model, data, 1).attributions


def test_both_inputs_of_cross_attention_get_relevance(double):
    asked, looked_up = cross_explained("lrp.attention")
    assert np.abs(asked).max() > 1e-4
    assert np.abs(looked_up).max() > 1e-4


def test_queries_get_nothing_where_attention_is_a_constant(double):
    asked, looked_up = cross_explained("lrp.cp")
    assert not asked.any()
    assert np.abs(looked_up[1, :3]).max() > 1e-4


def padded():
    words = ids(2, 6, below=9) % 8 + 1
    words[1, 4:] = 0
    return words


@one_on_jax
@pytest.mark.parametrize("method", METHODS)
def test_masked_tokens_get_exactly_nothing(method, double):
    tokens = keras.Input((6,), dtype="int32")
    model = shake(keras.Model(tokens, L.Dense(4)(block(L.Embedding(9, 6, mask_zero=True)(tokens)))))
    R = explain(method, model, padded(), (1, 2)).attributions
    assert not R[1, 4:].any()
    assert np.abs(R[1, :4]).min() > 1e-6


@one_on_jax
@pytest.mark.parametrize("method", METHODS)
def test_future_tokens_get_exactly_nothing(method, double):
    tokens = keras.Input((6,), dtype="int32")
    generator = shake(keras.Model(tokens, L.Dense(9)(block_causal(L.Embedding(9, 6)(tokens)))))
    R = explain(method, generator, padded(), (3, 5)).attributions  # the token generated after the fourth
    assert not R[:, 4:].any()
    assert np.abs(R[:, :4]).min() > 1e-6


def added_mask(dtype):
    """Attention with a learned bias and (1 - mask) * -1e9 added to its scores, and data of which two tokens are masked."""
    x, mask = keras.Input((5, 6)), keras.Input((5,), dtype=dtype)
    q, k, v = (L.Dense(4)(x) for _ in range(3))
    added = (1.0 - ops.cast(mask[:, None, :], x.dtype)) * -1e9 + array(5, 5).astype(x.dtype)
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) + added
    model = shake(keras.Model([x, mask], L.Dense(3)(ops.matmul(ops.softmax(scores), v)[:, 0])))
    return model, [array(2, 5, 6), np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 0]], dtype)]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_mask_that_is_added_gets_nothing_however_large_its_numbers(dtype, double):
    model, data = added_mask(dtype)
    tokens, masked = explain("lrp.attention", model, data, 1).attributions
    assert not masked.any()
    assert not tokens[1, [2, 4]].any()
    assert np.abs(tokens[0]).min() > 1e-6


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_what_a_mask_is_added_to_keeps_its_share_in_the_books(dtype, double):
    model, data = added_mask(dtype)
    assert innspect.create_analyzer("lrp.attention", model).conservation(data, 1).error < 1e-6


# ---------------------------------------------------------------------- in models
@functools.cache
def recurrent():
    """A rule in relevance form among those in gradient form."""
    x = keras.Input((4, 3))
    h = L.LSTM(6, return_sequences=True)(x)
    return shake(keras.Model(x, read_out(L.Add()([h, L.MultiHeadAttention(2, 3)(h, h)]))))


def test_recurrent_layers_may_lie_between(double):
    ours, theirs = (explain(name, recurrent(), array(2, 4, 3).astype("float64"), 1) for name in ("lrp.attention", "lrp.z"))
    np.testing.assert_allclose(ours.attributions, theirs.attributions, rtol=1e-3, atol=1e-5)


def test_the_books_close_with_recurrent_layers_between(double):
    data = array(2, 4, 3).astype("float64")
    assert innspect.create_analyzer("lrp.attention", recurrent()).conservation(data, 1).error < 1e-6


def test_outputs_in_a_dict_keep_their_names():
    x = keras.Input((4, 6))
    h = L.MultiHeadAttention(2, 3)(x, x)
    model = shake(keras.Model(x, {"tokens": h, "pooled": L.Dense(3)(h[:, 0])}))  # not in the alphabet's order
    data = array(2, 4, 6)
    ours = explain("lrp.cp", model, data, 1, output="pooled")
    np.testing.assert_allclose(ours.targets, predict(model, data)["pooled"][:, 1], rtol=1e-4)


class LookUp(L.Layer):
    """An embedding of one's own, in the precision of its weights."""

    def build(self, shape):
        self.vectors = self.add_weight(shape=(9, 6), name="vectors")

    def call(self, ids):
        return ops.take(self.vectors, ids, axis=0)

    def compute_output_spec(self, ids):
        return keras.KerasTensor((*ids.shape, 6), dtype=self.compute_dtype)


def language_model(dtype):
    tokens = keras.Input((4,), dtype="int32")
    h = LookUp(dtype=dtype)(tokens)
    h = L.RMSNormalization(dtype=dtype)(L.Add(dtype=dtype)([h, L.MultiHeadAttention(2, 3, dtype=dtype)(h, h)]))
    return keras.Model(tokens, L.Dense(9, dtype=dtype)(h))


@pytest.mark.parametrize("method", ["gradient", "lrp.attention", "integrated_gradients"])
def test_a_language_model_in_half_precision_is_explained_in_float32(method):
    half, full = shake(language_model("bfloat16")), language_model("float32")
    full.set_weights([np.asarray(w, "float32") for w in half.get_weights()])
    ours, theirs = (explain(method, model, ids(2, 4, below=9), (3, 5)).attributions for model in (half, full))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=0.02 * np.abs(theirs).max())


# ---------------------------------------------------------------------- of KerasHub, where it is installed
SMALL = {"vocabulary_size": 20, "num_layers": 2, "intermediate_dim": 16}
PLAIN = {**SMALL, "num_heads": 2, "hidden_dim": 8, "max_sequence_length": 6}
GROUPED = {**SMALL, "num_query_heads": 4, "num_key_value_heads": 2, "hidden_dim": 16}
OF_TEXT = {
    "BertBackbone": PLAIN,
    "GPT2Backbone": PLAIN,
    "LlamaBackbone": GROUPED,
    "GemmaBackbone": {**GROUPED, "head_dim": 4},
    "DistilBertBackbone": PLAIN,
    "RobertaBackbone": PLAIN,
}
OF_IMAGES = {"image_shape": (8, 8, 3), "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}


@functools.cache
def backbone(name):
    hub = pytest.importorskip("keras_hub", exc_type=ImportError)
    return shake(getattr(hub.models, name)(**OF_TEXT.get(name, OF_IMAGES)))


def hub_explained(name, method):
    """An opened model, and an explanation of text whose second sample is padded."""
    model = backbone(name)
    mask = np.array([[1] * 5, [1, 1, 1, 0, 0]])
    data = {"token_ids": ids(2, 5, below=20), "padding_mask": mask, "segment_ids": 0 * mask}
    output = "sequence_output" if isinstance(model.output, dict) else 0
    analyzer = innspect.create_analyzer(method, model)
    return analyzer.opened, analyzer.explain({key: data[key] for key in model.input}, (2, 1), output=output)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp", "lrp.epsilon"])
@pytest.mark.parametrize("name", OF_TEXT)
def test_models_of_text_open_and_their_padding_gets_nothing(name, method):
    opened, ours = hub_explained(name, method)
    assert not opened.unopened
    assert np.isfinite(ours.attributions["token_ids"]).all()
    assert not ours.attributions["token_ids"][1, 3:].any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["LlamaBackbone", "GemmaBackbone"])
def test_cp_conserves_in_models_without_biases_and_centring(name):
    _, ours = hub_explained(name, "lrp.cp")
    np.testing.assert_allclose(ours.attributions["token_ids"].sum(1), ours.targets, rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["lrp.attention", "lrp.cp", "lrp.epsilon"])
def test_models_of_images_open(method):
    analyzer = innspect.create_analyzer(method, backbone("ViTBackbone"))
    assert not analyzer.opened.unopened
    assert np.isfinite(analyzer.explain(array(2, 8, 8, 3), (2, 1)).attributions).all()
