"""The tools of iNNvestigate, by the same names and arguments: pixel flipping, and fitting of patterns."""

from innspect.tools.pattern import PatternComputer
from innspect.tools.perturbate import Perturbation, PerturbationAnalysis

__all__ = ["PatternComputer", "Perturbation", "PerturbationAnalysis"]
