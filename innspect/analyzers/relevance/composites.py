"""Which LRP rule each kernel layer gets: the rows of a table."""

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol

from innspect.errors import PlainKeyError, suggest
from innspect.graph.ir import Node, is_float
from innspect.graph.views.recurrent import RecurrentView
from innspect.layers import relevance as R
from innspect.layers.base import Rule
from innspect.layers.names import rule_beside
from innspect.layers.recurrent import recurrent_rule
from innspect.layers.rule_table import Made, RuleTable, When, names_of


class Listed(Protocol):
    """Rules that depend on which layers others are for."""

    def assign(self, nodes: list[Node], served: Collection[Hashable]) -> dict[Hashable, Any]:
        """Dict from the keys of layers, less those that are served, to their rules."""


@dataclass(frozen=True)
class Composite:
    """The rule of every affine node: by path, else for the first layers, else by kind, else the default.

    Attributes:
        default: Rule of affine layers.
        convolution, dense: Rules by the layer's family.
        first: Rule of the kernel layers with no kernel layer or embedding before them.
        first_convolution: Rule of the first convolution in the model's order.
        named: Dict from path or layer name to rule.
        until: (count, rule): the first `count` kernel layers in the model's order, less those of `first`.
        listed: Before these by kind: `InOrder` or `ByCondition` of `innspect.analyzers.relevance.spec`.
    """

    default: Rule
    convolution: Rule | None = None
    dense: Rule | None = None
    first: Rule | None = None
    first_convolution: Rule | None = None
    named: dict[str, Rule] = field(default_factory=dict)
    until: tuple[int, Rule] | None = None
    listed: Listed | None = None

    def rows(self, graph):
        """The rows for the kernel layers of a graph, and its recurrent layers where there is a rule for them."""
        self._check_names(graph)
        return [*self._named(), *self._early(graph), *self._others(graph)]

    def main_rules(self, graph):
        """The rules of the kernel layers less those whose rule is for the beginning of the network; of none, the default."""
        early = RuleTable(self._early(graph))
        table = RuleTable([*self._named(), *self._others(graph)])
        later = [n for n in graph.nodes if n.kind == "affine" and early.rule_of(n) is None]
        return [table.rule_of(n) for n in later] or [self.default]

    def _named(self):
        return [(_kernel(repr(name), lambda n, name=name: self._name(n) == name), rule) for name, rule in self.named.items()]

    def _early(self, graph):
        """The rows for the first kernel layers, where the rule of the input goes before that of all until a layer."""
        nodes, first = _kernels(graph), first_kernel_nodes(graph)
        rows: list[tuple[When, Rule | Made]] = []
        if self.first is not None:
            rows.append((_kernel("the first kernel layers", lambda n: _fits(self.first, n), first), self.first))
        if self.first_convolution is not None:
            boxed = _first_convolution(nodes, first)
            fits = _kernel("the first convolution", lambda n: _fits(self.first_convolution, n), boxed)
            rows.append((fits, self.first_convolution))
        if self.until:
            count, rule = self.until
            early = set(list(layer_order(nodes))[:count])
            rows.append((_kernel(f"the first {count} kernel layers", lambda n: layer_key(n) in early), rule))
        return rows

    def _others(self, graph):
        rows: list[tuple[When, Rule | Made]] = []
        if self.listed is not None:
            served = {layer_key(n) for n in first_kernel_nodes(graph)} if self.first is not None else set()
            given = self.listed.assign(_kernels(graph), served)
            rows.append((_kernel("kernel layers", lambda n: True), Made("of a list", lambda n: given.get(layer_key(n)))))
        for family, of_family in (("convolution", self.convolution), ("dense", self.dense)):
            if of_family is not None:
                rows.append((_kernel(family, lambda n, family=family: n.view.family == family), of_family))
        rows.append((_kernel("kernel layers", lambda n: True), self.default))
        return [*rows, (When("recurrent", lambda n: n.kind == "recurrent"), Made("epsilon of dense layers", self._recurrent))]

    def _recurrent(self, node):
        """Where dense layers have the epsilon rule, the sums of a recurrent layer have it too."""
        rule = self.named.get(self._name(node)) or self.dense or self.default
        return recurrent_rule(rule, node) if isinstance(node.view, RecurrentView) and isinstance(rule, R.Epsilon) else None

    def _name(self, node):
        """The name that a rule is given by for a node, of several the most precise, or None."""
        return next((name for name in names_of(node) if name in self.named), None)

    def _check_names(self, graph):
        known = {name for node in graph.nodes if node.kind in ("affine", "recurrent") for name in names_of(node)}
        unknown = [name for name in self.named if name not in known]
        if unknown:
            raise PlainKeyError(f"No kernel layer is named {unknown[0]!r}. {suggest(unknown[0], known)}")


def _kernel(text, holds, among=None):
    """A condition on affine nodes, perhaps only on some, which a node with another one folded in stands for by its path."""
    paths = None if among is None else {n.path for n in among}
    return When(text, lambda node: node.kind == "affine" and (paths is None or node.path in paths) and holds(node))


def _kernels(graph):
    return [n for n in graph.nodes if n.kind == "affine"]


def _fits(rule, node):
    """The bounds of the input hold for what reads the input, not for the second half of a separable layer."""
    return not (rule.needs_bounds and node.path.endswith("/pointwise"))


def _first_convolution(nodes, first):
    convolutions = [n for n in nodes if n.view.family == "convolution"]
    return [n for n in convolutions if layer_key(n) == layer_key(convolutions[0]) and n in first]


def layer_key(node):
    """What tells the layers of nodes apart; a node without a layer by its path."""
    return id(node.layer) if node.layer is not None else node.path


def layer_order(nodes):
    """Kernel layers in the model's order, each once (the two halves of a separable convolution are one)."""
    return dict.fromkeys(layer_key(n) for n in nodes)


def first_kernel_nodes(graph):
    """The affine nodes of layers with no other kernel layer or embedding before them (both halves of a separable one)."""
    after, first = set(), set()
    for node in graph.nodes:
        behind = any(t in after for t in node.inputs)
        if node.kind == "affine" and any(is_float(t.dtype) for t in node.inputs):
            source = graph.producer(node.inputs[0])
            if not behind or (source in first and source.layer is node.layer and node.path.endswith("/pointwise")):
                first.add(node)
        if behind or node.kind in ("affine", "embedding", "recurrent"):
            after.update(node.outputs)
    return first


def until_layer(index, rule, settings):
    """What a `Composite` takes as `until`, or None."""
    return None if index is None else (index + 1, rule_beside("Flat" if rule is None else rule, settings, "until_layer_rule"))


def check_until(method):
    """Raise where an analyzer is given `until_layer_rule`, and no layer until which it holds."""
    if method.until_layer_rule is not None and method.until_layer_idx is None:
        raise ValueError(f"`until_layer_rule` needs `until_layer_idx`. Received: {method.until_layer_rule!r} alone")
