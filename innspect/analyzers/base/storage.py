"""An analyzer in one file: its class, every argument, the model, and what it was fitted with."""

import importlib
import io
import json
import os
import sys
import zipfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import keras
import numpy as np

from innspect._version import __version__
from innspect.analyzers.base.config import Configured
from innspect.analyzers.base.registry import create_analyzer, find, names_of
from innspect.files import UnreadableFileError, replacing, scratch
from innspect.files.archives import arrays_of, check_sizes, opened_archive
from innspect.files.seals import seal_end
from innspect.layers import rule_classes  # noqa: F401  (which have names of their own)
from innspect.layers.base import Rule, name_of_rule, named_rule
from innspect.layers.rule_table import Row, RuleTable, Word
from innspect.nests import packed, unpacked
from innspect.types import Array, Path

if TYPE_CHECKING:
    from innspect.analyzers.base.analyzer import Analyzer


_FORMAT, _VERSION = "innspect-analyzer", 2

Trusted: TypeAlias = Iterable[str] | None


class Found(NamedTuple):
    """What a saved analyzer is made of, besides its description: the model, the arrays, and who may be imported."""

    model: keras.Model
    arrays: Mapping[str, Any]
    trusted: Trusted


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
        return unpickled, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """What `save` writes."""
        with scratch() as folder:
            path = os.path.join(folder, "analyzer")
            self.save(path)
            with open(path, "rb") as file:
                return file.read()


def loaded(data: bytes, trusted_modules: Trusted = ()) -> "Analyzer":
    """The analyzer of which `to_bytes` gave the data.

    Raises:
        UnreadableFileError: The data is damaged, no saved analyzer, or of a newer version of the format.
    """
    with scratch() as folder:
        path = os.path.join(folder, "analyzer")
        with open(path, "wb") as file:
            file.write(data)
        try:
            return load_analyzer(path, trusted_modules=trusted_modules)
        except UnreadableFileError as error:
            raise UnreadableFileError(
                f"These bytes are no saved analyzer, or are damaged. Received: {error.__cause__}"
            ) from error


def unpickled(data: bytes) -> "Analyzer":
    """As `loaded`, for a pickle: who reads one lets it import what it likes."""
    return loaded(data, trusted_modules=None)


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
    with replacing(path) as partial, scratch() as work:
        model_file = saved_model(analyzer.model, work)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("analyzer.json", json.dumps(header, indent=1))
            archive.writestr("arrays.npz", buffer.getvalue())
            archive.write(model_file, "model.keras")
        seal_end(partial)


def saved_model(model: keras.Layer, work: str) -> str:
    """A `.keras` file of a model in a folder: put together here, for Keras would leave its own folders behind when killed."""
    folder, path = os.path.join(work, "model"), os.path.join(work, "model.keras")
    model.save(folder, zipped=False)
    with zipfile.ZipFile(path, "w") as archive:
        for above, _, names in os.walk(folder):
            for file in (os.path.join(above, name) for name in sorted(names)):
                archive.write(file, os.path.relpath(file, folder).replace(os.sep, "/"))
    return path


def load_analyzer(path: Path, *, custom_objects: Mapping[str, Any] | None = None, trusted_modules: Trusted = ()) -> "Analyzer":
    """Read an analyzer that `analyzer.save` wrote.

    Args:
        path: The file.
        custom_objects: As for `keras.models.load_model`.
        trusted_modules: Names of modules that may be imported where the file names a rule in one of them, or below it. Rules
            of innspect, and of modules that are imported already, are found without. None trusts all that the file names.

    Raises:
        FileNotFoundError: There is no such file.
        UnreadableFileError: It is damaged, no saved analyzer, or of a newer version of the format.
        ValueError: It names a rule of another module, or what is no rule.
    """
    if isinstance(trusted_modules, str):
        raise ValueError(f"`trusted_modules` must be a list of names. Received: {trusted_modules!r}")
    with scratch() as work:
        with opened_archive(path, "saved analyzer") as archive:
            header, arrays = _contents(path, archive)
            model_file = archive.extract("model.keras", work)
        model = keras.models.load_model(model_file, custom_objects=custom_objects, compile=False)
    found = Found(model, arrays, trusted_modules)
    if header["version"] == 1:
        return _of_first_version(header, found)
    return _analyzer(header["analyzer"], found)


def _contents(path: Path, archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, Array]]:
    """The description in a file, and the arrays in it."""
    if not {"analyzer.json", "arrays.npz", "model.keras"} <= set(archive.namelist()):
        raise UnreadableFileError(f"{str(path)!r} is no saved analyzer. Received: a file with {archive.namelist()[:4]}")
    header = json.loads(archive.read("analyzer.json"))
    if header.get("format") != _FORMAT or header["version"] > _VERSION:
        raise UnreadableFileError(
            f"{str(path)!r} cannot be read by this version of innspect: expected {_FORMAT} of version {_VERSION} or "
            f"older. Received: {header.get('format')} {header.get('version')}"
        )
    with archive.open("arrays.npz") as inner, zipfile.ZipFile(inner) as arrays:
        check_sizes(arrays, archive.getinfo("arrays.npz").file_size)
        return header, arrays_of(arrays)


def _of_first_version(header: dict[str, Any], found: Found) -> "Analyzer":
    """An analyzer of the format that held a name and the arguments given."""
    arguments = {k: _decode(v, found) for k, v in header["arguments"].items()}
    analyzer = create_analyzer(header["name"], found.model, **arguments)
    analyzer.set_state(_decode(header["state"], found))
    return analyzer


def _analyzer(described: dict[str, Any], found: Found) -> "Analyzer":
    cls, _ = find(described["class"])
    analyzer = cls(found.model, **{k: _decode(v, found) for k, v in described["config"].items()})
    analyzer.set_state(_decode(described["state"], found))
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


def _decode(value: Any, found: Found) -> Any:
    def other(value: dict[str, Any]) -> Any:
        if "config" in value:
            return _analyzer(value, found)
        if "class" in value:
            return _find_class(value["class"], found.trusted)
        if "rules" in value:
            return RuleTable([(when, _decode(rule, found)) for when, rule in value["rules"]])
        rule = object.__new__(_find_class(value["rule"]["class"], found.trusted))
        vars(rule).update(_decode(value["settings"], found))
        return rule

    return unpacked(value, found.arrays, other)


def _find_class(place: str, trusted: Trusted) -> type[Rule]:
    """The class of a rule: innspect's own by name, others by their module."""
    module, _, name = place.rpartition(":")
    try:
        found = _within(module, name, trusted) if module and not module.startswith("innspect.") else named_rule(name)
    except (KeyError, TypeError, ImportError) as error:
        raise ValueError(f"A saved analyzer may only name rules that there are. Received: {place!r}") from error
    if not (isinstance(found, type) and issubclass(found, Rule)):
        raise ValueError(f"A saved analyzer may only name rules. Received: {place!r}")
    return found


def _within(module: str, name: str, trusted: Trusted) -> Any:
    """What a module has of a name. Nothing runs that a file asks for: no import, and no attribute that is computed."""
    if sys.modules.get(module) is None:
        if trusted is not None and not any(module == known or module.startswith(f"{known}.") for known in trusted):
            raise ValueError(
                f"A saved analyzer names a rule of a module that is not imported. Import it first, if you trust it, or give "
                f"`trusted_modules=[{module!r}]`. Received: '{module}:{name}'"
            )
        importlib.import_module(module)
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = vars(found)[part]
    return found
