"""Compatibility: `innvestigate.analyzer.deeplift`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("deeplift"))
__all__ = sorted(classes_at("deeplift"))
