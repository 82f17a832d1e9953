"""Inputs other than one array: pairs that are compared, one layer called twice, and a dict of images, words and numbers."""

import functools

import keras
import numpy as np
import pytest
from checks import close, explain, predict, totals
from keras import layers as L
from keras import ops
from models import array, ids, shake

pytestmark = [
    pytest.mark.usefixtures("double", "quick"),
    pytest.mark.filterwarnings("ignore:.*gradient of .* does not exist"),
]


# ---------------------------------------------------------------------- siamese networks
DIFFERENCES = {
    "subtract": lambda a, b: L.Dense(1, use_bias=False)(L.Subtract()([a, b])),
    "abs": lambda a, b: L.Dense(1, use_bias=False)(ops.abs(L.Subtract()([a, b]))),
    "lambda": lambda a, b: L.Lambda(lambda t: ops.sum(ops.square(t[0] - t[1]), axis=-1, keepdims=True))([a, b]),
}
PRODUCTS = {
    "dot": lambda a, b: L.Dot(axes=-1)([a, b]),
    "cosine": lambda a, b: L.Dot(axes=-1, normalize=True)([a, b]),
    "unit": lambda a, b: L.Dot(axes=-1)([L.UnitNormalization()(a), L.UnitNormalization()(b)]),
    "normalize": lambda a, b: ops.sum(ops.normalize(a) * ops.normalize(b), axis=-1, keepdims=True),
}
HEADS = DIFFERENCES | PRODUCTS
METHODS = ["lrp.z", "lrp.attention"]


@functools.cache
def siamese(head):
    """Without biases, so that nothing is lost."""
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    tower = keras.Sequential([L.Dense(4, activation="relu", use_bias=False), L.Dense(3, use_bias=False)], name="tower")
    return shake(keras.Model([left, right], HEADS[head](tower(left), tower(right))))


def pair():
    return [array(3, 5).astype("float64"), array(3, 5, seed=1).astype("float64")]


@functools.cache
def comparison_explained(head, method):
    return explain(method, siamese(head), pair(), 0)


@pytest.mark.sweep(keep=["unit-*"], on="jax")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head", HEADS)
def test_relevance_of_both_inputs_sums_to_the_value(head, method):
    ours = comparison_explained(head, method)
    close(ours.targets, predict(siamese(head), pair())[:, 0])
    close(totals(ours.attributions), ours.targets)


@pytest.mark.sweep(keep=["unit-*"], on="jax")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("head", PRODUCTS)
def test_a_product_gives_half_to_each_input(head, method):
    ours = comparison_explained(head, method)
    for R in ours.attributions:
        close(totals(R), ours.targets / 2)


@pytest.mark.sweep(on="jax")
def test_swapped_inputs_of_a_difference_swap_their_relevance_and_its_sign():
    swapped = explain("lrp.z", siamese("subtract"), pair()[::-1], 0)
    close(swapped.attributions[0], -comparison_explained("subtract", "lrp.z").attributions[1])


@pytest.mark.sweep(keep=["unit"], on="jax")
@pytest.mark.parametrize("head", HEADS)
def test_deep_lift_of_a_pair_is_complete(head):
    model, data = siamese(head), pair()
    references = [0.1 + 0 * data[0], 0.2 + 0 * data[1]]
    lifted = explain("deep_lift", model, data, 0, reference_inputs=references)
    close(totals(lifted.attributions), (predict(model, data) - predict(model, references))[:, 0], 1e-5)


# ---------------------------------------------------------------------- a layer that is called twice
def test_a_shared_tower_has_a_signal_for_each_call():
    ours = explain("lrp.z", siamese("subtract"), pair(), 0, at="tower")
    assert [s.shape for s in ours.signals["tower"]] == [(3, 3)] * 2
    close(totals(ours.signals["tower"]), ours.targets)


@functools.cache
def template():
    """A tower on the input and on a stored template, which is a constant."""
    x = keras.Input((5,))
    tower = L.Dense(3, activation="relu", name="tower")
    return shake(keras.Model(x, L.Dense(2)(tower(x) - tower(ops.stop_gradient(2 * x)))))


@pytest.mark.parametrize("chosen", [{"selection": 1}, {"neurons": [0, 1]}], ids=["one", "several"])
@pytest.mark.parametrize("method", ["gradient", "lrp.z", "deep_lift"])
def test_a_call_on_a_constant_has_a_signal_of_zeros(method, chosen):
    live, constant = explain(method, template(), pair()[0], at="tower", **chosen).signals["tower"]
    assert live.any()
    assert live.shape == constant.shape
    assert not constant.any()


# ---------------------------------------------------------------------- several kinds of inputs
@functools.cache
def multimodal():
    image, words = keras.Input((6, 6, 1), name="image"), keras.Input((4,), dtype="int32", name="words")
    table = keras.Input((3,), name="table")
    h = [
        L.Flatten()(L.Conv2D(2, 3, activation="relu")(image)),
        L.GlobalAveragePooling1D()(L.Embedding(9, 4, name="embedding")(words)),
        L.Dense(4, activation="relu")(table),
    ]
    h = L.Dense(5, activation="relu")(L.Concatenate()(h))
    return shake(keras.Model({"image": image, "words": words, "table": table}, {"price": L.Dense(1, name="price")(h)}))


def offer():
    return {"table": array(3, 3), "image": array(3, 6, 6, 1), "words": ids(3, 4, below=9)}  # in another order


@functools.cache
def price_explained(method):
    return explain(method, multimodal(), offer(), 0, output="price")


EVERY = ["lrp.z", "lrp.attention", "deep_lift", "integrated_gradients"]
relevance_on_jax = pytest.mark.sweep(keep=["lrp.z"], on="jax")


@relevance_on_jax
@pytest.mark.parametrize("method", EVERY)
def test_a_dict_of_inputs_gives_a_dict_of_attributions(method):
    ours = price_explained(method).attributions
    assert {name: R.shape for name, R in ours.items()} == {name: x.shape for name, x in offer().items()}
    assert all(np.abs(R).max() > 1e-6 for R in ours.values())


@relevance_on_jax
@pytest.mark.parametrize("method", EVERY)
def test_a_sample_of_a_dict_is_explained_as_alone(method):
    alone = explain(method, multimodal(), {name: x[1:2] for name, x in offer().items()}, 0)
    for name, R in alone.attributions.items():
        close(R[0], price_explained(method).attributions[name][1], 1e-5)


@relevance_on_jax
@pytest.mark.parametrize("method", ["lrp.z", "lrp.attention"])
def test_relevance_of_a_dict_and_what_is_lost_sum_to_the_value(method):
    ours = price_explained(method)
    close(totals(ours.attributions) + ours.delta, ours.targets, 1e-6)


@pytest.mark.sweep(on="jax")
def test_deep_lift_of_a_dict_starts_at_zeros_and_at_zero_vectors_of_words():
    model, ours = multimodal(), price_explained("deep_lift")
    embedding = model.get_layer("embedding").embeddings
    before = ops.convert_to_numpy(embedding).copy()
    embedding.assign(0 * before)
    start = predict(model, {name: 0 * x for name, x in offer().items()})["price"][:, 0]
    embedding.assign(before)
    close(totals(ours.attributions), ours.targets - start, 1e-5)
