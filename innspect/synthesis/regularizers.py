"""What keeps an image plausible: penalties that are subtracted, and steps that smooth it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect.checks import Integer, Number, Positive, Range
from innspect.errors import PlainKeyError, suggest
from innspect.layers.program import per_sample
from innspect.synthesis.layout import Layout
from innspect.synthesis.resampling import blurred
from innspect.synthesis.transformations import check_arguments
from innspect.types import BackendTensor

FEATURES = "features"


@dataclass(frozen=True)
class Regularizer:
    """A regularizer with its strength and arguments.

    Attributes:
        name: As it is registered, or of the function that was given.
        function: See `register_regularizer`.
        strength: What a penalty is multiplied with.
        smooths: Whether it changes the image, in place of being a penalty.
        spatial: Whether it needs spatial axes.
        arguments: Of the function.
    """

    name: str
    function: Callable[..., Any]
    strength: float
    smooths: bool
    spatial: bool
    arguments: tuple[tuple[str, Any], ...]

    def penalty(self, x: BackendTensor, mean: BackendTensor | None) -> BackendTensor:
        """Strength times the penalty of x less the mean, (samples,), from x (samples, *spatial axes, channels)."""
        found = self.function(x if mean is None else x - mean, **dict(self.arguments))
        if tuple(found.shape) != (x.shape[0],):
            raise ValueError(
                f"The regularizer {self.name!r} must return one number for each sample, (samples,). Received: shape "
                f"{tuple(found.shape)} for an image of shape {tuple(x.shape)}"
            )
        return self.strength * found

    def smoothed(self, x: BackendTensor, step: BackendTensor) -> BackendTensor:
        """The image after a step; `step` counts from 1."""
        return self.function(x, step, **dict(self.arguments))


_known: dict[str, dict[str, Any]] = {}


def register_regularizer(
    name: str, *, smooths: bool = False, spatial: bool = False, ranges: dict[str, Range] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a regularizer that `synthesize(regularizers={name: strength})` knows.

    Args:
        name: Its name.
        smooths: What the function does. False: it is a penalty `(x, **arguments) -> (samples,)`, of a tensor
            (samples, *spatial axes, channels), less the mean where one is given. True: it is `(x, step, **arguments)`, and
            returns the image that takes the place of x after that step, counted from 1.
        spatial: Whether it needs spatial axes.
        ranges: What its arguments may be, from `innspect.checks`.

    Examples:
        >>> @innspect.synthesis.register_regularizer("gray")
        ... def gray(x):
        ...     spread = x - keras.ops.mean(x, axis=-1, keepdims=True)
        ...     return keras.ops.sum(spread**2, axis=(1, 2, 3))
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        _known[name] = {"function": function, "smooths": smooths, "spatial": spatial, "ranges": ranges or {}}
        return function

    return register


def list_regularizers() -> list[str]:
    """The names that `regularizers=` takes."""
    return sorted([*_known, FEATURES])


def chosen(given: Any, layouts: list[Layout]) -> tuple[tuple[Regularizer, ...], dict[str, Any]]:
    """The regularizers of `regularizers=`, and what is said of the one that looks at features.

    Args:
        given: A dict from a name, or a function, to its strength, or to a dict of "strength" and arguments; or None.
        layouts: Of what they are asked of.
    """
    if given is None:
        return (), {}
    if not isinstance(given, dict):
        raise ValueError(f"`regularizers` must be a dict from names to strengths, such as {{'l2': 0.01}}. Received: {given!r}")
    told = {name: dict(value) if isinstance(value, dict) else {"strength": value} for name, value in given.items()}
    features = _features(told.pop(FEATURES)) if FEATURES in told else {}
    return tuple(_one(name, arguments, layouts) for name, arguments in told.items()), features


def _features(arguments: dict[str, Any]) -> dict[str, Any]:
    if set(arguments) != {"strength", "layer"}:
        raise ValueError(
            "The regularizer 'features' takes {'strength': number, 'layer': path of a layer}, and pulls the layer's output to "
            f"what it is for the start image. Received: {arguments!r}"
        )
    Number().check("strength", arguments["strength"])
    return arguments


def _one(name: Any, arguments: dict[str, Any], layouts: list[Layout]) -> Regularizer:
    strength = arguments.pop("strength", 1.0)
    Number().check(f"regularizers[{name!r}]", strength)
    if callable(name):
        return Regularizer(getattr(name, "__name__", "function"), name, float(strength), False, False, tuple(arguments.items()))
    if name not in _known:
        raise PlainKeyError(f"Unknown regularizer: {name!r}. {suggest(name, list_regularizers())}")
    known = _known[name]
    check_arguments(name, known["function"], 2 if known["smooths"] else 1, arguments, known["ranges"])
    if known["spatial"] and not any(layout.axes for layout in layouts):
        raise ValueError(
            f"The regularizer {name!r} needs spatial axes. Received: what is optimized has shape {layouts[0].shape}; with "
            "`generator=` that is the code"
        )
    if known["smooths"]:
        arguments = {"share": strength / 224, **arguments} if name == "blur" else arguments
    return Regularizer(name, known["function"], float(strength), known["smooths"], known["spatial"], tuple(arguments.items()))


# ---------------------------------------------------------------------- those that ship
@register_regularizer("l2")
def _l2(x: BackendTensor) -> BackendTensor:
    """The sum of squares, about `mean=` where one is given (Simonyan 2014; Montavon 2018)."""
    return per_sample(x * x, x.shape[0])


@register_regularizer("lp", ranges={"power": Positive()})
def _lp(x: BackendTensor, power: float = 6.0) -> BackendTensor:
    """The sum of absolute values to a power, which keeps single positions from standing out (Mahendran & Vedaldi 2015)."""
    return per_sample(ops.abs(x) ** power, x.shape[0])


@register_regularizer("total_variation", spatial=True, ranges={"power": Positive()})
def _total_variation(x: BackendTensor, power: float = 1.0) -> BackendTensor:
    """The sum of the differences between neighbours along each axis, to a power."""
    total: Any = 0.0
    for axis in range(1, len(x.shape) - 1):
        size = x.shape[axis]
        if size > 1:
            ahead, behind = ops.split(x, [1], axis)[1], ops.split(x, [size - 1], axis)[0]
            change = ops.abs(ahead - behind)
            total = total + per_sample(change if power == 1 else change**power, x.shape[0])
    return total


@register_regularizer("blur", smooths=True, spatial=True, ranges={"every": Integer(1), "share": Number(1.0)})
def _blur(x: BackendTensor, step: BackendTensor, every: int = 4, share: float = 1 / 224) -> BackendTensor:
    """Gaussian blur after some steps (Yosinski 2015): the strength is its width in 224ths of the image, every 4th step."""
    sizes = np.array(x.shape[1:-1], "float32") * share
    sigmas = ops.cast(ops.tile(ops.convert_to_tensor(sizes)[None], (x.shape[0], 1)), x.dtype)
    return ops.where(ops.equal(ops.mod(step, float(every)), 0.0), blurred(x, sigmas, len(sizes)), x)


def described(regularizers: tuple[Regularizer, ...]) -> dict[str, Any]:
    """Regularizers as they were given, in words and numbers."""
    return {r.name: {"strength": r.strength, **dict(r.arguments)} if r.arguments else r.strength for r in regularizers}
