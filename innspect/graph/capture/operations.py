"""What kind of node a Keras operation is: the table behind models written with `keras.ops`."""

import functools
import re

import keras
from keras import ops

from innspect import backend
from innspect.graph.ir import Ref, is_float, widen
from innspect.graph.keras_internals import settings_of, target_shape
from innspect.graph.views.activations import Along, Extremum, Rectifier

_KINDS = {
    "pass": "Relu Relu6 ReLU Sigmoid SparseSigmoid Softplus Softsign SoftShrink SparsePlus Silu Squareplus LogSigmoid "
    "LeakyRelu HardSigmoid HardSilu Elu Selu Gelu Celu TanhShrink HardTanh HardShrink Threshold Mish Tanh Exp Exp2 Expm1 "
    "Log Log2 Log10 Log1p Sqrt Rsqrt Cbrt Square Absolute Abs Fabs Negative Reciprocal Clip Erf Erfc Erfinv Sin Cos Tan "
    "Sinh Cosh Arctan Arcsin Arccos Arcsinh Arccosh Arctanh Power Cast SaturateCast ConvertToTensor Copy NanToNum Deg2rad "
    "Rad2deg Sinc",
    "reindex": "Reshape Transpose Squeeze ExpandDims GetItem Concatenate Stack Split Unstack Pad Flip Fliplr Flipud Roll "
    "Tile Repeat Take TakeAlongAxis Moveaxis Swapaxes BroadcastTo Ravel Where Select Slice Rot90 Hstack Vstack Dstack "
    "Hsplit Vsplit Dsplit ArraySplit DepthToSpace SpaceToDepth ExtractPatches Unfold Tril Triu Diagonal CropImages "
    "PadImages View Diag Diagflat",
    "sum": "Add Subtract Mean Sum AveragePool AdaptiveAveragePool Average Cumsum Fold RGBToGrayscale GaussianBlur "
    "ScaleAndTranslate FFT FFT2 IFFT2 RFFT IRFFT STFT ISTFT BatchNorm",
    "winner": "Max Amax Min Amin Maximum Minimum Fmax Fmin MaxPool AdaptiveMaxPool",
    "product": "Multiply",
    "quotient": "Divide TrueDivide DivideNoNan",
    "bilinear": "Matmul Einsum Dot Tensordot Inner Vdot Conv DepthwiseConv ConvTranspose",
    "softmax": "Softmax",
    "normalization": "RMSNorm LayerNorm Normalize",
    "constant": "Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalOr LogicalNot LogicalXor Argmax "
    "Argmin Argsort OnesLike ZerosLike FullLike EmptyLike Any All Isnan Isinf Isfinite Isclose Shape Size OneHot MultiHot "
    "StopGradient Floor Ceil Round Sign Signbit Trunc FloorDivide CountNonzero Nonzero Digitize SearchSorted Bincount "
    "Heaviside",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}

OPERATIONS = frozenset(_KIND_OF)  # the names of those whose kind is known

_WINDOWS = ("MaxPool", "AdaptiveMaxPool")
_CASTS = ("Cast", "SaturateCast", "ConvertToTensor")


def node_name(name):
    """The snake_case name of an operation's class."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def describe(operation, args, kwargs):
    """The kind of an operation's node, the function that computes it, and the view that its rules need."""
    name = type(operation).__name__
    kind, function, view = _KIND_OF.get(name, "opaque"), operation.call, None
    if name in backend.PRECISE and args[0].dtype == "float64":
        function = functools.partial(backend.PRECISE[name], **settings_of(operation))
    elif name in ("Relu", "ReLU", "Relu6"):
        view = _rectifier(operation, name)
    elif name in ("Softmax", "LogSoftmax"):
        view = Along(operation.axis)
    elif name in _CASTS:
        dtype = keras.backend.standardize_dtype(operation.dtype or args[0].dtype)
        kind = "reindex" if "int" in dtype else "pass" if is_float(dtype) else "constant"
        function = lambda x, *_, **__: ops.cast(x, widen(dtype))  # noqa: E731
    elif name in ("Reshape", "BroadcastTo"):
        function = _reshaping(operation, args)
    elif name in ("Maximum", "Minimum"):
        function = backend.maximum if name == "Maximum" else backend.minimum
    elif name == "Mean":
        function = lambda x: backend.mean(x, axis=operation.axis, keepdims=operation.keepdims)  # noqa: E731
    elif name == "Matmul":
        function = backend.matmul
    elif name in ("Max", "Amax", "Min", "Amin"):
        view = Extremum(operation.axis, operation.keepdims, name in ("Max", "Amax"))
    elif _looks_up(name, operation, args):
        kind = "embedding"
    elif name == "Resize":
        if None in operation.size:  # before Keras 3.15 nothing else says so
            raise ValueError(f"it resizes to {operation.size}, with lengths that are not known beforehand")
        kind = "reindex" if operation.interpolation == "nearest" else "sum"
    return kind, function, view


