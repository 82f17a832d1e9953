"""The little that `keras.ops` lacks, once for each backend.

Requirements of the design:

- Only this folder imports a framework, and only the one that Keras has chosen.
- Nothing here is global: no switch of the framework is changed, and the user's variables are only read.
- The same contract everywhere:
  `vjp(function, inputs)` gives the outputs and a pullback that may be asked more than once;
  `differentiable_vjp` is the same where both are differentiated in turn, with respect to all that the function reads;
  `compile(function)` may trace once per input shape; `once(function, *args)` runs what is not run again;
  `rehearse(function, *args)` raises what running it would;
  `equal_by_construction(function, *args)` is whether the two lists that it returns are proved equal without running it;
  `after(tensor, others)` is the tensor, for a compiled function to go on with when the others have been computed;
  `rectifier(z)` is a function of the signal at a ReLU of z: max(signal, 0), whatever z is;
  `variable_values(variables)` is what a compiled function must be handed to see the live weights, None where they cannot be
  read; `marks(values)` is another once these were changed in place or given away; `copies(values)` None where that happened;
  `scan(function, items)` maps over the first axis, one item at a time, of `SCANNED` items at most;
  `custom_gradients(answer)` lists where functions with a gradient of their own, and graphs of the framework, pass when they
  are called: (owner, name of its attribute, what to put there), which then gives `answer(original, function, args, kwargs)`,
  of what the framework would do and of the function itself, with a name for it as a fifth argument perhaps;
  `add_owned(a, b)` and `multiply_owned(a, b)` are a + b and a * b, where `a` is not read again: large arrays that are made
  anew cost PyTorch on a CPU as much as what is computed, so there it is written to;
  `batch(array)` is a tensor of samples, split over devices where Keras is told to, into `shards()` parts, 1 where it is not;
  `beside(variables)` a scope in which tensors are made on the device of the variables that a function returns;
  `recur(step, carry, items, reverse)` hands a carry along the first axis (`keras.ops.scan`, whose TensorFlow version
  wants outputs shaped like the carry).
"""

import contextlib
import importlib
import operator
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

from innspect.types import Array, BackendTensor, Tensors

SUPPORTED = ("tensorflow", "jax", "torch")

if keras.backend.backend() not in SUPPORTED:
    raise ImportError(
        f"innspect needs one of the Keras backends {', '.join(SUPPORTED)}. "
        f"Received: keras.backend.backend()={keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND before Keras is imported."
    )

_active = importlib.import_module(f"innspect.backend.{keras.backend.backend()}")

vjp: Callable[[Callable[..., Tensors], Tensors], tuple[Tensors, Callable[[Tensors], Tensors]]] = _active.vjp
differentiable_vjp = getattr(_active, "differentiable_vjp", _active.vjp)  # elsewhere `vjp` is differentiable as it is
# Elsewhere a gradient without a derivative raises when it is differentiated.
once_only: Callable[[BackendTensor], bool] = getattr(_active, "once_only", lambda tensor: False)
compile = _active.compile
once = _active.once
rehearse: Callable[..., Any] = getattr(_active, "rehearse", _active.once)
scan = _active.scan
SCANNED: int | None = getattr(_active, "SCANNED", None)  # None: any number, since nothing is compiled
recur = _active.recur
variable_values, marks, copies = _active.variable_values, _active.marks, _active.copies
# Where compiled functions read variables themselves: what they can be handed in their place.
current_values = getattr(_active, "current_values", variable_values)
inference = _active.inference
custom_gradients = _active.custom_gradients
is_tensor: Callable[[Any], bool] = _active.is_tensor
accelerated: Callable[[], bool] = _active.accelerated
# Elsewhere programs run in order, or the compiler orders them for little memory.
after = getattr(_active, "after", lambda tensor, others: tensor)
RUNS_AHEAD = hasattr(_active, "after")
# Elsewhere to run a function takes no longer than to look into it.
equal_by_construction = getattr(_active, "equal_by_construction", lambda function, *args: False)
rectifier = getattr(_active, "rectifier", lambda z: keras.ops.relu)
batch: Callable[[Any], BackendTensor] = getattr(_active, "batch", keras.ops.convert_to_tensor)
shards: Callable[[], int] = getattr(_active, "shards", lambda: 1)
# Elsewhere what is computed goes where its inputs are.
beside: Callable[[Any], AbstractContextManager[Any]] = getattr(_active, "beside", lambda variables: contextlib.nullcontext())
stop_gradient = keras.ops.stop_gradient
# On torch (the mean also on JAX), `keras.ops` computes these in float32 where it is given float64; TensorFlow has a faster
# way back for `matmul`.
matmul = getattr(_active, "matmul", keras.ops.matmul)
mean = getattr(_active, "mean", keras.ops.mean)
minimum = getattr(_active, "minimum", keras.ops.minimum)
maximum = getattr(_active, "maximum", keras.ops.maximum)
# TensorFlow's keeps the slope in float32.
leaky_relu = getattr(_active, "leaky_relu", keras.ops.leaky_relu)
divide_no_nan = getattr(_active, "divide_no_nan", keras.ops.divide_no_nan)
add_owned: Callable[[BackendTensor, Any], BackendTensor] = getattr(_active, "add_owned", operator.add)
multiply_owned: Callable[[BackendTensor, Any], BackendTensor] = getattr(_active, "multiply_owned", operator.mul)
# Name of a Keras operation -> the same of float64, given the operation's attributes, where the framework's own has constants
# in float32.
PRECISE: dict[str, Callable[..., BackendTensor]] = getattr(_active, "PRECISE", {})
# Torch's copies a channels-last input twice.
conv = getattr(_active, "conv", keras.ops.conv)
# The module of gradients of kernels where the framework's own are slow, which are JAX's on a CPU; else None.
kernel_gradients = getattr(_active, "kernel_gradients", lambda: None)
# Of a tensor that is not needed any more: an array that may share its memory, not to be written to.
view: Callable[[BackendTensor], Array] = getattr(_active, "view", np.asarray)


def to_numpy(tensor: BackendTensor) -> Array:
    """A NumPy array of its own with the values of a backend tensor."""
    return keras.ops.convert_to_numpy(tensor)


# What Keras can do on a backend, or does in its own way there.
HAS_STRINGS: bool = getattr(_active, "HAS_STRINGS", False)
LOOKS_UP: bool = getattr(_active, "LOOKS_UP", True)  # integers in a table of TensorFlow, within a compiled function
ID_DTYPE: str = getattr(_active, "ID_DTYPE", "int64")
# A recurrent layer gives its initial state before the first step that a mask leaves; elsewhere 0.
GIVES_INITIAL_STATE: bool = getattr(_active, "GIVES_INITIAL_STATE", False)
LOSES_SHAPES = hasattr(_active, "with_shape")  # a tensor in a compiled function may not know its shape
with_shape: Callable[[BackendTensor, Any], BackendTensor] = getattr(_active, "with_shape", lambda tensor, shape: tensor)
EAGER: bool = getattr(_active, "EAGER", False)  # what runs is not compiled, so a layer may compute with NumPy
EXPORTS: bool = getattr(_active, "EXPORTS", False)  # whether there is `innspect.backend.saved_model`


# Of a variable, or a tensor made from one: its values as they are now, whatever becomes of the variable.
snapshot: Callable[[BackendTensor], Array] = getattr(_active, "snapshot", lambda tensor: np.array(to_numpy(tensor)))
