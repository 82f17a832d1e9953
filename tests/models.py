"""A zoo of small models, one for each way that people build them. Each function returns a model and inputs for it."""

import keras
import numpy as np
from keras import layers as L
from keras import ops

ZOO = {}


def zoo(function):
    ZOO[function.__name__] = function
    return function


def array(*shape, seed=0):
    """Signed float32 numbers."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def ids(*shape, below, seed=0):
    return np.random.default_rng(seed).integers(0, below, shape).astype("int32")


def shake(model, seed=1):
    """Give every weight, biases and statistics of batch normalization too, a value that matters."""
    random = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        value = random.normal(0, 0.4, variable.shape)
        if variable.path.endswith(("variance", "gamma")):
            value = random.uniform(0.5, 1.5, variable.shape)
        variable.assign(value.astype("float32"))
    return model


# ---------------------------------------------------------------------- ways to build a model
@zoo
def functional():
    x = keras.Input((8, 8, 2), name="image")
    h = L.Conv2D(3, 3, activation="relu", name="conv1")(x)
    h = L.BatchNormalization(name="norm")(h)
    h = L.MaxPooling2D(name="pool")(h)
    h = L.Flatten(name="flatten")(h)
    h = L.Dense(6, activation="relu", name="hidden")(h)
    return shake(keras.Model(x, L.Dense(4, activation="softmax", name="out")(h), name="functional")), array(3, 8, 8, 2)


def _dense_layers():
    return [L.Dense(5, activation="relu", name="first"), L.Dropout(0.5, name="drop"), L.Dense(3, name="second")]


@zoo
def sequential_with_input():
    return shake(keras.Sequential([keras.Input((4,)), *_dense_layers()])), array(3, 4)


@zoo
def sequential_built():
    model = keras.Sequential(_dense_layers())
    model.build((None, 4))
    return shake(model), array(3, 4)


@zoo
def sequential_called():
    model = keras.Sequential(_dense_layers())
    model(array(2, 4))
    return shake(model), array(3, 4)


class Classifier(keras.Model):
    """Subclassed, with operations between its layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = L.Conv2D(3, 3, padding="same", name="conv")
        self.norm = L.BatchNormalization(name="norm")
        self.dense = L.Dense(4, name="dense")

    def call(self, x, training=False):
        h = ops.relu(self.norm(self.conv(x), training=training))
        h = ops.concatenate([h, h * 2.0], axis=-1)
        return self.dense(ops.mean(h, axis=(1, 2)))


@zoo
def subclassed():
    model = Classifier(name="classifier")
    model(array(1, 6, 6, 2))
    return shake(model), array(3, 6, 6, 2)


class OfList(keras.Model):
    def __init__(self):
        super().__init__(name="of_list")
        self.a, self.b = L.Dense(3, name="a"), L.Dense(3, name="b")

    def call(self, inputs):
        left, right = inputs
        return self.a(left) - ops.tanh(self.b(right))


@zoo
def subclassed_of_list():
    model, x = OfList(), [array(3, 4), array(3, 5, seed=1)]
    model(x)
    return shake(model), x


class OfDict(OfList):
    def call(self, inputs):
        return self.a(inputs["zebra"]) * self.b(inputs["ape"])


@zoo
def subclassed_of_dict():
    model, x = OfDict(), {"zebra": array(3, 4), "ape": array(3, 5, seed=1)}
    model(x)
    return shake(model), x


class OfArguments(OfList):
    def build(self, left_shape, right_shape):
        self.a.build(left_shape)
        self.b.build(right_shape)

    def call(self, left, right):
        return ops.maximum(self.a(left), self.b(right))


@zoo
def subclassed_of_arguments():
    model, x = OfArguments(), [array(3, 4), array(3, 5, seed=1)]
    model(*x)
    return shake(model), x


# ---------------------------------------------------------------------- models in models, layers of layers
@zoo
def nested():
    innermost = keras.Sequential([keras.Input((5,)), L.Dense(5, activation="relu", name="deep")], name="innermost")
    h = keras.Input((5,))
    middle = keras.Model(h, L.Add(name="add")([innermost(h), h]), name="middle")
    outer = keras.Sequential([keras.Input((4,)), L.Dense(5, name="widen"), middle, L.ReLU(name="relu")], name="outer")
    x = keras.Input((4,))
    return shake(keras.Model(x, L.Dense(2, name="out")(outer(x)))), array(3, 4)


@zoo
def shared_model():
    tower = keras.Sequential([keras.Input((4,)), L.Dense(5, activation="tanh", name="dense")], name="tower")
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    h = L.Subtract(name="apart")([tower(a), tower(b)])
    return shake(keras.Model([a, b], L.Dense(2, name="out")(h))), [array(3, 4), array(3, 4, seed=1)]


