"""Trying methods within a time: what each costs, the cheapest first, a half to pick on and a half to report on."""

import contextlib
import time
from typing import Any

import keras
import numpy as np

from innspect.evaluation.choosing.budget import BEST, HALVES, Clock, OutOfTime, Plan, fitting, planned
from innspect.evaluation.choosing.costs import NO_TIME, TIMED, Costs, unwarned
from innspect.evaluation.choosing.decision import LEAST, Decision, decide, mean_ranks
from innspect.evaluation.choosing.offers import offers
from innspect.evaluation.choosing.resuming import KeptChoice
from innspect.evaluation.choosing.truths import BESIDE, METRICS, Known, known_of
from innspect.evaluation.draws import generator
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.registry import find
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial
from innspect.types import Array

LAST = ("mprt.efficient", "random_logit")  # asked of the best, beside


def ordered(trial: Trial) -> Array:
    """Samples in the order of their own draws, purpose "halves", wherever they stand."""
    return np.argsort([generator(trial.seed, "halves", key).random() for key in trial.keys], kind="stable")


class Search:
    """A search for the method to take. After `run`, or when it ran out of time, its attributes say what was done.

    Args:
        opened: The model, opened where that can be.
        x: Samples, NumPy arrays.
        clock: Keeps the time.
        given: The arguments of `choose`.

    Attributes:
        pick, confirm: The `Evaluation` that decides, and that which reports; None before they begin, and where there are no
            samples for it.
        decision: The `Decision`.
        costs: The `Costs` of methods.
        left: Dict from a method that was not tried to the reason.
        plan: The `Plan`.
        order: The samples used, those that pick first.
        shown: The methods to be shown: the best, and random maps.
    """

    def __init__(self, opened: Any, x: Any, clock: Clock, given: dict[str, Any]):
        self._opened, self._x, self._clock, self._given = opened, x, clock, given
        self._how = {name: given[name] for name in ("seed", "batch_size", "output", "channel_axis")}
        self._kept = KeptChoice(given["resume"])
        self.all = Trial(opened, x, 0 if given["targets"] is None else given["targets"], **self._how)
        self._known: Known | None
        self._known, self._signed = known_of(self.all, given["truth"]) if given["truth"] is not None else (None, False)
        self.pick: Evaluation | None = None
        self.confirm: Evaluation | None = None
        self.decision = Decision()
        self.order, self.plan = ordered(self.all), Plan(self.all.samples, 0)
        self.shown: list[str] = []
        self._ratio: list[float] = []  # what methods took in the end, as a share of what was expected
        self._base: dict[tuple[bool, str], float] = {}  # what a metric takes besides explanations
        self.offers, self.left = offers(opened, given["methods"], given["fit_data"], given["output"])
        self.costs = Costs(clock, self.offers, self.left)

    # ------------------------------------------------------------------ the search
    def run(self) -> None:
        """Try methods until the time is over."""
        with contextlib.suppress(OutOfTime):
            self._begin()
            self._try()
        self._decide()
        with contextlib.suppress(OutOfTime):
            self._report()
        for evaluation in (self.pick, self.confirm):
            if evaluation is not None:
                evaluation.ended()

    def _decide(self) -> None:
        if self.pick is not None:
            scores = self.pick.ended()
            scores.settings["methods"] = sorted(self.offers, key=self.costs.expected)
            self.decision = decide(scores, [*BESIDE, *LAST])
            asked = [metric for metric in self.pick.asked if metric not in LAST]
            whole = [label for label in self.offers if all(self._has(scores, metric, label) for metric in asked)]
        for label in self.offers:
            if self.pick is None or label not in whole:
                self.left.setdefault(label, NO_TIME)

    def _has(self, scores: Scores, metric: str, label: str) -> bool:
        return label in scores.results.get(metric, {}) or label in scores.failed.get(metric, {})

    # ------------------------------------------------------------------ samples and metrics
    def _begin(self) -> None:
        """Time methods, settle how many samples there are and how many steps, then the halves and what is asked of them."""
        rows = self.order[:TIMED]
        targets = None if self._given["targets"] is None else self.all.neuron(rows)
        self.costs.begin(self._opened, Trial(self.all, _rows(self._x, rows), targets, progress=self._clock, **self._how))
        known = sorted(self.costs.expected(label) for label in self.offers if label not in self.left)
        before = self._kept.plan(self.all)
        self.plan = before or planned(self._clock.left, self.all.samples, self.costs.forward, known, 3)
        self._kept.keep_plan(self.all, self.plan)
        if before is None and not fitting(self.plan, self._clock.left, self.costs.forward, known[:1], 3):
            self.left |= {label: NO_TIME for label in self.offers if label not in self.left}
        self.order = self.order[: self.plan.samples]
        count = len(self.order)
        half = count if count < HALVES else (count + 1) // 2
        if count < LEAST or len(self.left.keys() & self.offers.keys()) == len(self.offers):
            return
        self.pick = self._evaluation(self.order[:half], 0 if half < count else self._given["examples"])
        if half < count:
            self.confirm = self._evaluation(self.order[half:], self._given["examples"])

    def _evaluation(self, rows: Array, examples: int) -> Evaluation:
        x = _rows(self._x, rows)
        targets = None if self._given["targets"] is None else self.all.neuron(rows)
        known = {} if self._known is None else self._known(rows)
        if any(self.all.is_table(i) for i in range(len(self.all.arrays))):
            known["background"] = self._x if self._given["background"] is None else self._given["background"]
        methods = {label: offer.analyzer for label, offer in self.offers.items()}
        how: dict[str, Any] = {"known": known, "targets": targets, "examples": examples, "progress": self._clock}
        how["resume"] = self._kept
        evaluation = Evaluation(self._opened, x, methods, self._asked(), **how, **self._how)
        for label, (metric, arguments) in list(evaluation.asked.items()):
            why = metric.unfit(evaluation.trial) if not arguments.get("mosaics") else None
            if why:
                del evaluation.asked[label]
                evaluation.scores.left_out[label] = why
        return evaluation

    def _asked(self) -> dict[str, Any]:
        if self._given["metrics"] is None:
            curve = {"steps": self.plan.steps}
            asked: dict[str, Any] = {"srg": ("srg", curve), "insertion": ("insertion", curve), "collage": "collage"}
        else:
            asked = self._given["metrics"]
        if self._known is not None:
            names = [*METRICS, *(BESIDE if self._signed else ())]
            asked = asked | {name: name for name in names if name not in asked}
        return asked | {name: name for name in LAST if name not in asked}

    # ------------------------------------------------------------------ the two halves
    def _try(self) -> None:
        if self.pick is None:
            return
        self._cells(self.pick, RANDOM, last=False)
        waiting = sorted((label for label in self.offers if label not in self.left), key=self.costs.expected)
        while waiting:
            label = waiting.pop(0)
            if self._clock.spent + self._needed(self.pick, None) + self._reserved(None) > self._clock.limit:
                break  # not even one that costs nothing would fit
            self.costs.time(label)
            if label in self.left:
                continue
            needed = self._needed(self.pick, label) + self._reserved(label)
            if self._clock.spent + needed > self._clock.limit and not self.pick.was_kept(label):
                self.left[label] = NO_TIME
                continue
            self._clock.say(f"trying {label}")
            self._cells(self.pick, label, last=False)
            self.pick.forget(label)
            self.pick.scores.examples.get("maps", {}).pop(label, None)  # only the best are shown

    def _report(self) -> None:
        """Ask the half that had no part in the choice, and what is shown beside, of the best methods."""
        if self.pick is None:
            return
        best = [*self.decision.ranks, *mean_ranks(self.pick.scores, self.decision.used)]
        self.shown = list(dict.fromkeys(best))[:BEST]
        final = self.confirm or self.pick
        if final is self.confirm:
            self._cells(final, RANDOM, last=False)
        for label in self.shown:
            self._clock.say(f"reporting on {label}")
            final.maps(label)
            self._cells(final, label, last=True)
        final.show(RANDOM)

    def _cells(self, evaluation: Evaluation, label: str, last: bool) -> None:
        """All metrics of one method, or also those that only the best are asked for; each tells what it takes."""
        began, base, explained = time.monotonic(), 0.0, 0.0
        for metric in evaluation.asked:
            if metric in LAST and not last:
                continue
            start = time.monotonic()
            if label not in evaluation.scores.results.get(metric, {}):
                with unwarned():
                    if not evaluation.cell(metric, label):
                        continue  # it was kept, and tells nothing of the time
            own = time.monotonic() - start
            key = evaluation is self.pick, metric
            asks = self._explanations(evaluation, metric) * self.costs.seconds.get(label, 0.0)
            # What the first one compiles, the next ones do not.
            self._base[key] = min(self._base.get(key, own), max(own - asks, own / 4))
            base += self._base[key]
            explained += asks
        if label != RANDOM and explained:
            self._ratio.append(float(np.clip((time.monotonic() - began - base) / explained, 0.02, 2)))

    def _explanations(self, evaluation: Evaluation, metric: str) -> float:
        """How many samples are explained for a metric, the maps of the samples themselves counted with the first."""
        samples = evaluation.trial.samples
        first = samples if metric == next(iter(evaluation.asked)) else 0
        return first + (samples if find(evaluation.asked[metric][0].name).explains_again else 0)

    def _needed(self, evaluation: Evaluation, label: str | None, last: bool = False) -> float:
        """About how many seconds the metrics of a method take; None is one that costs nothing."""
        asked = [metric for metric in evaluation.asked if last or metric not in LAST]
        ratio = float(np.median(self._ratio)) if self._ratio else 1.0
        base = sum(self._base.get((True, metric), 0.0) for metric in asked)
        cost = 0.0 if label is None else self.costs.expected(label)
        return base + ratio * sum(self._explanations(evaluation, metric) for metric in asked) * cost

    def _reserved(self, label: str | None) -> float:
        """About how many seconds it takes to report on the best methods, were this one the dearest of them."""
        assert self.pick is not None
        count = min(BEST, 1 + len([m for m in self.pick.scores.methods if m != RANDOM]))
        if self.confirm is None:
            cost = 0.0 if label is None else self.costs.expected(label)
            return count * len(LAST) * self.pick.trial.samples * cost
        return sum(self._base.values()) + count * self._needed(self.confirm, label, last=True)


def _rows(x: Any, rows: Array) -> Any:
    return keras.tree.map_structure(lambda a: a[rows], x)
