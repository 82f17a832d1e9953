"""The pattern types that a user can ask for, and which pattern of a layer each means."""

from collections.abc import Iterable

from innspect.checks import OneOf

TYPES = ("auto", "linear", "relu", "relu.positive", "relu.negative")
KINDS = ("linear", "positive", "negative")


def checked_types(pattern_type: str | Iterable[str]) -> tuple[str, ...]:
    """The asked types as a tuple.

    Raises:
        ValueError: One of them is unknown.
    """
    types = tuple(pattern_type) if isinstance(pattern_type, list | tuple | set | frozenset) else (pattern_type,)
    unknown = [t for t in types if not OneOf(*TYPES).holds(t)]
    if unknown or not types:
        raise ValueError(
            f"`pattern_type` must be one of {', '.join(map(repr, TYPES))}, or a list of them. Received: {pattern_type!r}"
        )
    return tuple(dict.fromkeys(types))


def kind_of(pattern_type: str, gated: bool) -> str:
    """Which of a layer's patterns a type means; `gated` says whether a ReLU follows the layer."""
    if pattern_type == "auto":
        return "positive" if gated else "linear"
    return {"linear": "linear", "relu.negative": "negative"}.get(pattern_type, "positive")


def kinds_of(types: Iterable[str], gated: bool) -> tuple[str, ...]:
    """The patterns of a layer that some types need, in the order of `KINDS`."""
    wanted = {kind_of(t, gated) for t in types}
    return tuple(k for k in KINDS if k in wanted)
