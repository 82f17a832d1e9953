"""The quality criterion of signal estimators (Kindermans et al. 2017, eq. 1).

    rho(S) = 1 - max_v corr(w . x, v . (x - S(x)))

What an estimator S leaves in the residual x - S(x) should tell nothing about the output. For each neuron, v is the
least-squares regression of y on the residual on one data set, and the correlation is taken on another.

Only here are patches cut out, and only a sample of them: per layer one matrix (patches, inputs). The residual of every
estimator is x - a+ y+ - a- y-, so that all regressions of a layer share the factors of one covariance matrix.
"""

import keras
import numpy as np

from innspect.checks import Count, Integer, ListOf, OneOf, Text
from innspect.graph.opened.opened_model import open_model
from innspect.inputs.batches import is_stream
from innspect.patterns.collection import Patterns
from innspect.patterns.fitting import fit, size_of
from innspect.patterns.patches import drawn_patches
from innspect.patterns.report import Quality

ESTIMATORS = ("random", "identity", "filter", "linear", "two_component")
_RIDGE = 1e-6  # relative to the mean variance of the inputs
_NOTHING = 1e-9  # share of the variance of y that counts as none


def quality(
    model,
    estimators=None,
    fit_data=None,
    eval_data=None,
    *,
    patterns=None,
    layers=None,
    patches=10_000,
    batch_size=None,
    seed=0,
):
    """Measure how well signal estimators remove from a layer's input what tells its output.

    Args:
        model: A built Keras model. It is only read.
        estimators: Some of "random" (a random direction), "identity" (S_x, what LRP-0 assumes), "filter" (S_w, gradient
            methods), "linear" (S_a), "two_component" (S_a+-); None means all.
        fit_data: Inputs that the patterns are fitted on, by every other batch, and the regressions, by the batches
            between: on the same data the residual of S_a tells nothing by construction. Arrays, or a stream that can be
            read twice, of two batches at least.
        eval_data: Other inputs, that the criterion is computed on.
        patterns: `Patterns` with the types "linear", "relu" and "relu.negative", fitted on other data than `fit_data`,
            all of which the regressions are then fitted on. None fits them.
        layers: Paths of the layers to measure; None means all.
        patches: How many patches of each layer are drawn from each data set; all are taken where there are fewer. They
            should be several times as many as a neuron has inputs.
        batch_size: For arrays; None: by the size of samples and model.
        seed: Of the drawn patches and the random directions.

    Returns:
        A `Quality`: `result["conv1"]["linear"]` is rho for every neuron of a layer, between 0 and 1 (best).

    Raises:
        ValueError: An unknown estimator, or no data.
    """
    one = OneOf(*ESTIMATORS)
    names = ESTIMATORS if estimators is None else (estimators,) if one.holds(estimators) else estimators
    if not ListOf(one).holds(names):
        raise ValueError(f"`estimators` must be among {', '.join(map(repr, ESTIMATORS))}. Received: {estimators!r}")
    ListOf(Text()).check_given("layers", layers)
    Count().check("patches", patches)
    Integer(1, or_none=True).check("batch_size", batch_size)
    Integer().check("seed", seed)
    if patterns is not None and not isinstance(patterns, Patterns):
        raise TypeError(f"`patterns` must be a `Patterns` object. Received: {type(patterns).__name__}")
    if fit_data is None or eval_data is None:
        raise ValueError(
            "`fit_data` and `eval_data` must both be given: what is fitted must not be evaluated on the same data."
        )
    model, part = open_model(model), (0, 1)
    if patterns is None and not _LEARNED.isdisjoint(names):
        if not is_stream(fit_data):
            size = size_of(fit_data, model, shards=2) if batch_size is None else batch_size
            batch_size = max(1, min(size, len(keras.tree.flatten(fit_data)[0]) // 2))
        patterns = fit(model, fit_data, list(_TYPES.values()), batch_size=batch_size, shard=(0, 2))
        part = (1, 2)
    known = {} if _LEARNED.isdisjoint(names) else {kind: patterns.select(t) for kind, t in _TYPES.items()}
    settings = {"layers": layers, "count": patches, "batch_size": batch_size}
    train = drawn_patches(model, fit_data, seed=seed, part=part, **settings)
    test = drawn_patches(model, eval_data, seed=seed + 1, **settings)
    rho, degenerate = {}, {}
    for path, sample in train.items():
        unit, kernel = sample.unit, sample.unit.kernel().astype("float64")
        learned = {kind: p[path].astype("float64") for kind, p in known.items()}
        random = np.random.default_rng(seed)
        pairs = {name: _directions(name, kernel, learned, unit.layout, random) for name in names}
        rho[path], degenerate[path] = _rho_of_layer(unit.layout, kernel, sample, test[path], pairs)
    return Quality(rho, degenerate)


_TYPES = {"linear": "linear", "positive": "relu", "negative": "relu.negative"}
_LEARNED = {"linear", "two_component"}


def _directions(name, kernel, learned, layout, random):
    """a+ and a- of an estimator S(x) = a+ y+ + a- y-, over the kernel; None for the identity."""
    if name == "identity":
        return None
    learned_sides = {"linear": ("linear", "linear"), "two_component": ("positive", "negative")}
    if name in learned_sides:
        return tuple(_normalised(learned[kind], kernel, layout) for kind in learned_sides[name])
    a = _normalised(kernel if name == "filter" else random.normal(size=kernel.shape), kernel, layout)
    return a, a


def _normalised(direction, kernel, layout):
    """The direction scaled to w . a = 1 in float64."""
    scale = layout.per_neuron(kernel * direction)
    return direction / layout.over_kernel(np.where(scale == 0, 1.0, scale))


def _rho_of_layer(layout, kernel, train, test, pairs):
    """Dicts from estimator to rho per neuron, and to booleans where it is 1 since nothing is left to regress on."""
    shape = layout.neurons
    rho = {name: np.ones(shape) for name in pairs}
    flat = {name: np.zeros(shape, bool) for name in pairs}
    for group, neurons in enumerate(layout.neuron_groups()):
        fitted, held_out = _Regression(train.patches(group)), test.patches(group)
        for neuron in neurons:
            gate = train.gate(neuron)
            w = layout.inputs_of(kernel, neuron)
            for name, pair in pairs.items():
                if pair is None:
                    flat[name][neuron] = True
                    continue
                a = [layout.inputs_of(side, neuron) for side in pair]
                v = fitted.solve(w, a, gate)
                value = 0.0 if v is not None and not v.any() else _correlation(held_out, test.gate(neuron), w, a, v)
                flat[name][neuron] = value is None
                rho[name][neuron] = 1.0 if value is None else 1.0 - min(max(value, 0.0), 1.0)
    return rho, flat


class _Regression:
    """Least squares of y = w . x on x - a+ y+ - a- y- for many neurons of the same inputs."""

    def __init__(self, x):
        self.mean = x.mean(0)
        self.x = x - self.mean
        samples, inputs = x.shape
        self.ridge = _RIDGE * (self.x**2).sum() / samples / inputs
        if not self.ridge:
            return
        if inputs <= samples:
            values, self._vectors = np.linalg.eigh(self.x.T @ self.x / samples)
        else:  # fewer patches than inputs: through the smaller matrix
            values, left = np.linalg.eigh(self.x @ self.x.T / samples)
            kept = values > 1e-12 * values.max()
            values, left = values[kept], left[:, kept]
            self._vectors = self.x.T @ left / np.sqrt(values * samples)
        self._weights = 1 / (np.maximum(values, 0) + self.ridge) - 1 / self.ridge

    def _solve(self, right):
        """(cov[x] + ridge)^-1 right."""
        return self._vectors @ (self._weights[:, None] * (self._vectors.T @ right)) + right / self.ridge

    def solve(self, w, a, gate):
        """The regression's weights v, or None where y or the residual is constant."""
        y = self.x @ w
        raw = y + self.mean @ w
        if not self.ridge or y.var() <= 1e-14 * (w @ w) * self.ridge:
            return None
        sides = np.stack([_centred(raw * gate), _centred(raw * ~gate)], axis=1)
        A, n = np.stack(a, axis=1), len(y)
        C, V = self.x.T @ sides / n, sides.T @ sides / n  # covariances of x and of the sides with the sides
        # cov[d] = cov[x] - A C' - C A' + A V A', of low rank besides cov[x]: Woodbury.
        U = np.concatenate([A, C], axis=1)
        middle = np.block([[V, -np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
        target = self.x.T @ y / n - A @ (sides.T @ y / n)
        base, factors = self._solve(target[:, None])[:, 0], self._solve(U)
        inner = np.eye(4) + middle @ (U.T @ factors)
        v = base - factors @ np.linalg.lstsq(inner, middle @ (U.T @ base), rcond=None)[0]
        # Where the residual tells nothing v is rounding, and its direction means nothing.
        return v if v @ target > _NOTHING * y.var() else np.zeros_like(v)


def _centred(t):
    return t - t.mean()


def _correlation(x, gate, w, a, v):
    """corr(w . x, v . (x - S(x))), or None where one of them is constant or there is no v."""
    if v is None:
        return None
    raw, y = x @ w, _centred(x @ w)
    left = _centred(x @ v - raw * gate * (a[0] @ v) - raw * ~gate * (a[1] @ v))
    scale = np.sqrt((y * y).mean() * (left * left).mean())
    floor = 1e-12 * np.sqrt((y * y).mean() * (_centred(x @ v) ** 2).mean())
    return None if scale <= floor else float((y * left).mean() / scale)
