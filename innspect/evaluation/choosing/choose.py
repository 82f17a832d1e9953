"""`innspect.choose`: which method should I take for this model?"""

from collections.abc import Callable
from typing import Any

from innspect import study
from innspect._version import __version__
from innspect.checks import Integer
from innspect.evaluation.asking import labelled
from innspect.evaluation.choosing.budget import Clock
from innspect.evaluation.choosing.choice import Choice
from innspect.evaluation.choosing.search import Search
from innspect.graph.opened.opened_model import opened_if_possible
from innspect.spelling import seconds
from innspect.types import Nest, Neuron, Path


def choose(
    model: Any,
    x: Nest,
    time: float | str = "10min",
    truth: Any = None,
    *,
    methods: Any = None,
    metrics: Any = None,
    targets: Neuron = None,
    background: Any = None,
    fit_data: Any = None,
    seed: int = 0,
    batch_size: int | None = None,
    output: int | str = 0,
    channel_axis: int | str | None = "auto",
    resume: Path | None = None,
    examples: int = 3,
    verbose: int = 0,
) -> Choice:
    """Choose the method to take for a model, by measuring on samples like those that will be explained.

    Half of the samples pick, half report, so that the winner is not praised for luck: on the first half, methods are tried,
    the cheapest first; candidates are better than random maps on every metric (paired t test, Holm over the methods, p below
    0.05), and of these the one with the best mean rank is taken. The other half says how sure that is. With fewer than 16
    samples all of them pick, and nothing confirms it; fewer than 8 are too few.

    Args:
        model: A built Keras model, or its opened form. It is only read.
        x: Samples, as for `analyze`: 16 or more. Of many, as many are used as the time allows, at most 64.
        time: What it may take: seconds, or a text such as "90s", "10min" or "1.5h". Methods for which it does not suffice are
            named, and so are fewer samples and steps (of curves 32, 16, 8 or 4).
        truth: Where in each sample something was planted that the model must use: booleans (samples, *positions), or signed
            numbers of this shape, 0 where nothing is. Then relevance_mass and relevance_rank decide too, where they agree on
            the first.
        methods: As for `innspect.evaluate`; None: all that the model allows by their names alone, without the baselines.
        metrics: As for `innspect.evaluate`; None: "srg", "insertion", and "collage" where x holds images of four classes.
            Those of randomisation do not decide: maps that depend on the weights need not be true.
        targets: What is explained, as `neuron_selection` of `analyze`; None: the largest output.
        background: Samples that columns of a table have their means over; None: x.
        fit_data: For the methods that must be fitted; None: they are left out.
        seed: Of everything that is drawn, also the halves.
        batch_size, output, channel_axis: See `innspect.evaluation`.
        resume: A file that keeps every finished result, and of how many samples and steps. Where it exists, what it holds of
            the same question is not computed again: a choice that was interrupted, or whose time was over, goes on.
        examples: How many samples are kept with the maps of the best three, for `choice.report`.
        verbose: 1 tells what is done.

    Returns:
        A `Choice`: `choice.method` goes straight into `create_analyzer`; `print(choice)` says how sure it is, what it cannot
        see, and which well-known methods are no better than random maps here.

    Raises:
        ValueError: An argument does not fit; the model's outputs cannot be scored.
        KeyError: An unknown method or metric; near matches are offered.

    Examples:
        >>> choice = innspect.choose(model, x, time="10min")
        >>> print(choice)
        >>> analyzer = innspect.create_analyzer(choice.method, model, **choice.arguments)
    """
    given = {k: v for k, v in locals().items() if k not in ("model", "x", "time", "verbose")}
    return chosen(model, x, time, given, (lambda note: print(note, flush=True)) if verbose else None)


def chosen(model: Any, x: Nest, time: Any, given: dict[str, Any], told: Callable[[str], object] | None = None) -> Choice:
    """As `choose`, with its other arguments in a dict, and a function that is told what is done next."""
    clock = Clock(seconds(time), told)
    Integer(0).check("examples", given["examples"])
    given = given | {"metrics": None if given["metrics"] is None else labelled(given["metrics"])}
    opened = opened_if_possible(model)  # once, for all methods
    search = Search(opened, study.samples(opened, x), clock, given)
    search.run()
    return _choice(search, clock, given)


def _choice(search: Search, clock: Clock, given: dict[str, Any]) -> Choice:
    label = search.decision.method
    pick, confirm = (None if e is None else e.scores for e in (search.pick, search.confirm))
    if confirm is not None and not confirm.results:
        confirm = None
    offers: dict[str, dict[str, Any]] = {
        name: {
            "name": offer.name,
            "arguments": offer.arguments,
            "signed": bool(getattr(offer.analyzer, "signed", True)),
            "scale": getattr(offer.analyzer, "scale", "pixels"),
            "cost": search.costs.in_gradients(name),
        }
        for name, offer in search.offers.items()
        if name not in search.left
    }
    settings = {"time": clock.limit, "spent": clock.spent, "samples": search.all.samples, "used": search.plan.samples}
    settings |= {"steps": search.plan.steps, "seed": given["seed"], "batch_size": given["batch_size"]}
    half = search.confirm if confirm is not None else search.pick
    rows = search.order if half is None or half is search.pick else search.order[-half.trial.samples :]
    made = Choice(
        method=None if label is None else offers[label]["name"],
        arguments={} if label is None else offers[label]["arguments"],
        label=label,
        decision=search.decision,
        confirm=confirm,
        offers=offers,
        left=search.left,
        shown=search.shown,
        examples=[int(i) for i in rows[: given["examples"]]] if half is not None else [],
        settings=settings | {"innspect": __version__},
    )
    if pick is not None:
        made.pick = pick
    return made
