"""The epsilon rule that loses nothing: biases and stabilisers are shared among the inputs (METHODS 4.10)."""

from keras import ops

from innspect.layers.base import safe_divide, stabilised
from innspect.layers.relevance import Epsilon


class EpsilonDistribute(Epsilon):
    """LRP-epsilon in which every one of the N inputs of a neuron takes an equal share of its bias and stabiliser.

    R_i = sum_j (x_i w_ij + (b_j + epsilon sign(z_j)) / N_j) / (z_j + epsilon sign(z_j)) R_j

    The sanity check of Bach et al. (2015) and Arras et al. (2017): relevance is conserved exactly, but inputs of zero
    get some of it.
    """

    support = None

    def __init__(self, epsilon=1e-7):
        super().__init__(epsilon, bias="distribute")

    def backward(self, layer, saved, signals):
        x, z, pullback = saved
        moved, bias = stabilised(z, self.epsilon), layer.view.bias()
        ratio = safe_divide(signals[0], moved)
        shared = ratio * (moved - z if bias is None else moved - z + bias)
        ones = ops.ones_like(layer.view.kernel())
        counts, spread = layer.vjp(lambda u: layer.view.linear(u, ones), ops.ones_like(x))
        return [x * pullback(ratio)[0] + spread(safe_divide(shared, counts))[0]]

    def shares(self, layer, saved, signals):
        moved = stabilised(saved[1], self.epsilon)
        return {"dropped": [ops.where(moved == 0, signals[0], ops.zeros_like(moved))]}
