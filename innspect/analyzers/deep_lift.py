"""DeepLIFT and DeepSHAP: how the change from a reference to the input makes the change of the output."""

import keras
import numpy as np
from keras import ops

from innspect import backend
from innspect.analyzers.data import on_device
from innspect.analyzers.references import Background, References, even_chunks
from innspect.analyzers.registry import register_analyzer
from innspect.analyzers.reverse import ReverseAnalyzer
from innspect.analyzers.selection import explained_value, few_at_once
from innspect.analyzers.signal import winner_rule
from innspect.analyzers.stateless import Compiler
from innspect.graph.encoding import Lookup
from innspect.graph.folding import fold
from innspect.graph.ir import Ref, is_float
from innspect.graph.opening import open_normalizations
from innspect.layers import deep_lift as rules
from innspect.layers.flow import Reindex
from innspect.layers.reveal_cancel import RevealCancel, SplitAffine, SplitSum

_RULES = ("rescale", "reveal_cancel")
_FAMILIES = ("dense", "convolution")


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
        maxpool: "cross_max", exact, or "gradient", by the winner at the input alone, as the original code does it.
        normalize_logits: True explains a logit against the mean of all logits (sec. 3.6 of the paper).
        head: See `ReverseAnalyzer`.

    Raises:
        NotAnalyzeableModelError: The model has a layer without a rule, such as recurrent layers and attention.

    `explain(...).delta` is what is missing from summation to delta. `signals` at layers are multipliers.
    """

    paper = "Shrikumar et al. 2017"
    program_class = rules.PairProgram
    zero_vectors = True

    def __init__(self, model, *, reference_inputs=0, rule="rescale", maxpool="cross_max", normalize_logits=False, **arguments):
        self._rule_of = _families(rule)
        if maxpool not in ("cross_max", "gradient"):
            raise ValueError(f"`maxpool` must be 'cross_max' or 'gradient'. Received: {maxpool!r}")
        self.reference_inputs, self.maxpool, self.normalize_logits = reference_inputs, maxpool, normalize_logits
        super().__init__(model, **arguments)
        self._compiler = Compiler(self._variables)

    # ------------------------------------------------------------------ rules
    def prepare(self, graph):
        graph = open_normalizations(graph)
        if "reveal_cancel" in self._rule_of.values():  # a normalization must not stand between a layer and its activation
            graph, gone = fold(graph, keep=graph.outputs)
        else:
            gone = {}
        self._readers = graph.consumers()
        # References may be fewer than rows only where every tensor has its rows along the first axis.
        self._grouped = all(t.shape[:1] == (None,) for n in graph.nodes for t in n.outputs if t.active)
        return graph, gone

    def rule(self, node):
        active = [node.inputs[p] for p in node.active_inputs]
        looks_up = isinstance(node.view, Lookup)
        if looks_up or (node.kind in ("pass", "reindex") and not all(is_float(t.dtype) for t in active)):
            ids = looks_up or any(self._clone.takes_ids(t) for t in active)
            return rules.Ids(getattr(node.view, "relevance_rule", None) or Reindex(), ids and self.zero_vectors)
        if node.kind in ("affine", "sum"):
            return self._splitting(node) or rules.Linear()
        if node.kind == "reindex":
            return rules.Switch() if node.operation in ("Where", "Select") and isinstance(node.args[0], Ref) else rules.Linear()
        if node.kind == "pass":
            return self._activation(node)
        if node.kind == "winner":
            return self._winner(node)
        if node.kind in ("product", "bilinear"):
            return rules.Multilinear()
        if node.kind == "embedding":
            return rules.Vectors(self.zero_vectors)
        return rules.Linear() if self.disable_model_checks else None

    def _winner(self, node):
        if not node.outputs[0].shape:
            return None  # over all samples: there is no contribution of one
        operands = winner_rule(node) is not None and node.view is None
        if self.maxpool == "gradient" and not operands:
            return rules.Linear()
        return rules.CrossMax(winner_rule(node) or Reindex())

    def _activation(self, node):
        if node.operation == "Cast":
            return rules.Linear()
        source = node.inputs[node.active_inputs[0]].producer
        split = source is not None and source.kind in ("affine", "sum") and self._splitting(source) is not None
        return RevealCancel() if split else rules.Rescale()

    def _splitting(self, node):
        """The rule that tells positive from negative contributions, where an activation wants to know them."""
        family = getattr(node.view, "family", None) if node.kind == "affine" else "dense"
        if self._rule_of.get(family) != "reveal_cancel":
            return None
        if not any(n.kind == "pass" and n.operation != "Cast" for n, _ in self._readers.get(node.outputs[0], ())):
            return None
        if node.kind == "affine":
            return SplitAffine()
        count = len(node.inputs)
        signs = {"Add": [1.0] * count, "Subtract": [1.0, -1.0], "Average": [1.0 / count] * count}.get(node.operation)
        return SplitSum(signs) if signs and count > 1 and len(node.active_inputs) == count == len(node.args) else None

    # ------------------------------------------------------------------ running
    def _references(self, inputs):
        return References(self.reference_inputs, inputs, self._clone)

    def _batches(self, inputs, batch_size):
        if inputs.samples:
            inputs.references = self._references(inputs)
        return super()._batches(inputs, batch_size)

    @few_at_once
    def _explain_batch(self, inputs, rows, chosen, number, at, several):
        xs = on_device([a[rows] for a in inputs.arrays], self._clone)
        values = [ops.convert_to_tensor(s.rows(rows)) for s in chosen]
        key, function = (number, at, several, *[s.key for s in chosen]), self._averaged(number, chosen, at, several)
        total = None
        for references, ws in _chunks(inputs.references, rows, inputs.batch_size):
            given = [ops.convert_to_tensor(r) for r in references if r is not None]
            found = self._compiler(key, function, xs, given, values, ops.convert_to_tensor(ws))
            if total is None:
                total, here = found["sums"], found["here"]
            else:
                total = keras.tree.map_structure(lambda a, b: a + b, total, found["sums"])
        missing = here["targets"] - total.pop("start")
        for attribution in total["attributions"]:
            lead = len(missing.shape)
            missing = missing - ops.sum(ops.reshape(attribution, (*missing.shape, -1)), axis=lead)
        return total | here | {"delta": missing}

    def _averaged(self, number, chosen, at, several):
        """The function that weighs contributions against a chunk of references, for the compiler."""
        program = self._program(number, at)
        layers = {path: self._tensors_at(path) for path in at}
        for path, tensors in layers.items():
            if any(not program.computes(t) for t in tensors):
                raise ValueError(f"`at` must name layers that the explained output depends on. Received: {path!r}")

        def function(xs, references, values, ws):
            count = ws.shape[0]
            pairs = self._pairs([ops.repeat(x, count, axis=0) for x in xs], references)
            y, tape = program.forward(pairs)
            values = [ops.repeat(v, count, axis=0) for v in values]
            weights = [s.weights(v, y.x) for s, v in zip(chosen, values, strict=True)]
            if self.normalize_logits:
                weights = [w - ops.mean(w, axis=-1, keepdims=True) for w in weights]

            def back(w):
                signals = program.backward(
                    tape, self.seed(w, y.x), [t for ts in layers.values() for t in ts], keep_tape=several
                )
                arrived = [(t, signals.get(t), p) for t, p in zip(program.inputs, pairs, strict=True)]
                maps = {"attributions": [self._contribution(*each) for each in arrived]}
                if layers:
                    maps["signals"] = {
                        k: _plain(signals[ts[0]]) if len(ts) == 1 else [_plain(signals[t]) for t in ts]
                        for k, ts in layers.items()
                    }
                return keras.tree.map_structure(lambda m: _mean(m, ws, xs), maps)

            sums = backend.scan(back, ops.stack(weights)) if several else back(weights[0])
            selected = list(zip(chosen, weights, strict=True))
            targets, starts = ([explained_value(s, w, v) for s, w in selected] for v in (y.x, y.reference))
            ends = [t[::count] for t in targets], [_mean(v, ws, xs) for v in starts]
            targets, starts = (ops.stack(v) if several else v[0] for v in ends)
            here = {"outputs": self._with_head(number, y.x[::count]), "targets": targets}
            return {"sums": sums | {"start": starts}, "here": here}

        return function

    def _pairs(self, xs, references):
        """The model's inputs with their references; masks, and ids whose reference is the zero vector, stay as they are."""
        given, pairs = iter(references), []
        still = [not self._clone.moves(t) and self.zero_vectors for t in self._clone.graph.inputs]
        for x, stays in zip(xs, still, strict=True):
            pair = rules.Pair(x, x if stays else next(given))
            pairs.append(pair if self._grouped and not any(still) else rules.Pair(x, pair.reference))
        return pairs

    def _contribution(self, tensor, multiplier, pair):
        if not is_float(pair.x.dtype) or (self._clone.takes_ids(tensor) and multiplier is not None):
            return ops.zeros(pair.x.shape, "float32") if multiplier is None else multiplier
        if multiplier is None:
            return ops.zeros_like(pair.x)
        return multiplier * pair.change


