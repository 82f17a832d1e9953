"""A choice in plain words: what to take, how sure that is, what it cannot see."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from innspect.evaluation.choosing.budget import HALVES
from innspect.evaluation.choosing.costs import NO_TIME
from innspect.evaluation.choosing.decision import LEAST, SURE, lead
from innspect.evaluation.choosing.offers import WELL_KNOWN
from innspect.evaluation.results import RANDOM, Difference
from innspect.evaluation.scores import Scores
from innspect.progress import duration
from innspect.tables import Table

if TYPE_CHECKING:
    from innspect.evaluation.choosing.choice import Choice

_NAMED = 8  # methods; all that were not tried are in `left`
_ALIKE = 0.8  # rank correlation of the maps of two classes, from which on that is said


def sentences(choice: "Choice") -> list[str]:
    """Everything, the answer first."""
    return [answer(choice), *sureness(choice), *blindness(choice), *others(choice)]


def answer(choice: "Choice") -> str:
    """Which method to take."""
    found, tried = choice.decision, len(choice.order)
    if choice.label is not None:
        return f"Take {choice.label}."
    samples = choice.settings.get("samples", 0)
    if samples < LEAST:
        return f"Too few samples to choose by: {LEAST} are needed. Received: {samples}."
    if not tried:
        if choice.left and all(why != NO_TIME for why in choice.left.values()):
            return "No method could be tried on this model; the reasons are below."
        limit = duration(choice.settings.get("time", 0))
        return f"The time was too short for one method ({limit}); nothing is chosen."
    if not found.used:
        return f"Nothing is chosen, since no metric can decide: {_reasons(found.beside)}."
    compared = ", ".join(m for m in choice.order if all(m in found.p[metric] for metric in found.used))
    if not compared:
        return "The time was too short for one method; nothing is chosen."
    by = f"better than random maps by {_and(found.used)}"
    if tried == 1:
        return f"Nothing beats random here: the only method tried, {choice.order[0]}, is not {by}."
    return f"Nothing beats random here: of {tried} methods tried none is {by}."


def sureness(choice: "Choice") -> Iterator[str]:
    """How sure that is, from samples that had no part in the choice."""
    settings, used, ranks = choice.settings, choice.decision.used, choice.decision.ranks
    if choice.label is None:
        if used and choice.order:
            best = choice.order[0]
            leads = _leads(choice, choice.pick, best, RANDOM)
            yield f"The best of them by mean rank is {best}; its lead over random maps: {leads}."
            if len(used) > 1 and any(choice.decision.better[metric] for metric in used):
                alone = [f"{len(choice.decision.better[metric]) or 'none'} by {metric}" for metric in used]
                yield f"By one metric alone more can be said: better than random maps are {_and(alone)}. More samples may tell."
        return
    better = f"better than random maps by {_and(used)}"
    rank = (
        f"the only one that is {better}" if len(ranks) == 1 else f"the best by mean rank of the {len(ranks)} that are {better}"
    )
    tried = len(choice.order)
    yield f"Of {tried} methods tried it is {rank}." if tried > 1 else f"It is {better}, and no other method was tried."
    if choice.confirm is None:
        made = (
            f"with {_count(settings['samples'], 'sample')} it was made on all of them; from {HALVES} on, half are kept for that"
        )
        why = made if settings["samples"] < HALVES else "the time was over before"
        yield f"Nothing confirmed this choice: {why}."
        yield f"Its lead over random maps on the samples that decided: {_leads(choice, choice.pick, choice.label, RANDOM)}."
    else:
        against = {metric: lead(choice.confirm, metric, choice.label, RANDOM) for metric in used}
        count = _count(choice.confirm.settings["samples"], "other sample")
        known = {metric: d for metric, d in against.items() if d is not None and d.samples > 1}
        missing = [metric for metric in used if metric not in known]
        held = [metric for metric, d in known.items() if d.interval[0] > 0]
        if not known:
            yield "Nothing confirmed this choice: the time was over before."
            return
        told = f"its lead over random maps there: {_leads(choice, choice.confirm, choice.label, RANDOM)}"
        if len(held) == len(used):
            yield f"Confirmed by {count} that had no part in the choice; {told}."
        else:
            failed = [f"not by {_and(poor)}"] if (poor := [metric for metric in known if metric not in held]) else []
            failed += [f"{_and(missing)} could not be asked of them"] if missing else []
            how = f"Confirmed in part: by {_and(held)}" if held else "Not confirmed"
            yield f"{how}, {_and(failed)}, on {count} that had no part in the choice; {told}."
    yield from _runner_up(choice)


def _runner_up(choice: "Choice") -> Iterator[str]:
    second = next((label for label in choice.decision.ranks if label != choice.label), None)
    if second is None or choice.label is None:
        return
    leads = {metric: lead(choice.final, metric, choice.label, second) for metric in choice.decision.used}
    apart = [metric for metric, d in leads.items() if d is not None and d.p < SURE and d.mean > 0]
    behind = [metric for metric, d in leads.items() if d is not None and d.p < SURE and d.mean < 0]
    told = _leads(choice, choice.final, choice.label, second)
    if not told:
        return
    if not apart and not behind:
        yield f"The runner-up, {second}, cannot be told from it by these samples; lead: {told}."
    else:
        parts = [f"better by {_and(apart)}"] * bool(apart) + [f"worse by {_and(behind)}"] * bool(behind)
        yield f"Than the runner-up, {second}, it is {_and(parts)}; lead: {told}."


def blindness(choice: "Choice") -> Iterator[str]:
    """What the method taken cannot see."""
    if choice.label is None:
        return
    known, parts = choice.offers[choice.label], []
    if not known["signed"]:
        parts.append("what speaks against the class, since its maps have no sign")
    if known["scale"] != "pixels":
        parts.append("edges and single pixels, since its maps are coarse")
    alike, weights = (_mean(choice, metric) for metric in ("random_logit", "mprt.efficient"))
    if alike >= _ALIKE:
        parts.append(f"why this class and not another, whose map is nearly the same (rank correlation {alike:.2f})")
    if parts:
        yield f"What it cannot see: {'; '.join(parts)}."
    else:
        found = ", are fine, and differ between classes" if alike == alike else " and are fine; other classes were not asked"
        yield f"What it cannot see: nothing of that kind was found; its maps have a sign{found}."
    if weights == weights:
        yield f"Beside, not in the rank: random weights change the entropy of its maps by {weights:+.0%} (mprt.efficient)."


def _mean(choice: "Choice", metric: str) -> float:
    """A metric's mean for the method taken, NaN where there is none."""
    of = choice.final.results.get(metric, {})
    return of[choice.label].mean if choice.label in of else float("nan")