@zoo
def shared_layer():
    x, dense = keras.Input((4,)), L.Dense(4, activation="relu", name="dense")
    return shake(keras.Model(x, L.Dense(2, name="out")(dense(dense(dense(x)))))), array(3, 4)


@zoo
def entering_twice():
    x = keras.Input((4,))
    h = L.Dense(3, name="dense")(x)
    return shake(keras.Model(x, L.Concatenate()([L.Add()([h, h]), L.Multiply()([h, h])]))), array(3, 4)


@zoo
def several_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    h = L.Concatenate(name="join")([a, b])
    one = L.Dense(3, activation="softmax", name="one")(h)
    two = L.Dense(1, activation="sigmoid", name="two")(L.Dense(4, activation="relu", name="hidden")(h))
    return shake(keras.Model({"a": a, "b": b}, {"one": one, "two": two})), {"a": array(3, 4), "b": array(3, 3, seed=1)}


@keras.saving.register_keras_serializable(package="innspect_tests")
class Block(L.Layer):
    """A composite layer: sub-layers, and a weight of its own used with an operation."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = L.Dense(units, activation="relu", name="dense")
        self.norm = L.LayerNormalization(name="norm")

    def build(self, shape):
        self.scale = self.add_weight(shape=(self.units,), initializer="random_normal", name="scale")
        self.mix = self.add_weight(shape=(shape[-1], self.units), initializer="random_normal", name="mix")
        self.dense.build(shape)
        self.norm.build((*shape[:-1], self.units))
        super().build(shape)

    def call(self, x):
        return self.norm(self.dense(x)) * self.scale + ops.matmul(x, self.mix)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@zoo
def composite_layer():
    x = keras.Input((4,))
    h = Block(5, name="block1")(x)
    h = Block(5, name="block2")(h)
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), array(3, 4)


class Attention(L.Layer):
    """Attention of one's own, which needs the batch size to reshape."""

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, shape):
        self.qkv = L.Dense(3 * shape[-1], name="qkv")
        self.qkv.build(shape)
        self.out = L.Dense(shape[-1], name="out")
        self.out.build(shape)
        super().build(shape)

    def call(self, x):
        batch, steps, width = ops.shape(x)[0], ops.shape(x)[1], x.shape[-1]
        mixed = ops.reshape(self.qkv(x), (batch, steps, 3, self.heads, width // self.heads))
        q, k, v = (ops.transpose(mixed[:, :, i], (0, 2, 1, 3)) for i in range(3))
        scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / (width // self.heads) ** 0.5)
        joined = ops.transpose(ops.matmul(scores, v), (0, 2, 1, 3))
        return x + self.out(ops.reshape(joined, (batch, steps, width)))


@zoo
def own_attention():
    x = keras.Input((5, 4))
    h = Attention(2, name="attention")(x)
    return shake(keras.Model(x, L.Dense(3, name="dense")(L.GlobalAveragePooling1D(name="mean")(h)))), array(3, 5, 4)


# ---------------------------------------------------------------------- operations, lambdas
@zoo
def operations():
    x = keras.Input((4,))
    a = L.Dense(4, name="a")(x)
    b = L.Dense(4, name="b")(x)
    h = ops.relu(a + b) - a * 2
    h = h + ops.maximum(b, 0) / 3.0
    h = ops.where(ops.abs(h) > 0.1, h, ops.zeros_like(h))
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), array(3, 4)


@zoo
def lambdas():
    x = keras.Input((4, 4))
    h = L.Lambda(lambda t: ops.transpose(t, (0, 2, 1)) * 3.0, name="turn")(x)
    h = L.Dense(3, activation="relu", name="dense")(h)
    h = L.Lambda(lambda t: ops.max(t, axis=1), name="most")(h)
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), array(3, 4, 4)


# ---------------------------------------------------------------------- masks, sequences
@zoo
def masked_embedding():
    x = keras.Input((6,), dtype="int32")
    h = L.Embedding(7, 4, mask_zero=True, name="embedding")(x)
    h = L.Dense(5, activation="relu", name="dense")(h)
    h = L.GlobalAveragePooling1D(name="mean")(h)
    x_values = ids(3, 6, below=7)
    x_values[:, 4:] = 0
    return shake(keras.Model(x, L.Dense(3, name="out")(h))), x_values


class Tagger(keras.Model):
    """Subclassed, so that nothing but the tensors themselves carries the mask."""

    def __init__(self):
        super().__init__(name="tagger")
        self.embedding = L.Embedding(7, 4, mask_zero=True, name="embedding")
        self.dense = L.Dense(5, activation="relu", name="dense")
        self.mean = L.GlobalAveragePooling1D(name="mean")

    def call(self, tokens):
        return self.mean(self.dense(self.embedding(tokens)))


@zoo
def masked_subclassed():
    model, values = Tagger(), ids(3, 6, below=7)
    values[:, 4:] = 0
    model(values)
    return shake(model), values


@zoo
def masked_lstm():
    x = keras.Input((5, 3))
    h = L.Masking(name="masking")(x)
    h = L.LSTM(4, return_sequences=True, name="lstm1")(h)
    h = L.LSTM(4, name="lstm2")(h)
    values = array(3, 5, 3)
    values[1, 3:] = 0
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), values


