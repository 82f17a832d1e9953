"""Tables with their preprocessing in the model: categories, bins and strings, which are explained as ids of an embedding."""

import functools

import keras
import numpy as np
import pytest
from checks import BACKEND, DIFFERENCES, close, explain, gradient_of, predict, totals
from keras import layers as L
from keras import ops
from models import array, ids, shake

import innspect

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:.*gradient of .* does not exist")]

only_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="strings are TensorFlow's")


# ---------------------------------------------------------------------- one column, several columns
# The number of columns, their dtype, what encodes them, and two rows of data.
OWN_VECTOR = {
    "one column": (1, "int32", lambda x: L.CategoryEncoding(4, output_mode="one_hot")(x), [[1], [3]]),
    "several columns": (2, "int32", lambda x: L.CategoryEncoding(4, output_mode="one_hot")(x), [[1, 2], [3, 0]]),
    "one_hot": (2, "int32", lambda x: ops.one_hot(x, 4), [[1, 2], [3, 0]]),
    "lookup": (1, "int32", lambda x: L.IntegerLookup(vocabulary=[30, 50, 70], output_mode="one_hot")(x), [[50], [99]]),
    "hash": (1, "int32", lambda x: L.Hashing(5, output_mode="one_hot")(x), [[4], [11]]),
    "bins": (1, "float32", lambda x: L.Discretization([0.0, 1.0], output_mode="one_hot")(x), [[-0.5], [0.3]]),
    "bins, several columns": (
        2,
        "float32",
        lambda x: L.Discretization([0.0, 1.0], output_mode="one_hot")(x),
        [[-0.5, 2], [0.3, 0.2]],
    ),
}
ONE_BLOCK = {  # in which the ones of all columns lie
    "multi_hot": (2, "int32", lambda x: L.CategoryEncoding(4, output_mode="multi_hot")(x), [[1, 2], [3, 0]]),
    "count": (3, "int32", lambda x: L.CategoryEncoding(4, output_mode="count")(x), [[1, 2, 0], [3, 0, 1]]),
    "lookups": (
        2,
        "int32",
        lambda x: L.IntegerLookup(vocabulary=[30, 50, 70], output_mode="multi_hot")(x),
        [[50, 30], [99, 70]],
    ),
}
METHODS = ["lrp.z", "lrp.attention", "input_t_gradient", "deep_lift", "integrated_gradients"]


@functools.cache
def network_on(kind):
    """Data, a network without biases on their encoding, the encoder, and the network behind it."""
    columns, dtype, encode, data = (OWN_VECTOR | ONE_BLOCK)[kind]
    x = keras.Input((columns,), dtype=dtype)
    h = encode(x)
    block = keras.Input(h.shape[1:])
    y, z = h, block
    for layer in (L.Flatten(), L.Dense(4, activation="relu", use_bias=False), L.Dense(2, use_bias=False)):
        y, z = layer(y), layer(z)
    return np.array(data), shake(keras.Model(x, y)), keras.Model(x, h), keras.Model(block, z)


def both_ways(kind, method):
    """The value, and explanations of the columns and of their encoding, which is an input of floats there."""
    data, model, encoder, behind = network_on(kind)
    vectors = predict(encoder, data).astype("float32")
    return predict(behind, vectors)[:, 1], explain(method, model, data, 1), explain(method, behind, vectors, 1)


@pytest.mark.sweep(on="jax")  # see those that lie in one block
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", OWN_VECTOR)
def test_a_column_gets_the_sum_of_its_vector(kind, method):
    data, *_ = network_on(kind)
    value, ours, theirs = both_ways(kind, method)
    assert ours.attributions.shape == data.shape
    close(ours.targets, value)
    close(ours.attributions, theirs.attributions.reshape(*data.shape, -1).sum(-1))


@pytest.mark.sweep(keep=["multi_hot-lrp.z", "multi_hot-input_t_gradient"], on="jax")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ONE_BLOCK)
def test_a_column_gets_what_its_place_in_the_block_gets(kind, method):
    data, _, encoder, _ = network_on(kind)
    value, ours, theirs = both_ways(kind, method)
    places = [[np.flatnonzero(predict(encoder, np.full_like(data, value))[0])[0] for value in row] for row in data]
    assert ours.attributions.shape == data.shape
    close(ours.targets, value)
    close(ours.attributions, np.take_along_axis(theirs.attributions, np.array(places), axis=1))


@pytest.mark.sweep(on="jax")
@pytest.mark.parametrize("kind", OWN_VECTOR)
def test_the_gradient_of_a_column_is_the_norm_over_its_vector(kind):
    data, *_ = network_on(kind)
    _, ours, theirs = both_ways(kind, "gradient")
    close(ours.attributions, np.linalg.norm(theirs.attributions.reshape(*data.shape, -1), axis=-1))


@pytest.mark.skipif(BACKEND != "jax", reason="the others can look up")
def test_a_table_of_tensorflow_is_refused_on_jax():
    x = keras.Input((1,), dtype="int32")
    h = L.IntegerLookup(vocabulary=[30, 50, 70], output_mode="one_hot")(x)
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"table of TensorFlow, which jax cannot.*to the data first"):
        innspect.create_analyzer("lrp.z", keras.Model(x, L.Dense(2)(h)))


