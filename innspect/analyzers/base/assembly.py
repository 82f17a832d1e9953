"""Putting together what was found batch by batch."""

import warnings
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.request import Request, Result
from innspect.graph.opened.opened_model import OpenedModel
from innspect.inputs.batches import on_device
from innspect.types import Array, Nest


def assembled(request: Request, parts: Iterable[Result], settings: dict[str, Any]) -> Explanation:
    """An `Explanation` with flat lists of attributions.

    Args:
        request: The `Request`.
        parts: What `Analyzer.explain_batch` returned for each batch, NumPy arrays, with the "count" of samples that count.
        settings: For the `Explanation`.
    """
    return Explanation.join(_explanation(part, request, settings) for part in parts)


def _explanation(part: Result, request: Request, settings: dict[str, Any]) -> Explanation:
    axis, count = 1 if request.several else 0, part["count"]

    def trimmed(key: str, axis: int = axis) -> Nest:
        return keras.tree.map_structure(lambda a: a[:count] if axis == 0 else a[:, :count], part[key])

    return Explanation(
        attributions=trimmed("attributions"),
        outputs=trimmed("outputs", 0),
        targets=trimmed("targets"),
        signals=trimmed("signals") if request.at else {},
        delta=trimmed("delta") if "delta" in part else None,
        settings=settings,
        details=trimmed("details") if "details" in part else {},
    )


def empty(request: Request, shapes: list[tuple[int, ...]], settings: dict[str, Any]) -> Explanation:
    """As `assembled`, of no samples: maps of some shapes, (0, ...)."""
    lead = (len(request.targets),) if request.several else ()
    maps = [np.zeros((*lead, *shape), "float32") for shape in shapes]
    return Explanation(maps, np.zeros((0,), "float32"), np.zeros((*lead, 0), "float32"), settings=settings)


def some(parts: Iterable[Any]) -> list[Any]:
    """What was found for the batches of a stream, of which there must be one."""
    found = list(parts)
    if not found:
        raise ValueError("`x` yielded no batches. Received: an empty stream")
    return found


def warn_of_infinite(name: str, explanation: Explanation, axis: int, unknown: Array, stacklevel: int) -> None:
    """Warn of samples whose explained value is not finite, and of those where it is and the maps are not.

    Args:
        name: The method's.
        explanation: With a flat list of attributions.
        axis: Of the samples in these.
        unknown: Whether the model itself knows nothing of each sample, (samples,), see `unknown_to`.
        stacklevel: For who asked.
    """
    sound, fine = _finite([explanation.targets], axis) & ~unknown, _finite(explanation.attributions, axis)
    lost, told = np.flatnonzero(sound & ~fine), []
    if len(lost):
        told.append(
            f"signals grew beyond what {explanation.attributions[0].dtype} can hold, so the maps are not finite, for "
            f"{_told(lost, len(sound))}. Rules that divide by sums which may be near zero do "
            "so in deep networks: a larger `epsilon`, keeping the bias, or another rule bounds them; float64 holds more."
        )
    if not sound.all():
        told.append(
            f"the explained output is not finite, so the maps mean nothing, for {_told(np.flatnonzero(~sound), len(sound))}. "
            "Look for NaN and infinite values in the input."
        )
    if told:
        warnings.warn(f"{name!r}: {' And '.join(told)}", stacklevel=stacklevel)


def unknown_to(opened: OpenedModel | None, request: Request) -> Array:
    """For which samples that are not finite the model's own answer is not a number, (samples,).

    A compiled function may lose a NaN on its way, as TensorFlow's do where it fuses a convolution and a ReLU.
    """
    inputs = request.inputs
    unknown, floats = np.zeros(inputs.samples, bool), [a for a in inputs.arrays if a.dtype.kind == "f"]
    if opened is None or opened.batch is not None or not floats:
        return unknown
    odd = np.flatnonzero(~_finite(floats, 0))
    for start in range(0, len(odd), request.batch_size):
        rows = odd[start : start + request.batch_size]
        y = opened.outputs(on_device([a[rows] for a in inputs.arrays], opened))[request.output]
        unknown[rows] = np.isnan(y).reshape(len(rows), -1).any(axis=1)
    return unknown


def _told(numbers: Array, of: int) -> str:
    listed = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    return f"{len(numbers)} of {of} samples (number {listed})"


def _finite(arrays: Iterable[Array], axis: int) -> Array:
    """Whether all that arrays hold for each sample, along `axis`, is finite: (samples,)."""
    flat = [np.isfinite(np.moveaxis(a, axis, 0)).reshape(a.shape[axis], -1).all(axis=1) for a in arrays]
    return np.logical_and.reduce(flat)


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist() if value.size <= 64 else f"array of shape {value.shape}"
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)
