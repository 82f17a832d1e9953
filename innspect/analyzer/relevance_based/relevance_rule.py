"""Compatibility: rules as classes. They live in `innspect.layers.rule_classes`."""

from innspect.layers.rule_classes import *  # noqa: F403