def others(choice: "Choice") -> Iterator[str]:
    """Which well-known methods are no better than random maps, and what was not tried."""
    found = choice.decision
    poor = {label: found.not_better(label) for label in choice.order if label not in found.ranks}
    named = {label: choice.offers.get(label, {}).get("name") for label in poor}
    known = [label for label in poor if poor[label] and named[label] in WELL_KNOWN]
    if known:
        told = ", ".join(f"{label} ({', '.join(poor[label])})" for label in known)
        yield f"Well-known, and no better than random maps here, as far as these samples tell: {told}."
    late = [label for label, why in choice.left.items() if why == NO_TIME]
    if late:
        first = sorted(late, key=lambda label: label not in WELL_KNOWN)[:_NAMED]
        more = f" and {len(late) - len(first)} more" if len(late) > len(first) else ""
        yield f"Not tried for want of time: {', '.join(first)}{more}."
    if found.beside and (found.used or choice.order):
        told = _reasons({m: why for m, why in found.beside.items() if why != "it was not to decide"})
        if told and found.used:
            yield f"Shown beside, and not used: {told}."


def summary_table(choice: "Choice") -> Table:
    """The methods tried, the best first: what each costs, its mean rank, and its scores on the samples that decided."""
    found, scores = choice.decision, choice.pick
    shown = [metric for metric in scores.results if metric in found.used or found.beside.get(metric) is not None]
    rows = []
    for method in [*choice.order, RANDOM] if choice.order else []:
        cost = choice.offers.get(method, {}).get("cost")
        rank = found.ranks.get(method)
        cells = [_cell(choice, metric, method) for metric in shown]
        rows.append([method, "" if cost is None else f"{cost:.2g}", "" if rank is None else f"{rank:.3g}", *cells])
    heads = [m + (" (lower)" if _lower(choice, m) else "") for m in shown]
    return Table(["method", "cost", "mean rank", *heads], rows, "\n".join(_notes(choice)), left=1)


def _cell(choice: "Choice", metric: str, method: str) -> str:
    of = choice.pick.results[metric]
    if method not in of:
        return "failed" if method in choice.pick.failed.get(metric, {}) else "-"
    mark = " *" if method in choice.decision.better.get(metric, []) else ""
    return ("undefined" if np.isnan(of[method].mean) else f"{of[method].mean:.3g}") + mark


def _notes(choice: "Choice") -> Iterator[str]:
    count = choice.pick.settings.get("samples", 0)
    steps = f"; curves of {choice.settings['steps']} steps" * bool(choice.settings["steps"])
    yield f"cost in gradients; means over the {_count(count, 'sample')} that decided{steps}"
    yield "* better than random maps: p < 0.05, paired t test, Holm over the methods of a metric"
    told: dict[str, list[str]] = {}
    for label, why in choice.left.items():
        if why != NO_TIME:
            told.setdefault(why, []).append(label)
    for why, labels in told.items():
        yield f"not tried: {', '.join(labels)}: {why}"
    for metric, why in choice.pick.left_out.items():
        yield f"{metric} left out: {why}"


def _lower(choice: "Choice", metric: str) -> bool:
    of = choice.pick.results[metric]
    return next(iter(of.values())).higher_is_better is False


def _leads(choice: "Choice", scores: Scores, method: str, other: str) -> str:
    """By how much a method is better than another by each metric used, below 0 where it is worse, in words."""
    known = {metric: lead(scores, metric, method, other) for metric in choice.decision.used}
    return ", ".join(f"{metric} {_amount(d)}" for metric, d in known.items() if d is not None and d.samples)


def _amount(d: Difference) -> str:
    low, high = d.interval
    return f"{d.mean:.3g}" + ("" if np.isnan(low) else f" [{low:.2g}, {high:.2g}]")


def _reasons(beside: dict[str, str]) -> str:
    told: dict[str, list[str]] = {}
    for metric, why in beside.items():
        told.setdefault(why, []).append(metric)
    return "; ".join(f"{_and(names)}, since {why}" for why, names in told.items())


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
