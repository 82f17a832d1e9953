"""NaN and infinities that a model replaces: explained as what it takes in their place.

Requirements of the design:

- What counts is what the model says: where it says the same of a sample with a number in such a place, the sample is
  explained with that number there. All else of a method, whatever it multiplies and divides, then meets numbers only.
- The number is read off the graph, where the first steps behind the input change nothing else; where these do not tell, it
  is 0. It is tried for every sample by itself.
- Inputs that are finite cost nothing but the look at them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from innspect import backend
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Graph, Tensor, is_float
from innspect.inputs.batches import Inputs
from innspect.inputs.predictor import Network, Predictor
from innspect.types import Array

_KEEPING = ("pass", "reindex", "sum", "winner", "product", "opaque")  # kinds of steps that may change some elements only
_BOUNDS = (1e1, 1e2, 1e4)  # where functions that saturate, such as tanh, say what they say of infinities
_AT_ONCE = 32  # samples that the model is asked about


def gaps(arrays: Sequence[Array]) -> list[Array]:
    """Where arrays are not finite: masks of their shapes."""
    return [~np.isfinite(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool) for a in arrays]


def has_gaps(arrays: Sequence[Array]) -> bool:
    """Whether any holds what is not finite; by what is least and largest, without an array of answers."""
    return any(a.dtype.kind == "f" and a.size and not np.isfinite([a.min(), a.max()]).all() for a in arrays)


def filled(inputs: Inputs, asked: Callable[[], Predictor], number: int) -> Inputs:
    """The inputs with numbers for what is not finite, in all samples of which the model then says what it says of them.

    Args:
        inputs: The `Inputs`.
        asked: Gives the model, a `Predictor`; called only where something is not finite.
        number: Of the output that counts.
    """
    if not has_gaps(inputs.arrays):
        return inputs
    touched = np.flatnonzero(_of_samples(np.any, gaps(inputs.arrays)))
    some = [a[touched] for a in inputs.arrays]
    look = _looker(asked(), number, inputs)
    said, behind = look(some)
    arrays, left = [a.copy() for a in inputs.arrays], np.ones(len(touched), bool)
    for guess in _guesses(some, behind):
        agreed = left & _same(look(guess)[0], said)
        for array, values in zip(arrays, guess, strict=True):
            array[touched[agreed]] = values[agreed]
        left &= ~agreed
    return inputs.holding(arrays)


def says(inputs: Inputs, asked: Callable[[], Predictor], number: int) -> Array:
    """What the model says of inputs, (samples, ...), for an output."""
    return _looker(asked(), number, inputs)(inputs.arrays)[0]


def _of_samples(reduce: Callable[..., Array], masks: Sequence[Array]) -> Array:
    """`reduce` (any or all) of what masks say of each sample."""
    return reduce([reduce(m.reshape(len(m), -1), axis=1) for m in masks], axis=0)


def _looker(predictor: Predictor, number: int, inputs: Inputs) -> Callable[[list[Array]], tuple[Array, list[list[Array]]]]:
    """A function from arrays to what the model says of them, and what the first steps behind each input make of it."""
    if isinstance(predictor, Network):
        behind = [_steps_behind(predictor.opened.graph, t) for t in predictor.opened.graph.inputs]
        tensors = [predictor.explained(number), *(t for steps in behind for t in steps)]
        run: Any = Interpreter.of(predictor.opened.graph, *tensors)
    else:
        evaluate = predictor.evaluator(number, inputs)
        behind = [[] for _ in inputs.arrays]
        run = lambda xs: [evaluate(xs)[0]]  # noqa: E731

    def look(arrays: list[Array]) -> tuple[Array, list[list[Array]]]:
        some, parts = inputs.holding(arrays), []
        for rows, count in some.batches(_AT_ONCE):
            xs = [ops.convert_to_tensor(a[rows]) for a in some.arrays]
            parts.append([backend.to_numpy(y)[:count] for y in predictor.call(("gaps", number), run, xs)])
        y, *others = [np.concatenate([part[n] for part in parts]) for n in range(len(parts[0]))]
        following = iter(others)
        return y, [[next(following) for _ in steps] for steps in behind]

    return look


def _steps_behind(graph: Graph, tensor: Tensor) -> list[Tensor]:
    """What steps make of an input that may leave most of its elements as they are, the last first."""
    found = [tensor]
    for node in graph.nodes:
        if node.kind in _KEEPING and any(t in found for t in node.inputs):
            found += [t for t in node.outputs if t.shape == tensor.shape and is_float(t.dtype)]
    return found[:0:-1]


def _guesses(arrays: list[Array], behind: list[list[Array]]) -> list[list[Array]]:
    """Arrays with other numbers in their gaps: what the last of the steps behind, or the first, puts there; 0; and bounds."""
    orders: list[list[list[Array]]] = [behind, [steps[::-1] for steps in behind], [[] for _ in behind]]
    guesses = [[_put(a, steps) for a, steps in zip(arrays, order, strict=True)] for order in orders]
    infinite = any(np.isinf(a).any() for a in arrays if a.dtype.kind == "f")
    return [*guesses, *([_bounded(a, bound) for a in arrays] for bound in _BOUNDS if infinite)]


def _bounded(array: Array, bound: float) -> Array:
    """An array with its infinities at a bound and 0 for NaN."""
    return np.nan_to_num(array, posinf=bound, neginf=-bound) if array.dtype.kind == "f" else array


def _put(array: Array, steps: list[Array]) -> Array:
    """An array with the numbers of the first of some steps that changes nothing but its gaps, for each sample; else 0."""
    (gap,) = gaps([array])
    result, left = np.where(gap, 0, array).astype(array.dtype), np.ones(len(array), bool)
    for made in steps:
        with np.errstate(invalid="ignore"):
            kept = np.where(gap, np.isfinite(made), np.isclose(made, array, rtol=1e-6, atol=0))
        fits = left & _of_samples(np.all, [kept])
        result[fits] = np.where(gap, made, array)[fits]
        left &= ~fits
    return result


def _same(y: Array, wanted: Array) -> Array:
    """For which samples an output is as wanted, and finite anywhere."""
    y, wanted = (a.reshape(len(a), -1).astype("float64") for a in (y, wanted))
    finite = np.isfinite(wanted)
    scale = np.where(finite, np.abs(wanted), 0).max(axis=1, keepdims=True, initial=0)
    with np.errstate(invalid="ignore"):
        equal = np.where(finite, np.abs(y - wanted) <= 1e-5 * scale, ~np.isfinite(y))
    return equal.all(axis=1) & finite.any(axis=1)
