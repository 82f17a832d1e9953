"""Which tensors are proven to be >= 0 for every input, so that rules may take their one-sided forms."""

from typing import Any

import keras

from innspect.graph.ir import Graph, Node, Ref, Tensor, is_float
from innspect.graph.views.activations import Extremum, Rectifier
from innspect.graph.views.sums import has_weights_above_zero

# Elementwise functions whose values are never negative, whatever they are given.
_NONNEGATIVE = set(
    "Relu Relu6 Sigmoid SparseSigmoid Softplus SparsePlus Squareplus HardSigmoid Exp Exp2 Sqrt Rsqrt Square Absolute "
    "Abs Fabs Softmax Cosh".split()
)
_ANY = {"Maximum"}  # one operand that is not negative is enough
_KEEPING = {"reindex", "winner", "product", "sum", "softmax"}
_FILLING = {"Pad", "Where", "Select"}  # an integer among their arguments is a value, not a place


def nonnegative(graph: Graph) -> set[Tensor]:
    """The set of tensors whose every entry is proven to be >= 0."""
    proven: set[Tensor] = set()
    for node in graph.nodes:
        if _proves(node, proven):
            proven.update(node.outputs)
    return proven


def _proves(node: Node, proven: set[Tensor]) -> bool:
    if isinstance(node.view, Rectifier) or node.operation in _NONNEGATIVE or node.kind == "softmax":
        return True
    if node.kind not in _KEEPING or (node.kind == "sum" and not has_weights_above_zero(node)):
        return False
    operands = [t in proven for t in node.inputs if is_float(t.dtype)]
    constants_fine = all(_is_nonnegative_constant(leaf) for leaf in _float_constants(node))
    if node.operation in _ANY and not isinstance(node.view, Extremum):
        return any(operands)
    return bool(operands) and all(operands) and constants_fine


def _float_constants(node: Node) -> list[Any]:
    """Arguments that enter the values: numbers with a fraction or sign, arrays and variables."""
    leaves = keras.tree.flatten((node.args, node.kwargs))
    return [
        leaf
        for leaf in leaves
        if not isinstance(leaf, Ref | str | bool | slice | type(None) | type(Ellipsis))
        and not (isinstance(leaf, int) and node.kind == "reindex" and node.operation not in _FILLING)
    ]


def _is_nonnegative_constant(leaf: Any) -> bool:
    return isinstance(leaf, int | float) and leaf >= 0
