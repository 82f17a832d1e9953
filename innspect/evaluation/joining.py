"""Scores of several sets of samples, by the same methods and metrics, as those of all."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from innspect.evaluation.registry import described
from innspect.evaluation.results import Result
from innspect.evaluation.scores import Scores
from innspect.types import Array


def join(parts: Iterable[Scores]) -> Scores:
    """The scores of all samples, in the order of the parts; a method that failed for some has failed.

    Args:
        parts: Scores of other samples each, with the same methods, metrics and settings.

    Raises:
        ValueError: There are none, or they have other methods, metrics or settings.
    """
    parts = list(parts)
    if not parts:
        raise ValueError("`parts` must hold at least one. Received: none")
    first = parts[0]
    for part in parts:
        asked = [(each.metrics, each.methods, each.settings.get("seed"), each.interval_kind) for each in (first, part)]
        if asked[0] != asked[1]:
            raise ValueError(f"`parts` must be of the same methods, metrics and seed. Received: {asked[0]}, and {asked[1]}")
    failed: dict[str, dict[str, str]] = {}
    for part in parts:
        for metric, of in part.failed.items():
            failed[metric] = of | failed.get(metric, {})
    classes = None if any(part.classes is None for part in parts) else _joined([part.classes for part in parts])
    results = {
        metric: {
            method: _result([part.results[metric][method] for part in parts], classes)
            for method in of
            if method not in failed.get(metric, {})
        }
        for metric, of in first.results.items()
    }
    samples = sum(part.settings.get("samples", 0) for part in parts)
    return replace(
        first,
        results={metric: of for metric, of in results.items() if of},
        failed=failed,
        settings=first.settings | {"samples": samples, "keys": {}},
        classes=classes,
    )


def _result(parts: list[Result], classes: Array | None) -> Result:
    first = parts[0]
    settings = first.settings if classes is None else first.settings | {"targets": described(classes, 2000)}
    return replace(
        first,
        values=_joined([part.values for part in parts]),
        curves=_arrays([part.curves for part in parts]),
        beside=_arrays([part.beside for part in parts]),
        settings=settings,
    )


def _arrays(parts: list[dict[str, Array]]) -> dict[str, Array]:
    """Arrays by name, samples first, joined; without those that are of another shape for other samples."""
    found = {name: [part[name] for part in parts if name in part] for name in parts[0]}
    alike = {name: len(of) == len(parts) and len({a.shape[1:] for a in of}) == 1 for name, of in found.items()}
    return {name: _joined(of) for name, of in found.items() if alike[name]}


def _joined(arrays: list) -> Array:
    return np.concatenate(arrays)
