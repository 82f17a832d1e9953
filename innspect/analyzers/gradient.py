"""The gradient family: what would change the output."""

from typing import Any

import numpy as np
from keras import ops

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.checks import Integer, Number, OneOf
from innspect.graph.channels import channels_first
from innspect.graph.ir import is_float
from innspect.layers.gradient import Gradient
from innspect.layers.rule_table import Made, When, anything, gradient_rule, kind
from innspect.layers.weightless import Reindex, SumOverEmbedding

_POSTPROCESS = {None: lambda t: t, "abs": ops.absolute, "square": ops.square}


def prescribed(embedding="norm"):
    """The rows that a method in gradient form has no choice about: registered rules, and ids."""
    return [
        (When("a registered layer", gradient_rule), Made("its own rule", gradient_rule)),
        (kind("embedding"), SumOverEmbedding(embedding)),
        (When("ids", carries_ids), Reindex()),
    ]


def carries_ids(node):
    """Whether a signal flows from a node to integers, such as ids on their way to an embedding."""
    return any(not is_float(node.inputs[p].dtype) for p in node.active_inputs)


class GradientRules(ReverseAnalyzer):
    """Plain gradients everywhere, down to the embedding where the input is ids."""

    family = "gradient"
    embedding = "norm"

    def rows(self, graph):
        return [*prescribed(self.embedding), (anything, Gradient())]


@register_analyzer("gradient.baseline")
@register_analyzer("gradient")
class GradientAnalyzer(GradientRules):
    """The gradient of the explained value with respect to the input (Simonyan et al. 2014).

    Args:
        postprocess: None, "abs" or "square" (sensitivity analysis, Montavon et al. 2018).

    The result has the input's shape. For ids of an embedding it is the norm of the gradient at the embedding vector.
    """

    paper = "Simonyan et al. 2014"
    rates = True
    ranges = {"postprocess": OneOf(*_POSTPROCESS)}

    def __init__(self, model, *, postprocess=None, **arguments):
        super().__init__(model, **arguments)
        self.postprocess = postprocess

    @property
    def signed(self):
        return self.postprocess is None

    def finish(self, signal, x):
        return _POSTPROCESS[self.postprocess](signal)


@register_analyzer("input_t_gradient")
class InputTimesGradient(GradientRules):
    """Input times gradient (Shrikumar et al. 2016); for ids the inner product of embedding vector and gradient.

    Equals LRP-0 on networks of affine layers, ReLU and max pooling.
    """

    moves_inputs = True
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
    signed = False
    rates = True

    def finish(self, signal, x):
        signal = ops.absolute(signal)
        return ops.max(signal, axis=self._channel_axis()) if len(x.shape) > 2 and is_float(x.dtype) else signal

    def _channel_axis(self):
        return 1 if channels_first(self.opened.graph) else -1

    def _attribution_shapes(self, shapes):
        return [s if len(s) < 3 else tuple(np.delete(s, self._channel_axis())) for s in shapes]


class _Simple(GradientRules):
    """Baselines that send nothing back. `explain` still tells outputs and targets."""

    family = "baseline"

    def begin(self, request):
        if request.at:
            raise ValueError(f"`at` has no meaning for {self.name!r}, which sends no signal back. Received: {request.at!r}")
        return self._maps(request.inputs.arrays)

    def explain_batch(self, batch):
        request, maps = batch.request, [m[batch.rows] for m in batch.request.context]
        lead = (len(request.targets),) if request.several else ()
        nothing = {"outputs": np.zeros((len(batch), 0), "float32"), "targets": np.zeros((*lead, len(batch)), "float32")}
        found = super().explain_batch(batch) if request.explained else nothing
        return {**found, "attributions": [np.broadcast_to(m, lead + m.shape) for m in maps]}

    def attributed(self, passage, weights):
        return {"attributions": [weights]}  # in whose place the maps come: only outputs and targets are wanted

    def filled(self, inputs, number):
        """The inputs as they are, which is all that these methods show."""
        return inputs

    def sound(self, request, explanation):
        """The explanation as it is: no map of these is computed from what the model says."""
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
        seed: Integer; the same seed gives the same noise, at each call. None draws anew.
    """

    ranges = {"stddev": Number(), "seed": Integer(or_none=True)}
    small = {"seed": 1}
    seed: Any  # an argument: no signal is sent, and so the hook of this name not asked

    def __init__(self, model, *, stddev=1.0, seed=0, **arguments):
        super().__init__(model, **arguments)
        self.stddev, self.seed = stddev, seed

    def _maps(self, arrays):
        random = np.random.default_rng(self.seed)
        dtypes = (self.opened.dtype if a.dtype.kind in "iub" else a.dtype for a in arrays)
        return [random.normal(0, self.stddev, a.shape).astype(d) for a, d in zip(arrays, dtypes, strict=True)]
