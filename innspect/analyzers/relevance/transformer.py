"""LRP for transformers: AttnLRP (Achtibat et al. 2024) and CP-LRP (Ali et al. 2022), for whole networks."""

from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.gradient import carries_ids
from innspect.analyzers.relevance.conservation import Conserving
from innspect.analyzers.reverse.passes import Pass
from innspect.analyzers.signal import winner_or_gradient
from innspect.checks import Number
from innspect.graph.gates import gates
from innspect.graph.heads import is_head
from innspect.graph.ir import Rewritten
from innspect.graph.passes.detach import freeze
from innspect.graph.views.activations import Rectifier
from innspect.graph.views.diagonal import Diagonal
from innspect.graph.views.recurrent import RecurrentView
from innspect.layers import weightless
from innspect.layers.attention import FromRelevance, Identity, Linear, RelevanceProgram, Shared
from innspect.layers.epsilon import Epsilon
from innspect.layers.gradient import Gradient
from innspect.layers.recurrent import recurrent_rule
from innspect.layers.rule_table import Made, When, kind, relevance_rule

_EARLY = {"pass": weightless.Pass(), "reindex": weightless.Reindex(), "sum": weightless.Proportional()}
_LINEAR = {"Cast", "SaturateCast", "ConvertToTensor", "Copy", "Negative", "NanToNum"}


class _TransformerLRP(Conserving):
    """Base: which rule each node gets, in gradient form.

    Args:
        epsilon: Stabiliser of affine layers, sums and matrix products. 0 is exact and the cheapest: in gradient form
            nothing is divided by a sum.
    """

    family = "relevance propagation"
    default_start = "value"
    conserves = True
    attention_is_constant = False
    ranges = {"epsilon": Number()}

    def __init__(self, model, *, epsilon=0.0, **arguments):
        super().__init__(model, **arguments)
        self.epsilon = epsilon

    def rewrite(self, graph):
        return Rewritten(graph).then(freeze, self.attention_is_constant)

    def program(self, graph, output, rules, /, **settings):
        _, relevant = _before_the_network(graph)
        return RelevanceProgram(graph, output, rules, relevant=relevant, **settings)

    def books_pass(self, request):
        sites = tuple((p.path, p.sites) for p in request.bare.through)
        return self._kept(("books", request.output, sites), self._make_books, request.output, dict(sites))

    def _make_books(self, number, through):
        """Every layer a step of its own, and the value of every tensor at hand."""
        rules = {n: Linear() if type(r) is Gradient else r for n, r in self.rules_for(number).items()}
        graph = self.plan.graph
        everything = [t for n in graph.nodes for t in n.outputs if t in graph.active]
        program = self.program(graph, self._explained(number), rules, keep=everything)
        passed = {path: ([self._stand_in(s.tensor, self.plan) for s in sites], sites[0]) for path, sites in through.items()}
        return Pass(program, self.variables, self._head(number), None, passed)

    def rows(self, graph):
        early, relevant = _before_the_network(graph)
        early = {node.path for node in early}
        heads = {t for t in self.opened.graph.outputs if is_head(graph.producer(t))}
        epsilon = float(self.epsilon)
        linear = Linear(epsilon) if epsilon else Gradient()

        def before(node):
            prepares = isinstance(node.view, Diagonal) and not node.view.learned
            passing = relevance_rule(node) or _EARLY["pass" if prepares else node.kind]
            return FromRelevance(passing, tuple(t not in relevant for t in node.outputs), outgoing=False)

        def registered(node):
            rule = relevance_rule(node)
            return None if rule is None else FromRelevance(rule)

        def recurrent(node):
            return FromRelevance(recurrent_rule(Epsilon(epsilon), node))

        def shared(node):
            return Shared(_takers(graph, node), epsilon)

        return [
            (kind("embedding"), weightless.SumOverEmbedding("inner")),
            (When("what only prepares the input", lambda node: node.path in early), Made("relevance passes on", before)),
            (When("ids", lambda node: node.kind in ("pass", "reindex") and carries_ids(node)), weightless.Reindex()),
            (When("a registered layer", relevance_rule), Made("its own rule", registered)),
            (When("recurrent", lambda node: isinstance(node.view, RecurrentView)), Made("Recurrent()", recurrent)),
            (When("the model's head", lambda node: node.outputs[0] in heads), Identity()),  # only with head="output"
            (kind("affine"), linear),
            (kind("sum"), linear),
            (kind("reindex"), Gradient()),
            (kind("softmax"), Gradient()),
            (kind("winner"), Made("winner takes all", winner_or_gradient)),
            (When("a homogeneous function", _is_homogeneous), Gradient()),
            (kind("pass"), Identity()),
            (kind("product"), Made("Shared()", shared)),
            (kind("bilinear"), Made("Shared()", shared)),
        ]


def _is_homogeneous(node):
    rectifies = isinstance(node.view, Rectifier) and node.view.max_value is None
    return node.kind == "pass" and (rectifies or node.operation in _LINEAR)


def _takers(graph, node):
    """The operands of a product that take part: all but gates."""
    left_out = gates(graph, node, softmax=False) if node.kind == "product" else ()
    return [p for p in node.active_inputs if p not in left_out]


def _before_the_network(graph):
    """What only prepares the input: there relevance itself passes on.

    It also does where a pixel is 0, and at (1 - mask) * -1e9, which is 0 or takes no part, so that no relevance arrives: in
    gradient form the mask would get what 1 and -1e9 had to cancel.

    Returns:
        The set of such nodes, and the set of tensors that only they, and embeddings, read.
    """
    outputs = set(graph.outputs)
    early = {n for n in graph.nodes if n.kind in ("pass", "reindex") or (n.kind == "sum" and len(n.active_inputs) == 1)}

    def read_by_them(tensor):
        readers = [reader for reader, _ in graph.readers(tensor) if reader.kind != "constant"]
        return bool(readers) and tensor not in outputs and all(r in early or r.kind == "embedding" for r in readers)

    while True:
        active = {n: [n.inputs[p] for p in n.active_inputs] for n in early}
        own = {None, *early}
        fits = {n for n in early if all(graph.producer(t) in own and read_by_them(t) for t in active[n])}
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
