"""Rules as classes by the names of iNNvestigate, for lists of rules and for subclasses.

A class fixes what its name says. Subclasses may set the rest, as in

    class MyEpsilon(EpsilonRule):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, epsilon=0.1, **kwargs)

but a rule that computes something else is written as docs/extending.md tells.
"""

import inspect
from typing import Any

from innspect.layers import relevance
from innspect.layers.base import Rule
from innspect.layers.names import RULES

# Those of iNNvestigate's rules that have a class, and no name.
_UNNAMED = {
    "AlphaBetaX": (relevance.AlphaBetaX, {}),
    "AlphaBetaX1000": (relevance.AlphaBetaX, {"alpha": (1, 0), "beta": (0, 0)}),
    "AlphaBetaX1010": (relevance.AlphaBetaX, {"alpha": (1, 0), "beta": (0, -1)}),
    "AlphaBetaX1001": (relevance.AlphaBetaX, {"alpha": (1, 1), "beta": (0, 0)}),
    "AlphaBetaX2m100": (relevance.AlphaBetaX, {"alpha": (2, 0), "beta": (1, 0)}),
}


def _rule(name: str) -> Any:
    cls, fixed = RULES.get(name) or _UNNAMED[name]

    def init(self: Rule, *_: Any, **settings: Any) -> None:  # iNNvestigate's rules are also given the layer and a state
        settings.pop("copy_weights", None)  # and how it should keep the weights
        super(made, self).__init__(**{**settings, **fixed})

    takes = inspect.signature(cls.__init__)
    given = [p for name, p in takes.parameters.items() if name not in fixed]
    init.__signature__ = takes.replace(parameters=given)  # type: ignore[attr-defined]
    described = {"__init__": init, "__doc__": f"The rule {name!r}, a `{cls.__name__}`.", "__module__": __name__}
    made: Any = type(f"{name}Rule", (cls,), described)
    return made


ZRule = _rule("Z")
ZIgnoreBiasRule = _rule("ZIgnoreBias")
EpsilonRule = _rule("Epsilon")
EpsilonIgnoreBiasRule = _rule("EpsilonIgnoreBias")
GammaRule = _rule("Gamma")
WSquareRule = _rule("WSquare")
FlatRule = _rule("Flat")
AlphaBetaRule = _rule("AlphaBeta")
AlphaBetaIgnoreBiasRule = _rule("AlphaBetaIgnoreBias")
Alpha2Beta1Rule = _rule("Alpha2Beta1")
Alpha2Beta1IgnoreBiasRule = _rule("Alpha2Beta1IgnoreBias")
Alpha1Beta0Rule = _rule("Alpha1Beta0")
Alpha1Beta0IgnoreBiasRule = _rule("Alpha1Beta0IgnoreBias")
AlphaBetaXRule = _rule("AlphaBetaX")
AlphaBetaX1000Rule = _rule("AlphaBetaX1000")
AlphaBetaX1010Rule = _rule("AlphaBetaX1010")
AlphaBetaX1001Rule = _rule("AlphaBetaX1001")
AlphaBetaX2m100Rule = _rule("AlphaBetaX2m100")
ZPlusRule = _rule("ZPlus")
ZPlusFastRule = _rule("ZPlusFast")
BoundedRule = _rule("Bounded")

BY_NAME = {name: globals()[f"{name}Rule"] for name in RULES}
