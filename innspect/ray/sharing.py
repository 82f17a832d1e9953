"""An analyzer whose `explain` is answered by workers: what is in memory goes out batch by batch, and comes back in order.

A batch goes as a call, whatever it asks, so that the answer is that of `explain` here.
"""

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from innspect import study
from innspect.analyzers.base.explanation import Explanation
from innspect.ray.cluster import Fetch, Sent, Workers, installed
from innspect.ray.columns import Rows
from innspect.ray.parcels import Parcel
from innspect.ray.parts import Summing, parts_of, table_of
from innspect.types import Array, Nest


class Shared:
    """In the place of an analyzer in a study.

    Args:
        analyzer: Whose explanations they are, fitted perhaps; only read.
        hired: The `Workers`.
        custom_objects: As for `innspect.ray.explain`.
        batch_size: Samples at once; None: as many as fit.
    """

    def __init__(
        self,
        analyzer: Any,
        hired: Workers,
        custom_objects: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
    ):
        self.name, self.model, self.opened = analyzer.name, analyzer.model, analyzer.opened
        self.labels = getattr(analyzer, "labels", None)
        self._hired, self._batch_size = hired, batch_size
        self._parcel = Parcel.of(analyzer.opened, {"": analyzer}, custom_objects)

    def explain(self, x: Nest, *, batch_size: int | None = None, **asked: Any) -> Explanation:
        """As `Analyzer.explain`, without the inputs; `batch_size` is that of the beginning."""
        ray = installed()
        calls = [ray.put(table_of([pickle.dumps(call)])) for call in self._calls(x, **asked)]
        answers = ray.data.from_arrow_refs(calls).map_batches(
            Answering, fn_constructor_args=[Sent(self._parcel)], batch_size=1, batch_format="numpy", **self._hired.settings()
        )
        answers.context.execution_options.preserve_order = True  # of this dataset alone
        return Explanation.join([pickle.loads(part) for part in parts_of(answers)])

    def _calls(self, x: Nest, neurons: Sequence[Array] | None = None, **asked: Any) -> Iterator[dict[str, Any]]:
        """Arguments of `explain` for each batch; of neurons each has one for each sample."""
        size = study.at_once(self.opened, x, self._batch_size, None if neurons is None else np.asarray(neurons))
        for start in range(0, len(keras.tree.flatten(x)[0]), size):
            rows = slice(start, start + size)
            call = asked | {"x": keras.tree.map_structure(lambda a, r=rows: a[r], x), "batch_size": size}
            yield call if neurons is None else call | {"neurons": [n[rows] for n in neurons]}


class Answering(Summing):
    """A worker: calls in, explanations out."""

    def __init__(self, fetch: Fetch):
        _, methods = fetch().opened()
        (self._analyzer,) = methods.values()

    def part(self, batch: Rows) -> bytes:
        """The explanation that the one call of a batch asks for."""
        ((call,),) = batch.values()
        return pickle.dumps(replace(self._analyzer.explain(**pickle.loads(call)), x=None))
