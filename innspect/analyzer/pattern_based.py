"""Compatibility: `innvestigate.analyzer.pattern_based`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("pattern_based"))
__all__ = sorted(classes_at("pattern_based"))
