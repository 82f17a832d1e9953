"""LRP for transformers: AttnLRP (Achtibat et al. 2024) and CP-LRP (Ali et al. 2022), for whole networks."""

from innspect.analyzers.conservation import Conserving
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.signal import winner_rule
from innspect.graph.freezing import freeze
from innspect.graph.gates import gates
from innspect.graph.heads import is_head
from innspect.graph.ir import is_float
from innspect.graph.operations import Rectifier
from innspect.layers import flow
from innspect.layers.attention import FromRelevance, Identity, Linear, RelevanceProgram, Shared
from innspect.layers.base import checked_number
from innspect.layers.gradient import Gradient
from innspect.layers.recurrent import RecurrentView, recurrent_rule
from innspect.layers.relevance import Epsilon

_EARLY = {"pass": flow.Pass(), "reindex": flow.Reindex(), "sum": flow.Proportional()}
_LINEAR = {"Cast", "SaturateCast", "ConvertToTensor", "Copy", "Negative", "NanToNum"}


class _TransformerLRP(Conserving, ReverseAnalyzer):
    """Base: which rule each node gets, in gradient form.

    Args:
        epsilon: Stabiliser of affine layers, sums and matrix products. 0 is exact and the cheapest: in gradient form
            nothing is divided by a sum.
    """

    default_start = "value"
    conserves = True
    attention_is_constant = False

    def __init__(self, model, *, epsilon=0.0, **arguments):
        self.epsilon = checked_number("epsilon", epsilon)
        super().__init__(model, **arguments)

    def prepare(self, graph):
        graph = freeze(graph, self.attention_is_constant)
        self._early, self._relevant = _before_the_network(graph)
        return graph, {}

    def program_class(self, *arguments, **settings):
        return RelevanceProgram(*arguments, relevant=self._relevant, **settings)

    def _books_program(self, number):
        """Every layer a step of its own, and the value of every tensor at hand."""
        rules = {n: Linear() if type(r) is Gradient else r for n, r in self._rules_for(number).items()}
        everything = [t for n in self._graph.nodes for t in n.outputs if t.active]
        return self.program_class(self._graph, self._explained(number), rules, keep=everything)

    def rule(self, node):
        if node.kind == "embedding":
            return flow.SumOverEmbedding("inner")
        if node in self._early:
            passing = getattr(node.view, "relevance_rule", None) or _EARLY[node.kind]
            return FromRelevance(passing, tuple(t not in self._relevant for t in node.outputs), outgoing=False)
        if node.kind in ("pass", "reindex") and any(not is_float(node.inputs[p].dtype) for p in node.active_inputs):
            return flow.Reindex()
        registered = getattr(node.view, "relevance_rule", None)
        if registered is not None:
            return FromRelevance(registered)
        if isinstance(node.view, RecurrentView):
            return FromRelevance(recurrent_rule(Epsilon(self.epsilon), node))
        if is_head(node) and node.outputs[0] in self._clone.graph.outputs:
            return Identity()  # only reached with head="output"
        return self._rule_of_kind(node)

    def _rule_of_kind(self, node):
        if node.kind in ("affine", "sum"):
            return Linear(self.epsilon) if self.epsilon else Gradient()
        if node.kind in ("reindex", "softmax"):
            return Gradient()
        if node.kind == "winner":
            return winner_rule(node) or Gradient()
        if node.kind == "pass":
            homogeneous = isinstance(node.view, Rectifier) and node.view.max_value is None
            return Gradient() if homogeneous or node.operation in _LINEAR else Identity()
        if node.kind in ("product", "bilinear"):
            return Shared(_takers(node), self.epsilon)
        return None


def _takers(node):
    """The operands of a product that take part: all but gates."""
    left_out = gates(node, softmax=False) if node.kind == "product" else ()
    return [p for p in node.active_inputs if p not in left_out]


def _before_the_network(graph):
    """What only prepares the input: there relevance itself passes on.

    It also does where a pixel is 0, and at (1 - mask) * -1e9, which is 0 or takes no part, so that no relevance arrives: in
    gradient form the mask would get what 1 and -1e9 had to cancel.

    Returns:
        The set of such nodes, and the set of tensors that only they, and embeddings, read.
    """
    consumers, outputs = graph.consumers(), set(graph.outputs)
    early = {n for n in graph.nodes if n.kind in ("pass", "reindex") or (n.kind == "sum" and len(n.active_inputs) == 1)}

    def read_by_them(tensor):
        readers = [reader for reader, _ in consumers.get(tensor, ()) if reader.kind != "constant"]
        return bool(readers) and tensor not in outputs and all(r in early or r.kind == "embedding" for r in readers)

    while True:
        active = {n: [n.inputs[p] for p in n.active_inputs] for n in early}
        fits = {n for n in early if all((t.producer is None or t.producer in early) and read_by_them(t) for t in active[n])}
        if fits == early:
            break
        early = fits
    tensors = [*graph.inputs, *(t for n in early for t in n.outputs)]
    return early, {t for t in tensors if read_by_them(t)}


@register_analyzer("lrp.attention")
class AttnLRP(_TransformerLRP):
    """AttnLRP: relevance through the softmax too, half of every matrix product to each operand."""

    paper = "Achtibat et al. 2024"


@register_analyzer("lrp.cp")
class CPLRP(_TransformerLRP):
    """CP-LRP, the conservative propagation: attention weights are constants, so queries and keys get nothing."""

    paper = "Ali et al. 2022"
    attention_is_constant = True
