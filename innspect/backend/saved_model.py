"""TensorFlow SavedModels of functions that are compiled for a few batch sizes only. Import it under TensorFlow."""

import tensorflow as tf


def signatures(functions, sizes):
    """Graph functions that take batches of any size.

    A batch is cut into whole pieces of the larger size, and what is left into pieces of the smaller, so that each piece
    has a known size and nothing is padded.

    Args:
        functions: Dict from the name of a signature to a pair: the function, from a list of tensors (size, ...) to a dict
            of tensors (size, ...), and a dict from argument to an array whose shape, without the samples, and dtype it has.
        sizes: The smaller size, 1, and the larger.

    Returns:
        Dict from the name of a signature to a function from keyword arguments to a dict.
    """
    return {name: _any_batch(function, takes, sizes) for name, (function, takes) in functions.items()}


def save(path, made):
    """Write what `signatures` made to a folder."""
    module = tf.Module()
    # What the functions read belongs to the module, or it could not be saved with it.
    module.held = list({id(v): v for s in made.values() for v in s.variables}.values())
    # The backward walk is explicit: no gradient will be asked of the saved functions.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, path, signatures=made, options=options)


def _any_batch(function, takes, sizes):
    small, large = sizes
    specs = {name: tf.TensorSpec((None, *a.shape[1:]), a.dtype, name) for name, a in takes.items()}

    def run(**named):
        xs = [named[name] for name in takes]  # keywords come sorted
        whole = tf.shape(xs[0])[0] // large * large
        pieces = [_in_pieces(function, [x[:whole] for x in xs], large), _in_pieces(function, [x[whole:] for x in xs], small)]
        return {key: tf.concat([p[key] for p in pieces], 0) for key in pieces[0]}

    return tf.function(run, autograph=False).get_concrete_function(**specs)


def _in_pieces(function, xs, size):
    """Apply the function to pieces of one size, one after the other."""
    specs = [tf.TensorSpec((size, *x.shape[1:]), x.dtype) for x in xs]
    piece = tf.function(lambda *args: function(list(args)), autograph=False).get_concrete_function(*specs)
    made = tf.map_fn(
        lambda rows: piece(*rows),
        [tf.reshape(x, (-1, size, *x.shape[1:])) for x in xs],
        fn_output_signature={k: tf.TensorSpec(t.shape, t.dtype) for k, t in piece.structured_outputs.items()},
        parallel_iterations=1,
    )
    return {k: tf.reshape(t, (-1, *t.shape[2:])) for k, t in made.items()}
