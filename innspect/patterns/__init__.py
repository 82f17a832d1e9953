"""Signal estimators learned from data: patterns, for PatternNet and PatternAttribution (Kindermans et al. 2017)."""

from innspect.patterns.collection import Patterns, load
from innspect.patterns.fitting import fit
from innspect.patterns.merging import merge
from innspect.patterns.quality import quality
from innspect.patterns.statistics import PatternStatistics

__all__ = ["PatternStatistics", "Patterns", "fit", "load", "merge", "quality"]
