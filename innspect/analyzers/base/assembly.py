"""Putting together what was found batch by batch."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from innspect.analyzers.base.explanation import OF_SAMPLES, Explanation
from innspect.analyzers.base.request import Request, Result
from innspect.nests import Gathered
from innspect.types import Array, Nest

# What is found for a batch, and what stands for it where it is not.
_FOUND: dict[str, Any] = {"attributions": None, "outputs": None, "targets": None, "signals": {}, "delta": None, "details": {}}


def assembled(request: Request, parts: Iterable[Result], settings: dict[str, Any]) -> Explanation:
    """An `Explanation` with flat lists of attributions.

    Args:
        request: The `Request`.
        parts: What `Analyzer.explain_batch` returned for each batch, NumPy arrays, with the "count" of samples that count; each
            is asked for when the one before is put in its place.
        settings: For the `Explanation`.
    """
    axis, samples = 1 if request.several else 0, request.inputs.samples
    found = {key: Gathered(samples, 0 if key in OF_SAMPLES else axis) for key in _FOUND}
    for part in parts:
        for key, gathered in found.items():
            there = key in part and (key != "signals" or request.at)
            gathered.add(part[key] if there else _FOUND[key], part["count"])
    return Explanation(**{key: gathered.whole for key, gathered in found.items()}, settings=settings)


def empty(request: Request, shapes: list[tuple[int, ...]], settings: dict[str, Any], dtype: str) -> Explanation:
    """As `assembled`, of no samples: maps of some shapes, (0, ...)."""
    lead = (len(request.targets),) if request.several else ()
    maps = [np.zeros((*lead, *shape), dtype) for shape in shapes]
    return Explanation(maps, np.zeros((0,), dtype), np.zeros((*lead, 0), dtype), settings=settings)


def restored(explanation: Explanation, restore: Callable[[list[Array]], Nest]) -> Explanation:
    """The explanation with its maps, and their errors, as they are returned."""
    errors = {k: restore(v) for k, v in explanation.details.items() if k == "error"}
    return replace(explanation, attributions=restore(explanation.attributions), details=explanation.details | errors)


def some(parts: Iterable[Any]) -> list[Any]:
    """What was found for the batches of a stream, of which there must be one."""
    found = list(parts)
    if not found:
        raise ValueError("`x` yielded no batches. Received: an empty stream")
    return found


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)
