"""TensorFlow: tapes inside one graph function per input shape, without XLA (faster on a CPU)."""

import contextlib

import tensorflow as tf

is_tensor = tf.is_tensor


def vjp(function, inputs):
    """The outputs of `function(*inputs)`, a list, and a function from their signals to the inputs'."""
    inputs = [tf.identity(x) for x in inputs]  # a tensor given twice counts as two
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = function(*inputs)

    def pullback(signals):
        return tape.gradient(
            outputs, inputs, output_gradients=list(signals), unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    return outputs, pullback


def compile(function):
    """A graph function for every input shape, made when it is first met."""
    made = {}

    def run(*args):
        key = tuple((t.shape, t.dtype) for t in tf.nest.flatten(args))
        if key not in made:
            specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), args)
            made[key] = tf.function(function, autograph=False).get_concrete_function(*specs)
        return made[key](*args)

    return run


def once(function, *args):
    """The value of a function that is run a single time."""
    return function(*args)


def scan(function, items):
    """Apply `function` to each element along the first axis of `items`, and stack what it returns."""
    first = function(items[0])
    if items.shape[0] == 1:
        return tf.nest.map_structure(lambda t: t[None], first)
    signature = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), first)
    others = tf.map_fn(function, items[1:], fn_output_signature=signature, parallel_iterations=1)
    return tf.nest.map_structure(lambda a, b: tf.concat([a[None], b], 0), first, others)


def variable_values(variables):
    """Nothing: a graph function reads the variables themselves, live."""
    return []


def inference():
    return contextlib.nullcontext()


def accelerated():
    """Whether tensors live on a device that is not the CPU."""
    return "CPU" not in tf.constant(0.0).device
