"""Training with maps: a student that is told not only what its teacher says but where it looks."""

from innspect.training.distilled import Distilled

__all__ = ["Distilled"]
