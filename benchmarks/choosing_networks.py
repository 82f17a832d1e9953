"""The networks of `choosing.py`: one of each sort of data, with samples that they were not trained on.

The network of photographs has its weights from a package; the others are trained on the spot, in seconds, on data that ship
with scikit-learn or are made here. Where they are made, it is known which positions decide: the truth.
"""

from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from keras import layers as L

import innspect

TRAINED, TESTED = 2000, 64


@dataclass
class Network:
    """A network and what is explained of it.

    Attributes:
        kind: What `innspect.default_methods` takes it for.
        data: What the samples are, for the page.
        accuracy: On samples that it was not trained on; None where their classes are not known.
        masks: Which positions decide, booleans, where that is known.
        fit_data: For the methods that learn from data.
        metrics: Arguments of metrics, by name.
        arguments: Dict from label to (name, arguments): methods that need some, or are tried with others than their own.
    """

    kind: str
    data: str
    model: keras.Model
    x: np.ndarray
    accuracy: float | None = None
    masks: np.ndarray | None = None
    fit_data: np.ndarray | None = None
    metrics: dict = field(default_factory=dict)
    arguments: dict = field(default_factory=dict)


def _trained(model, x, y, x_test, y_test, epochs, rate=3e-3):
    """Train a model of two classes or more; its accuracy on the test samples."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return float(model.evaluate(x_test, y_test, verbose=0)[1])


@keras.saving.register_keras_serializable("choosing")
class Positions(L.Layer):
    """Adds a learned vector to every position of a sequence."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

    def call(self, x):
        return x + self.table


def _attended(h):
    """Two blocks of attention on a sequence, and its mean."""
    for _ in range(2):
        n = L.LayerNormalization()(h)
        h = L.Add()([h, L.MultiHeadAttention(4, 8)(n, n)])
        n = L.Dense(64, activation="gelu")(L.LayerNormalization()(h))
        h = L.Add()([h, L.Dense(32)(n)])
    return L.GlobalAveragePooling1D()(L.LayerNormalization()(h))


# ---------------------------------------------------------------------- images
def photographs(folder=None):
    """EfficientNet-Lite0 with ImageNet weights, on a folder of photographs, or on those that ship."""
    network = innspect.zoo.load("efficientnet_lite0")
    if folder is None:
        names = innspect.zoo.photographs.list_photographs()
        pixels = np.stack([innspect.zoo.photograph(name, 224) for name in names])
        data = f"{len(names)} photographs that ship with packages"
    else:
        pixels = np.stack([_square(path) for path in sorted(Path(folder).iterdir())])
        data = f"{len(pixels)} photographs"
    x = network.preprocess(pixels)
    bounds = _bounded(-127 / 128, 1.0)
    fewer = {"rise": ("rise", {"num_masks": 500})}  # 4,000 take a minute for each photograph
    about = f"EfficientNet-Lite0 with ImageNet weights, {data}"
    return Network("image", about, network.model, x, fit_data=x, arguments=bounds | fewer)


def _bounded(low, high):
    names = ("lrp.epsilon_gamma_box", "deep_taylor.bounded")
    return {name: (name, {"low": low, "high": high}) for name in names}


def _against(x):
    """Methods that compare, with samples in the place of zero."""
    mean = {f"{name}, mean": (name, {"reference_inputs": x.mean(0)}) for name in ("integrated_gradients", "deep_lift")}
    return mean | {"deep_shap": ("deep_shap", {"background": x[:32]})}


def _square(path, size=224):
    """The middle of a photograph, uint8 (size, size, 3)."""
    image = keras.utils.load_img(path)
    shown = np.asarray(image.resize([round(side * size / min(image.size) / 0.875) for side in image.size]))
    top, left = ((length - size) // 2 for length in shown.shape[:2])
    return shown[top : top + size, left : left + size]


def digits():
    """A small convolutional network on scikit-learn's digits of 8 x 8 pixels."""
    keras.utils.set_random_seed(0)
    stack = [L.Conv2D(16, 3, activation="relu", padding="same"), L.MaxPooling2D(), L.Conv2D(32, 3, activation="relu")]
    layers = [*stack, L.Flatten(), L.Dense(64, activation="relu"), L.Dense(10, activation="softmax")]
    return _digits("image", "a convolutional network", keras.Sequential([keras.Input((8, 8, 1)), *layers], name="digits"), 12)


def vision_transformer():
    """A vision transformer in miniature on the same: 16 patches of 2 x 2 pixels, two blocks of attention."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    h = Positions()(L.Reshape((16, 32))(L.Conv2D(32, 2, strides=2)(inputs)))
    model = keras.Model(inputs, L.Dense(10, activation="softmax")(_attended(h)), name="vision_transformer")
    return _digits("attention", "a vision transformer of two blocks", model, 25)


def _digits(kind, network, model, epochs):
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, order = (x / 16).reshape(-1, 8, 8, 1).astype("float32"), np.random.default_rng(0).permutation(len(y))
    train, test = order[:-TESTED], order[-TESTED:]
    accuracy = _trained(model, x[train], y[train], x[test], y[test], epochs)
    data = f"{network} on scikit-learn's digits of 8 x 8 pixels"
    arguments = _bounded(0.0, 1.0) | _against(x[train])
    return Network(kind, data, model, x[test], accuracy, fit_data=x[train][:512], arguments=arguments)


# ---------------------------------------------------------------------- tables and series
def table():
    """Two dense layers on scikit-learn's breast cancer table, whose columns are standardised before."""
    return _table("standardised before, so that zero is the mean", lambda x: (x - x.mean(0)) / x.std(0), [])


def raw_table():
    """The same on the columns as they are: the model scales them."""
    scale = L.Normalization()

    def adapted(x):
        scale.adapt(x)
        return x

    return _table("as they are, which the model scales, so that zero is no value of theirs", adapted, [scale])


def _table(said, prepared, first):
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    x, order = prepared(x.astype("float32")), np.random.default_rng(0).permutation(len(y))
    train, test = order[:-TESTED], order[-TESTED:]
    keras.utils.set_random_seed(0)
    stack = [*first, L.Dense(32, activation="relu"), L.Dense(16, activation="relu"), L.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((30,)), *stack], name="table")
    accuracy = _trained(model, x[train], y[train], x[test], y[test], 30)
    given = {"metrics": {"background": x[train]}, "arguments": _against(x[train])}
    data = f"two dense layers on the 30 columns of scikit-learn's breast cancer table, {said}"
    return Network("table", data, model, x[test], accuracy, fit_data=x[train], **given)


