"""What a user creates. Importing this folder registers every method."""

from innspect.analyzers import averaging, cam, deep_lift, gradient, pattern, perturbation, relevance, signal  # noqa: F401
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.registry import create_analyzer, list_analyzers, register_analyzer
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.layers.rule_table import RuleTable

__all__ = ["Analyzer", "Explanation", "ReverseAnalyzer", "RuleTable", "create_analyzer", "list_analyzers", "register_analyzer"]
