"""Compatibility: `innvestigate.tools`, pixel flipping and fitting of patterns. They live in `innspect.migration`."""

from innspect.migration.patterns import PatternComputer
from innspect.migration.perturbation import Perturbation, PerturbationAnalysis

__all__ = ["PatternComputer", "Perturbation", "PerturbationAnalysis"]
