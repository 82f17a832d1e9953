"""A cheap description of a model: equal while the graph that was made of it still holds.

The graph reads weights live, so their values do not matter; all else that a layer's `call` may read was read when the
model was opened. So every attribute of every layer counts, but what training, predicting and saving write on them, and so
do the functions of the layers' classes: an activation that is set, another dtype policy, a quantized layer, a `call` that
is wrapped. What a description holds is compared by identity where it has no value of its own, and is kept, so that
nothing else can take its place in memory.
"""

import zlib

import keras
import numpy as np

from innspect.graph.capture import registry

_DEEPEST = 6

# What Keras and its backends write on a layer when it is called, trained, compiled or saved.
_PASSING = set(
    "built training history stop_training stop_predicting stop_evaluating optimizer loss compiled jit_compile "
    "run_eagerly steps_per_execution train_function test_function predict_function auto_scale_loss "
    "distribute_strategy distribute_reduction_method _losses _loss_ids _loss_tracker _metrics _inbound_nodes "
    "_outbound_nodes _called _call_context_args _compile_loss _compile_metrics _compile_config "
    "_eval_epoch_iterator _initial_epoch _loss_scale_factor _predict_state _train_state _jax_state "
    "_jax_state_synced _jax_trainer _parent_path _lock _saved_model_inputs_spec _backend_variables _training_state "
    "_compiled_trainable_state _distribute_strategy _is_compiled _should_compute_mask _jit_compile _trainable "
    "_modules".split()
)


# What says again what other attributes say, of a functional model and of every layer.
_PASSING |= set("_nodes_by_depth _operations_by_depth _operations _tracker _path _build_shapes_dict".split())

_OF_FRAMEWORKS = ("_self_", "_backward_", "_forward_", "_tf_", "_compile")  # how their own attributes of a layer begin

_LEAVES = frozenset([type(lambda: None), keras.Variable, type(keras.ops)])
_PLAIN = frozenset([type(None), str, bytes, bool, int, complex])


def describe(model):
    """The description of a built model, a value to compare."""
    classes: dict = {}
    layers = []
    for layer in model._flatten_layers():
        cls = type(layer)
        if cls not in classes:
            classes[cls] = _class(cls)
        layers.append((_Same(layer), classes[cls], _attributes(layer)))
    return tuple(layers), keras.config.dtype_policy().name, registry.version()


class _Same:
    """An object that equals only itself."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self):
        return id(self.value)


def _class(cls):
    """What the classes compute with: `call`, and all that is written in classes that are not Keras' own."""
    return tuple(
        _Same(value)
        for base in cls.__mro__
        if issubclass(base, keras.Layer) and base is not keras.Layer
        for name, value in vars(base).items()
        if name in ("call", "__call__") or not base.__module__.startswith("keras.")
    )


def _attributes(layer):
    found = []
    for name, value in list(vars(layer).items()):  # which another thread may be writing to, training
        if name not in _PASSING and not name.startswith(_OF_FRAMEWORKS):
            kind = type(value)
            if kind in _PLAIN:
                found.append((name, kind, value))
            else:
                found.append((name, _value(value, _DEEPEST)))
    return tuple(found)


def _value(value, deeper):
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if not deeper or kind in _LEAVES:
        return _Same(value)
    if isinstance(value, float):
        return kind, repr(value)  # which NaN equals, too
    if isinstance(value, list | tuple):
        return kind, tuple([_value(v, deeper - 1) for v in value])
    if isinstance(value, dict):
        return kind, tuple([(_value(k, 0), _value(v, deeper - 1)) for k, v in list(value.items())])
    if isinstance(value, set | frozenset):
        return kind, frozenset([_value(v, 0) for v in value])
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiubc":
        return value.shape, value.dtype.str, zlib.crc32(np.ascontiguousarray(value).view("uint8"))
    if isinstance(value, keras.DTypePolicy):
        return kind, value.name
    return _Same(value)
