"""The LRP rules under one roof: `innspect.layers.epsilon` and `innspect.layers.lrp`."""

from innspect.layers.epsilon import Epsilon, EpsilonDistribute, ScaledEpsilon
from innspect.layers.lrp import AlphaBeta, AlphaBetaX, Bounded, Flat, Gamma, WSquare, ZPlus, ZPlusFast

__all__ = [
    "AlphaBeta",
    "AlphaBetaX",
    "Bounded",
    "Epsilon",
    "EpsilonDistribute",
    "Flat",
    "Gamma",
    "ScaledEpsilon",
    "WSquare",
    "ZPlus",
    "ZPlusFast",
]
