"""Networks of every sort that people bring, with random weights: rows of the support table, and of the tests.

Weights are drawn so that everything matters: biases and the shifts and scales of normalizations are not what they start
as, and the statistics of batch normalization are those of the drawn images, so that signals neither die out nor grow.
"""

import keras
import numpy as np
from keras import layers as L
from keras import ops

import innspect

# One of each family of keras.applications, the smallest variant at about the smallest input: (size, arguments).
APPLICATIONS = {
    "ConvNeXtTiny": (32, {}),
    "DenseNet121": (32, {}),
    "EfficientNetB0": (32, {}),
    "EfficientNetV2B0": (32, {}),
    "InceptionResNetV2": (75, {}),
    "InceptionV3": (75, {}),
    "MobileNet": (32, {"alpha": 0.25}),
    "MobileNetV2": (32, {"alpha": 0.35}),
    "MobileNetV3Small": (32, {}),
    "MobileNetV3Large": (32, {}),
    "NASNetMobile": (32, {}),
    "ResNet50": (32, {}),
    "ResNet50V2": (32, {}),
    "VGG16": (32, {}),
    "Xception": (71, {}),
}
_PIXELS = ("ConvNeXt", "EfficientNet", "MobileNetV3")  # these rescale what they are given


def application(name, classes=5, seed=0, times=1):
    """A network of keras.applications and two images for it, `times` as wide and high as the smallest.

    Returns:
        The model, and images (2, size, size, 3) in the range that it expects: 0 to 255 where it rescales, else 0 to 1.
    """
    size, arguments = APPLICATIONS.get(name, (32, {}))
    size *= times
    make = getattr(keras.applications, name)
    keras.utils.set_random_seed(seed)
    model = make(weights=None, input_shape=(size, size, 3), classes=classes, **arguments)
    random = np.random.default_rng(seed)
    x = images(8, size, random) * (255 if name.startswith(_PIXELS) else 1)
    enliven(model, x, random)
    return model, x[:2]


