"""The epsilon rule whose stabiliser follows the size of the layer's own outputs (Montavon et al. 2019)."""

from keras import ops

from innspect import backend
from innspect.layers.base import checked_number, safe_divide, stabilised
from innspect.layers.terms import AffineRule


class ScaledEpsilon(AffineRule):
    """LRP-epsilon with epsilon = factor times the root mean square of z over the layer, for each sample by itself.

    A number as epsilon means something else for every layer; this one absorbs the same share of weak and contradictory
    evidence everywhere. Montavon et al. (2019) use a factor of 0.25 for the middle layers of VGG16.

    Args:
        factor: Of the root mean square.
        bias: True: the bias takes its share, and is part of z; False: the denominators leave it out.
    """

    def __init__(self, factor=0.25, bias=True):
        super().__init__(bias=bias)
        self.factor = checked_number("epsilon", factor)

    def forward(self, layer, inputs):
        (x,) = inputs
        kernel, bias = layer.view.kernel(), layer.view.bias()
        z, pullback = layer.vjp(lambda x: layer.view.linear(x, kernel), x)
        real = z if bias is None else z + bias
        shared = real if self.bias else z
        epsilon = self.factor * ops.sqrt(backend.mean(ops.square(shared), axis=list(range(1, len(z.shape))), keepdims=True))
        return [layer.gate(real)], (x, shared, stabilised(shared, epsilon), pullback)

    def backward(self, layer, saved, signals):
        x, _, moved, pullback = saved
        return [x * pullback(safe_divide(signals[0], moved))[0]]

    def shares(self, layer, saved, signals):
        _, z, moved, _ = saved
        ratio, bias = safe_divide(signals[0], moved), self._bias_of(layer)
        return {
            "bias": [] if bias is None else [ratio * bias],
            "stabiliser": [ratio * (moved - z)],
            "dropped": [ops.where(moved == 0, signals[0], ops.zeros_like(moved))],
        }