# ---------------------------------------------------------------------- strings
STRINGS = {
    "int": lambda x: vectors_of(L.StringLookup(vocabulary=["red", "green", "blue"], output_mode="int")(x)),
    "one_hot": lambda x: L.StringLookup(vocabulary=["red", "green", "blue"], output_mode="one_hot")(x),
    "hash": lambda x: vectors_of(L.Hashing(6)(x)),
}


def vectors_of(number):
    return L.Flatten()(L.Embedding(6, 3, name="embedding")(number))


@functools.cache
def network_on_strings(kind):
    x = keras.Input((1,), dtype="string")
    h = L.Dense(4, activation="relu", use_bias=False)(STRINGS[kind](x))
    return shake(keras.Model(x, L.Dense(2, use_bias=False)(h))), np.array([["green"], ["violet"], ["red"]])


@only_tensorflow
@pytest.mark.parametrize("method", ["lrp.z", "lrp.attention", "input_t_gradient", "deep_lift"])
@pytest.mark.parametrize("kind", STRINGS)
def test_a_string_gets_what_its_vector_gets(kind, method):
    """All of the value, which has no other source."""
    model, data = network_on_strings(kind)
    ours = explain(method, model, data, 1)
    assert ours.attributions.shape == (3, 1)
    close(ours.attributions[:, 0], predict(model, data)[:, 1])


@only_tensorflow
@pytest.mark.parametrize("kind", STRINGS)
def test_the_gradient_of_a_string_is_a_norm(kind):
    assert (explain("gradient", *network_on_strings(kind), 1).attributions >= 0).all()


@only_tensorflow
def test_strings_of_many_tokens_are_refused():
    x = keras.Input((1,), dtype="string")
    texts = L.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad", "film"])
    h = L.Flatten()(L.Embedding(9, 3)(texts(x)))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"many tokens of one string.*analyzer.analyze\(layer"):
        innspect.create_analyzer("gradient", keras.Model(x, L.Dense(2)(h)))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="which has strings")
def test_strings_are_refused_where_there_are_none():
    x = keras.Input((1,), dtype="string")
    h = L.Lambda(lambda t: ops.ones((1, 2)), output_shape=(2,))(x)
    with pytest.raises(innspect.NotAnalyzeableModelError, match="takes strings, which only TensorFlow has"):
        innspect.create_analyzer("gradient", keras.Model(x, L.Dense(2)(h)))


# ---------------------------------------------------------------------- numbers and categories together
def test_a_number_that_is_also_put_into_bins_is_a_number(double):
    """Around it the bins are constant: its gradient is the derivative, not a norm added to one."""
    x = keras.Input((2,))
    bins = L.Flatten()(L.Embedding(4, 3)(L.Discretization([0.0, 1.0])(x)))
    model = shake(keras.Model(x, L.Dense(2)(L.Dense(5, activation="relu")(L.Concatenate()([x, bins])))))
    data = np.array([[0.4, -0.3], [1.5, 0.2]])
    close(explain("gradient", model, data, 1).attributions, gradient_of(model, data, lambda y: y[:, 1]), DIFFERENCES)


@pytest.mark.parametrize("method", ["input_t_gradient", "lrp.z", "deep_lift"])
def test_ids_given_as_fractions_are_ids(method):
    """An input whose dtype was never said is float32; ids in it are no numbers to multiply with."""
    x = keras.Input((3,))
    model = shake(keras.Model(x, L.Dense(2)(L.Flatten()(L.Embedding(5, 4)(x)))))
    whole = ids(2, 3, below=5)
    close(explain(method, model, whole.astype("float32"), 1).attributions, explain(method, model, whole, 1).attributions)


@functools.cache
def everything():
    """Normalized numbers, bins, embedded and one-hot categories in one model without biases, and data for it."""
    numbers, colour = keras.Input((3,), name="numbers"), keras.Input((1,), dtype="int32", name="colour")
    shop, age = keras.Input((1,), dtype="int32", name="shop"), keras.Input((1,), name="age")
    h = [
        L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0], name="scaled")(numbers),
        L.CategoryEncoding(4, output_mode="one_hot")(colour),
        L.Flatten()(L.Embedding(6, 2)(shop)),
        L.Flatten()(L.Embedding(4, 2)(L.Discretization([18.0, 65.0])(age))),
    ]
    h = L.Dense(6, activation="relu", use_bias=False)(L.Concatenate()(h))
    model = shake(keras.Model([numbers, colour, shop, age], L.Dense(1, use_bias=False)(h)))
    return model, [
        array(3, 3).astype("float64"),
        np.array([[0], [3], [1]]),
        np.array([[5], [0], [2]]),
        np.array([[12.0], [40], [70]]),
    ]


@functools.cache
def everything_explained():
    return explain("lrp.z", *everything(), 0, at="scaled")


def test_relevance_of_a_whole_table_sums_to_the_value(double):
    model, data = everything()
    close(totals(everything_explained().attributions), predict(model, data)[:, 0], 1e-5)


def test_every_category_of_a_table_gets_relevance(double):
    assert all(R.all() for R in everything_explained().attributions[1:])


def test_scaling_hands_relevance_on_as_it_is(double):
    close(everything_explained().signals["scaled"], everything_explained().attributions[0])


def test_every_column_of_a_table_can_be_occluded(double):
    model, data = everything()
    assert [R.shape for R in explain("occlusion", model, data, 0).attributions] == [column.shape for column in data]