def series():
    """Two convolutions on series of three channels; one of them has an event at some time, which tells the class."""
    random, steps, length = np.random.default_rng(0), 64, 16
    count, t = TRAINED + TESTED, np.arange(16)
    x, y = random.normal(0, 0.5, (count, steps, 3)), random.integers(0, 4, count)
    shapes = [np.where(t > 8, 1.5, -1.5), np.linspace(2, -2, length), 2 * np.sin(1.6 * t), 2 * np.sin(0.8 * t)]
    masks = np.zeros((count, steps), bool)
    for row, start in enumerate(random.integers(0, steps - length, count)):
        x[row, start : start + length, random.integers(3)] += shapes[y[row]]
        masks[row, start : start + length] = True
    x = x.astype("float32")
    keras.utils.set_random_seed(0)
    stack = [L.Conv1D(16, 7, activation="relu"), L.MaxPooling1D(2), L.Conv1D(32, 5, activation="relu")]
    model = keras.Sequential([keras.Input((steps, 3)), *stack, L.GlobalMaxPooling1D(), L.Dense(4, activation="softmax")])
    accuracy = _trained(model, x[:TRAINED], y[:TRAINED], x[TRAINED:], y[TRAINED:], 10)
    data = "two convolutions on series of three channels, 64 steps; an event of 16 steps, made here, tells the class"
    return Network("series", data, model, x[TRAINED:], accuracy, masks[TRAINED:], x[:512], arguments=_against(x[:512]))


# ---------------------------------------------------------------------- texts
GOOD, BAD = ("great", "funny", "moving", "clever"), ("boring", "awful", "silly", "flat")
SUBJECTS = ("plot", "music", "acting", "ending", "camera")
WORDS = ["", "[mask]", "the", "was", "really", "not", "and", *SUBJECTS, *GOOD, *BAD]  # 0 is the padding
NUMBER, LONGEST, MASK, MASKED = {word: i for i, word in enumerate(WORDS)}, 13, 1, 0.15


def _reviews(count, random):
    """Sentences (count, LONGEST) of ids, whether they are good, and which words say so: that of praise, and "not"."""
    x, masks = np.zeros((count, LONGEST), "int32"), np.zeros((count, LONGEST), bool)
    y = random.integers(0, 2, count)
    for row in range(count):
        words, said = [], []
        for clause in range(1 + (random.random() < 0.7)):
            negated = random.random() < 0.4
            praise = random.choice(GOOD if bool(y[row]) != negated else BAD)
            more = ["the", random.choice(SUBJECTS), "was"]
            more += ["not"] * negated + ["really"] * (random.random() < 0.3) + [praise]
            words += ["and"] * clause + more
            said += [False] * clause + [word in (praise, "not") for word in more]
        x[row, : len(words)], masks[row, : len(words)] = [NUMBER[word] for word in words], said
    return x, y, masks


def _text(kind, network, stack, epochs):
    random = np.random.default_rng(0)
    x, y, masks = _reviews(TRAINED + TESTED, random)
    hidden = np.where((random.random(x.shape) < MASKED) & (x > 0), MASK, x)[:TRAINED]  # to hide a word is nothing new to it
    keras.utils.set_random_seed(0)
    inputs = keras.Input((LONGEST,), dtype="int32")
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(stack(inputs)), name=kind)
    accuracy = _trained(model, hidden, y[:TRAINED], x[TRAINED:], y[TRAINED:], epochs, 5e-3)
    data = f"{network} on reviews made here, such as “the plot was not really clever and the music was flat”"
    metrics = {name: {"mask_id": MASK} for name in ("srg", "insertion")}
    return Network(kind, data, model, x[TRAINED:], accuracy, masks[TRAINED:], x[:512], metrics)


def text():
    """An embedding and two convolutions on short reviews, whose words may be negated."""

    def stack(ids):
        h = L.Conv1D(32, 3, activation="relu", padding="same")(L.Embedding(len(WORDS), 16)(ids))
        return L.GlobalMaxPooling1D()(L.Conv1D(32, 3, activation="relu", padding="same")(h))

    return _text("text", "an embedding and two convolutions", stack, 8)


def recurrent():
    """An embedding and an LSTM on the same reviews."""
    return _text("recurrent", "an embedding and an LSTM", lambda ids: L.LSTM(32)(L.Embedding(len(WORDS), 16)(ids)), 10)


def transformer():
    """An embedding and two blocks of attention on the same reviews."""

    def stack(ids):
        return _attended(Positions()(L.Embedding(len(WORDS), 32)(ids)))

    return _text("attention", "an embedding and two blocks of attention", stack, 10)


NETWORKS = {
    "photographs": photographs,
    "digits": digits,
    "table": table,
    "raw_table": raw_table,
    "series": series,
    "text": text,
    "recurrent": recurrent,
    "transformer": transformer,
    "vision_transformer": vision_transformer,
}
