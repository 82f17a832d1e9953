"""How metrics are made, found and called."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from innspect._version import __version__
from innspect.checks import Range
from innspect.errors import PlainKeyError, suggest
from innspect.evaluation.maps import Maps
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.types import Array

Measure = Callable[..., Result]  # from (Trial, Maps, **arguments)
TRUTH = ("masks", "boxes", "labels", "truth", "distractors")  # what is known of the samples besides
COMMON = ("seed", "batch_size", "output", "channel_axis")

_CALL = """
    Call: `innspect.evaluation.{function}(model, x, {maps}, targets=None, *, ..., seed=0, batch_size=None, output=0,
    channel_axis="auto")`; these arguments, and the `Result`, are those of every metric: see `innspect.evaluation`.
"""


@dataclass(frozen=True)
class Metric:
    """A metric that `evaluate` knows by name.

    Attributes:
        name: With dots, such as "mprt.efficient".
        measure: The function of a `Trial` and `Maps`.
        family: What it asks: "faithfulness", "localisation", "randomisation", "robustness", "axioms", "complexity",
            "agreement".
        higher_is_better: None where less is not better by itself.
        range: What values may be.
        explains_again: Whether it needs an analyzer.
        needs: The truth that must be given; "masks or boxes" is one of both.
        interval: "t" or "wilson".
        of: What has a value: "sample" or "mosaic".
        defaults: Its own arguments and their defaults.
        ranges: What these may be.
        fits: A function of a `Trial` that says why it cannot be asked of these samples, or None; for default metrics.
    """

    name: str
    measure: Measure
    family: str
    higher_is_better: bool | None
    range: tuple[float, float] = (-np.inf, np.inf)
    explains_again: bool = False
    needs: tuple[str, ...] = ()
    interval: str = "t"
    of: str = "sample"
    defaults: dict[str, Any] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    fits: Callable[[Trial], str | None] | None = None

    @property
    def asks(self) -> str:
        """The first sentence of what it says of itself."""
        return " ".join((self.measure.__doc__ or "").split("\n\n")[0].split()).split(" Arguments as of")[0]

    def unfit(self, trial: Trial) -> str | None:
        """Why it cannot be asked of some samples, or None."""
        return None if self.fits is None else self.fits(trial)

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """All its arguments, with the defaults of those that are not given.

        Raises:
            TypeError: There is no such argument.
            ValueError: One is out of its range, or is missing.
        """
        for name in arguments:
            if name not in self.defaults:
                known = ", ".join(self.defaults) or "none"
                raise TypeError(
                    f"{self.name!r} has no argument {name!r}; it has: {known}. Received: {name}={arguments[name]!r:.50}"
                )
        whole = self.defaults | arguments
        for name in self.needs:
            if all(whole[one] is None for one in name.split(" or ")):
                name = name.replace(" or ", "` or `")
                raise ValueError(f"`{name}` must be given for {self.name!r}. Received: None")
        for name, allowed in self.ranges.items():
            if name in whole:
                allowed.check(name, whole[name])
        return whole

    def __call__(self, trial: Trial, maps: Any, **arguments: Any) -> Result:
        """The metric's `Result`, with everything about it."""
        arguments = self.check(arguments)
        found = self.measure(trial, maps, **arguments)
        values = np.asarray(found.values, "float64")
        if self.of == "sample":
            values = np.where(maps.finite, values, np.nan)
        settings = {"metric": self.name, "arguments": {k: described(v) for k, v in arguments.items()}}
        chosen = trial.selection
        settings["targets"] = chosen.kind if chosen.values is None else described(chosen.values, 2000)
        settings |= {name: getattr(trial, name) for name in COMMON} | {"innspect": __version__} | found.settings
        return replace(
            found,
            values=values,
            settings=settings,
            metric=self.name,
            higher_is_better=self.higher_is_better,
            range=self.range,
            interval_kind=self.interval,
        )


def described(value: Any, limit: int = 20) -> Any:
    """An argument, short enough to be kept in settings."""
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= limit else f"array {value.shape} {value.dtype}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): described(v, limit) for k, v in list(value.items())[:limit]}
    if isinstance(value, list | tuple):
        return [described(v, limit) for v in value] if len(value) <= limit else f"{len(value)} values"
    return value if isinstance(value, str | int | float | bool | None) else getattr(value, "__name__", repr(value)[:100])


_metrics: dict[str, Metric] = {}
ALIASES = {"randomisation": "mprt"}


def metric(
    name: str,
    family: str,
    *,
    higher: bool | None,
    range: tuple[float, float] = (-np.inf, np.inf),
    again: bool = False,
    needs: tuple[str, ...] = (),
    interval: str = "t",
    of: str = "sample",
    takes: dict[str, Any] | None = None,
    ranges: dict[str, Range] | None = None,
    fits: Callable[[Trial], str | None] | None = None,
) -> Callable[[Measure], Callable[..., Result]]:
    """Make a function `(trial, maps, **arguments)` a metric: found by name, and called with a model, samples and maps.

    Args:
        takes: The arguments that it has with others in common, with their defaults; besides its own keyword arguments.
    """

    def made(measure: Measure) -> Callable[..., Result]:
        defaults = (takes or {}) | _keywords(measure)
        described = Metric(name, measure, family, higher, range, again, needs, interval, of, defaults, ranges or {}, fits)
        _metrics[name] = described
        return public(described)

    return made


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """The keyword arguments of a function with their defaults."""
    return {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}


