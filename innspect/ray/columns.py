"""Which columns of a dataset are a model's inputs."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from innspect.errors import PlainKeyError, suggest
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs import sizes
from innspect.types import Array, Nest

Columns = str | Iterable[str] | Mapping[str, str] | None
Rows = dict[str, Array]  # a batch of a dataset: column -> (rows, ...)


def check_columns(dataset: Any, opened: OpenedModel, given: Columns, others: Iterable[str | None]) -> None:
    """Raise where columns are missing, if it is known without reading which there are."""
    known = dataset.columns(fetch_if_missing=False)
    if known:
        chosen(known, opened, given, others)


def chosen(known: Iterable[str], opened: OpenedModel, given: Columns, others: Iterable[str | None] = ()) -> list[str]:
    """The column of each input of a model, in their order.

    Args:
        known: All columns.
        opened: The model.
        given: The argument `inputs`: a column, a list with one for each input, or a dict from the name of an input to one.
            None: those that are called as the inputs; for a model of one input else the only one that is left.
        others: Columns that hold something else.

    Raises:
        KeyError: There is no such column.
        ValueError: The inputs are not all given, or cannot be told.
    """
    known, taken = list(known), [name for name in others if name is not None]
    for name in taken:
        _check(name, known)
    if given is None:
        left = [name for name in known if name not in taken]
        if all(name in left for name in opened.names):
            return opened.names
        if len(opened.names) == 1 and len(left) == 1:
            return left
        raise ValueError(
            f"`inputs` must say which columns are the model's inputs {opened.names}: a name, or a dict from input to column. "
            f"Received: None, and the columns {known}"
        )
    named = [given] if isinstance(given, str) else given
    if isinstance(named, Mapping):
        if set(named) != set(opened.names):
            raise ValueError(f"`inputs` must name a column for each of the inputs {opened.names}. Received: {dict(named)!r}")
        named = [named[name] for name in opened.names]
    found = list(named)
    if len(found) != len(opened.names):
        raise ValueError(f"`inputs` must name a column for each of the inputs {opened.names}. Received: {found!r}")
    for name in found:
        _check(name, known)
    return found


def _check(name: str, known: list[str]) -> None:
    if name not in known:
        raise PlainKeyError(f"The dataset has no column {name!r}. {suggest(name, known)}")


class Reading:
    """Reads a model's inputs from batches.

    Args:
        opened: The model.
        given: See `chosen`.
        others: Columns that hold something else.
    """

    def __init__(self, opened: OpenedModel, given: Columns, others: Iterable[str | None] = ()):
        self._opened, self._given, self._others = opened, given, list(others)

    def __call__(self, batch: Rows) -> Nest:
        """The inputs, in the structure in which the model takes them."""
        arrays = [batch[name] for name in chosen(batch, self._opened, self._given, self._others)]
        structure = self._opened.structure
        return keras.tree.pack_sequence_as(structure, arrays) if len(arrays) > 1 or isinstance(structure, dict) else arrays[0]


def called(name: str, opened: OpenedModel) -> list[str]:
    """The name of the column that has something of each input, such as "attribution", or "attribution/left"."""
    return [name] if len(opened.names) == 1 else [f"{name}/{one}" for one in opened.names]


def rows_at_once(opened: OpenedModel, batch_size: int | None) -> int:
    """How many samples are computed at once: as many as are told, else as many as fit; where lengths are open, the usual."""
    if batch_size is not None:
        return batch_size
    shapes = tuple(tuple(spec.shape[1:]) for spec in opened.specs)
    if any(n is None for shape in shapes for n in shape):
        return sizes.USUAL
    return sizes.fitting(sizes.of_shapes(opened.graph, shapes))
