"""What is done to an image before the model sees it, drawn anew for each step, inside the gradient.

Requirements of the design:

- Numbers are drawn on the host from the seed and the number of the step: the same on every backend, whoever is beside.
- All that only moves positions is one map, so that an image is looked up once, however many such transformations there are.
- Lengths are shares of the image's size.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect.checks import Count, Number, Range
from innspect.errors import PlainKeyError, suggest
from innspect.synthesis.layout import Layout
from innspect.synthesis.resampling import blurred, resampled
from innspect.types import Array, BackendTensor

Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Transformation:
    """A transformation with its arguments.

    Attributes:
        name: As it is registered.
        function: See `register_transformation`.
        moves: Whether it only moves positions.
        draws: How many numbers one of the others draws.
        arguments: Of the function.
    """

    name: str
    function: Callable[..., Any]
    moves: bool
    draws: int
    turns: bool
    arguments: tuple[tuple[str, Any], ...]

    @property
    def count(self) -> int:
        """How many images it makes of one."""
        return int(dict(self.arguments).get("count", 1))

    def __str__(self) -> str:
        return self.name + (f"({', '.join(f'{k}={v}' for k, v in self.arguments)})" if self.arguments else "")


_known: dict[str, dict[str, Any]] = {}


def register_transformation(
    name: str, *, moves: bool = False, draws: int = 1, turns: bool = False, ranges: dict[str, Range] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a transformation that `synthesize(transformations=[name])` knows.

    Args:
        name: Its name.
        moves: Whether it only moves positions. Then the function is `(random, sizes, progress, **arguments)`, of a NumPy
            generator, the lengths of the spatial axes, and how much of the ascent is done, from 0 to 1. It returns an array
            (axes, axes + 1), or (count, axes, axes + 1) where it has an argument `count`: a place in the result, in
            positions from the centre, times its first columns, plus the last, is the place in the image.
            Otherwise the function is `(x, numbers, **arguments)`, of a tensor (rows, *spatial axes, channels) and one of
            numbers between 0 and 1, (rows, draws), and returns a tensor like x. It is differentiated.
        draws: How many numbers it is given for each image.
        turns: Whether a place along one axis depends on another one.
        ranges: What its arguments may be, from `innspect.checks`.

    Examples:
        >>> @innspect.synthesis.register_transformation("flip", moves=True)
        ... def flip(random, sizes, progress):
        ...     matrix = np.eye(len(sizes), len(sizes) + 1)
        ...     matrix[-1, -2] = random.choice([-1, 1])
        ...     return matrix
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _known[name] = {"function": function, "moves": moves, "draws": draws, "turns": turns, "ranges": ranges or {}}
        return function

    return register


def list_transformations() -> list[str]:
    """The names that `transformations=` takes."""
    return sorted(_known)


def chosen(given: Any, layout: Layout | None) -> tuple[Transformation, ...]:
    """The transformations of `transformations=`: a name, or a list of names and pairs (name, arguments)."""
    listed = [] if given is None else [given] if isinstance(given, str) else given
    if not isinstance(listed, list | tuple):
        raise ValueError(f"`transformations` must be a list of names and pairs (name, dict of arguments). Received: {given!r}")
    found = tuple(map(_one, listed))
    if found and (layout is None or not layout.axes):
        raise ValueError(
            "`transformations` need one input with spatial axes, such as an image or a series. Received: "
            f"{[t.name for t in found]} for " + ("several inputs" if layout is None else f"samples of shape {layout.shape}")
        )
    if layout is not None and layout.axes != 2 and (turning := [t.name for t in found if t.turns]):
        raise ValueError(f"{turning[0]!r} needs two spatial axes. Received: samples of shape {layout.shape}")
    return found


def _one(given: Any) -> Transformation:
    name, arguments = (given, {}) if isinstance(given, str) else given if _is_pair(given) else (None, {})
    if name is None:
        raise ValueError(f"`transformations` must hold names and pairs (name, dict of arguments). Received: {given!r}")
    if name not in _known:
        raise PlainKeyError(f"Unknown transformation: {name!r}. {suggest(name, _known)}")
    known = _known[name]
    check_arguments(name, known["function"], 3 if known["moves"] else 2, arguments, known["ranges"])
    kept = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in arguments.items())
    return Transformation(name, known["function"], known["moves"], known["draws"], known["turns"], kept)


def _is_pair(given: Any) -> bool:
    pair = isinstance(given, tuple | list) and len(given) == 2
    return pair and isinstance(given[0], str) and isinstance(given[1], dict)


def check_arguments(
    name: str, function: Callable[..., Any], taken: int, arguments: dict[str, Any], ranges: dict[str, Range]
) -> None:
    """Raise where a function has no such arguments beside its first ones, or they are out of their ranges."""
    known = list(inspect.signature(function).parameters)[taken:]
    for argument, value in arguments.items():
        if argument not in known:
            raise TypeError(f"{name!r} has no argument {argument!r}; it has: {', '.join(known) or 'none'}. Received: {value!r}")
        if argument in ranges:
            ranges[argument].check(argument, value)


class Stages:
    """Transformations in their order, those that move positions taken together.

    Args:
        transformations: The `Transformation`s.
        layout: Of the image.
    """

    def __init__(self, transformations: Sequence[Transformation], layout: Layout):
        self._layout = layout
        self._stages: list[list[Transformation]] = []  # of one, or of several that move
        for each in transformations:
            if each.moves and self._stages and self._stages[-1][0].moves:
                self._stages[-1].append(each)
            else:
                self._stages.append([each])
        self.copies = math.prod(t.count for t in transformations)

    def draw(self, seeds: Sequence[int], step: int, progress: float) -> list[Array]:
        """What is drawn for a step: an array for each stage, rows first, each sample's copies together."""
        drawn = {seed: self._drawn(seed, step, progress) for seed in set(seeds)}
        return [np.concatenate([drawn[seed][i] for seed in seeds]) for i in range(len(self._stages))]

    def _drawn(self, seed: int, step: int, progress: float) -> list[Array]:
        random, rows, found = np.random.default_rng([seed, step]), 1, []
        for stage in self._stages:
            count = math.prod(t.count for t in stage)
            if stage[0].moves:
                found.append(np.concatenate([self._map(stage, random, progress) for _ in range(rows)]))
            else:
                found.append(random.random((rows * count, stage[0].draws)))
            rows *= count
        return [array.astype("float32") for array in found]

    def _map(self, stage: Sequence[Transformation], random: np.random.Generator, progress: float) -> Array:
        """The maps of a stage as one, in positions from the corner, (count, axes, axes + 1)."""
        sizes = self._layout.sizes
        whole = np.eye(len(sizes) + 1)[None]
        for each in stage:
            made = np.asarray(each.function(random, sizes, progress, **dict(each.arguments)), "float64")
            made = made.reshape(-1, len(sizes), len(sizes) + 1)
            last = np.broadcast_to(np.eye(len(sizes) + 1)[-1:], (len(made), 1, len(sizes) + 1))
            made = np.concatenate([made, last], axis=1)
            whole = (whole[:, None] @ made[None]).reshape(-1, *made.shape[1:])
        centre = (np.array(sizes) - 1) / 2
        found = whole[:, :-1]
        found[..., -1] += centre - found[..., :-1] @ centre
        return found

    def __call__(self, x: BackendTensor, drawn: Sequence[BackendTensor]) -> BackendTensor:
        """The transformed images, (samples * copies, *sample), from x (samples, *sample)."""
        if not self._stages:
            return x
        x = self._layout.last(x)
        for stage, numbers in zip(self._stages, drawn, strict=True):
            numbers = ops.cast(numbers, x.dtype)
            if (count := math.prod(t.count for t in stage)) > 1:
                x = ops.repeat(x, count, axis=0)
            if stage[0].moves:
                x = resampled(x, numbers, any(t.turns for t in stage))
            else:
                x = stage[0].function(x, numbers, **dict(stage[0].arguments))
        return self._layout.own(x)


