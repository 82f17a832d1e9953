"""Heads other than one vector of classes, and inputs other than one array: user stories through the public API."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from models import array, ids, shake
from versions import needs_keras

import innspect

pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.filterwarnings("ignore:.*gradient of .* does not exist")]

BACKEND = keras.backend.backend()
STEP, ERROR = (1e-3, 1e-2) if BACKEND == "torch" else (1e-6, 1e-4)  # some operations are in float32 on torch
JAX = BACKEND == "jax"  # which compiles every small network for a second or two: there fewer of each


def explain(name, model, x, selection=None, **arguments):
    settings = {k: arguments.pop(k) for k in ("output", "at", "neurons") if k in arguments}
    return innspect.create_analyzer(name, model, **arguments).explain(x, selection, **settings)


def predict(model, x):
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def totals(R):
    return sum(r.reshape(len(r), -1).sum(1) for r in keras.tree.flatten(R))


def close(ours, theirs, tolerance=1e-4):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-3))


def gradient_of(model, x, score):
    """The gradient of sum(score(model(x))) by central differences."""
    steps = STEP * np.eye(x[0].size).reshape(-1, 1, *x.shape[1:])
    up, down = (score(predict(model, (x + s).reshape(-1, *x.shape[1:]))).reshape(-1, len(x)) for s in (steps, -steps))
    return ((up - down) / (2 * STEP)).T.reshape(x.shape)


# ---------------------------------------------------------------------- regression, several outputs
def test_regression_explains_the_value_whatever_its_sign(double):
    """One unit without an activation: index 0 and the largest output are the same; relevance has the value's sign."""
    x = keras.Input((5,))
    model = shake(keras.Model(x, L.Dense(1, use_bias=False)(L.Dense(4, activation="relu", use_bias=False)(x))))
    data = array(6, 5).astype("float64")
    y = predict(model, data)[:, 0]
    model.layers[-1].kernel.assign(-model.layers[-1].kernel) if y[0] > 0 else None
    y = predict(model, data)[:, 0]
    assert y[0] < 0
    for method in ("lrp.z", "input_t_gradient"):  # bias-free and ReLU: homogeneous
        ours = explain(method, model, data)
        close(ours.targets, y)
        close(totals(ours.attributions), y)
        np.testing.assert_array_equal(ours.attributions, explain(method, model, data, 0).attributions)
    squared = explain("gradient", model, data, lambda y: (y[:, 0] - 3.0) ** 2)  # a loss
    close(squared.targets, (y - 3) ** 2)
    close(squared.attributions, 2 * (y - 3)[:, None] * explain("gradient", model, data).attributions)


def two_heads():
    x = keras.Input((5,))
    h = L.Dense(6, activation="relu", name="trunk")(x)
    age = L.Dense(1, name="age")(h)
    kind = L.Dense(3, activation="softmax", name="kind")(h)
    return shake(keras.Model(x, {"kind": kind, "age": age}))  # not in the alphabet's order


def test_several_outputs_by_name_and_number(double):
    model, data = two_heads(), array(3, 5).astype("float64")
    trunk = keras.Model(model.input, model.get_layer("trunk").output)
    h = predict(trunk, data)
    for name, number, selection in (("age", 0, 0), ("kind", 1, 2)):
        kernel, bias = (ops.convert_to_numpy(w) for w in model.get_layer(name).weights)
        by_name, by_number = (explain("lrp.z", model, data, selection, output=o, at="trunk") for o in (name, number))
        close(by_name.targets, h @ kernel[:, selection] + bias[selection])
        close(by_name.signals["trunk"], h * kernel[:, selection])  # only the chosen head is seeded
        np.testing.assert_array_equal(by_name.attributions, by_number.attributions)
    with pytest.raises(KeyError, match=r"`output` must be one of .*'age', 'kind'.*Received: 'size'"):
        explain("lrp.z", model, data, output="size")


