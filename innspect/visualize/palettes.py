"""The colours of every palette, as data.

A palette goes from zero to the largest magnitude in four stops. A diverging one has a side for either sign, equally
light, so that equal magnitudes look equal; a sequential one has the positive side only. Zero has the colour of the
ground: white on light pages, nearly black on dark ones.
"""

from typing import Any

from innspect.checks import OneOf

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


def palette_of(of: Any, signed: str = "red_blue", unsigned: str = "heat") -> str:
    """The palette that suits maps: a sequential one where their values have no sign, a diverging one elsewhere.

    Args:
        of: Whose maps they are: an analyzer, the `settings` of an `Explanation`, or the name of a method, of which then the
            default arguments count.
        signed, unsigned: The palettes to choose from; "orange_blue" and "blue_yellow" are told apart by colour-blind
            eyes of every kind.
    """
    OneOf(*PALETTES).check("signed", signed)
    OneOf(*PALETTES).check("unsigned", unsigned)
    return signed if _has_sign(of) else unsigned


def _has_sign(of: Any) -> bool:
    if isinstance(of, dict):  # files that are older than the key have the name only
        return of["signed"] if "signed" in of else _has_sign(of.get("method", ""))
    if not isinstance(of, str | None):
        if not hasattr(of, "signed"):
            raise ValueError(f"`of` must be an analyzer, an explanation's settings or a method. Received: {of!r:.80}")
        return of.signed
    from innspect.analyzers.base.registry import is_signed

    return is_signed(of)


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
