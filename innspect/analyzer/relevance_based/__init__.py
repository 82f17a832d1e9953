"""Compatibility: `innvestigate.analyzer.relevance_based`, as far as scripts use it."""

from innspect.analyzer.relevance_based import relevance_analyzer, relevance_rule

__all__ = ["relevance_analyzer", "relevance_rule"]
