"""What happens inside a network: reference samples of its channels, and directions that stand for concepts."""

from innspect.concepts.collecting import collect
from innspect.concepts.gallery import Gallery, load, merge
from innspect.concepts.references import References

__all__ = ["Gallery", "References", "collect", "load", "merge"]
