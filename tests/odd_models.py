"""A zoo of models as people have them: structures of tutorials and papers, of beginners, and odd ones that Keras runs.

A function each, which gives a model and inputs.
"""

import keras
import numpy as np
from keras import layers as L
from keras import ops

RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.normal(size=shape).astype("float32")


def ids(*shape, of=10):
    return RANDOM.integers(0, of, shape)


class Call(keras.Model):
    """A model of some layers with a function of these as its `call`."""

    def __init__(self, function, **used):
        super().__init__()
        self.function = function
        for name, layer in used.items():
            setattr(self, name, layer)

    def call(self, x):
        return self.function(self, x)


def called(function, x, **used):
    model = Call(function, **used)
    model(keras.tree.map_structure(ops.convert_to_tensor, x))
    return model, x


def functional(shape, function, x, dtype="float32"):
    several = isinstance(shape, list)
    inputs = [keras.Input(s, dtype=dtype) for s in shape] if several else keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, function(inputs)), x


# ---------------------------------------------------------------------- tutorials
def digits():
    layers = [
        L.Conv2D(4, 3, activation="relu"),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dropout(0.5),
        L.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), L.Rescaling(1 / 255), *layers]), numbers(2, 8, 8, 1)


def two_texts():
    title, body = keras.Input((None,), dtype="int32", name="title"), keras.Input((None,), dtype="int32", name="body")
    tags = keras.Input((3,), name="tags")
    h = [L.LSTM(4)(L.Embedding(10, 5)(title)), L.GRU(4)(L.Embedding(10, 5, mask_zero=True)(body)), tags]
    h = L.concatenate(h)
    outputs = {"priority": L.Dense(1, activation="sigmoid")(h), "department": L.Dense(3)(h)}
    x = {"title": ids(2, 4), "body": ids(2, 5), "tags": numbers(2, 3)}
    return keras.Model({"title": title, "body": body, "tags": tags}, outputs), x


def residual():
    def body(x):
        for filters in (4, 8):
            h = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same")(L.ReLU()(x)))
            x = L.add([h, L.Conv2D(filters, 1)(x)])
        return L.Dense(3)(L.GlobalAveragePooling2D()(x))

    return functional((6, 6, 2), body, numbers(2, 6, 6, 2))


def autoencoder():
    def body(x):
        h = L.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
        h = L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(h)
        return L.Conv2D(1, 3, padding="same", activation="sigmoid")(L.UpSampling2D()(L.AveragePooling2D(2)(h)))

    return functional((8, 8, 1), body, numbers(2, 8, 8, 1))