def images(count, size, random):
    """Images of coarse patches and some noise, (count, size, size, 3) between 0 and 1: no two look alike to a network."""
    patches = random.uniform(0, 1, (count, 4, 4, 3)) * random.uniform(0.3, 1, (count, 1, 1, 3))
    repeated = np.kron(patches, np.ones((1, -(-size // 4), -(-size // 4), 1)))[:, :size, :size]
    return (0.8 * repeated + 0.2 * random.uniform(0, 1, (count, size, size, 3))).astype("float32")


def enliven(model, x, random):
    """Draw biases, shifts and scales; take the statistics of batch normalization from `x`."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, L.BatchNormalization)]
    gain = 1.4 if not norms and "vgg" in model.name else 1.0  # what ReLUs take away
    for weight in model.weights:
        if weight.name in ("bias", "beta"):
            weight.assign(random.uniform(-0.2, 0.2, weight.shape) / (10 if gain > 1 else 1))
        elif weight.name == "gamma":
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
        elif weight.name == "kernel" and gain > 1:
            weight.assign(weight * gain)
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(x, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    _settle_scores(model, x, random)


def _settle_scores(model, x, random):
    """Positive scores, for deep Taylor to decompose, of which no probability is 0 or 1."""
    last = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    last.bias.assign(ops.zeros(last.bias.shape))
    scores = ops.convert_to_numpy(innspect.model_wo_softmax(model)(x))
    last.kernel.assign(last.kernel / (2 * np.abs(scores).max()))
    last.bias.assign(random.uniform(0.5, 1, last.bias.shape))


# ---------------------------------------------------------------------- small networks, one for each sort
SMALL = {}


def _network(name):
    def register(build):
        SMALL[name] = build
        return build

    return register


_SEEDS = {"MLP": 2}  # others 1; with that, two noisy samples cross no ReLU of it


def small(name):
    """One of the networks `SMALL`, and three samples for it in the structure that it takes."""
    seed = _SEEDS.get(name, 1)
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = SMALL[name]()
    x = keras.tree.map_structure(lambda spec: _samples(spec, random), model.input)
    for variable in model.variables:
        if variable.name in ("gamma", "scale", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name in ("beta", "bias", "moving_mean"):
            variable.assign(random.uniform(-0.1, 0.3, variable.shape))
        elif variable.name == "embeddings":
            variable.assign(random.normal(0, 1, variable.shape))
        elif "kernel" in variable.name:  # the same on every backend, as initializers are not
            inputs = np.prod(variable.shape) / variable.shape[-1]
            variable.assign(random.normal(0, inputs**-0.5, variable.shape))
    biases = [variable for variable in model.variables if variable.name == "bias"]
    biases[-1].assign(random.uniform(0.5, 1, biases[-1].shape))  # scores above 0, for deep Taylor to decompose
    return model, x


def _samples(spec, random):
    """Numbers between 0 and 1; or ids below 10, the last of each sample padding."""
    if "int" not in spec.dtype:
        return random.uniform(0, 1, (3, *spec.shape[1:])).astype("float32")
    values = random.integers(1, 10, (3, *spec.shape[1:])).astype("int32")
    values[:, -1] = 0
    return values


def _ids(steps, name=None):
    return keras.Input((steps,), dtype="int32", name=name)


def _scores(h):
    return L.Dense(3, activation="softmax", name="scores")(h)


@_network("MLP")
def _mlp():
    x = keras.Input((6,))
    h = L.Dense(8, activation="relu")(x)
    return keras.Model(x, _scores(L.Dense(8, activation="relu")(L.Dropout(0.5)(h))))


@_network("CNN, max pooling")
def _cnn():
    x = keras.Input((10, 10, 2))
    h = L.Conv2D(4, 3, activation="relu")(x)
    h = L.MaxPooling2D()(h)
    h = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", use_bias=False)(h)))
    return keras.Model(x, _scores(L.Dense(8, activation="relu")(L.Flatten()(h))))


@_network("CNN, residual, global pooling")
def _residual():
    x = keras.Input((8, 8, 2))
    h = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    branch = L.SeparableConv2D(4, 3, padding="same", activation="relu")(h)
    h = L.ReLU()(L.Add()([h, L.BatchNormalization()(branch)]))
    return keras.Model(x, _scores(L.GlobalAveragePooling2D()(h)))


@_network("CNN, squeeze and excite, swish")
def _gated():
    x = keras.Input((8, 8, 2))
    h = L.Conv2D(4, 3, activation="swish")(x)
    gate = L.Dense(2, activation="swish")(L.GlobalAveragePooling2D(keepdims=True)(h))
    h = L.Multiply()([h, L.Dense(4, activation="sigmoid")(gate)])
    return keras.Model(x, _scores(L.GlobalAveragePooling2D()(L.Conv2D(5, 3, activation="swish")(h))))


@_network("CNN of a time series")
def _series():
    x = keras.Input((12, 2))
    h = L.Conv1D(4, 3, activation="relu")(x)
    h = L.Conv1D(4, 3, dilation_rate=2, activation="elu")(L.AveragePooling1D(2, strides=1)(h))
    return keras.Model(x, _scores(L.GlobalMaxPooling1D()(h)))


@_network("CNN of volumes")
def _volumes():
    x = keras.Input((6, 6, 6, 1))
    h = L.Conv3D(3, 3, activation="relu")(x)
    return keras.Model(x, _scores(L.GlobalAveragePooling3D()(L.Conv3D(4, 2, activation="relu")(h))))


@_network("LSTM on text")
def _lstm():
    x = _ids(6)
    return keras.Model(x, _scores(L.LSTM(5)(L.Embedding(10, 4, mask_zero=True)(x))))


@_network("GRU, bidirectional")
def _gru():
    x = keras.Input((6, 3))
    h = L.Bidirectional(L.GRU(4, return_sequences=True))(x)
    return keras.Model(x, _scores(L.GlobalAveragePooling1D()(h)))


@_network("ConvLSTM on video")
def _video():
    x = keras.Input((3, 6, 6, 1))
    return keras.Model(x, _scores(L.GlobalAveragePooling2D()(L.ConvLSTM2D(3, 3)(x))))


def _encoder_block(h, width):
    attended = L.MultiHeadAttention(2, width // 2)(L.LayerNormalization()(h), L.LayerNormalization()(h))
    h = L.Add()([h, attended])
    mlp = L.Dense(width)(L.Dense(2 * width, activation="gelu")(L.LayerNormalization()(h)))
    return L.Add()([h, mlp])


@_network("Transformer on text")
def _transformer():
    x = _ids(6)
    h = _encoder_block(L.Embedding(10, 8, mask_zero=True)(x), 8)
    return keras.Model(x, _scores(L.GlobalAveragePooling1D()(h)))


@_network("Vision transformer")
def _vision():
    x = keras.Input((8, 8, 3))
    h = L.Reshape((4, 8))(L.Conv2D(8, 4, strides=4)(x))
    h = L.LayerNormalization()(_encoder_block(_encoder_block(h, 8), 8))
    return keras.Model(x, _scores(h[:, 0]))


@_network("U-Net")
def _unet():
    x = keras.Input((8, 8, 2))
    wide = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    deep = L.Conv2D(6, 3, padding="same", activation="relu")(L.MaxPooling2D()(wide))
    up = L.Conv2DTranspose(4, 2, strides=2, activation="relu")(deep)
    h = L.Conv2D(4, 3, padding="same", activation="relu")(L.Concatenate()([wide, up]))
    return keras.Model(x, L.Conv2D(3, 1, activation="softmax")(h))


@_network("Autoencoder")
def _autoencoder():
    x = keras.Input((6,))
    code = L.Dense(3, activation="relu")(L.Dense(5, activation="relu")(x))
    return keras.Model(x, L.Dense(6, activation="sigmoid")(L.Dense(5, activation="relu")(code)))


@_network("Siamese")
def _siamese():
    image = keras.Input((8, 8, 1))
    tower = keras.Model(image, L.GlobalAveragePooling2D()(L.Conv2D(5, 3, activation="relu")(image)), name="tower")
    left, right = keras.Input((8, 8, 1), name="left"), keras.Input((8, 8, 1), name="right")
    apart = L.Subtract()([tower(left), tower(right)])
    return keras.Model([left, right], _scores(L.Dense(6, activation="relu")(apart)))


@_network("Image, table and text")
def _multimodal():
    inputs = {"image": keras.Input((8, 8, 1), name="image"), "table": keras.Input((4,), name="table"), "text": _ids(5, "text")}
    seen = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(inputs["image"]))
    read = L.GlobalAveragePooling1D()(L.Embedding(10, 4)(inputs["text"]))
    h = L.Concatenate()([seen, L.Dense(4, activation="relu")(inputs["table"]), read])
    return keras.Model(inputs, _scores(L.Dense(6, activation="relu")(h)))


@_network("Table with categories")
def _table():
    inputs = {"kind": _ids(2, "kind"), "numbers": keras.Input((4,), name="numbers")}
    numbers = L.Normalization(mean=[0.5] * 4, variance=[0.1] * 4)(inputs["numbers"])
    h = L.Concatenate()([L.Flatten()(L.Embedding(10, 3)(inputs["kind"])), numbers])
    return keras.Model(inputs, L.Dense(2, activation="sigmoid")(L.Dense(8, activation="relu")(h)))


@keras.saving.register_keras_serializable(package="innspect_zoo")
class Mixer(L.Layer):
    """A layer written with Keras operations."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 6), name="kernel")

    def call(self, x):
        h = ops.relu(ops.matmul(x, self.kernel))
        return ops.concatenate([h, ops.maximum(h, 0.1) * 0.5], axis=-1)


@_network("Own layers of operations")
def _own():
    x = keras.Input((6,))
    return keras.Model(x, _scores(L.Lambda(lambda t: t * 2.0)(Mixer()(x))))
