"""How a model takes an array: a last axis of 1 may be missing, or be too many, as for `model.predict`."""

from innspect.types import Shape


def fits(shape: tuple[int, ...], expected: Shape) -> bool:
    """Whether an array of a shape has the axes that are expected, None where any size is."""
    return len(shape) == len(expected) and all(e in (None, n) for n, e in zip(shape, expected, strict=True))


def taken(shape: tuple[int, ...], expected: Shape) -> tuple[int, ...] | None:
    """The shape with the axes that are expected, of an array that has them but for a last axis of 1; None for others."""
    if fits(shape, expected):
        return shape
    if expected[-1:] == (1,) and fits(shape, expected[:-1]):
        return (*shape, 1)
    if shape[-1:] == (1,) and fits(shape[:-1], expected):
        return shape[:-1]
    return None


def batch_taken(shape: tuple[int, ...], expected: Shape) -> tuple[int, ...] | None:
    """As `taken`, for an array of samples and the shape (None, ...) of a model's input.

    An image without an axis of samples may look like samples without one of channels where the model takes images of any
    size. It is not taken for them.
    """
    if None in expected[1:] and fits(shape, expected[1:]):
        return None
    return taken(shape, (None, *expected[1:]))
