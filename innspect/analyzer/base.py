"""Compatibility: `innvestigate.analyzer.base`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("base"))
__all__ = sorted(classes_at("base"))
