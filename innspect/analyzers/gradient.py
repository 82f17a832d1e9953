"""The gradient family: what would change the output."""

import numpy as np
from keras import ops

from innspect.analyzers.data import Inputs, is_stream
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.graph.ir import channels_first, is_float
from innspect.layers.flow import Reindex, SumOverEmbedding
from innspect.layers.gradient import Gradient

_POSTPROCESS = {None: lambda t: t, "abs": ops.absolute, "square": ops.square}


def prescribed(node, embedding="norm"):
    """The rule of a node that a method in gradient form has no choice about, or None: registered ones, and ids."""
    registered = getattr(node.view, "gradient_rule", None)
    if registered is not None:
        return registered
    if node.kind == "embedding":
        return SumOverEmbedding(embedding)
    if any(not is_float(node.inputs[p].dtype) for p in node.active_inputs):
        return Reindex()
    return None


class GradientRules(ReverseAnalyzer):
    """Plain gradients everywhere, down to the embedding where the input is ids."""

    embedding = "norm"

    def rule(self, node):
        return prescribed(node, self.embedding) or Gradient()


@register_analyzer("gradient.baseline")
@register_analyzer("gradient")
class GradientAnalyzer(GradientRules):
    """The gradient of the explained value with respect to the input (Simonyan et al. 2014).

    Args:
        postprocess: None, "abs" or "square" (sensitivity analysis, Montavon et al. 2018).

    The result has the input's shape. For ids of an embedding it is the norm of the gradient at the embedding vector.
    """

    paper = "Simonyan et al. 2014"

    def __init__(self, model, *, postprocess=None, **arguments):
        if postprocess not in _POSTPROCESS:
            raise ValueError(f"`postprocess` must be None, 'abs' or 'square'. Received: {postprocess!r}")
        super().__init__(model, **arguments)
        self.postprocess = postprocess

    def finish(self, signal, x):
        return _POSTPROCESS[self.postprocess](signal)


@register_analyzer("input_t_gradient")
class InputTimesGradient(GradientRules):
    """Input times gradient (Shrikumar et al. 2016); for ids the inner product of embedding vector and gradient.

    Equals LRP-0 on networks of affine layers, ReLU and max pooling.
    """

    paper = "Shrikumar et al. 2016"
    embedding = "inner"

    def finish(self, signal, x):
        return x * signal if is_float(x.dtype) else signal


@register_analyzer("saliency")
class Saliency(GradientRules):
    """The saliency map of Simonyan et al. 2014, sec. 3: the largest |gradient| over the channels.

    The result is (samples, *spatial axes); inputs without a channel axis, (samples, features), keep their shape.
    """

    paper = "Simonyan et al. 2014"

    def finish(self, signal, x):
        signal = ops.absolute(signal)
        return ops.max(signal, axis=self._channel_axis()) if len(x.shape) > 2 and is_float(x.dtype) else signal

    def _channel_axis(self):
        return 1 if channels_first(self._clone.graph) else -1

    def _attribution_shapes(self, shapes):
        return [s if len(s) < 3 else tuple(np.delete(s, self._channel_axis())) for s in shapes]


class _Simple(GradientRules):
    """Baselines that send nothing back. `explain` still tells outputs and targets."""

    def analyze(self, x, neuron_selection=None, *, neurons=None, **arguments):
        if is_stream(x):
            return super().analyze(x, neuron_selection, neurons=neurons, **arguments)
        inputs = Inputs(x, self._clone)
        lead = (len(neurons),) if neurons is not None else ()
        return inputs.restore([np.broadcast_to(a, (*lead, *a.shape)).copy() for a in self._maps(inputs.arrays)])

    def explain(self, x, neuron_selection=None, *, at=(), **arguments):
        if at:
            raise ValueError(f"`at` has no meaning for {self.name!r}, which sends no signal back. Received: {at!r}")
        explanation = super().explain(x, neuron_selection, **arguments)
        explanation.attributions = self.analyze(x, neurons=arguments.get("neurons"))
        return explanation

    def _maps(self, arrays):
        raise NotImplementedError


@register_analyzer("input")
class Input(_Simple):
    """The input itself, a baseline for comparisons."""

    def _maps(self, arrays):
        return arrays


@register_analyzer("random")
class Random(_Simple):
    """Gaussian noise of the input's shape, a baseline for comparisons.

    Args:
        stddev: Standard deviation.
        seed: Integer; the same seed gives the same noise.
    """

    def __init__(self, model, *, stddev=1.0, seed=None, **arguments):
        super().__init__(model, **arguments)
        self.stddev, self._seed = stddev, seed
        self._random = np.random.default_rng(seed)

    def _maps(self, arrays):
        random = self._random if self._seed is None else np.random.default_rng(self._seed)
        return [random.normal(0, self.stddev, a.shape).astype("float32" if a.dtype.kind in "iub" else a.dtype) for a in arrays]
