"""Compatibility: `innvestigate.analyzer.network_base`. It lives in `innspect.migration.analyzers`."""

from innspect.migration.analyzers import classes_at

globals().update(classes_at("network_base"))
__all__ = sorted(classes_at("network_base"))
