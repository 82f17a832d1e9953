"""A softmax that is written out: exp(x) / sum(exp(x)), as users and tutorials write attention.

Taken apart, its quotient has no rule; it is put together again, with the rules and the name of a softmax, also at the
model's end. Recognized are a maximum that is subtracted (the softmax then is that of x: it does not depend on it), a mask
that is multiplied with or chosen by, a small constant in the denominator, a product with the reciprocal, and
exp(x - logsumexp(x)). What is computed stays what the user wrote, to the bit.
"""

from dataclasses import replace

from innspect.graph.ir import Ref

_QUOTIENTS = {"Divide", "TrueDivide", "DivideNoNan"}
_MOVES = set("Cast SaturateCast ConvertToTensor Copy ExpandDims Reshape Squeeze BroadcastTo Repeat Tile".split())
_MASKS = {"Multiply", "Where"}  # with a constant
_GUARDS = {"Add", "Maximum", "Clip", "StopGradient"}  # with a constant, or alone


def put_together(graph):
    """The graph with every softmax that is written out as one node."""
    nodes = [_joined(node) for node in graph.nodes]
    graph = replace(graph, nodes=nodes)
    graph.nodes = graph.ancestors(graph.outputs)
    return graph


def written_softmax(node):
    """The tensor whose softmax `node` computes, or None."""
    if node is None:
        return None
    if node.operation == "Exp":
        return _normalized_logarithm(node.inputs[0])
    parts = _quotient(node)
    if parts is None:
        return None
    exponential, total = _origin(parts[0], _MOVES | _MASKS), _origin(parts[1], _MOVES | _GUARDS)
    if exponential is None or total is None or exponential.operation != "Exp" or total.operation != "Sum":
        return None
    summed = _origin(total.inputs[0], _MOVES | _MASKS)
    if summed is None or summed.operation != "Exp":
        return None
    x, other = _exponent(exponential.inputs[0]), _exponent(summed.inputs[0])
    return x[0] if x == other else None


def _quotient(node):
    """Numerator and denominator of a / b or a * (1 / b), where both depend on the inputs."""
    tensors = [t for t in node.inputs if _varies(t)]
    if len(tensors) != 2:
        return None
    if node.operation in _QUOTIENTS:
        return tensors
    if node.kind == "product":
        for numerator, factor in (tensors, tensors[::-1]):
            inverse = factor.producer
            if inverse is None:
                continue
            divides = inverse.operation in _QUOTIENTS and not isinstance(inverse.args[0], Ref)
            if inverse.operation == "Reciprocal" or divides:
                return numerator, inverse.inputs[0]
    return None


def _normalized_logarithm(tensor):
    """The x of log_softmax(x), or of x - logsumexp(x)."""
    node = tensor.producer
    if node is None:
        return None
    if node.operation == "LogSoftmax":
        return node.inputs[0]
    if node.operation == "Subtract" and len(node.inputs) == 2:
        total = _origin(node.inputs[1], _MOVES)
        if total is not None and total.operation == "Logsumexp" and total.inputs[0] is node.inputs[0]:
            return node.inputs[0]
    return None


def _exponent(tensor):
    """What an exponential is taken of, before a maximum is subtracted from it, and whether one is."""
    node = tensor.producer
    if node is None or node.operation != "Subtract" or len(node.inputs) != 2:
        return tensor, False
    x, highest = node.inputs[0], _origin(node.inputs[1], _MOVES | {"StopGradient"}, constants=True)
    found = highest is not None and highest.operation in ("Max", "Amax") and highest.inputs[0] is x
    return (x, True) if found else (tensor, False)


def _origin(tensor, through, constants=False):
    """The node that made a tensor, before all that is only moved, masked or guarded."""
    node = tensor.producer
    while node is not None and node.operation in through:
        inputs = [t for t in node.inputs if constants or _varies(t)]
        if len(inputs) != 1:
            return None
        node = inputs[0].producer
    return node


def _varies(tensor):
    """Whether a tensor depends differentiably on the model's inputs, as far as operations tell."""
    node = tensor.producer
    while node is not None and node.kind != "constant" and len(node.inputs) == 1:
        node = node.inputs[0].producer
    return node is None or (node.kind != "constant" and any(_varies(t) for t in node.inputs))


def _joined(node):
    x = written_softmax(node)
    if x is None:
        return node
    steps, given = _between(node, x)

    def compute(*values):
        env = dict(zip([x, *given], values, strict=True))
        for step in steps:
            env.update(zip(step.outputs, step(*[env[t] for t in step.inputs]), strict=True))
        return env[node.outputs[0]]

    made = replace(
        node, kind="softmax", function=compute, args=tuple(map(Ref, (x, *given))), kwargs={}, view=None, operation="Softmax"
    )
    made.variables = [v for step in steps for v in step.variables]
    return made


def _between(node, x):
    """The steps from x to `node`, in order, and the other tensors that they are given."""
    steps, given = {}, {}

    def visit(tensor):
        if tensor is x:
            return
        step = tensor.producer
        if step is None or (step.kind == "constant" and not any(t is x for t in step.inputs) and not _leads(step, x)):
            given[tensor] = None
            return
        if step not in steps:
            for t in step.inputs:
                visit(t)
            steps[step] = None

    visit(node.outputs[0])
    return list(steps), list(given)


def _leads(step, x):
    """Whether a constant step, such as a stopped maximum, is computed from x by steps of the softmax itself."""
    while step is not None and step.operation in _MOVES | {"StopGradient", "Max", "Amax"} and step.inputs:
        if step.inputs[0] is x:
            return True
        step = step.inputs[0].producer
    return False
