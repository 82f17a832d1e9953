"""Trying methods within a time: what each costs, the cheapest first, a half to pick on and a half to report on."""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from innspect.analyzers import create_analyzer
from innspect.errors import said
from innspect.evaluation.choosing.budget import Clock, OutOfTime, Plan, fitting, planned
from innspect.evaluation.choosing.decision import LEAST, Decision, decide, mean_ranks
from innspect.evaluation.choosing.offers import offers
from innspect.evaluation.choosing.truths import BESIDE, METRICS, Known, known_of
from innspect.evaluation.draws import generator
from innspect.evaluation.evaluate import Evaluation
from innspect.evaluation.maps import Maps
from innspect.evaluation.registry import find
from innspect.evaluation.results import RANDOM
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial
from innspect.types import Array

HALVES = 16  # samples, from which on half of them report
ALIKE = 1e-5  # of their largest value: maps that differ by less are taken for the same
LAST = ("mprt.efficient", "random_logit")  # asked of the best, beside
BEST = 3
NO_TIME = "there was no time for it"
_TIMED = 2  # samples
_TIMING = 0.15  # of the time: methods that are not timed by then are when their turn comes


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
        cost: Dict from a method to what it costs, in gradients.
        left: Dict from a method that was not tried to the reason.
        plan: The `Plan`.
        order: The samples used, those that pick first.
        shown: The methods to be shown: the best, and random maps.
    """

    def __init__(self, opened: Any, x: Any, clock: Clock, given: dict[str, Any]):
        self._opened, self._x, self._clock, self._given = opened, x, clock, given
        self._how = {name: given[name] for name in ("seed", "batch_size", "output", "channel_axis")}
        self.all = Trial(opened, x, 0 if given["targets"] is None else given["targets"], **self._how)
        self._known: Known | None
        self._known, self._signed = known_of(self.all, given["truth"]) if given["truth"] is not None else (None, False)
        self.pick: Evaluation | None = None
        self.confirm: Evaluation | None = None
        self.decision = Decision()
        self.order, self.plan = ordered(self.all), Plan(self.all.samples, 0)
        self.shown: list[str] = []
        self.seconds: dict[str, float] = {}  # of an explanation of one sample
        self.unit, self._forward = 0.0, 0.0
        self._ratio: list[float] = []  # what methods took in the end, as a share of what was expected
        self._base: dict[tuple[bool, str], float] = {}  # what a metric takes besides explanations
        self._seen: dict[str, Array] = {}
        self.offers, self.left = offers(opened, given["methods"], given["fit_data"], given["output"])

    @property
    def cost(self) -> dict[str, float]:
        return {label: spent / self.unit for label, spent in self.seconds.items()} if self.unit else {}

    # ------------------------------------------------------------------ the search
    def run(self) -> None:
        """Try methods until the time is over."""
        with contextlib.suppress(OutOfTime):
            self._time_methods()
            self._begin()
            self._try()
        self._decide()
        with contextlib.suppress(OutOfTime):
            self._report()

    def _decide(self) -> None:
        if self.pick is not None:
            scores = self.pick.ended()
            scores.settings["methods"] = sorted(self.offers, key=self._expected)
            self.decision = decide(scores, [*BESIDE, *LAST])
            asked = [metric for metric in self.pick.asked if metric not in LAST]
            whole = [label for label in self.offers if all(self._has(scores, metric, label) for metric in asked)]
        for label in self.offers:
            if self.pick is None or label not in whole:
                self.left.setdefault(label, NO_TIME)

    def _has(self, scores: Scores, metric: str, label: str) -> bool:
        return label in scores.results.get(metric, {}) or label in scores.failed.get(metric, {})

    # ------------------------------------------------------------------ what methods cost
    def _time_methods(self) -> None:
        rows = self.order[:_TIMED]
        targets = None if self._given["targets"] is None else self.all.neuron(rows)
        self._probe = Trial(self.all, _rows(self._x, rows), targets, progress=self._clock, **self._how)
        outputs = self._probe.outputs
        if outputs.dtype.kind not in "fiub" or not np.isfinite(outputs.astype("float64")).any():
            raise ValueError(
                f"`model` must give finite numbers, whose changes can be scored. Received: outputs of dtype {outputs.dtype}, "
                f"such as {outputs.reshape(-1)[:3]}"
            )
        self._forward = self._twice(lambda: self._probe.run("output")) / len(rows)
        self.unit = 3 * self._forward  # about that, where there is no gradient
        with contextlib.suppress(TypeError, ValueError):
            gradient = create_analyzer("gradient", self._opened)
            self.unit = self._twice(lambda: Maps(self._probe, gradient).full) / len(rows)
        for label in self.offers:
            if self._clock.spent > _TIMING * self._clock.limit:
                break
            self._time(label)

    def _twice(self, call: Callable[[], Any]) -> float:
        """Seconds of a call; the second one where the first one compiles."""
        for _ in range(1 if keras.backend.backend() == "torch" else 2):
            began = time.monotonic()
            call()
            self._clock.advance()
        return time.monotonic() - began

    def _time(self, label: str) -> None:
        """Explain a sample or two: what that costs, whether it works, and whether another method has the same maps."""
        if label in self.seconds or label in self.left:
            return
        offer, probe, found = self.offers[label], self._probe, []
        if offer.expected * self.unit * probe.samples > self._clock.left / 4:
            self.left[label] = NO_TIME
            return
        self._clock.say(f"timing {label}")
        try:
            with _unwarned():
                spent = self._twice(lambda: found.append(Maps(probe, offer.analyzer).flat()))
        except Exception as error:
            self.left[label] = said(error)
            return
        same = next((other for other, maps in self._seen.items() if _same(found[-1], maps)), None)
        if same is not None:
            self.left[label] = f"its maps are those of {same}"
            return
        self._seen[label] = found[-1]
        self.seconds[label] = spent / probe.samples

    # ------------------------------------------------------------------ samples and metrics
    def _begin(self) -> None:
        """Settle how many samples there are and how many steps, then the halves and what is asked of them."""
        costs = sorted(self._expected(label) for label, offer in self.offers.items() if label not in self.left)
        self.plan = planned(self._clock.left, self.all.samples, self._forward, costs, 3)
        if not fitting(self.plan, self._clock.left, self._forward, costs[:1], 3):
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
        waiting = sorted((label for label in self.offers if label not in self.left), key=self._expected)
        while waiting:
            label = waiting.pop(0)
            self._time(label)
            if label in self.left:
                continue
            if self._clock.spent + self._needed(self.pick, label) + self._reserved(label) > self._clock.limit:
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
        final.ended()

    def _cells(self, evaluation: Evaluation, label: str, last: bool) -> None:
        """All metrics of one method, or also those that only the best are asked for; each tells what it takes."""
        began, base, explained = time.monotonic(), 0.0, 0.0
        for metric in evaluation.asked:
            if metric in LAST and not last:
                continue
            start = time.monotonic()
            if label not in evaluation.scores.results.get(metric, {}):
                with _unwarned():
                    evaluation.cell(metric, label)
            own = time.monotonic() - start
            key = evaluation is self.pick, metric
            asks = self._explanations(evaluation, metric) * self.seconds.get(label, 0.0)
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

    def _expected(self, label: str) -> float:
        return self.seconds.get(label, self.offers[label].expected * self.unit)

    def _needed(self, evaluation: Evaluation, label: str, last: bool = False) -> float:
        """About how many seconds the metrics of a method take."""
        asked = [metric for metric in evaluation.asked if last or metric not in LAST]
        ratio = float(np.median(self._ratio)) if self._ratio else 1.0
        base = sum(self._base.get((True, metric), 0.0) for metric in asked)
        return base + ratio * sum(self._explanations(evaluation, metric) for metric in asked) * self._expected(label)

    def _reserved(self, label: str) -> float:
        """About how many seconds it takes to report on the best methods, were this one the dearest of them."""
        assert self.pick is not None
        count = min(BEST, 1 + len([m for m in self.pick.scores.methods if m != RANDOM]))
        if self.confirm is None:
            return count * len(LAST) * self.pick.trial.samples * self._expected(label)
        return sum(self._base.values()) + count * self._needed(self.confirm, label, last=True)


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """What dozens of methods warn of in their maps is measured here in another way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _rows(x: Any, rows: Array) -> Any:
    return keras.tree.map_structure(lambda a: a[rows], x)


def _same(a: Array, b: Array) -> bool:
    """Whether maps order positions in the same way: they are the same but for a factor of each sample."""
    largest = [np.abs(m).max(axis=1, keepdims=True) for m in (a, b)]
    if min(m.min() for m in largest) <= 0:
        return False
    return bool(np.abs(a / largest[0] - b / largest[1]).max() <= ALIKE)
