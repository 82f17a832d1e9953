"""What innspect needs of Keras that Keras does not document: every such name, here and nowhere else.

Each is checked when this module is imported. Without the check a name that a release renames would not be found later, by
an error at the place, but go unnoticed: `getattr` gives a default, two subclasses compare as equal, an operation stays whole.
"""

import inspect
import threading

import keras
import numpy as np
from keras import layers as L
from keras import ops

HOLDS = ("3.12.4", "3.13.2", "3.14.1", "3.15.1")  # the releases that innspect was tried on

# What a layer class may compute with. A subclass keeps its parent's mapping only where it has its parent's.
COMPUTING = (
    "call",
    "convolution_op",
    "_merge_function",
    "kernel",
    "embeddings",
    "_compute_carry_and_output",
    "_compute_carry_and_output_fused",
)

# What innspect answers for Keras while it replays a model, and what it notes while it calls one.
INTERCEPTED = {
    "calls": ((keras.Layer, "__call__"), (keras.Operation, "symbolic_call")),
    "losses": ((keras.Layer, "add_loss"), (keras.Layer, "_clear_losses")),
}
ATTRIBUTES = ("__setattr__", "__delattr__", "__getattribute__")  # so are these, of the classes of a model's layers

# Of Keras' own layers those whose `call` sets attributes, or runs what may set them.
WRITING = (L.RNN, L.GroupQueryAttention, L.Lambda)

# class -> names that it must have
OF_CLASSES = {
    keras.Layer: ("_flatten_layers", "compute_output_spec", "add_loss", "_clear_losses"),
    keras.Operation: ("symbolic_call", "compute_output_spec"),
    keras.StatelessScope: ("get_current_value",),
    **dict.fromkeys((L.Dense, L.EinsumDense), ("kernel",)),
    L.Embedding: ("embeddings",),
    **dict.fromkeys((L.Conv1D, L.Conv2D, L.Conv3D), ("convolution_op", "kernel")),
    **dict.fromkeys((L.Add, L.Subtract, L.Average, L.Multiply, L.Maximum, L.Minimum), ("_merge_function",)),
    L.LSTMCell: ("_compute_carry_and_output", "_compute_carry_and_output_fused"),
}

# Names that every layer, tensor with a mask, and layer that may also run on data of TensorFlow must have.
OF_LAYERS = ("_losses", "_loss_ids", "_inbound_nodes", "_outbound_nodes", "_convert_input_args", "_trainable_variables")
OF_MASKED_TENSORS = ("_keras_mask", "_keras_history")
OF_DATA_LAYERS = ("backend",)

# (class, method, what the method writes): of layers that cannot be made without TensorFlow's tables
WRITTEN_BY = tuple((each, "finalize_state", "idf_weights_const") for each in (L.StringLookup, L.IntegerLookup))

_KERNEL, _TURNED = np.ones((1, 3, 2)), np.ones((1, 2, 3))
_OF_CONVOLUTIONS = ("strides", "padding", "data_format", "dilation_rate")

