"""Compatibility: rules by name, and the analyzers."""

from innspect.layers.names import RULES
from innspect.migration.analyzers import __getattr__  # noqa: F401

LRP_RULES = {name: name for name in RULES}  # a name is a rule wherever rules are taken
