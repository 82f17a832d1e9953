"""`innspect.ray.evaluate`: methods by metrics, on the rows of a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from innspect.checks import Integer, OneOf
from innspect.evaluation.asking import DEFAULT, labelled
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.joining import join
from innspect.evaluation.registry import TRUTH, find
from innspect.evaluation.scores import Scores
from innspect.graph.opened.opened_model import open_model
from innspect.ray.cluster import Fetch, Sent, Workers, check_dataset
from innspect.ray.columns import Columns, Reading, Rows, check_columns, rows_at_once
from innspect.ray.parcels import Parcel, methods_of
from innspect.ray.parts import Summing, bytes_of, from_files, summed
from innspect.spelling import pair
from innspect.types import Neuron

if TYPE_CHECKING:
    import ray.data


def evaluate(
    dataset: "ray.data.Dataset",
    model: Any,
    methods: Any,
    metrics: Any = None,
    *,
    inputs: Columns = None,
    targets: str | Neuron = None,
    masks: str | None = None,
    boxes: str | None = None,
    labels: str | None = None,
    truth: str | None = None,
    distractors: str | None = None,
    background: Any = None,
    interval: str | None = None,
    seed: int = 0,
    output: int | str = 0,
    channel_axis: int | str | None = "auto",
    examples: int = 4,
    batch_size: int | None = None,
    rows: int = 64,
    workers: int | None = None,
    cpus: float | None = None,
    gpus: float = 0,
    threads: int = 1,
    custom_objects: Mapping[str, Any] | None = None,
) -> Scores:
    """Measure which explanations of a model can be believed, on the rows of a Ray dataset; see `innspect.evaluate`.

    What is drawn for a row depends on the seed and on the row, so it does not matter which rows are asked about together.

    Args:
        dataset, model, inputs, workers, cpus, gpus, threads, custom_objects: As for `innspect.ray.explain`.
        methods, background, interval, seed, batch_size, output, channel_axis, examples: As for `innspect.evaluate`; methods
            that are fitted are analyzers, fitted already.
        metrics: As for `innspect.evaluate`, but for those that put rows together: "collage", and those that compare groups.
            None: "srg", "insertion" and "mprt.efficient".
        targets: A column with the index to explain in each row, or what is explained for all, as `neuron_selection` of
            `analyze`.
        masks, boxes, labels, truth, distractors: Columns with what is known of each row.
        rows: How many a worker asks about in one go.

    Returns:
        `Scores`, in the order of the dataset.

    Raises:
        ImportError: Ray is not installed.
        KeyError: There is no such column, method or metric.
        TypeError: `dataset` is none of Ray's, or `model` no Keras model.
        ValueError: An argument does not fit, a metric needs all rows at once, or the dataset is empty.
    """
    hired = Workers(workers, cpus, gpus, threads)
    check_dataset(dataset)
    Integer(1).check_given("batch_size", batch_size)
    Integer(1).check("rows", rows)
    Integer().check("examples", examples)
    OneOf(None, "bootstrap").check("interval", interval)
    opened = open_model(model)
    asked = _row_by_row(metrics)
    known = {"masks": masks, "boxes": boxes, "labels": labels, "truth": truth, "distractors": distractors}
    columns = {name: column for name, column in known.items() if column is not None}
    if isinstance(targets, str) and targets != "all":
        columns["targets"] = targets
    check_columns(dataset, opened, inputs, columns.values())
    how = {"seed": seed, "output": output, "channel_axis": channel_axis, "examples": examples, "interval": interval}
    how |= {"batch_size": batch_size}
    made = methods_of(opened, methods)
    sent = Sent(Parcel.of(opened, made, custom_objects))
    order = Evaluate(inputs, columns, targets, asked, background, how)
    several = max(1, rows if batch_size is None else max(rows, rows_at_once(opened, batch_size)))
    return from_files(summed(dataset, Evaluating, [sent, order], several, merge_scores, hired), _joined)


def _row_by_row(metrics: Any) -> dict[str, Any]:
    """Metrics by label, which must say of each row what they would say of it alone."""
    found = labelled([n for n in DEFAULT if find(n).of == "sample"] if metrics is None else metrics)
    for chosen in found.values():
        name, _ = pair(chosen, "metrics")
        if find(name).of != "sample" or "subgroups" in find(name).needs:
            raise ValueError(
                f"`metrics` must say something of each row by itself, which {name!r} does not: ask it by `innspect.evaluate`, "
                f"of some rows. Received: {name!r}"
            )
    return found


@dataclass(frozen=True)
class Evaluate:
    """How a worker evaluates.

    Attributes:
        inputs: The model's columns.
        columns: Dict from what is known of rows, and "targets", to the column that has it.
        targets: What is explained, where no column says it.
        metrics, background: As for `innspect.evaluate`.
        how: More of its arguments.
    """

    inputs: Columns
    columns: dict[str, str]
    targets: Any
    metrics: dict[str, Any]
    background: Any
    how: dict[str, Any]


class Evaluating(Summing):
    """A worker: batches of rows in, scores out."""

    def __init__(self, fetch: Fetch, asked: Evaluate):
        self._opened, self._methods = fetch().opened()
        self._asked, self._read = asked, Reading(self._opened, asked.inputs, asked.columns.values())

    def part(self, batch: Rows) -> bytes:
        """The file of the scores of some rows."""
        asked = self._asked
        given = {name: batch[column] for name, column in asked.columns.items()}
        targets = given.pop("targets", asked.targets)
        known = {name: given.get(name) for name in TRUTH} | {"background": asked.background}
        how: dict[str, Any] = {"known": known, "targets": targets} | asked.how
        evaluation = Evaluation(self._opened, self._read(batch), self._methods, asked.metrics, **how)
        return bytes_of(evaluation.run().save)


def merge_scores(files: list[str]) -> bytes:
    """The file of the scores in several."""
    return bytes_of(_joined(files).save)


def _joined(files: list[str]) -> Scores:
    return join([Scores.load(file) for file in files])
