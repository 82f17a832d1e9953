"""Compatibility: where `model_wo_softmax` was at first."""

from innspect.graph.opened.logits import model_wo_output_activation, model_wo_softmax

__all__ = ["model_wo_output_activation", "model_wo_softmax"]
