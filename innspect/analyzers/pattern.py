"""PatternNet and PatternAttribution: the gradient with learned patterns in place of the weights.

Kindermans et al. 2017, "Learning how to explain neural networks": a layer's weights say how to filter the signal out of
its input, not what the signal looks like. The patterns (`innspect.patterns`) are estimates of the latter.
"""

import functools
import os

import keras
import numpy as np
from keras import ops

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.warned import warn
from innspect.analyzers.gradient import prescribed
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.analyzers.signal import winner_or_gradient
from innspect.checks import Boolean, Elsewhere, OneOf
from innspect.errors import some_of
from innspect.graph.heads import is_head
from innspect.layers.pattern import DiagonalPattern, PatternRule, is_diagonal
from innspect.layers.rule_table import Made, When
from innspect.patterns.collection import LayerPatterns, Patterns
from innspect.patterns.collection import load as load_patterns
from innspect.patterns.fitting import fit
from innspect.patterns.kinds import TYPES
from innspect.patterns.matching import fitted_to
from innspect.patterns.units import units_of

_LARGE = 1e4  # a growth that is worth a warning
_LINEAR_OR_GATING = ("pass", "reindex", "sum", "winner")


class PatternAnalyzer(ReverseAnalyzer):
    """Base of the two methods: patterns at affine layers, the real gradient's gates everywhere else.

    Args:
        patterns: A `Patterns` object or its file; or arrays in the kernels' shapes, as a dict by layer path or a list
            in the order of the layers. Without it, call `fit`.
        pattern_type: "auto", "linear", "relu" (the same as "relu.positive") or "relu.negative". None: what the given
            patterns show, and "auto" for `fit`.
        reverse_project_bottleneck_layers: Scale the result of each sample to the largest absolute value 1, as
            iNNvestigate 1 does with inputs that have spatial axes.
    """

    family = "patterns"
    paper = "Kindermans et al. 2017"
    needs = "patterns"
    learned = ("patterns",)
    ranges = {"patterns": Elsewhere("load"), "pattern_type": OneOf(*TYPES), "reverse_project_bottleneck_layers": Boolean()}
    default_start = "value"
    times_kernel = False
    embedding = "norm"

    def __init__(self, model, *, patterns=None, pattern_type=None, reverse_project_bottleneck_layers=False, **arguments):
        super().__init__(model, **arguments)
        self._chosen_type = pattern_type
        self.reverse_project_bottleneck_layers = reverse_project_bottleneck_layers
        self._kernels, self._patterns = {}, None  # path -> a variable that holds the pattern
        self._to_take = patterns

    def ready(self):
        super().ready()
        if self._to_take is not None:
            self._take(self._given(self._to_take))
            self._to_take = None

    @functools.cached_property
    def _units(self):
        return units_of(self.opened.graph)

    # ------------------------------------------------------------------ patterns
    @property
    def patterns(self):
        """The `Patterns` in use, or None before `fit`."""
        return self._patterns

    @property
    def pattern_type(self):
        """The type of the patterns in use."""
        return self._patterns.pattern_types[0] if self._patterns is not None else self._chosen_type or "auto"

    @classmethod
    def defaults(cls):
        return super().defaults() | {"pattern_type": "auto"}

    def fit(self, data, **arguments):
        """Learn the patterns.

        Args:
            data: What `innspect.patterns.fit` takes: arrays or a stream of batches, best the training data.
            **arguments: Others of that function, such as `batch_size`, `verbose` and `checkpoint`.

        Returns:
            The analyzer itself.
        """
        self._take(fit(self.opened, data, self.pattern_type, **arguments))
        return self

    def fit_generator(self, generator, steps_per_epoch=None, **arguments):
        """As `fit`, by the name and arguments of iNNvestigate."""
        return self.fit(generator, steps=steps_per_epoch, **arguments)

    def _given(self, patterns):
        if isinstance(patterns, str | os.PathLike):
            patterns = load_patterns(patterns)
        elif isinstance(patterns, dict | list | tuple) and not isinstance(patterns, Patterns):
            patterns = self._of_arrays(patterns)
        elif not isinstance(patterns, Patterns):
            raise TypeError(
                "`patterns` must be a `Patterns` object, a path, or arrays as a dict or list. "
                f"Received: {type(patterns).__name__}"
            )
        return fitted_to(patterns, self.opened, strict=patterns.fingerprints is not None)

    def _of_arrays(self, arrays):
        shapes = {unit.path: unit.layout.shape for unit in self._units}
        if not isinstance(arrays, dict):
            if len(arrays) != len(shapes):
                raise ValueError(
                    f"`patterns` as a list must hold an array for each of the {len(shapes)} layers "
                    f"{list(shapes)}. Received: {len(arrays)} arrays"
                )
            arrays = dict(zip(shapes, arrays, strict=True))
        layers = {path: LayerPatterns({"linear": np.asarray(a)}) for path, a in arrays.items()}
        return Patterns(layers, "linear", model_name=self.model.name)

    def _take(self, patterns):
        patterns = patterns if self._chosen_type is None else patterns.select(self._chosen_type)
        self._forget_inside()
        known = {unit.path for unit in self._units}
        for path, array in patterns.items():
            if path not in known:  # of a layer behind the unit that is explained
                continue
            if path in self._kernels:
                self._kernels[path].assign(array)
            else:
                dtype = keras.backend.standardize_dtype(self._kernel_dtype(path))
                self._kernels[path] = keras.Variable(array, trainable=False, dtype=dtype, name="pattern")
                self._passes.clear()  # which read the variables that there were
        self._patterns = patterns

    @property
    def variables(self):
        return [*super().variables, *self._kernels.values()]

    def _kernel_dtype(self, path):
        return next(unit.nodes[0].view.kernel().dtype for unit in self._units if unit.path == path)

    # ------------------------------------------------------------------ what a method decides
    def rows(self, graph):
        paths = {node.path: unit.path for unit in self._units for node in unit.nodes}
        heads = {t for t in graph.outputs if is_head(graph.producer(t))}

        def pattern(node):
            return PatternRule(self._kernels, paths[node.path], self.times_kernel)

        def covered(node):
            return node.kind in _LINEAR_OR_GATING or node.outputs[0] in heads or self.disable_model_checks

        return [
            (When("kernel layers", lambda node: node.path in paths), Made("PatternRule()", pattern)),
            *prescribed(self.embedding),
            (When("diagonal maps", is_diagonal), DiagonalPattern(self.times_kernel)),
            (When("linear and gating layers", covered), Made("winner takes all, or Gradient()", winner_or_gradient)),
        ]

    def finish(self, signal, x):
        if not self.reverse_project_bottleneck_layers or len(x.shape) < 3:
            return signal
        largest = ops.max(ops.absolute(signal), axis=tuple(range(1, len(x.shape))), keepdims=True)
        return signal / ops.where(largest == 0, ops.ones_like(largest), largest)

    def request(self, x, asked):
        if self._patterns is None:
            raise RuntimeError(
                f"{self.name!r} has no patterns yet. Call `analyzer.fit(training_inputs)` first, or give them: "
                f"`innspect.create_analyzer({self.name!r}, model, patterns=...)` with what `innspect.patterns.fit` "
                "returned, or with its file."
            )
        return super().request(x, asked)

    # ------------------------------------------------------------------ growth
    def growth(self, signals, inputs, targets):
        """By which factor signals grew on their way back, (..., samples); NaN where there is nothing to compare with.

        Args:
            signals: A list with an array (..., samples, features) for each input.
            inputs: The model's inputs, arrays (samples, features); None where they are ids.
            targets: The explained values, (..., samples).
        """
        raise NotImplementedError

    def sound(self, request, explanation):
        explanation = super().sound(request, explanation)
        if self.reverse_project_bottleneck_layers:
            return explanation
        with np.errstate(all="ignore"):
            factor = self.growth(*_flat(request, explanation, self.opened))
        factor = np.nan_to_num(factor, nan=0.0, posinf=0.0)  # of maps that are not finite, another warning tells
        grown = np.flatnonzero((factor > _LARGE).any(axis=tuple(range(factor.ndim - 1))))
        if len(grown):
            warn(
                f"{self.name!r}: signals grew on their way back, by a factor of up to {factor.max():.1e}, for "
                f"{some_of(grown, request.inputs.samples, request.first)}: patterns of neurons that see the same "
                "signal add up, layer by layer. Within a map proportions hold, its size says nothing; "
                "reverse_project_bottleneck_layers=True scales the largest magnitude of each to 1.",
            )
        return explanation

    # ------------------------------------------------------------------ saving
    def state(self):
        p = self._patterns
        return None if p is None else {**vars(p), "layers": {path: vars(layer) for path, layer in p.layers.items()}}

    def set_state(self, state):
        if state is not None:
            layers = {path: LayerPatterns(**layer) for path, layer in state["layers"].items()}
            self._take(Patterns(**{**state, "layers": layers}))


