"""Compatibility: `innvestigate.analyzer.gradient_based`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("gradient_based"))
__all__ = sorted(classes_at("gradient_based"))
