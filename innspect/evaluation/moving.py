"""Noise of every element of a sample, drawn one version after the other (METRICS 1.8)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from innspect.evaluation.subsets import InOrder
from innspect.evaluation.trial import Trial
from innspect.inputs.batches import as_numbers
from innspect.types import Array

SHARE = 0.2  # of the sample's range, the deviation


def moves(trial: Trial, noise: Any, draws: int) -> tuple[Callable[[Array, Array], list[Array]], int]:
    """Normal noise of 0.2 of each sample's range, or given noise; version 0 is none of it.

    Args:
        trial: The `Trial`.
        noise: (samples, draws, *sample), for several inputs a list; None: drawn.
        draws: How many are drawn.

    Returns:
        A function of samples and versions to arrays for each input, (versions, samples, *sample), and the number of draws.
    """
    shapes = [a.shape[1:] for a in trial.arrays]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])
    given = None if noise is None else _given(trial, noise, shapes)
    count = draws if given is None else given[0].shape[1]

    def stream(i: int) -> Iterator[Array]:
        yield nothing
        if given is not None:
            for k in range(count):
                yield np.concatenate([a[i, k].reshape(-1) for a in given])
            return
        sources = []
        for before in range(len(shapes)):
            source = trial.generator("gaussian", i)  # one for all inputs, whose draws stand one input after the other
            for shape in shapes[:before]:
                for _ in range(count):
                    source.standard_normal(shape)
            sources.append(source)
        widths = [SHARE * float(np.ptp(a[i])) for a in trial.arrays]
        for _ in range(count):
            parts = zip(sources, widths, shapes, strict=True)
            yield np.concatenate([(w * s.standard_normal(shape)).reshape(-1) for s, w, shape in parts])

    nothing = np.zeros(int(ends[-1]))
    drawn = InOrder(stream, nothing)

    def make(rows: Array, numbers: Array) -> list[Array]:
        flat = drawn(rows, numbers)
        parts = zip(np.split(flat, ends[:-1], axis=-1), trial.arrays, strict=True)
        return [part.reshape(*part.shape[:2], *a.shape[1:]).astype(a.dtype) for part, a in parts]

    return make, count


def _given(trial: Trial, noise: Any, shapes: list[tuple[int, ...]]) -> list[Array]:
    arrays = list(noise) if isinstance(noise, list | tuple) and len(shapes) > 1 else [noise]
    arrays = [as_numbers(a, "noise") for a in arrays]
    draws = arrays[0].shape[1] if arrays and arrays[0].ndim > 1 else 0
    wanted = [(trial.samples, draws, *shape) for shape in shapes]
    if not draws or [a.shape for a in arrays] != wanted or any(a.dtype.kind not in "fiu" for a in arrays):
        said = ", ".join(str(("samples", "draws", *shape)).replace("'", "") for shape in shapes)
        raise ValueError(
            f"`noise` must hold numbers of shape {said} for {trial.samples} samples. "
            f"Received: {', '.join(f'{a.dtype} {a.shape}' for a in arrays)}"
        )
    return arrays
