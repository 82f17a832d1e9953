"""A choice in parts: what was found before its time was over, or before it was interrupted."""

from typing import Any

from innspect.evaluation.choosing.budget import Plan
from innspect.evaluation.results import Result
from innspect.evaluation.resuming import Kept, samples_key
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial
from innspect.storing import read_parts, write_parts
from innspect.types import Path

_FORMAT = "innspect-choosing"


class KeptChoice(Kept):
    """The finished results of both halves, and how many samples and steps they are of, in one file.

    Args:
        path: The file; None keeps nothing.
    """

    def __init__(self, path: Path | None):
        self._plans: dict[str, list[int]] = {}
        super().__init__(path)

    def _read(self, path: str) -> dict[str, Result]:
        parts = read_parts(path, _FORMAT, "parts of a choice")
        self._plans = parts["plans"]
        return {key: Result(**result) for key, result in parts["results"].items()}

    def add(self, key: str, result: Result, scores: Scores) -> None:
        if self.wanted:
            self.results[key] = result
            self._write()

    def plan(self, trial: Trial) -> Plan | None:
        """The plan by which these samples were looked at before: results of another one are no use."""
        found = self._plans.get(samples_key(trial, "plan")) if self.wanted else None
        return None if found is None else Plan(*found)

    def keep_plan(self, trial: Trial, plan: Plan) -> None:
        """Keep the plan."""
        if self.wanted:
            self._plans[samples_key(trial, "plan")] = [plan.samples, plan.steps]
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        results: dict[str, Any] = {key: vars(result) for key, result in self.results.items()}
        write_parts(self._path, _FORMAT, {"plans": self._plans, "results": results})