# name of an operation's class -> a call that makes one, and the attributes that are read off it. Constants are NumPy's: with a
# tensor the backend would start its devices and threads, which a process that forks afterwards does not survive.
OF_OPERATIONS = {
    "Reshape": (lambda x: ops.reshape(x, (4, 6)), ("newshape",)),
    "BroadcastTo": (lambda x: ops.broadcast_to(x, (2, 4, 2, 3)), ("shape",)),
    "Repeat": (lambda x: ops.repeat(x, 2, axis=0), ("repeats", "axis")),
    "Tile": (lambda x: ops.tile(x, (2, 1, 1)), ("repeats",)),
    "Cast": (lambda x: ops.cast(x, "int32"), ("dtype",)),
    "Mean": (lambda x: ops.mean(x, axis=1), ("axis", "keepdims")),
    "Max": (lambda x: ops.max(x, axis=1), ("axis", "keepdims")),
    "Min": (lambda x: ops.min(x, axis=1), ("axis", "keepdims")),
    "Take": (lambda x: ops.take(x, [0], axis=0), ("axis",)),
    "OneHot": (lambda x: ops.one_hot(x, 3), ("axis", "sparse")),
    "Resize": (lambda x: ops.image.resize(x, (2, 2)), ("interpolation", "size")),
    "ReLU": (lambda x: keras.activations.relu(x, negative_slope=0.1), ("negative_slope", "threshold", "max_value")),
    "Einsum": (lambda x: ops.einsum("abc,cd->abd", x, np.ones((3, 2))), ("subscripts",)),
    "Tensordot": (lambda x: ops.tensordot(x, np.ones((3, 2)), axes=1), ("axes",)),
    "Conv": (lambda x: ops.conv(x, _KERNEL, padding="valid"), _OF_CONVOLUTIONS),
    "DepthwiseConv": (lambda x: ops.depthwise_conv(x, _KERNEL, padding="valid"), _OF_CONVOLUTIONS),
    "SeparableConv": (lambda x: ops.separable_conv(x, _KERNEL[..., :1], _KERNEL, padding="valid"), _OF_CONVOLUTIONS),
    "ConvTranspose": (lambda x: ops.conv_transpose(x, _TURNED, 1, padding="valid"), (*_OF_CONVOLUTIONS, "output_padding")),
    "BatchNorm": (lambda x: ops.batch_normalization(x, np.zeros(3), np.ones(3), axis=-1), ("axis", "epsilon")),
    "Softmax": (lambda x: ops.softmax(x, axis=1), ("axis",)),
    "LogSoftmax": (lambda x: ops.log_softmax(x, axis=1), ("axis",)),
    "LeakyRelu": (lambda x: ops.leaky_relu(x, 0.1), ("negative_slope",)),
    "Gelu": (lambda x: ops.gelu(x), ("approximate",)),
    "Glu": (lambda x: ops.glu(x, axis=1), ("axis",)),
    "TopK": (lambda x: ops.top_k(x, 2), ("k", "sorted")),
    "Sort": (lambda x: ops.sort(x), ("axis",)),
    "Normalize": (lambda x: ops.normalize(x), ("axis", "order", "epsilon")),
    "LayerNorm": (lambda x: ops.layer_normalization(x), ("axis", "epsilon", "rms_scaling")),
    "RMSNorm": (lambda x: ops.rms_normalization(x), ("axis", "epsilon")),
    "DotProductAttention": (
        lambda x: ops.dot_product_attention(*[ops.reshape(x, (1, 4, 2, 3))] * 3),
        ("is_causal", "attn_logits_soft_cap"),
    ),
}

TARGETS = ("newshape", "shape", "repeats")  # the attributes of operations that may hold lengths

# What Keras and its backends write on a layer when it is called, trained, compiled or saved, or say twice, of a functional
# model and of every layer. Nothing is read by these names, so none is missed: they tell what is no change of a layer.
PASSING = frozenset(
    "built training history stop_training stop_predicting stop_evaluating optimizer loss compiled jit_compile "
    "run_eagerly steps_per_execution train_function test_function predict_function auto_scale_loss "
    "distribute_strategy distribute_reduction_method _losses _loss_ids _loss_tracker _metrics _inbound_nodes "
    "_outbound_nodes _called _call_context_args _compile_loss _compile_metrics _compile_config "
    "_eval_epoch_iterator _initial_epoch _loss_scale_factor _predict_state _train_state _jax_state "
    "_jax_state_synced _jax_trainer _parent_path _lock _saved_model_inputs_spec _backend_variables _training_state "
    "_compiled_trainable_state _distribute_strategy _is_compiled _should_compute_mask _jit_compile _trainable "
    "_modules _nodes_by_depth _operations_by_depth _operations _tracker _path _build_shapes_dict".split()
)
OF_FRAMEWORKS = ("_self_", "_backward_", "_forward_", "_tf_", "_compile")  # how their own attributes of a layer begin


def require(owner, *names, of=None):
    """Raise an ImportError where a class or object of Keras lacks one of some names; `of` is what the error calls it."""
    of = of or getattr(owner, "__name__", type(owner).__name__)
    for name in names:
        if not hasattr(owner, name):
            raise lacking(f"{of}.{name}")


def lacking(name):
    return ImportError(
        f"innspect uses {name}, which is no documented name of Keras, and which Keras {keras.__version__} does not have. "
        f"Install a release that it holds on: Keras {', '.join(HOLDS)}."
    )


# ---------------------------------------------------------------------- layers
def layers_of(layer):
    """A layer, and all layers within it."""
    return layer._flatten_layers()


def parameters_of(layer):
    """The variables that a layer itself has made for training, also where it is frozen; without those within it."""
    return list(layer._trainable_variables)


def may_write(layer):
    """Whether a layer's `call` may set attributes: that of every class which is not Keras' own, and of a few which are."""
    return type(layer).__module__.partition(".")[0] != "keras" or isinstance(layer, WRITING) or "call" in vars(layer)


def losses_of(layer):
    """The losses that a layer's last call added, and their ids: the list and the set that Keras writes to."""
    return layer._losses, layer._loss_ids


def count_calls(layer):
    """How often a layer was called on symbolic tensors."""
    return len(layer._inbound_nodes)


