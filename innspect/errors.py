"""What innspect raises on purpose, and what it says."""

import difflib
import inspect
import re
from collections.abc import Iterable


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
    """The `stacklevel` with which a warning, given by who asks, points at the line outside innspect that led here."""
    level, frame = 1, inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    return level


def some_of(numbers: Iterable[int], count: int) -> str:
    """How many of so many samples are meant, and the numbers of the first ten."""
    known = list(numbers)
    listed = ", ".join(map(str, known[:10])) + (", ..." if len(known) > 10 else "")
    return f"{len(known)} of {count} samples (number {listed})"


def suggest(word: object, known: Iterable[str]) -> str:
    """A sentence with near matches."""
    near = difflib.get_close_matches(str(word), list(known), n=4, cutoff=0.5)
    if near:
        return "Did you mean " + ", ".join(repr(n) for n in near) + "?"
    listed = list(known)
    return "There are " + ", ".join(repr(n) for n in listed[:20]) + (", ..." if len(listed) > 20 else "") + "."
