"""What tells one result of an evaluation from another, so that what was computed before need not be again."""

import hashlib
import json
import os
from typing import Any

import numpy as np

from innspect._version import __version__
from innspect.evaluation.registry import Metric, described
from innspect.evaluation.results import Result
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial
from innspect.types import Path


def key_of(trial: Trial, metric: Metric, arguments: dict[str, Any], method: str, analyzer: Any, methods: list[str]) -> str:
    """A digest of the samples, the model's answers, the method and the metric.

    Args:
        trial: The `Trial`.
        metric, arguments: What is asked.
        method, analyzer: The label, and the analyzer, None for random maps.
        methods: All labels, for a metric that compares a method with the others.
    """
    config = None if analyzer is None or isinstance(analyzer, str) else [analyzer.name, analyzer.get_config()]
    against = sorted(methods) if "against" in metric.defaults else None
    asked = [__version__, metric.name, _told(arguments), method, _told(config), against, trial.seed, trial.output]
    return samples_key(trial, json.dumps(asked, default=repr))


def samples_key(trial: Trial, asked: str) -> str:
    """A digest of the samples, the model's answers, what is explained, and what is asked of them."""
    digest = hashlib.sha256(asked.encode())
    digest.update(np.array(trial.keys, "uint64").tobytes())
    digest.update(np.ascontiguousarray(trial.outputs.astype("float32")).tobytes())
    values = trial.selection.values
    if trial.layer is not None:
        digest.update(f"{trial.layer} {trial.selection.mean}".encode())
    digest.update(b"" if values is None else values.tobytes())
    return digest.hexdigest()[:32]


def _told(value: Any) -> Any:
    """An argument as text that differs where the argument does."""
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    if isinstance(value, dict):
        return {str(k): _told(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    return described(value)


class Kept:
    """The finished results of an evaluation, in the file of its scores.

    Args:
        path: The file; None keeps nothing.

    Attributes:
        wanted: Whether something is kept.
        results: Dict from key to what was finished before, by an evaluation that was interrupted, or extended.
    """

    def __init__(self, path: Path | None):
        self._path = None if path is None else os.fspath(path)
        self.wanted = path is not None
        self.results = {} if self._path is None or not os.path.exists(self._path) else self._read(self._path)

    def _read(self, path: str) -> dict[str, Result]:
        scores = Scores.load(path)
        return {
            key: scores.results[metric][method]
            for key, (metric, method) in scores.settings.get("keys", {}).items()
            if method in scores.results.get(metric, {})
        }

    def add(self, key: str, result: Result, scores: Scores) -> None:
        """Keep one more result, which the scores have."""
        if self._path is not None:
            scores.save(self._path)
