"""What happens inside a network: reference samples of its channels, and directions that stand for concepts."""

from innspect.concepts.collecting import collect
from innspect.concepts.gallery import Gallery, load, merge
from innspect.concepts.projection import WithoutConcept, without
from innspect.concepts.references import References
from innspect.concepts.sensitivity import Sensitivity, tcav
from innspect.concepts.vectors import ConceptVector, vector

__all__ = [
    "ConceptVector",
    "Gallery",
    "References",
    "Sensitivity",
    "WithoutConcept",
    "collect",
    "load",
    "merge",
    "tcav",
    "vector",
    "without",
]