# ---------------------------------------------------------------------- segmentation
def unet(up="transposed", size=8):
    """Two levels, with a skip connection each; logits of three classes a pixel."""
    x = keras.Input((size, size, 1))

    def block(h, filters, name):
        return L.Conv2D(filters, 3, padding="same", activation="relu", name=name)(h)

    def upward(h, filters, name):
        if up == "transposed":
            return L.Conv2DTranspose(filters, 2, strides=2, name=name)(h)
        return L.UpSampling2D(2, interpolation=up, name=name)(h)

    one = block(x, 3, "one")
    two = block(L.MaxPooling2D(2)(one), 4, "two")
    three = block(L.MaxPooling2D(2)(two), 5, "three")
    h = block(L.Concatenate(name="skip_two")([upward(three, 4, "up_two"), two]), 4, "back_two")
    h = block(L.Concatenate(name="skip_one")([upward(h, 3, "up_one"), one]), 3, "back_one")
    return shake(keras.Model(x, L.Conv2D(3, 1, name="classes")(h)))


UPS = ["nearest"] if JAX else ["transposed", "nearest", "bilinear"]


@pytest.mark.parametrize("up", UPS)
def test_a_pixel_and_class_of_a_unet(up, double):
    """A pixel's score depends on its field of view; gradient against differences, and complete where theory says so."""
    model, data = unet(up), array(2, 8, 8, 1).astype("float64")
    place = (2, 5, 1)
    y = predict(model, data)[:, 2, 5, 1]
    exact = up != "bilinear"  # which TensorFlow computes in float32
    if exact:
        ours = explain("gradient", model, data, place)
        close(ours.targets, y)
        close(ours.attributions, gradient_of(model, data, lambda y: y[:, 2, 5, 1]), ERROR)
    start = predict(model, 0 * data)[:, 2, 5, 1]
    close(totals(explain("deep_lift", model, data, place).attributions), y - start, 1e-5)
    if up == "nearest" and not JAX:
        integrated = explain("integrated_gradients", model, data, place, steps=4, quadrature="midpoint")
        points = [explain("gradient", model, t * data, place).attributions for t in (1 / 8, 3 / 8, 5 / 8, 7 / 8)]
        close(integrated.attributions, data * np.mean(points, axis=0))
    analyzer = innspect.create_analyzer("lrp.epsilon_plus", model)
    assert analyzer.conservation(data, place).error < (1e-9 if exact else 1e-5)
    ours = analyzer.explain(data, place, at="skip_one")
    assert ours.signals["skip_one"].shape == (2, *model.get_layer("skip_one").output.shape[1:])
    outside = np.ones((8, 8), bool)
    outside[1:4, 4:7] = False  # the last block sees 3 x 3 pixels of the skip connection
    assert not ours.signals["skip_one"][:, outside].any()


def test_a_mask_of_pixels_is_a_sum_of_pixels(double):
    """A float array of the output's shape, for one class; the same as a callable; and as the pixels added up."""
    model, data = unet(), array(2, 8, 8, 1).astype("float64")
    mask = np.zeros((8, 8, 3))
    mask[1, 2, 1], mask[4, 4, 1] = 1, 0.5
    for method in ("gradient",) if JAX else ("gradient", "lrp.z"):
        ours = explain(method, model, data, mask)
        close(ours.targets, (predict(model, data) * mask).sum((1, 2, 3)))
        called = explain(method, model, data, lambda y: ops.sum(y * ops.convert_to_tensor(mask, dtype=y.dtype), axis=(1, 2, 3)))
        close(called.attributions, ours.attributions)
        parts = explain(method, model, data, neurons=[(1, 2, 1), (4, 4, 1)]).attributions
        close(parts[0] + 0.5 * parts[1], ours.attributions)
    if JAX:
        return
    each = np.stack([mask, mask[::-1]])  # a mask for every sample
    ours = explain("gradient", model, data, each).attributions
    close(ours[0], explain("gradient", model, data, mask).attributions[0])
    close(ours[1], explain("gradient", model, data, mask[::-1]).attributions[1])


