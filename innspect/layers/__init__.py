"""Reverse-mapping layers: rules, the affine view they are written against, and the program that runs them."""

from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.gradient import Gradient, Rectified
from innspect.layers.relevance import AlphaBeta, Bounded, Epsilon, Flat, Gamma, WSquare, ZPlus, ZPlusFast
from innspect.layers.scaled import ScaledEpsilon
from innspect.layers.terms import AffineRule, make_term

__all__ = [
    "AffineRule",
    "AlphaBeta",
    "Bounded",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gradient",
    "Rectified",
    "ReverseLayer",
    "Rule",
    "ScaledEpsilon",
    "WSquare",
    "ZPlus",
    "ZPlusFast",
    "make_term",
]
