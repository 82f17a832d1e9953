"""How methods, metrics, tasks and times are written: one form for functions, callbacks and the command line.

A name, "lrp.gamma"; a name with arguments, "lrp.gamma:gamma=0.5"; or a pair, ("lrp.gamma", {"gamma": 0.5}). Several of them in
a list, or in a dict by label, where {"lrp.gamma": {"gamma": 0.5}} has the name as its label. No framework is needed to read it.
"""

import ast
import re
import reprlib
from collections.abc import Callable, Iterable
from typing import Any

Pair = tuple[str, dict[str, Any]]

_UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "m": 60, "minute": 60, "h": 3600, "hour": 3600}
_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*")


def pair(given: Any, what: str) -> Pair:
    """A name and its arguments, of any of the forms.

    Args:
        given: A name, one with arguments, or a pair.
        what: The argument that it was given for, such as "methods".

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(given, str):
        return in_words(given, what)
    if not _is_pair(given):
        raise ValueError(f"`{what}` must hold names, or pairs (name, dict of arguments). Received: {reprlib.repr(given)}")
    name, said = in_words(given[0], what)
    return name, said | given[1]


def in_words(text: str, what: str = "name") -> Pair:
    """The name and the arguments of "lrp.gamma:gamma=0.5,input_layer_rule=(0,1)". A bare word is a string.

    Raises:
        ValueError: What follows the name are no arguments.
    """
    name, colon, rest = text.partition(":")
    if not colon:
        return name, {}
    try:
        call = ast.parse(f"f({rest})", mode="eval").body
        if (
            not isinstance(call, ast.Call)
            or not isinstance(call.func, ast.Name)
            or call.args
            or any(k.arg is None for k in call.keywords)
        ):
            raise ValueError
        return name, {str(k.arg): _value(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):  # all are raised by what is no Python
        raise ValueError(
            f"`{what}` must be a name, or a name with arguments such as 'lrp.epsilon:epsilon=0.1,bias=False'. "
            f"Received: {reprlib.repr(text)}"
        ) from None


def _value(node: ast.expr) -> Any:
    """A Python literal; a bare word is a string."""
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def several(given: Any, what: str, kept: Callable[[Any], bool] = lambda one: False) -> dict[str, Any] | list[Any]:
    """What was asked for, as pairs.

    Args:
        given: One of the forms, a list of them, or a dict by label.
        what: The argument that it was given for.
        kept: Whether an object is kept as it is.

    Returns:
        A list; a dict by label where labels were given.

    Raises:
        ValueError: It is none of these, or there is nothing in it.
    """

    def one_of(one: Any) -> Any:
        return one if kept(one) else pair(one, what)

    result: dict[str, Any] | list[Any]
    if isinstance(given, dict):
        wrong = [label for label in given if not isinstance(label, str)]
        if wrong:
            raise ValueError(f"`{what}` must have strings for labels. Received: {reprlib.repr(wrong[0])}")
        result = {label: one_of((label, one) if isinstance(one, dict) else one) for label, one in given.items()}
    elif isinstance(given, str) or kept(given) or _is_pair(given):
        result = [one_of(given)]
    elif isinstance(given, list | tuple):
        result = [one_of(one) for one in given]
    else:
        raise ValueError(
            f"`{what}` must be a list of names and pairs (name, dict of arguments), or a dict of these by label. "
            f"Received: {reprlib.repr(given)}"
        )
    if not result:
        raise ValueError(f"`{what}` must hold at least one. Received: none")
    return result


def methods_by_label(given: Any) -> dict[str, Any]:
    """Methods: pairs, analyzers and functions that make one, by label, which names the arguments, too.

    Raises:
        ValueError: One label occurs twice.
    """
    found = several(given, "methods", explains)
    if isinstance(found, dict):
        return found
    labels = [label_of(*one) if isinstance(one, tuple) else _called(one) for one in found]
    if len(set(labels)) < len(labels):
        raise ValueError(f"`methods` must differ from each other, or be a dict by label. Received: {labels}")
    return dict(zip(labels, found, strict=True))


def explains(given: Any) -> bool:
    """An analyzer, what a user wrote to be one, or a function."""
    return hasattr(given, "explain") or (callable(given) and not isinstance(given, type))


def _called(one: Any) -> str:
    return str(getattr(one, "name", None) or getattr(one, "__name__", type(one).__name__))


def label_of(name: str, arguments: dict[str, Any]) -> str:
    """What a method with arguments is called in tables: those that are short are named."""
    shown = {k: v for k, v in arguments.items() if isinstance(v, str | int | float | bool | tuple | None) and k != "patterns"}
    return name + ("(" + ", ".join(f"{k}={v}" for k, v in shown.items()) + ")" if shown else "")


def meant(asked: str, labels: Iterable[str]) -> str | None:
    """The label that a method is asked for by: its own, or its name, where one label alone is that with arguments; or None."""
    held = list(labels)
    named = [label for label in held if label.startswith(f"{asked}(")]
    return asked if asked in held else named[0] if len(named) == 1 else None


def _is_pair(given: Any) -> bool:
    return isinstance(given, list | tuple) and [type(each) for each in given] == [str, dict]


def seconds(given: Any) -> float:
    """A time in seconds, from a number of seconds or a text such as "90s", "10min" or "1.5 h".

    Raises:
        ValueError: It is none, or not above 0.
    """
    from innspect.checks import is_number  # which needs NumPy, as the command line's help does not

    value = float(given) if is_number(given) else None
    if isinstance(given, str):
        written = _WRITTEN.fullmatch(given.lower())
        unit = written and (_UNITS.get(written[2]) or _UNITS.get(written[2].rstrip("s")))
        value = float(written[1]) * unit if written and unit else None
    if value is None or not 0 < value < float("inf"):
        raise ValueError(
            f'`time` must be a time above 0, such as "90s", "10min", "1.5h", or a number of seconds. Received: {given!r}'
        )
    return value
