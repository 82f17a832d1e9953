"""The time that a choice may take: kept, and parted between methods, samples and steps."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from innspect.progress import Quiet, duration

HALVES = 16  # samples, from which on half of them report
BEST = 3  # methods, which are reported on

# Samples (in both halves) and steps of curves: the first for which all methods but a few dear ones fit into the time is taken.
PLANS = ((64, 32), (64, 16), (32, 32), (32, 16), (32, 8), (16, 8), (16, 4))
_DEAR, _OF_THEM = 0.2, 0.1  # a method is dear that takes this share of the time alone; at most this share of methods is
_FEW = 6  # methods that should fit, where not all can, before more samples or steps are taken than the fewest


class OutOfTime(BaseException):
    """The time is over. Not an `Exception`, so that it is not taken for a method that fails."""


class Clock(Quiet):
    """The time that is left, told of every sample that a model was run on; past the end it raises `OutOfTime` there.

    Args:
        limit: Seconds, from now on.
        told: Called with what is done next, in words.
        now: A function that returns seconds.
    """

    def __init__(self, limit: float, told: Callable[[str], object] | None = None, now: Callable[[], float] = time.monotonic):
        self.limit, self._now, self._told = limit, now, told
        self._began = now()

    @property
    def spent(self) -> float:
        return self._now() - self._began

    @property
    def left(self) -> float:
        return self.limit - self.spent

    def say(self, note: str) -> None:
        """Tell what is done next, and about how long there is."""
        if self._told is not None:
            self._told(f"{note}; {duration(max(self.left, 0))} left")

    def advance(self, steps: int = 1) -> None:
        """Take notice of samples that are done.

        Raises:
            OutOfTime: The time is over.
        """
        if self.left <= 0:
            raise OutOfTime


@dataclass
class Plan:
    """What is done in the time: so many samples, and so many steps of each curve."""

    samples: int
    steps: int


def planned(left: float, samples: int, forward: float, costs: list[float], explanations: float) -> Plan:
    """As many samples and steps as leave time for all methods; for few methods where not even the fewest do.

    A few methods that are so dear that each would take a large share of the time do not make samples few for all others.

    Args:
        left: Seconds.
        samples: How many there are.
        forward: Seconds of a forward pass of one sample.
        costs: Seconds of one explanation by each method, the cheapest first.
        explanations: How many of them there are for each sample.
    """
    plans = [Plan(min(samples, most), steps) for most, steps in PLANS]
    for plan in plans:
        half = plan.samples if plan.samples < HALVES else plan.samples / 2
        cheap = [cost for cost in costs if half * explanations * cost <= _DEAR * left]
        counted = cheap if len(costs) - len(cheap) <= _OF_THEM * len(costs) else costs
        if fitting(plan, left, forward, counted, explanations) == len(counted):
            return plan
    few = min(len(costs), _FEW)
    return next((p for p in plans[-3:] if fitting(p, left, forward, costs, explanations) >= few), plans[-1])


def fitting(plan: Plan, left: float, forward: float, costs: list[float], explanations: float) -> int:
    """How many methods fit into a time: all pick; three, and random maps, report on the other half, where there is one."""
    alone = plan.samples < HALVES
    half = plan.samples if alone else plan.samples / 2
    row = half * (3 * plan.steps + 2) * forward  # srg and insertion of one method
    total = row
    for count, cost in enumerate(costs):
        total += row + half * explanations * cost
        best = min(count + 1, BEST)
        reserved = best * half * explanations * cost + (0 if alone else (1 + best) * row)
        if total + reserved > left:
            return count
    return len(costs)
