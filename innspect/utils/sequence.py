"""Compatibility: `innvestigate.utils.sequence`. It lives in `innspect.migration.utilities`."""

from innspect.migration.utilities import BatchSequence, TargetAugmentedSequence

__all__ = ["BatchSequence", "TargetAugmentedSequence"]
