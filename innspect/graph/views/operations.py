"""The affine view of an operation one of whose operands is a kernel: the same view as that of the layer that computes this."""

import string
from types import SimpleNamespace
from typing import Any

import keras
from keras import ops

from innspect.graph.ir import Node
from innspect.graph.values import Value
from innspect.graph.views import affine, convolutions
from innspect.graph.views.matrix import ConstantMatrix
from innspect.types import Shape

_CONVOLUTIONS = {
    "Conv": convolutions.Conv,
    "DepthwiseConv": convolutions.DepthwiseConv,
    "ConvTranspose": convolutions.ConvTranspose,
}
_PRODUCTS = ("Matmul", "Einsum", "Dot", "Tensordot", "Inner")

WITH_KERNEL = frozenset((*_CONVOLUTIONS, *_PRODUCTS))


def affine_view(node: Node, position: int, kernel: Value) -> affine.Affine | None:
    """The view of a product or convolution with a kernel.

    Args:
        node: An operation of two operands.
        position: Which of them is the input.
        kernel: The other.
    """
    rank, operation = len(node.inputs[0].shape), getattr(node.function, "__self__", None)
    if node.operation in _CONVOLUTIONS and position == 0 and not node.kwargs:
        return _convolution(_CONVOLUTIONS[node.operation], operation, kernel, node.inputs[0].shape)
    equation = _equation(node, position, operation, len(kernel.shape), rank)
    made = None if equation is None else _of_equation(equation, kernel, rank)
    if made is not None or node.kwargs or len(node.args) != 2:
        return made
    function = node.function
    return ConstantMatrix(function if position == 0 else lambda x, w: function(w, x), kernel, "dense")


def _convolution(view_class: Any, operation: Any, kernel: Value, shape: Shape) -> affine.Affine:
    rank = len(shape)
    axes, transposed = rank - 2, view_class is convolutions.ConvTranspose

    def each(number: Any) -> tuple[int, ...]:
        return (number,) * axes if isinstance(number, int) else tuple(number)

    data_format = operation.data_format or keras.config.image_data_format()
    channels, per_group = shape[-1 if data_format == "channels_last" else 1], kernel.shape[-2] or 1
    groups = (channels or per_group) // per_group if view_class is convolutions.Conv else 1
    layer = SimpleNamespace(
        kernel=kernel,
        bias=None,
        kernel_size=tuple(kernel.shape[:axes]),
        strides=each(operation.strides),
        dilation_rate=each(operation.dilation_rate),
        padding=operation.padding,
        data_format=data_format,
        output_padding=operation.output_padding if transposed else None,
        groups=groups,
    )
    return view_class(layer, rank)


def is_dense(x: str, w: str, y: str) -> bool:
    """Whether einsum("x,w->y") is x w over the last axis of x, with the kernel as a dense layer has it, or transposed."""
    return len(w) == 2 and x[:-1] == y[:-1] and {*w} == {x[-1], y[-1]} and x[-1] != y[-1]


def _of_equation(equation: str, kernel: Value, rank: int) -> affine.Affine | None:
    """The view of einsum(equation, input, kernel), that of a dense layer where it is one; None where it is neither's."""
    inputs, y = equation.split("->")
    x, w = inputs.split(",")
    repeats = any(len({*term}) != len(term) for term in (x.replace("...", ""), w, y.replace("...", "")))
    if repeats or not x or not y or x[0] != y[0]:  # the samples are the first axis
        return None
    if is_dense(x, w, y):
        kernel = kernel if w[0] == x[-1] else kernel.then(ops.transpose, kernel.shape[::-1])
        return affine.Dense(SimpleNamespace(kernel=kernel, bias=None), rank)
    return affine.EinsumDense(SimpleNamespace(kernel=kernel, bias=None, equation=equation), rank)


def _equation(node: Node, position: int, operation: Any, kernel_rank: int, rank: int) -> str | None:
    """What a product of two operands is as an einsum of the input and the kernel."""
    letters = string.ascii_lowercase
    x = letters[:rank]
    if node.operation == "Einsum":
        subscripts = operation.subscripts.replace(" ", "")
        if "->" not in subscripts or subscripts.count(",") != 1:
            return None
        inputs, y = subscripts.split("->")
        x, w = inputs.split(",")[:: 1 if position == 0 else -1]
        return f"{x},{w}->{y}"
    fresh = letters[rank:]
    if node.operation == "Matmul":
        if kernel_rank != 2 or rank < 2:
            return None
        if position == 0:
            return f"{x},{x[-1]}{fresh[0]}->{x[:-1]}{fresh[0]}"
        return f"{x},{fresh[0]}{x[-2]}->{x[:-2]}{fresh[0]}{x[-1]}"
    if position != 0:
        return None
    w = fresh[:kernel_rank]
    if node.operation == "Tensordot":
        pairs = _contracted(operation.axes, rank, kernel_rank)
    else:
        last = kernel_rank - 1
        pairs = [(rank - 1, last if node.operation == "Inner" or kernel_rank == 1 else last - 1)]
    w = "".join(next((x[a] for a, b in pairs if b == i), letter) for i, letter in enumerate(w))
    y = "".join(a for a in x if a not in w) + "".join(b for b in w if b not in x)
    return f"{x},{w}->{y}"


def _contracted(axes: Any, rank: int, kernel_rank: int) -> list[tuple[int, int]]:
    """The pairs of axes that a tensordot sums over."""
    if isinstance(axes, int):
        return [(rank - axes + i, i) for i in range(axes)]
    ours, theirs = ((a,) if isinstance(a, int) else tuple(a) for a in axes)
    return [(a % rank, b % kernel_rank) for a, b in zip(ours, theirs, strict=True)]
