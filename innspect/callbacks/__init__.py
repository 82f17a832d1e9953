"""Keras callbacks: what innspect does while a model trains. Training stays equal to the bit."""

from innspect.callbacks.explanation_images import ExplanationImages
from innspect.callbacks.pattern_checkpoint import PatternCheckpoint

__all__ = ["ExplanationImages", "PatternCheckpoint"]
