"""Which LRP rule each layer gets: rules by name, and the presets of the literature as data."""

import inspect

import numpy as np

from innspect.errors import PlainKeyError, suggest
from innspect.graph.ir import is_float
from innspect.layers import relevance as R
from innspect.layers.base import Rule
from innspect.layers.distribute import EpsilonDistribute
from innspect.layers.recurrent import RecurrentView, recurrent_rule
from innspect.layers.scaled import ScaledEpsilon

# A rule by name: (class, arguments the name fixes). iNNvestigate's names are among them.
RULES = {
    "Z": (R.Epsilon, {"epsilon": 0.0}),
    "ZIgnoreBias": (R.Epsilon, {"epsilon": 0.0, "bias": False}),
    "Epsilon": (R.Epsilon, {}),
    "EpsilonIgnoreBias": (R.Epsilon, {"bias": False}),
    "Gamma": (R.Gamma, {}),
    "WSquare": (R.WSquare, {}),
    "Flat": (R.Flat, {}),
    "AlphaBeta": (R.AlphaBeta, {}),
    "AlphaBetaIgnoreBias": (R.AlphaBeta, {"bias": False}),
    "Alpha2Beta1": (R.AlphaBeta, {"alpha": 2, "beta": 1}),
    "Alpha2Beta1IgnoreBias": (R.AlphaBeta, {"alpha": 2, "beta": 1, "bias": False}),
    "Alpha1Beta0": (R.AlphaBeta, {"alpha": 1, "beta": 0}),
    "Alpha1Beta0IgnoreBias": (R.AlphaBeta, {"alpha": 1, "beta": 0, "bias": False}),
    "ZPlus": (R.ZPlus, {}),
    "ZPlusFast": (R.ZPlusFast, {}),
    "Bounded": (R.Bounded, {}),
}


def make_rule(rule, **settings):
    """A `Rule` from a name, a class, an instance or a (low, high) pair; settings it does not take are left out."""
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, tuple | list) and len(rule) == 2:
        return bounded(*rule)
    if isinstance(rule, str):
        if rule not in RULES:
            raise PlainKeyError(f"Unknown rule: {rule!r}. {suggest(rule, RULES)}")
        cls, fixed = RULES[rule]
    elif isinstance(rule, type) and issubclass(rule, Rule):
        cls, fixed = rule, {}
    else:
        raise TypeError(
            "A rule must be a name, a subclass or instance of `innspect.layers.Rule`, or a (low, high) pair. "
            f"Received: {rule!r}"
        )
    takes = inspect.signature(cls.__init__).parameters
    given = {k: v for k, v in settings.items() if k in takes and k not in fixed and v is not None}
    if cls is R.Bounded and not {"low", "high"} <= set(given):
        raise ValueError("The rule 'Bounded' needs the bounds of the input. Received: none; give `low` and `high`")
    if isinstance(given.get("epsilon"), tuple | list):
        return _scaled(cls, rule, **{**fixed, **given})
    if given.get("bias") == "distribute":
        if cls is not R.Epsilon:
            raise ValueError(f"`bias='distribute'` goes with the epsilon and z rules. Received: the rule {rule!r}")
        return EpsilonDistribute(**{k: v for k, v in {**fixed, **given}.items() if k != "bias"})
    return bounded(**given) if cls is R.Bounded else cls(**{**fixed, **given})


def _scaled(cls, rule, epsilon, bias=True):
    """The epsilon rule with a stabiliser given as ("rms", factor)."""
    if cls is not R.Epsilon or bias == "distribute":
        raise ValueError(f"`epsilon=('rms', factor)` goes with the epsilon rule. Received: the rule {rule!r}, bias={bias!r}")
    if len(epsilon) != 2 or epsilon[0] != "rms":
        raise ValueError(f"`epsilon` must be a number that is not negative, or ('rms', factor). Received: {epsilon!r}")
    return ScaledEpsilon(epsilon[1], bool(bias))


def bounded(low, high, epsilon=0.0):
    """The z-box rule, its bounds checked."""
    if low is None or high is None:
        raise ValueError(f"`low` and `high` must both be given: the bounds of the model's input. Received: {low!r}, {high!r}")
    low, high = np.asarray(low, "float32"), np.asarray(high, "float32")
    if np.any(low > high):
        raise ValueError(f"`low` must not be above `high`. Received: low={low.tolist()}, high={high.tolist()}")
    return R.Bounded(low, high, epsilon)


