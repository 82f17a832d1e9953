"""Compatibility: conditions on layers. They live in `innspect.migration.checks`."""

from innspect.migration.checks import *  # noqa: F403