class Sampling(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(1)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def variational():
    def body(x):
        h = L.Dense(8, activation="relu")(x)
        mean, log_variance = L.Dense(2)(h), L.Dense(2)(h)
        return [mean, log_variance, L.Dense(5)(Sampling()([mean, log_variance]))]

    return functional((5,), body, numbers(2, 5))


def siamese():
    def body(xs):
        shared = keras.Sequential([L.Dense(6, activation="tanh"), L.Dense(4)])
        a, b = map(shared, xs)
        total = ops.sum(ops.square(a - b), axis=1, keepdims=True)
        return L.Dense(1, activation="sigmoid")(L.BatchNormalization()(ops.sqrt(ops.maximum(total, 1e-7))))

    return functional([(5,), (5,)], body, [numbers(2, 5), numbers(2, 5)])


class TokenAndPosition(L.Layer):
    def __init__(self, length=6, words=10, width=8):
        super().__init__()
        self.tokens, self.positions = L.Embedding(words, width), L.Embedding(length, width)

    def call(self, x):
        length = ops.shape(x)[-1]
        return self.tokens(x) + self.positions(ops.arange(0, length, 1))


class Block(L.Layer):
    def __init__(self, width=8, heads=2):
        super().__init__()
        self.attention = L.MultiHeadAttention(heads, width)
        self.feed = keras.Sequential([L.Dense(8, activation="relu"), L.Dense(width)])
        self.first, self.second = L.LayerNormalization(epsilon=1e-6), L.LayerNormalization(epsilon=1e-6)
        self.drop = L.Dropout(0.1)

    def call(self, x):
        h = self.first(x + self.drop(self.attention(x, x)))
        return self.second(h + self.drop(self.feed(h)))


def transformer():
    def body(x):
        h = L.GlobalAveragePooling1D()(Block()(TokenAndPosition()(x)))
        return L.Dense(2, activation="softmax")(h)

    return functional((6,), body, ids(2, 6), "int32")


def seq2seq():
    source, target = keras.Input((None, 4)), keras.Input((None, 3))
    _, h, c = L.LSTM(5, return_state=True)(source)
    y, _, _ = L.LSTM(5, return_sequences=True, return_state=True)(target, initial_state=[h, c])
    return keras.Model([source, target], L.Dense(3, activation="softmax")(y)), [numbers(2, 4, 4), numbers(2, 3, 3)]


def bahdanau():
    def body(m, x):
        query, values = ops.expand_dims(x[:, -1], 1), m.gru(x)
        score = m.v(ops.tanh(m.a(query) + m.b(values)))
        weights = ops.softmax(score, axis=1)
        return m.out(ops.sum(weights * values, axis=1)), weights

    layers = {"gru": L.GRU(4, return_sequences=True), "a": L.Dense(4), "b": L.Dense(4), "v": L.Dense(1), "out": L.Dense(2)}
    return called(body, numbers(2, 5, 3), **layers)


class GraphConvolution(L.Layer):
    def __init__(self, units):
        super().__init__()
        self.dense = L.Dense(units)

    def call(self, inputs):
        nodes, adjacency = inputs
        return ops.relu(ops.matmul(adjacency, self.dense(nodes)))


def graph_network():
    nodes, adjacency = keras.Input((4, 3)), keras.Input((4, 4))
    h = GraphConvolution(5)([GraphConvolution(6)([nodes, adjacency]), adjacency])
    links = RANDOM.integers(0, 2, (2, 4, 4)).astype("float32")
    return keras.Model([nodes, adjacency], L.Dense(2)(L.GlobalMaxPooling1D()(h))), [numbers(2, 4, 3), links]


def mixer():
    def body(x):
        h = L.Dense(6)(L.Reshape((16, 3))(x))
        h = h + L.Permute((2, 1))(L.Dense(16)(ops.gelu(L.Dense(8)(L.Permute((2, 1))(L.LayerNormalization()(h))))))
        return L.Dense(3)(L.GlobalAveragePooling1D()(h))

    return functional((4, 4, 3), body, numbers(2, 4, 4, 3))


class ClassToken(L.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, x):
        return ops.concatenate([ops.repeat(self.token, ops.shape(x)[0], axis=0), x], axis=1)


def vision_transformer():
    def body(x):
        patches = ops.image.extract_patches(x, (4, 4))
        h = L.Dense(8)(L.Reshape((-1, 4 * 4 * 3))(patches))
        return L.Dense(3)(Block()(ClassToken()(h))[:, 0])

    return functional((8, 8, 3), body, numbers(2, 8, 8, 3))


def squeeze_and_excite():
    def body(x):
        h = L.DepthwiseConv2D(3, padding="same", activation="swish")(L.Conv2D(6, 1, activation="swish")(x))
        s = L.Conv2D(6, 1, activation="sigmoid")(L.Conv2D(2, 1, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(h)))
        return L.Dense(3)(L.GlobalAveragePooling2D()(L.Multiply()([h, s])))

    return functional((6, 6, 2), body, numbers(2, 6, 6, 2))


def u_net():
    def body(x):
        skip = L.SeparableConv2D(4, 3, padding="same", activation="relu")(x)
        h = L.Conv2D(6, 3, padding="same", activation="relu")(L.MaxPooling2D()(skip))
        h = L.concatenate([L.Conv2DTranspose(4, 2, strides=2)(h), skip])
        return L.Conv2D(3, 1, activation="softmax")(h)

    return functional((8, 8, 2), body, numbers(1, 8, 8, 2))


def generator():
    def body(x):
        h = L.Reshape((4, 4, 2))(L.LeakyReLU(0.2)(L.BatchNormalization()(L.Dense(32, use_bias=False)(x))))
        return L.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh")(h)

    return functional((6,), body, numbers(2, 6))


def point_net():
    def body(x):
        turn = L.Reshape((3, 3))(L.Dense(9)(L.GlobalMaxPooling1D()(L.Conv1D(8, 1, activation="relu")(x))))
        h = L.Conv1D(8, 1, activation="relu")(L.Dot(axes=(2, 1))([x, turn]))
        return L.Dense(3, activation="softmax")(L.GlobalMaxPooling1D()(h))

    return functional((10, 3), body, numbers(2, 10, 3))


def fourier_features():
    def body(x):
        waves = [f(2.0**k * x) for k in range(3) for f in (ops.sin, ops.cos)]
        return L.Dense(3, activation="sigmoid")(L.Dense(8, activation="relu")(ops.concatenate([x, *waves], -1)))

    return functional((3,), body, numbers(2, 3))


def wide_and_deep():
    colour, number = keras.Input((1,), dtype="int32", name="colour"), keras.Input((1,), name="number")
    wide = L.CategoryEncoding(4, output_mode="one_hot")(colour)
    deep = L.Concatenate()([L.Flatten()(L.Embedding(4, 3)(colour)), L.Normalization(mean=1.0, variance=2.0)(number)])
    y = L.Dense(1, activation="sigmoid")(L.Concatenate()([wide, L.Dense(5, activation="relu")(deep)]))
    return keras.Model([colour, number], y), {"colour": ids(2, 1, of=4), "number": numbers(2, 1)}


def gated_residual():
    def body(x):
        h = L.Dense(5)(L.Dense(5, activation="elu")(x))
        gate = L.Dense(5, activation="sigmoid")(h)
        return L.Dense(2)(L.LayerNormalization()(L.Dense(5)(x) + L.Dense(5)(h) * gate))

    return functional((4,), body, numbers(2, 4))


class Forest(keras.Model):
    """A soft decision tree, whose probabilities of paths are made in a loop."""

    def __init__(self, depth=2, classes=3):
        super().__init__()
        self.depth, self.leaves = depth, 2**depth
        self.decide = L.Dense(self.leaves, activation="sigmoid")
        self.pi = self.add_weight(shape=(self.leaves, classes), initializer="random_normal", name="pi")

    def call(self, x):
        batch = ops.shape(x)[0]
        decisions = ops.expand_dims(self.decide(x), axis=2)
        decisions = ops.concatenate([decisions, 1 - decisions], axis=2)
        mu, begin, end = ops.ones((batch, 1, 1)), 1, 2
        for level in range(self.depth):
            mu = ops.reshape(mu, (batch, -1, 1))
            mu = ops.tile(mu, (1, 1, 2)) * decisions[:, begin:end, :]
            begin, end = end, end + 2 ** (level + 1)
        return ops.matmul(ops.reshape(mu, (batch, self.leaves)), ops.softmax(self.pi))


def forest():
    model, x = Forest(), numbers(2, 4)
    model(x)
    return model, x


def next_frame():
    def body(x):
        h = L.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(x)
        return L.Conv3D(1, 3, padding="same", activation="sigmoid")(L.BatchNormalization()(h))

    return functional((3, 4, 4, 1), body, numbers(1, 3, 4, 4, 1))


def video():
    def body(x):
        cnn = keras.Sequential([L.Conv2D(3, 3, activation="relu"), L.MaxPooling2D(), L.Flatten()])
        return L.Dense(2, activation="softmax")(L.LSTM(4)(L.TimeDistributed(cnn)(x)))

    return functional((3, 6, 6, 1), body, numbers(2, 3, 6, 6, 1))


def hierarchical_attention():
    def body(x):
        sentence = keras.Sequential([L.Embedding(10, 4), L.Bidirectional(L.GRU(3))])
        h = L.TimeDistributed(sentence)(x)
        weights = L.Softmax(axis=1)(L.Dense(1)(L.Dense(4, activation="tanh")(h)))
        return L.Dense(2)(L.Flatten()(L.Dot(axes=1)([weights, h])))

    return functional((3, 4), body, ids(2, 3, 4), "int32")


def attention_layers():
    def body(x):
        h = L.Concatenate()([L.Attention(use_scale=True)([x, x]), L.AdditiveAttention()([x, x])])
        return L.Dense(2)(L.GlobalAveragePooling1D()(L.GroupQueryAttention(4, 4, 2)(h, h)))

    return functional((5, 4), body, numbers(2, 5, 4))


# ---------------------------------------------------------------------- as beginners write them
def a_list_of_layers():
    def body(m, x):
        for layer in m.layers_of_mine:
            x = layer(x)
            if x.shape[-1] > 4:
                x = ops.relu(x)
        return x

    return called(body, numbers(2, 4), layers_of_mine=[L.Dense(6), L.Dense(5), L.Dense(2)])


def layers_made_in_call():
    def body(m, x):
        h = L.Concatenate()([m.a(x), L.ReLU()(m.b(x))])
        return m.out(L.Activation("relu")(L.Reshape((6,))(h)))

    return called(body, numbers(2, 4), a=L.Dense(3), b=L.Dense(3), out=L.Dense(2))


def numpy_and_print():
    def body(m, x):
        assert x.shape[1] == 4, "wrong shape"
        return m.out(x / np.sqrt(4.0) + np.arange(4, dtype="float32"))

    return called(body, numbers(2, 4), out=L.Dense(2))


def native_call():
    backend = keras.backend.backend()

    def body(m, x):
        if backend == "torch":
            import torch

            return torch.tanh(m.out(x)) * torch.ones(2)
        if backend == "jax":
            import jax.numpy as jnp

            return jnp.tanh(m.out(x)) * jnp.ones(2)
        import tensorflow as tf

        return tf.tanh(m.out(x)) * tf.ones(2)

    return called(body, numbers(2, 4), out=L.Dense(2))


def a_lambda_with_weights():
    weights = keras.Variable(numbers(4, 3))
    return functional(
        (4,), lambda x: L.Dense(2)(L.Lambda(lambda t: ops.matmul(t, weights), output_shape=(3,))(x)), numbers(2, 4)
    )


def a_dict_in_and_out():
    def body(m, x):
        h = m.a(x["numbers"]) + ops.mean(m.b(x["words"]), axis=1)
        return {"logits": m.out(h), "hidden": h, "loss": None, "count": 3}

    x = {"numbers": numbers(2, 4), "words": ids(2, 3)}
    return called(body, x, a=L.Dense(5), b=L.Embedding(10, 5), out=L.Dense(2))


def a_loss_and_a_metric():
    class Regularized(L.Layer):
        def call(self, x):
            self.add_loss(ops.mean(ops.square(x)))
            return x * 2

    return functional((4,), lambda x: L.Dense(2, activity_regularizer="l2")(Regularized()(x)), numbers(2, 4))


def untouched_until_built():
    model = keras.Sequential([L.Dense(5, activation="relu"), L.Dense(2)])
    model.build((None, 4))
    return model, numbers(2, 4)


def a_vector_without_an_axis():
    return functional((4,), lambda x: ops.squeeze(L.Dense(1)(x), -1), numbers(3, 4))


def a_class_as_output():
    return functional((4,), lambda x: ops.argmax(L.Dense(3)(x), -1), numbers(3, 4))


def a_class_beside_logits():
    def body(x):
        y = L.Dense(3)(x)
        return {"class": ops.argmax(y, -1), "logits": y}

    return functional((4,), body, numbers(3, 4))


def a_constant():
    return functional((4,), lambda x: L.Dense(2)(ops.zeros_like(x)), numbers(2, 4))


def nothing_but_the_input():
    return functional((4,), lambda x: L.Identity()(x), numbers(2, 4))


# ---------------------------------------------------------------------- what Keras runs
def of_half_precision():
    keras_policy = keras.DTypePolicy("mixed_float16")
    layers = [L.Conv2D(3, 3, activation="relu", dtype=keras_policy), L.Flatten(), L.Dense(2, dtype="float32")]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers]), numbers(2, 6, 6, 1)


