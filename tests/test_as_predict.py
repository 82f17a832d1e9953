"""What `model.predict` takes is explained, and the map has its shape; what a model returns beside its outputs is no output."""

import collections
import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from groups import ONE_OF_EACH
from keras import layers as L
from keras import ops
from models import array, shake
from PIL import Image

import innspect
from innspect.analyzers.base.registry import example_arguments

X = array(3, 6, 6, 1)
WIDE = array(3, 6, 6)
pytestmark = pytest.mark.filterwarnings("ignore:.*decomposes positive evidence only:UserWarning")  # of deep Taylor
METHODS = [name for name in innspect.list_analyzers() if name not in ("input", "random")]
BACKEND = keras.backend.backend()


def dense(y, units=2):
    return L.Dense(units)(L.Dense(4, activation="relu")(y))


def convolutional(y, units=2):
    return dense(L.Flatten()(L.Conv2D(3, 3, activation="relu", name="conv")(y)), units)


def pooled(y, units=2):
    return L.Dense(units)(L.GlobalAveragePooling2D()(L.Conv2D(3, 3, activation="relu")(y)))


def network(shape, function, dtype="float32"):
    x = keras.Input(shape, dtype=dtype)
    return shake(keras.Model(x, function(x)))


def made(method, model, x):
    """An analyzer that does little work, and is fitted where it must be."""
    analyzer = innspect.create_analyzer(method, model, **example_arguments(method, x))
    return analyzer.fit(x) if hasattr(analyzer, "fit") else analyzer


def explained(method, model, x, neuron=1):
    """The explanation; None where the model has no layer that the method needs, or the method needs numbers."""
    try:
        return made(method, model, x).explain(x, neuron)
    except ValueError as problem:
        if any(words in str(problem) for words in ("spatial axes", "pooling", "must be numbers")):
            return None
        raise


