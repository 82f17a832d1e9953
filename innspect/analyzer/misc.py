"""Compatibility: `innvestigate.analyzer.misc`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("misc"))
__all__ = sorted(classes_at("misc"))
