"""Classes by iNNvestigate's names, for scripts that create, compare and subclass them.

Each stands for a method of `innspect.analyzers`: called with a model it gives the analyzer that `create_analyzer` makes of the
method's name, whose class is the method's own; `isinstance` holds for that one. A subclass is one of the method's class. What
iNNvestigate calls to compute a map is not called here, so a subclass that computes by it is refused.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from innspect.analyzers import Analyzer, ReverseAnalyzer
from innspect.analyzers.averaging.base import Averaging
from innspect.analyzers.averaging.noise import Noisy
from innspect.analyzers.averaging.path import OnPath
from innspect.analyzers.base.parameters import same_value
from innspect.analyzers.base.registry import accepted_of, create_analyzer, find

# What a subclass of iNNvestigate computes, saves or learns by.
_HOOKS = frozenset(
    "_create_analysis _reverse_mapping _default_reverse_mapping _head_mapping _prepare_model _postprocess_analysis "
    "_handle_debug_output _gradient_reverse_mapping create_analyzer_model create_rule_mapping _get_state _state_to_kwargs "
    "_fit_generator _prepare_pattern _keras_get_constant_inputs".split()
)


@dataclass(frozen=True)
class Meaning:
    """What a class by a name of iNNvestigate's stands for.

    Attributes:
        real: The class of innspect's.
        family: That of whose instances `isinstance` holds, `real` or a base of it.
        method: The name that `create_analyzer` knows, or None for a base class.
        fixed: The arguments that the name fixes.
        told: From arguments by position and by name to the model, and what is given, by name.
    """

    real: Any
    family: type
    method: str | None
    fixed: dict[str, Any]
    told: Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, dict[str, Any]]]


_MEANINGS: dict[type, Meaning] = {}


def meaning_of(cls: type) -> Meaning | None:
    """What a class stands for, where it is one of those here; None for a subclass."""
    return _MEANINGS.get(cls)


class Named(type(Analyzer)):  # type: ignore[misc]  # the class of the analyzers' class
    """The class of the classes that stand for a method."""

    def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any], meaning: Any = None, **kwargs: Any) -> Any:
        if meaning is None:
            _check_hooks(name, members)
        made = super().__new__(cls, name, bases, members, **kwargs)
        if meaning is not None:
            _MEANINGS[made] = meaning
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any], meaning: Any = None, **kwargs: Any):
        super().__init__(name, bases, members, **kwargs)

    def __call__(cls: Any, *args: Any, **kwargs: Any) -> Any:
        meaning = meaning_of(cls)
        if meaning is None:
            return super().__call__(*args, **kwargs)
        if meaning.method is None:
            raise TypeError(
                f"`{cls.__name__}` is the base of methods, and none itself. Create one of them, or derive from "
                "`innspect.analyzers.Analyzer` as docs/extending.md tells."
            )
        model, given = meaning.told(args, kwargs)
        return create_analyzer(meaning.method, model, **given)

    def __instancecheck__(cls: Any, instance: Any) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        meaning = meaning_of(cls)
        if meaning is None or meaning.family not in type(instance).__mro__:
            return False
        return all(same_value(getattr(instance, k, None), v) for k, v in meaning.fixed.items())

    def __subclasscheck__(cls: Any, other: Any) -> bool:
        if type.__subclasscheck__(cls, other):
            return True
        meaning = meaning_of(cls)
        return meaning is not None and not meaning.fixed and meaning.real in other.__mro__


def _check_hooks(name: str, members: dict[str, Any]) -> None:
    own = sorted(_HOOKS & members.keys())
    if own:
        raise TypeError(
            f"The class {name!r} computes by {own[0]!r}, which iNNvestigate calls, and innspect does not. Derive from "
            "`innspect.analyzers.ReverseAnalyzer` and give a rule for each layer, or from `innspect.analyzers.Analyzer` and "
            "give `attribute`: docs/extending.md tells how."
        )


class _Private:
    """What subclasses of iNNvestigate's classes read."""

    @property
    def _model(self: Any) -> Any:
        return self.model

    @property
    def _neuron_selection_mode(self: Any) -> str:
        return self.neuron_selection_mode or "max_activation"

    @property
    def _subanalyzer(self: Any) -> Any:
        return self.inner

    @property
    def _augment_by_n(self: Any) -> int:
        return self.num_samples if isinstance(self, Noisy) else self.augment_by_n


