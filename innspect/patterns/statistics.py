"""`PatternStatistics`: everything about a data set that patterns are made from; mergeable, storable, resumable."""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from innspect import backend
from innspect.checks import OneOf
from innspect.files import reading
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.inputs.batches import Inputs
from innspect.patterns import files
from innspect.patterns.accumulate import Accumulator
from innspect.patterns.collection import HEADER, LayerPatterns, Patterns
from innspect.patterns.fingerprint import Fingerprints, check_of_one_model, check_same_settings, layer_fingerprints
from innspect.patterns.kinds import checked_types, kinds_of
from innspect.patterns.matching import check_same_layers
from innspect.patterns.measure import Centres, Measurement
from innspect.patterns.moments import Moments, regimes_to_measure
from innspect.patterns.rows import add_products
from innspect.patterns.sums import GATES
from innspect.patterns.units import Unit, units_of
from innspect.types import Array, BackendTensor, Nest, Path

Y_MEANS = ("all", "regime")


@dataclass
class LayerStatistics:
    """What is known of one layer.

    Attributes:
        kernel: The layer's kernel when fitting began.
        gated: Whether a ReLU follows the layer.
        moments: The `Moments`, or None before the first batch.
    """

    kernel: Array
    gated: bool
    moments: Moments | None = None

    @property
    def known(self) -> Moments:
        """The moments, which there are after the first batch."""
        assert self.moments is not None
        return self.moments