def history_of(tensor):
    """What made a symbolic tensor, or None, what that was called with, and the number of the tensor among its outputs."""
    maker, node, index = getattr(tensor, "_keras_history", (None, 0, 0))
    called = None if maker is None else maker._inbound_nodes[node].arguments
    return (None, (), {}, 0) if called is None else (maker, called.args, called.kwargs, index)


def call_aside(layer, *args, **kwargs):
    """What a new layer or operation gives for symbolic tensors; those that made the tensors take no note of it."""
    made, node = layer(*args, **kwargs), layer._inbound_nodes[-1]
    for tensor in node.input_tensors:
        noted = tensor._keras_history.operation._outbound_nodes
        noted[:] = [other for other in noted if other is not node]
    return made


def casts_inputs(layer):
    """Whether `Layer.__call__` casts a layer's inputs to the dtype that it computes in."""
    return layer.autocast and layer._convert_input_args


def shapes_by_argument(layer):
    """The shapes that a layer was built with, by the names of `build`'s arguments; None where it takes one."""
    return (layer.get_build_config() or {}).get("shapes_dict")


def computing(cls):
    """The names of what a layer class computes with."""
    return tuple(name for name in COMPUTING if hasattr(cls, name))


def computes_as(own, known, names):
    """Whether a class computes with the methods of a known one."""
    return all(getattr(own, name) is getattr(known, name) for name in names)


def is_of_keras(thing):
    """Whether a class or function is Keras' own."""
    return (getattr(thing, "__module__", None) or "").split(".")[0] == "keras"


def idf_weights(layer):
    """The weights by which a lookup with `output_mode="tf_idf"` multiplies its counts."""
    return layer.idf_weights_const


def is_backend(value):
    """Whether a value is what layers hold for the functions of a backend that they choose when they are called."""
    return isinstance(value, _backend_of_layers)


# ---------------------------------------------------------------------- tensors and operations
def mask_of(tensor):
    """The mask that a tensor carries, or None."""
    return getattr(tensor, "_keras_mask", None)


def set_mask(tensor, mask):
    tensor._keras_mask = mask


def call_symbolically(operation, *args):
    """What `operation` gives for symbolic tensors."""
    return operation.symbolic_call(*args)


def target_shape(operation):
    """The shape that a `Reshape` or `BroadcastTo` was given."""
    return operation.newshape if type(operation).__name__ == "Reshape" else operation.shape


def settings_of(operation):
    """The attributes of an operation that are read off it, by name."""
    _, names = OF_OPERATIONS.get(type(operation).__name__, (None, ()))
    return {name: getattr(operation, name) for name in names}


def caps_logits(operation):
    """Whether a `DotProductAttention` caps its scores."""
    return bool(operation.attn_logits_soft_cap)


# ---------------------------------------------------------------------- the check
_backend_of_layers: type  # found by the check


class _Example(keras.Layer):
    """A layer of two arguments that gives its output a mask."""

    def build(self, a_shape, b_shape):
        pass

    def call(self, a, b):
        return a

    def compute_output_spec(self, a, b):
        return keras.KerasTensor(a.shape)

    def compute_mask(self, inputs, previous):
        return keras.KerasTensor(inputs.shape[:1], dtype="bool")


def check():
    """Raise an ImportError where this release of Keras lacks a name of this file."""
    global _backend_of_layers
    for owner, names in OF_CLASSES.items():
        require(owner, *names)
    x, layer, on_data = keras.KerasTensor((4, 2, 3)), _Example(), L.Rescaling(1.0)
    layer.supports_masking = True
    require(layer(x, x), *OF_MASKED_TENSORS)
    require(layer, *OF_LAYERS, of="Layer")
    require(on_data, *OF_DATA_LAYERS)
    _backend_of_layers = type(on_data.backend)
    if shapes_by_argument(layer) is None:
        raise lacking("'shapes_dict' in Layer.get_build_config()")
    for owner, method, name in WRITTEN_BY:
        require(owner, method)
        if name not in inspect.unwrap(getattr(owner, method)).__code__.co_names:
            raise lacking(f"{owner.__name__}.{name}")
    for kind, (call, attributes) in OF_OPERATIONS.items():
        made = {type(operation).__name__: operation for operation in keras.Function(x, call(x)).operations}
        if kind not in made:
            raise lacking(f"the operation {kind}")
        require(made[kind], *attributes)


def _aside(function):
    """Run a function in a thread of its own: Keras counts automatic names per thread, and the user's must not change."""
    errors = []

    def run():
        try:
            function()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="innspect-keras-internals")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


_aside(check)
