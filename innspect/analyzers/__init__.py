"""What a user creates. Importing this folder registers every method."""

from innspect.analyzers import (  # noqa: F401
    averaging,
    cam,
    deep_lift,
    deep_shap,
    gradient,
    pattern,
    perturbation,
    relevance,
    signal,
)
from innspect.analyzers.base.analyzer import Analyzer
from innspect.analyzers.base.explanation import Explanation
from innspect.analyzers.base.registry import create_analyzer, list_analyzers, register_analyzer
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.layers.rule_table import RuleTable

__all__ = ["Analyzer", "Explanation", "ReverseAnalyzer", "RuleTable", "create_analyzer", "list_analyzers", "register_analyzer"]