def test_cam_and_occlusion_of_a_segmentation(double):
    """Grad-CAM by hand at the bottom of the U-Net; occlusion by hand with a window as wide as the stride."""
    model, data = unet("nearest"), array(2, 8, 8, 1).astype("float64")
    mask = np.zeros((8, 8, 3))
    mask[2:5, 2:5, 2] = 1
    cam = explain("grad_cam", model, data, mask, layer="three", upsample=False)
    at_layer = explain("gradient", model, data, mask, at="three").signals["three"]
    activations = predict(keras.Model(model.input, model.get_layer("three").output), data)
    expected = np.maximum((activations * at_layer.mean((1, 2), keepdims=True)).sum(-1), 0)
    close(cam.attributions, expected)
    ours = explain("occlusion", model, data, mask, window=4, stride=4, value=0.0)

    def score(x):
        return (predict(model, x) * mask).sum((1, 2, 3))

    for row, column in ((0, 0), (0, 4), (4, 4)):
        hidden = data.copy()
        hidden[:, row : row + 4, column : column + 4] = 0
        close(ours.attributions[:, row, column], score(data) - score(hidden))


@pytest.mark.skipif(JAX, reason="the same operations; it compiles for long")
def test_an_index_of_a_segmentation_is_the_class_everywhere(double):
    model, data = unet(), array(2, 8, 8, 1).astype("float64")
    ours = explain("gradient", model, data, 1)
    close(ours.targets, predict(model, data)[..., 1].sum((1, 2)))
    every = np.zeros((8, 8, 3))
    every[..., 1] = 1
    close(ours.attributions, explain("gradient", model, data, every).attributions)


# ---------------------------------------------------------------------- detection
def detector():
    """A grid of boxes: (left, top, width, height, objectness, two classes) for each of 2 x 2 cells."""
    x = keras.Input((8, 8, 1))
    h = L.MaxPooling2D(4)(L.Conv2D(4, 3, padding="same", activation="relu")(x))
    boxes = L.Conv2D(4, 1, name="boxes")(h)
    scores = L.Conv2D(3, 1, name="scores")(h)
    return shake(keras.Model(x, L.Reshape((4, 7))(L.Concatenate()([boxes, scores]))))


def test_detection_by_callables(double):
    """The score of one box for a class, its objectness times its class, and one side of a box."""
    model, data = detector(), array(3, 8, 8, 1).astype("float64")
    y = predict(model, data)
    best = y[:, :, 4].argmax(1)  # another box for each sample

    def class_of_the_best_box(y):
        hot = ops.one_hot(ops.argmax(y[:, :, 4], axis=1), 4, dtype=y.dtype)
        return ops.sum(hot * ops.sigmoid(y[:, :, 4]) * y[:, :, 6], axis=1)

    def score(y):
        rows = np.arange(len(y)), y[:, :, 4].argmax(1)
        return 1 / (1 + np.exp(-y[*rows, 4])) * y[*rows, 6]

    ours = explain("gradient", model, data, class_of_the_best_box)
    close(ours.targets, score(y))
    close(ours.attributions, gradient_of(model, data, score), ERROR)
    rows = np.arange(3), best
    assert not any(ours.attributions[s][_cell_outside(best[s])].any() for s in range(3))  # what another cell sees
    weights = np.zeros((3, 4, 7))
    weights[*rows, 2] = 1
    width = explain("lrp.z", model, data, weights)
    close(width.targets, y[*rows, 2])


