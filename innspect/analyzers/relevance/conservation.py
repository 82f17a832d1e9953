"""The books of a relevance method: where relevance went, layer by layer, so that a map can be trusted or not."""

from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base.asked import Asked
from innspect.analyzers.base.described import settings_of
from innspect.analyzers.relevance.losses import LOSSES, ConservationSummary, summarised
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer, sums
from innspect.checks import Integer
from innspect.inputs.contrast import Contrast
from innspect.inputs.passing import Channels
from innspect.inputs.units import layer_of
from innspect.layers.program import per_sample
from innspect.layers.steps import Entry
from innspect.tables import Table
from innspect.types import Array, Nest, Neuron

_SHARES = ("bias", "stabiliser", "dropped")
_TAKEN = (*_SHARES, "masked")
_COLUMNS = ("received", "passed_on", *_SHARES, "unexplained")


@dataclass
class ConservationTable:
    """Relevance at every layer, from the output down.

    Attributes:
        layers: Paths, from the output to the input.
        rules: The rule of each.
        columns: Dict from column to an array (layers, samples): "received" (relevance that arrived at the outputs),
            "passed_on" (that left to the inputs), the shares lost to "bias", "stabiliser" and "dropped" (0/0, an
            empty side, a constant operand), what a mask took, "masked", of channels, or of what ran beside a layer that it
            had to pass (see `through`), and "unexplained", what is then missing.
        magnitude: (layers, samples), the sum of |relevance| that arrived.
        explained: (samples,), the relevance that the output started with.
        kept: (samples,), the relevance that reached the inputs.
    """

    layers: list[str]
    rules: list[str]
    columns: dict[str, Array]
    magnitude: Array
    explained: Array
    kept: Array
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self):
        """The largest share of any layer's relevance, of any sample, that is unexplained."""
        scale = np.maximum(self.magnitude, np.finfo("float32").tiny)
        missing = np.abs(self.columns["unexplained"])
        return float(np.max(np.where(missing == 0, 0, missing / scale), initial=0.0))

    def __getitem__(self, path):
        row = self.layers.index(path)
        return {name: column[row] for name, column in self.columns.items()}

    def summary(self, layers: int = 5) -> ConservationSummary:
        """What became of the explained value: the shares that were kept, went to biases and stabilisers, and were dropped.

        Args:
            layers: How many are listed, those that lose most first.

        Returns:
            A `ConservationSummary`, means over the samples; printed, it is a sentence.
        """
        Integer(0).check("layers", layers)
        lost = {name: self.columns[name] for name in LOSSES}
        return summarised(self.layers, self.rules, lost, self.explained, self.kept, layers)

    def _table(self):
        columns = [*_COLUMNS[:-1], *(["masked"] if self.columns["masked"].any() else []), _COLUMNS[-1]]
        head = ["layer", "rule", *[c.replace("_", " ") for c in columns]]
        rows = [
            [path, rule, *[f"{np.mean(self.columns[c][i]):.4g}" for c in columns]]
            for i, (path, rule) in enumerate(zip(self.layers, self.rules, strict=True))
        ]
        samples = self.magnitude.shape[1]
        note = f"means over {samples} sample{'s' * (samples != 1)}; largest unexplained share {self.error:.1e}"
        note = f"{self.summary()}\n{note}"
        return Table(head, rows, note)

    def __str__(self):
        return str(self._table())

    __repr__ = __str__

    def _repr_html_(self):
        return self._table().html()


