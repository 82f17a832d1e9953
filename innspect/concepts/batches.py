"""The batches that reference samples are collected from, and what tells one run's data from another's."""

import hashlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.concepts.targets import Targets
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import Inputs, called, is_stream, labelled_batches
from innspect.types import Nest


def size_of(data: Any, opened: OpenedModel) -> int:
    """How many samples of arrays are a batch where nobody says: as many as fit."""
    with called("data"):
        return Inputs(data, opened).checked_size(None)


def batches(
    data: Any, analyzer: Analyzer, batch_size: int | None, steps: int | None, done: int, targets: Targets
) -> Iterator[tuple[Nest, Any]]:
    """Inputs and labels of each batch; of arrays those before `done` are nothing, but the first."""
    if is_stream(data):
        for number, batch in enumerate(labelled_batches(data)):
            if steps is not None and number >= steps:
                return
            yield batch
        return
    with called("data"):
        inputs = Inputs(data, analyzer.opened)
    targets.check(inputs.samples)
    size = inputs.checked_size(batch_size)
    for number, start in enumerate(range(0, inputs.samples, size)):
        if steps is not None and number >= steps:
            return
        yield (None if 0 < number < done else inputs.pack([a[start : start + size] for a in inputs.given])), None


def number_of_batches(data: Any, batch_size: int | None, steps: int | None) -> int:
    """How many there will be, for a bar; 1 where that is not known."""
    if is_stream(data):
        count = len(data) if hasattr(data, "__len__") else steps or 1
    else:
        leaves = keras.tree.flatten(data)
        count = -(-len(leaves[0]) // (batch_size or 1)) if leaves and hasattr(leaves[0], "__len__") else 1
    return max(1, count if steps is None else min(count, steps))


def digest(x: Nest, labels: Any) -> str:
    """Of the inputs and labels of a batch."""
    hasher = hashlib.sha256()
    for leaf in keras.tree.flatten([x, [] if labels is None else labels]):
        array = np.asarray(keras.ops.convert_to_numpy(leaf) if hasattr(leaf, "shape") else leaf)
        hasher.update(f"{array.dtype}{array.shape}".encode())
        hasher.update(array.tobytes() if array.dtype.kind not in "OSU" else repr(array.tolist()).encode())
    return hasher.hexdigest()[:32]
