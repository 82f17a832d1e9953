"""What `benchmark` gives: scores of methods on tasks, whose resampled unit is the trained network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.evaluation.results import Result
from innspect.evaluation.scores import Scores
from innspect.evaluation.tables import cell_of, heading
from innspect.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def label_of(task: str, score: str) -> str:
    """How a score of a task is called among `results`."""
    return f"{task}/{score}"


@dataclass
class Benchmark(Scores):
    """Scores of methods on tasks with planted truth; a value for each trained network, the mean over its samples.

    `results`, `values`, `mean`, `interval`, `difference`, `best`, `save` and `load` are those of `Scores`, by labels such as
    "xor.white/relevance_mass": here a task and a score. Intervals are over networks, and one network has none.
    """

    @property
    def tasks(self) -> list[str]:
        """All tasks, also those whose networks were all refused."""
        return list(self.networks)

    @property
    def networks(self) -> dict[str, list[dict[str, Any]]]:
        """Of each task its networks: "seed", "accuracy" on held-out samples, "refused", and how many "samples" were scored."""
        return dict(self.settings["networks"])

    @property
    def refused(self) -> dict[str, list[dict[str, Any]]]:
        """Of each task the networks that were not scored, since they do not use what was planted."""
        found = {task: [one for one in of if one["refused"]] for task, of in self.networks.items()}
        return {task: of for task, of in found.items() if of}

    @property
    def scores(self) -> list[str]:
        """The scores that some task has."""
        return list(dict.fromkeys(label.rpartition("/")[2] for label in self.metrics))

    def of(self, task: str, score: str) -> dict[str, Result]:
        """The results of a task and a score by method; none where there are none.

        Raises:
            KeyError: There is no such task.
        """
        if task not in self.networks:
            raise KeyError(f"There is no task {task!r}; there are: {self.tasks}")
        return self.results.get(label_of(task, score), {})

    # ------------------------------------------------------------------ shown
    def table(self, score: str | None = None) -> Table:
        """A row for each task and method, a column for each score; of one score methods by tasks.

        Args:
            score: Such as "relevance_mass"; None: all.
        """
        if score is None:
            head = ["task", "method", *(heading(s, self._higher(s)) for s in self.scores)]
            shown = [t for t in self.tasks if any(label_of(t, s) in self.metrics for s in self.scores)]
            rows = [[t, m, *(self._cell(t, s, m) for s in self.scores)] for t in shown for m in self.methods]
        else:
            self._checked(score)
            shown = [t for t in self.tasks if label_of(t, score) in self.metrics]
            head = [f"{heading(score, self._higher(score))}", *shown]
            rows = [[m, *(self._cell(t, score, m) for t in shown)] for m in self.methods]
        return Table(head, rows, "\n".join(self._notes()), left=2 if score is None else 1)

    def _cell(self, task: str, score: str, method: str) -> str:
        text, result = cell_of(self, label_of(task, score), method, None), self.of(task, score).get(method)
        missing = 0 if result is None else int(result.beside["undefined samples"].sum())
        return text + (f" ({missing} undefined)" if missing else "")

    def _higher(self, score: str) -> bool | None:
        first = next((r for t in self.tasks for r in self.of(t, score).values()), None)
        return None if first is None else first.higher_is_better

    def _checked(self, score: str) -> str:
        if score not in self.scores:
            raise ValueError(f"`score` must be one of {self.scores}. Received: {score!r}")
        return score

    def _notes(self) -> list[str]:
        counts = {task: [one for one in of if not one["refused"]] for task, of in self.networks.items()}
        lines = ["mean over trained networks of the mean over samples [95 % interval over networks, Student's t]"]
        if any(len(of) == 1 for of in counts.values()):
            lines[0] += "; one network has no interval"
        for task, of in counts.items():
            if of:
                low, high = (f([one["accuracy"] for one in of]) for f in (min, max))
                told = f"{low:.1%}" if low == high else f"{low:.1%} to {high:.1%}"
                lines.append(f"{task}: {len(of)} network{'s' * (len(of) != 1)}, held-out accuracy {told}")
        for task, of in self.refused.items():
            told = ", ".join(f"{one['accuracy']:.1%} (seed {one['seed']})" for one in of)
            lines.append(f"{task}: refused, never scored, below {of[0]['needs']:.0%} on held-out samples: {told}")
        failed: dict[tuple[str, str], list[str]] = {}
        for label, by_method in self.failed.items():
            for method, why in by_method.items():
                tasks = failed.setdefault((method, why), [])
                tasks += [t for t in [label.rpartition("/")[0]] if t not in tasks]
        lines += [f"{method} failed on {', '.join(tasks)}: {why}" for (method, why), tasks in failed.items()]
        if self.settings["warnings"]:
            lines.append(f"methods warned: {len(self.settings['warnings'])} texts in settings['warnings']")
        return lines

    def plot(self, metrics: Any = None, *, ground: str = "light") -> "Figure":
        """A panel for each task: the methods' means of one score with intervals over networks, as a matplotlib figure.

        Args:
            metrics: The score; None: "relevance_mass". A list of labels as of `Scores.plot` shows these.
            ground: "light" or "dark".

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: No network of any task was scored.
        """
        from innspect.evaluation.drawing import drawn

        if metrics is None or isinstance(metrics, str):
            if not self.results:
                raise ValueError("`plot` needs a task of which a network was scored. Received: all were refused")
            score = self._checked(metrics or "relevance_mass")
            metrics = [label_of(t, score) for t in self.tasks if self.of(t, score)]
        return drawn(self, metrics, ground)


def mean_of(parts: list[Result]) -> Result:
    """The results of the same score for several networks as one, a value for each network."""
    first = parts[0]
    undefined = np.array([part.undefined.sum() for part in parts], "float64")
    settings = {k: v for k, v in first.settings.items() if k not in ("targets", "seed")}
    return Result(
        np.array([part.mean for part in parts]),
        settings=settings,
        beside={"undefined samples": undefined},
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        range=first.range,
        interval_kind="t",
    )
