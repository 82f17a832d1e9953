"""The arguments that a class takes, read from the signatures of its constructors."""

import inspect
import weakref
from collections.abc import MutableMapping
from typing import Any

import numpy as np

_parameters: MutableMapping[type, dict[str, inspect.Parameter]] = weakref.WeakKeyDictionary()


def parameters(cls: Any) -> dict[str, inspect.Parameter]:
    """Dict from each argument of an analyzer's class, but the model, to its `inspect.Parameter`; bases first."""
    if cls not in _parameters:
        _parameters[cls] = _read(cls)
    return _parameters[cls]


def _read(cls: Any) -> dict[str, inspect.Parameter]:
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            own = inspect.signature(base.__init__).parameters
            found = {**own, **found}
            if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
                break  # it hands nothing on to its bases
    named = {k: p for k, p in found.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    return {k: p for k, p in named.items() if k not in ("self", "model", *cls.without)}


def same_value(a: Any, b: Any) -> bool:
    """Whether two arguments are equal, arrays by their elements."""
    if a is b:
        return True
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.shape(a) == np.shape(b) and np.array_equal(a, b)
    if type(a) is not type(b) and not (isinstance(a, int | float) and isinstance(b, int | float)):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_value(a[k], b[k]) for k in a)
    try:
        return bool(a == b)
    except (TypeError, ValueError):
        return False
