"""The model of the command line: what its file holds is looked at before Keras is started, and after it failed to load it."""

import contextlib
import importlib
import json
import os
import runpy
import sys
import zipfile

from innspect.cli.quiet import silent_stderr
from innspect.errors import said
from innspect.files import readable

_ENDINGS = (".keras", ".h5", ".hdf5")
_SAVE = 'in the program that made it, call model.save("model.keras"), and give that file'


def add_model(parser, nargs=None):
    parser.add_argument("model", nargs=nargs, metavar="MODEL", help="a saved Keras model (.keras, or .h5)")
    told = "run this first: layers and functions of the model's own that it defines are known then"
    parser.add_argument("--code", action="append", default=[], metavar="FILE.py", help=told)
    told = "run code that the model's file holds, as one with Lambda layers does; only for a file that you trust"
    parser.add_argument("--trust", action="store_true", help=told)


def check_model(given):
    """Raise where the file of the model cannot be one that Keras loads; no framework is needed for that.

    Raises:
        OSError: There is no such file, or none that can be read.
        ValueError: It is something else. The message has the remedy.
    """
    for path in given.code:
        if not readable(path).endswith(".py"):
            raise ValueError(f"--code must be a file of Python, FILE.py. Received: {path!r}")
    path = given.model
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, "saved_model.pb")):
            raise _no_model(path, "a SavedModel, which Keras 3 does not load", _SAVE)
        raise _no_model(path, "a folder", "give the file .keras or .h5")
    readable(path)
    if not path.lower().endswith(_ENDINGS):
        raise _no_model(path, "a file of another kind", "give MODEL, a file .keras or .h5, before the inputs")
    if _has_lambda(_config_of(path)) and not given.trust:
        raise ValueError(
            f"{path!r} has a Lambda layer, which is code that the file brings along: whoever made the file decides what runs "
            "here. If you trust it, give --trust. Received: no --trust"
        )


def load_model(given):
    """The model of the command line.

    Raises:
        ValueError: Keras cannot load it; the message names what is missing, where that can be told.
        TypeError: It is no model.
    """
    import keras

    check_model(given)
    known = objects_of(given.code)
    own = list(_own(_config_of(given.model)))
    known |= {full: known[name] for full, name, _ in own if name in known}
    try:
        with contextlib.nullcontext() if given.debug else silent_stderr():  # Keras may start TensorFlow here, on any backend
            model = keras.saving.load_model(given.model, compile=False, custom_objects=known, safe_mode=not given.trust)
    except Exception as error:  # of whatever kind: Keras has many
        raise ValueError(_why(given, [one for one in own if not _is_known(one, known)], error)) from error
    if not isinstance(model, keras.Layer):
        raise TypeError(f"{given.model!r} holds no Keras model. Received: {type(model).__name__}")
    return model


def _no_model(path, what, remedy):
    return ValueError(f"{path!r} is no saved Keras model, but {what}: {remedy}")


def _is_known(own, known):
    """Whether there is an object of such a name: of the user's code, registered with Keras, or in a module."""
    import keras

    full, name, module = own
    if full in known or keras.saving.get_registered_object(full) is not None:
        return True
    try:
        return bool(module) and hasattr(importlib.import_module(module), name)
    except ImportError:
        return False


def _why(given, missing, error):
    if missing:
        names = ", ".join(dict.fromkeys(repr(name) for _, name, _ in missing))
        where = f"are not in {', '.join(given.code)}" if given.code else "are not known here"
        return (
            f"{given.model!r} has layers or functions of its own that {where}: {names}. Give the file that defines them, "
            f"--code FILE.py"
        )
    return f"{given.model!r} could not be loaded: {said(error).rpartition('Exception encountered: ')[2][:500]}"


# ------------------------------------------------------------------ what a file holds
def _config_of(path):
    """The description of a model in its file.

    Raises:
        ValueError: The file is damaged, or holds no description.
    """
    try:
        if path.lower().endswith(".keras"):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            weights = "layers" in file or "vars" in file or "layer_names" in file.attrs
    except Exception as error:  # which a damaged file may raise of any kind
        raise ValueError(f"{path!r} is no saved Keras model that can be read: {error or type(error).__name__}") from error
    if config is None:
        what = "a file of weights alone, without the layers" if weights else "a file of arrays"
        raise _no_model(path, what, _SAVE if weights else "give MODEL before the inputs")
    return json.loads(config)


def _described(config):
    """All dicts within a description that describe an object."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        config = list(config.values())
    if isinstance(config, list):
        for each in config:
            yield from _described(each)


def _has_lambda(config):
    """Whether code lies in the file: a function without a name; one with a name is found by it."""

    def is_code(one):
        function = one["config"].get("function") if isinstance(one.get("config"), dict) else None
        named = isinstance(function, dict) and function.get("class_name") == "function"
        return one["class_name"] == "__lambda__" or (one["class_name"] == "Lambda" and not named)

    return any(map(is_code, _described(config)))


def _own(config):
    """(name by which it is registered, its own name, its module or None) of layers and functions that are not Keras' own."""
    for one in _described(config):
        name, module = one["class_name"], one.get("module")
        if name == "function":
            yield str(one["config"]), str(one["config"]), module
        elif one.get("registered_name") and not str(module).startswith(("keras", "builtins")):
            yield one["registered_name"], one["registered_name"].rpartition(">")[2], module
        elif not {"module", "registered_name"} & set(one) and not _is_kerass(name):  # as .h5 files have it
            yield name, name.rpartition(">")[2], None


def _is_kerass(name):
    import keras

    return name in ("Functional", "Model", "__tuple__", "__list__", "__numpy__", "__tensor__") or any(
        hasattr(module, name) for module in (keras, keras.layers, keras.initializers, keras.regularizers, keras.constraints)
    )


# ------------------------------------------------------------------ code of the user's
def objects_of(files):
    """Name -> class or function, of what files of Python define or import, but from Keras. Modules beside them are found."""
    found = {}
    for path in files:
        folder = os.path.dirname(os.path.abspath(path))
        sys.path.insert(0, folder)
        try:
            made = runpy.run_path(readable(path))
        finally:
            with contextlib.suppress(ValueError):
                sys.path.remove(folder)
        for name, value in made.items():
            module = str(getattr(value, "__module__", ""))
            if callable(value) and not name.startswith("_") and not module.startswith("keras"):
                found[name] = value
    return found