@zoo
def embedded_lstm():
    x = keras.Input((5,), dtype="int32")
    h = L.Embedding(6, 3, mask_zero=True, name="embedding")(x)
    h = L.Bidirectional(L.LSTM(3, name="lstm"), name="both")(h)
    values = ids(3, 5, below=6)
    values[:, 3:] = 0
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), values


@zoo
def multi_head_attention():
    x = keras.Input((5, 4))
    h = L.LayerNormalization(name="norm")(x)
    h = L.Add(name="add")([L.MultiHeadAttention(2, 3, name="attention")(h, h), x])
    return shake(keras.Model(x, L.Dense(2, name="out")(L.Flatten(name="flatten")(h)))), array(3, 5, 4)


# ---------------------------------------------------------------------- kinds of layers
@zoo
def convolutions():
    x = keras.Input((9, 9, 2))
    h = L.SeparableConv2D(4, 3, activation="relu", name="separable")(x)
    h = L.DepthwiseConv2D(2, depth_multiplier=2, padding="same", name="depthwise")(h)
    h = L.BatchNormalization(name="norm")(h)
    h = L.Conv2DTranspose(3, 2, strides=2, activation="relu", name="transpose")(h)
    h = L.AveragePooling2D(2, padding="same", name="average")(h)
    return shake(keras.Model(x, L.Dense(2, name="out")(L.GlobalMaxPooling2D(name="most")(h)))), array(3, 9, 9, 2)


@zoo
def time_distributed():
    x = keras.Input((4, 6, 6, 1))
    h = L.TimeDistributed(L.Conv2D(2, 3, activation="relu", name="conv"), name="frames")(x)
    h = L.GlobalAveragePooling3D(name="mean")(h)
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), array(3, 4, 6, 6, 1)


@zoo
def mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x = keras.Input((6, 6, 2))
        h = L.Conv2D(3, 3, activation="relu", name="conv")(x)
        h = Block(5, name="block")(L.Flatten(name="flatten")(h))
        model = keras.Model(x, L.Dense(2, dtype="float32", name="out")(h))
    finally:
        keras.config.set_dtype_policy(policy)
    return shake(model), array(3, 6, 6, 2)


def native(name):
    """A function of the active backend: relu, softmax, exp."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return {"relu": tf.nn.relu, "softmax": tf.nn.softmax, "tanh": tf.tanh}[name]
    if backend == "jax":
        import jax

        return {"relu": jax.nn.relu, "softmax": jax.nn.softmax, "tanh": jax.numpy.tanh}[name]
    import torch

    return {"relu": torch.relu, "softmax": lambda t: torch.softmax(t, -1), "tanh": torch.tanh}[name]


@keras.saving.register_keras_serializable(package="innspect_tests")
class Native(L.Layer):
    """Raw code of the backend, which does not run on symbolic tensors: a leaf that cannot be opened."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        super().build(shape)

    def call(self, x):
        return native("tanh")(x * ops.convert_to_tensor(self.scale))

    def compute_output_shape(self, shape):
        return shape


@zoo
def native_leaf():
    x = keras.Input((4,))
    h = Native(name="native")(L.Dense(5, name="dense")(x))
    return shake(keras.Model(x, L.Dense(2, name="out")(h))), array(3, 4)


def of_photographs(name="efficientnet_lite0"):
    """In place of a network of `innspect.zoo`: as many pixels and classes, and little in between."""
    from innspect import labels, zoo

    model = keras.Sequential(
        [
            keras.Input((224, 224, 3)),
            keras.layers.Conv2D(4, 16, strides=16, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1000, activation="softmax"),
        ]
    )
    preprocess = zoo.Preprocessing(lambda pixels: (pixels - 127) / 128, (224, 224, 3))
    return zoo.Network(name, shake(model), preprocess, labels.read([f"class {n}, synonym {n}" for n in range(1000)]))


def network():
    """One convolution, pooled, and three classes."""
    x = keras.Input((6, 6, 2))
    h = L.Conv2D(3, 3, activation="relu", name="conv")(x)
    h = L.GlobalAveragePooling2D(name="pool")(h)
    return shake(keras.Model(x, L.Dense(3, activation="softmax", name="out")(h)))
