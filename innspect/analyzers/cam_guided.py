"""Guided Grad-CAM: where the class is, times what the network reacted to there."""

from keras import ops

from innspect.analyzers.cam import GradCam
from innspect.analyzers.locate import reads_channels_first
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.signal import Deconvnet, GuidedBackprop
from innspect.layers.base import Rule
from innspect.layers.cut import CutTape
from innspect.layers.program import Program

_SIGNALS = {"guided_backprop": GuidedBackprop, "deconvnet": Deconvnet}


class _Twofold(Rule):
    """Two rules for one node, each with a backward pass of its own. `forward` saves what both need."""

    form = "gradient"

    def __init__(self, rectified, plain):
        self.rules = rectified, plain

    def forward(self, layer, inputs):
        (outputs, first), (_, second) = (rule.forward(layer, inputs) for rule in self.rules)
        return outputs, (first, second)


class _OneOf:
    """A step of the tape with one of the two rules."""

    def __init__(self, step, which):
        self.rule, self.layer = step.rule.rules[which], step
        self.inputs, self.outputs = step.inputs, step.outputs

    def backward(self, saved, signals):
        return self.rule.backward(self.layer, saved, signals)


class _TwoPasses:
    """One forward pass for two backward passes: rectified down to the input, plain down to the layer.

    Args:
        whole: The `Program` of the whole graph, with `_Twofold` rules in the tail.
        cut: The `CutProgram` whose tail is plain; it says where that signal stops.
    """

    def __init__(self, whole, cut):
        self.whole, self.tensors = whole, cut.tensors
        self.inputs, self.steps, self.computes, self.number = whole.inputs, whole.steps, whole.computes, cut.number
        after = {t for node in cut.tail.nodes for t in node.outputs}
        self._tail = {step for step in whole.steps if any(t in after for t in step.outputs)}

    def forward(self, values):
        kept = dict.fromkeys(self.tensors)
        y, tape = self.whole.forward(values, record=kept)
        rectified = [_one(entry, 0) for entry in tape]
        plain = [_one(entry, 1) for entry in tape if entry[0] in self._tail]
        return y, (rectified, CutTape(plain, kept))

    def backward(self, tape, seed, wanted=(), ledger=None, keep_tape=False):
        """The plain pass; see `CutProgram.backward`."""
        return self.whole.backward(tape.steps, seed, [*self.tensors, *wanted], ledger, keep_tape)


def _one(entry, which):
    step, saved, shapes = entry
    if isinstance(getattr(step, "rule", None), _Twofold):
        return _OneOf(step, which), saved[which], shapes
    return entry


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
            nodes = [n for n in self._graph.ancestors([self._explained(number)]) if n.kind != "constant"]
            rules = {n: _SIGNALS[self.of].rule(self, n) for n in nodes}
            tail = set(cut.tail.nodes)
            for node, plain in self._rules_for(number).items():
                if node in tail and type(plain) is not type(rules[node]):
                    rules[node] = _Twofold(rules[node], plain)
            whole = Program(self._graph, self._explained(number), rules, keep=[*cut.tail.inputs, *cut.tensors])
            self._programs[number, at] = _TwoPasses(whole, cut)
        return self._programs[number, at]

    def _back(self, program, tape, weights, xs, y, layers, keep_tape):
        rectified, plain = tape
        result = super()._back(program, plain, weights, xs, y, layers, keep_tape)
        ((lens,), shapes) = result["attributions"], [x.shape for x in xs]
        covered, _ = self._covered(program.number, len(lens.shape) - 1, shapes)
        signals = program.whole.backward(rectified, self.seed(weights, y), keep_tape=keep_tape)
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
