"""What a user creates. Importing this folder registers every method."""

from innspect.analyzers import cam, deep_taylor, gradient, relevance, signal  # noqa: F401  (register themselves)
from innspect.analyzers.base import Analyzer, ReverseAnalyzer
from innspect.analyzers.explanation import Explanation
from innspect.analyzers.registry import create_analyzer, list_analyzers, register_analyzer

__all__ = ["Analyzer", "Explanation", "ReverseAnalyzer", "create_analyzer", "list_analyzers", "register_analyzer"]
