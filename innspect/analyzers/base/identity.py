"""What an analyzer is, as text that is the same in every session and differs where maps would."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from innspect.analyzers.base.config import Configured
from innspect.layers.base import Rule, name_of_rule
from innspect.layers.rule_table import RuleTable
from innspect.nests import leaves


def identity_of(analyzer: Configured) -> dict[str, Any]:
    """The method, and all its arguments but those that change no map; with what it has learned as a digest."""
    config = {k: told(v) for k, v in analyzer.get_config().items() if k not in ("name", "labels")}
    state = analyzer.state()
    return {"method": analyzer.name, "arguments": config | ({} if state is None else {"learned": digest(state)})}


def told(value: Any) -> Any:
    """A value as JSON that differs where the value does."""
    if isinstance(value, np.ndarray):
        return digest(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): told(v) for k, v in value.items()}
    if isinstance(value, RuleTable):
        return [[str(row.when), told(row.rule)] for row in value]
    if isinstance(value, list | tuple):
        return [told(v) for v in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if isinstance(value, Rule):
        return {"rule": name_of_rule(type(value)), "settings": told(vars(value))}
    if isinstance(value, Configured):
        return {"analyzer": value.name, "arguments": told(value.untaught())}
    if is_dataclass(value) and not isinstance(value, type):
        return {"of": type(value).__qualname__} | {f.name: told(getattr(value, f.name)) for f in fields(value)}
    return getattr(value, "__qualname__", type(value).__qualname__)


def digest(value: Any) -> str:
    """Of a nest of arrays and values."""
    hasher = hashlib.sha256()
    for leaf in (leaf for _, leaf in leaves(value)):
        if isinstance(leaf, np.ndarray):
            hasher.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        else:
            hasher.update(repr(told(leaf)).encode())
    return hasher.hexdigest()[:32]
