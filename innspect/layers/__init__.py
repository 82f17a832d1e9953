"""Reverse-mapping layers: rules, the affine view they are written against, and the program that runs them."""

from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.epsilon import Epsilon, ScaledEpsilon
from innspect.layers.gradient import Gradient, Rectified
from innspect.layers.lrp import AlphaBeta, Bounded, Flat, Gamma, WSquare, ZPlus, ZPlusFast
from innspect.layers.terms import AffineRule, make_term
from innspect.layers.weightless import Pass, Proportional, Reindex

__all__ = [
    "AffineRule",
    "AlphaBeta",
    "Bounded",
    "Epsilon",
    "Flat",
    "Gamma",
    "Gradient",
    "Pass",
    "Proportional",
    "Rectified",
    "Reindex",
    "ReverseLayer",
    "Rule",
    "ScaledEpsilon",
    "WSquare",
    "ZPlus",
    "ZPlusFast",
    "make_term",
]
