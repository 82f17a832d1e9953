"""Which LRP rule each kernel layer gets."""

from innspect.analyzers.rules import rule_beside
from innspect.errors import PlainKeyError, suggest
from innspect.graph.ir import is_float
from innspect.layers import relevance as R
from innspect.layers.recurrent import RecurrentView, recurrent_rule


class Composite:
    """The rule of every affine node: by path, else for the first layers, else by kind, else the default.

    Args:
        default: Rule of affine layers.
        convolution, dense: Rules by the layer's family.
        first: Rule of the kernel layers with no kernel layer or embedding before them.
        first_convolution: Rule of the first convolution in the model's order.
        named: Dict from path or layer name to rule.
        until: (count, rule): the first `count` kernel layers in the model's order.
        listed: Before these by kind: `InOrder` or `ByCondition` of `innspect.analyzers.choosing`.
    """

    def __init__(
        self,
        default,
        convolution=None,
        dense=None,
        first=None,
        first_convolution=None,
        named=None,
        until=None,
        listed=None,
    ):
        self.default, self.by_family, self.listed = default, {"convolution": convolution, "dense": dense}, listed
        self.first, self.first_convolution = first, first_convolution
        self.named, self.until = named or {}, until

    def assign(self, graph):
        """Dict from every affine node, and every recurrent one that there is a rule for, to its rule."""
        nodes = [n for n in graph.nodes if n.kind == "affine"]
        first, order = first_kernel_nodes(graph), layer_order(nodes)
        early = set(list(order)[: self.until[0]]) if self.until else set()
        convolutions = [n for n in nodes if n.view.family == "convolution"]
        boxed = {n for n in convolutions if layer_key(n) == layer_key(convolutions[0]) and n in first}
        recurrent = [n for n in graph.nodes if n.kind == "recurrent"]
        known = {name for node in [*nodes, *recurrent] for name in names_of(node)}
        unknown = [name for name in self.named if name not in known]
        if unknown:
            raise PlainKeyError(f"No kernel layer is named {unknown[0]!r}. {suggest(unknown[0], known)}")
        served = {layer_key(n) for n in first} if self.first is not None else set()
        listed, rules = self.listed.assign(nodes, served) if self.listed else {}, {}
        for node in nodes:
            by_name = next((self.named[name] for name in names_of(node) if name in self.named), None)
            rules[node] = (
                by_name
                or (self.until[1] if self.until and layer_key(node) in early else None)
                or (self.first if node in first and self._fits(self.first, node) else None)
                or (self.first_convolution if node in boxed and self._fits(self.first_convolution, node) else None)
                or listed.get(layer_key(node))
                or self.by_family.get(node.view.family)
                or self.default
            )
        for node in recurrent:  # where dense layers have the epsilon rule, the sums of a recurrent layer have it too
            by_name = next((self.named[name] for name in names_of(node) if name in self.named), None)
            rule = by_name or self.by_family["dense"] or self.default
            if isinstance(node.view, RecurrentView) and isinstance(rule, R.Epsilon):
                rules[node] = recurrent_rule(rule, node)
        return rules

    @staticmethod
    def _fits(rule, node):
        """The bounds of the input hold for what reads the input, not for the second half of a separable layer."""
        return rule is not None and not (rule.needs_bounds and node.path.endswith("/pointwise"))


def names_of(node):
    """What a mapping may call a node: its path, its layer's path, its layer's name."""
    parts = node.path.split("/")
    layer = getattr(node.layer, "name", None)
    return [node.path, "/".join(parts[:-1]), parts[-1]] + ([layer] if layer else [])


def layer_key(node):
    return id(node.layer) if node.layer is not None else id(node)


def layer_order(nodes):
    """Kernel layers in the model's order, each once (the two halves of a separable convolution are one)."""
    return dict.fromkeys(layer_key(n) for n in nodes)


def first_kernel_nodes(graph):
    """The affine nodes of layers with no other kernel layer or embedding before them (both halves of a separable one)."""
    after, first = set(), set()
    for node in graph.nodes:
        behind = any(t in after for t in node.inputs)
        if node.kind == "affine" and any(is_float(t.dtype) for t in node.inputs):
            source = node.inputs[0].producer
            if not behind or (source in first and source.layer is node.layer and node.path.endswith("/pointwise")):
                first.add(node)
        if behind or node.kind in ("affine", "embedding", "recurrent"):
            after.update(node.outputs)
    return first


def until_layer(index, rule, settings):
    """What a `Composite` takes as `until`, or None."""
    if index is None:
        return None
    if not isinstance(index, int) or index < 0:
        raise ValueError(f"`until_layer_idx` must be an integer that is not negative. Received: {index!r}")
    return index + 1, rule_beside(rule or "Flat", settings)