def same(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- a last axis of 1
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(keep=ONE_OF_EACH, on="jax tensorflow")
def test_images_without_an_axis_of_channels(method, quick):
    model = network((6, 6, 1), pooled if method == "cam" else convolutional)
    wanted, given = made(method, model, X).explain(X, 1), X[..., 0]
    analyzer = made(method, model, given)
    found = analyzer.explain(given, 1)
    assert found.attributions.shape == given.shape
    same(found.attributions, wanted.attributions.reshape(given.shape))
    same(found.targets, wanted.targets)
    assert analyzer.analyze(given, neurons=[0, 1]).shape == (2, *given.shape)
    assert analyzer.analyze(given[:0]).shape == (0, 6, 6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(on="jax tensorflow", keep=["*-gradient", "*-occlusion", "*-integrated_gradients"])
@pytest.mark.parametrize(("shape", "given"), [((1,), (3,)), ((5,), (3, 5, 1))], ids=["missing", "too many"])
def test_features_with_an_axis_more_or_less(method, shape, given, quick):
    model, x = network(shape, dense), array(3, *shape)
    wanted = explained(method, model, x)
    if wanted is not None:
        found = explained(method, model, x.reshape(given))
        assert found.attributions.shape == given
        same(found.attributions, wanted.attributions.reshape(given))


def rows(x):
    return ops.reshape(x, (-1, 1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(on="jax tensorflow", keep=["*-gradient", "*-occlusion", "*-rise", "*-smoothgrad"])
@pytest.mark.parametrize("kind", ["numbers", "ids"])
def test_samples_that_are_numbers_or_ids(method, kind, quick):
    vectors = L.Embedding(5, 3)
    stage = (lambda x: dense(rows(x))) if kind == "numbers" else lambda x: dense(ops.reshape(vectors(x), (-1, 3)))
    x, dtype = (array(3), "float32") if kind == "numbers" else (np.array([1, 2, 4]), "int32")
    model, plain = network((), stage, dtype), network((1,), stage, dtype)
    wanted = explained(method, plain, x[:, None])
    for given in (x, x[:, None]):
        if wanted is not None:
            found = explained(method, model, given).attributions
            assert found.shape == given.shape
            same(found.ravel(), wanted.attributions.ravel())


@pytest.mark.filterwarnings("ignore:root='newton' found no root point:UserWarning")
def test_what_is_compared_with_x_is_given_as_x_is(quick):
    model, reference = network((6, 6, 1), convolutional), array(6, 6, seed=3)
    bounds = {"low": np.full((6, 6), -5.0, "float32"), "high": np.full((6, 6), 6.0, "float32")}
    given = {
        "integrated_gradients": {"reference_inputs": reference},
        "deep_lift": {"reference_inputs": np.stack([reference] * 3)},
        "rsi_grad_cam": {"reference_inputs": reference[None]},
        "deep_shap": {"background": X[:2, ..., 0]},
        "deep_taylor.bounded": bounds,
        "lrp.epsilon_gamma_box": bounds,
        "simple_taylor": {"root": "newton", **bounds},
        "occlusion": {"value": reference},
    }
    for method, arguments in given.items():
        others = {k: v[..., None] if hasattr(v, "shape") else v for k, v in arguments.items()}
        wanted = innspect.create_analyzer(method, model, **others).analyze(X, 1)
        for x, taken in ((X, arguments), (X[..., 0], arguments), (X[..., 0], others)):
            same(innspect.create_analyzer(method, model, **taken).analyze(x, 1).ravel(), wanted.ravel())


def test_one_sample_is_not_taken_for_several():
    for model in (network((6, 6, 1), convolutional), network((None, None, 1), pooled)):
        gradient = innspect.create_analyzer("gradient", model)
        with pytest.raises(ValueError, match=r"Add the axis of samples.*Received: shape \(6, 6, 1\)"):
            gradient.analyze(X[0])
        assert gradient.analyze([X[0]]).shape == (1, 6, 6, 1)
        assert [maps.shape for maps in gradient.analyze([X[..., 0]])] == [(3, 6, 6)]


# ---------------------------------------------------------------------- tables and columns
class Table:
    """What a pandas DataFrame shows of itself."""

    def __init__(self, columns):
        self._columns, self.columns = columns, list(columns)

    def __getitem__(self, name):
        return self._columns[name]

    def __array__(self, dtype=None, copy=None):
        return np.stack([np.asarray(column, object) for column in self._columns.values()], 1)

    def __len__(self):
        return len(self._columns[self.columns[0]])


COLUMNS = {"b": np.array([1, 2, 3]), "a": np.array([0.5, -1.0, 2.0]), "label": np.array([True, False, True])}


@pytest.mark.parametrize("shape", [(1,), ()], ids=["rows", "numbers"])
@pytest.mark.parametrize("structure", [dict, list])
def test_columns_of_a_table(shape, structure, quick):
    named = {name: keras.Input(shape, name=name) for name in "ab"}
    joined = ops.stack([ops.reshape(x, (-1,)) for x in named.values()], -1)
    model = shake(keras.Model(named if structure is dict else list(named.values()), dense(joined)))
    whole = {name: COLUMNS[name].reshape(3, *shape).astype("float32") for name in "ab"}
    for method in ("gradient", "occlusion", "integrated_gradients"):
        analyzer = innspect.create_analyzer(method, model)
        wanted = analyzer.analyze(whole, 1)
        for x in (COLUMNS, Table(COLUMNS)):
            found = analyzer.analyze(x, 1)
            assert {name: each.shape for name, each in found.items()} == {"a": (3,), "b": (3,)}
            for name in "ab":
                same(found[name], wanted[name].ravel())
    with pytest.raises(ValueError, match=r"dict with the inputs \['a', 'b'\].*Received: a dict with \['a'\]"):
        analyzer.analyze(Table({"a": COLUMNS["a"]}))


def test_a_table_of_one_input():
    analyzer = innspect.create_analyzer("gradient", network((3,), dense))
    x = np.stack(list(COLUMNS.values()), 1).astype("float32")
    same(analyzer.analyze(Table(COLUMNS), 1), analyzer.analyze(x, 1))
    with pytest.raises(ValueError, match=r"must hold numbers.*Received: dtype object"):
        analyzer.analyze(Table({**COLUMNS, "a": np.array(["x", "y", "z"])}))


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(COLUMNS)
    analyzer = innspect.create_analyzer("gradient", network((3,), dense))
    same(analyzer.analyze(frame, 1), analyzer.analyze(Table(COLUMNS), 1))
    assert innspect.create_analyzer("gradient", network((1,), dense)).analyze(frame["a"]).shape == (3,)


# ---------------------------------------------------------------------- streams
def batches(x):
    return (x[i : i + 2] for i in range(0, len(x), 2))


def test_streams_are_explained_and_reported_as_arrays_are(quick):
    model = network((6, 6, 1), convolutional)
    for method, neurons in (("lrp.epsilon", None), ("integrated_gradients", [0, 1])):
        analyzer = innspect.create_analyzer(method, model)
        wanted = analyzer.explain(X, neurons=neurons, at="conv" if method == "lrp.epsilon" else ())
        found = analyzer.explain(batches(X), neurons=neurons, at="conv" if method == "lrp.epsilon" else ())
        for part in ("attributions", "outputs", "targets", "delta"):
            same(getattr(found, part), getattr(wanted, part))
        assert {k: v.shape for k, v in found.signals.items()} == {k: v.shape for k, v in wanted.signals.items()}
    with pytest.raises(ValueError, match=r"yielded no batches.*Received"):
        analyzer.explain(batch for batch in ())
    study = innspect.report(model, batches(X), ["gradient"]).explained
    same(study.x, X)
    same(
        study.methods["gradient"].attributions[""],
        innspect.report(model, X, ["gradient"]).explained.methods["gradient"].attributions[""],
    )


def test_a_stream_of_single_samples_is_to_be_batched():
    model = network((6, 6, 1), convolutional)
    analyzer = innspect.create_analyzer("pattern.net", model).fit(X)
    for use in (analyzer.analyze, analyzer.explain, analyzer.fit, lambda x: innspect.report(model, x, ["gradient"])):
        for samples in (X, X[..., 0]):
            with pytest.raises(ValueError, match=r"`dataset\.batch\(32\)`. Received: shape \(6, 6"):
                use(iter(samples))


def test_reports_of_pictures_and_tables(quick):
    pictures = [Image.fromarray(np.full((6, 6), 40 * i, "uint8")) for i in range(3)]
    report = innspect.report(network((6, 6, 1), convolutional), pictures, ["gradient", "grad_cam", "occlusion"])
    assert report.explained.x.dtype == "uint8"
    assert {m.attributions[""].shape[1:] for m in report.explained.methods.values()} == {(3, 6, 6)}
    assert "Report(3 inputs" in repr(innspect.report(network((3,), dense), Table(COLUMNS), ["gradient"]))


# ---------------------------------------------------------------------- outputs
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(keep=["deep_lift", "grad_cam", "gradient", "occlusion", "rsi_grad_cam"], on="jax tensorflow")
def test_an_output_without_axes_is_one_neuron(method, quick):
    x = keras.Input((6, 6, 1))
    y = (pooled if method == "cam" else convolutional)(x, 1)
    plain = shake(keras.Model(x, y))
    row, flat = (made(method, model, X) for model in (plain, keras.Model(x, ops.squeeze(y, -1))))
    weights = array(3)
    for neuron, of_row in (
        *((n, n) for n in (None, 0, np.zeros(3, "int32"), (0,), "all", weights[:, None])),
        ((), (0,)),
        (weights, weights[:, None]),
        (lambda y: 2 * y, lambda y: 2 * y[:, 0]),
    ):
        found, wanted = flat.explain(X, neuron), row.explain(X, of_row)
        assert found.outputs.shape == (3,)
        same(found.attributions, wanted.attributions)
        same(found.targets, wanted.targets)
    same(flat.analyze(X, neurons=[0, 0]), row.analyze(X, neurons=[0, 0]))
    for neuron in (1, -1, (1,), [0, 1, 0]):
        with pytest.raises(ValueError, match="Received"):
            flat.analyze(X, neuron)


class Subclassed(keras.Model):
    """A model whose `call` is a function."""

    def __init__(self, function, used, x):
        super().__init__()
        self.function, self.used = function, used
        self(x)

    def call(self, x):
        return self.function(x)


@dataclasses.dataclass
class Answer:
    logits: Any
    loss: Any = None


class Ordered(collections.OrderedDict):
    pass


Named = collections.namedtuple("Named", "loss logits")
RETURNED = {
    "a tuple": (lambda y: (y, None), ["output_0"]),
    "None first": (lambda y: (None, y), ["output_0"]),
    "numbers": (lambda y: [0.5, y, np.float32(1), np.zeros(3), 2 * y], ["output_0", "output_1"]),
    "a tensor of no input": (lambda y: (y, ops.ones(3)), ["output_0"]),
    "a dict": (lambda y: {"loss": None, "logits": y}, ["logits"]),
    "nested": (lambda y: {"logits": y, "hidden": (2 * y, None, 3 * y)}, ["hidden/0", "hidden/2", "logits"]),
    "nested in a list": (lambda y: [y, {"hidden": 2 * y}], ["0", "1/hidden"]),
    "a named tuple": (lambda y: Named(None, y), ["logits"]),
    "a mapping": (lambda y: Ordered(logits=y, loss=None), ["logits"]),
    "a data class": (lambda y: Answer(y), ["logits"]),
    "a loss of the batch": (lambda y: {"a_loss": ops.mean(y), "logits": y}, ["a_loss", "logits"]),
}


OF_CLASSES = ("a mapping", "a data class")  # which JAX does not trace, so that Keras does not find the shape of the input there


@pytest.mark.parametrize("kind", [k for k in RETURNED if BACKEND != "jax" or k not in OF_CLASSES])
def test_the_tensors_that_a_model_returns_are_its_outputs(kind, quick):
    wrap, names = RETURNED[kind]
    last, x = L.Dense(3), array(2, 4)
    model = Subclassed(lambda x: wrap(last(x)), [last], x)
    assert innspect.open_model(model).output_names == names
    output = "logits" if "logits" in names else names[0]
    wanted = ops.convert_to_numpy(last(x))
    for method in ("gradient", "lrp.epsilon", "occlusion"):
        same(innspect.create_analyzer(method, model).explain(x, 1, output=output).targets, wanted[:, 1])
    same(innspect.report(model, x, ["gradient"], output=output).explained.outputs, wanted)
    if names[0] == "a_loss":
        with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'a_loss'.*one number for all samples.*Received"):
            innspect.create_analyzer("occlusion", model).analyze(x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.sweep(keep=ONE_OF_EACH, on="jax tensorflow")
def test_an_output_that_cannot_be_explained_blocks_no_other(method, quick):
    x = keras.Input((6, 6, 1))
    y = (pooled if method == "cam" else convolutional)(x)
    plain = shake(keras.Model(x, y))
    analyzer = made(method, keras.Model(x, {"class": ops.argmax(y, -1), "logits": y}), X)
    same(analyzer.analyze(X, 1, output="logits"), made(method, plain, X).analyze(X, 1))
    if method not in ("occlusion", "rise"):  # which ask for numbers only
        for use in (analyzer.analyze, lambda x: analyzer.check_output(0)):
            with pytest.raises(innspect.NotAnalyzeableModelError, match="'argmax'"):
                use(X)


def test_where_no_output_can_be_explained_the_first_reason_is_told():
    x = keras.Input((4,))
    y = dense(x)
    outputs = {"class": ops.argmax(y, -1), "share": y / ops.sum(x, -1, keepdims=True)}
    model = shake(keras.Model(x, outputs))
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"a quotient of two tensors"):
        innspect.create_analyzer("lrp.epsilon", keras.Model(x, outputs | {"logits": y})).check_output("share")
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'class'.*It ends at 'argmax'"):
        innspect.create_analyzer("lrp.epsilon", model)
    with pytest.raises(innspect.NotAnalyzeableModelError, match=r"'class'.*It ends at 'argmax'"):
        innspect.create_analyzer("gradient", keras.Model(x, {"class": ops.argmax(y, -1), "sign": ops.cast(y > 0, "int32")}))
    assert innspect.default_methods(model, output="share") == ["integrated_gradients", "input_t_gradient", "gradient"]
    with pytest.raises(innspect.NotAnalyzeableModelError, match="argmax"):
        innspect.report(model, array(2, 4))


# ---------------------------------------------------------------------- subclassed models
class Masked(keras.Model):
    """A model with an optional argument, whose shape Keras does not keep."""

    def __init__(self):
        super().__init__()
        self.vectors, self.last = L.Embedding(20, 4), L.Dense(2)

    def call(self, ids, weights=None):
        weights = 1 if weights is None else weights[..., None]
        return self.last(ops.mean(self.vectors(ids) * weights, axis=1))


class Built(Masked):
    def build(self, ids_shape, weights_shape=None):
        self.vectors.build(ids_shape)
        self.last.build((None, 4))


def test_optional_arguments_of_a_subclassed_model():
    x = {"ids": np.arange(12).reshape(2, 6), "weights": array(2, 6)}
    model, built = Masked(), Built()
    model(**x), built(**x)
    with pytest.raises(ValueError, match=r"`build\(self, ids_shape, weights_shape\)`.*functional.*Received"):
        innspect.create_analyzer("gradient", model).analyze(x)
    inputs = {"ids": keras.Input((6,), dtype="int32", name="ids"), "weights": keras.Input((6,), name="weights")}
    functional = keras.Model(inputs, built(**inputs))
    for method in ("lrp.epsilon", "occlusion"):
        found, wanted = (innspect.create_analyzer(method, each).analyze(x, 1) for each in (built, functional))
        for name in x:
            same(found[name], wanted[name])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="only TensorFlow has strings")
def test_strings():
    lookup, vectors, last = L.StringLookup(vocabulary=["a", "b", "c"]), L.Embedding(4, 5), L.Dense(2)

    def function(x):
        return last(vectors(lookup(x)))

    words = ops.convert_to_tensor(np.array(["a", "c"]))
    model = network((), function, "string")
    for method in ("gradient", "occlusion", "integrated_gradients", "lrp.epsilon"):
        analyzer = innspect.create_analyzer(method, model)
        wanted = analyzer.analyze(np.array(["a", "c"]), 1)
        assert wanted.shape == (2,)
        same(analyzer.analyze(words, 1), wanted)
        same(analyzer.analyze([["a"], ["c"]], 1)[:, 0], wanted)
        with pytest.raises(ValueError, match=r"make it functional.*Input\(shape, dtype=\"string\"\).*Received"):
            innspect.create_analyzer(method, Subclassed(function, [lookup, vectors, last], words)).analyze(["a", "c"])
