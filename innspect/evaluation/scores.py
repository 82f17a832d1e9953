"""Methods by metrics: what `innspect.evaluate` gives."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from innspect.evaluation.intervals import holm, interval, paired
from innspect.evaluation.results import RANDOM, Difference, Result, by_method
from innspect.spelling import meant
from innspect.storing import read_parts, write_parts
from innspect.tables import Table
from innspect.types import Array, Path

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

_FORMAT = "innspect-scores"


@dataclass
class Scores:
    """Results of metrics for methods, with the row "random" to compare with.

    Attributes:
        results: Dict metric -> dict method -> `Result`.
        failed: Dict metric -> dict method -> why there is no result.
        left_out: Dict from a default metric that these samples cannot be asked for to the reason.
        settings: Of the evaluation.
        interval_kind: None for each metric's own (Student's t, or Wilson for values of 0 and 1), or "bootstrap".
        classes: The explained class of each sample, (samples,), where there is one.
        examples: The first samples and their maps, to be shown: "count", "x", "maps" by method and their "settings".
    """

    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    interval_kind: str | None = None
    classes: Array | None = None
    examples: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._adjusted: dict[str, tuple[list[tuple[str, Result]], dict[tuple[str, str], float]]] = {}

    # ------------------------------------------------------------------ what was found
    @property
    def metrics(self) -> list[str]:
        return list(dict.fromkeys([*self.results, *self.failed]))

    @property
    def methods(self) -> list[str]:
        """All methods, in the order in which they were given, and "random" at the end."""
        named = [[*of] for of in self.failed.values()] + [[*of] for of in self.results.values()]
        found = dict.fromkeys(m for of in named for m in of if m != RANDOM)
        order = [m for m in self.settings.get("methods", []) if m in found]
        return [*dict.fromkeys([*order, *found]), *([RANDOM] if any(RANDOM in of for of in self.results.values()) else [])]

    @property
    def values(self) -> dict[str, dict[str, Array]]:
        """By metric and method: a number for each sample, NaN where it is undefined."""
        return by_method(self.results, lambda result: result.values)

    @property
    def curves(self) -> dict[str, dict[str, dict[str, Array]]]:
        """By metric and method, and name of the curve: arrays, samples first."""
        return by_method(self.results, lambda result: result.curves)

    @property
    def undefined(self) -> dict[str, dict[str, Array]]:
        """By metric and method: booleans (samples,)."""
        return by_method(self.results, lambda result: result.undefined)

    def mean(self, metric: str, method: str) -> float:
        return self._result(metric, method).mean

    def interval(self, metric: str, method: str) -> tuple[float, float]:
        """The 95 % interval of a mean, (low, high); NaN below two defined samples."""
        return self._result(metric, method).interval(self.interval_kind)

    def difference(self, metric: str, first: str, second: str) -> Difference:
        """How two methods differ, paired over samples.

        Args:
            metric, first, second: Labels; of a method with arguments its name will do where it is alone. "random" is one too.

        Raises:
            KeyError: There is no such metric or method, or no result for it.
        """
        first, second = self._label(metric, first), self._label(metric, second)
        d = _differences(self.results[metric][first], self.results[metric][second])
        table = self.adjusted(metric)
        p = table[first, second] if (first, second) in table else table.get((second, first), float("nan"))
        mean = float(d.mean()) if len(d) else float("nan")
        return Difference(mean, interval(d), p, paired(d), len(d))

    def adjusted(self, metric: str) -> dict[tuple[str, str], float]:
        """The adjusted p of every pair of methods of a metric, by Holm."""
        of = self._of(metric)
        asked, table = self._adjusted.get(metric, ([], {}))
        if [(name, id(result)) for name, result in asked] != [(name, id(result)) for name, result in of.items()]:
            names = list(of)  # computed once for the results there are; what is held keeps its id
            pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
            raw = [paired(_differences(of[a], of[b])) for a, b in pairs]
            table = dict(zip(pairs, map(float, holm(raw)), strict=True))
            self._adjusted[metric] = list(of.items()), table
        return dict(table)

    def ranking(self, metric: str) -> tuple[str | None, list[str]]:
        """The method with the best mean, and those that cannot be told from it: p is not below 0.05.

        None where less is not better by itself, or nothing is defined.
        """
        of, higher = self._of(metric), next(iter(self._of(metric).values())).higher_is_better
        means = {name: r.mean for name, r in of.items() if not np.isnan(r.mean)}
        if higher is None or not means:
            return None, []
        best = (max if higher else min)(means, key=lambda name: means[name])
        table = self.adjusted(metric)
        apart = {b if a == best else a for (a, b), p in table.items() if best in (a, b) and p < 0.05}
        return best, [name for name in means if name != best and name not in apart]

    def best(self, metric: str) -> str | None:
        """The method that is better than every other, "random" too, with an adjusted p below 0.05; or None."""
        best, ties = self.ranking(metric)
        return best if best is not None and best != RANDOM and not ties and len(self._of(metric)) > 1 else None

    def by(self, what: str = "class") -> dict[str, dict[str, dict[str, Any]]]:
        """Means by the explained class: by metric and method a dict with "classes" {class: mean} and "mean", that of these.

        Raises:
            ValueError: What is explained is not one class of each sample.
        """
        if what != "class" or self.classes is None:
            raise ValueError(f"`what` must be 'class', where every sample has one explained class. Received: {what!r}")
        table: dict[str, dict[str, dict[str, Any]]] = {}
        for metric, of in self.results.items():
            for method, result in of.items():
                if len(result.values) != len(self.classes):
                    continue
                means = {int(c): _mean(result.values[self.classes == c]) for c in np.unique(self.classes)}
                whole = _mean(np.array(list(means.values())))
                table.setdefault(metric, {})[method] = {"classes": means, "mean": whole}
        return table

    def _of(self, metric: str) -> dict[str, Result]:
        if metric not in self.results:
            raise KeyError(f"There is no result of {metric!r}; there are: {list(self.results)}")
        return self.results[metric]

    def _label(self, metric: str, method: str) -> str:
        of = self._of(metric)
        label = meant(method, of)
        if label is None:
            failed = self.failed.get(metric, {})
            why = failed.get(meant(method, failed) or "")
            raise KeyError(
                f"There is no result of {metric!r} for {method!r}" + (f": {why}" if why else f"; there are: {list(of)}")
            )
        return label

    def _result(self, metric: str, method: str) -> Result:
        return self._of(metric)[self._label(metric, method)]

    # ------------------------------------------------------------------ shown
    def table(self) -> Table:
        """Methods by metrics: mean and interval, the best marked where it is the best."""
        from innspect.evaluation.tables import scores_table

        return scores_table(self)

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table().html()

    def plot(self, metrics: Any = None, *, ground: str = "light") -> "Figure":
        """Means with their 95 % intervals, and below them curves with pointwise bands, as a matplotlib figure.

        Args:
            metrics: Which; None: all.
            ground: "light" or "dark".

        Raises:
            ImportError: matplotlib is not installed.
        """
        from innspect.evaluation.drawing import drawn

        return drawn(self, list(self.results) if metrics is None else metrics, ground)

    def to_frame(self) -> "pandas.DataFrame":
        """A row for each metric, method and sample: a pandas `DataFrame`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("`to_frame` needs pandas: `pip install pandas`. `rows()` gives the same as tuples.") from error
        return pandas.DataFrame(self.rows(), columns=["metric", "method", "sample", "value"])

    def rows(self) -> list[tuple[str, str, int, float]]:
        """(metric, method, sample, value) for all that was found."""
        return [
            (metric, method, i, float(value))
            for metric, of in self.results.items()
            for method, result in of.items()
            for i, value in enumerate(result.values)
        ]

    def summary(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By metric and method: mean, interval, how many are undefined, and whether it is the best; for JSON."""
        table: dict[str, dict[str, dict[str, Any]]] = {}
        for metric, of in self.results.items():
            best = self.best(metric)
            for method, result in of.items():
                low, high = self.interval(metric, method)
                cell = {"mean": result.mean, "low": low, "high": high, "samples": len(result.values)}
                known: dict[str, Any] = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in cell.items()}
                known |= {"undefined": int(result.undefined.sum()), "best": method == best}
                table.setdefault(metric, {})[method] = known
        return table

    def report(self, path: Path | None = None, **arguments: Any) -> Any:
        """One HTML page: table, curves with bands, and what was done; see `innspect.reports.scores.scores_page`."""
        from innspect.reports.scores import scores_report

        return scores_report(self, path, **arguments)

    # ------------------------------------------------------------------ kept
    def save(self, path: Path) -> None:
        """Write everything to one npz file, whole or not at all."""
        write_parts(path, _FORMAT, self.parts())

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            UnreadableFileError: It is damaged, no saved scores, or of a newer version.
        """
        return cls.from_parts(read_parts(path, _FORMAT, "scores"))

    def parts(self) -> dict[str, Any]:
        """Everything, as a dict that a file can hold."""
        tree = {m: {k: _plain(r) for k, r in of.items()} for m, of in self.results.items()}
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"results": tree}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> "Scores":
        """The scores of such a dict."""
        results = {m: {k: _result(r) for k, r in of.items()} for m, of in parts["results"].items()}
        return cls(**parts | {"results": results})


def _mean(values: Array) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _differences(a: Result, b: Result) -> Array:
    d = a.values - b.values
    return d[~np.isnan(d)]


def _plain(result: Result) -> dict[str, Any]:
    return {name: getattr(result, name) for name in Result.__dataclass_fields__}


def _result(parts: dict[str, Any]) -> Result:
    return replace(Result(parts["values"]), **parts)
