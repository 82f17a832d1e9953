"""Compatibility: pixel flipping. It lives in `innspect.migration.perturbation`."""

from innspect.migration.perturbation import *  # noqa: F403
