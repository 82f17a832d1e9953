"""The ascent: one program for a step, which runs on the device and is handed all that is drawn.

Requirements of the design:

- What a sample becomes does not depend on those beside it: objectives are added, and each has its own step.
- A step costs one gradient.
- A sample whose numbers are not finite any more keeps the last image that was, and the others go on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.synthesis.network import Source
from innspect.synthesis.regularizers import Regularizer
from innspect.synthesis.transformations import Stages
from innspect.synthesis.wanted import Wanted
from innspect.types import BackendTensor, Tensors

OPTIMIZERS = ("adam", "normalized")
FIRST, SECOND, _LEAST = 0.9, 0.999, 1e-5  # of Adam; the last is a share of a sample's own gradient


@dataclass
class Recipe:
    """How to climb.

    Attributes:
        source: The model with its free inputs.
        wanted: What is maximized.
        spaces: For each free input what is moved.
        regularizers: Of what is moved, or of the image where that is not a code.
        stages: The transformations, or None.
        density: A function from images to log-densities, or None.
        features: Strength, and the tensors that are pulled to what they are for the start; or None.
        optimizer: "adam" or "normalized".
        step_size: The length of the first step.
        shrink: What is moved is multiplied with it after each step.
        steps: How many.
    """

    source: Source
    wanted: Wanted
    spaces: list[Any]
    regularizers: tuple[Regularizer, ...]
    stages: Stages | None
    density: Callable[[BackendTensor], BackendTensor] | None
    features: tuple[float, list[Any]] | None
    optimizer: str
    step_size: float
    shrink: float
    steps: int

    @property
    def in_code(self) -> bool:
        return self.spaces[0].name == "code"

    def rate(self, step: int) -> float:
        """The length of a step, from 0 on: along half a cosine down to 0; for normalized gradients along a line."""
        done = step / self.steps
        return self.step_size * (1 - done if self.optimizer == "normalized" else (1 + math.cos(math.pi * done)) / 2)


class Climb:
    """The programs of a recipe.

    They are handed `given`, a dict of tensors: "constants" of each space; the "weights" of what is wanted; "fixed", the inputs
    that are not synthesized, by number; "bounds" of what is moved, "means" that penalties are about; and "starting", the images
    at the start, where features are compared with theirs.

    Args:
        recipe: The `Recipe`.
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        source, tensors = recipe.source, recipe.wanted.tensors
        pulled = recipe.features[1] if recipe.features else []
        self._count = len(tensors)
        self._read = source.reader([*tensors, *pulled])
        self._pulled = source.reader(pulled) if pulled else None

    # ------------------------------------------------------------------ what is maximized
    def images(self, z: Tensors, given: dict[str, Any]) -> Tensors:
        """The images that z stands for."""
        return [s.image(each, c) for s, each, c in zip(self._recipe.spaces, z, given["constants"], strict=True)]

    def _seen(self, xs: Tensors, stages: Tensors | None) -> Tensors:
        return xs if stages is None or self._recipe.stages is None else [self._recipe.stages(xs[0], stages)]

    def _fixed(self, given: dict[str, Any], rows: int) -> dict[int, BackendTensor]:
        return {
            int(k): ops.repeat(v, rows // v.shape[0], axis=0) if v.shape[0] < rows else v for k, v in given["fixed"].items()
        }

    def wanted(self, xs: Tensors, given: dict[str, Any], stages: Tensors | None) -> BackendTensor:
        """What is wanted of images as the model sees them, (samples,)."""
        recipe, samples = self._recipe, xs[0].shape[0]
        seen = self._seen(xs, stages)
        rows = seen[0].shape[0]
        fixed = self._fixed(given, rows)
        values = self._read(recipe.source.given(seen, fixed))
        found = recipe.wanted.values(values[: self._count], given["weights"], rows)
        if recipe.features is not None and self._pulled is not None:
            anchors = self._pulled(recipe.source.given(self._seen(given["starting"], stages), fixed))
            for now, then in zip(values[self._count :], anchors, strict=True):
                apart = ops.reshape(now - backend.stop_gradient(then), (rows, -1))
                found = found - recipe.features[0] * ops.sum(apart**2, axis=1)
        return found if rows == samples else ops.mean(ops.reshape(found, (samples, -1)), axis=1)

    def likely(self, xs: Tensors) -> BackendTensor:
        """The log-density of images."""
        density = self._recipe.density
        assert density is not None
        found = density(xs[0])
        if not backend.is_tensor(found) or tuple(found.shape) not in ((xs[0].shape[0],), (xs[0].shape[0], 1)):
            raise ValueError(
                "`density` must return one log-density for each image, a tensor (samples,). Received: "
                f"{getattr(found, 'shape', type(found).__name__)} for images of shape {tuple(xs[0].shape)}"
            )
        return ops.reshape(found, (xs[0].shape[0],))

    def penalty(self, each: Tensors, given: dict[str, Any]) -> BackendTensor:
        """The sum of all penalties, (samples,), of images, or of codes."""
        total: Any = ops.zeros((each[0].shape[0],), each[0].dtype)
        for number, (x, space) in enumerate(zip(each, self._recipe.spaces, strict=True)):
            last, mean = space.layout.last(x), given["means"].get(str(number))
            centre = None if mean is None else space.layout.last(mean)
            for regularizer in self._recipe.regularizers:
                if not regularizer.smooths and (space.layout.axes or not regularizer.spatial):
                    total = total + regularizer.penalty(last, centre)
        return total

    # ------------------------------------------------------------------ a step
    def step(self, state: dict[str, Any], item: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """The state after a step, and (what was maximized, the largest slope), each (samples,)."""
        recipe, z = self._recipe, state["z"]
        penalties = any(not r.smooths for r in recipe.regularizers)
        xs, pull = backend.vjp(lambda *z: self.images(list(z), given), z)
        value, slopes = _slopes(lambda *xs: self.wanted(list(xs), given, item.get("stages")), xs)
        if recipe.density is not None:
            more, others = _slopes(lambda *xs: self.likely(list(xs)), xs)
            value, slopes = value + more, [a + b for a, b in zip(slopes, others, strict=True)]
        largest = _largest(pull(slopes) if recipe.in_code else slopes)
        if penalties and not recipe.in_code:
            less, others = _slopes(lambda *xs: self.penalty(list(xs), given), xs)
            value, slopes = value - less, [a - b for a, b in zip(slopes, others, strict=True)]
        moved = pull(slopes)
        if penalties and recipe.in_code:
            less, others = _slopes(lambda *z: self.penalty(list(z), given), z)
            value, moved = value - less, [a - b for a, b in zip(moved, others, strict=True)]
        made, candidate = self._moved(state, moved, item)
        candidate = self._kept(candidate, item, given)
        here = ops.logical_and(ops.isfinite(value), _finite([*moved, *xs]))
        alive = ops.logical_and(
            state["alive"], ops.logical_and(here, _finite([*candidate, *(t for each in made.values() for t in each)]))
        )
        last = _where(here, z, state["before"])  # the last that was finite
        after = {
            "z": _where(alive, candidate, last),
            "before": last,
            "alive": alive,
            **{name: _where(alive, made[name], state[name]) for name in made},
        }
        if "seen" in state:
            total = sum(ops.abs(space.layout.last(s)) for space, s in zip(recipe.spaces, slopes, strict=True))
            after["seen"] = ops.where(_wide(alive, total), state["seen"] + total, state["seen"])
        told = ops.where(state["alive"], value, ops.cast(np.nan, value.dtype))
        return after, [told, largest]

    def _moved(self, state: dict[str, Any], slopes: Tensors, item: dict[str, Any]) -> tuple[dict[str, Tensors], Tensors]:
        recipe, z = self._recipe, state["z"]
        rate = item["rate"]
        if recipe.optimizer == "normalized":
            sizes = [ops.mean(ops.abs(_flat(s)), axis=1) for s in slopes]
            steps = [s / _wide(ops.where(n > 0, n, ops.ones_like(n)), s) for s, n in zip(slopes, sizes, strict=True)]
            return {}, [a + ops.cast(rate, a.dtype) * s for a, s in zip(z, steps, strict=True)]
        made: dict[str, Tensors] = {"first": [], "second": []}
        result = []
        for each, slope, first, second in zip(z, slopes, state["first"], state["second"], strict=True):
            first = FIRST * first + (1 - FIRST) * slope
            second = SECOND * second + (1 - SECOND) * slope * slope
            root = ops.sqrt(second / ops.cast(item["of_second"], each.dtype))
            least = _LEAST * ops.sqrt(ops.mean(_flat(root * root), axis=1)) + 1e-30
            change = first / ops.cast(item["of_first"], each.dtype) / (root + _wide(least, root))
            result.append(each + ops.cast(rate, each.dtype) * change)
            made["first"].append(first)
            made["second"].append(second)
        return made, result

    def _kept(self, z: Tensors, item: dict[str, Any], given: dict[str, Any]) -> Tensors:
        """What was moved, shrunk, smoothed, and within its bounds."""
        recipe, kept = self._recipe, []
        for each, space, bounds in zip(z, recipe.spaces, given["bounds"], strict=True):
            each = each * recipe.shrink if recipe.shrink != 1 else each
            for regularizer in recipe.regularizers:
                if regularizer.smooths and space.layout.axes:
                    step = ops.cast(item["number"], each.dtype)
                    each = space.layout.own(regularizer.smoothed(space.layout.last(each), step))
            each = ops.maximum(each, bounds["low"]) if "low" in bounds else each
            kept.append(ops.minimum(each, bounds["high"]) if "high" in bounds else each)
        return kept

    # ------------------------------------------------------------------ programs
    def ascend(self, state: dict[str, Any], items: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """The state after the steps of `items`, and what each told, steps first."""
        return backend.recur(lambda state, item: self.step(state, item, given), state, items)

    def look(self, z: Tensors, given: dict[str, Any]) -> list[Any]:
        """The images, what the targets are of them as they are, and what is maximized."""
        xs = self.images(z, given)
        value = self.wanted(xs, given, None)
        total = value if self._recipe.density is None else value + self.likely(xs)
        return [xs, value, total - self.penalty(z if self._recipe.in_code else xs, given)]


# ---------------------------------------------------------------------- of tensors, samples first
def _slopes(function: Callable[..., BackendTensor], xs: Tensors) -> tuple[BackendTensor, Tensors]:
    """The values of a function, (samples,), and the gradient of each with respect to its own sample."""
    (value,), pull = backend.vjp(lambda *xs: [function(*xs)], xs)
    return value, pull([ops.ones_like(value)])


def _flat(x: BackendTensor) -> BackendTensor:
    return ops.reshape(x, (x.shape[0], -1))


def _wide(rows: BackendTensor, x: BackendTensor) -> BackendTensor:
    """(samples,) to be broadcast with x."""
    return ops.reshape(rows, (rows.shape[0], *[1] * (len(x.shape) - 1)))


def _where(rows: BackendTensor, new: Tensors, old: Tensors) -> Tensors:
    return [ops.where(_wide(rows, a), a, b) for a, b in zip(new, old, strict=True)]


def _finite(tensors: Tensors) -> BackendTensor:
    """Which samples are finite in all tensors: their sum of squares times zero tells."""
    fine = True
    for tensor in tensors:
        fine = ops.logical_and(fine, ops.all(ops.isfinite(_flat(tensor)), axis=1))
    return fine


def _largest(tensors: Tensors) -> BackendTensor:
    found = [ops.max(ops.abs(_flat(t)), axis=1) for t in tensors]
    total = found[0]
    for each in found[1:]:
        total = ops.maximum(total, each)
    return total
