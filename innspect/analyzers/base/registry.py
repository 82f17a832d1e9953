"""Analyzers by name."""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from innspect.analyzers.base.documented import document
from innspect.analyzers.base.parameters import parameters, same_value
from innspect.analyzers.base.replaced import replacement
from innspect.errors import PlainKeyError, suggest, users_line
from innspect.spelling import in_words
from innspect.types import Nest

if TYPE_CHECKING:
    import keras

    from innspect.analyzers.base.analyzer import Analyzer
    from innspect.analyzers.base.config import Configured
    from innspect.graph.opened.opened_model import OpenedModel

C = TypeVar("C", bound="type[Analyzer]")

_ANALYZERS: "dict[str, tuple[type[Analyzer], dict[str, Any]]]" = {}  # name -> (class, arguments that the name fixes)

_UNLISTED: set[str] = set()


def register_analyzer(name: str, **fixed: Any) -> Callable[[C], C]:
    """Class decorator: make an `Analyzer` known as `name`, with some of its arguments fixed, and its `help` complete."""

    def register(cls: C) -> C:
        _ANALYZERS[name] = (cls, fixed)
        document(cls)
        return cls

    return register


def register_unlisted(name: str) -> Callable[[C], C]:
    """As `register_analyzer`, for what is no method by itself: it has a name in files, and `list_analyzers` leaves it out."""
    _UNLISTED.add(name)
    return register_analyzer(name)


def names_of(cls: type) -> dict[str, dict[str, Any]]:
    """The names that a class is registered by, the first one first, with the arguments that each fixes."""
    return {name: fixed for name, (known, fixed) in _ANALYZERS.items() if known is cls}


def name_of(analyzer: "Configured") -> str:
    """The name whose fixed arguments an analyzer has, that which fixes most; the name of its class where there is none."""
    missing = object()

    def fits(fixed: dict[str, Any]) -> bool:
        return all(same_value(getattr(analyzer, k, missing), v) for k, v in fixed.items())

    fitting = [name for name, fixed in names_of(type(analyzer)).items() if fits(fixed)]
    return max(fitting, key=lambda name: len(_ANALYZERS[name][1]), default=type(analyzer).__name__)


def fixed_arguments(cls: type, name: str) -> dict[str, Any]:
    """The arguments that a name fixes, where a class is registered by it."""
    return names_of(cls).get(name, {})


def list_analyzers() -> list[str]:
    """The names that `create_analyzer` knows, sorted."""
    return sorted(_ANALYZERS.keys() - _UNLISTED)


def create_analyzer(name: str, model: "keras.Layer | OpenedModel | Callable[..., Any]", **kwargs: Any) -> "Analyzer":
    """Create an analyzer by name.

    Args:
        name: One of `list_analyzers()`, such as "lrp.epsilon" or "guided_backprop"; or with arguments, "lrp.gamma:gamma=0.5".
        model: A built Keras model, or what `innspect.open_model` made of it. It is only read: weights stay shared with it,
            nothing of it is changed.
        **kwargs: The method's arguments; the class's docstring lists them.

    Returns:
        An `Analyzer`.

    Raises:
        KeyError: Unknown name; near matches are offered.
        TypeError: An argument that the method does not take, or one that it must be given is missing; or `model` is no Keras
            model.
        NotAnalyzeableModelError: The model has a layer that the method has no rule for.

    Examples:
        >>> analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1)
        >>> attribution = analyzer.analyze(x)
    """
    if not isinstance(name, str):
        told = "The name comes first: `create_analyzer(name, model)`. " if isinstance(model, str) else ""
        raise TypeError(f"`name` must be a string, such as 'lrp.epsilon'. {told}Received: {name!r:.200}")
    name, said = in_words(name)
    cls, fixed = find(name)
    twice = sorted(said.keys() & kwargs.keys())
    if twice:
        raise TypeError(f"{twice[0]!r} must be given once. Received: in the name and beside it")
    given = accepted_of(name, said | kwargs)
    check_complete(cls, [*fixed, *given], name)
    named = {"name": name} if "name" in parameters(cls) else {}
    return cls(model, **{**named, **fixed, **given})


def accepted_of(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a method less those of iNNvestigate that are ignored here, with what is to be said of them.

    Args:
        name: Of the method.
        kwargs: What the user gave.

    Raises:
        TypeError: There is one that the method does not take; near matches are offered.
    """
    cls, fixed = find(name)
    accepted, more = accepted_arguments(name), getattr(cls, "more_arguments", None)
    if more is not None:
        accepted |= more({**fixed, **kwargs})
    replaced = {k: why for k in kwargs if k not in accepted and (why := replacement(k, cls.replaced)) is not None}
    for argument in kwargs:
        if argument not in accepted and argument not in replaced:
            raise TypeError(f"{name!r} takes no argument {argument!r}. {suggest(argument, sorted(accepted))}")
    told = "; ".join(f"`{k}`: {why}" for k, why in replaced.items() if why)
    if told:
        warnings.warn(f"Arguments of iNNvestigate that are ignored here: {told}.", stacklevel=users_line())
    given = {k: v for k, v in kwargs.items() if k not in replaced}
    for caution in cls.cautions(**{**fixed, **given}):
        warnings.warn(caution, stacklevel=users_line())
    return given


def check_complete(cls: "type[Analyzer]", given: Iterable[str], name: str) -> None:
    """Raise where a method is not given what it cannot do without.

    Raises:
        TypeError: The message names it.
    """
    missing = [k for k, p in parameters(cls).items() if p.default is p.empty and k not in given]
    if missing:
        needed = " and ".join(f"`{argument}`" for argument in missing)
        raise TypeError(
            f"{name!r} needs {needed}: `create_analyzer({name!r}, model, {', '.join(f'{m}=...' for m in missing)})`. "
            f"`innspect methods {name}` tells more. Received: {', '.join(given) or 'none of it'}"
        )


def told_of(name: str, fact: str) -> Any:
    """What is known of the maps of a method with its default arguments, "signed" or "scale"; None for what is no method."""
    if name not in _ANALYZERS:
        return None
    cls, fixed = _ANALYZERS[name]
    return cls.told_with(fact, **{**cls.defaults(), **fixed})


def find(name: str) -> "tuple[type[Analyzer], dict[str, Any]]":
    """The class of a name, and the arguments that the name fixes.

    Raises:
        KeyError: Unknown name; near matches are offered.
    """
    if name not in _ANALYZERS:
        raise PlainKeyError(f"Unknown analyzer: {name!r}. {suggest(name, list_analyzers())}")
    return _ANALYZERS[name]


def accepted_arguments(name: str) -> set[str]:
    """The names of the arguments that a method takes."""
    cls, fixed = find(name)
    return set(parameters(cls)) - set(fixed)


def needed_arguments(name: str, x: Nest) -> dict[str, Any]:
    """What a method must be given, chosen to suit inputs `x`."""
    cls, fixed = find(name)
    return cls.needed(x, **fixed)


def example_arguments(name: str, x: Nest) -> dict[str, Any]:
    """Arguments with which a method does little work on inputs `x`, with all that it must be given."""
    cls, fixed = find(name)
    return cls.example(x, **fixed)


def describe(name: str) -> dict[str, str]:
    """Family, paper and needs of a registered method, as its class says; see `innspect.analyzers.base.facts`.

    Returns:
        A dict with the keys "name", "family", "paper" and "needs"; what is not known, or not needed, is "".
    """
    cls, fixed = find(name)
    return {"name": name, **cls.describe(**fixed)}
