"""LRP rules by name, and what is made of the ways users give them."""

import inspect
from collections.abc import Sequence
from typing import Any, overload

import keras
import numpy as np
from numpy.typing import ArrayLike

from innspect.checks import Finite, check_order
from innspect.errors import PlainKeyError, suggest
from innspect.graph.opened.taking import taken
from innspect.layers import relevance as R
from innspect.layers.base import Rule
from innspect.layers.epsilon import EpsilonDistribute, ScaledEpsilon
from innspect.types import Array

RuleLike = Rule | type[Rule] | str | Sequence[Any]  # an instance, a class, a name, or (low, high)

# A rule by name: (class, arguments the name fixes). iNNvestigate's names are among them.
RULES: dict[str, tuple[type[Rule], dict[str, Any]]] = {
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


def rule_paper(name: str) -> str:
    """Authors and year of the paper of a rule's name, or ""."""
    return getattr(RULES[name][0], "paper", "")


def make_rule(rule: RuleLike, argument: str = "rule", /, **settings: Any) -> Rule:
    """A `Rule` from a name, a class, an instance or a (low, high) pair; of the settings it gets those of `settings_of`.

    Args:
        rule: What the user gave.
        argument: As what, for errors.
        **settings: Those of all rules.
    """
    if isinstance(rule, Rule):
        return rule
    if isinstance(rule, tuple | list) and len(rule) == 2:
        low, high = rule
        return bounded(low, high, argument=argument)
    cls, fixed = _class_of(rule, argument)
    given = {k: v for k, v in settings.items() if k in settings_of(rule, argument) and v is not None}
    if given.get("bias") == "both" and cls in (R.Epsilon, R.Gamma):
        given["bias"] = True  # it says how alpha-beta rules, beside this one, take theirs
    boxed = issubclass(cls, R.Bounded) and {"low", "high"} <= settings_of(rule, argument)
    if boxed and not {"low", "high"} <= set(given):
        raise ValueError(
            f"The rule 'Bounded' needs the bounds of the input, `low` and `high`. Received: none as `{argument}`; iNNvestigate "
            "takes low=-1 and high=1 where none are given"
        )
    if isinstance(given.get("epsilon"), tuple | list):
        return _scaled(cls, rule, **{**fixed, **given})
    if given.get("bias") == "distribute":
        if not issubclass(cls, R.Epsilon):
            raise ValueError(f"`bias='distribute'` goes with the epsilon and z rules. Received: the rule {rule!r}")
        return EpsilonDistribute(**{k: v for k, v in {**fixed, **given}.items() if k != "bias"})
    return bounded(**given) if boxed else cls(**{**fixed, **given})


def settings_of(rule: RuleLike, argument: str = "rule") -> set[str]:
    """The names of the settings that a rule takes: the arguments of its class that its name does not fix."""
    if isinstance(rule, Rule | tuple | list):
        return set()
    cls, fixed = _class_of(rule, argument)
    return set(inspect.signature(cls).parameters) - set(fixed)


def takes_both(rule: RuleLike) -> bool:
    """Whether a rule takes `bias="both"`."""
    return "bias" in settings_of(rule) and _class_of(rule)[0] not in (R.Epsilon, R.Gamma)


def _class_of(rule: Any, argument: str = "rule") -> tuple[type[Rule], dict[str, Any]]:
    if isinstance(rule, str):
        if rule not in RULES:
            raise PlainKeyError(f"Unknown rule: {rule!r}. {suggest(rule, RULES)} It was given as `{argument}`.")
        return RULES[rule]
    if isinstance(rule, type) and issubclass(rule, Rule):
        return rule, {}
    raise TypeError(
        "A rule must be a name, a subclass or instance of `innspect.layers.Rule`, or a (low, high) pair. "
        f"Received: {rule!r} as `{argument}`"
    )


def _scaled(cls: type[Rule], rule: RuleLike, epsilon: Any, bias: bool | str = True) -> Rule:
    """The epsilon rule with a stabiliser given as ("rms", factor)."""
    if cls is not R.Epsilon or bias == "distribute":
        raise ValueError(f"`epsilon=('rms', factor)` goes with the epsilon rule. Received: the rule {rule!r}, bias={bias!r}")
    if len(epsilon) != 2 or epsilon[0] != "rms":
        raise ValueError(f"`epsilon` must be a number that is not negative, or ('rms', factor). Received: {epsilon!r}")
    return ScaledEpsilon(epsilon[1], bool(bias))


def bounded(low: ArrayLike | None, high: ArrayLike | None, epsilon: float = 0.0, argument: str = "") -> R.Bounded:
    """The z-box rule, its bounds checked; `argument` is where they were given as a pair."""
    if low is None or high is None:
        raise ValueError(f"`low` and `high` must both be given: the bounds of the model's input. Received: {low!r}, {high!r}")
    for name, bound in (("low", low), ("high", high)):
        Finite().check(f"{argument}, {name}" if argument else name, bound)
    check_order(low, high)
    return R.Bounded(np.asarray(low, "float64"), np.asarray(high, "float64"), epsilon)


def fitted_box(rule: R.Bounded, spec: keras.KerasTensor, channels_first: bool) -> R.Bounded:
    """The z-box rule with bounds that broadcast over (samples, *axes) of the model's input."""
    shape = tuple(spec.shape[1:])

    def fitted(given: ArrayLike, name: str) -> Array:
        bound = np.asarray(given)
        bound = bound.reshape(taken(bound.shape, shape) or bound.shape)
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


@overload
def rule_beside(rule: None, settings: dict[str, Any], argument: str = ...) -> None: ...


@overload
def rule_beside(rule: RuleLike, settings: dict[str, Any], argument: str = ...) -> Rule: ...


def rule_beside(rule: RuleLike | None, settings: dict[str, Any], argument: str = "rule") -> Rule | None:
    """A rule beside the main one. Of the shared settings an epsilon is meant for the rules that are named after one."""
    if rule is None:
        return None
    taken = settings_beside(rule, argument)
    return make_rule(rule, argument, **{k: v for k, v in settings.items() if k in taken})


def settings_beside(rule: RuleLike, argument: str = "rule") -> set[str]:
    """`settings_of` a rule beside the main one."""
    named = isinstance(rule, str) and rule in ("Epsilon", "EpsilonIgnoreBias", "Gamma")
    return settings_of(rule, argument) - (set() if named else {"epsilon"})