def as_computed(operation, spec, given):
    """The shapes and dtypes of what an operation makes, in float64 where it is given that: Keras tells float32."""
    double = any(getattr(leaf, "dtype", None) == "float64" for leaf in keras.tree.flatten(given))
    if not double or type(operation).__name__ in _CASTS:
        return spec
    return keras.tree.map_structure(lambda s: keras.KerasTensor(s.shape, dtype="float64") if is_float(s.dtype) else s, spec)


def _looks_up(name, operation, args):
    """Whether an operation gives a vector for every id: rows of a matrix, or of the identity."""
    if name == "Take":
        return not isinstance(args[0], keras.KerasTensor) and operation.axis == 0
    return name == "OneHot" and operation.axis in (-1, len(args[0].shape)) and not operation.sparse


def changes_nothing(operation, args):
    """A cast to the dtype that the tensor is computed in already."""
    if type(operation).__name__ not in ("Cast", "ConvertToTensor", "Copy") or not isinstance(args[0], keras.KerasTensor):
        return False
    return widen(getattr(operation, "dtype", None) or args[0].dtype) == widen(args[0].dtype)


def _rectifier(operation, name):
    if name == "Relu6":
        return Rectifier(6.0)
    if name == "Relu":
        return Rectifier()
    plain = not operation.negative_slope and not operation.threshold
    return Rectifier(operation.max_value) if plain else None


def settle(node):
    """The node with its precise kind, now that it is known which operands depend on the model's inputs."""
    active = node.active_inputs
    if node.kind == "constant":
        return node
    if node.kind == "pass" and len(active) > 1:
        return node.but(kind="opaque")  # such as x ** y
    if node.kind in ("product", "quotient", "bilinear") and len(active) == 1:
        return _settled_linear(node, active[0])
    if node.kind == "quotient" or (node.kind == "bilinear" and "Conv" in node.operation):
        return node.but(kind="opaque")
    if node.operation == "BatchNorm" and [node.inputs[p] for p in active] != [getattr(node.args[0], "tensor", None)]:
        return node.but(kind="opaque")  # its statistics depend on the input
    if node.kind == "winner" and len(active) == 1 and node.view is None and node.operation not in _WINDOWS:
        # an elementwise maximum with a constant
        rectifies = node.operation == "Maximum" and any(_is_zero(leaf) for leaf in node.args)
        return node.but(kind="pass", **({"view": Rectifier(), "operation": "Relu"} if rectifies else {}))
    return node


def _is_zero(leaf):
    return isinstance(leaf, int | float) and leaf == 0


def _keeps_samples(target, x):
    """Whether the one length that is not known is that of the samples, which x has too."""
    return target.index(None) == 0 and None not in target[1:] and len(x.shape) == len(target) and x.shape[0] is None


def _reshaping(operation, args):
    """A reshape whose target was written down before the batch size was known: None stands for it."""
    target = tuple(target_shape(operation))
    if None not in target:
        return operation.call
    if type(operation).__name__ == "BroadcastTo" and not _keeps_samples(target, args[0]):
        raise ValueError(f"it broadcasts to {target}, with lengths that are not known beforehand")
    if sum(d in (None, -1) for d in target[target[0] is None :]) > 1:
        raise ValueError(f"it reshapes to {target}, with more than one length that is not known beforehand")
    reshape = ops.reshape if type(operation).__name__ == "Reshape" else ops.broadcast_to

    def call(x):
        known = [ops.shape(x)[0] if d is None and i == 0 else -1 if d is None else d for i, d in enumerate(target)]
        return reshape(x, known)

    return call


def _settled_linear(node, position):
    """One active operand: the operation is linear in it, unless it divides by it."""
    reference = [r for r in keras.tree.flatten((node.args, node.kwargs)) if isinstance(r, Ref)][position]
    if node.kind == "quotient" and reference is not node.args[0]:
        return node.but(kind="pass" if node.outputs[0].shape == node.inputs[position].shape else "opaque")
    return node.but(kind="sum")
