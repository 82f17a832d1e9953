"""Does a model use a concept? Sensitivities of its output along a concept vector, tested against random ones (TCAV)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from innspect.analyzers.base.registry import create_analyzer
from innspect.checks import Integer
from innspect.concepts.measuring import measure_of, sites_of
from innspect.concepts.vectors import ConceptVector, shrunk_covariance
from innspect.evaluation.intervals import distributions, holm
from innspect.graph.opened.opened_model import OpenedModel, open_model
from innspect.inputs.batches import batches_of, called, is_stream
from innspect.types import Array, Nest, Neuron


@dataclass(frozen=True)
class Sensitivity:
    """What `innspect.concepts.tcav` finds for one concept vector.

    Attributes:
        layer: The layer's path.
        score: The share of samples whose sensitivity is above 0: TCAV.
        mean: The mean sensitivity.
        p: Of the two-sided t test that the mean is one of those of random vectors.
        adjusted: p after Holm's adjustment for as many vectors as were asked about together.
        score_p: As p, of the score; scores of a nearly linear head are 0 or 1, and then it tells little.
        values: The sensitivity S = sum_p df/dh_p . v of each sample, (samples,).
        random_scores, random_means: Those of the random vectors, (random,).
    """

    layer: str
    score: float
    mean: float
    p: float
    adjusted: float
    score_p: float
    values: Array = field(repr=False)
    random_scores: Array = field(repr=False)
    random_means: Array = field(repr=False)


def tcav(
    model: keras.Layer | OpenedModel,
    cav: ConceptVector | Sequence[ConceptVector],
    x: Nest,
    target: Neuron = None,
    *,
    random: int = 50,
    batch_size: int | None = None,
    output: int | str = 0,
    seed: int = 0,
) -> Any:
    """How an output answers to a step along a concept, over samples, and whether random vectors would do as well.

    The sensitivity of a sample is S = sum_p df/dh_p . v over the layer's positions p (Kim et al. 2018, eq. 1), of the logit.
    The random vectors are made as the concept's was, from the same samples with their labels drawn anew, so that a vector of
    random samples is one of them, and p is uniform.

    Args:
        model: The model, which is only read.
        cav: From `innspect.concepts.vector`; or a list of these, of several layers or concepts.
        x: Samples of the target, as for `analyze`.
        target: What is asked about, as `neuron_selection` of `analyze`.
        random: How many random vectors, at least 30.
        batch_size: Samples computed at once; None: by their size and the model's.
        output: Number or name of the output.
        seed: Of the random vectors.

    Returns:
        A `Sensitivity`; a list of them for a list, with p adjusted over all.

    Raises:
        KeyError: The model has no such layer.
        ValueError: A vector does not fit the layer, or an argument is out of its range.
        ImportError: SciPy is not installed.
    """
    Integer(30).check("random", random)
    Integer().check("seed", seed)
    listed: list[Any] = [cav] if isinstance(cav, ConceptVector) else list(cav) if isinstance(cav, list | tuple) else []
    if not listed or not all(isinstance(each, ConceptVector) for each in listed):
        raise ValueError(f"`cav` must be what `innspect.concepts.vector` returns, or a list of these. Received: {cav!r:.200}")
    distributions()  # says what is missing before any work is done
    opened = open_model(model)
    slopes = _slopes(opened, list(dict.fromkeys(each.layer for each in listed)), x, target, batch_size, output)
    found = [_sensitivity(each, slopes[each.layer], random, seed) for each in listed]
    adjusted = holm([each["p"] for each in found])
    made = [Sensitivity(adjusted=float(q), **each) for each, q in zip(found, adjusted, strict=True)]
    return made[0] if isinstance(cav, ConceptVector) else made


def _slopes(
    opened: OpenedModel, layers: list[str], x: Nest, target: Neuron, batch_size: int | None, output: int | str
) -> dict[str, Array]:
    """The gradient of the target at each layer, summed over positions: float64 (samples, channels)."""
    sites = sites_of(opened.graph, layers, "cav")
    measure = measure_of(create_analyzer("gradient", opened), sites, "relevance", "sum", False, output)
    parts: list[dict[str, Array]] = []
    with called("x"):
        for batch in batches_of(x) if is_stream(x) else [x]:
            parts += [found.values for found in measure(batch, target, batch_size)]
    if not parts:
        raise ValueError("`x` must hold at least one sample. Received: none")
    return {layer: np.concatenate([part[layer] for part in parts]).astype("float64") for layer in layers}


def _sensitivity(cav: ConceptVector, slopes: Array, random: int, seed: int) -> dict[str, Any]:
    if np.shape(cav.vector) != slopes.shape[1:]:
        raise ValueError(
            f"`cav` must hold a number for each of the {slopes.shape[1]} channels of the layer {cav.layer!r}. "
            f"Received: a vector of shape {np.shape(cav.vector)}"
        )
    values, drawn = slopes @ cav.vector, slopes @ random_vectors(cav, random, seed).T
    scores, means = (drawn > 0).mean(axis=0), drawn.mean(axis=0)
    score, mean = float((values > 0).mean()), float(values.mean())
    told = {"layer": cav.layer, "score": score, "mean": mean, "values": values}
    told |= {"random_scores": scores, "random_means": means}
    return told | {"p": one_among(mean, means), "score_p": one_among(score, scores)}


def random_vectors(cav: ConceptVector, count: int, seed: int = 0) -> Array:
    """Vectors made as the concept's was, of its samples with their labels drawn anew, (count, channels).

    Of a vector without samples: directions drawn evenly, as long as it is.
    """
    generator = np.random.default_rng(seed)
    samples, first = np.concatenate([cav.with_concept, cav.without]), len(cav.with_concept)
    if not len(samples):
        drawn = generator.normal(size=(count, len(cav.vector)))
        return drawn * (np.linalg.norm(cav.vector) / np.linalg.norm(drawn, axis=1, keepdims=True))
    made = []
    for _ in range(count):
        order = generator.permutation(len(samples))
        direction = samples[order[:first]].mean(axis=0) - samples[order[first:]].mean(axis=0)
        if cav.kind == "filter":
            kinds = np.zeros(len(samples), int)
            kinds[order[:first]] = 1
            direction = np.linalg.solve(shrunk_covariance(samples, kinds), direction)
        made.append(direction)
    return np.stack(made)


def one_among(value: float, others: Array) -> float:
    """The p of the two-sided t test that a value is drawn as the others were."""
    n, spread, away = len(others), others.std(ddof=1), abs(value - others.mean())
    if spread <= 1e-12 * max(np.abs(others).max(), abs(value)):
        return 1.0 if away <= 1e-12 * abs(value) else 0.0
    return float(2 * distributions().t.sf(away / (spread * np.sqrt(1 + 1 / n)), n - 1))
