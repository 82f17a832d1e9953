"""What reference samples were collected with, as text that is the same in every session."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.config import Configured
from innspect.layers.base import Rule, name_of_rule
from innspect.layers.rule_table import RuleTable


def settings_of(analyzer: Analyzer, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `collect`, with the method and its arguments where these matter."""
    if given["by"] != "relevance":
        return dict(given)
    config = {k: _told(v) for k, v in analyzer.get_config().items() if k not in ("name", "labels")}
    state = analyzer.state()
    return {"method": analyzer.name, "arguments": config | ({} if state is None else {"learned": _digest(state)}), **given}


def _told(value: Any) -> Any:
    """A value as JSON that differs where the value does."""
    if isinstance(value, np.ndarray):
        return _digest(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): _told(v) for k, v in value.items()}
    if isinstance(value, RuleTable):
        return [[str(row.when), _told(row.rule)] for row in value]
    if isinstance(value, list | tuple):
        return [_told(v) for v in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if isinstance(value, Rule):
        return {"rule": name_of_rule(type(value)), "settings": _told(vars(value))}
    if isinstance(value, Configured):
        return {"analyzer": value.name, "arguments": _told(value.untaught())}
    return getattr(value, "__qualname__", type(value).__qualname__)


def _digest(value: Any) -> str:
    hasher = hashlib.sha256()
    for leaf in _leaves(value):
        if isinstance(leaf, np.ndarray):
            hasher.update(f"{leaf.dtype}{leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
        else:
            hasher.update(repr(_told(leaf)).encode())
    return hasher.hexdigest()[:32]


def _leaves(value: Any) -> list[Any]:
    from innspect.nests import leaves

    return [leaf for _, leaf in leaves(value)]
