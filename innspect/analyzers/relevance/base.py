"""The base of all methods in relevance form: what is not a kernel layer has one rule here, whatever the method."""

import functools

import numpy as np

from innspect.analyzers.base.warned import warn
from innspect.analyzers.relevance.conservation import Conserving
from innspect.analyzers.signal import winner_rule
from innspect.graph.channels import channels_first
from innspect.graph.gates import gates
from innspect.graph.heads import is_head
from innspect.graph.ir import Rewritten
from innspect.graph.passes.detach import freeze
from innspect.graph.passes.folding import fold, preparing
from innspect.graph.passes.sums import join_sums
from innspect.graph.views.diagonal import Diagonal
from innspect.graph.views.recurrent import RecurrentView
from innspect.graph.views.sums import Normalized, has_weights_of_one_sign, is_scale
from innspect.layers import weightless
from innspect.layers.attention import Softmax
from innspect.layers.lrp import Flat, WSquare, ZPlus, ZPlusFast
from innspect.layers.names import fitted_box
from innspect.layers.rule_table import Made, RuleTable, When, kind, relevance_rule


class RelevanceAnalyzer(Conserving):
    """Base of the methods in relevance form: a composite for the kernel layers, fixed rules for everything else.

    Args:
        stabiliser: Of weightless sums: additions, average pooling, batch normalization that cannot be folded.
    """

    family = "relevance propagation"
    form = "relevance"
    default_start = "value"
    conserves = True
    stabiliser = 1e-7
    explains_attention = True  # deep Taylor's theory has no rule for softmax and normalization

    def composite(self):
        """The `Composite` of this method."""
        raise NotImplementedError

    def rewrite(self, graph):
        written = Rewritten(graph)
        if self.explains_attention:
            written = written.then(freeze)
        if self.of_sums(written.graph):  # which share otherwise than in proportion: it then matters what is one sum
            written = written.then(join_sums)
        apart = _data_free(RuleTable([*self.given_rows, *self.composite().rows(written.graph)]), written.graph)
        return written.then(fold, keep=graph.outputs, apart=apart)

    def rows(self, graph):
        kernels = self.composite().rows(graph)
        passing, early = _passing_maps(RuleTable([*self.given_rows, *kernels]), graph), preparing(graph)
        heads = {t for t in self.opened.graph.outputs if is_head(graph.producer(t))}
        attention = [(kind("softmax"), Softmax())] if self.explains_attention else []
        return [
            *kernels,
            (When("a registered layer", relevance_rule), Made("its own rule", relevance_rule)),
            (When("the model's head", lambda node: node.outputs[0] in heads), weightless.Pass()),  # only with head="output"
            (kind("pass"), weightless.Pass()),
            (kind("reindex"), weightless.Reindex()),
            (When("what only prepares the input", lambda node: node.path in early), weightless.Pass()),
            (When("normalization beside rules without data", lambda node: node.path in passing), weightless.Pass()),
            *self.of_diagonals(),
            *self.of_sums(graph),
            (kind("sum"), weightless.Proportional(self.stabiliser)),
            (kind("winner"), Made("winner takes all", lambda node: winner_rule(node) or weightless.Reindex())),
            (kind("product"), Made("Product()", lambda node: weightless.Product(gates(graph, node)))),
            (kind("bilinear"), weightless.Bilinear(self.stabiliser)),
            (kind("embedding"), weightless.SumOverEmbedding()),
            *attention,
        ]

    def of_diagonals(self):
        """The rows of diagonal maps, where they are not as other sums are."""
        if getattr(self, "bias", None) != "distribute":
            return []
        # Of a sum of one input, all of bias and stabiliser is that input's.
        return [(When("diagonal maps", lambda node: isinstance(node.view, Diagonal)), weightless.Pass())]

    def of_sums(self, graph):
        """The rows of sums, where the rules of the kernel layers promise what proportional parts would break.

        Parts of a + b in proportion are negative, and as large as may be, where a and b differ in sign.
        """
        main = self.composite().main_rules(graph)
        if all(isinstance(rule, Flat | WSquare) for rule in main):
            frozen = When("a normalization", lambda node: isinstance(node.view, Normalized))
            return [(frozen, weightless.Pass()), (_plain_sums("sum", lambda node: True), weightless.EqualShares())]
        if all(isinstance(rule, Flat | WSquare | ZPlus | ZPlusFast) for rule in main):
            return [(_plain_sums("sum of several", lambda node: not is_scale(node)), weightless.PositiveParts())]
        return []

    # ------------------------------------------------------------------ bounds of the input
    def rules_for(self, number, plan=None):
        rules = super().rules_for(number, plan)
        return {node: self._fitted(rule) if rule.needs_bounds else rule for node, rule in rules.items()}

    def _fitted(self, rule):
        """The z-box rule with its bounds in a shape that broadcasts over the model's inputs."""
        boxes = [fitted_box(rule, spec, channels_first(self.opened.graph)) for spec in self.opened.specs]
        return boxes[0]

    @functools.cached_property
    def _box(self):
        """The z-box rule in use, or None."""
        rules = (self.table.rule_of(node) for node in self.plan.graph.nodes if node.kind == "affine")
        return next((self._fitted(rule) for rule in rules if rule is not None and rule.needs_bounds), None)

    def check(self, inputs):
        super().check(inputs)
        box = self._box
        if box is None:
            return
        for x in inputs.arrays:
            low, high = (np.asarray(bound, x.dtype) for bound in (box.low, box.high))
            if x.size and x.dtype.kind == "f" and ((x < low).any() or (x > high).any()):
                warn(
                    f"{self.name!r}: some inputs are outside the bounds `low` and `high`, where the z-box rule may give "
                    f"relevance of the wrong sign. Received: values from {x.min():.4g} to {x.max():.4g}",
                )

    def _no_rule(self, node):
        if not isinstance(node.view, RecurrentView):
            return super()._no_rule(node)
        name = node.layer.name
        return (
            f"{self.name!r} has no rule for {node.path!r} (a {node.operation}): recurrent layers have the epsilon rule only "
            f"(Arras et al. 2017). Use 'lrp.epsilon', 'lrp.z' or a preset, or name it in 'lrp': rule={{'default': ..., "
            f"{name!r}: 'Epsilon'}}; or bring a rule with `innspect.register_reverse_mapping(LayerClass, rule=...)`."
        )


def _plain_sums(text, holds):
    """The condition that a node is a sum, other than a diagonal map, of weights of one sign."""

    def fits(node):
        return node.kind == "sum" and not isinstance(node.view, Diagonal) and has_weights_of_one_sign(node) and holds(node)

    return When(text, fits)


def _data_free(table, graph):
    """Paths of the kernel layers whose rule does not look at the input."""
    return {n.path for n in graph.nodes if n.kind == "affine" and isinstance(table.rule_of(n), Flat | WSquare)}


def _passing_maps(table, graph):
    """Paths of the diagonal maps beside such layers, all of them where there are no others: relevance passes."""
    maps = [n for n in graph.nodes if isinstance(n.view, Diagonal)]
    if not maps:
        return set()
    data_free = _data_free(table, graph)
    ruled = {n.path for n in graph.nodes if n.kind in ("affine", "recurrent") and table.rule_of(n) is not None}
    if data_free and data_free == ruled:
        return {n.path for n in maps}
    near = {reader.path for n in graph.nodes if n.path in data_free for t in n.outputs for reader, _ in graph.readers(t)}
    near |= {graph.producer(t).path for n in graph.nodes if n.path in data_free for t in n.inputs if graph.producer(t)}
    return {n.path for n in maps if n.path in near}