class PatternStatistics:
    """Moments of every affine layer of a model, added up batch by batch in float64.

    Args:
        model: A built Keras model. It is only read.
        pattern_type: "auto", "linear", "relu", "relu.positive", "relu.negative", or a list of these.
        gate: "activation" splits by the layer's real activation, bias included; "bias_free" by the sign of w . x, as
            in Eq. 5 of Kindermans et al. 2017.
        y_mean: "all" takes E[y] over all samples (Eq. 8 there), "regime" over those of the regime.

    Examples:
        >>> statistics = PatternStatistics(model)
        >>> for batch in batches:
        ...     statistics.update(batch)
        >>> patterns = statistics.patterns()
    """

    _opened: OpenedModel | None
    _measurement: Measurement | None
    _centres: Centres | None

    def __init__(
        self,
        model: keras.Layer | OpenedModel,
        pattern_type: str | Iterable[str] = "auto",
        *,
        gate: str = "activation",
        y_mean: str = "all",
    ):
        OneOf(*GATES).check("gate", gate)
        OneOf(*Y_MEANS).check("y_mean", y_mean)
        self.pattern_types, self.gate, self.y_mean = checked_types(pattern_type), gate, y_mean
        self.samples = 0
        self.progress: dict[str, Any] = {}
        opened = open_model(model)
        measurement = self._attach(opened)
        self.layers = {u.path: LayerStatistics(backend.snapshot(u.kernel()), u.gated) for u in measurement.units}
        self.fingerprints: Fingerprints = layer_fingerprints(opened.graph)

    @classmethod
    def _of(cls, header: dict[str, Any], layers: dict[str, LayerStatistics]) -> "PatternStatistics":
        """Statistics as they were collected, of no model."""
        made = object.__new__(cls)
        vars(made).update({"progress": {}, **header, "layers": layers})
        made._opened = made._measurement = made._centres = None
        made._accumulator = Accumulator()
        return made

    def _header(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in HEADER}

    def _adopt(self, opened: OpenedModel) -> None:
        """Take a model, which must be that of these statistics, so that data can be added."""
        known, name = layer_fingerprints(opened.graph), self.model_name
        check_same_layers(self.fingerprints, known, name, opened.model.name, "statistics")
        measurement = self._attach(opened)
        self.fingerprints = known
        self.layers = dict(zip([unit.path for unit in measurement.units], self.layers.values(), strict=True))

    def _attach(self, opened: OpenedModel) -> Measurement:
        regimes = {u.path: regimes_to_measure(kinds_of(self.pattern_types, u.gated)) for u in units_of(opened.graph)}
        measurement = Measurement(opened, regimes, self.gate)
        self._opened, self._measurement, self.model_name = opened, measurement, opened.model.name
        self._centres, self._accumulator = None, Accumulator()
        return measurement

    def _attached(self) -> tuple[OpenedModel, Measurement]:
        """The opened model and what measures it.

        Raises:
            RuntimeError: The statistics were loaded without a model.
        """
        if self._opened is None or self._measurement is None:
            raise RuntimeError(
                "These statistics were loaded without a model, so no data can be added. Give the model: "
                "`PatternStatistics.load(path, model)`."
            )
        return self._opened, self._measurement

    # ------------------------------------------------------------------ adding data
    def update(self, x: Nest) -> None:
        """Add one batch of inputs: an array, a list or a dict of arrays, samples first.

        Raises:
            ValueError: `x` does not fit the model's inputs.
            RuntimeError: The statistics were loaded without a model.
        """
        opened, _ = self._attached()
        self.add_arrays(Inputs(x, opened).arrays)

    def centre_on(self, arrays: list[Array]) -> None:
        """Take the means over some samples, flat arrays, as the point that all moments are measured from.

        The results do not depend on it, but for rounding. Where several runs share it they round alike.
        """
        opened, measurement = self._attached()
        opened.verify([a[:1] for a in arrays])
        units: dict[str, Unit] = {unit.path: unit for unit in measurement.units}
        with opened.on_its_device():
            centres = measurement.centres(arrays)
        for path, centre in centres.items():
            self.layers[path].moments = Moments.empty(units[path].layout, measurement.regimes[path], centre)

    def add_arrays(self, arrays: list[Array]) -> None:
        """As `update`, for flat arrays that were checked already."""
        if not len(arrays[0]):
            return
        opened, measurement = self._attached()
        if any(layer.moments is None for layer in self.layers.values()):
            self.centre_on(arrays)
        with opened.on_its_device():
            if self._centres is None:
                self._centres = measurement.centre_tensors({path: layer.known.centre for path, layer in self.layers.items()})
            self._accumulator.add(measurement.moments(arrays, self._centres), self._deposit)
        self.samples += len(arrays[0])

    def _deposit(self, path: str, sums: dict[str, Array], rows: dict[str, BackendTensor] | None) -> None:
        moments = self.layers[path].known
        moments.add(sums)
        if rows is not None:
            add_products(moments.sums, **rows)

    def begun_anew(self) -> "PatternStatistics":
        """Statistics of the same model, with the same settings, without data: what was compiled serves them, too."""
        made = copy.copy(self)
        made.samples, made.progress = 0, {}
        made._centres, made._accumulator = None, Accumulator()
        made.layers = {path: replace(layer, moments=None) for path, layer in self.layers.items()}
        return made

    def flush(self) -> None:
        """Bring what is still on the device into the float64 sums."""
        self._accumulator.flush(self._deposit)

    # ------------------------------------------------------------------ merging
    def merge(self, other: "PatternStatistics") -> "PatternStatistics":
        """The statistics of both data sets together; neither operand changes.

        Raises:
            ValueError: `other` is of another model, or was collected with other settings.
        """
        self.check_mergeable(other)
        self.flush()
        other.flush()
        header = self._header() | {"samples": self.samples + other.samples}
        layers = {
            path: replace(layer, moments=merged_moments(layer.moments, theirs.moments))
            for (path, layer), theirs in zip(self.layers.items(), other.layers.values(), strict=True)
        }
        merged = PatternStatistics._of(header, layers)
        merged._opened, merged._measurement = self._opened, self._measurement
        return merged

    def check_mergeable(self, other: "PatternStatistics") -> None:
        """Raise where the two cannot be added up."""
        told = [{name: getattr(each, name) for name in ("pattern_types", "gate", "y_mean")} for each in (self, other)]
        check_same_settings("Statistics", "merged", *told)
        models = [(each.model_name, each.fingerprints) for each in (self, other)]
        check_of_one_model("Statistics", "merged", *models)

    # ------------------------------------------------------------------ results
    def patterns(self) -> Patterns:
        """The `Patterns` of the data seen so far.

        Raises:
            ValueError: There is no data yet, or it holds NaN or infinite values.
        """
        self.flush()
        if not self.samples:
            raise ValueError("There are no patterns without data: call `update` with at least one batch first.")
        layers = {path: self._layer_patterns(path, layer) for path, layer in self.layers.items()}
        return Patterns(layers, self.pattern_types, self.samples, self.gate, self.y_mean, self.model_name, self.fingerprints)

    def _layer_patterns(self, path: str, layer: LayerStatistics) -> LayerPatterns:
        moments = layer.known
        arrays: dict[str, Array] = {}
        degenerate: dict[str, Array] = {}
        if not np.isfinite(moments.sums["yy"]).all():
            raise ValueError(
                f"The outputs of the layer {path!r} were not finite for some samples, so its patterns are not defined. "
                "Remove NaN and infinite values from the data."
            )
        epsilon = float(np.finfo(layer.kernel.dtype).eps)
        for kind in kinds_of(self.pattern_types, layer.gated):
            pattern, without = moments.pattern(kind, layer.kernel, self.y_mean, epsilon)
            arrays[kind], degenerate[kind] = pattern.astype(layer.kernel.dtype), without
        return LayerPatterns(arrays, layer.gated, moments.count, moments.active, degenerate)

    # ------------------------------------------------------------------ files
    def save(self, path: Path, *, patterns: bool = True) -> None:
        """Write to an HDF5 file, whole or not at all.

        Args:
            path: The file, which `innspect.patterns.load` reads as well.
            patterns: False leaves the patterns out and writes the statistics only.
        """
        self.flush()
        fitted = self.patterns().layers if patterns and self.samples else {}
        layers: dict[str, dict[str, Any]] = {}
        for name, layer in self.layers.items():
            moments = None if layer.moments is None else layer.moments.record()
            layers[name] = {"gated": layer.gated, "statistics": {"kernel": layer.kernel, "moments": moments}}
            if name in fitted:
                layers[name]["patterns"] = fitted[name].record()
        files.write(path, self._header(), layers, progress=json.dumps(self.progress), statistics=True)

    @staticmethod
    def load(path: Path, model: keras.Layer | OpenedModel | None = None) -> "PatternStatistics":
        """Read statistics.

        Args:
            path: A file that `save` wrote.
            model: The model they were collected on; without it they can be merged and made into patterns only.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: The file is damaged, of a newer version, or without statistics.
            ValueError: It is of another model.
        """
        return load(path, model)


def load(path: Path, model: keras.Layer | OpenedModel | None = None, *, moments: bool = True) -> PatternStatistics:
    """Read `PatternStatistics`, without the moments where they are not wanted."""
    header, layers = files.read_statistics(path, moments=moments)
    with reading(path):
        read = {k: LayerStatistics(v["kernel"], v["gated"], Moments.of(v["moments"])) for k, v in layers.items()}
        statistics = PatternStatistics._of(header, read)
    if model is not None:
        statistics._adopt(open_model(model))
    return statistics


def merged_moments(first: Moments | None, second: Moments | None) -> Moments | None:
    """The moments of both, where either may be None."""
    if first is None or second is None:
        return first or second
    return first.merge(second)
