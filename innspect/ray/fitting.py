"""`innspect.ray.fit_patterns`: patterns of the rows of a dataset."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from innspect.checks import File, Integer
from innspect.graph.opened.opened_model import open_model
from innspect.inputs.batches import Inputs
from innspect.patterns import Patterns, PatternStatistics, merge
from innspect.ray.cluster import Fetch, Sent, Workers, check_dataset
from innspect.ray.columns import Columns, Reading, Rows, check_columns, rows_at_once
from innspect.ray.parcels import Parcel
from innspect.ray.parts import Summing, bytes_of, from_files, summed
from innspect.types import Path

if TYPE_CHECKING:
    import ray.data


def fit_patterns(
    dataset: "ray.data.Dataset",
    model: Any,
    pattern_type: str | Iterable[str] = "auto",
    *,
    inputs: Columns = None,
    gate: str = "activation",
    y_mean: str = "all",
    path: Path | None = None,
    batch_size: int | None = None,
    rows: int = 1024,
    workers: int | None = None,
    cpus: float | None = None,
    gpus: float = 0,
    threads: int = 1,
    custom_objects: Mapping[str, Any] | None = None,
) -> Patterns:
    """Learn the patterns of every affine layer of a model from a Ray dataset; see `innspect.patterns.fit`.

    Args:
        dataset, model, inputs, batch_size, workers, cpus, gpus, threads, custom_objects: As for `innspect.ray.explain`.
        pattern_type, gate, y_mean: As for `innspect.patterns.fit`.
        path: A file to write statistics and patterns to.
        rows: After so many rows a worker hands on statistics, which are merged in a tree: float64 sums as large as the model,
            several of them for some types. Fewer spread a small dataset over more workers.

    Returns:
        `Patterns`, those of one fit but for the rounding of float64; the same to the bit whatever dies meanwhile.

    Raises:
        ImportError: Ray is not installed.
        KeyError: There is no such column.
        TypeError: `dataset` is none of Ray's, or `model` no Keras model.
        ValueError: An argument does not fit, or the dataset is empty.
    """
    hired = Workers(workers, cpus, gpus, threads)
    check_dataset(dataset)
    Integer(1).check_given("batch_size", batch_size)
    Integer(1).check("rows", rows)
    File().check_given("path", path)
    opened = open_model(model)
    how: dict[str, Any] = {"pattern_type": pattern_type, "gate": gate, "y_mean": y_mean}
    PatternStatistics(opened, **how)  # says what does not fit
    check_columns(dataset, opened, inputs, ())
    size = min(rows, rows_at_once(opened, batch_size))
    sent = Sent(Parcel.of(opened, custom_objects=custom_objects))
    parts = summed(dataset, Fitting, [sent, Fit(inputs, how, size)], rows, merge_statistics, hired)
    statistics = from_files(parts, merge)
    if path is not None:
        statistics.save(path)
    return statistics.patterns()


@dataclass(frozen=True)
class Fit:
    """How a worker fits: the columns, the arguments of `PatternStatistics`, and how many rows are computed at once."""

    inputs: Columns
    how: dict[str, Any]
    batch_size: int


class Fitting(Summing):
    """A worker: batches of rows in, statistics out."""

    def __init__(self, fetch: Fetch, fit: Fit):
        opened, _ = fetch().opened()
        self._opened, self._size = opened, fit.batch_size
        self._read = Reading(opened, fit.inputs)
        self._empty = PatternStatistics(opened, **fit.how)

    def part(self, batch: Rows) -> bytes:
        """The file of the statistics of some rows."""
        statistics, inputs = self._empty.begun_anew(), Inputs(self._read(batch), self._opened)
        for start in range(0, inputs.samples, self._size):
            statistics.add_arrays([a[start : start + self._size] for a in inputs.arrays])
        return _bytes_of(statistics)


def merge_statistics(files: list[str]) -> bytes:
    """The file of the statistics in several."""
    return _bytes_of(merge(files))


def _bytes_of(statistics: PatternStatistics) -> bytes:
    return bytes_of(functools.partial(statistics.save, patterns=False))
