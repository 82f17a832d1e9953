"""Scores of many versions of each sample: hidden parts, noise, shifts. Batches hold versions and samples side by side."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from keras import ops

from innspect import backend
from innspect.evaluation.trial import Score, Scored, Trial
from innspect.graph.interpreter import Interpreter
from innspect.graph.ir import Tensor
from innspect.inputs.references import even_chunks
from innspect.inputs.targets import Selection, values_of
from innspect.types import Array, BackendTensor, Tensors

Masks = Callable[[Array, Array], list[Array]]
"""From samples and versions to masks of each input, (versions, samples, *positions): booleans, True where it is hidden, or
numbers, the share of the fill."""

Fills = Callable[[Array, Array, list[Array]], list[Array]]
"""From samples, versions and their masks to what stands where it is hidden, (versions or 1, samples or 1, ...)."""


@dataclass
class Seen:
    """What the model says of versions.

    Attributes:
        scores: (samples, versions), float64.
        classes: The largest element of the output, (samples, versions).
    """

    scores: Array
    classes: Array


def hidden_scores(trial: Trial, score: Score, count: int, masks: Masks, fills: Fills, *, apart: bool = False) -> Seen:
    """Scores of samples with parts hidden.

    Args:
        trial: The `Trial`.
        score: As `Trial.score` takes it.
        count: How many versions of each sample there are.
        masks: Makes the masks.
        fills: Makes what stands in their place.
        apart: Whether masks have a channel axis, and every element is a position.
    """
    scored = trial.score(score)
    channels = [None if apart else axes.channel for axes in trial.axes]
    clean = functools.lru_cache(maxsize=1)(lambda rows: trial.tensors(np.array(rows)))  # for all versions of some samples
    look = _hidden_look(trial, scored, channels)

    def run(rows: Array, numbers: Array, values: BackendTensor) -> dict[str, BackendTensor]:
        hidden = masks(rows, numbers)
        filling = [
            np.asarray(f).astype(a.dtype, copy=False) for f, a in zip(fills(rows, numbers, hidden), trial.arrays, strict=True)
        ]
        hidden = [m if m.dtype == bool else m.astype(a.dtype) for m, a in zip(hidden, trial.arrays, strict=True)]
        tensors = [[ops.convert_to_tensor(a) for a in each] for each in (hidden, filling)]
        key = ("hidden", scored.key, apart, tuple(m.dtype == bool for m in hidden))
        return trial.call(key, look, clean(tuple(rows.tolist())), *tensors, values)

    return _collected(trial, count, run)


def changed_scores(trial: Trial, score: Score, count: int, make: Callable[[Array, Array], list[Array]]) -> Seen:
    """Scores of any versions of samples.

    Args:
        trial: The `Trial`.
        score: As `Trial.score` takes it.
        count: How many versions of each sample there are.
        make: From samples and versions to arrays for each input, (versions, samples, ...).
    """
    scored = trial.score(score)
    look = _answers(trial, scored)

    def run(rows: Array, numbers: Array, values: BackendTensor) -> dict[str, BackendTensor]:
        made = [a.astype(x.dtype, copy=False) for a, x in zip(make(rows, numbers), trial.arrays, strict=True)]
        tensors = [ops.convert_to_tensor(a.reshape(-1, *a.shape[2:])) for a in made]
        return trial.call(("changed", scored.key), look, tensors, values)

    return _collected(trial, count, run)


def answers_to(
    trial: Trial, arrays: list[Array], rows: Array, *, score: Score = "logit", tensor: Tensor | None = None
) -> dict[str, Array]:
    """What the model says of other inputs in the place of some samples.

    Args:
        trial: The `Trial`.
        arrays: For each of the model's inputs (n, ...).
        rows: The samples whose targets they have, (n,).
        score: As `Trial.score` takes it.
        tensor: One of the model's graph that is wanted too.

    Returns:
        Dict with "scores" (n,), float64; "classes", the largest element of the output, (n,); "explained", the tensor whose
        target is the score, (n, elements); and "tensor", (n, elements).
    """
    scored = trial.score(score)
    look = _tensor_look(trial, scored, tensor)
    key = ("answers", scored.key, tensor)
    parts = []
    for numbers, count in trial.inputs.holding(arrays).batches(trial.given_size):
        values = ops.convert_to_tensor(trial.selection.rows(rows[numbers]))
        found = trial.call(key, look, [ops.convert_to_tensor(a[numbers]) for a in arrays], values)
        parts.append({k: backend.to_numpy(v)[:count] for k, v in found.items()})
        trial.progress.advance(count)
    whole = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    scores = whole["scores"].astype("float64")
    return whole | {"scores": np.where(np.isfinite(scores), scores, np.nan)}


def pieces(trial: Trial, count: int, make: Callable[[int], list[Array]]) -> Iterator[tuple[Array, Array, list[Array]]]:
    """Versions of samples, one sample's after the other's, as many at once as are computed at once.

    Args:
        trial: The `Trial`.
        count: How many versions of each sample there are.
        make: From a sample to its versions, an array (versions, ...) for each input; at most a batch of them is kept.

    Yields:
        The samples (n,), the versions (n,), and an array (n, ...) for each input.
    """
    kept: dict[int, list[Array]] = {}
    for start in range(
        0, trial.samples * count, trial.batch_size
    ):  # full batches: what is explained is padded to powers of two
        rows, versions = np.divmod(np.arange(start, min(start + trial.batch_size, trial.samples * count)), count)
        each = np.unique(rows).tolist()
        kept = {row: kept[row] if row in kept else make(row) for row in each}
        cuts = {row: slice(versions[rows == row][0], versions[rows == row][-1] + 1) for row in each}
        yield rows, versions, [np.concatenate([kept[row][i][cuts[row]] for row in each]) for i in range(len(trial.arrays))]


def chunks(trial: Trial, count: int) -> Iterator[tuple[Array, int, Array, int]]:
    """Samples and versions that are computed at once: rows, how many of them count, versions, how many of them count."""
    for rows, real in trial.inputs.batches(trial.given_size):
        for numbers, counts in even_chunks(count, trial.batch_size // len(rows)):
            yield rows, real, numbers, int(counts.sum())


def _collected(trial: Trial, count: int, run: Callable[..., dict[str, BackendTensor]]) -> Seen:
    seen = Seen(np.full((trial.samples, count), np.nan), np.zeros((trial.samples, count), "int64"))
    for rows, real, numbers, versions in chunks(trial, count):
        values = ops.convert_to_tensor(trial.selection.rows(rows))
        found = {k: backend.to_numpy(v) for k, v in run(rows, numbers, values).items()}
        place = np.ix_(rows[:real], numbers[:versions])
        seen.scores[place] = found["scores"][:versions, :real].T
        seen.classes[place] = found["classes"][:versions, :real].T
        trial.progress.advance(real * versions)
    seen.scores[~np.isfinite(seen.scores)] = np.nan
    return seen


# Compiled and kept beyond the trial, so these must not hold on to it, nor to samples.
def _answers(trial: Trial, scored: Scored) -> Callable[[Tensors, BackendTensor], dict[str, BackendTensor]]:
    evaluate, selection, fed = trial.predictor.evaluator(trial.output, trial.inputs), trial.rule, trial.fed

    return lambda xs, values: _judged(scored, selection, evaluate(fed(xs))[0], values)


def _judged(scored: Scored, selection: Selection, explained: BackendTensor, values: BackendTensor) -> dict[str, BackendTensor]:
    """Scores and largest elements, (versions, batch), of the explained tensor, versions first."""
    y, batch = scored.of(explained), values.shape[0]
    if scored.whole is None:
        scores = values_of(selection, selection.weights(values, y[:batch]), y)
    else:
        scores = _of_the_user(scored.whole(y), y, batch)
    largest = ops.argmax(ops.reshape(explained, (explained.shape[0], -1)), axis=-1)
    return {"scores": scores, "classes": ops.reshape(largest, (-1, batch))}


def _of_the_user(scores: BackendTensor, y: BackendTensor, batch: int) -> BackendTensor:
    if not backend.is_tensor(scores) or tuple(scores.shape) != (y.shape[0],):
        received = f"shape {tuple(scores.shape)}" if hasattr(scores, "shape") else type(scores).__name__
        raise ValueError(
            "A callable `score` must return one number for each sample, a tensor of shape (batch,). "
            f"Received: {received} for an output of shape {tuple(y.shape)}"
        )
    return ops.reshape(scores, (-1, batch))


def _tensor_look(trial: Trial, scored: Scored, tensor: Tensor | None) -> Callable[..., dict[str, BackendTensor]]:
    opened = trial.predictor.opened
    evaluate, selection, fed = trial.predictor.evaluator(trial.output, trial.inputs), trial.rule, trial.fed
    run = None if tensor is None or opened is None else Interpreter.of(opened.graph, tensor)

    def look(xs: Tensors, values: BackendTensor) -> dict[str, BackendTensor]:
        explained, batch = evaluate(fed(xs))[0], values.shape[0]
        found = {k: v[0] for k, v in _judged(scored, selection, explained, values).items()}
        found["explained"] = ops.reshape(explained, (batch, -1))
        return found if run is None else found | {"tensor": ops.reshape(run(fed(xs))[0], (batch, -1))}

    return look


def _hidden_look(trial: Trial, scored: Scored, channels: list[int | None]) -> Callable[..., dict[str, BackendTensor]]:
    answers = _answers(trial, scored)

    def look(xs: Tensors, masks: Tensors, fills: Tensors, values: BackendTensor) -> dict[str, BackendTensor]:
        versions = []
        for x, mask, fill, channel in zip(xs, masks, fills, channels, strict=True):
            mask = mask if channel is None else ops.expand_dims(mask, channel + 1)
            if "bool" in str(mask.dtype):
                hidden = ops.where(mask, fill, x[None])
            else:
                hidden = (1 - mask) * x[None] + mask * fill
            versions.append(ops.reshape(hidden, (-1, *x.shape[1:])))
        return answers(versions, values)

    return look
