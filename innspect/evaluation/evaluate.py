"""`innspect.evaluate`: methods by metrics, on the user's own network."""

import time
from typing import Any

import keras
import numpy as np

from innspect import study
from innspect._version import __version__
from innspect.checks import Integer, OneOf
from innspect.errors import NotAnalyzeableModelError, said
from innspect.evaluation.asking import asked_of
from innspect.evaluation.maps import Maps, RandomMaps
from innspect.evaluation.registry import Metric
from innspect.evaluation.results import RANDOM
from innspect.evaluation.resuming import Kept, key_of
from innspect.evaluation.scores import Scores
from innspect.evaluation.trial import Trial
from innspect.graph.opened.opened_model import opened_if_possible
from innspect.progress import Progress, Quiet, duration
from innspect.tables import printable
from innspect.types import Nest, Neuron, Path


def evaluate(
    model: Any,
    x: Nest,
    methods: Any,
    metrics: Any = None,
    *,
    targets: Neuron = None,
    masks: Any = None,
    boxes: Any = None,
    labels: Any = None,
    truth: Any = None,
    distractors: Any = None,
    background: Any = None,
    fit_data: Any = None,
    interval: str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    output: int | str = 0,
    channel_axis: int | str | None = "auto",
    resume: Path | None = None,
    examples: int = 4,
    verbose: int = 0,
) -> Scores:
    """Measure which explanations of a model can be believed.

    Args:
        model: A built Keras model, or its opened form, or a function, which some methods explain. It is only read.
        x: Samples, as for `analyze`.
        methods: Names of methods, pairs (name, arguments), and analyzers, in a list; or a dict from label to one of these.
        metrics: Names that `innspect.list_metrics()` has, and pairs (name, arguments), in a list; or a dict from label to
            one of these. None: "srg", "insertion", "mprt.efficient", and "collage" where x holds images of four classes
            that the model is sure of.
        targets: What is explained, as `neuron_selection` of `analyze`; None: the largest output for the clean sample.
        masks, boxes, labels, truth, distractors: What is known of the samples, for the metrics that take it.
        background: Samples that columns of a table have their means over, for the metrics that hide; None: x.
        fit_data: For the methods that must be fitted.
        interval: None for each metric's own 95 % interval, or "bootstrap".
        seed: Of everything that is drawn; all methods are given the same draws.
        batch_size, output, channel_axis: See `innspect.evaluation`.
        resume: A file that keeps every finished result. Where it exists, what it holds of the same question is not
            computed again.
        examples: How many of the first samples are kept with their maps, for `scores.report`.
        verbose: 1 shows progress.

    Returns:
        `Scores`, with a row "random": maps of noise.

    Raises:
        ValueError: An argument does not fit; the message names it. A method that fails on this model raises nothing: its
            cells are "failed", and say why.
        KeyError: An unknown method or metric; near matches are offered.

    Examples:
        >>> scores = innspect.evaluate(model, x, ["lrp.epsilon", ("integrated_gradients", {"steps": 32})])
        >>> print(scores)
    """
    known = {"masks": masks, "boxes": boxes, "labels": labels, "truth": truth, "distractors": distractors}
    known["background"] = background
    trial: dict[str, Any] = {
        "targets": targets,
        "seed": seed,
        "batch_size": batch_size,
        "output": output,
        "channel_axis": channel_axis,
    }
    how: dict[str, Any] = {"fit_data": fit_data, "interval": interval, "resume": resume, "examples": examples} | trial
    evaluation = Evaluation(model, x, methods, metrics, known=known, **how)
    if not verbose:
        return evaluation.run()
    with Progress("Evaluating", evaluation.cells) as progress:
        return evaluation.run(progress)


