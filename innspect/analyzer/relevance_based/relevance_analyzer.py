"""`innvestigate.analyzer.relevance_based.relevance_analyzer`: rules by name, and the analyzers."""

from innspect import analyzer
from innspect.analyzers.rules import RULES

LRP_RULES = {name: name for name in RULES}  # a name is a rule wherever rules are taken


def __getattr__(name):
    return getattr(analyzer, name)
