"""Nodes of the kind "sum": what their weights are like."""

from innspect.graph.ir import Node
from innspect.graph.views.diagonal import Diagonal
from innspect.graph.views.operations import WITH_KERNEL

_ELEMENTWISE = frozenset("Add Subtract Multiply Divide TrueDivide DivideNoNan".split())
_OF_EITHER_SIGN = frozenset("Centre BatchNormalization FFT FFT2 IFFT2 RFFT IRFFT STFT ISTFT".split()) | WITH_KERNEL
_INTERPOLATIONS = ("nearest", "bilinear", "area")  # others overshoot, with weights below zero


class Normalized:
    """The view of a normalization whose scale is constant: one linear map, with weights of either sign."""


def has_weights_above_zero(node: Node) -> bool:
    """Whether what a sum makes is >= 0 wherever all operands, constants among them, are."""
    if isinstance(node.view, Diagonal):
        return node.operation in ("Add", "Multiply", "Divide", "TrueDivide")
    return node.operation not in ("Subtract", "GaussianBlur") and has_weights_of_one_sign(node)


def has_weights_of_one_sign(node: Node) -> bool:
    """Whether each operand of a sum, or each entry of its one operand, enters with weights of one sign, as far as is known."""
    if isinstance(node.view, Normalized) or node.operation in _OF_EITHER_SIGN:
        return False
    if node.operation in ("Resize", "Resizing", "ScaleAndTranslate"):
        return _interpolation(node) in _INTERPOLATIONS
    return True


def is_scale(node: Node) -> bool:
    """Whether a sum adds nothing up: x + c or x * c, of which all is x's."""
    return len(node.active_inputs) == 1 and (isinstance(node.view, Diagonal) or node.operation in _ELEMENTWISE)


def _interpolation(node: Node) -> str:
    """How a node interpolates: as its layer says, or the operation that computes it."""
    operation = getattr(node.function, "__self__", None)
    said = (getattr(of, name, None) for of in (operation, node.layer) for name in ("interpolation", "method"))
    return next((word for word in said if isinstance(word, str)), "")
