"""Laws that some methods keep: maps that sum to a difference of outputs, or to the relevance at the output (METRICS 6)."""

from typing import Any

import numpy as np

from innspect.evaluation.maps import Maps, as_they_are
from innspect.evaluation.registry import metric
from innspect.evaluation.results import Result
from innspect.evaluation.trial import Trial
from innspect.evaluation.versions import answers_to
from innspect.inputs.batches import Inputs, as_numbers
from innspect.inputs.references import References
from innspect.types import Array

_LEAST = 1e-6  # of the largest score: a difference that is smaller is none


@metric("completeness", "axioms", higher=False, range=(0, np.inf))
def completeness(trial: Trial, maps: Maps, *, reference: Any = None) -> Result:
    """What is missing from summation to delta, |sum R - (f(x) - f(x0))| / |f(x) - f(x0)|, f the logit.

    Args:
        reference: x0, as `reference_inputs` of integrated_gradients; None: the analyzer's own, which then says itself what is
            missing. For maps from elsewhere it must be given.

    Undefined for methods without this law, such as the gradient, and where f(x) and f(x0) are equal.

    Raises:
        ValueError: There is neither a reference nor an analyzer.
    """
    if reference is not None:
        total = as_they_are(maps.full).sum(axis=1)
        score = answers_to(trial, trial.arrays, np.arange(trial.samples))["scores"]
        start = _at(trial, reference)
        return _missing(total - (score - start), score - start, np.maximum(np.abs(score), np.abs(start)))
    if maps.analyzer is None and maps.explains:  # random maps: there is no law
        return _none(trial)
    if maps.analyzer is None:
        raise ValueError("`reference` must be given for maps that no analyzer makes. Received: None")
    if getattr(maps.analyzer, "conserves", False):
        return _none(trial)
    found = _explained(trial, maps)
    if found is None:
        return _none(trial)
    delta, total, target = found
    difference = delta + total
    return _missing(delta, difference, np.maximum(np.abs(target), np.abs(target - difference)))


@metric("conservation", "axioms", higher=False, range=(0, np.inf))
def conservation(trial: Trial, maps: Maps) -> Result:
    """The share of the relevance at the output that is lost or made on the way to the input, |sum R - start| / |start|.

    Biases and stabilisers take their share, so it is not 0 for most rules of LRP; `analyzer.conservation` tells by layer.
    Undefined for methods that conserve nothing, for maps that no analyzer makes, and where the start is 0.
    """
    if maps.analyzer is None or not getattr(maps.analyzer, "conserves", False):
        return _none(trial)
    found = _explained(trial, maps)
    if found is None:
        return _none(trial)
    delta, total, _ = found
    start = delta + total
    return _missing(delta, start, np.where(start == 0, 1.0, 0.0))


def _explained(trial: Trial, maps: Maps) -> tuple[Array, Array, Array] | None:
    """What an analyzer says is missing, the sums of its maps, and the explained values, (samples,); None: it has no law."""
    explain = getattr(maps.analyzer, "explain", None)
    if explain is None:
        return None
    asked = {"batch_size": trial.given_size, "output": trial.output}
    found = explain(trial.packed(trial.arrays), trial.neuron(np.arange(trial.samples)), **asked)
    trial.progress.advance(trial.samples)
    if found.delta is None:
        return None
    total = as_they_are(maps.full).sum(axis=1)
    return found.delta.astype("float64"), total, found.targets.astype("float64")


def _missing(missing: Array, whole: Array, scale: Array) -> Result:
    defined = np.isfinite(whole) & (np.abs(whole) > _LEAST * scale)
    values = np.divide(np.abs(missing), np.abs(whole), out=np.full(len(whole), np.nan), where=defined)
    return Result(values, settings={"law": True})


def _none(trial: Trial) -> Result:
    return Result(np.full(trial.samples, np.nan), settings={"law": False})


def _at(trial: Trial, reference: Any) -> Array:
    """f at the reference, the mean where there are several, (samples,)."""
    rows, opened = np.arange(trial.samples), trial.predictor.opened
    if opened is None:
        x = trial.arrays[0]
        if len(trial.arrays) > 1 or not _fits(reference, x):
            raise ValueError(
                f"`reference` must be a number, or an array that broadcasts to a sample's shape {x.shape[1:]}, for a function "
                f"of one input. Received: {reference!r:.100}"
            )
        given: list[list[Array]] = [[np.broadcast_to(as_numbers(reference, "reference"), x.shape).astype(x.dtype)]]
    else:
        assert isinstance(trial.inputs, Inputs)
        given = [list(i.arrays) for i in References(reference, trial.inputs, opened, "reference").as_inputs(rows)]
    scores = []
    for arrays in given:
        shaped = [a.reshape(x.shape).astype(x.dtype) for a, x in zip(arrays, trial.arrays, strict=True)]
        scores.append(answers_to(trial, shaped, rows)["scores"])
    return np.mean(scores, axis=0)


def _fits(reference: Any, x: Array) -> bool:
    try:
        return np.broadcast_shapes(np.shape(reference), x.shape) == x.shape
    except ValueError:
        return False
