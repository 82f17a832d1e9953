"""Compatibility: `innvestigate.utils.visualizations`. It lives in `innspect.migration.visualizations`."""

from innspect.migration.visualizations import *  # noqa: F403
