"""Which methods explain which network: tried, not promised."""

import re
import warnings

import keras
import numpy as np

from innspect.analyzers.base.registry import accepted_arguments, create_analyzer, example_arguments, list_analyzers
from innspect.graph.opened.opened_model import model_of, opened_if_possible

_OF_NO_TARGET = ("input", "random")


def support(model, x, methods=None, *, arguments=None):
    """Try methods on a model.

    Args:
        model: A built Keras model.
        x: Some samples, in the structure that the model takes; at least two.
        methods: Names; default all that `list_analyzers` knows.
        arguments: Dict from a method's name to arguments of yours, beside those that are chosen here: few steps, few
            samples, bounds and a background from `x`, patterns fitted to `x`.

    Returns:
        Dict from method to "" where it works: its maps are finite, and depend on the neuron that is explained. Else the
        reason why the method does not apply, in the words of the error, or of the warning that signals grew too large.

    Raises:
        AssertionError: A method fails in any other way than by a `NotAnalyzeableModelError` or `ValueError`, or returns
            maps that tell nothing.

    Example:
        >>> support(model, x[:2], ["lrp.epsilon", "lrp.attention", "cam"])
    """
    methods = list_analyzers() if methods is None else methods
    model = opened_if_possible(model)  # once, for all methods
    given = arguments or {}
    return {method: _tried(model, x, method, given.get(method, {})) for method in methods}


def _tried(model, x, method, arguments):
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            analyzer = create_analyzer(method, model, **{**_needed(method, x), **arguments})
            if hasattr(analyzer, "fit"):
                analyzer.fit(x)
            maps = _maps(analyzer, x)
    except ValueError as reason:  # what innspect says of bad input; NotAnalyzeableModelError is one
        return _first_sentence(str(reason), method)
    except Exception as error:
        name = model_of(model).name
        raise AssertionError(f"{method!r} fails on the model {name!r}: {type(error).__name__}: {error}") from error
    where = f"{method!r} on the model {model_of(model).name!r}"
    if not all(np.isfinite(each).all() for each in maps):
        overflow = [str(w.message) for w in told if "signals grew beyond" in str(w.message)]
        assert overflow, f"{where}: maps are not finite"
        return re.sub(r" for \d+ of.*", "", _first_sentence(overflow[0], method)).rstrip(",")
    assert any(np.any(each) for each in maps), f"{where}: maps are all zero"
    same = all(np.array_equal(maps[0], each) for each in maps[1:])
    assert method in _OF_NO_TARGET or len(maps) == 1 or not same, f"{where}: maps do not depend on the neuron"
    return ""


def _maps(analyzer, x):
    """The maps of the first two neurons, flat."""
    first = analyzer.explain(x, 0)
    others = [analyzer.analyze(x, 1)] if first.outputs.ndim > 1 and first.outputs.shape[-1] > 1 else []
    return [np.concatenate([np.ravel(a) for a in keras.tree.flatten(m)]) for m in (first.attributions, *others)]


def _needed(method, x):
    """What a method must be given, and little of what it may be; of maps of one layer also what speaks against the neuron."""
    whole = {"relu": False} if "relu" in accepted_arguments(method) else {}
    return example_arguments(method, x) | whole


def _first_sentence(text, method):
    """What an error says first, without the method's name."""
    sentence = re.split(r"\. (?=[A-Z])|; ", text)[0].rstrip(".")
    return sentence.removeprefix(f"{method!r} ").removeprefix(f"{method!r}: ")
