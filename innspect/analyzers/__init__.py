"""What a user creates. Importing this folder registers every method."""

from innspect.analyzers import (  # noqa: F401  (register themselves)
    cam,
    cam_guided,
    cam_path,
    cam_pooled,
    cam_scores,
    deep_lift,
    deep_taylor,
    gradient,
    lrp,
    noise,
    occlusion,
    path,
    pattern,
    presets,
    relevance,
    rise,
    signal,
    taylor,
    transformer,
)
from innspect.analyzers.base import Analyzer
from innspect.analyzers.explanation import Explanation
from innspect.analyzers.registry import create_analyzer, list_analyzers, register_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.rule_table import RuleTable

__all__ = ["Analyzer", "Explanation", "ReverseAnalyzer", "RuleTable", "create_analyzer", "list_analyzers", "register_analyzer"]
