"""The head of a model: the softmax or sigmoid that turns logits into probabilities."""


def is_head(node):
    return node is not None and (node.kind == "softmax" or node.operation in ("Sigmoid", "LogSoftmax"))


def without_head(graph, tensor):
    """The logits behind `tensor`, or `tensor` itself where it is not the output of a softmax or sigmoid."""
    node = graph.producer(tensor)
    return node.inputs[0] if is_head(node) else tensor
