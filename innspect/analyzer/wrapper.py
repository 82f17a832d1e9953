"""Compatibility: `innvestigate.analyzer.wrapper`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("wrapper"))
__all__ = sorted(classes_at("wrapper"))
