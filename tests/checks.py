"""What tests ask of a model and its explanations: one in a line, its sums, and gradients by other ways."""

import keras
import numpy as np
from keras import ops

import innspect

BACKEND = keras.backend.backend()
# Of central differences, and how far off they are: some operations are in float32 on torch.
STEP, DIFFERENCES = (1e-3, 1e-2) if BACKEND == "torch" else (1e-6, 1e-4)


def explain(name, model, x, selection=None, **arguments):
    """An explanation, by an analyzer that is made for it alone."""
    settings = {k: arguments.pop(k) for k in ("output", "at", "neurons") if k in arguments}
    return innspect.create_analyzer(name, model, **arguments).explain(x, selection, **settings)


def predict(model, x):
    """The model's outputs as NumPy arrays."""
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def totals(R):
    """The sum for each sample, over all inputs."""
    return sum(r.reshape(len(r), -1).sum(1) for r in keras.tree.flatten(R))


def close(ours, theirs, tolerance=1e-4):
    """Apart by no more than this part of the largest."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(np.abs(theirs).max(), 1e-3))


def gradient_of(model, x, score):
    """The gradient of sum(score(model(x))) by central differences."""
    steps = STEP * np.eye(x[0].size).reshape(-1, 1, *x.shape[1:])
    up, down = (score(predict(model, (x + s).reshape(-1, *x.shape[1:]))).reshape(-1, len(x)) for s in (steps, -steps))
    return ((up - down) / (2 * STEP)).T.reshape(x.shape)


def own_gradient(model, x, neuron):
    """The backend's own gradient of one output of the model."""
    x = ops.convert_to_tensor(x, dtype=keras.config.floatx())
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(model(x, training=False)[..., neuron])
        return tape.gradient(total, x).numpy()
    if BACKEND == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: ops.sum(model(x, training=False)[..., neuron]))(x))
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(model(x, training=False)[..., neuron].sum(), x)[0].numpy()
