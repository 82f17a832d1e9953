"""JAX: everything under one jit; weights enter as arguments, so that they are never baked in."""

import contextlib

import jax
import jax.numpy as jnp
import keras

from innspect.backend import jax_kernels, jax_values

LOOKS_UP, ID_DTYPE, GIVES_INITIAL_STATE = False, "int32", True

mean = jnp.mean


def is_tensor(x):
    return isinstance(x, jax.Array)


def vjp(function, inputs):
    """The outputs of `function(*inputs)`, a list, and a function from their signals to the inputs'."""
    outputs, pull = jax.vjp(function, *inputs)

    def pullback(signals):
        return list(pull([jnp.asarray(s, o.dtype) for s, o in zip(signals, outputs, strict=True)]))

    return outputs, pullback


def compile(function):
    return jax.jit(function)


def once(function, *args):
    """The value of a function that is run a single time: compiled as a whole, which is quicker than op by op."""
    return jax.jit(function)(*args)


def rehearse(function, *args):
    """As `once`, of which only the errors are wanted: they come while it is traced."""
    jax.eval_shape(function, *args)


def equal_by_construction(function, *args):
    """Whether the two lists that a function returns are shown equal by its program alone."""
    return jax_values.equal_outputs(jax.jit(function).trace(*args).jaxpr)


SCANNED = 8  # unrolled, since in a loop the way back through VGG16 takes four times as long


def scan(function, items):
    """Apply `function` to each element along the first axis of `items`, and stack what it returns."""
    results: list = []
    for item in items:
        item, _ = jax.lax.optimization_barrier((item, results[-1:]))  # one after the other, for the memory of one
        results.append(function(item))
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)


def recur(step, carry, items, reverse=False):
    """Run `carry, made = step(carry, item)` along the first axis of a structure; the last carry and what was made."""
    return jax.lax.scan(step, carry, items, reverse=reverse)


def rectifier(z):
    """max(signal, 0) as a function.

    On CPUs XLA's code for VGG16 takes a quarter longer where the way back reads nothing of the way forth: so this reads z,
    to choose between two expressions of the same number.
    """
    if accelerated():
        return jax.nn.relu
    return lambda signal: jnp.where(z > -jnp.inf, jnp.maximum(signal, 0), jnp.where(signal > 0, signal, 0))


def variable_values(variables):
    """The live values, to be handed to a compiled function; None where they cannot be read.

    Training in another thread may be about to put others in their place; and within `fit` Keras takes them away, and makes
    up new ones for whoever asks, or fails where it has nothing to make them with.
    """
    try:
        values = [v.value for v in variables]
        return values if all(v.value is value for v, value in zip(variables, values, strict=True)) else None
    except TypeError:
        return None


def marks(values):
    """What is another where values are not what they were; what was given away has a new one whenever it is asked."""
    return [object() if value.is_deleted() else None for value in values]


def copies(values):
    """Copies of values, or None where these were given away meanwhile."""
    try:
        return [jnp.copy(value) for value in values]
    except (RuntimeError, ValueError):  # as they are found to be gone by JAX, or by the device
        if any(value.is_deleted() for value in values):
            return None
        raise


def _split(shape):
    """How Keras' distribution lays out samples of a shape, and into how many parts; (None, 1) where there is none."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return None, 1
    layout = distribution.get_data_layout(shape)
    axis = layout.axes[0]
    if axis is None:
        return None, 1
    mesh = layout.device_mesh
    return layout, mesh.shape[list(mesh.axis_names).index(axis)]


def shards():
    """Into how many parts samples are split."""
    return _split((1,))[1]


def batch(array):
    """A tensor of samples, split over devices as Keras' distribution says, where their number allows that."""
    tensor = keras.ops.convert_to_tensor(array)
    layout, parts = _split(tensor.shape) if tensor.ndim else (None, 1)
    if parts < 2 or len(tensor) % parts:
        return tensor
    return keras.distribution.distribute_tensor(tensor, layout)


def inference():
    return contextlib.nullcontext()


def accelerated():
    """Whether tensors live on a device that is not the CPU."""
    return jax.default_backend() != "cpu"


def kernel_gradients():
    return None if accelerated() else jax_kernels


def custom_gradients(answer):
    original = jax.custom_vjp.__call__  # which `jax.custom_gradient` comes to, too

    def call(function, *args, **kwargs):
        return answer(lambda: original(function, *args, **kwargs), function, args, kwargs)

    return [(jax.custom_vjp, "__call__", call)]