def of_open_size():
    layers = [L.Conv2D(3, 3, padding="same", activation="relu"), L.GlobalMaxPooling2D(), L.Dense(2)]
    return keras.Sequential([keras.Input((None, None, 2)), *layers]), numbers(2, 5, 6, 2)


def with_states():
    x = keras.Input(batch_shape=(2, 3, 4))
    return keras.Model(x, L.Dense(2)(L.GRU(3, stateful=True)(x))), numbers(2, 3, 4)


def augmented():
    layers = [L.RandomFlip(), L.RandomRotation(0.1), L.GaussianNoise(0.1), L.Conv2D(3, 3), L.Flatten(), L.Dense(2)]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers]), numbers(2, 6, 6, 1)


def spectral():
    return functional((4,), lambda x: L.Dense(2)(L.SpectralNormalization(L.Dense(5, activation="relu"))(x)), numbers(2, 4))


def loops():
    def body(m, x):
        h = ops.fori_loop(0, 3, lambda i, t: t * 1.1, m.a(x))
        h = ops.while_loop(lambda t, i: i < 2, lambda t, i: (t + 1.0, i + 1), (h, 0))[0]
        return m.out(ops.map(lambda row: row * 2.0, h))

    return called(body, numbers(2, 4), a=L.Dense(3), out=L.Dense(2))


