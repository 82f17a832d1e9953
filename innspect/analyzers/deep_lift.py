"""DeepLIFT: how the change from a reference to the input makes the change of the output."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.base import sampling
from innspect.analyzers.base.registry import register_analyzer
from innspect.analyzers.base.request import Result, few_at_once
from innspect.analyzers.gradient import carries_ids
from innspect.analyzers.reverse.analyzer import ReverseAnalyzer
from innspect.analyzers.signal import winner_rule
from innspect.checks import AnyOf, Boolean, Elsewhere, OneForEach, OneOf
from innspect.graph.ir import Ref, Rewritten, is_float
from innspect.graph.passes.folding import fold
from innspect.graph.passes.normalization import open_normalizations
from innspect.graph.views.ids import Lookup
from innspect.inputs.batches import on_device
from innspect.inputs.references import References, even_chunks
from innspect.layers import deep_lift as rules
from innspect.layers import guarded
from innspect.layers.reveal_cancel import RevealCancel, SplitAffine, SplitSum
from innspect.layers.rule_table import Made, When, anything, kind, relevance_rule
from innspect.layers.weightless import Reindex

_RULES = ("rescale", "reveal_cancel")
_FAMILIES = ("dense", "convolution")
_MODES = {**{rule: rule for rule in _RULES}, "genomics_default": {"dense": "reveal_cancel", "convolution": "rescale"}}


@register_analyzer("deep_lift.wrapper")
@register_analyzer("deep_lift")
class DeepLift(ReverseAnalyzer):
    """DeepLIFT (Shrikumar et al. 2017): contributions to f(x) - f(x0), which they sum to.

    Products are split after Shapley, maxima exactly. Several references are averaged. For ids of an embedding the
    reference is the zero vector.

    Args:
        reference_inputs: A number, an array of the input's shape, one reference for each sample, or several; see
            `References`.
        rule: "rescale", or "reveal_cancel", which keeps positive and negative contributions to an activation apart; or
            a dict with one for "dense" and one for "convolution" layers.
        nonlinear_mode: iNNvestigate's name of `rule`; "genomics_default" there is "reveal_cancel" for dense layers alone.
        maxpool: "cross_max", exact, or "gradient", by the winner at the input alone, as the original code does it.
        normalize_logits: True explains a logit against the mean of all logits (sec. 3.6 of the paper).
        head: See `ReverseAnalyzer`.

    Raises:
        NotAnalyzeableModelError: The model has a layer without a rule, such as recurrent layers and attention.

    `explain(...).delta` is what is missing from summation to delta. `signals` at layers are multipliers.
    """

    moves_inputs = True
    family = "difference to a reference"
    paper = "Shrikumar et al. 2017"
    zero_vectors = True
    one_graph = masks = True
    takes = rules.MultiplierRule
    ranges = {
        "reference_inputs": Elsewhere("References"),
        "rule": AnyOf(OneOf(*_RULES), OneForEach(_FAMILIES, _RULES)),
        "nonlinear_mode": OneOf(*_MODES),
        "maxpool": OneOf("cross_max", "gradient"),
        "normalize_logits": Boolean(),
    }

    replaced = {
        "approximate_gradient": "what has no rule is refused",
        **{name: f"`analyze` takes `{name}`" for name in ("verbose", "batch_size")},
    }
    rule: Any  # an argument: the method has `rows`, and no use for the hook of this name

    def __init__(
        self,
        model,
        *,
        reference_inputs=0,
        rule="rescale",
        maxpool="cross_max",
        normalize_logits=False,
        nonlinear_mode=None,
        **arguments,
    ):
        super().__init__(model, **arguments)
        if nonlinear_mode is not None and rule != "rescale":
            raise ValueError(f"Give either `rule` or `nonlinear_mode`. Received: {rule!r} and {nonlinear_mode!r}")
        self.reference_inputs, self.rule, self.nonlinear_mode = reference_inputs, _MODES.get(nonlinear_mode, rule), None
        self.maxpool, self.normalize_logits = maxpool, normalize_logits

    # ------------------------------------------------------------------ rules
    def rewrite(self, graph):
        written = Rewritten(graph).then(open_normalizations)
        if "reveal_cancel" in _families(self.rule).values():  # no normalization between a layer and its activation
            written = written.then(fold, keep=graph.outputs)
        return written

    def program(self, graph, output, rules_of, /, **settings):
        return rules.PairProgram(graph, output, rules_of, **settings)

    def rows(self, graph):
        splits = _Splits(graph, _families(self.rule))
        unknown = [(anything, rules.Linear())] if self.disable_model_checks else []
        return [
            (When("ids", _has_ids), Made("Ids()", self._of_ids)),
            (kind("affine"), Made("SplitAffine(), if an activation asks", splits.rule)),
            (kind("sum"), Made("SplitSum(), if an activation asks", splits.rule)),
            (kind("affine"), rules.Linear()),
            (kind("sum"), rules.Linear()),
            (When("a choice of two", _chooses), rules.Switch()),
            (kind("reindex"), rules.Linear()),
            (When("Cast", lambda node: node.operation == "Cast"), rules.Linear()),
            (kind("pass"), Made("RevealCancel() or Rescale()", splits.activation)),
            (kind("winner"), Made("CrossMax()", self._winner)),
            (kind("product"), rules.Multilinear()),
            (kind("bilinear"), rules.Multilinear()),
            (kind("embedding"), rules.Vectors(self.zero_vectors)),
            *unknown,
        ]

    def _of_ids(self, node):
        ids = isinstance(node.view, Lookup) or any(self.opened.takes_ids(node.inputs[p]) for p in node.active_inputs)
        return rules.Ids(relevance_rule(node) or Reindex(), ids and self.zero_vectors)

    def _winner(self, node):
        if not node.outputs[0].shape:
            return None  # over all samples: there is no contribution of one
        operands = winner_rule(node) is not None and node.view is None
        if self.maxpool == "gradient" and not operands:
            return rules.Linear()
        return rules.CrossMax(winner_rule(node) or Reindex())

    # ------------------------------------------------------------------ running
    def begin(self, request):
        return self.compared_with(request)

    def compared_with(self, request):
        references = References(self.reference_inputs, request.inputs, self.opened)
        return self.filled_references(references, request.output)

    @few_at_once
    def explain_batch(self, batch):
        total, here = self._compared(batch, np.arange(len(batch.request.context)))
        return self._with_delta(total, here, batch.request.several)

    def _compared(self, batch, which, error=False):
        """Weighted sums against the references with some numbers, and what the model says of the samples themselves."""
        way, request = self.way(batch.request), batch.request.bare
        xs = on_device(batch.xs, self.opened)
        total: Any = None
        for references, ws in _chunks(batch.request.context, batch, which):
            given = [ops.convert_to_tensor(r) for r in references if r is not None]
            arguments = xs, given, batch.values, ops.convert_to_tensor(ws)
            found = way((error, request.key), self._averaged(way, request, error), *arguments)
            if total is None:
                total, here = found["sums"], found["here"]
            else:
                total = sampling.added(total, found["sums"])
        return total, here

    def _with_delta(self, total, here, several):
        missing = here["targets"] - total.pop("start")
        lead = 2 if several else 1
        for attribution in total["attributions"]:
            missing = missing - ops.sum(ops.reshape(attribution, (*missing.shape, -1)), axis=lead)
        return total | here | {"delta": missing}

    def _averaged(self, way, request, error):
        """The function that weighs contributions against a chunk of references, for the compiler."""

        def function(xs, references, values, ws):
            count = ws.shape[0]
            pairs = self._pairs([ops.repeat(x, count, axis=0) for x in xs], references)
            passage = way.forward(pairs, request, [ops.repeat(v, count, axis=0) for v in values])
            if self.normalize_logits:
                passage.weights = [w - backend.mean(w, axis=-1, keepdims=True) for w in passage.weights]

            def back(weights):
                maps = self.attributed(passage, weights)
                means = keras.tree.map_structure(lambda m: _mean(m, ws, xs), maps)
                if error:
                    means["moments"] = [_moments(m, ws, xs) for m in maps["attributions"]]
                return means

            of_samples = (lambda v: v[:, ::count]) if request.several else (lambda v: v[::count])
            starts = passage.explained(passage.result.reference)
            several = [_mean(starts[n], ws, xs) for n in range(len(request.targets))] if request.several else None
            starts = _mean(starts, ws, xs) if several is None else ops.stack(several)
            here = {"outputs": way.output(passage.y[::count]), "targets": of_samples(passage.targets)}
            return {"sums": passage.each(back) | {"start": starts}, "here": here}

        return function

    def attributed(self, passage, weights):
        signals = passage.back(self.seed(weights, passage.y))
        arrived = [(t, signals.get(t), p) for t, p in zip(self.opened.graph.inputs, passage.xs, strict=True)]
        maps: Result = {"attributions": [self._contribution(*each) for each in arrived]}
        if passage.request.at:
            found = passage.at_layers(signals)
            maps["signals"] = {k: list(map(_plain, s)) if isinstance(s, list) else _plain(s) for k, s in found.items()}
        return maps

    @functools.cached_property
    def _grouped(self):
        """Whether references may be fewer than rows: only where every tensor has its rows along the first axis."""
        graph = self.plan.graph
        return all(t.shape[:1] == (None,) for n in graph.nodes for t in n.outputs if t in graph.active)

    def _pairs(self, xs, references):
        """The model's inputs with their references; masks, and ids whose reference is the zero vector, stay as they are."""
        given, pairs = iter(references), []
        still = [not self.opened.moves(t) and self.zero_vectors for t in self.opened.graph.inputs]
        for x, stays in zip(xs, still, strict=True):
            pair = rules.Pair(x, x if stays else next(given))
            pairs.append(pair if self._grouped and not any(still) else rules.Pair(x, pair.reference))
        return pairs

    def _contribution(self, tensor, multiplier, pair):
        if not is_float(pair.x.dtype) or (self.opened.takes_ids(tensor) and multiplier is not None):
            return ops.zeros(pair.x.shape, self.opened.dtype) if multiplier is None else multiplier
        if multiplier is None:
            return ops.zeros_like(pair.x)
        pair = rules.Pair(guarded.numbers(pair.x), guarded.numbers(pair.x0)) if self.guards else pair
        return multiplier * pair.change


