"""Checks for rules and analyzers, innspect's own and yours. Each raises an `AssertionError` that says what is wrong."""

from innspect.testing.analyzers import check_analyzer, example_models
from innspect.testing.rules import check_rule
from innspect.testing.support import support

__all__ = ["check_analyzer", "check_rule", "example_models", "support"]
