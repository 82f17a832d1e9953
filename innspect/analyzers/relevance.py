"""The base of all methods in relevance form: what is not a kernel layer has one rule here, whatever the method."""

import warnings

from innspect.analyzers.conservation import Conserving
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.rules import fitted_box
from innspect.analyzers.signal import winner_rule
from innspect.graph.folding import fold
from innspect.graph.freezing import freeze
from innspect.graph.gates import gates
from innspect.graph.heads import is_head
from innspect.graph.ir import channels_first
from innspect.layers import flow
from innspect.layers.attention import Softmax
from innspect.layers.diagonal import BatchNorm
from innspect.layers.recurrent import RecurrentView
from innspect.layers.relevance import Flat, WSquare


class RelevanceAnalyzer(Conserving, ReverseAnalyzer):
    """Base of the methods in relevance form: a composite for the kernel layers, fixed rules for everything else.

    Args:
        stabiliser: Of weightless sums: additions, average pooling, batch normalization that cannot be folded.
    """

    form = "relevance"
    default_start = "value"
    conserves = True
    stabiliser = 1e-7
    explains_attention = True  # deep Taylor's theory has no rule for softmax and normalization
    _box = None

    def composite(self):
        """The `Composite` of this method."""
        raise NotImplementedError

    def prepare(self, graph):
        graph = freeze(graph) if self.explains_attention else graph
        rules = {node: self._in_input_units(rule) for node, rule in self.composite().assign(graph).items()}
        data_free = {node for node, rule in rules.items() if isinstance(rule, Flat | WSquare)}
        everywhere = data_free and data_free == set(rules)
        self._passing_norms = set(graph.nodes) if everywhere else _neighbours(graph, data_free)
        self._kernel_rules = {node.path: rule for node, rule in rules.items()}
        return fold(graph, keep=graph.outputs, apart=data_free)

    def _in_input_units(self, rule):
        """The z-box rule with its bounds in a shape that broadcasts over the model's input."""
        if not rule.needs_bounds:
            return rule
        boxes = [fitted_box(rule, spec, channels_first(self._clone.graph)) for spec in self._clone.specs]
        self._box = boxes[0]
        return boxes[0]

    def check(self, inputs):
        super().check(inputs)
        box = self._box
        if box is None:
            return
        for x in inputs.arrays:
            if x.size and x.dtype.kind == "f" and ((x < box.low).any() or (x > box.high).any()):
                warnings.warn(
                    f"{self.name!r}: some inputs are outside the bounds `low` and `high`, where the z-box rule may give "
                    f"relevance of the wrong sign. Received: values from {x.min():.4g} to {x.max():.4g}",
                    stacklevel=4,
                )

    def rule(self, node):
        if node.path in self._kernel_rules:
            return self._kernel_rules[node.path]
        registered = getattr(node.view, "relevance_rule", None)
        if registered is not None:
            return registered
        if is_head(node) and node.outputs[0] in self._clone.graph.outputs:
            return flow.Pass()  # only reached with head="output"
        return self._flow_rule(node)

    def _no_rule(self, node):
        if not isinstance(node.view, RecurrentView):
            return super()._no_rule(node)
        name = node.layer.name
        return (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation}): recurrent layers have the epsilon rule only "
            f"(Arras et al. 2017). Use 'lrp.epsilon', 'lrp.z' or a preset, or name it in 'lrp': rule={{'default': ..., "
            f"{name!r}: 'Epsilon'}}; or bring a rule with `innspect.register_reverse_mapping(LayerClass, rule=...)`."
        )

    def _flow_rule(self, node):
        if node.kind == "pass":
            return flow.Pass()
        if node.kind == "reindex":
            return flow.Reindex()
        if node.kind == "sum":
            passes = isinstance(node.view, BatchNorm) and node in self._passing_norms
            return flow.Pass() if passes else flow.Proportional(self.stabiliser)
        if node.kind == "winner":
            return winner_rule(node) or flow.Reindex()
        if node.kind == "product":
            return flow.Product(gates(node))
        if node.kind == "bilinear":
            return flow.Bilinear(self.stabiliser)
        if node.kind == "embedding":
            return flow.SumOverEmbedding()
        if node.kind == "softmax" and self.explains_attention:
            return Softmax()
        return None


def _neighbours(graph, nodes):
    """The nodes right before and right after some nodes."""
    after = {reader for reader in graph.nodes if any(t.producer in nodes for t in reader.inputs)}
    return after | {t.producer for node in nodes for t in node.inputs if t.producer is not None}
