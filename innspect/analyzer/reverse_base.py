"""Compatibility: `innvestigate.analyzer.reverse_base`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("reverse_base"))
__all__ = sorted(classes_at("reverse_base"))
