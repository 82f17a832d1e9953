"""Names of the neurons of an output: read from what people have, found by what people say.

Labels are lists, dicts, files, or a `decode_predictions` of `keras.applications`. A name may hold several synonyms with commas
between them, as WordNet's do: "tabby, tabby cat". What a person says is compared without regard to case, and an underscore is
a space, since Keras writes "tabby_cat".
"""

import json
import os
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from innspect.errors import suggest
from innspect.files import UnreadableFileError, readable

if TYPE_CHECKING:  # for it imports NumPy, which the command line does without until it works
    from innspect.types import Path

    Given: TypeAlias = "Labels | Path | Iterable[Any] | Mapping[Any, Any] | Callable[..., Any] | None"

_IMAGENET = 1000  # classes that `decode_predictions` takes
_LARGEST = 1 << 24  # bytes of a file of labels at most
_LISTED = 20  # neurons that an error lists at most
_WORDNET = re.compile(r"[nvars]\d{8}")  # WordNet's own number of what a name means, "n02123045"
_TABLE = re.compile(r"""["']?\d+["']?\s*[,;:=].*|.*[,;:=]\s*["']?\d+["']?,?|.*\t.*""")  # a line with a number and a name
_EMPTY = "a name that is not empty"


class Labels(tuple[str, ...]):
    """A name for each neuron along an output's last axis, in their order.

    Args:
        names: The names, strings.
        file: The file they come from, which errors name.
        lines: Whether that has one a line.

    Raises:
        ValueError: There is none, or one that is empty or no string.
    """

    file: str | None
    lines: bool

    def __new__(cls, names: Iterable[str], file: str | None = None, lines: bool = False) -> Self:
        made = super().__new__(cls, names)
        made.file, made.lines = file, lines
        if not made:
            raise made._refused("at least one name", "none")
        for number, name in enumerate(made):
            if not isinstance(name, str) or not name.strip():
                raise made._refused(_EMPTY, f"{_shown(name)} {made._place(number)}")
        return made

    def fitting(self, count: int | None) -> Self:
        """These labels, where there are `count` of them; None where that is not known.

        Raises:
            ValueError: There are more, or fewer; the message names the first too many, or the last.
        """
        if count is None or len(self) == count:
            return self
        told = "the first too many" if len(self) > count else "the last"
        number = count if len(self) > count else len(self) - 1
        expected = f"{count} names, one for each neuron of the output's last axis"
        raise self._refused(expected, f"{len(self)}, {told} {_shown(self[number])} {self._place(number)}")

    def find(self, word: str) -> int:
        """The number of the neuron that a person calls `word`: its name, a synonym in it, or a beginning that only it has.

        Raises:
            ValueError: None is called so, or several are; the message lists their numbers.
        """
        said = _plain(word) if isinstance(word, str) else ""
        if not said:
            raise ValueError(f"A neuron is found by {_EMPTY}. Received: {word!r}")
        names = [{_plain(part) for part in (name, *name.split(","))} - {""} for name in self]
        found = [i for i, parts in enumerate(names) if said in parts]
        found = found or [i for i, parts in enumerate(names) if any(part.startswith(said) for part in parts)]
        if not found:
            synonyms = {part.strip(): None for name in self for part in name.split(",") if part.strip()}
            raise ValueError(f"No label is {word!r}, or begins so. {suggest(word, synonyms)}")
        if len(found) > 1:
            listed = ", ".join(f"{i} {self[i]!r}" for i in found[:_LISTED])
            more = f", and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
            raise ValueError(
                f"Several labels are {word!r}, or begin so: give the number. Received: {word!r} for {listed}{more}"
            )
        return found[0]

    def named(self, number: int) -> str:
        """A neuron's name, with its number where another one has the same name."""
        name = self[number]
        return f"{name} ({number})" if self.count(name) > 1 else name

    def short(self, number: int) -> str:
        """A neuron's first synonym, with its number where another one begins with the same."""
        first = self[number].split(",")[0]
        return f"{first} ({number})" if sum(name.split(",")[0] == first for name in self) > 1 else first

    def _place(self, number: int) -> str:
        return f"in line {number + 1}" if self.lines else f"at {number}"

    def _refused(self, expected: str, received: str) -> ValueError:
        return _unreadable(self.file, expected, received) if self.file else _wrong(expected, received)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self), self.file, self.lines)


def name_of(number: int, labels: Labels | None) -> str:
    """What a neuron is called, with labels or without."""
    return f"output {number}" if labels is None else labels.named(number)


def number_of(said: str | int, labels: Labels | None) -> int:
    """The number of a neuron that is given by number, or by name where there are labels."""
    if not isinstance(said, str):
        return said
    if labels is None:
        raise ValueError(f"A neuron is found by name only where there are `labels`. Received: {said!r}")
    return labels.find(said)


def read(given: "Given", count: int | None = None) -> Labels | None:
    """Labels in any of their forms.

    Args:
        given: None; a list of names, or of the synonyms of each; a dict from number to name, or from name to number; the
            content of `imagenet_class_index.json`, a dict from number to WordNet id and name; the path of a file, text with
            one name a line, after a WordNet id perhaps, or JSON of one of these; or a function such as
            `keras.applications.vgg16.decode_predictions`.
        count: How many there must be, the length of the output's last axis; None where that is not known.

    Returns:
        `Labels`, or None where `given` is.

    Raises:
        ValueError: There are more or fewer names, an empty one, a number twice or not at all; for a file the message has the
            line.
        UnreadableFileError: A file holds something else.
        FileNotFoundError: There is no such file.
    """
    if given is None:
        return None
    if isinstance(given, Labels):
        return given.fitting(count)
    if isinstance(given, str | os.PathLike):
        return _of_file(readable(given)).fitting(count)
    if callable(given):
        return _decoded(given, count or _IMAGENET).fitting(count)
    return _of_nest(given).fitting(count)