# ---------------------------------------------------------------------- those that ship
_SHARE = Number(1.0)


def _square(sizes: Sizes) -> Array:
    return np.eye(len(sizes), len(sizes) + 1)


@register_transformation("jitter", moves=True, ranges={"share": _SHARE})
def _jitter(random: np.random.Generator, sizes: Sizes, progress: float, share: float = 8 / 224) -> Array:
    """A shift by up to a share of each axis, in whole positions where that is one at least."""
    matrix, most = _square(sizes), share * np.array(sizes)
    shift = random.uniform(-1, 1, len(sizes)) * most
    matrix[:, -1] = np.where(most >= 1, np.round(shift), shift)
    return matrix


@register_transformation("scale", moves=True, ranges={"low": _SHARE, "high": Number()})
def _scale(random: np.random.Generator, sizes: Sizes, progress: float, low: float = 0.9, high: float = 1.1) -> Array:
    """Larger or smaller, by a factor between two."""
    matrix = _square(sizes)
    matrix[:, :-1] /= random.uniform(low, max(low, high))
    return matrix


@register_transformation("rotation", moves=True, turns=True, ranges={"degrees": Number()})
def _rotation(random: np.random.Generator, sizes: Sizes, progress: float, degrees: float = 10.0) -> Array:
    """Turned by up to so many degrees either way."""
    angle, matrix = np.deg2rad(random.uniform(-degrees, degrees)), _square(sizes)
    matrix[:, :-1] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


