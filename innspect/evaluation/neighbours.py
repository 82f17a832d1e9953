"""Inputs near a sample: what is drawn is added to it, for each element, and never clipped (METRICS 5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from innspect.evaluation.trial import Trial
from innspect.inputs.batches import as_numbers
from innspect.types import Array


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of each sample.

    Attributes:
        count: How many each has.
        of: From a sample to its neighbours, an array (neighbours, ...) for each input.
        given: Whether what is added was given.
    """

    count: int
    of: Callable[[int], list[Array]]
    given: bool


def movable(trial: Trial) -> list[int]:
    """The numbers of the inputs that hold numbers which can be moved by degrees: no ids, text, masks or lengths.

    Raises:
        ValueError: There is none.
    """
    opened = trial.predictor.opened
    found = [
        i for i in range(len(trial.arrays)) if trial.repeatable(i) and (opened is None or opened.moves(opened.graph.inputs[i]))
    ]
    if not found:
        raise ValueError(
            "This metric moves inputs by degrees, so the model must have one that holds numbers, not ids or text. "
            f"Received: {[str(a.dtype) for a in trial.arrays]}"
        )
    return found


def span(array: Array) -> float:
    """The range of a sample: its largest value minus its smallest."""
    return float(array.max()) - float(array.min()) if array.size else 0.0


def uniform(trial: Trial, draws: int, radius: float, noise: Any) -> Neighbours:
    """Neighbours in a box of `radius` times the sample's range, purpose "neighbours"."""
    return _neighbours(trial, draws, noise, "neighbours", radius, lambda g, shape: g.uniform(-1, 1, shape))


def gaussian(trial: Trial, draws: int, level: float, noise: Any, purpose: str) -> Neighbours:
    """Neighbours with normal noise, whose deviation is `level` times the sample's range."""
    return _neighbours(trial, draws, noise, purpose, level, lambda g, shape: g.standard_normal(shape))


def _neighbours(
    trial: Trial,
    draws: int,
    noise: Any,
    purpose: str,
    scale: float,
    drawn: Callable[[np.random.Generator, tuple[int, ...]], Array],
) -> Neighbours:
    moving = movable(trial)
    given = None if noise is None else _given(trial, noise, moving)
    if given is not None:
        draws = next(iter(given.values())).shape[1]

    def of(row: int) -> list[Array]:
        generator, found = trial.generator(purpose, row), []
        for i, array in enumerate(trial.arrays):
            x = array[row]
            if i not in moving:
                found.append(np.broadcast_to(x, (draws, *x.shape)))
            elif given is not None:
                found.append((x + given[i][row].astype("float64")).astype(x.dtype))
            else:
                moved = drawn(generator, (draws, *x.shape))
                moved *= scale * span(x)
                moved += x
                found.append(moved.astype(x.dtype, copy=False))
        return found

    return Neighbours(draws, of, given is not None)


def _given(trial: Trial, noise: Any, moving: list[int]) -> dict[int, Array]:
    """What is added to each input that moves, (samples, draws, *sample)."""
    listed = list(noise.values()) if isinstance(noise, dict) else noise
    listed = listed if isinstance(listed, list | tuple) and len(trial.arrays) > 1 else [listed]
    if len(listed) == len(trial.arrays):
        pairs = {i: listed[i] for i in moving}
    elif len(listed) == len(moving):
        pairs = dict(zip(moving, listed, strict=True))
    else:
        raise ValueError(f"`noise` must be a list with an array for each of the {len(moving)} inputs. Received: {len(listed)}")
    arrays, counts = {}, set()
    for i, each in pairs.items():
        array, shape = as_numbers(each, "noise"), trial.arrays[i].shape[1:]
        if array.ndim == 2 and shape == (1,):
            array = array[..., None]
        wanted = array.ndim == len(shape) + 2 and array.shape[2:] == shape and len(array) == trial.samples and array.shape[1]
        if not wanted or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise ValueError(
                f"`noise` must hold finite numbers of shape ({trial.samples}, draws, {', '.join(map(str, shape))}), at least "
                f"one draw for each sample. Received: shape {array.shape}, dtype {array.dtype}"
            )
        arrays[i] = array
        counts.add(array.shape[1])
    if len(counts) > 1:
        raise ValueError(f"`noise` must hold as many draws for every input. Received: {sorted(counts)}")
    return arrays
