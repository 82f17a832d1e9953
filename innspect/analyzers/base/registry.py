"""Analyzers by name."""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from innspect.analyzers.base.documented import document
from innspect.analyzers.base.parameters import parameters, same_value
from innspect.errors import PlainKeyError, suggest
from innspect.spelling import in_words
from innspect.types import Nest

if TYPE_CHECKING:
    import keras

    from innspect.analyzers.base.analyzer import Analyzer
    from innspect.analyzers.base.config import Configured
    from innspect.graph.opened.opened_model import OpenedModel

C = TypeVar("C", bound="type[Analyzer]")

_ANALYZERS: "dict[str, tuple[type[Analyzer], dict[str, Any]]]" = {}  # name -> (class, arguments that the name fixes)

# iNNvestigate's arguments that have no meaning here, with what replaces them.
_REPLACED = {
    "bn_layer_rule": "batch normalization is folded or answered exactly",
    "allow_lambda_layers": None,  # accepted: Lambda layers are opened
}


def register_analyzer(name: str, **fixed: Any) -> Callable[[C], C]:
    """Class decorator: make an `Analyzer` known as `name`, with some of its arguments fixed, and its `help` complete."""

    def register(cls: C) -> C:
        _ANALYZERS[name] = (cls, fixed)
        document(cls)
        return cls

    return register


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
    return sorted(_ANALYZERS)


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
    given = _without_replaced(said | kwargs)
    _check_arguments(name, cls, fixed, given)
    named = {"name": name} if "name" in parameters(cls) else {}
    return cls(model, **{**named, **fixed, **given})


def _without_replaced(kwargs: dict[str, Any]) -> dict[str, Any]:
    def is_replaced(argument: str) -> bool:
        return argument in _REPLACED or (argument.startswith("reverse_") and argument != "reverse_project_bottleneck_layers")

    dropped = {k: v for k, v in kwargs.items() if is_replaced(k)}
    named = {k: _REPLACED.get(k, "explain(at=...) returns signals, conservation() checks them") for k in dropped}
    told = "; ".join(f"`{k}`: {why}" for k, why in named.items() if why)
    if told:
        warnings.warn(f"Arguments of iNNvestigate that are ignored here: {told}.", stacklevel=3)
    return {k: v for k, v in kwargs.items() if k not in dropped}


def _check_arguments(name: str, cls: "type[Analyzer]", fixed: dict[str, Any], given: dict[str, Any]) -> None:
    accepted = accepted_arguments(name)
    more = getattr(cls, "more_arguments", None)
    if more is not None:
        accepted |= more({**fixed, **given})
    for argument in given:
        if argument not in accepted:
            raise TypeError(f"{name!r} takes no argument {argument!r}. {suggest(argument, sorted(accepted))}")
    check_complete(cls, [*fixed, *given], name)


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
