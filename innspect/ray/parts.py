"""Sums over a dataset: of parts, each finished by a worker in one call, and merged in a tree as they come.

So nothing is lost with a worker that dies: its part is made again. Parts are bytes, what the file of such a sum holds.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from innspect.files import scratch
from innspect.ray.cluster import Workers
from innspect.ray.columns import Rows

_FAN_IN = 8  # parts that are merged at once
_COLUMN = "part"

T = TypeVar("T")
Merge = Callable[[list[str]], bytes]  # from the names of files to the bytes of one


class Summing:
    """Base of the workers that make parts."""

    def __call__(self, batch: Rows) -> Any:
        """The part of a batch of rows, as Ray's table of one row."""
        return table_of([self.part(batch)])

    def part(self, batch: Rows) -> bytes:
        """The part of a batch of rows, column -> (rows, ...)."""
        raise NotImplementedError


def merged_table(table: Any, merge: Merge) -> Any:
    """One part of the parts in a table of Ray's, in their order: a task."""
    parts = table.column(_COLUMN).to_pylist()
    return table_of(parts if len(parts) == 1 else [from_files(parts, merge)])


def from_files(parts: Sequence[bytes], use: Callable[[list[str]], T]) -> T:
    """What a function makes of files with these bytes."""
    with scratch() as folder:
        paths = [os.path.join(folder, f"{number}.part") for number in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            with open(path, "wb") as file:
                file.write(part)
        return use(paths)


def summed(dataset: Any, worker: type[Summing], arguments: list[Any], rows: int, merge: Merge, hired: Workers) -> list[bytes]:
    """The parts of a dataset in its order, few of them.

    Args:
        dataset: The `ray.data.Dataset`.
        worker, arguments: The class, and what it is made with.
        rows: How many make a part.
        merge: Merges parts that are neighbours.
        hired: The `Workers`.

    Raises:
        ValueError: The dataset is empty.
    """
    settings = hired.settings()
    parts = dataset.map_batches(worker, fn_constructor_args=arguments, batch_size=rows, batch_format="numpy", **settings)
    tree = parts.map_batches(
        functools.partial(merged_table, merge=merge),
        batch_size=_FAN_IN,
        batch_format="pyarrow",
        runtime_env=settings["runtime_env"],
    )
    tree.context.execution_options.preserve_order = True  # of this dataset alone: the same parts in the same order, always
    found = list(parts_of(tree))
    if not found:
        raise ValueError("`dataset` must hold at least one row. Received: none")
    return found


def parts_of(dataset: Any) -> Iterator[bytes]:
    """The parts that a dataset is made of, in its order."""
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        if _COLUMN in table.column_names:
            yield from table.column(_COLUMN).to_pylist()


def table_of(parts: list[bytes]) -> Any:
    """A table of Ray's that holds them."""
    import pyarrow  # which Ray Data needs

    return pyarrow.table({_COLUMN: pyarrow.array(parts, pyarrow.large_binary())})  # one may be larger than 2 GiB


def bytes_of(save: Callable[[str], Any]) -> bytes:
    """What a function writes to the path that it is given."""
    with scratch() as folder:
        path = os.path.join(folder, "saved.part")
        save(path)
        with open(path, "rb") as file:
            return file.read()
