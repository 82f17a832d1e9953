"""What is said where a method has no rule."""

from innspect.graph.ir import Node
from innspect.graph.opened.opened_model import OpenedModel


def no_rule(name: str, opened: OpenedModel, node: Node) -> str:
    """What is said of a node that the method of a name has no rule for."""
    if node.operation in ("Divide", "TrueDivide", "DivideNoNan"):
        return (
            f"{name!r} has no rule for {node.path!r}, a quotient of two tensors that both depend on the input. Where "
            "the denominator only scales, as in a normalization, say so: x / keras.ops.stop_gradient(y)."
        )
    text = (
        f"{name!r} has no rule for {node.path!r} (a {node.operation or node.kind}). Register one for the layer's "
        "class with `innspect.register_reverse_mapping(LayerClass, rule=...)`, or use a gradient method."
    )
    reason = opened.unopened.get(node.path)
    if reason:
        text += f" The layer could not be opened into Keras operations: {reason}."
        if any(None in tuple(t.shape)[1:] for t in node.inputs):
            text += " A length that is not known beforehand may be why: call the model on a `keras.Input` of a known one."
    return text
