"""Guided Grad-CAM: where the class is, times what the network reacted to there."""

from keras import ops

from innspect.analyzers.cam import GradCam
from innspect.analyzers.locate import reads_channels_first
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.signal import Deconvnet, GuidedBackprop
from innspect.layers.cut import CutTape
from innspect.layers.program import Program

_SIGNALS = {"guided_backprop": GuidedBackprop, "deconvnet": Deconvnet}


class _TwoPrograms:
    """One forward pass for two backward passes: rectified down to the input, plain down to the layer."""

    def __init__(self, whole, cut):
        self.whole, self.cut = whole, cut
        self.inputs, self.steps, self.computes, self.number = whole.inputs, whole.steps, whole.computes, cut.number

    def forward(self, values):
        handed = dict.fromkeys(self.cut.tail.inputs)
        y, steps = self.whole.forward(values, record=handed)
        _, tape = self.cut.resume(list(handed.values()))
        return y, (CutTape(steps, {}), tape)


@register_analyzer("guided_grad_cam")
class GuidedGradCam(GradCam):
    """Guided Grad-CAM (Selvaraju et al. 2017, sec. 3.2): the Grad-CAM map times guided backpropagation.

    Args:
        of: "guided_backprop", or "deconvnet" for Deconvolution Grad-CAM.
        start: Of the rectified signal: "value" seeds the explained value, "one" seeds 1.

    The result has the input's shape. An input that the map does not lie on keeps its rectified signal.
    """

    default_start = "value"

    def __init__(self, model, *, of="guided_backprop", **arguments):
        if of not in _SIGNALS:
            raise ValueError(f"`of` must be 'guided_backprop' or 'deconvnet'. Received: {of!r}")
        self.of, self.guided = of, _SIGNALS[of].guided
        super().__init__(model, **arguments)
        if not self.upsample:
            raise ValueError(
                "'guided_grad_cam' multiplies the map with the input's signal, so it needs upsample=True. Received: False"
            )

    def slope(self, weights, y):
        return weights  # the seed is that of the rectified signal alone

    def _program(self, number, at=()):
        if (number, at) not in self._programs:
            cut = super()._program(number, at)
            nodes = self._graph.ancestors([self._explained(number)])
            rules = {n: _SIGNALS[self.of].rule(self, n) for n in nodes if n.kind != "constant"}
            keep = [*cut.tail.inputs, *cut.tensors]
            whole = Program(self._graph, self._explained(number), rules, keep=keep)
            self._programs[number, at] = _TwoPrograms(whole, cut)
        return self._programs[number, at]

    def _back(self, program, tape, weights, xs, y, layers, keep_tape):
        rectified, plain = tape
        result = super()._back(program.cut, plain, weights, xs, y, layers, keep_tape)
        ((lens,), shapes) = result["attributions"], [x.shape for x in xs]
        covered, _ = self._covered(program.number, len(lens.shape) - 1, shapes)
        signals = program.whole.backward(rectified.steps, self.seed(weights, y), keep_tape=keep_tape)
        arrived = [self._signal_at(signals, t, x) for t, x in zip(program.inputs, xs, strict=True)]
        arrived[covered] = arrived[covered] * self._spread(lens, arrived[covered], covered)
        return {**result, "attributions": arrived}

    def _spread(self, lens, signal, number):
        """The map with the input's channel axis, if it has one."""
        if len(lens.shape) == len(signal.shape):
            return lens
        return ops.expand_dims(lens, 1 if reads_channels_first(self._clone.graph, number) else -1)

    def _restore(self, inputs, arrays):
        return inputs.restore(arrays)

    def _attribution_shapes(self, shapes):
        return shapes
