"""TensorFlow SavedModels of functions that are compiled for a few batch sizes only. Import it under TensorFlow."""

import tensorflow as tf


def trace(function, takes, size):
    """A graph function for batches of one size.

    Args:
        function: From a list of tensors (size, ...) to a dict of tensors (size, ...).
        takes: Dict from argument to an array whose shape, without the samples, and dtype the tensor has.
        size: Samples in a batch.

    Returns:
        A function of tensors, in the order of `takes`.
    """
    specs = [tf.TensorSpec((size, *a.shape[1:]), a.dtype) for a in takes.values()]
    return tf.function(lambda *args: function(list(args)), autograph=False).get_concrete_function(*specs)


def any_batch(pieces, takes):
    """A graph function that takes batches of any size.

    A batch is cut into whole pieces of the largest size, and what is left into pieces of the next, so that each piece
    has a known size and nothing is padded.

    Args:
        pieces: Dict from size to what `trace` gave for it; one of them is 1.
        takes: As for `trace`.

    Returns:
        A function from keyword arguments to a dict.
    """

    def run(**named):
        count, start, parts = tf.shape(named[next(iter(takes))])[0], 0, []
        for size in sorted(pieces, reverse=True):
            stop = start + (count - start) // size * size
            parts.append(_in_pieces(pieces[size], [named[name][start:stop] for name in takes], size))
            start = stop
        return {key: tf.concat([p[key] for p in parts], 0) for key in parts[0]}

    return tf.function(run, autograph=False).get_concrete_function(**_any(takes))


def with_default(function, takes, name, number):
    """What `any_batch` made, without the argument `name`, whose value is `number` for every sample."""
    rest = {other: a for other, a in takes.items() if other != name}

    def run(**named):
        count = tf.shape(named[next(iter(rest))])[0]
        return function(**named, **{name: tf.fill([count], tf.constant(number, takes[name].dtype))})

    return tf.function(run, autograph=False).get_concrete_function(**_any(rest))


def _any(takes):
    return {name: tf.TensorSpec((None, *a.shape[1:]), a.dtype, name) for name, a in takes.items()}


def save(path, made):
    """Write graph functions of keyword arguments, a dict by the name of their signature, to a folder."""
    module = tf.Module()
    # What the functions read belongs to the module, or it could not be saved with it.
    module.held = list({id(v): v for s in made.values() for v in s.variables}.values())
    # The backward walk is explicit: no gradient will be asked of the saved functions.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, path, signatures=made, options=options)


def _in_pieces(piece, xs, size):
    """Apply a graph function to pieces of one size, one after the other."""
    made = tf.map_fn(
        lambda rows: piece(*rows),
        [tf.reshape(x, (-1, size, *x.shape[1:])) for x in xs],
        fn_output_signature={k: tf.TensorSpec(t.shape, t.dtype) for k, t in piece.structured_outputs.items()},
        parallel_iterations=1,
    )
    return {k: tf.reshape(t, (-1, *t.shape[2:])) for k, t in made.items()}
