"""Can a map's gradient be differentiated again? Tried before training, so that what cannot is told by name."""

from collections.abc import Callable, Collection

import keras
from keras import ops

from innspect import backend
from innspect.backend.compiling import read_only
from innspect.errors import NotAnalyzeableModelError, said
from innspect.graph.ir import KINDS, Node, is_float
from innspect.training.maps import TrainedMap
from innspect.types import BackendTensor, Nest, Tensors

Function = Callable[..., Tensors]


def check_second_order(maps: TrainedMap) -> None:
    """Differentiate the maps of a drawn sample with respect to the weights, where the inputs' shapes are known.

    Raises:
        NotAnalyzeableModelError: A layer's gradient has no derivative on this backend; the message names the layer.
    """
    arrays = maps.opened._drawn_inputs()
    if arrays is None:
        return
    x = keras.tree.pack_sequence_as(maps.opened.structure, arrays)
    values = maps.values()
    trained = [i for i, v in enumerate(maps.variables) if v.trainable and is_float(v.dtype)]

    def size(*some: BackendTensor) -> Tensors:
        given = list(values)
        for i, value in zip(trained, some, strict=True):
            given[i] = value
        return [sum(ops.sum(ops.square(m)) for m in maps(x, ops.ones_like, given)[0])]

    try:
        _differentiated(size, [values[i] for i in trained])
    except Exception as error:  # each framework has its own
        node = _first_without(maps, x, values)
        if node is None:
            raise
        raise _refused(node, said(error)) from error
    node = _first_without(maps, x, values, ("opaque",)) if backend.EAGER else None
    if node is not None:
        raise _refused(node, "it is differentiable once")


def _refused(node: Node, reason: str) -> NotAnalyzeableModelError:
    return NotAnalyzeableModelError(
        f"{node.path!r} (a {node.operation or node.kind}) has a gradient on {keras.backend.backend()}, but that gradient "
        "has no derivative there, and a map is trained through it. Name a `layer` behind it, write it with other "
        f"operations of `keras.ops`, or use another backend. It says: {reason:.300}"
    )


def _differentiated(function: Function, inputs: Tensors) -> None:
    def run(*inputs: BackendTensor) -> Tensors:
        outputs, back = backend.vjp(function, list(inputs))
        return list(back([ops.ones_like(y) for y in outputs]))

    backend.rehearse(run, *inputs)


def _first_without(maps: TrainedMap, x: Nest, values: Tensors, kinds: Collection[str] = KINDS) -> Node | None:
    """The first node, of some kinds, whose gradient cannot be differentiated by itself."""
    return next(
        (node for node, given in maps.differentiated(x, values) if node.kind in kinds and _fails(node, given, maps, values)),
        None,
    )


def _fails(node: Node, given: Tensors, maps: TrainedMap, values: Tensors) -> bool:
    moved = [i for i in node.active_inputs if is_float(given[i].dtype)]

    def run(*some: BackendTensor) -> Tensors:
        every = list(given)
        for i, value in zip(moved, some, strict=True):
            every[i] = value
        return node(*every)

    def slope(*some: BackendTensor) -> Tensors:
        outputs, back = backend.differentiable_vjp(run, list(some))
        signals = back(outputs)
        if any(map(backend.once_only, signals)):
            raise NotImplementedError
        return [sum(ops.sum(ops.square(s)) for s in signals)]

    try:
        with read_only(maps.variables, values):
            _differentiated(slope, [given[i] for i in moved])
    except Exception:  # each framework has its own
        return True
    return False