def scans():
    def body(m, x):
        _, h = ops.scan(lambda carry, row: (carry + row, carry * 0.5 + row), ops.zeros((3,)), m.a(x)[0])
        return m.out(ops.expand_dims(h[-1], 0) + ops.vectorized_map(lambda row: row + 1.0, m.a(x))[:, 0])

    return called(body, numbers(1, 4, 2), a=L.Dense(3), out=L.Dense(2))


def branches():
    def body(m, x):
        h = ops.cond(ops.sum(x) > 0, lambda: m.a(x), lambda: m.b(x))
        return m.out(ops.switch(1, [lambda t: t, lambda t: 2 * t], h))

    return called(body, numbers(2, 4), a=L.Dense(3), b=L.Dense(3), out=L.Dense(2))


def sorted_numbers():
    def body(x):
        best, _ = ops.top_k(x, 3)
        return L.Dense(2)(ops.concatenate([ops.sort(x), best, ops.cumsum(x, 1), ops.flip(x, 1)], -1))

    return functional((4,), body, numbers(2, 4))


def spectrum():
    def body(x):
        real, imaginary = ops.rfft(x)
        return L.Dense(2)(ops.log1p(ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-6)))

    return functional((8,), body, numbers(2, 8))


def segments():
    def body(m, x):
        return m.out(ops.segment_sum(m.a(x), np.array([0, 0, 1]), 2))

    return called(body, numbers(3, 4), a=L.Dense(3), out=L.Dense(2))


