"""Compatibility: fitting of patterns. It lives in `innspect.migration.patterns`."""

from innspect.migration.patterns import *  # noqa: F403
