"""The colours of every palette, as data; which palette and which scale suit the maps of a method.

A palette goes from zero to the largest magnitude in four stops. A diverging one has a side for either sign, equally
light, so that equal magnitudes look equal; a sequential one has the positive side only. Zero has the colour of the
ground: white on light pages, nearly black on dark ones.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from innspect.checks import OneOf

if TYPE_CHECKING:
    from innspect.analyzers.base.explanation import Explanation

Colour = tuple[int, int, int]
Side = tuple[Colour, Colour, Colour]

STOPS = (0.0, 0.25, 0.6, 1.0)
GROUNDS = {"light": (255, 255, 255), "dark": (17, 17, 17)}
INKS = {"light": "#222222", "dark": "#e6e6e6"}
NOT_FINITE = (128, 128, 128)

# palette -> ground -> (positive, negative or None), without the first stop, which is the ground.
PALETTES: dict[str, dict[str, tuple[Side, Side | None]]] = {
    "red_blue": {
        "light": (((253, 205, 190), (226, 74, 62), (120, 0, 20)), ((190, 214, 250), (60, 118, 226), (10, 24, 120))),
        "dark": (((96, 22, 24), (226, 74, 62), (255, 214, 196)), ((20, 42, 112), (60, 118, 226), (196, 222, 255))),
    },
    "orange_blue": {
        "light": (((254, 218, 166), (226, 124, 16), (104, 46, 0)), ((184, 218, 250), (28, 116, 200), (0, 26, 92))),
        "dark": (((98, 52, 4), (226, 124, 16), (255, 226, 172)), ((10, 46, 96), (28, 116, 200), (188, 226, 255))),
    },
    "heat": {
        "light": (((255, 222, 140), (236, 104, 40), (88, 0, 24)), None),
        "dark": (((104, 14, 42), (236, 104, 40), (255, 242, 176)), None),
    },
    "blue_yellow": {
        "light": (((244, 220, 110), (122, 126, 118), (0, 32, 76)), None),
        "dark": (((12, 50, 104), (124, 124, 118), (255, 234, 92)), None),
    },
    "grey": {
        "light": (((191, 191, 191), (102, 102, 102), (0, 0, 0)), None),
        "dark": (((77, 77, 77), (161, 161, 161), (255, 255, 255)), None),
    },
}


@dataclass(frozen=True)
class Scale:
    """Where a map has the palest and the darkest colour.

    Attributes:
        percentile: Of the magnitudes, the one that has the darkest colour; what is beyond has it, too.
        above_lowest: Whether each sample's lowest value, in place of zero, has the colour of zero.
    """

    percentile: float = 99.5
    above_lowest: bool = False


# By what a method says of its maps. A few pixels far above the others would pale them all; where a peak is broad, its top is
# what one looks for; and a mean over random masks is high everywhere.
SCALES = {"pixels": Scale(), "regions": Scale(100.0), "above_lowest": Scale(100.0, above_lowest=True)}


def palette_of(of: Any, signed: str = "red_blue", unsigned: str = "heat") -> str:
    """The palette that suits maps: a sequential one where their values have no sign, a diverging one elsewhere.

    Args:
        of: Whose maps they are: an analyzer, an `Explanation` or the `settings` of one, or the name of a method, of which
            then the default arguments count. None, and what is no method: maps with a sign.
        signed, unsigned: The palettes to choose from; "orange_blue" and "blue_yellow" are told apart by colour-blind
            eyes of every kind.
    """
    OneOf(*PALETTES).check("signed", signed)
    OneOf(*PALETTES).check("unsigned", unsigned)
    return unsigned if _told(of, "signed") is False else signed


def scale_of(of: Any) -> Scale:
    """The scale that suits maps: all that draws takes it, where the user gives no `percentile`.

    Pixel maps have the darkest colour from the 99.5th percentile of the magnitudes on, class activation and occlusion maps
    at their largest magnitude, and RISE from its lowest value to its largest.

    Args:
        of: Whose maps they are, as for `palette_of`. None, and what is no method: pixel maps.

    Returns:
        An object with the attributes `percentile`, of the magnitudes, and `above_lowest`, whether zero is each sample's
        lowest value.
    """
    known = _told(of, "scale")
    OneOf(*SCALES).check_given("scale", known)
    return SCALES[known or "pixels"]


def _told(of: Any, fact: str) -> Any:
    """What a method says of its maps; None where that is not known."""
    if is_explanation(of):
        of = of.settings
    if isinstance(of, dict):  # files that are older than the key have the name only
        return of[fact] if fact in of else _told(of.get("method"), fact)
    if of is None:
        return None
    if not isinstance(of, str):
        if not hasattr(of, fact):
            raise ValueError(f"`of` must be an analyzer, an explanation, its settings or a method. Received: {of!r:.80}")
        return getattr(of, fact)
    from innspect.analyzers.base.registry import told_of

    return told_of(of, fact)


def is_explanation(given: Any) -> "TypeGuard[Explanation]":
    """Whether something is an `Explanation`, which knows its method; asked without importing Keras."""
    return isinstance(getattr(given, "settings", None), dict) and hasattr(given, "attributions")


def stops_of(palette: str, ground: str) -> tuple[tuple[Colour, ...], tuple[Colour, ...] | None]:
    """(positive, negative or None): the colours at `STOPS`, each four RGB triples.

    Raises:
        ValueError: An unknown palette or ground.
    """
    OneOf(*PALETTES).check("palette", palette)
    OneOf(*GROUNDS).check("ground", ground)
    zero = GROUNDS[ground]
    positive, negative = PALETTES[palette][ground]
    return (zero, *positive), None if negative is None else (zero, *negative)
