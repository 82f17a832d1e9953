"""Which layer is lowered how: the table that `register_reverse_mapping` writes to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import keras

from innspect.checks import OneOf
from innspect.graph.keras_internals import computes_as, computing

if TYPE_CHECKING:
    from innspect.graph.views.affine import Affine
    from innspect.layers.base import Rule

Lowering = Callable[..., Any]  # (trace, layer, *call_arguments) -> symbolic outputs
Opening = Callable[..., Any]  # (trace, operation, *arguments) -> symbolic outputs, or None
F = TypeVar("F", bound=Callable[..., Any])

_LOWERINGS: dict[type, tuple[Lowering, tuple[str, ...]]] = {}  # layer class -> lowering, names of what it computes with
_OPENINGS: dict[str, Opening] = {}  # by the name of a Keras operation's class
_changes = 0


def version() -> int:
    """What changes when layers or operations are registered."""
    return _changes


def _registered(cls: type, lowering: Lowering) -> None:
    global _changes
    _LOWERINGS[cls] = lowering, computing(cls)
    if not cls.__module__.startswith("innspect."):  # whose own are registered once and for all
        _changes += 1


def lowers(*layer_classes: type) -> Callable[[F], F]:
    """Register a function `(trace, layer, *call_arguments) -> symbolic outputs` for layer classes."""

    def register(function: F) -> F:
        for layer_class in layer_classes:
            _registered(layer_class, function)
        return function

    return register


def find_lowering(layer: keras.Layer) -> Lowering | None:
    """The lowering of a layer by what computes it, or None."""
    own = type(layer)
    for base in own.__mro__:
        if base in _LOWERINGS:
            lowering, names = _LOWERINGS[base]
            by_itself = any(name in vars(layer) for name in names)  # such as a `call` that was wrapped
            return lowering if computes_as(own, base, names) and not by_itself else None
    return None


def opens(operation: str) -> Callable[[F], F]:
    """Register a function `(trace, operation, *arguments) -> symbolic outputs` that writes an operation as simpler ones.

    Where it returns None the operation stays one node.
    """

    def register(function: F) -> F:
        _OPENINGS[operation] = function
        return function

    return register


def find_opening(operation: keras.Operation) -> Opening | None:
    """The function that writes an operation as simpler ones, or None."""
    return _OPENINGS.get(type(operation).__name__)


class Registered:
    """The view of a node whose layer class brought its own rules."""

    def __init__(self, rule: "Rule | None", gradient_rule: "Rule | None"):
        self.relevance_rule, self.gradient_rule = rule, gradient_rule


def register_reverse_mapping(
    layer_class: type,
    *,
    rule: "Rule | None" = None,
    gradient_rule: "Rule | None" = None,
    kind: str | None = None,
    view: "Callable[[Any, int], Affine] | None" = None,
    lower: Lowering | None = None,
) -> None:
    """Teach innspect a layer class.

    Instances, and instances of subclasses that do not change how it computes, become one node of the graph, run by
    calling the layer itself.

    Args:
        layer_class: A subclass of `keras.layers.Layer`.
        rule: `innspect.layers.Rule` instance that answers in the relevance methods (LRP, deep Taylor).
        gradient_rule: The same for the methods in gradient form; default the layer's gradient.
        kind: Instead of a rule, one of the kinds that every method has rules for: "pass" (elementwise), "reindex"
            (outputs are copies of inputs), "sum" (fixed linear or diagonal affine map), "affine" (with `view`).
        view: For kind "affine": a class made from (layer, input rank), see `innspect.graph.views.affine.Affine`.
        lower: Instead of all these, a function `(trace, layer, *call_arguments)` that writes the layer as nodes.

    Examples:
        >>> innspect.register_reverse_mapping(MyActivation, kind="pass")
        >>> innspect.register_reverse_mapping(MyGate, rule=MyGateRule())
    """
    if not (isinstance(layer_class, type) and issubclass(layer_class, keras.layers.Layer)):
        raise TypeError(f"`layer_class` must be a subclass of `keras.layers.Layer`. Received: {layer_class!r}")
    kinds = ("pass", "reindex", "sum", "affine")
    OneOf(*kinds, None).check("kind", kind)
    if (kind == "affine") != (view is not None):
        raise ValueError(f"`view` goes with kind='affine', and only with it. Received: kind={kind!r}, view={view!r}")
    if lower is None and kind is None and rule is None and gradient_rule is None:
        raise ValueError("Give a `rule`, a `kind` or a `lower` function. Received: none of them")
    _registered(layer_class, lower or _kept_whole(rule, gradient_rule, kind, view))


def _kept_whole(
    rule: "Rule | None", gradient_rule: "Rule | None", kind: str | None, view: "Callable[[Any, int], Affine] | None"
) -> Lowering:
    def lowering(trace: Any, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if view is not None:
            x = args[0]
            made = view(layer, len(x.shape))
            spec = layer.compute_output_spec(*args, **kwargs)
            name = type(layer).__name__
            return trace.emit("affine", made, x, spec=spec, layer=layer, view=made, operation=name)
        return trace.leaf(layer, *args, kind=kind or "opaque", view=Registered(rule, gradient_rule), **kwargs)

    return lowering
