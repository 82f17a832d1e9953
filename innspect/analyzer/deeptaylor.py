"""Compatibility: `innvestigate.analyzer.deeptaylor`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("deeptaylor"))
__all__ = sorted(classes_at("deeptaylor"))
