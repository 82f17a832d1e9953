"""What innspect raises on purpose, and what it says."""

import difflib
import inspect
import re
import sys
from collections.abc import Iterable

_BETWEEN = {__name__.partition(".")[0], "keras", "optree", *sys.stdlib_module_names}  # a user's line and a warning's


class NotAnalyzeableModelError(ValueError):
    """A model, or one of its layers, that the chosen method has no rule for."""


class IncompleteAttributionWarning(UserWarning):
    """Attributions that should sum to the difference of two outputs miss a good part of it."""


class PlainKeyError(KeyError):
    """A `KeyError` that prints its message as it is, without quotes and escapes."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def said(error: BaseException) -> str:
    """What an error says, in one line: Keras wraps the reason in what it was doing."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).strip()
    if text.startswith("Could not automatically infer the output shape"):
        text = text.partition("Error encountered:")[2].strip()
    if text.startswith("Exception encountered when calling"):
        text = text.partition("\n")[2].partition("Arguments received by")[0].strip()
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def users_line() -> int:
    """The `stacklevel` with which a warning, given by who asks, points at the line outside innspect that led here.

    Passed over is what lies between: the standard library, such as a cached property, and Keras, such as `fit` and callbacks.
    """
    level, frame = 1, inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    return level


def some_of(numbers: Iterable[int], count: int, first: int = 0) -> str:
    """How many of so many samples are meant, and the numbers of the first ten, where that of the first sample is given."""
    known = list(numbers)
    listed = ", ".join(str(first + number) for number in known[:10]) + (", ..." if len(known) > 10 else "")
    return f"{len(known)} of {count} samples (number {listed})"


def suggest(word: object, known: Iterable[str]) -> str:
    """A sentence with near matches: names that are the same but for capitals, dots and dashes, or begin so, are the nearest.

    Where nothing is near, the names there are; of many, those with a common beginning ("lrp.") as one.
    """
    listed = list(known)
    near = _near(str(word), listed)
    if near:
        return "Did you mean " + ", ".join(repr(n) for n in near) + "?"
    listed = _grouped(listed) if len(listed) > _MANY else list(map(repr, listed))
    return "There are " + ", ".join(listed[:_MANY]) + (", ..." if len(listed) > _MANY else "") + "."


_MANY = 40  # names that are listed


def _near(word: str, known: list[str]) -> list[str]:
    """Up to four names like a word, the nearest first."""
    short_of = {name: bare(name) for name in known}
    short = bare(word)
    if not short:
        return []
    same = [name for name, text in short_of.items() if text == short]
    initials = [name for name in known if len(short) > 1 and "".join(re.findall(r"(?<![^\W_])[^\W_]", name.lower())) == short]
    starting = [name for name, text in short_of.items() if len(short) > 2 and text.startswith(short)]
    scored = sorted(known, key=lambda name: -_likeness(short, short_of[name]))
    alike = [name for name in scored[:4] if _likeness(short, short_of[name]) >= 0.6]
    within = [name for name, text in short_of.items() if len(short) > 3 and short in text]
    return list(dict.fromkeys([*same, *initials, *starting, *alike, *within]))[:4]


def bare(text: str) -> str:
    """Only letters and digits, small; "++" in words."""
    return re.sub(r"[\W_]+", "", text.replace("+", "plus")).lower()


def _likeness(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b).ratio()


def _grouped(names: list[str]) -> list[str]:
    """Names in quotes; many of a kind ("lrp.epsilon", "lrp.gamma") as one: 'lrp.*' (28)."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.partition(".")[0], []).append(name)
    return [told for kind, of in kinds.items() for told in (map(repr, of) if len(of) < 5 else [f"'{kind}.*' ({len(of)})"])]
