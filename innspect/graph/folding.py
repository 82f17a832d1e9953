"""Batch normalization taken into the affine layer before or after it, where that is exactly the same function.

After a linear layer it always is (along the layer's channels); before one it is unless the layer pads with zeros,
which the shift does not reach (METHODS 5.4). The tensor between the two must have no other reader.
"""

from dataclasses import replace

from innspect.graph.ir import Graph, Node
from innspect.layers.diagonal import BatchNorm, Folded


def _negative(axis, rank):
    return axis if axis < 0 else axis - rank


def _matches(diagonal, axis):
    return diagonal.axis == _negative(axis, diagonal.rank)


def fold(graph, keep, apart=frozenset()):
    """A graph with every batch normalization folded that can be.

    Args:
        graph: The graph; it is not changed.
        keep: Tensors that must stay.
        apart: Affine nodes that nothing is folded into.

    Returns:
        The new graph and a dict from each tensor that is gone to the tensor whose signal it now shares.
    """
    nodes, gone = list(graph.nodes), {}
    keep = set(keep)
    for norm in [n for n in nodes if isinstance(n.view, BatchNorm)]:
        consumers = Graph(nodes, graph.inputs, graph.outputs, {}, {}).consumers()
        before, after = norm.inputs[0], norm.outputs[0]
        source = before.producer
        if (
            source is not None
            and source.kind == "affine"
            and source not in apart
            and source.view.folds_outputs
            and _matches(norm.view, source.view.output_axis)
            and len(consumers[before]) == 1
            and before not in keep
        ):
            _substitute(nodes, source, norm, Folded(source.view, norm.view, after=True), source.args, [after])
            gone[before] = after
            continue
        readers = consumers.get(after, [])
        if len(readers) == 1 and after not in keep:
            target = readers[0][0]
            foldable = target.kind == "affine" and target not in apart and target.view.folds_inputs
            if foldable and _matches(norm.view, target.view.input_axis):
                _substitute(nodes, target, norm, Folded(target.view, norm.view, after=False), norm.args, target.outputs)
                gone[after] = before
    return replace(graph, nodes=nodes), gone


def _substitute(nodes, affine, norm, view, args, outputs):
    folded = Node(affine.path, "affine", view, args, {}, outputs, affine.layer, view, affine.operation)
    folded.variables = [*affine.variables, *norm.layer.variables]
    nodes[nodes.index(affine)] = folded
    nodes.remove(norm)
    if outputs[0] is not affine.outputs[0]:  # the readers of the normalization come after it: keep the order
        nodes.remove(folded)
        nodes.insert(_first_reader(nodes, outputs[0]), folded)


def _first_reader(nodes, tensor):
    return next((i for i, n in enumerate(nodes) if tensor in n.inputs), len(nodes))