def _plain(name: str) -> str:
    """A name as names are compared."""
    return " ".join(name.replace("_", " ").split()).casefold()


# ------------------------------------------------------------------ lists and dicts
def _of_nest(given: Any, file: str | None = None) -> Labels:
    if isinstance(given, Mapping):
        given = _in_order(given)
    elif isinstance(given, bytes) or not isinstance(given, Iterable):
        raise _wrong("a list, a dict, a file or a function", _shown(given))
    return Labels([_name(entry) for entry in given], file)


def _name(entry: Any) -> Any:
    """The name in an entry: a string, a list of synonyms, or a WordNet id and a name; anything else as it is."""
    if isinstance(entry, str) or not isinstance(entry, list | tuple) or not entry:
        return entry.strip() if isinstance(entry, str) else entry
    if len(entry) > 1 and isinstance(entry[0], str) and _WORDNET.fullmatch(entry[0]):
        return entry[1]
    return ", ".join(entry) if all(isinstance(part, str) for part in entry) else entry


def _in_order(given: Mapping[Any, Any]) -> list[Any]:
    """What a dict says of the numbers from 0 on: from number to name, or, as Keras' `class_indices`, from name to number."""
    pairs = list(given.items())
    if (
        pairs
        and all(_whole(number) is not None for _, number in pairs)
        and not all(_whole(key) is not None for key, _ in pairs)
    ):
        pairs = [(number, name) for name, number in pairs]
    names: dict[int, Any] = {}
    for key, name in pairs:
        number = _whole(key)
        if number is None or number in names:
            raise _wrong(f"a dict with each number from 0 to {len(pairs) - 1} once", f"{_shown(key)} for {_shown(name)}")
        names[number] = name
    for number in range(len(names)):
        if number not in names:
            raise _wrong(f"a dict with each number from 0 to {len(names) - 1} once", f"none for {number}")
    return [names[number] for number in range(len(names))]


def _whole(key: Any) -> int | None:
    """A number from a key, which JSON keeps as text; None where it is none."""
    if isinstance(key, str):
        return int(key) if key.isascii() and key.isdecimal() else None
    return int(key) if hasattr(key, "__index__") and not isinstance(key, bool) else None


def _decoded(decode: Callable[..., Any], count: int) -> Labels:
    """The names by which a `decode_predictions` calls each class alone."""
    import numpy as np

    rows = list(decode(np.eye(count, dtype="float32"), top=1))
    if len(rows) != count:
        raise _wrong(f"a function that decodes each of {count} predictions", f"{len(rows)} answers")
    return Labels([_name(row[0]) for row in rows])


# ------------------------------------------------------------------ files
def _of_file(path: str) -> Labels:
    with open(path, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _unreadable(path, f"at most {_LARGEST} bytes", "more")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unreadable(path, "text in UTF-8", f"{error.reason} in line {line}") from error
    if "\0" in text:
        raise _unreadable(path, "text", f"a zero byte in line {text[: text.index(chr(0))].count(chr(10)) + 1}")
    as_json = path.lower().endswith(".json") or text.lstrip().startswith("{")
    return _of_json(text, path) if as_json or _is_json_list(text) else _of_lines(text, path)


def _is_json_list(text: str) -> bool:
    """Whether text is a list in JSON: a name may begin with a bracket, too, such as "[UNK]"."""
    try:
        return text.lstrip().startswith("[") and isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _of_json(text: str, path: str) -> Labels:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise _unreadable(path, "JSON", f"{error.msg} in line {error.lineno}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, "JSON", str(error)) from error
    if not isinstance(content, list | dict):
        raise _unreadable(path, "a list or a dict of names", _shown(content))
    try:
        return _of_nest(content, path)
    except UnreadableFileError:
        raise
    except ValueError as error:
        raise UnreadableFileError(f"{path!r} holds no labels: {error}") from error


def _of_lines(text: str, path: str) -> Labels:
    lines = re.split("\r\n|\r|\n", text)
    lines = lines[:-1] if len(lines) > 1 and not lines[-1] else lines  # the end of the last line
    names = [line.strip() for line in lines]
    if all(_WORDNET.match(name) for name in names):
        names = [_WORDNET.sub("", name, count=1).strip() for name in names]
    if len(names) > 1 and all(_TABLE.fullmatch(name) for name in names):
        raise _unreadable(path, "names alone, one a line", f"a table, {_shown(names[0])} in line 1")
    return Labels(names, path, lines=True)


# ------------------------------------------------------------------ errors
def _shown(value: Any) -> str:
    """A value in an error, which may be a whole file."""
    return reprlib.repr(value)


def _wrong(expected: str, received: str) -> ValueError:
    return ValueError(f"`labels` must hold {expected}. Received: {received}")


def _unreadable(path: str, expected: str, received: str) -> UnreadableFileError:
    return UnreadableFileError(f"{path!r} holds no labels: expected {expected}. Received: {received}")
