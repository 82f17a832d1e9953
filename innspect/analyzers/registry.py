"""Analyzers by name."""

import inspect
import warnings

from innspect.errors import PlainKeyError, suggest

_ANALYZERS: dict = {}  # name -> (class, arguments that the name fixes)

# iNNvestigate's arguments that have no meaning here, with what replaces them.
_REPLACED = {
    "bn_layer_rule": "batch normalization is folded or answered exactly",
    "allow_lambda_layers": None,  # accepted: Lambda layers are opened
}


def register_analyzer(name, **fixed):
    """Class decorator: make an `Analyzer` known as `name`, with some of its arguments fixed."""

    def register(cls):
        _ANALYZERS[name] = (cls, fixed)
        if "name" not in vars(cls) or not cls.name:
            cls.name = name
        return cls

    return register


def list_analyzers():
    """The names that `create_analyzer` knows, sorted."""
    return sorted(_ANALYZERS)


def create_analyzer(name, model, **kwargs):
    """Create an analyzer by name.

    Args:
        name: One of `list_analyzers()`, such as "lrp.epsilon" or "guided_backprop".
        model: A built Keras model. It is only read: weights stay shared with it, nothing of it is changed.
        **kwargs: The method's arguments; the class's docstring lists them.

    Returns:
        An `Analyzer`.

    Raises:
        KeyError: Unknown name; near matches are offered.
        TypeError: An argument the method does not take, or `model` is no Keras model.
        NotAnalyzeableModelError: The model has a layer that the method has no rule for.

    Examples:
        >>> analyzer = innspect.create_analyzer("lrp.epsilon", model, epsilon=0.1)
        >>> attribution = analyzer.analyze(x)
    """
    if name not in _ANALYZERS:
        raise PlainKeyError(f"Unknown analyzer: {name!r}. {suggest(name, list_analyzers())}")
    cls, fixed = _ANALYZERS[name]
    given = _without_replaced(kwargs)
    _check_arguments(name, cls, fixed, given)
    analyzer = cls.__new__(cls)
    analyzer.name, analyzer._arguments = name, dict(kwargs)
    analyzer.__init__(model, **{**fixed, **given})
    return analyzer


def _without_replaced(kwargs):
    def is_replaced(argument):
        return argument in _REPLACED or (argument.startswith("reverse_") and argument != "reverse_project_bottleneck_layers")

    dropped = {k: v for k, v in kwargs.items() if is_replaced(k)}
    named = {k: _REPLACED.get(k, "explain(at=...) returns signals, conservation() checks them") for k in dropped}
    told = {k: why for k, why in named.items() if why}
    if told:
        told = "; ".join(f"`{k}`: {why}" for k, why in told.items())
        warnings.warn(f"Arguments of iNNvestigate that are ignored here: {told}.", stacklevel=3)
    return {k: v for k, v in kwargs.items() if k not in dropped}


def _check_arguments(name, cls, fixed, given):
    accepted = accepted_arguments(name)
    more = getattr(cls, "more_arguments", None)
    if more is not None:
        accepted |= more({**fixed, **given})
    for argument in given:
        if argument not in accepted:
            raise TypeError(f"{name!r} takes no argument {argument!r}. {suggest(argument, sorted(accepted))}")


def accepted_arguments(name):
    """The names of the arguments that a method takes."""
    if name not in _ANALYZERS:
        raise PlainKeyError(f"Unknown analyzer: {name!r}. {suggest(name, list_analyzers())}")
    cls, fixed = _ANALYZERS[name]
    accepted = set()
    for base in cls.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values() if "__init__" in vars(base) else ()
        accepted |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)} - {"self", "model"}
    return accepted - set(fixed)
