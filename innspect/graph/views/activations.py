"""What rules and passes need to know of activations and of maxima."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rectifier:
    """The view of a ReLU node: max(0, x), at most `max_value` where that is not None."""

    max_value: float | None = None


@dataclass(frozen=True)
class Extremum:
    """The view of a reduction to the largest or smallest entry over `axis`."""

    axis: int | tuple[int, ...] | None
    keepdims: bool
    largest: bool


@dataclass(frozen=True)
class Along:
    """The view of a softmax over one axis."""

    axis: int


class Unopened:
    """The view of a function that could not be opened: what it is made of, such as a ReLU, cannot be seen."""
