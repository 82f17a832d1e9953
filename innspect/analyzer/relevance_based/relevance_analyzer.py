"""Compatibility: rules by name, and the analyzers."""

from innspect.layers.rule_classes import BY_NAME as LRP_RULES
from innspect.migration.analyzers import classes_at

globals().update(classes_at("relevance_based.relevance_analyzer"))
__all__ = ["LRP_RULES", *sorted(classes_at("relevance_based.relevance_analyzer"))]