def class_of(name: str, method: str, *positional: str, of_analyzer: bool = False, **defaults: Any) -> Any:
    """The class by a name that stands for a method.

    Args:
        name: iNNvestigate's name of the class.
        method: The name that `create_analyzer` knows.
        *positional: Names of the arguments that may be given by position, after the model.
        of_analyzer: Whether the first argument is an analyzer, which the method is then of.
        **defaults: Of iNNvestigate's arguments, where they are others here.
    """
    real, fixed = find(method)
    family = {"wrapper": Averaging, "integrated_gradients": OnPath, "smoothgrad": Noisy}.get(method, real)
    return _made(name, real, family if of_analyzer else real, method, fixed, positional, of_analyzer, defaults)


def base_of(name: str, real: type) -> Any:
    """The class by a name that stands for a base class, which is no method."""
    return _made(name, real, real, None, {}, (), False, {})


def _made(
    name: str,
    real: Any,
    family: type,
    method: str | None,
    fixed: dict[str, Any],
    positional: tuple[str, ...],
    of_analyzer: bool,
    defaults: dict[str, Any],
) -> Any:
    def told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The model, and what is given, by name."""
        names = ("subanalyzer" if of_analyzer else "model", *positional)
        given = dict(zip(names, args, strict=False))
        twice = [k for k in given if k in kwargs]
        if len(args) > len(names) or twice:
            raise TypeError(
                f"`{name}` takes ({', '.join(names)}) by position. "
                + (f"Received: {twice[0]!r} twice" if twice else f"Received: {len(args)} arguments")
            )
        given = {**defaults, **given, **kwargs}
        if not of_analyzer or "of" in given:
            if "model" not in given and "subanalyzer" in given:
                given["model"] = given.pop("subanalyzer")
            if "model" not in given:
                raise TypeError(f"`{name}` must be given a model. Received: {sorted(given)}")
            return given.pop("model"), given
        inner = given.pop("subanalyzer", None)
        given.pop("model", None)  # iNNvestigate ignores it, too
        if not isinstance(inner, Analyzer):
            raise TypeError(f"`subanalyzer` must be an analyzer. Received: {inner!r}")
        return inner.opened or inner.model, {**given, "of": inner}

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        model, given = told(args, kwargs)
        if method is not None:
            known = {k: given.pop(k) for k in [*fixed, "name"] if k in given}
            given = {**fixed, **accepted_of(method, given), **known}
        super(made, self).__init__(model, **given)  # type: ignore[arg-type]  # a class

    init.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # all else is handed on
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY),
            inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD),
        ]
    )
    described = f"iNNvestigate's `{name}`: " + (f"the method {method!r}." if method else "a base of the methods.")
    members = {
        "__init__": init,
        "__doc__": described + f" See `{real.__module__}.{real.__qualname__}`.",
        "__module__": "innspect.analyzer",
    }
    made = Named(name, (_Private, real), members, meaning=Meaning(real, family, method, fixed, told))
    return made


AnalyzerBase = base_of("AnalyzerBase", Analyzer)
AnalyzerNetworkBase = base_of("AnalyzerNetworkBase", Analyzer)
ReverseAnalyzerBase = base_of("ReverseAnalyzerBase", ReverseAnalyzer)


class TrainerMixin:
    """Nothing: every analyzer here has `fit` and `fit_generator`, and those that learn from data use them."""


class OneEpochTrainerMixin(TrainerMixin):
    """As `TrainerMixin`."""
