"""Concept relevance in one run forward: a way back down to the layer, and from there one more for each concept."""

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.concepts import one_by_one
from innspect.analyzers.reverse.passes import Pass
from innspect.backend.weights import steadily
from innspect.inputs.passing import Passing
from innspect.layers.program import Program
from innspect.types import BackendTensor, Nest, Tensors

if TYPE_CHECKING:
    from innspect.analyzers.reverse.analyzer import ReverseAnalyzer


def found_in_one_run(analyzer: "ReverseAnalyzer", x: Nest, asked: Asked, layer: Passing, top: int) -> dict[str, Any]:
    """As `one_by_one`; of few concepts with one run forward, of many with one for each group, as neurons are."""
    request = analyzer.request(x, asked)
    whole = np.zeros((request.inputs.samples, layer.sites[0].channels or 0), "float32")  # each way back has a mask of its own
    request = request.through_too(replace(layer, mask=whole))
    way = analyzer.way(request)
    if not isinstance(way.program, Program) or not request.inputs.samples:
        return one_by_one(analyzer, x, asked, layer, top)
    parts = [_of_batch(analyzer, way, batch, count, top) for batch, count in request.batches()]
    found = {key: np.concatenate([part[key] for part in parts]) for key in ("ids", "channels", "targets", "outputs")}
    maps = [np.concatenate(each, axis=1) for each in zip(*(part["maps"] for part in parts), strict=True)]
    restored = analyzer._restore(request.inputs, maps, 2)
    return found | {"maps": keras.tree.map_structure(lambda m: np.moveaxis(m, 0, 1), restored)}


def _of_batch(analyzer: "ReverseAnalyzer", way: Pass, batch: Any, count: int, top: int) -> dict[str, Any]:
    """What is found for the samples of a batch that count; maps have the axis of concepts first."""
    size = min(top, backend.SCANNED or top)
    parts = []
    for first in range(0, top, size):
        first = min(first, top - size)  # the last group begins earlier, so that one function serves all
        key, function = ("concepts", size, batch.request.key), _finding(analyzer, way, batch.request.bare, size)
        found = steadily(functools.partial(way, key, function, batch.xs, batch.values, ops.convert_to_tensor(np.int32(first))))
        parts.append((first, keras.tree.map_structure(backend.to_numpy, found)))
    _, told = parts[0]
    maps = []
    for each in zip(*(part["maps"] for _, part in parts), strict=True):
        whole = np.empty((top, *each[0].shape[1:]), each[0].dtype)
        for (first, _), some in zip(parts, each, strict=True):
            whole[first : first + size] = some
        maps.append(whole[:, :count])
    return {key: told[key][:count] for key in ("ids", "channels", "targets", "outputs")} | {"maps": maps}


def _finding(analyzer: "ReverseAnalyzer", way: Pass, request: Any, size: int) -> Any:
    """The function of tensors that finds so many concepts, for the compiler."""

    def find(xs: Tensors, values: Tensors, first: BackendTensor) -> dict[str, Any]:
        passage = way.forward(xs, request, values)
        (weights,), samples = passage.weights, xs[0].shape[0]
        signals = passage.down_to(analyzer.seed(weights, passage.y))
        assert isinstance(way.program, Program)
        relevance = way.of_channels(way.program.told(passage.tape, signals, ()), samples)
        ids = ops.argsort(ops.where(ops.isnan(relevance), float("inf"), -relevance), axis=1)
        ids = ops.cast(ids, "int32")
        some = ops.take(ids, first + ops.arange(size, dtype="int32"), axis=1)
        masks = ops.one_hot(ops.transpose(some), relevance.shape[1], dtype=relevance.dtype)

        def each(mask: BackendTensor) -> Tensors:
            return analyzer.attributed(passage.begun(signals, [mask]), weights)["attributions"]

        told = {"targets": passage.targets, "outputs": passage.outputs}
        return told | {"ids": ids, "channels": relevance, "maps": backend.scan(each, masks)}

    return find
