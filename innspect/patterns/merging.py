"""Joining the statistics files of many runs with bounded memory."""

from collections.abc import Iterable
from typing import Any

from innspect.patterns.files import read_moments
from innspect.patterns.moments import Moments
from innspect.patterns.statistics import PatternStatistics, load, merged_moments
from innspect.types import Path


def merge(files: Iterable[Path]) -> PatternStatistics:
    """Add up the statistics of shards.

    The layers are joined one after the other, and each as a tree: at no time are there more moments of one layer in
    memory than the logarithm of the number of files, besides the result.

    Args:
        files: Paths of statistics files, in any order.

    Returns:
        A `PatternStatistics` object: `merge(files).patterns()` are the patterns of all the data.

    Raises:
        ValueError: There are no files, they are of different models or settings, or one shard is given twice.
    """
    names = [str(f) for f in files]
    if not names:
        raise ValueError("`files` must name at least one statistics file. Received: none")
    result = load(names[0], moments=False)
    shards: dict[tuple, str] = {}
    result.samples = 0
    for file in names:
        other = load(file, moments=False)
        result.check_mergeable(other)
        _check_new(shards, other.progress, file)
        result.samples += other.samples
    for index, layer in enumerate(result.layers.values()):
        layer.moments = _joined(names, index)
    result.progress = {}
    return result


def _check_new(shards: dict[tuple, str], progress: dict[str, Any], file: str) -> None:
    """The same shard of the same run must not be counted twice."""
    if progress.get("shard", [0, 1])[1] < 2:
        return
    key = (*progress["shard"], progress["first"], progress["batch_size"])
    if key in shards:
        i, n = progress["shard"]
        raise ValueError(f"The shard {i} of {n} is given twice: in {shards[key]!r} and in {file!r}.")
    shards[key] = file


def _joined(files: list[str], index: int) -> Moments | None:
    """The moments of one layer in all files, joined as a binary counter: stack[i] holds those of 2^i files."""
    stack: list[Moments | None] = []
    for number, file in enumerate(files, start=1):
        moments = Moments.of(read_moments(file, index))
        while number % 2 == 0:
            moments = merged_moments(stack.pop(), moments)
            number //= 2
        stack.append(moments)
    moments = None
    while stack:
        moments = merged_moments(stack.pop(), moments)
    return moments
