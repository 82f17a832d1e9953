"""An analyzer in one file: its class, every argument, the model, and what it was fitted with."""

import importlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from innspect._version import __version__
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.registry import create_analyzer, find, names_of
from innspect.errors import PlainKeyError
from innspect.files import replacing
from innspect.layers import rule_classes  # noqa: F401  (which have names of their own)
from innspect.layers.base import Rule, name_of_rule, named_rule
from innspect.layers.rule_table import Row, RuleTable, Word
from innspect.nests import packed, unpacked
from innspect.types import Path

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


_FORMAT, _VERSION = "innspect-analyzer", 2


class Stored(Configured):
    """Base of `Analyzer`: one file, or bytes, that hold it whole."""

    def save(self, path: Path | None = None) -> tuple[str, bytes] | None:
        """Write name, arguments, model and state to one file, which `innspect.load_analyzer` reads.

        Without a path nothing is written, and (name, state) returned for `Analyzer.load`, as in iNNvestigate.
        """
        if path is None:
            return self.name, self.to_bytes()
        save_analyzer(self, path)
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return loaded, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "analyzer")
            self.save(path)
            with open(path, "rb") as file:
                return file.read()


def loaded(data: bytes) -> "Analyzer":
    """The analyzer of which `to_bytes` gave the data."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "analyzer")
        with open(path, "wb") as file:
            file.write(data)
        return load_analyzer(path)


def save_analyzer(analyzer: Stored, path: Path) -> None:
    """Write an analyzer to `path`, whole or not at all. See `load_analyzer`.

    Raises:
        TypeError: The analyzer's class has no name, or one of its arguments cannot be written.
    """
    arrays: dict[str, Any] = {}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "innspect": __version__,
        "keras": keras.__version__,
        "analyzer": _encode(analyzer, arrays, "analyzer"),
    }
    with replacing(path) as partial, tempfile.TemporaryDirectory() as work:
        model_file = os.path.join(work, "model.keras")
        analyzer.model.save(model_file)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("analyzer.json", json.dumps(header, indent=1))
            archive.writestr("arrays.npz", buffer.getvalue())
            archive.write(model_file, "model.keras")


def load_analyzer(path: Path, *, custom_objects: Mapping[str, Any] | None = None) -> "Analyzer":
    """Read an analyzer that `analyzer.save` wrote.

    Args:
        path: The file.
        custom_objects: As for `keras.models.load_model`.

    Raises:
        ValueError: The file is no saved analyzer, or of a newer version of the format.
    """
    try:
        archive = zipfile.ZipFile(path)
        header = json.loads(archive.read("analyzer.json"))
    except (zipfile.BadZipFile, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{str(path)!r} is no saved analyzer, or is damaged. Received: {error}") from error
    if header.get("format") != _FORMAT or header["version"] > _VERSION:
        raise ValueError(
            f"{str(path)!r} cannot be read by this version of innspect: expected {_FORMAT} of version {_VERSION} or "
            f"older. Received: {header.get('format')} {header.get('version')}"
        )
    with archive, tempfile.TemporaryDirectory() as work, np.load(io.BytesIO(archive.read("arrays.npz"))) as arrays:
        model = keras.models.load_model(archive.extract("model.keras", work), custom_objects=custom_objects, compile=False)
        if header["version"] == 1:
            return _of_first_version(header, model, arrays)
        return _analyzer(header["analyzer"], model, arrays)


def _of_first_version(header: dict[str, Any], model: keras.Model, arrays: Mapping[str, Any]) -> "Analyzer":
    """An analyzer of the format that held a name and the arguments given."""
    arguments = {k: _decode(v, arrays, model) for k, v in header["arguments"].items()}
    analyzer = create_analyzer(header["name"], model, **arguments)
    analyzer.set_state(_decode(header["state"], arrays, model))
    return analyzer


def _analyzer(described: dict[str, Any], model: keras.Model, arrays: Mapping[str, Any]) -> "Analyzer":
    cls, _ = find(described["class"])
    analyzer = cls(model, **{k: _decode(v, arrays, model) for k, v in described["config"].items()})
    analyzer.set_state(_decode(described["state"], arrays, model))
    return analyzer


def _encode(value: Any, arrays: dict[str, Any], name: str) -> Any:
    """A value as JSON, its arrays put aside."""

    def other(value: Any) -> dict[str, Any]:
        if isinstance(value, type) and issubclass(value, Rule):
            return {"class": name_of_rule(value)}
        if isinstance(value, Rule):
            return {"rule": {"class": name_of_rule(type(value))}, "settings": _encode(vars(value), arrays, name)}
        if isinstance(value, RuleTable):
            return {"rules": [_encode_row(row, arrays, name) for row in value]}
        if isinstance(value, Configured):
            return _encode_analyzer(value, arrays)
        raise TypeError(
            f"The argument {name!r} of the analyzer cannot be saved: expected numbers, strings, arrays, rules, or nests of "
            f"them. Received: {value!r}"
        )

    return packed(value, arrays, other)


def _encode_analyzer(analyzer: Configured, arrays: dict[str, Any]) -> dict[str, Any]:
    names = names_of(type(analyzer))
    if not names:
        raise TypeError(
            f"An analyzer of {type(analyzer).__name__} cannot be saved: its class has no name. Give it one, with the decorator "
            f"`innspect.register_analyzer`. Received: {analyzer!r}"
        )
    return {
        "class": next(iter(names)),
        "config": {k: _encode(v, arrays, k) for k, v in analyzer.untaught().items()},
        "state": _encode(analyzer.state(), arrays, "state"),
    }


def _encode_row(row: Row, arrays: dict[str, Any], name: str) -> list[Any]:
    if not (isinstance(row.when, Word) and isinstance(row.rule, Rule)):
        raise TypeError(
            f"The argument {name!r} of the analyzer cannot be saved: a rule whose condition is a word, or a name, can be, a "
            f"function cannot. Received: {row.when.text!r}"
        )
    return [row.when.text, _encode(row.rule, arrays, name)]


def _decode(value: Any, arrays: Mapping[str, Any], model: keras.Model) -> Any:
    def other(value: dict[str, Any]) -> Any:
        if "config" in value:
            return _analyzer(value, model, arrays)
        if "class" in value:
            return _find_class(value["class"])
        if "rules" in value:
            return RuleTable([(when, _decode(rule, arrays, model)) for when, rule in value["rules"]])
        rule = object.__new__(_find_class(value["rule"]["class"]))
        vars(rule).update(_decode(value["settings"], arrays, model))
        return rule

    return unpacked(value, arrays, other)


def _find_class(place: str) -> type[Rule]:
    """The class of a rule: innspect's own by name, others by their module."""
    module, _, name = place.rpartition(":")
    if module and not module.startswith("innspect."):
        return _imported(module, name)
    try:
        return named_rule(name)
    except PlainKeyError as error:
        raise ValueError(f"A saved analyzer may only name rules. Received: {place!r}") from error


def _imported(module: str, name: str) -> type[Rule]:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, Rule)):
        raise ValueError(f"A saved analyzer may only name rules. Received: {module}:{name}")
    return found
