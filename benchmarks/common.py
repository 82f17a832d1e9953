"""What the benchmarks share: the plain gradient of a model on each backend, and ratios measured side by side."""

import time

import keras
import numpy as np


def plain_gradient(model):
    """A function x -> gradient of each sample's largest output, as a user of the backend alone would write it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(tf.reduce_max(model(x, training=False), axis=-1))
            return tape.gradient(y, x)

        return lambda x: gradient(tf.constant(x)).numpy()
    if backend == "jax":
        import jax

        @jax.jit
        def gradient(variables, x):
            def score(x):
                y, _ = model.stateless_call(*variables, x, training=False)
                return y.max(axis=-1).sum()

            return jax.grad(score)(x)

        def run(x):
            values = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
            return np.asarray(gradient(values, x))

        return run
    import torch

    def gradient(x):
        x = torch.tensor(x, requires_grad=True)
        y = model(x, training=False).max(dim=-1).values.sum()
        return torch.autograd.grad(y, x)[0].numpy()

    return gradient


def ratios(baseline, candidates, repeats, in_a_row=1):
    """Time of each candidate relative to `baseline`, run in turn so that a busy machine troubles all alike.

    The baseline is run `in_a_row` times at once, to last as long as candidates of many passes: a short run may catch a
    moment when the machine is fast, a long one never does.

    Returns:
        The baseline's seconds, and a dict from name to (wall ratio, CPU time ratio): each from the fastest runs.
    """
    everyone = {"": lambda: [baseline() for _ in range(in_a_row)], **candidates}
    for run in everyone.values():
        run()
    wall, cpu = ({name: [] for name in everyone} for _ in range(2))
    for _ in range(repeats):
        for name, run in everyone.items():
            start, started = time.perf_counter(), time.process_time()
            run()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - started)
    least = {name: (min(wall[name]), min(cpu[name])) for name in everyone}
    base = [seconds / in_a_row for seconds in least.pop("")]
    return base[0], {name: (w / base[0], c / base[1]) for name, (w, c) in least.items()}