class Evaluation:
    """An evaluation that can be interrupted: `scores` holds what was done so far. Arguments as of `evaluate`."""

    def __init__(
        self,
        model: Any,
        x: Nest,
        methods: Any,
        metrics: Any = None,
        *,
        known: dict[str, Any],
        fit_data: Any = None,
        interval: str | None = None,
        resume: Path | Kept | None = None,
        examples: int = 4,
        **trial: Any,
    ):
        OneOf(None, "bootstrap").check("interval", interval)
        Integer(0).check("examples", examples)
        plain = callable(model) and not isinstance(model, keras.Layer)  # a function: perturbation methods explain it
        self._opened = model if plain else opened_if_possible(model)  # once, for all methods
        self.trial = Trial(self._opened, study.samples(self._opened, x), **trial)
        self._known = {name: value for name, value in known.items() if value is not None}
        self.asked, left_out = asked_of(self.trial, metrics, self._known)
        self._methods = self._analyzers(study.named(methods), fit_data)
        if RANDOM in self._methods:
            raise ValueError(f"`methods` must not be called {RANDOM!r}, which is the row of random maps. Received: {RANDOM!r}")
        settings = {"methods": list(self._methods), "samples": self.trial.samples, "seed": self.trial.seed}
        settings |= {"innspect": __version__, "output": trial.get("output", 0), "batch_size": self.trial.batch_size}
        chosen = self.trial.selection
        self.scores = Scores(
            left_out=left_out,
            settings=settings | {"targets": self.trial.selection.kind, "keys": {}},
            interval_kind=interval,
            classes=chosen.values if chosen.kind == "index" else None,
        )
        self._kept = resume if isinstance(resume, Kept) else Kept(resume)
        self._held: dict[str, Maps | str] = {}
        self._show = range(min(examples, self.trial.samples))

    @property
    def cells(self) -> int:
        """How many results there will be."""
        return len(self.asked) * (len(self._methods) + 1)

    # ------------------------------------------------------------------ the run
    def run(self, progress: Progress | Quiet | None = None) -> Scores:
        """Compute what is missing, a metric after the other; `scores` grows meanwhile."""
        progress = progress or Quiet()
        methods = [RANDOM, *self._methods]
        spent: dict[str, list[float]] = {}
        for label in self.asked:
            for method in methods:
                began = time.monotonic()
                if self.cell(label, method):
                    spent.setdefault(label, []).append(time.monotonic() - began)
                    progress.say(f"{printable(label)}, {printable(method)}; {self._remaining(label, spent, len(methods))}")
                progress.advance()
        return self.ended()

    def ended(self) -> Scores:
        """What was found so far, the row "random" the last."""
        for of in self.scores.results.values():
            if RANDOM in of:
                of[RANDOM] = of.pop(RANDOM)
        return self.scores

    def cell(self, label: str, method: str) -> bool:
        """Compute one result, or why there is none; False where it was kept from before."""
        metric, arguments = self.asked[label]
        key = self._key(label, method)
        if key in self._kept.results:
            self.scores.results.setdefault(label, {})[method] = self._kept.results[key]
            self._note(label, method, key)
            return False
        wants_others = "against" in metric.defaults and "against" not in arguments
        maps = {other: self.maps(other) for other in ([RANDOM, *self._methods] if wants_others else [method])}
        self._one(label, metric, arguments, method, maps, wants_others, key)
        return True

    def _remaining(self, label: str, spent: dict[str, list[float]], methods: int) -> str:
        """About how long the rest takes: cells of a metric that was timed as those before, others as the mean of all."""
        every = [t for times in spent.values() for t in times]
        labels = list(self.asked)
        left = (methods - len(spent[label])) * float(np.median(spent[label]))
        left += methods * (len(labels) - labels.index(label) - 1) * float(np.mean(every))
        return f"about {duration(left)} left"

    def _analyzers(self, chosen: dict[str, Any], fit_data: Any) -> dict[str, Any]:
        """Analyzers by label, or why there is none for this model."""
        made: dict[str, Any] = {}
        for label, one in chosen.items():
            try:
                made[label] = study.make(self._opened, one)
            except NotAnalyzeableModelError as error:
                made[label] = said(error)
        learning = study.unfitted({k: a for k, a in made.items() if not isinstance(a, str)})
        if fit_data is not None:
            study.fit(made, learning, fit_data, verbose=0)
        return made

    def maps(self, method: str) -> Maps | str:
        """A method's maps, or why there are none; they are held until `forget`."""
        if method not in self._held:
            self._held[method] = RandomMaps(self.trial) if method == RANDOM else self._explained(method)
        return self._held[method]

    def forget(self, method: str) -> None:
        """Hold the maps of a method no longer."""
        self._held.pop(method, None)

    def _explained(self, method: str) -> Maps | str:
        analyzer = self._methods[method]
        if isinstance(analyzer, str):
            return analyzer
        try:
            maps = Maps(self.trial, analyzer)
            self._exhibit(method, maps, {"method": analyzer.name, "signed": analyzer.signed, "scale": analyzer.scale})
        except Exception as error:
            return said(error)
        return maps

    def show(self, method: str) -> None:
        """Keep the first samples' maps of a method, to be shown; of random ones this is not done unasked."""
        maps = self.maps(method)
        if method == RANDOM and isinstance(maps, Maps):
            self._exhibit(method, maps, {"method": RANDOM, "signed": True, "scale": "pixels"})

    def _exhibit(self, method: str, maps: Maps, settings: dict[str, Any]) -> None:
        """Keep the first samples' maps, where there is one input, to be shown."""
        if len(maps.full) > 1 or not self._show:
            return
        kept, shown = self.scores.examples, slice(0, len(self._show))
        if not kept:
            kept |= {"count": len(self._show), "x": self.trial.inputs.given[0][shown], "maps": {}, "settings": {}}
        kept["maps"][method] = maps.full[0][shown].astype("float32")
        kept["settings"][method] = settings

    def _one(
        self,
        label: str,
        metric: Metric,
        arguments: dict[str, Any],
        method: str,
        maps: dict[str, Maps | str],
        wants_others: bool,
        key: str,
    ) -> None:
        mine = maps[method]
        try:
            if isinstance(mine, str):
                raise _Failed(mine)
            if wants_others:
                others = [m for name, m in maps.items() if name not in (method, RANDOM) and isinstance(m, Maps)]
                arguments = arguments | {"against": others}
            result = metric(self.trial, mine, **arguments)
        except Exception as error:
            if method == RANDOM and not isinstance(error, _Failed):
                raise  # what random maps cannot be asked lies in the arguments
            self.scores.failed.setdefault(label, {})[method] = said(error)
            return
        self.scores.results.setdefault(label, {})[method] = result
        self._note(label, method, key)
        self._kept.add(key, result, self.scores)

    def _key(self, label: str, method: str) -> str:
        """What a result is kept by; "" where nothing is, for it costs a look at all samples and outputs."""
        if not self._kept.wanted:
            return ""
        return key_of(self.trial, *self.asked[label], method, self._methods.get(method), list(self._methods))

    def _note(self, label: str, method: str, key: str) -> None:
        if self._kept.wanted:
            self.scores.settings["keys"][key] = [label, method]

    def was_kept(self, method: str) -> bool:
        """Whether all results of a method were kept from before."""
        return self._kept.wanted and all(self._key(label, method) in self._kept.results for label in self.asked)


class _Failed(Exception):
    """A method that has no maps for this model."""
