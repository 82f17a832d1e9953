"""What a batch of samples tells of the channels of some layers: a value and a position for each.

What is summed up is summed up where it is computed, so that no map of a layer leaves the device.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.analyzers.reverse.passes import Passage
from innspect.backend.weights import steadily
from innspect.graph.heads import without_head
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph
from innspect.graph.precision import PreciseCompiler
from innspect.inputs.sites import UnitSite, site_of
from innspect.types import Array, BackendTensor, Nest, Tensors

SHARE = 1e-10  # beside the sum of magnitudes, where values are shares of it


@dataclass
class Measured:
    """What was found for some samples.

    Attributes:
        values: Dict from layer to (samples, channels).
        positions: Dict from layer to (samples, channels, axes), integers.
        outputs: What the model says, (samples, ...).
    """

    values: dict[str, Array]
    positions: dict[str, Array]
    outputs: Array

    @property
    def largest(self) -> Array | None:
        """The class of the largest output, (samples,); None where outputs have other axes."""
        return self.outputs.argmax(axis=1) if self.outputs.ndim == 2 else None


class Measure(Protocol):
    """Measures samples."""

    def __call__(self, x: Nest, target: Any, batch_size: int | None) -> Iterator[Measured]:
        """What is found for each part of a batch."""


def sites_of(graph: Graph, at: Iterable[str], argument: str = "at") -> dict[str, UnitSite]:
    """The places of layers, by path, in their order; errors call them by the name of the argument.

    Raises:
        KeyError: No layer has such a path.
        ValueError: A layer has no channels, is called several times, or does not depend on the inputs.
    """
    return {path: site_of(graph, path, argument) for path in at}


def measure_of(
    analyzer: Analyzer, sites: Mapping[str, UnitSite], by: str, reduce: str, normalize: bool, output: int | str
) -> Measure:
    """What measures relevance by an analyzer, or activation."""
    summary = Summary(tuple(sites.values()), reduce, normalize)
    if by == "activation":
        return ByActivation(analyzer, summary, output)
    if isinstance(analyzer, ReverseAnalyzer) and analyzer.composable:
        return ByPass(analyzer, summary, output)
    return ByExplanation(analyzer, summary, output)


@dataclass(frozen=True)
class Summary:
    """How the maps of layers are summed up."""

    sites: tuple[UnitSite, ...]
    reduce: str
    normalize: bool

    def of(self, maps: Mapping[Any, BackendTensor], samples: int) -> dict[str, dict[str, BackendTensor]]:
        """Of each layer's output, or the signal there: "values" and "places" (samples, channels), and a tensor of the
        positions' shape.
        """
        return {site.layer: self._of(site.arranged(maps[site], samples)) for site in self.sites}

    def _of(self, z: BackendTensor) -> dict[str, BackendTensor]:
        flat = ops.reshape(z, (z.shape[0], -1, z.shape[-1]))
        values = ops.sum(flat, axis=1) if self.reduce == "sum" else ops.max(flat, axis=1)
        if self.normalize:
            values = values / (ops.sum(ops.abs(values), axis=1, keepdims=True) + SHARE)
        return {"values": values, "places": ops.argmax(flat, axis=1), "shape": ops.zeros(z.shape[1:-1], "int8")}

    def measured(self, found: Mapping[str, dict[str, Any]], outputs: BackendTensor, count: int) -> Measured:
        """As NumPy arrays, of the samples that count."""
        values = {path: backend.to_numpy(each["values"])[:count] for path, each in found.items()}
        positions = {}
        for path, each in found.items():
            shape, places = tuple(each["shape"].shape), backend.to_numpy(each["places"])[:count]
            axes = np.unravel_index(places, shape) if shape else ()
            positions[path] = np.stack(axes, axis=-1).astype("int32") if shape else np.zeros((*places.shape, 0), "int32")
        return Measured(values, positions, backend.to_numpy(outputs)[:count])


@dataclass(frozen=True)
class _Told:
    """What one way back tells of layers; equal ones are compiled once."""

    analyzer: ReverseAnalyzer
    summary: Summary

    def __call__(self, passage: Passage, weights: BackendTensor) -> Nest:
        signals = passage.back(self.analyzer.seed(weights, passage.y))
        return {"found": self.summary.of(passage.at_layers(signals), passage.y.shape[0])}


class ByPass:
    """Relevance, by an analyzer that is one way back."""

    def __init__(self, analyzer: ReverseAnalyzer, summary: Summary, output: int | str):
        self._analyzer, self._summary, self._output = analyzer, summary, output
        self._told = _Told(analyzer, summary)

    def __call__(self, x: Nest, target: Any, batch_size: int | None) -> Iterator[Measured]:
        asked = Asked(target, None, batch_size, self._output, at=self._summary.sites)
        request = self._analyzer.request(x, asked)
        way = self._analyzer.way(request)
        for batch, count in request.batches():
            result = steadily(functools.partial(way.explain, batch, self._told))
            yield self._summary.measured(result["found"], result["outputs"], count)


class ByExplanation:
    """Relevance, by an analyzer that tells signals at layers."""

    def __init__(self, analyzer: Analyzer, summary: Summary, output: int | str):
        self._analyzer, self._summary, self._output = analyzer, summary, output

    def __call__(self, x: Nest, target: Any, batch_size: int | None) -> Iterator[Measured]:
        told = self._analyzer._run(x, Asked(target, None, batch_size, self._output, at=self._summary.sites))
        samples = len(told.outputs)
        signals: Mapping[Any, Array] = told.signals  # by site, as was asked
        maps = {site: ops.convert_to_tensor(signals[site]) for site in self._summary.sites}
        yield self._summary.measured(self._summary.of(maps, samples), told.outputs, samples)


class ByActivation:
    """Activation: the layers' outputs."""

    def __init__(self, analyzer: Analyzer, summary: Summary, output: int | str):
        self._analyzer, self._summary, opened = analyzer, summary, analyzer.opened
        number = opened.number(output)
        explained = without_head(opened.graph, opened.graph.outputs[number])
        tensors = [site.tensor for site in summary.sites]
        self._run, self._number = Interpreter.of(opened.graph, *tensors, explained), number
        self._compiler = PreciseCompiler(opened.variables())

    def _look(self, xs: Tensors) -> Nest:
        *tensors, y = self._run(xs)
        return {"found": self._summary.of(dict(zip(self._summary.sites, tensors, strict=True)), xs[0].shape[0]), "outputs": y}

    def __call__(self, x: Nest, target: Any, batch_size: int | None) -> Iterator[Measured]:
        request = self._analyzer.request(x, Asked(target, None, batch_size, self._number))
        for batch, count in request.batches():
            result = steadily(functools.partial(self._compiler, "look", self._look, batch.xs))
            yield self._summary.measured(result["found"], result["outputs"], count)