def _has_ids(node):
    return isinstance(node.view, Lookup) or (node.kind in ("pass", "reindex") and carries_ids(node))


def _chooses(node):
    return node.kind == "reindex" and node.operation in ("Where", "Select") and isinstance(node.args[0], Ref)


class _Splits:
    """Which layers tell positive from negative contributions, where an activation wants to know them."""

    def __init__(self, graph, rule_of):
        self._graph, self._rule_of = graph, rule_of

    def rule(self, node):
        """The rule of an affine layer or a sum, or None where it is linear."""
        family = getattr(node.view, "family", None) if node.kind == "affine" else "dense"
        if self._rule_of.get(family) != "reveal_cancel":
            return None
        if not any(n.kind == "pass" and n.operation != "Cast" for n, _ in self._graph.readers(node.outputs[0])):
            return None
        if node.kind == "affine":
            return SplitAffine()
        count = len(node.inputs)
        signs = {"Add": [1.0] * count, "Subtract": [1.0, -1.0], "Average": [1.0 / count] * count}.get(node.operation)
        return SplitSum(signs) if signs and count > 1 and len(node.active_inputs) == count == len(node.args) else None

    def activation(self, node):
        source = self._graph.producer(node.inputs[node.active_inputs[0]])
        split = source is not None and source.kind in ("affine", "sum") and self.rule(source) is not None
        return RevealCancel() if split else rules.Rescale()