def linear_algebra():
    unit = np.eye(3, dtype="float32")

    def body(x):
        m = L.Reshape((3, 3))(x)
        square = m @ ops.transpose(m, (0, 2, 1)) + unit
        return L.Dense(2)(L.Flatten()(ops.concatenate([ops.inv(m + 5 * unit), ops.cholesky(square)], 1)))

    return functional((9,), body, numbers(2, 9))


def quotients():
    def body(x):
        h = L.Dense(3, activation="softplus")(x)
        return L.Dense(2)(h / (ops.sum(ops.square(x), -1, keepdims=True) + 1.0))

    return functional((4,), body, numbers(2, 4))


def missing_values():
    def body(x):
        return L.Dense(2)(
            L.Dense(4, activation="relu")(ops.concatenate([ops.nan_to_num(x), ops.cast(ops.isnan(x), "float32")], -1))
        )

    x = numbers(2, 4)
    x[0, 1] = np.nan
    return functional((4,), body, x)[0], x


def masked_words():
    layers = [L.Embedding(10, 4, mask_zero=True), L.Bidirectional(L.LSTM(3, return_sequences=True))]
    layers += [L.TimeDistributed(L.Dense(3, activation="softmax"))]
    return keras.Sequential([keras.Input((5,), dtype="int32"), *layers]), np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 0]])


def tied_weights():
    def body(m, x):
        return ops.softmax(m.table(ops.mean(m.table(x), axis=1), reverse=True))

    return called(body, ids(2, 5), table=L.ReversibleEmbedding(10, 4))


def dropping_in_call():
    return called(
        lambda m, x: m.out(m.drop(m.a(x), training=True)), numbers(2, 4), a=L.Dense(5), drop=L.Dropout(0.5), out=L.Dense(2)
    )


def a_gradient_of_its_own():
    @ops.custom_gradient
    def reversed_gradient(x):
        return x * 1.0, lambda *signals, upstream=None: -(signals[0] if upstream is None else upstream)

    return called(lambda m, x: m.out(reversed_gradient(m.a(x))), numbers(2, 4), a=L.Dense(3), out=L.Dense(2))


def distances():
    def body(m, x):
        d = ops.sum(ops.square(ops.expand_dims(x, 1) - m.centres), axis=-1)
        return ops.softmax(-d / ops.exp(m.width))

    class Prototypes(keras.Model):
        def __init__(self):
            super().__init__()
            self.centres = self.add_weight(shape=(3, 4), initializer="random_normal", name="centres")
            self.width = self.add_weight(shape=(), initializer="zeros", name="width")

        def call(self, x):
            return body(self, x)

    model, x = Prototypes(), numbers(2, 4)
    model(x)
    return model, x


def numbers_for_samples():
    return functional((), lambda x: L.Dense(2)(ops.reshape(x, (-1, 1))), numbers(3))


MODELS = {
    name: made
    for name, made in list(globals().items())
    if callable(made)
    and not isinstance(made, type)
    and getattr(made, "__module__", "") == __name__
    and name not in ("numbers", "ids", "called", "functional")
}
