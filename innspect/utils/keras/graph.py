"""`innvestigate.utils.keras.graph`, as far as scripts use it: where `model_wo_softmax` was at first."""

from innspect.graph.logits import model_wo_softmax

__all__ = ["model_wo_softmax"]
