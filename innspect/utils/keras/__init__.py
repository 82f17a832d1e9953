"""Compatibility: `innvestigate.utils.keras`, as far as scripts use it."""

from innspect.utils.keras import checks, graph

__all__ = ["checks", "graph"]