@register_analyzer("pattern.net")
class PatternNet(PatternAnalyzer):
    """PatternNet (Kindermans et al. 2017): the signal in the input that the explained neuron responds to.

    The gradient with each kernel replaced by its pattern, started at the explained value. The result is a signal in
    the units of the input, not an attribution; for ids of an embedding it is the norm of the signal there. A warning tells
    where it grew to more than 10,000 times the largest value of the input, as in deep networks.
    """

    def growth(self, signals, inputs, targets):
        pairs = [(s, x) for s, x in zip(signals, inputs, strict=True) if x is not None]
        largest = [np.abs(s).max(axis=-1) / np.abs(x).max(axis=-1) for s, x in pairs]
        return np.fmax.reduce(largest) if largest else np.zeros_like(targets)


@register_analyzer("pattern.attribution")
class PatternAttribution(PatternAnalyzer):
    """PatternAttribution (Kindermans et al. 2017): how much each input contributes through the signal.

    The gradient with each kernel multiplied by its pattern, started at the explained value. What reaches the active
    neurons of a layer is conserved, since w . a = 1; what reaches inactive ones is dropped. A warning tells where the
    magnitudes of a map sum to more than 10,000 times the explained value, as in deep networks.
    """

    times_kernel = True
    embedding = "sum"

    def growth(self, signals, inputs, targets):
        return sum(np.abs(s).sum(axis=-1) for s in signals) / np.abs(targets)


def _flat(request, explanation, opened):
    """The maps with one axis of features, the inputs likewise, None for ids; and the explained values: in float64."""
    lead = 2 if request.several else 1
    signals = [a.astype("float64").reshape(*a.shape[:lead], -1) for a in explanation.attributions]
    given = zip(request.inputs.arrays, opened.graph.inputs, strict=True)
    inputs = [None if opened.takes_ids(t) else a.astype("float64").reshape(len(a), -1) for a, t in given]
    return signals, inputs, explanation.targets.astype("float64")