class Conserving(ReverseAnalyzer):
    """Adds `conservation` to a method in relevance form."""

    def conservation(
        self,
        x: Nest,
        neuron_selection: Neuron = None,
        *,
        batch_size: int | None = None,
        output: int | str = 0,
        contrast: Contrast = None,
        through: Channels = None,
    ) -> ConservationTable:
        """Account for the relevance of every layer.

        Args:
            x, neuron_selection, batch_size, output, contrast, through: As for `analyze`.

        Returns:
            A `ConservationTable`; printing it shows means over the samples, and its `summary()`, what became of the value.
        """
        asked = Asked(neuron_selection, None, batch_size, output, 0, contrast, through)
        if asked.has_units and getattr(self.opened, "site", None) is None:
            inner: Any = self.up_to(str(layer_of(neuron_selection)))
            return inner.books_of(x, replace(asked, output=0))
        return self.books_of(x, asked)

    def books_of(self, x: Nest, asked: Asked) -> ConservationTable:
        """As `conservation`."""
        request = self.request(x, asked)
        if not request.inputs.samples:
            raise ValueError("`x` must hold at least one sample. Received: none")
        way = self.books_pass(request)
        parts = []
        for batch, count in request.batches():
            books = way(("books", request.key), self._books(way, request.bare), batch.xs, batch.values)
            parts.append(keras.tree.map_structure(lambda v, n=count: backend.to_numpy(v)[:n], books))
        seen = [s for s in reversed(way.program.steps) if hasattr(s, "rule") and s.path in parts[0]["layers"]]
        table = {
            key: np.array([np.concatenate([p["layers"][s.path][key] for p in parts]) for s in seen])
            for key in ("received", "passed_on", *_TAKEN, "magnitude")
        }
        magnitude = table.pop("magnitude")
        table["unexplained"] = table["received"] - table["passed_on"] - sum(table[k] for k in _TAKEN)
        return ConservationTable(
            [s.path for s in seen],
            [type(s.rule).__name__ for s in seen],
            table,
            magnitude,
            np.concatenate([p["explained"] for p in parts]),
            np.concatenate([p["kept"] for p in parts]),
            settings_of(self, asked),
        )

    def books_pass(self, request):
        """The `Pass` whose steps are the lines of the books: that of the analyses, where each layer is a step of its own."""
        return self.way(request)

    def _books(self, way, request):
        def books(xs, values):
            passage = way.forward(xs, request, values)
            ledger: list[Entry] = []
            seed, batch = self.seed(passage.weights[0], passage.y), passage.y.shape[0]
            arrived = passage.at_inputs(passage.back(seed, ledger))
            layers: dict = {}
            for entry in ledger:  # a layer that has several signals, by what they have passed, is one line
                line, known = _line(entry, batch), layers.get(entry.step.path, {})
                layers[entry.step.path] = {k: v + known[k] if known else v for k, v in line.items()}
            return {"layers": layers, "explained": sums(seed), "kept": sum(sums(r) for r in arrived)}

        return books


def _line(entry, batch):
    """One line of the books."""
    step, saved = entry.step, entry.saved
    received = [(r, _batch_axis(t)) for r, t in zip(entry.arrived, step.outputs, strict=True)]
    passed = [(r, _batch_axis(t)) for r, t in zip(entry.left, step.inputs, strict=True) if r is not None]
    masked = [(r, _batch_axis(t)) for t, r in entry.masked]
    kept = [(r, _batch_axis(t)) for t, r in entry.masked if t in step.outputs]  # of what arrived
    axes = {tuple(r.shape): axis for r, axis in [*masked, *passed, *received]}
    zero = ops.zeros((batch,), entry.arrived[0].dtype)

    def total(tensors):
        return sum((_of_samples(r, axis, batch) for r, axis in tensors), zero)

    row = {
        "received": total([*received, *kept]),
        "passed_on": total(passed),
        "masked": total(masked),
        "magnitude": total([(ops.absolute(r), axis) for r, axis in [*received, *kept]]),
    }
    shares = step.rule.shares(step, saved, entry.arrived)
    return row | {share: total([(r, axes.get(tuple(r.shape), 0)) for r in shares.get(share, ())]) for share in _SHARES}


def _of_samples(tensor, axis, batch):
    """Sums for each sample; what belongs to no sample, such as the largest value of a batch, in equal parts."""
    if not len(tensor.shape) or tensor.shape[axis] % batch:
        return ops.broadcast_to(ops.sum(tensor) / batch, (batch,))
    return per_sample(ops.moveaxis(tensor, axis, 0) if axis else tensor, batch)


def _batch_axis(tensor):
    """Where the samples are: attention that takes queries, keys and values apart may have those first."""
    return tensor.shape.index(None) if None in tensor.shape else 0