def public(described: Metric) -> Callable[..., Result]:
    """The function that users call: `(model, x, maps, targets=None, *, ..., seed=0, batch_size=None, ...)`."""
    kinds, common = inspect.Parameter, _keywords(Trial.__init__)

    def function(model: Any, x: Any, maps: Any, targets: Any = None, **arguments: Any) -> Result:
        shared = {k: arguments.pop(k) for k in COMMON if k in arguments}
        trial = model if isinstance(model, Trial) else Trial(model, x, targets, **shared)
        return described(trial, maps if isinstance(maps, Maps) else Maps(trial, maps), **arguments)

    first = [kinds(n, kinds.POSITIONAL_OR_KEYWORD) for n in ("model", "x", "maps")]
    first.append(kinds("targets", kinds.POSITIONAL_OR_KEYWORD, default=None))
    named = described.defaults | {name: common[name] for name in COMMON}
    own = [kinds(name, kinds.KEYWORD_ONLY, default=default) for name, default in named.items()]
    function.__signature__ = inspect.Signature([*first, *own])  # type: ignore[attr-defined]
    function.__name__ = function.__qualname__ = described.name.replace(".", "_")
    function.__module__ = described.measure.__module__
    maps = "analyzer" if described.explains_again else "maps"
    function.__doc__ = (
        inspect.cleandoc(described.measure.__doc__ or "")
        + "\n"
        + inspect.cleandoc(_CALL.format(function=function.__name__, maps=maps))
    )
    return function


def register_metric(
    name: str,
    *,
    higher_is_better: bool | None = True,
    range: tuple[float, float] = (-np.inf, np.inf),
    explains_again: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a metric of your own, for `innspect.evaluate` and the command line.

    Args:
        name: By which it is found.
        higher_is_better: None where less is not better by itself.
        range: What values may be; intervals are cut to it.
        explains_again: Whether the function is given the analyzer in place of its maps.

    Returns:
        A decorator of a function `(model, x, maps, targets, *, seed, batch_size, ...)` that returns a number for each
        sample, (samples,), NaN where it is undefined, or a `Result`. The function stays as it is.

    Raises:
        ValueError: There is a metric of this name.
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"`name` must be a string. Received: {name!r}")
    if name in metrics() or name in ALIASES:
        raise ValueError(f"`name` must be a name that no metric has. Received: {name!r}")

    def registered(function: Callable[..., Any]) -> Callable[..., Any]:
        takes = inspect.signature(function).parameters
        own = {k: v for k, v in _keywords(function).items() if k not in COMMON}

        def measure(trial: Trial, maps: Maps, **arguments: Any) -> Result:
            given: Any = trial.inputs.pack(maps.full) if not explains_again else maps.analyzer
            given = _Again(trial, maps) if given is None and maps.explains else given
            if given is None:
                raise maps.given_error()
            shared = {k: v for k, v in {"seed": trial.seed, "batch_size": trial.batch_size}.items() if k in takes}
            found = function(trial.model, trial.inputs.x, given, trial.neuron(np.arange(trial.samples)), **shared, **arguments)
            return found if isinstance(found, Result) else Result(_per_sample(name, found, trial.samples))

        _metrics[name] = Metric(name, measure, "registered", higher_is_better, range, explains_again, defaults=own)
        return function

    return registered


class _Again:
    """Random maps in an analyzer's place."""

    def __init__(self, trial: Trial, maps: Maps):
        self._trial, self._maps = trial, maps

    def analyze(self, x: Any, neuron_selection: Any = None, **arguments: Any) -> Any:
        """As of an analyzer; what is explained changes nothing."""
        inputs = self._trial.predictor.inputs(x)
        arrays = [a.reshape(len(a), *own.shape[1:]) for a, own in zip(inputs.arrays, self._trial.arrays, strict=True)]
        return inputs.pack(self._maps.again(arrays, np.arange(inputs.samples)))


def _per_sample(name: str, found: Any, samples: int) -> Array:
    values = np.asarray(found, "float64")
    if values.shape != (samples,):
        raise ValueError(f"{name!r} must return a number for each of the {samples} samples. Received: shape {values.shape}")
    return values


def metrics() -> dict[str, Metric]:
    """All metrics by name: those of this package, which imports them, and registered ones."""
    return _metrics


def list_metrics(family: str | None = None) -> list[str]:
    """The names of all metrics, or of a family, in alphabetical order."""
    families = sorted({m.family for m in metrics().values()})
    if family is not None and family not in families:
        raise ValueError(f"`family` must be None or one of {families}. Received: {family!r}")
    return sorted(name for name, m in metrics().items() if family in (None, m.family))


def find(name: Any) -> Metric:
    """The metric of a name.

    Raises:
        KeyError: There is none; the message has those with names like it.
    """
    known = metrics()
    name = ALIASES.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or name not in known:
        raise PlainKeyError(f"Unknown metric: {name!r}. {suggest(name, sorted(known))}")
    return known[name]
