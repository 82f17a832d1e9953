"""An analyzer in one file: its name, every argument, the model, and what it was fitted with."""

import importlib
import io
import json
import os
import tempfile
import zipfile

import keras
import numpy as np

from innspect.analyzers.registry import create_analyzer
from innspect.layers.base import Rule

_FORMAT, _VERSION = "innspect-analyzer", 1


def save_analyzer(analyzer, path):
    """Write an analyzer to `path`, whole or not at all. See `load_analyzer`."""
    from innspect import __version__

    arrays = {}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "innspect": __version__,
        "keras": keras.__version__,
        "name": analyzer.name,
        "arguments": {k: _encode(v, arrays, k) for k, v in analyzer.arguments().items()},
        "state": _encode(analyzer.state(), arrays, "state"),
    }
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.TemporaryDirectory(dir=folder) as work:
        model_file, partial = os.path.join(work, "model.keras"), os.path.join(work, "analyzer.zip")
        analyzer.model.save(model_file)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        with zipfile.ZipFile(partial, "w") as archive:
            archive.writestr("analyzer.json", json.dumps(header, indent=1))
            archive.writestr("arrays.npz", buffer.getvalue())
            archive.write(model_file, "model.keras")
        os.replace(partial, path)


def load_analyzer(path, *, custom_objects=None):
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
        arguments = {k: _decode(v, arrays) for k, v in header["arguments"].items()}
        analyzer = create_analyzer(header["name"], model, **arguments)
        analyzer.set_state(_decode(header["state"], arrays))
    return analyzer


def _encode(value, arrays, name):
    """A value as JSON, its arrays put aside."""
    if isinstance(value, np.ndarray | np.generic):
        key = f"array_{len(arrays)}"
        arrays[key] = np.asarray(value)
        return {"array": key}
    if isinstance(value, dict):
        return {"dict": [[_encode(k, arrays, name), _encode(v, arrays, name)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encode(v, arrays, name) for v in value]}
    if isinstance(value, type):
        return {"class": f"{value.__module__}:{value.__qualname__}"}
    if isinstance(value, Rule):
        return {"rule": _encode(type(value), arrays, name), "settings": _encode(vars(value), arrays, name)}
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    raise TypeError(
        f"The argument {name!r} of the analyzer cannot be saved: expected numbers, strings, arrays, rules, or nests of "
        f"them. Received: {value!r}"
    )


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "dict" in value:
        return {_decode(k, arrays): _decode(v, arrays) for k, v in value["dict"]}
    if "tuple" in value:
        return tuple(_decode(v, arrays) for v in value["tuple"])
    if "list" in value:
        return [_decode(v, arrays) for v in value["list"]]
    if "class" in value:
        return _find_class(value["class"])
    rule = object.__new__(_decode(value["rule"], arrays))
    vars(rule).update(_decode(value["settings"], arrays))
    return rule


def _find_class(place):
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and issubclass(found, Rule)):
        raise ValueError(f"A saved analyzer may only name rules. Received: {place!r}")
    return found
