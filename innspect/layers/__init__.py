"""Reverse-mapping layers: rules, the affine view they are written against, and the program that runs them."""

from innspect.layers.base import ReverseLayer, Rule
from innspect.layers.gradient import Gradient, Rectified
from innspect.layers.relevance import (
    AffineRule,
    AlphaBeta,
    Bounded,
    Epsilon,
    Flat,
    Gamma,
    WSquare,
    ZPlus,
    ZPlusFast,
    make_term,
)
from innspect.layers.scaled import ScaledEpsilon

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
