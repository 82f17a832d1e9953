"""TensorFlow: tapes inside one graph function per input shape, without XLA (faster on a CPU)."""

import contextlib
import functools
import sys

import keras
import numpy as np
import tensorflow as tf

HAS_STRINGS = EXPORTS = True

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


def after(tensor, others):
    """The tensor, once the others are there: a graph otherwise runs ahead and holds what the others are made of."""
    with tf.control_dependencies(tf.nest.flatten(others)):
        return tf.identity(tensor)


def with_shape(tensor, shape):
    """The tensor, where it does not know its own shape with what is known of it: operations on booleans lose it."""
    if not isinstance(tensor, tf.Tensor) or tensor.shape.is_fully_defined():
        return tensor
    known = tf.identity(tensor)
    known.set_shape(shape)
    return known


def snapshot(tensor):
    return np.asarray(tf.convert_to_tensor(tensor))  # no copy: TensorFlow makes one when it has to write to that memory


def once(function, *args):
    """The value of a function that is run a single time."""
    return function(*args)


def matmul(x, kernel):
    """`keras.ops.matmul`, with a faster way back for a batch of vectors.

    On a CPU TensorFlow computes signal @ kernel^T, its own gradient, up to ten times slower than the same product
    transposed. A gradient by hand is only for graphs, which leave out what nobody asks for: the kernel's; and for shapes
    that are known, as those that analyzers compile are. `predict` and `fit` leave the number of samples open.
    """
    known = all(len(t.shape) == 2 and t.shape.is_fully_defined() for t in (x, kernel))
    if tf.executing_eagerly() or not known or x.dtype != kernel.dtype:
        return keras.ops.matmul(x, kernel)
    shaped = [tf.reshape(t, t.shape) for t in (x, kernel)]  # so that their gradients have a shape, which the function lacks
    return tf.reshape(_vectors_by_matrix(shaped[0].dtype)(*shaped), (x.shape[0], kernel.shape[1]))


@functools.cache
def _vectors_by_matrix(dtype):
    """One function for all shapes: TensorFlow keeps every graph in which a gradient is defined for as long as it runs."""

    @tf.custom_gradient
    def product(x, kernel):
        def back(signal):
            return tf.transpose(tf.matmul(kernel, signal, transpose_b=True)), tf.matmul(x, signal, transpose_a=True)

        return tf.matmul(x, kernel), back

    with tf.init_scope():  # not in the graph that is being made
        matrix = tf.TensorSpec((None, None), dtype)
        return tf.function(product, autograph=False).get_concrete_function(matrix, matrix)


def leaky_relu(x, slope):
    return tf.nn.leaky_relu(x, slope) if x.dtype == tf.float32 else tf.where(x > 0, x, x * slope)


def _gelu(x, approximate):
    if approximate:
        return x * tf.sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + tf.math.erf(x / np.sqrt(2)))


PRECISE = {"LeakyRelu": lambda x, negative_slope: leaky_relu(x, negative_slope), "Gelu": _gelu}

SCANNED = 8  # unrolled, since a loop's body runs a fifth slower than the same operations outside


def scan(function, items):
    """Apply `function` to each element along the first axis of `items`, and stack what it returns."""
    results: list = []
    for item in tf.unstack(items):
        with tf.control_dependencies(tf.nest.flatten(results[-1:])):  # one after the other, for the memory of one
            results.append(function(tf.identity(item)))
    return tf.nest.map_structure(lambda *ts: tf.stack(ts), *results)


def recur(step, carry, items, reverse=False):
    """Run `carry, made = step(carry, item)` along the first axis of a structure; the last carry and what was made."""
    length = tf.nest.flatten(items)[0].shape[0]
    at = range(length)[::-1] if reverse else range(length)
    carry, first = step(carry, tf.nest.map_structure(lambda x: x[at[0]], items))

    def array(x):
        return tf.TensorArray(x.dtype, size=length, element_shape=x.shape).write(at[0], x)

    def body(i, carry, arrays):
        carry, made = step(carry, tf.nest.map_structure(lambda x: x[i], items))
        return i + at.step, carry, [a.write(i, x) for a, x in zip(arrays, tf.nest.flatten(made), strict=True)]

    within = (lambda i, *_: i >= 0) if reverse else (lambda i, *_: i < length)
    arrays = [array(x) for x in tf.nest.flatten(first)]
    _, carry, arrays = tf.while_loop(within, body, (at[0] + at.step, carry, arrays), parallel_iterations=1)
    return carry, tf.nest.pack_sequence_as(first, [a.stack() for a in arrays])


def variable_values(variables):
    """Nothing: a graph function reads the variables themselves, live."""
    return []


def current_values(variables):
    """The live values, for a function that is handed some others beside them."""
    return [tf.convert_to_tensor(v.value) for v in variables]


def marks(values):
    return []


def copies(values):
    return values


def inference():
    return contextlib.nullcontext()


def accelerated():
    """Whether tensors live on a device that is not the CPU."""
    with tf.init_scope():  # a tensor of a graph that is being made has no device yet
        return "CPU" not in tf.constant(0.0).device


def custom_gradients(answer):
    """Where TensorFlow hands a decorated function on elsewhere, the layer with it is called as a whole."""
    owner = sys.modules[tf.custom_gradient.__module__]
    names = [name for name in vars(owner) if name.endswith("mode_decorator")]  # for eager mode and for graphs

    def stand_in(original):
        return lambda f, args, kwargs: answer(lambda: original(f, args, kwargs), tf.custom_gradient(f), args, kwargs)

    decorators = [(owner, name, stand_in(getattr(owner, name))) for name in names]
    return decorators + [(cls, "__call__", _asking(cls.__call__, answer)) for cls in _functions()]


def _asking(original, answer):
    """The `__call__` of functions of TensorFlow, which hang for ever once they have met what is no tensor."""

    def call(function, *args, **kwargs):
        return answer(lambda: original(function, *args, **kwargs), function, args, kwargs, "tf_function")

    return call


@functools.cache
def _functions():
    """The classes of functions that are graphs: those that are traced for what they are given, and those of one signature."""
    with tf.init_scope():
        function = tf.function(lambda: tf.zeros(()), autograph=False)
        made = [function, function.get_concrete_function()]
    return [next(cls for cls in type(f).__mro__ if "__call__" in vars(cls)) for f in made]
