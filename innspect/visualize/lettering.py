"""How much room the words of a grid need, and on how many lines they stand."""

from collections.abc import Sequence

FONT, SMALL = 9, 8  # points
_LONGEST = 1.25  # inches a name may be long on one line where it is turned


def text_width(text: str, size: float) -> float:
    """Inches that a line of text needs."""
    from matplotlib.textpath import TextPath

    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text.strip() else 0.0


def _in_two_lines(label: str, room: float) -> list[str]:
    """A name longer than some inches, broken near its middle, after a dot, a space or an underscore."""
    places = [i + 1 for i, letter in enumerate(label) if letter in "._ " and 0 < i < len(label) - 1]
    if not places or text_width(label, FONT) <= room:
        return [label]
    middle = min(places, key=lambda place: abs(place - len(label) / 2))
    return [label[:middle].rstrip(), label[middle:]]


def names_over(columns: Sequence[tuple[str, float]]) -> tuple[list[list[str]], bool]:
    """The lines of each column's name, and whether they are turned: they stand upright where all columns are wide enough.

    Args:
        columns: (name, inches) of each.
    """
    upright = [_in_two_lines(name, width) for name, width in columns]
    fits = [text_width(line, FONT) <= width for (_, width), lines in zip(columns, upright, strict=True) for line in lines]
    return (upright, False) if all(fits) else ([_in_two_lines(name, _LONGEST) for name, _ in columns], True)


def wrapped(label: str, room: float) -> list[str]:
    """The label on as many lines as it takes to keep it within some inches."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, SMALL) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
