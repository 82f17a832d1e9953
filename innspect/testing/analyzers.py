"""Whether an analyzer keeps the promises that every method of innspect makes to its users."""

import os
import tempfile
import warnings

import keras
import numpy as np
from keras import layers as L

from innspect import backend
from innspect.analyzers.base.config import parameters, same_value
from innspect.analyzers.base.registry import create_analyzer, names_of
from innspect.analyzers.base.storage import load_analyzer
from innspect.graph.keras_internals import count_calls, layers_of

CHECKS = ("shape", "deterministic", "samples", "target", "neurons", "outputs", "empty", "model", "config", "save")


def example_models(seed=0):
    """Two small networks, as (model, inputs) pairs by name: images with a softmax, and two inputs that are added."""
    random = np.random.default_rng(seed)

    def drawn(model):
        for variable in model.trainable_weights:
            variable.assign(random.normal(0, 0.4, variable.shape))
        return model, [random.normal(size=(4, *x.shape[1:])).astype("float32") for x in model.inputs]

    image = keras.Input((6, 6, 2))
    h = L.MaxPooling2D(name="pool")(L.Conv2D(3, 3, activation="relu", name="conv")(image))
    images, (x,) = drawn(keras.Model(image, L.Dense(3, activation="softmax", name="out")(L.Flatten()(h)), name="images"))

    left, right = keras.Input((4,)), keras.Input((3,))
    h = L.Add()([L.Dense(5, activation="relu")(left), L.Dense(5, activation="relu")(right)])
    pairs, xs = drawn(keras.Model([left, right], L.Dense(3)(h), name="pairs"))
    return {"images": (images, x), "pairs": (pairs, xs)}


def check_analyzer(analyzer, /, *, models=None, skip=(), setup=None, tolerance=1e-5, **arguments):
    """Check an analyzer, one of innspect's or your own, on small networks.

    - "shape": finite NumPy arrays of floats in the structure of the input, samples first;
    - "deterministic": the same call gives the same bits;
    - "samples": a sample's map does not depend on `batch_size`, nor on the other samples, not even where they are NaN;
    - "target": the map depends on the neuron that is chosen;
    - "neurons": `neurons=[...]` gives what single selections give;
    - "outputs": an `Explanation` holds the model's own outputs;
    - "empty": no samples give an empty map;
    - "model": weights, flags and layers of the model are untouched;
    - "config": `type(a)(model, **a.get_config())` gives the same map;
    - "save": what is saved and loaded gives the same map. Left out for a class that is not registered.

    Args:
        analyzer: A name that `create_analyzer` knows, or a subclass of `innspect.Analyzer`.
        models: Dict from a name to a (model, inputs) pair, at least four samples; default `example_models()`.
        skip: Names of checks to leave out, such as "target" for a method that has none.
        setup: A function `(analyzer, inputs)` called on each new analyzer, such as `lambda a, x: a.fit(x)`.
        tolerance: How far numbers may differ, relative to the largest.
        **arguments: The analyzer's own. Give a method that draws random numbers its `seed`.

    Raises:
        AssertionError: A promise is not kept; the message says which, for which model.

    Examples:
        >>> check_analyzer("lrp.epsilon", epsilon=0.1)
        >>> check_analyzer(MyAnalyzer, skip=["target"])
    """
    unknown = set(skip) - set(CHECKS)
    if unknown:
        raise ValueError(f"`skip` must name checks: {CHECKS}. Received: {sorted(unknown)}")
    for name, (model, x) in (example_models() if models is None else models).items():
        before = _snapshot(model)
        made = create_analyzer(analyzer, model, **arguments) if isinstance(analyzer, str) else analyzer(model, **arguments)
        if setup is not None:
            setup(made, x)
        check = _Check(made, x, tolerance, f"{made.name or type(made).__name__!r} on the model {name!r}")
        for each in CHECKS[: CHECKS.index("model")]:
            if each not in skip:
                getattr(check, each)()
        if "model" not in skip:
            check.true(_same_bits(before, _snapshot(model)), "the model was changed")
        if "config" not in skip:
            check.config()
        if "save" not in skip and names_of(type(made)):
            check.save()


def _snapshot(model):
    return {
        "weights": [backend.to_numpy(v) for v in model.variables],
        "flags": [(v.path, v.trainable) for v in model.variables],
        "layers": [(each.name, each.trainable, count_calls(each), len(each.losses)) for each in layers_of(model)],
    }


