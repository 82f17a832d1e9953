"""Keras finds innspect's classes in saved models once innspect is imported, though importing innspect starts no Keras.

Keras looks classes up by the name that a file has for them, in a registry to which the module of a class adds it. So that this
holds before that module is imported, a stand-in is put there when Keras is imported, be it before innspect or after.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from types import ModuleType
from typing import Any


def announce(classes: dict[str, str]) -> None:
    """Tell Keras of classes: a dict from the name that saved models have for each to its module."""
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "saving"):
        _register(classes)
    else:
        sys.meta_path.insert(0, _WithKeras(classes))


def _register(classes: dict[str, str]) -> None:
    known = importlib.import_module("keras").saving.get_custom_objects()
    for name, module in classes.items():
        known.setdefault(name, _stand_in(name.partition(">")[2], module))


def _stand_in(name: str, module: str) -> type:
    """What Keras makes objects of a class with: the class, imported only then."""

    def from_config(config: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": staticmethod(from_config), "__module__": module})


class _WithKeras(importlib.abc.MetaPathFinder):
    """Adds to the import of Keras that it is told of classes; afterwards nothing is left of it."""

    def __init__(self, classes: dict[str, str]):
        self.classes = classes

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> Any:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        loader: Any = spec and spec.loader
        if loader is None:
            return spec
        run = loader.exec_module

        def then_register(module: ModuleType) -> None:
            run(module)
            del loader.exec_module  # the loader's own again
            _register(self.classes)

        loader.exec_module = then_register
        return spec