@register_transformation(
    "crop",
    moves=True,
    ranges={"count": Count(1, 1024), "first": _SHARE, "final": _SHARE, "spread": Number(), "centre": Number()},
)
def _crop(
    random: np.random.Generator,
    sizes: Sizes,
    progress: float,
    count: int = 1,
    first: float = 0.9,
    final: float = 0.5,
    spread: float = 0.05,
    centre: float = 0.15,
) -> Array:
    """Parts of the image, enlarged to its size, whose mean share of an axis goes from `first` to `final` (MACO: 0.5 to 0.05).

    `spread` is the standard deviation of the shares, `centre` that of the places, both as shares of an axis.
    """
    shares = np.clip(random.normal(first + (final - first) * progress, spread, count), 0.05, 1)
    places = np.clip(random.normal(0, centre, (count, len(sizes))), -(1 - shares[:, None]) / 2, (1 - shares[:, None]) / 2)
    maps = np.tile(_square(sizes), (count, 1, 1))
    maps[:, :, :-1] *= shares[:, None, None]
    maps[:, :, -1] = places * (np.array(sizes) - 1)
    return maps


@register_transformation("blur", draws=1, ranges={"share": Number()})
def _blur(x: BackendTensor, numbers: BackendTensor, share: float = 1 / 224) -> BackendTensor:
    """Gaussian blur with a standard deviation of up to a share of each axis."""
    axes = len(x.shape) - 2
    sizes = ops.convert_to_tensor(np.array(x.shape[1:-1], "float32"))
    return blurred(x, numbers * share * ops.cast(sizes, x.dtype), axes)


_BANK = 1 << 18


def _bank(size: int) -> Array:
    return np.random.default_rng(1234).standard_normal(max(_BANK, 2 * size)).astype("float32")


@register_transformation("noise", draws=2, ranges={"deviation": Number()})
def _noise(x: BackendTensor, numbers: BackendTensor, deviation: float = 0.08) -> BackendTensor:
    """Gaussian noise of a standard deviation, in the units of the input: each image reads a store of it from another place."""
    size = math.prod(x.shape[1:])
    bank = ops.convert_to_tensor(_bank(size))
    first = ops.cast(ops.floor(numbers[:, :1] * (bank.shape[0] - size)), "int32")
    read = ops.take(bank, first + ops.arange(size, dtype="int32")[None], axis=0)
    sign = ops.where(numbers[:, 1:] < 0.5, -1.0, 1.0)
    return x + ops.reshape(ops.cast(deviation * sign * read, x.dtype), x.shape)
