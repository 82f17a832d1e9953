"""The maps that are scored: given ones, those of an analyzer, which can explain again, and random ones."""

import functools
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.asked import Asked
from innspect.checks import OneOf
from innspect.evaluation.draws import generator, sample_keys
from innspect.evaluation.trial import Trial
from innspect.inputs.batches import as_numbers
from innspect.inputs.predictor import Network
from innspect.types import Array, Neuron

SIGNS = ("signed", "positive", "abs")
CHANNELS = ("together", "apart")


class Maps:
    """A map for each sample of a `Trial`.

    Args:
        trial: The `Trial`.
        given: An array (samples, ...) of the samples' shape, or of their positions' shape; for several inputs a list or a
            dict of these; an `Explanation`; or an analyzer, which then explains the samples.

    Attributes:
        analyzer: What made them, or None.
    """

    def __init__(self, trial: Trial, given: Any):
        self._trial, self.analyzer = trial, given if hasattr(given, "analyze") else None
        if trial.layer is not None and hasattr(given, "up_to"):  # of a unit: the weights behind it take no part
            self.analyzer = given.up_to(trial.layer)
        if self.analyzer is None:
            self.full = self._given(given)

    def _given(self, given: Any) -> list[Array]:
        return self._checked(getattr(given, "attributions", given), self._trial.samples)

    @functools.cached_property
    def full(self) -> list[Array]:
        """An array for each input, as it was given; an analyzer makes them when they are first asked for."""
        return self.again(self._trial.arrays, np.arange(self._trial.samples))

    @property
    def explains(self) -> bool:
        """Whether `again` can be asked."""
        return self.analyzer is not None

    @functools.cached_property
    def finite(self) -> Array:
        """Which samples have maps of finite numbers, booleans (samples,)."""
        return np.all([np.isfinite(m.reshape(len(m), -1)).all(axis=1) for m in self.full], axis=0)

    def on(self, trial: Trial) -> "Maps":
        """Maps of another trial's samples, by the same method.

        Raises:
            TypeError: The maps were given, and nothing can explain others.
        """
        return Maps(trial, self._explains())

    def _explains(self) -> Any:
        if self.analyzer is None:
            raise self.given_error()
        return self.analyzer

    def _checked(self, given: Any, samples: int) -> list[Array]:
        arrays = _flat(given, len(self._trial.arrays))
        checked = []
        for i, array in enumerate(as_numbers(a, "maps") for a in arrays):
            array = array[:, None] if array.ndim == 1 and self._trial.arrays[i].ndim == 2 else array
            accepted = self._shapes(i, samples)
            if array.shape not in accepted or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"`maps` must hold numbers of shape {accepted[0]}, or with a channel axis {accepted[-1]}; maps of another "
                    f"shape must be resized before. Received: shape {array.shape}, dtype {array.dtype}"
                )
            checked.append(array if array.dtype.kind == "f" else array.astype("float64"))
        return checked

    def _shapes(self, i: int, samples: int) -> list[tuple[int, ...]]:
        """The shapes that maps may have: positions, one channel, the sample's own."""
        size, x, channel = self._trial.sizes[i], self._trial.arrays[i], self._trial.axes[i].channel
        shapes = [(samples, *size)]
        if channel is not None:
            one = tuple(1 if a == channel else n for a, n in enumerate(x.shape))
            shapes += [(samples, *one[1:]), (samples, *x.shape[1:])]
        return shapes

    def again(self, arrays: list[Array], rows: Array, neuron: Neuron = None, turn: int = 0) -> list[Array]:
        """Maps of other inputs for the targets of some samples.

        Args:
            arrays: For each of the model's inputs (n, ...).
            rows: The samples whose targets are explained, (n,).
            neuron: What is explained in place of these targets, as `neuron_selection` of `analyze` takes it for n samples.
            turn: Tells random maps of the same inputs apart, such as a step with other weights; 0 are the first ones.

        Returns:
            An array for each input, (n, ...).

        Raises:
            TypeError: The maps were given, and nothing can explain again.
        """
        trial, analyzer = self._trial, self._explains()
        arguments = {"batch_size": trial.given_size, "output": trial.output}
        found = analyzer.analyze(trial.packed(arrays), trial.neuron(rows) if neuron is None else neuron, **arguments)
        trial.progress.advance(len(rows))
        return self._checked(found, len(rows))

    @property
    def tells_scores(self) -> bool:
        """Whether an explanation has the logit of what it explains, so that the model need not be asked again."""
        logit = getattr(self.analyzer, "head", None) == "logit" and isinstance(self._trial.predictor, Network)
        return logit and isinstance(self.analyzer, Analyzer)

    def again_with_scores(self, arrays: list[Array], rows: Array) -> tuple[list[Array], dict[str, Array]]:
        """As `again`, and "scores" and "classes" of these inputs, (n,), as `answers_to` has them; where `tells_scores`."""
        trial = self._trial
        asked = Asked(trial.neuron(rows), batch_size=trial.given_size, output=trial.output)  # no picture: no copy of the inputs
        found = self._explains()._run(trial.packed(arrays), asked)
        trial.progress.advance(len(rows))
        told = {"scores": found.targets.astype("float64"), "classes": found.outputs.reshape(len(rows), -1).argmax(axis=1)}
        return self._checked(found.attributions, len(rows)), told

    @staticmethod
    def given_error() -> TypeError:
        """What is raised where maps were given, and an analyzer is needed."""
        return TypeError(
            "This metric explains again, so `maps` must be an analyzer, such as innspect.create_analyzer('gradient', "
            "model). Received: arrays"
        )

    def flat(self, channels: str = "together", sign: str = "signed") -> Array:
        """Values over all positions, float64 (samples, positions); 0 where a map is not finite.

        Args:
            channels: "together" sums over channels, with their signs; "apart" takes every element.
            sign: "signed"; "positive", max(r, 0); "abs", |r|: after the sum.
        """
        return flattened(self._trial, self.full, channels, sign)


