"""`innspect.ray.explain`: a map for each row of a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect.checks import Boolean, Integer
from innspect.graph.opened.opened_model import open_model
from innspect.ray.cluster import Fetch, Sent, Workers, check_dataset
from innspect.ray.columns import Columns, Reading, Rows, called, check_columns, rows_at_once
from innspect.ray.parcels import Parcel, method_of
from innspect.types import Array, Neuron

if TYPE_CHECKING:
    import ray.data

MAPS, TOLD = "attribution", ("output", "target", "neuron", "delta")


def explain(
    dataset: "ray.data.Dataset",
    model: Any,
    method: Any = "lrp.epsilon",
    neuron_selection: Neuron = None,
    *,
    inputs: Columns = None,
    targets: str | None = None,
    neurons: Sequence[Neuron] | None = None,
    output: int | str = 0,
    contrast: Any = None,
    details: bool = False,
    keep: Iterable[str] | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    cpus: float | None = None,
    gpus: float = 0,
    threads: int = 1,
    custom_objects: Mapping[str, Any] | None = None,
) -> "ray.data.Dataset":
    """Explain every row of a Ray dataset, on all machines of a cluster.

    Nothing is computed until the result is read; then it streams, and memory does not grow with it. A worker that dies is
    replaced, and what it was asked is asked again.

    Args:
        dataset: A `ray.data.Dataset`, whose rows hold samples as the model takes them.
        model: A built Keras model, or its opened form. It is only read: a copy travels.
        method: The name of a method, with arguments ("lrp.gamma:gamma=0.5") or as a pair; or an analyzer of this model, fitted
            perhaps.
        neuron_selection: As for `analyze`, the same for all rows.
        inputs: The column that holds the model's input; for several inputs a list, or a dict from the input's name to the
            column. None: those that are called as the inputs, or the only column.
        targets: A column with the index to explain in each row, in the place of `neuron_selection`.
        neurons, output, contrast: As for `analyze`.
        details: True adds the columns "output", the model's, "target", the explained value, "neuron", its index, and "delta"
            where the method has one; see `Explanation`. For some methods that takes one more pass.
        keep: Columns of the dataset that the result has, too; None: all.
        batch_size: Rows computed at once; None: as many as fit, see `analyze`.
        workers: How many processes; None: one for each CPU of the cluster, or for each GPU where these are asked for.
        cpus: CPUs that Ray counts for each; None: as many as there are, one at most, so that one is left to read with.
        gpus: GPUs for each; a half puts two workers on one.
        threads: Threads that each computes with.
        custom_objects: As for `keras.saving.load_model`, for classes of the model's own that workers cannot import, such as
            those of a script.

    Returns:
        A `ray.data.Dataset` with the column "attribution", in the shape of what `analyze` gives of a sample; for several inputs
        "attribution/NAME". With `neurons` it has a neuron axis first. Rows may come in another order; where it matters set
        `result.context.execution_options.preserve_order = True`.

    Raises:
        ImportError: Ray is not installed.
        KeyError: There is no such column, method or output.
        TypeError: `dataset` is none of Ray's, or `model` no Keras model.
        ValueError: An argument does not fit.

    Examples:
        >>> dataset = ray.data.read_parquet("s3://bucket/samples")
        >>> maps = innspect.ray.explain(dataset, model, "lrp.epsilon_plus_flat", inputs="image")
        >>> maps.write_parquet("s3://bucket/maps")
    """
    hired = Workers(workers, cpus, gpus, threads)
    check_dataset(dataset)
    Integer(1).check_given("batch_size", batch_size)
    Boolean().check("details", details)
    opened = open_model(model)
    analyzer = method_of(opened, method)
    analyzer.check_output(output)
    if targets is not None and (neuron_selection is not None or neurons is not None):
        raise ValueError(f"`targets` must be None where other neurons are given. Received: {targets!r}")
    kept = None if keep is None else list(keep)
    check_columns(dataset, opened, inputs, [targets, *(kept or [])] if inputs is not None else [targets])
    size = rows_at_once(opened, batch_size)
    asked = {"neurons": neurons, "output": output, "contrast": contrast, "batch_size": size}
    question = Question(inputs, targets, neuron_selection, asked, bool(details), kept)
    sent = Sent(Parcel.of(opened, {"": analyzer}, custom_objects))
    return dataset.map_batches(
        Explaining, fn_constructor_args=[sent, question], batch_size=size, batch_format="numpy", **hired.settings()
    )


@dataclass(frozen=True)
class Question:
    """What is asked of each row.

    Attributes:
        inputs, targets, selection, details, keep: The arguments of `explain`.
        asked: Arguments of `analyze`.
    """

    inputs: Columns
    targets: str | None
    selection: Neuron
    asked: dict[str, Any]
    details: bool
    keep: list[str] | None


class Explaining:
    """A worker: batches of rows in, batches with maps out.

    Args:
        fetch: Gives the `Parcel`, with one method.
        question: The `Question`.
    """

    def __init__(self, fetch: Fetch, question: Question):
        self._opened, methods = fetch().opened()
        (self._analyzer,) = methods.values()
        self._question = question
        self._read = Reading(self._opened, question.inputs, [question.targets])

    def __call__(self, batch: Rows) -> Rows:
        """A batch, column -> (rows, ...), with columns for the maps."""
        asked, x = self._question, self._read(batch)
        neuron = asked.selection if asked.targets is None else batch[asked.targets]
        found: Rows = {}
        if asked.details:
            explanation = self._analyzer.explain(x, neuron, **asked.asked)
            maps = explanation.attributions
            told = {"output": explanation.outputs}
            told |= {name: self._rows_first(getattr(explanation, f"{name}s")) for name in ("target", "neuron")}
            found = told | {"delta": self._rows_first(explanation.delta)}
        else:
            maps = self._analyzer.analyze(x, neuron, **asked.asked)
        flat = [self._rows_first(a) for a in keras.tree.flatten(maps)]
        found |= dict(zip(called(MAPS, self._opened), flat, strict=True))
        kept = batch if asked.keep is None else {name: batch[name] for name in asked.keep}
        twice = [name for name in found if name in kept]
        if twice:
            raise ValueError(
                f"The dataset must have no column {twice[0]!r}, which is that of the maps: rename it, or leave it out with "
                f"`keep`. Received: the columns {list(batch)}"
            )
        return kept | {name: a for name, a in found.items() if a is not None}

    def _rows_first(self, array: Array | None) -> Any:
        return array if array is None or self._question.asked["neurons"] is None else np.moveaxis(array, 1, 0)