def _cell_outside(cell):
    """Pixels that a cell of the detector does not see."""
    outside = np.ones((8, 8), bool)
    row, column = 4 * (cell // 2), 4 * (cell % 2)
    outside[max(row - 1, 0) : row + 5, max(column - 1, 0) : column + 5] = False
    return outside


# ---------------------------------------------------------------------- autoencoders
def test_a_reconstructed_unit_and_the_error_of_an_autoencoder(double):
    x = keras.Input((6, 6, 1))
    code = L.Dense(4, activation="relu", name="code")(L.Flatten()(L.Conv2D(3, 3, strides=2, activation="relu")(x)))
    h = L.Reshape((3, 3, 3))(L.Dense(27, activation="relu")(code))
    y = L.Conv2DTranspose(1, 2, strides=2, activation="sigmoid")(h)
    model, data = shake(keras.Model(x, y)), np.abs(array(2, 6, 6, 1)).astype("float64")
    ours = explain("deep_lift", model, data, (3, 4, 0), at="code")
    logit = explain("gradient", model, data, (3, 4, 0)).targets
    r = predict(model, data)[:, 3, 4, 0]
    close(logit, np.log(r / (1 - r)))  # the sigmoid is a head
    at_zero = predict(model, 0 * data)[:, 3, 4, 0]
    close(totals(ours.attributions), logit - np.log(at_zero / (1 - at_zero)), 1e-5)
    at_output = explain("gradient", model, data, (3, 4, 0), head="output")
    close(at_output.attributions, gradient_of(model, data, lambda y: y[:, 3, 4, 0]), ERROR)

    error = explain("gradient", model, data, lambda y: ops.sum(ops.square(y - 0.5), axis=(1, 2, 3)), head="output")
    close(error.attributions, gradient_of(model, data, lambda y: ((y - 0.5) ** 2).sum((1, 2, 3))), ERROR)


# ---------------------------------------------------------------------- siamese networks
def siamese(head):
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    tower = keras.Sequential([L.Dense(4, activation="relu", use_bias=False), L.Dense(3, use_bias=False)], name="tower")
    return shake(keras.Model([left, right], head(tower(left), tower(right))))


def pair():
    return [array(3, 5).astype("float64"), array(3, 5, seed=1).astype("float64")]


DISTANCES = {
    "subtract": lambda a, b: L.Dense(1, use_bias=False)(L.Subtract()([a, b])),
    "abs": lambda a, b: L.Dense(1, use_bias=False)(ops.abs(L.Subtract()([a, b]))),
    "lambda": lambda a, b: L.Lambda(lambda t: ops.sum(ops.square(t[0] - t[1]), axis=-1, keepdims=True))([a, b]),
    "dot": lambda a, b: L.Dot(axes=-1)([a, b]),
    "cosine": lambda a, b: L.Dot(axes=-1, normalize=True)([a, b]),
    "unit": lambda a, b: L.Dot(axes=-1)([L.UnitNormalization()(a), L.UnitNormalization()(b)]),
    "normalize": lambda a, b: ops.sum(ops.normalize(a) * ops.normalize(b), axis=-1, keepdims=True),
}


@pytest.mark.parametrize("head", ["unit"] if JAX else list(DISTANCES))
def test_siamese_networks_share_what_is_compared(head, double):
    """Without biases nothing is lost: the relevance of both inputs sums to the value, half and half for a product."""
    model, data = siamese(DISTANCES[head]), pair()
    for method in ("lrp.z", "lrp.attention"):
        ours = explain(method, model, data, 0)
        close(ours.targets, predict(model, data)[:, 0])
        close(totals(ours.attributions), ours.targets, 1e-4)
        if head in ("dot", "cosine", "unit", "normalize"):
            for R in ours.attributions:
                close(totals(R), ours.targets / 2, 1e-4)
    if head == "subtract":  # swapped inputs: swapped relevance, of the other sign
        swapped = explain("lrp.z", model, data[::-1], 0)
        close(swapped.attributions[0], -explain("lrp.z", model, data, 0).attributions[1])
    lifted = explain("deep_lift", model, data, 0, reference_inputs=[0.1 + 0 * data[0], 0.2 + 0 * data[1]])
    start = predict(model, [0.1 + 0 * data[0], 0.2 + 0 * data[1]])[:, 0]
    close(totals(lifted.attributions), ours.targets - start, 1e-5)


def test_signals_at_a_shared_tower_and_at_a_call_of_it_that_is_constant(double):
    """A tower called twice has two signals; where one call is a constant, such as a stored template, its signal is 0."""
    model, data = siamese(DISTANCES["subtract"]), pair()
    ours = explain("lrp.z", model, data, 0, at="tower")
    assert [s.shape for s in ours.signals["tower"]] == [(3, 3)] * 2
    close(totals(ours.signals["tower"]), ours.targets)

    x = keras.Input((5,))
    tower = L.Dense(3, activation="relu", name="tower")
    template = shake(keras.Model(x, L.Dense(2)(tower(x) - tower(ops.stop_gradient(2 * x)))))
    for method in ("gradient", "lrp.z", "deep_lift"):
        for chosen in ({"selection": 1}, {"neurons": [0, 1]}):
            live, constant = explain(method, template, data[0], at="tower", **chosen).signals["tower"]
            assert live.any()
            assert live.shape == constant.shape
            assert not constant.any()


# ---------------------------------------------------------------------- several kinds of inputs
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


@pytest.mark.parametrize("method", ["lrp.z"] if JAX else ["lrp.z", "lrp.attention", "deep_lift", "integrated_gradients"])
def test_a_dict_of_inputs_gives_a_dict_of_attributions(method, double):
    model = multimodal()
    data = {"table": array(3, 3), "image": array(3, 6, 6, 1), "words": ids(3, 4, below=9)}
    ours = explain(method, model, data, 0, output="price")
    assert {name: R.shape for name, R in ours.attributions.items()} == {k: v.shape for k, v in data.items()}
    assert all(np.abs(R).max() > 1e-6 for R in ours.attributions.values())
    if method.startswith("lrp"):
        close(totals(ours.attributions) + ours.delta, ours.targets, 1e-6)
    if method == "deep_lift":  # zero vectors for words
        embedding = model.get_layer("embedding").embeddings
        before = ops.convert_to_numpy(embedding)
        embedding.assign(0 * before)
        start = predict(model, {k: 0 * v for k, v in data.items()})["price"][:, 0]
        embedding.assign(before)
        close(totals(ours.attributions), ours.targets - start, 1e-5)
    alone = {k: v[1:2] for k, v in data.items()}
    for name, R in explain(method, model, alone, 0).attributions.items():
        close(R[0], ours.attributions[name][1], 1e-5)


# ---------------------------------------------------------------------- tables, with their preprocessing in the model


def linear_on(columns, encode, dtype="int32"):
    """Encoded columns in a network without biases; and the same network on the encoded block."""
    x = keras.Input((columns,), dtype=dtype)
    h = encode(x)
    block = keras.Input(h.shape[1:])
    layers = [L.Flatten(), L.Dense(4, activation="relu", use_bias=False), L.Dense(2, use_bias=False)]
    y, z = h, block
    for layer in layers:
        y, z = layer(y), layer(z)
    return shake(keras.Model(x, y)), keras.Model(x, h), keras.Model(block, z)


ENCODINGS = {
    "one column": (1, lambda x: L.CategoryEncoding(4, output_mode="one_hot")(x), [[1], [3]]),
    "several columns": (2, lambda x: L.CategoryEncoding(4, output_mode="one_hot")(x), [[1, 2], [3, 0]]),
    "one_hot": (2, lambda x: ops.one_hot(x, 4), [[1, 2], [3, 0]]),
    "multi_hot": (2, lambda x: L.CategoryEncoding(4, output_mode="multi_hot")(x), [[1, 2], [3, 0]]),
    "count": (3, lambda x: L.CategoryEncoding(4, output_mode="count")(x), [[1, 2, 0], [3, 0, 1]]),
    "lookup": (1, lambda x: L.IntegerLookup(vocabulary=[30, 50, 70], output_mode="one_hot")(x), [[50], [99]]),
    "lookups": (2, lambda x: L.IntegerLookup(vocabulary=[30, 50, 70], output_mode="multi_hot")(x), [[50, 30], [99, 70]]),
    "hash": (1, lambda x: L.Hashing(5, output_mode="one_hot")(x), [[4], [11]]),
    "bins": (1, lambda x: L.Discretization([0.0, 1.0], output_mode="one_hot")(x), [[-0.5], [0.3]]),
    "bins, several columns": (2, lambda x: L.Discretization([0.0, 1.0], output_mode="one_hot")(x), [[-0.5, 2], [0.3, 0.2]]),
}
ENCODED = ("lrp.z", "lrp.attention", "input_t_gradient", "deep_lift", "integrated_gradients")
TABLES = ("lookup", "lookups", "hash")  # of TensorFlow, which JAX cannot look up in
BINS = needs_keras("3.14", "Keras has no shape for one-hot vectors of bins, on which a functional model is built")
KINDS = [pytest.param(kind, marks=BINS) if "bins" in kind else kind for kind in ENCODINGS]


@pytest.mark.parametrize("kind", ["multi_hot"] if JAX else KINDS)
def test_a_column_of_categories_is_explained_as_ids_of_an_embedding_are(kind):
    """Relevance and input times gradient: the sum over the encoded block; gradient: its norm there."""
    columns, encode, data = ENCODINGS[kind]
    data = np.array(data)
    model, encoder, behind = linear_on(columns, encode, "float32" if "bins" in kind else "int32")
    vectors = predict(encoder, data).astype("float32")
    by_column = vectors[:, None] if vectors.ndim == 2 and columns == 1 else vectors
    for method in ("lrp.z", "input_t_gradient") if JAX else ENCODED:
        ours = explain(method, model, data, 1)
        assert ours.attributions.shape == data.shape
        close(ours.targets, predict(behind, vectors)[:, 1])
        theirs = explain(method, behind, vectors, 1).attributions
        if by_column.ndim == 3:
            expected = theirs.reshape(by_column.shape).sum(-1)
        else:  # the columns' ones lie in one block
            bins = [[np.flatnonzero(predict(encoder, np.full_like(data, v))[0])[0] for v in row] for row in data]
            expected = np.take_along_axis(theirs, np.array(bins), axis=1)
        close(ours.attributions, expected)
    if by_column.ndim == 3:
        gradient = explain("gradient", behind, vectors, 1).attributions.reshape(by_column.shape)
        close(explain("gradient", model, data, 1).attributions, np.linalg.norm(gradient, axis=-1))


class Binned(keras.Model):
    """Made without a shape for the encoded block, which an older Keras does not have."""

    def __init__(self):
        super().__init__()
        self.bins, self.flat = L.Discretization([0.0, 1.0], output_mode="one_hot"), L.Flatten()
        self.dense = L.Dense(2, use_bias=False)

    def build(self, shape):
        self.dense.build((None, 3 * shape[-1]))

    def call(self, x):
        return self.dense(self.flat(self.bins(x)))


@pytest.mark.parametrize("columns", [1, 2])
def test_bins_in_a_model_of_ones_own(columns):
    model, data = Binned(), array(3, columns)
    model.build((None, columns))
    kernel = ops.convert_to_numpy(model.dense.kernel).reshape(columns, 3, 2)
    chosen = (data >= 0).astype(int) + (data >= 1)
    expected = kernel[np.arange(columns), chosen, 1]
    for method in ("lrp.z", "input_t_gradient"):
        close(explain(method, model, data, 1).attributions, expected)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strings are TensorFlow's")
@pytest.mark.parametrize("kind", ["int", "one_hot", "hash"])
def test_strings_are_categories_too(kind):
    if kind == "hash":
        layer = L.Hashing(6)
    else:
        layer = L.StringLookup(vocabulary=["red", "green", "blue"], output_mode=kind)
    x = keras.Input((1,), dtype="string")
    h = L.Flatten()(L.Embedding(6, 3, name="embedding")(layer(x))) if kind != "one_hot" else layer(x)
    model = shake(keras.Model(x, L.Dense(2, use_bias=False)(L.Dense(4, activation="relu", use_bias=False)(h))))
    data = np.array([["green"], ["violet"], ["red"]])
    for method in ("lrp.z", "lrp.attention", "input_t_gradient", "deep_lift"):
        ours = explain(method, model, data, 1)
        assert ours.attributions.shape == (3, 1)
        close(ours.attributions[:, 0], predict(model, data)[:, 1])
    assert (explain("gradient", model, data, 1).attributions >= 0).all()


def test_what_cannot_be_looked_up_says_so():
    x = keras.Input((1,), dtype="string")
    if BACKEND != "tensorflow":
        h = L.Lambda(lambda t: ops.ones((1, 2)), output_shape=(2,))(x)
        with pytest.raises(innspect.NotAnalyzeableModelError, match="takes strings, which only TensorFlow has"):
            innspect.create_analyzer("gradient", keras.Model(x, L.Dense(2)(h)))
    else:
        texts = L.TextVectorization(output_sequence_length=4, vocabulary=["good", "bad", "film"])
        h = L.Flatten()(L.Embedding(9, 3)(texts(x)))
        with pytest.raises(innspect.NotAnalyzeableModelError, match=r"many tokens of one string.*analyzer.analyze\(layer"):
            innspect.create_analyzer("gradient", keras.Model(x, L.Dense(2)(h)))
    if JAX:
        for kind in TABLES[:1]:
            columns, encode, _ = ENCODINGS[kind]
            model, *_ = linear_on(columns, encode)
            with pytest.raises(
                innspect.NotAnalyzeableModelError, match=r"table of TensorFlow, which jax cannot.*to the data first"
            ):
                innspect.create_analyzer("lrp.z", model)


def test_a_number_that_is_also_put_into_bins_is_a_number(double):
    """Around it the bins are constant: its gradient is the derivative, not a norm added to one."""
    x = keras.Input((2,))
    bins = L.Flatten()(L.Embedding(4, 3)(L.Discretization([0.0, 1.0])(x)))
    model = shake(keras.Model(x, L.Dense(2)(L.Dense(5, activation="relu")(L.Concatenate()([x, bins])))))
    data = np.array([[0.4, -0.3], [1.5, 0.2]])
    close(explain("gradient", model, data, 1).attributions, gradient_of(model, data, lambda y: y[:, 1]), ERROR)


def test_ids_given_as_fractions_are_ids():
    """An input whose dtype was never said is float32; ids in it are no numbers to multiply with."""
    x = keras.Input((3,))
    model = shake(keras.Model(x, L.Dense(2)(L.Flatten()(L.Embedding(5, 4)(x)))))
    whole = ids(2, 3, below=5)
    for method in ("input_t_gradient", "lrp.z", "deep_lift"):
        ours = explain(method, model, whole.astype("float32"), 1).attributions
        close(ours, explain(method, model, whole, 1).attributions)


def test_a_table_with_everything(double):
    """Normalized numbers, bins, embedded and one-hot categories in one model: conservation over all columns."""
    numbers, colour = keras.Input((3,), name="numbers"), keras.Input((1,), dtype="int32", name="colour")
    shop, age = keras.Input((1,), dtype="int32", name="shop"), keras.Input((1,), name="age")
    scaled = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0], name="scaled")(numbers)
    h = [
        scaled,
        L.CategoryEncoding(4, output_mode="one_hot")(colour),
        L.Flatten()(L.Embedding(6, 2)(shop)),
        L.Flatten()(L.Embedding(4, 2)(L.Discretization([18.0, 65.0])(age))),
    ]
    h = L.Dense(6, activation="relu", use_bias=False)(L.Concatenate()(h))
    model = shake(keras.Model([numbers, colour, shop, age], L.Dense(1, use_bias=False)(h)))
    data = [array(3, 3).astype("float64"), np.array([[0], [3], [1]]), np.array([[5], [0], [2]]), np.array([[12.0], [40], [70]])]
    ours = explain("lrp.z", model, data, 0, at="scaled")
    close(totals(ours.attributions), predict(model, data)[:, 0], 1e-5)
    close(ours.signals["scaled"], ours.attributions[0])  # scaling hands relevance on as it is
    assert all(R.all() for R in ours.attributions[1:])
    occluded = explain("occlusion", model, data, 0)
    assert [R.shape for R in occluded.attributions] == [a.shape for a in data]
