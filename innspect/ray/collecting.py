"""`innspect.ray.collect`: reference samples of channels, among the rows of a dataset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.checks import File, Integer
from innspect.concepts.collection import collection_of
from innspect.concepts.gallery import Gallery, merge
from innspect.graph.opened.opened_model import open_model
from innspect.ray.cluster import Fetch, Sent, Workers, check_dataset
from innspect.ray.columns import Columns, Reading, Rows, check_columns, rows_at_once
from innspect.ray.parcels import Parcel, method_of
from innspect.ray.parts import Summing, bytes_of, from_files, summed
from innspect.types import Path

if TYPE_CHECKING:
    import ray.data


def collect(
    dataset: "ray.data.Dataset",
    model: Any,
    at: str | Iterable[str],
    method: Any = "lrp.epsilon_plus_flat",
    *,
    ids: str,
    inputs: Columns = None,
    targets: str | None = None,
    by: str = "relevance",
    top: int = 16,
    target: Any = None,
    reduce: str = "sum",
    normalize: bool = False,
    by_class: int | None = None,
    crops: int = 8,
    output: int | str = 0,
    path: Path | None = None,
    batch_size: int | None = None,
    rows: int = 1024,
    workers: int | None = None,
    cpus: float | None = None,
    gpus: float = 0,
    threads: int = 1,
    custom_objects: Mapping[str, Any] | None = None,
) -> Gallery:
    """For each channel of some layers the rows in which it matters most; see `innspect.concepts.collect`.

    Args:
        dataset, model, inputs, batch_size, workers, cpus, gpus, threads, custom_objects: As for `innspect.ray.explain`.
        at, by, top, target, reduce, normalize, by_class, crops, output: As for `innspect.concepts.collect`; `target` is one for
            all rows.
        method: Whose relevance: a name, a pair of a name and its arguments, or an analyzer of this model.
        ids: The column that has a number for each row, integers that differ: the result says samples by it.
        targets: A column with the class of each row, in the place of `target`.
        path: A file to keep the result in.
        rows: After so many rows a worker hands on what it has, which is merged in a tree.

    Returns:
        A `Gallery`, as of one run.

    Raises:
        ImportError: Ray is not installed.
        KeyError: There is no such column, layer or method.
        TypeError: `dataset` is none of Ray's, or `model` no Keras model.
        ValueError: An argument does not fit, the dataset is empty, or a number occurs twice.
    """
    hired = Workers(workers, cpus, gpus, threads)
    check_dataset(dataset)
    Integer(1).check_given("batch_size", batch_size)
    Integer(1).check("rows", rows)
    File().check_given("path", path)
    opened = open_model(model)
    analyzer = method_of(opened, method)
    if isinstance(target, list | np.ndarray) or (targets is not None and target is not None):
        raise ValueError(
            f"`target` must be one for all rows, or None where `targets` names a column. Received: {target!r:.100}"
        )
    size = min(rows, rows_at_once(opened, batch_size))
    how = {"by": by, "top": top, "target": target, "reduce": reduce, "normalize": normalize, "by_class": by_class}
    how |= {"crops": crops, "batch_size": size, "output": output, "at": [at] if isinstance(at, str) else list(at)}
    collection_of(analyzer, **how)  # says what does not fit
    check_columns(dataset, opened, inputs, [targets, ids])
    sent = Sent(Parcel.of(opened, {"": analyzer}, custom_objects))
    asked = Collect(inputs, targets, ids, how)
    gallery = from_files(summed(dataset, Collecting, [sent, asked], rows, merge_galleries, hired), merge)
    if path is not None:
        gallery.save(path)
    return gallery


@dataclass(frozen=True)
class Collect:
    """How a worker collects: the columns, and the arguments of `innspect.concepts.collect`."""

    inputs: Columns
    targets: str | None
    ids: str
    how: dict[str, Any]


class Collecting(Summing):
    """A worker: batches of rows in, galleries out."""

    def __init__(self, fetch: Fetch, asked: Collect):
        opened, methods = fetch().opened()
        self._asked = asked
        self._read = Reading(opened, asked.inputs, [asked.targets, asked.ids])
        (analyzer,) = methods.values()
        self._collection = collection_of(analyzer, **asked.how)
        self._empty = self._collection.gallery

    def part(self, batch: Rows) -> bytes:
        """The file of the gallery of some rows."""
        empty, asked = self._empty, self._asked
        self._collection.gallery = Gallery(empty.settings, empty.model_name, empty.fingerprints)
        labels = None if asked.targets is None else batch[asked.targets]
        self._collection.add(self._read(batch), labels, np.asarray(batch[asked.ids], "int64"))
        return bytes_of(self._collection.gallery.save)


def merge_galleries(files: list[str]) -> bytes:
    """The file of the galleries in several."""
    return bytes_of(merge(files).save)