def _same_bits(before, after):
    weights = zip(before["weights"], after["weights"], strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in weights) and all(
        before[k] == after[k] for k in ("flags", "layers")
    )


class _Check:
    """One analyzer on one model; a method for every check."""

    def __init__(self, analyzer, x, tolerance, where):
        self.analyzer, self.x, self.tolerance, self.where = analyzer, x, tolerance, where
        self.count = len(keras.tree.flatten(x)[0])
        self.first = self.maps(x, [0] * self.count)

    def maps(self, x, neuron=None, **options):
        """The attributions as a flat list."""
        if self.analyzer.neuron_selection_mode not in (None, "index"):
            neuron = None
        return keras.tree.flatten(self.analyzer.analyze(x, neuron, **options))

    def true(self, holds, message):
        assert holds, f"{self.where}: {message}"

    def same(self, ours, theirs, what):
        for mine, his in zip(ours, theirs, strict=True):
            self.true(mine.shape == his.shape, f"{what} changes the shape. Received: {mine.shape} and {his.shape}")
            error = np.abs(mine - his).max(initial=0) / max(np.abs(his).max(initial=0), 1e-12)
            self.true(error <= self.tolerance, f"{what} changes the map by {error:.1e}, more than {self.tolerance:.0e}")

    def shape(self):
        inputs = keras.tree.flatten(self.x)
        expected = self.analyzer._attribution_shapes([a.shape for a in inputs])
        for result, shape in zip(self.first, expected, strict=True):
            self.true(isinstance(result, np.ndarray), f"maps must be NumPy arrays. Received: {type(result)}")
            self.true(result.dtype.name in ("float32", "float64"), f"maps must hold floats. Received: {result.dtype}")
            self.true(result.shape == tuple(shape), f"maps must have the shape {shape}. Received: {result.shape}")
            self.true(np.isfinite(result).all(), "a map of finite inputs is not finite")

    def deterministic(self):
        again = self.maps(self.x, [0] * self.count)
        self.true(all(np.array_equal(a, b) for a, b in zip(self.first, again, strict=True)), "two equal calls differ")

    def samples(self):
        self.same(self.maps(self.x, [0] * self.count, batch_size=2), self.first, "another `batch_size`")

        def spoiled(a):
            a = np.array(a)
            if a.dtype.kind == "f":
                a[1:] = np.nan
            return a

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is not finite")  # of the others
            alone = self.maps(keras.tree.map_structure(spoiled, self.x), [0] * self.count)
        self.same([a[:1] for a in alone], [a[:1] for a in self.first], "NaN in other samples")

    def target(self):
        other = self.maps(self.x, [1] * self.count)
        changed = any(not np.allclose(a, b, rtol=1e-3, atol=0) for a, b in zip(self.first, other, strict=True))
        self.true(changed, "the map is the same whatever neuron is chosen")

    def neurons(self):
        several = keras.tree.flatten(self.analyzer.analyze(self.x, neurons=[0, 1]))
        self.same([a[0] for a in several], self.first, "`neurons=[0, 1]`")
        self.same([a[1] for a in several], self.maps(self.x, [1] * self.count), "`neurons=[0, 1]`")

    def outputs(self):
        outputs = self.analyzer.explain(self.x, [0] * self.count).outputs
        theirs = backend.to_numpy(self.analyzer.model(self.x, training=False))
        self.same([outputs], [theirs], "`explain` instead of the model")

    def config(self):
        made, config = type(self.analyzer), self.analyzer.get_config()
        for argument in parameters(made):
            same = same_value(getattr(self.analyzer, argument), config[argument])
            self.true(same, f"`{argument}` is another as an attribute")
        other = made(self.analyzer.model, **config)
        again = keras.tree.flatten(other.analyze(self.x, [0] * self.count))
        self.same(again, self.first, "another analyzer of the same configuration")

    def empty(self):
        nothing = self.maps(keras.tree.map_structure(lambda a: a[:0], self.x))
        for result, full in zip(nothing, self.first, strict=True):
            shape = (0, *full.shape[1:])
            self.true(result.shape == shape, f"the map of no samples must have the shape {shape}. Received: {result.shape}")

    def save(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "analyzer.innspect")
            self.analyzer.save(path)
            loaded = load_analyzer(path)
        again = keras.tree.flatten(loaded.analyze(self.x, [0] * self.count))
        self.same(again, self.first, "saving and loading")
