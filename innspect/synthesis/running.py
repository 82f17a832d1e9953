"""Running an ascent: from the first state to the last, on the device as far as that is quick.

On a CPU a step is a program, called from here, since loops in programs are slow there; on other devices a program runs many
steps. What is drawn is drawn here, so that it is the same on every backend.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.synthesis.ascent import FIRST, SECOND, Climb, Recipe
from innspect.types import Array

_CHUNK = 16  # steps of a program, where it runs many


def beginning(recipe: Recipe, z: list[Array], seen: tuple[int, ...] | None) -> dict[str, Any]:
    """The state before the first step."""
    tensors = [ops.convert_to_tensor(each) for each in z]
    state = {"z": tensors, "before": tensors, "alive": ops.ones((len(z[0]),), "bool")}
    if recipe.optimizer == "adam":
        state |= {name: [ops.zeros_like(t) for t in tensors] for name in ("first", "second")}
    return state if seen is None else state | {"seen": ops.zeros((len(z[0]), *seen), tensors[0].dtype)}


def items(recipe: Recipe, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What each step is handed."""
    for step in range(recipe.steps):
        numbers = {"rate": recipe.rate(step), "number": step + 1}
        numbers |= {"of_first": 1 - FIRST ** (step + 1), "of_second": 1 - SECOND ** (step + 1)}
        item: dict[str, Any] = {name: np.float32(number) for name, number in numbers.items()}
        if recipe.stages is not None:
            item["stages"] = recipe.stages.draw(seeds, step, step / max(recipe.steps - 1, 1))
        yield item


class StartIsFlat(Exception):
    """Some samples have no gradient at the start. `rows` are their numbers."""

    def __init__(self, rows: list[int]):
        super().__init__(str(rows))
        self.rows = rows


def run(
    call: Callable[..., Any],
    climb: Climb,
    recipe: Recipe,
    state: dict[str, Any],
    given: dict[str, Any],
    seeds: Any,
    progress: Any,
) -> tuple[dict[str, Any], Array]:
    """The state at the end, and what was maximized before each step, (steps, samples), NaN once a sample has stopped.

    Raises:
        StartIsFlat: A sample has no gradient at the start.
        ValueError: What is maximized is not finite there.
    """
    told: list[Array] = []
    many = backend.accelerated()
    chunk: list[dict[str, Any]] = []
    for step, item in enumerate(items(recipe, seeds)):
        chunk.append(item)
        first = step == 0  # alone, so that a flat start is found at once
        if not (first or not many or len(chunk) == _CHUNK or step == recipe.steps - 1):
            continue
        if many and not first and len(chunk) > 1:
            together = _stacked(chunk)
            state, (values, slopes) = call("ascend", climb.ascend, state, together, given)
        else:
            for one in chunk:
                state, (values, slopes) = call("step", climb.step, state, _tensors(one), given)
                values, slopes = values[None], slopes[None]
        told.append(backend.to_numpy(values))
        if first:
            _check_start(told[0][0], backend.to_numpy(slopes)[0])
        progress.advance(len(chunk))
        chunk = []
        if np.isnan(told[-1]).all():
            break
    whole = np.concatenate(told)
    missing = np.full((recipe.steps - len(whole), whole.shape[1]), np.nan, whole.dtype)
    return state, np.concatenate([whole, missing])


def _check_start(values: Array, slopes: Array) -> None:
    broken = np.flatnonzero(~np.isfinite(values) | ~np.isfinite(slopes))
    if broken.size:
        raise ValueError(
            "What is maximized, and its gradient, must be finite at the start. Received: "
            f"{values[broken[0]]} for the target with number {broken[0]}"
        )
    flat = np.flatnonzero(slopes == 0)
    if flat.size:
        raise StartIsFlat([int(row) for row in flat])


def _stacked(chunk: list[dict[str, Any]]) -> dict[str, Any]:
    def stack(leaves: list[Any]) -> Any:
        return ops.convert_to_tensor(np.stack(leaves))

    together: dict[str, Any] = {name: stack([item[name] for item in chunk]) for name in chunk[0] if name != "stages"}
    if "stages" in chunk[0]:
        together["stages"] = [stack(list(parts)) for parts in zip(*(item["stages"] for item in chunk), strict=True)]
    return together


def _tensors(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [ops.convert_to_tensor(a) for a in value] if isinstance(value, list) else ops.convert_to_tensor(value)
        for name, value in item.items()
    }
