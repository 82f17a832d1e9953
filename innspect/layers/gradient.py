"""Rules in gradient form: the gradient itself, and the rectified ones of DeconvNet and guided backpropagation."""

from typing import Any

from keras import ops

from innspect import backend
from innspect.graph.views.activations import Rectifier
from innspect.layers.base import ReverseLayer, Rule
from innspect.types import Signals, Tensors


class Gradient(Rule):
    """The backend's own gradient."""

    form = "gradient"

    def forward(self, layer: ReverseLayer, inputs: Tensors) -> tuple[Tensors, Any]:
        return layer.active_vjp(inputs)

    def backward(self, layer: ReverseLayer, pullback: Any, signals: Tensors) -> Signals:
        return pullback(signals)


class Rectified(Rule[Rectifier]):
    """At a ReLU keep only positive signals; with `guided`, only where the ReLU is open (METHODS 8).

    DeconvNet (Zeiler and Fergus 2014) ignores the forward pass; guided backpropagation (Springenberg et al. 2014)
    keeps the gradient's gate 0 < z < max_value.
    """

    form = "gradient"

    def __init__(self, guided: bool):
        self.guided = guided

    def forward(self, layer: ReverseLayer[Rectifier], inputs: Tensors) -> tuple[Tensors, Any]:
        return layer(*inputs), inputs[0] if self.guided else backend.rectifier(inputs[0])

    def backward(self, layer: ReverseLayer[Rectifier], saved: Any, signals: Tensors) -> Signals:
        if not self.guided:
            return [saved(signals[0])]
        signal, z, limit = ops.relu(signals[0]), saved, layer.view.max_value
        opened = z > 0 if limit is None else ops.logical_and(z > 0, z < limit)
        return [ops.where(opened, signal, ops.zeros_like(signal))]