@register_analyzer("deep_shap")
class DeepShap(DeepLift):
    """DeepSHAP (Lundberg and Lee 2017): DeepLIFT averaged over a background set of references.

    The attributions sum to f(x) minus the mean of f over the background.

    Args:
        background: (references, *input shape), a list or dict of these for several inputs. Ids of an embedding are
            compared with the background's ids.
        rule, maxpool, normalize_logits, head: See `DeepLift`.
    """

    paper = "Lundberg and Lee 2017"
    zero_vectors = False

    def __init__(self, model, *, background, **arguments):
        if "reference_inputs" in arguments:
            raise TypeError("'deep_shap' takes `background`, not `reference_inputs`.")
        self.background = background
        super().__init__(model, **arguments)

    def _references(self, inputs):
        return Background(self.background, inputs, self._clone, name="background")


def _families(rule):
    """Dict from the family of affine layers to the rule of the activations after them."""
    rules_of = dict.fromkeys(_FAMILIES, rule) if isinstance(rule, str) else rule
    known = isinstance(rules_of, dict) and set(rules_of) <= set(_FAMILIES) and set(rules_of.values()) <= set(_RULES)
    if not known:
        raise ValueError(f"`rule` must be one of {_RULES}, or a dict with one of them for {_FAMILIES}. Received: {rule!r}")
    return rules_of


def _chunks(references, rows, batch_size):
    """References for one compiled call each, (references, *shape) for every input, and the weight of each."""
    count = len(references)
    if not references.shared:
        for r in range(count):
            yield references.take(r, rows), np.array([1 / count])
        return
    for numbers, counts in even_chunks(count, max(1, batch_size // len(rows))):
        sets = [references.take(r, rows) for r in numbers]
        yield [None if a[0] is None else np.concatenate(a) for a in zip(*sets, strict=True)], counts / count


def _mean(values, ws, xs):
    """The weighted sum over the references of each sample: (batch * references, ...) to (batch, ...)."""
    values = ops.reshape(values, (xs[0].shape[0], ws.shape[0], *ops.shape(values)[1:]))
    weights = ops.cast(ops.reshape(ws, (1, -1, *[1] * (len(values.shape) - 2))), values.dtype)
    return ops.sum(values * weights, axis=1)


def _plain(signal):
    return signal.both if hasattr(signal, "both") else signal
