"""Guided Grad-CAM: where the class is, times what the network reacted to there."""

from keras import ops

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.cam.base import GradCam
from innspect.analyzers.signal import rectified_rows
from innspect.checks import OneOf
from innspect.graph.channels import reads_channels_first
from innspect.graph.ir import Node
from innspect.layers.base import Rule
from innspect.layers.gradient import Gradient
from innspect.layers.partial import CutTape
from innspect.layers.program import Program
from innspect.layers.rule_table import RuleTable

_SIGNALS = {"guided_backprop": True, "deconvnet": False}  # whether the rectified signal is guided by the forward pass


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
        self.inputs, self.steps, self.computes, self.value = whole.inputs, whole.steps, whole.computes, whole.value
        self.output, self.graph = whole.output, whole.graph
        after = {t for node in cut.tail.graph.nodes for t in node.outputs}
        self._tail = {step for step in whole.steps if any(t in after for t in step.outputs)}

    def forward(self, values):
        kept = dict.fromkeys(self.tensors)
        y, tape = self.whole.forward(values, record=kept)
        rectified = [_one(entry, 0) for entry in tape]
        plain = [_one(entry, 1) for entry in tape if entry[0] in self._tail]
        return y, (rectified, CutTape(plain, kept))

    def backward(self, tape, seed, wanted=(), ledger=None, keep_tape=False, through=None, masks=()):
        """The plain pass; see `CutProgram.backward`."""
        _, plain = tape
        return self.whole.backward(plain.steps, seed, [*self.tensors, *wanted], ledger, keep_tape, through, masks)

    def rectified(self, tape, seed, keep_tape=False):
        """The rectified pass, down to the input."""
        return self.whole.backward(tape[0], seed, keep_tape=keep_tape)


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
    signed = True
    masks = False  # two signals go back, of which the layer's map needs one whole
    scale = "pixels"
    ranges = {"of": OneOf(*_SIGNALS)}

    def __init__(self, model, *, of="guided_backprop", **arguments):
        super().__init__(model, **arguments)
        self.of = of

    def ready(self):
        super().ready()
        if not self.upsample:
            raise ValueError(
                "'guided_grad_cam' multiplies the map with the input's signal, so it needs upsample=True. Received: False"
            )

    def slope(self, weights, y):
        return weights  # the seed is that of the rectified signal alone

    def make_program(self, number, stops, plan):
        cut, explained = super().make_program(number, stops, plan), self._explained(number)
        rectified = RuleTable([*self.given_rows, *rectified_rows(_SIGNALS[self.of])])
        tail = {n.path for n in cut.tail.graph.nodes}
        rules: dict[Node, Rule] = {}
        for node, plain in self.rules_for(number, plan).items():
            rule = rectified.rule_of(node) or Gradient()
            rules[node] = _Twofold(rule, plain) if node.path in tail and type(plain) is not type(rule) else rule
        whole = Program(plan.graph, explained, rules, keep=[*cut.tail.inputs, *cut.tensors])
        return _TwoPasses(whole, cut)

    def attributed(self, passage, weights):
        found = self._attributed(passage, weights, passage.tape[1].values)
        ((lens,), shapes) = found["attributions"], [x.shape for x in passage.xs]
        covered, _ = self._covered(self.place(passage.request.output), shapes)
        seed = self.seed(weights, passage.y)
        signals = passage.program.rectified(passage.tape, seed, keep_tape=passage.request.several)
        arrived = passage.at_inputs(signals)
        arrived[covered] = arrived[covered] * self._spread(lens, arrived[covered], covered)
        return {**found, "attributions": arrived}

    def _spread(self, lens, signal, number):
        """The map with the input's channel axis, if it has one."""
        if len(lens.shape) == len(signal.shape):
            return lens
        return ops.expand_dims(lens, 1 if reads_channels_first(self.opened.graph, number) else -1)

    def _restore(self, inputs, arrays, lead):
        return inputs.restore(arrays, lead)

    def _attribution_shapes(self, shapes):
        return shapes