def flattened(trial: Trial, full: list[Array], channels: str = "together", sign: str = "signed") -> Array:
    """Maps of each input, (n, ...), over all positions: float64 (n, positions), 0 where one is not finite."""
    OneOf(*CHANNELS).check("channels", channels)
    OneOf(*SIGNS).check("sign", sign)
    parts = []
    for array, x, axes in zip(full, trial.arrays, trial.axes, strict=True):
        if channels == "apart" and array.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"channels='apart' needs maps of the samples' shape {x.shape[1:]}. Received: shape {array.shape[1:]}"
            )
        if channels == "together" and axes.channel is not None and array.ndim == x.ndim:
            # over an outer axis, many times as fast as over an inner one of a few channels
            values = np.moveaxis(array, axes.channel, 0).astype("float64", order="C").sum(axis=0)
        else:
            values = array.astype("float64")
        parts.append(values.reshape(len(values), -1))
    r = np.concatenate(parts, axis=1)
    r = np.where(np.isfinite(r).all(axis=1, keepdims=True), r, 0)
    return np.abs(r) if sign == "abs" else np.maximum(r, 0) if sign == "positive" else r


class RandomMaps(Maps):
    """The row "random": standard normal maps over positions; a new one for each changed input, by that input's own key."""

    def __init__(self, trial: Trial):
        super().__init__(trial, None)

    def _given(self, given: Any) -> list[Array]:
        return self.again(self._trial.arrays, np.arange(self._trial.samples))

    @property
    def explains(self) -> bool:
        return True

    def on(self, trial: Trial) -> "RandomMaps":
        return RandomMaps(trial)

    def again(self, arrays: list[Array], rows: Array, neuron: Neuron = None, turn: int = 0) -> list[Array]:
        trial, maps = self._trial, [np.empty((len(rows), *size), "float32") for size in self._trial.sizes]
        for n, key in enumerate(sample_keys(arrays)):
            draws = generator(trial.seed, f"random {turn}" if turn else "random", key)
            for array, size in zip(maps, trial.sizes, strict=True):
                array[n] = draws.standard_normal(size)
        trial.progress.advance(len(rows))
        return maps


def as_they_are(full: list[Array]) -> Array:
    """Maps of each input, (n, ...), as vectors, for metrics of norms: float64 (n, elements), NaN where one is not finite."""
    return np.concatenate([a.reshape(len(a), -1) for a in full], axis=1, dtype="float64")


def _flat(given: Any, count: int) -> list[Any]:
    if isinstance(given, dict):
        given = keras.tree.flatten(given)
    if count == 1 and not isinstance(given, list | tuple):
        return [given]
    if count == 1 and not (len(given) == 1 and hasattr(given[0], "shape")):
        return [given]
    if not isinstance(given, list | tuple) or len(given) != count:
        received = f"{len(given)} of them" if isinstance(given, list | tuple) else type(given).__name__
        raise ValueError(f"`maps` must be a list of {count} arrays, one for each input. Received: {received}")
    return list(given)


def others(trial: Trial, given: Any) -> list[Maps]:
    """What maps are compared with: a dict or a list of maps of other methods, or one array."""
    listed = list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return [m if isinstance(m, Maps) else Maps(trial, m) for m in listed]
