"""Kindermans' linear distractor (Kindermans et al. 2018, "Learning how to explain", section 2)."""

import keras
import numpy as np

from innspect.evaluation.planted.tasks import Planted, Task, predicted, register
from innspect.types import Array


class Distractor(Task):
    """Two columns, x = (1, 0) y + (1, 1) e: the signal carries y, the distractor e says nothing of it.

    A linear network learns y to the last digit, with weights (1, -1): they say how e is cancelled, not where y is. All of what
    it computes is the signal's, (y, 0), and the second column is there for its distractor only. Right is a sample whose
    output has y's sign.
    """

    name = "distractor"
    asks = "a linear network of two columns, of which the second only distracts"
    accuracy = 0.95
    steps = 400
    sign = "abs"
    distances = False

    def _drawn(self, samples: int, random: np.random.Generator) -> Planted:
        y, e = random.uniform(-1, 1, samples), random.standard_normal(samples)
        signal = np.stack([y, np.zeros(samples)], axis=1)
        masks = np.repeat([[True, False]], samples, axis=0)
        x = (signal + e[:, None]).astype("float32")
        return Planted(x, y.astype("float32"), masks, signal.astype("float32"), np.ones_like(masks))

    def network(self, seed: int) -> keras.Model:
        """A new, compiled network."""
        first = keras.initializers.GlorotUniform(100 * seed)
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, kernel_initializer=first)])
        network.compile(keras.optimizers.SGD(0.2), "mse")
        return network

    def right(self, network: keras.Model, planted: Planted) -> Array:
        """Which samples a network gets right, booleans (samples,)."""
        return np.asarray(np.sign(predicted(network, planted.x)[:, 0]) == np.sign(planted.y))


register("distractor", Distractor)