def _families(rule):
    """Dict from the family of affine layers to the rule of the activations after them."""
    return dict.fromkeys(_FAMILIES, rule) if isinstance(rule, str) else rule


def _chunks(references, batch, which):
    """References with some numbers for one compiled call each, (references, *shape) for every input, and their weights."""
    count = len(references)
    if not references.shared:
        for r in which:
            yield references.take(r, batch.rows), np.array([1 / count])
        return
    for numbers, counts in even_chunks(len(which), batch.room):
        sets = [references.take(r, batch.rows) for r in which[numbers]]
        yield [None if a[0] is None else np.concatenate(a) for a in zip(*sets, strict=True)], counts / count


def _apart(values, ws, xs):
    """Values (batch * references, ...) as (batch, references, ...), and weights that broadcast over them."""
    values = ops.reshape(values, (xs[0].shape[0], ws.shape[0], *ops.shape(values)[1:]))
    return values, ops.cast(ops.reshape(ws, (1, -1, *[1] * (len(values.shape) - 2))), values.dtype)


def _mean(values, ws, xs):
    """The weighted sum over the references of each sample: (batch * references, ...) to (batch, ...)."""
    values, weights = _apart(values, ws, xs)
    return ops.sum(values * weights, axis=1)


def _moments(values, ws, xs):
    """The moments over the references of each sample."""
    return sampling.moments(*_apart(values, ws > 0, xs))


def _plain(signal):
    return signal.both if hasattr(signal, "both") else signal