def fitted_box(rule, spec, channels_first):
    """The z-box rule with bounds that broadcast over (samples, *axes) of the model's input."""
    shape = tuple(spec.shape[1:])

    def fitted(bound, name):
        bound = np.asarray(bound)
        if bound.ndim == 1 and len(shape) > 1:  # one number a channel
            bound = bound.reshape((-1, *[1] * (len(shape) - 1))) if channels_first else bound
        missing = len(shape) - bound.ndim
        sizes = (1,) * missing + bound.shape
        if missing < 0 or any(b not in (1, s) and s is not None for b, s in zip(sizes, shape, strict=True)):
            raise ValueError(
                f"`{name}` must be a number, one number a channel, or an array of the input's shape {shape}. "
                f"Received: an array of shape {bound.shape}"
            )
        return bound

    return R.Bounded(fitted(rule.low, "low"), fitted(rule.high, "high"), rule.epsilon)


class Composite:
    """The rule of every affine node: by path, else for the first layers, else by kind, else the default.

    Args:
        default: Rule of affine layers.
        convolution, dense: Rules by the layer's family.
        first: Rule of the kernel layers with no kernel layer or embedding before them.
        first_convolution: Rule of the first convolution in the model's order.
        named: Dict from path or layer name to rule.
        until: (count, rule): the first `count` kernel layers in the model's order.
    """

    def __init__(self, default, convolution=None, dense=None, first=None, first_convolution=None, named=None, until=None):
        self.default, self.by_family = default, {"convolution": convolution, "dense": dense}
        self.first, self.first_convolution = first, first_convolution
        self.named, self.until = named or {}, until

    def assign(self, graph):
        """Dict from every affine node, and every recurrent one that there is a rule for, to its rule."""
        nodes = [n for n in graph.nodes if n.kind == "affine"]
        first, order = first_kernel_nodes(graph), _layer_order(nodes)
        early = set(list(order)[: self.until[0]]) if self.until else set()
        convolutions = [n for n in nodes if n.view.family == "convolution"]
        boxed = {n for n in convolutions if _layer_key(n) == _layer_key(convolutions[0]) and n in first}
        recurrent = [n for n in graph.nodes if n.kind == "recurrent"]
        known = {name for node in [*nodes, *recurrent] for name in _names(node)}
        unknown = [name for name in self.named if name not in known]
        if unknown:
            raise PlainKeyError(f"No kernel layer is named {unknown[0]!r}. {suggest(unknown[0], known)}")
        rules = {}
        for node in nodes:
            by_name = next((self.named[name] for name in _names(node) if name in self.named), None)
            rules[node] = (
                by_name
                or (self.until[1] if self.until and _layer_key(node) in early else None)
                or (self.first if node in first and self._fits(self.first, node) else None)
                or (self.first_convolution if node in boxed and self._fits(self.first_convolution, node) else None)
                or self.by_family.get(node.view.family)
                or self.default
            )
        for node in recurrent:  # where dense layers have the epsilon rule, the sums of a recurrent layer have it too
            by_name = next((self.named[name] for name in _names(node) if name in self.named), None)
            rule = by_name or self.by_family["dense"] or self.default
            if isinstance(node.view, RecurrentView) and isinstance(rule, R.Epsilon) and not isinstance(rule, ScaledEpsilon):
                rules[node] = recurrent_rule(rule, node)
        return rules

    @staticmethod
    def _fits(rule, node):
        """The bounds of the input hold for what reads the input, not for the second half of a separable layer."""
        return rule is not None and not (rule.needs_bounds and node.path.endswith("/pointwise"))


def _names(node):
    """What a mapping may call a node: its path, its layer's path, its layer's name."""
    parts = node.path.split("/")
    layer = getattr(node.layer, "name", None)
    return [node.path, "/".join(parts[:-1]), parts[-1]] + ([layer] if layer else [])


def _layer_key(node):
    return id(node.layer) if node.layer is not None else id(node)


def _layer_order(nodes):
    """Kernel layers in the model's order, each once (the two halves of a separable convolution are one)."""
    return dict.fromkeys(_layer_key(n) for n in nodes)


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
