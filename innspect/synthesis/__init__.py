"""What would a model like to see? Images by ascent: `innspect.synthesize`, and what it can be told."""

from innspect.inputs.units import unit
from innspect.synthesis.experts import NGUYEN, Gaussian, code_range
from innspect.synthesis.objectives import list_objectives, register_objective
from innspect.synthesis.regularizers import list_regularizers, register_regularizer
from innspect.synthesis.result import Synthesis
from innspect.synthesis.synthesize import synthesize
from innspect.synthesis.transformations import list_transformations, register_transformation
from innspect.synthesis.wanted import neuron

__all__ = [
    "NGUYEN",
    "Gaussian",
    "Synthesis",
    "code_range",
    "list_objectives",
    "list_regularizers",
    "list_transformations",
    "neuron",
    "register_objective",
    "register_regularizer",
    "register_transformation",
    "synthesize",
    "unit",
]
